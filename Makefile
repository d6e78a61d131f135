# Everything here sets itself up: git, make, Python 3.11 or newer and a package index are all it takes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PYTHONDONTWRITEBYTECODE := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export SAM_CLI_TELEMETRY := 0

# One virtual environment: $(call venv,folder,lock file,python)
define venv
@echo "Installing $(2) into $(1), the first time only ..."
@$(or $(3),$(PYTHON)) -m venv --clear $(1)
@$(1)/bin/python -m pip install --quiet --quiet --no-deps --require-hashes --requirement $(2)
@touch $(1)/.installed
endef

.PHONY: help
help:
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.PHONY: demo
demo: setup build ## deploy the gate on a local cloud and watch three stacks wait at it
	@$(BIN)/python -m tests.local_cloud demo

.PHONY: local
local: setup build ## keep the local cloud up for your own sam and aws commands
	@$(BIN)/python -m tests.local_cloud up

# The CDK speaks to itself through Node. Without it, the test of the CDK example is skipped.
CDK := $(if $(shell command -v node),.local/cdk/.installed)

.PHONY: test
test: setup build $(CDK) ## run every test
	@$(BIN)/python -m pytest --cov --numprocesses 2 --dist loadfile

.PHONY: check
check: $(VENV)/.installed .local/scanners/.installed ## lint, types, templates, the state machine, weaknesses
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy handlers tests scripts benchmarks
	$(BIN)/sam validate --lint
	$(BIN)/cfn-lint template.yaml examples/*.yaml
	.local/scanners/bin/checkov --file template.yaml examples/*.yaml examples/terraform/main.tf
	@if command -v terraform >/dev/null; then terraform fmt -check -diff examples/terraform; \
	else echo "terraform is not there: the form of its example is left out"; fi
	@if command -v npx >/dev/null; then $(ASL_VALIDATOR) --json-path statemachine/gate.asl.json; \
	else echo "npx is not there: the ASL validator is left out"; fi

# Not among the checks: it asks PyPI's advisories, which a mirror of the package index usually has not, and what it finds
# depends on the day. --strict: a package that it could not ask about is an error, not silence.
.PHONY: audit
audit: .local/scanners/.installed ## known vulnerabilities of what the layer ships (asks PyPI itself, not a mirror)
	.local/scanners/bin/pip-audit --strict --disable-pip --require-hashes --requirement layers/dependencies/requirements.txt

.PHONY: benchmark
benchmark: $(VENV)/.installed .local/lambda-runtime/.installed build ## measure lag, calls and cost against other ways to wait
	PYTHONPATH=handlers:. $(BIN)/python -m benchmarks

ASL_VALIDATOR := npx --yes asl-validator@4.0.0

.PHONY: model
model: $(VENV)/.installed ## try 20,000 orders of what CloudFormation, Lambda and AWS can do (MODEL_EXAMPLES, MODEL_SEED)
	@MODEL_EXAMPLES=$${MODEL_EXAMPLES:-20000} $(BIN)/python -m pytest -s tests/model

.PHONY: build
build: $(VENV)/.installed ## build the layer and the application as SAM deploys them
	@echo "Building the application ..."
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/sam build --cached >.build.log 2>&1 || { cat .build.log; exit 1; }

.PHONY: deploy
deploy: build ## deploy to your account: make deploy PARAMETERS="LogLevel=DEBUG EventBusName=ops"
	$(BIN)/sam deploy --no-confirm-changeset $(if $(PARAMETERS),--parameter-overrides $(PARAMETERS))

.PHONY: delete
delete: $(VENV)/.installed ## delete it from your account, unless a gate waits (FORCE=1: also then; docs/upgrading.md)
	@$(if $(FORCE),,$(BIN)/python -m scripts.waiting)
	$(BIN)/sam delete --no-prompts

.PHONY: release
release: $(VENV)/.installed ## build dist/license-conversion-gate-VERSION.zip, the same bytes wherever it is built
	@$(BIN)/python -m scripts.release

# The policy engine of the local cloud is a Node program. Without it the local cloud runs, and checks no permission.
POLICY_ENGINE := $(if $(and $(shell command -v node),$(shell command -v npm)),.local/iam/.installed)

.PHONY: setup
setup: $(VENV)/.installed .local/localstack/.installed .local/lambda-runtime/.installed $(POLICY_ENGINE) ## install what the commands need

$(VENV)/.installed: requirements/development.txt
	$(call venv,$(VENV),$<)

.local/%/.installed: requirements/%.txt
	$(call venv,.local/$*,$<)

# The functions run on the runtime's own Python where that is on the machine (a shim of pyenv's may be there and not work).
LAMBDA_PYTHON := $(shell python3.13 -c "import ensurepip" 2>/dev/null && echo python3.13)
.local/lambda-runtime/.installed: requirements/lambda-runtime.txt
	$(call venv,.local/lambda-runtime,$<,$(LAMBDA_PYTHON))

.local/iam/.installed: tests/local_cloud/iam/package-lock.json
	@echo "Installing $< into .local/iam, the first time only ..."
	@mkdir -p $(@D) && cp $(<D)/package.json $< $(@D)
	@npm ci --prefix $(@D) --ignore-scripts --no-audit --no-fund --silent
	@touch $@

.PHONY: reference
reference: $(VENV)/.installed ## write the schemas, the reference tables and the drawing from the code
	PYTHONPATH=handlers:. $(BIN)/python scripts/write_reference.py
	$(BIN)/python scripts/draw_state_machine.py

.PHONY: clean
clean: ## remove what the other commands made
	rm -rf $(VENV) .local .aws-sam dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .build.log

.PHONY: lock
lock: ## compile the requirements files again (pins and hashes, no addresses)
	$(PYTHON) -m venv .local/uv && .local/uv/bin/python -m pip install --quiet uv
	.local/uv/bin/$(COMPILE) $(FOR_LAMBDA) layers/dependencies/requirements.in --output-file layers/dependencies/requirements.txt
	.local/uv/bin/$(COMPILE) $(FOR_LINUX) requirements/development.in --output-file requirements/development.txt
	.local/uv/bin/$(COMPILE) $(FOR_LINUX) requirements/lambda-runtime.in --output-file requirements/lambda-runtime.txt
	.local/uv/bin/$(COMPILE) $(FOR_LINUX) requirements/scanners.in --output-file requirements/scanners.txt
	.local/uv/bin/$(COMPILE) $(FOR_LINUX) requirements/cdk.in --output-file requirements/cdk.txt
	.local/uv/bin/$(COMPILE) $(FOR_LINUX) --exclude-newer 2025-10-15 requirements/localstack.in --output-file requirements/localstack.txt
	npm install --prefix tests/local_cloud/iam --package-lock-only --omit-lockfile-registry-resolved --ignore-scripts

# For Lambda's platform alone, so without markers, which pip would read as being about the machine that builds the layer; and
# without what the runtime has.
FOR_LAMBDA := --python-platform aarch64-manylinux2014 --python-version 3.13 \
	$(patsubst %,--no-emit-package %,botocore python-dateutil six urllib3)
FOR_LINUX := --universal --python-version 3.11
COMPILE := uv pip compile --quiet --generate-hashes --no-strip-extras --no-emit-index-url --no-annotate --no-header
