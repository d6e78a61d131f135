"""The examples: what their first lines say, the commands there, and what is right in them on the day when something goes wrong.

Where an example shows what the gate does, it is run where that is tested: stacks in test_stack_gate.py, state machines in
test_state_machine.py, and the whole job in test_convert_and_gate.py.
"""

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.end_to_end.application import (
    EXAMPLES,
    READER,
    ROOT,
    Application,
    NamedExecutions,
    groups_of,
    impatient,
    run_instance,
    states_in,
)
from tests.local_cloud.clients import ACCOUNT, REGION
from tests.local_cloud.stacks import Stack

CDK = EXAMPLES / "cdk"
CDK_PYTHON = ROOT / ".local" / "cdk" / "bin" / "python"
TERRAFORM = (EXAMPLES / "terraform" / "main.tf").read_text()
PAGE = (EXAMPLES / "README.md").read_text()
IMPORTED = "!ImportValue license-conversion-gate-StateMachineArn"
TASKS = ("lct-0123456789abcdef0", "lct-0fedcba9876543210")
INSTANCE = "i-0123456789abcdef0"
"""What the examples' commands name."""
SAID = "The instance could not be activated."

Json = dict[str, Any]


def arn(instance_id: str) -> str:
    return f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/{instance_id}"


# What the first lines say


def first_lines(path: Path) -> str:
    """The comment, docstring or paragraph that an example begins with."""
    text = path.read_text()
    if path.suffix == ".py":
        return ast.get_docstring(ast.parse(text)) or ""
    if path.suffix == ".md":
        return text
    comment = text.partition("\n\n")[0] if path.suffix == ".tf" else text.partition("AWSTemplateFormatVersion")[0]
    return re.sub(r"^# ?", "", comment, flags=re.MULTILINE)


ALL = sorted([*EXAMPLES.glob("*.yaml"), EXAMPLES / "stacksets.md", CDK / "app.py", EXAMPLES / "terraform" / "main.tf"])


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_each_example_says_the_same_five_things_and_the_page_leads_to_it(path: Path) -> None:
    said = re.findall(r"^(Use it when:|Needs:|Deploy|Then:|Leaves behind:)", first_lines(path), re.MULTILINE)

    assert said[:5] == ["Use it when:", "Needs:", "Deploy", "Then:", "Leaves behind:"]
    assert f"({path.relative_to(EXAMPLES)})" in PAGE


# The commands


def commands(path: Path) -> list[str]:
    """Those of an example's first lines, or of a page's blocks for a shell, as they stand."""
    lines = first_lines(path)
    if path.suffix == ".md":
        lines = "\n".join(re.findall(r"^ *```sh\n(.*?)^ *```", path.read_text(), re.MULTILINE | re.DOTALL))
    found: list[str] = []
    for line in lines.splitlines():
        if found and not _is_complete(found[-1]):
            found[-1] += f"\n{line}"
        elif re.match(r" *(aws|cdk|export|make|pip|sam|terraform) ", line):
            found.append(line.strip())
    return found


def _is_complete(command: str) -> bool:
    try:
        shlex.split(command, comments=True)
    except ValueError:
        return False
    return not command.endswith("\\")


PAGES = [ROOT / "README.md", ROOT / "docs" / "getting-started.md"]
NOT_RUN = re.findall(r"^\| `([^`]+)` \| ", PAGE, re.MULTILINE)
GIVEN = [(path, command) for path in [*ALL, *PAGES] for command in commands(path)]
RUN = [(path, command) for path, command in GIVEN if not command.startswith(tuple(NOT_RUN))]


def test_the_list_of_commands_that_no_test_runs_has_none_that_is_not_there() -> None:
    assert len(RUN) >= 25
    for beginning in NOT_RUN:
        assert [command for _, command in GIVEN if command.startswith(beginning)]


def test_the_command_that_deploys_roles_says_that_it_may() -> None:
    for _, command in RUN:
        if template := re.search(r"--template-file (\S+)", command):
            text = (ROOT / template[1]).read_text()
            needed = "_NAMED" if "RoleName:" in text else ""
            assert (f"--capabilities CAPABILITY{needed}_IAM" in command) == ("AWS::IAM::Role" in text)


ROLE = EXAMPLES / "cross-account-role.yaml"


@pytest.fixture(scope="module")
def shell(application: Application, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Run a command where the project is, on the local cloud, which has one account."""
    cloud, work = application.cloud, tmp_path_factory.mktemp("work")
    for name in ("examples", "handlers", "layers", "statemachine", ".aws-sam", "samconfig.toml"):
        (work / name).symlink_to(ROOT / name)
    for task in TASKS:
        cloud.license_manager.add_task(task, resource_arn=arn(INSTANCE), duration=2)
    own = {"PATH": f"{ROOT / '.venv/bin'}:{os.environ['PATH']}", "AWS_PAGER": "", "SAM_CLI_TELEMETRY": "0"}
    bucket = {"REGION": REGION, "BUCKET": "my-artifacts"}
    environment = {**os.environ, **cloud.environment, **own, **bucket, **impatient(work)}
    cloud.client("s3").create_bucket(Bucket="my-artifacts")

    def run(command: str) -> str:
        local = re.sub("444455556666|111122223333", ACCOUNT, command)
        done = subprocess.run(  # noqa: S603  (our own pages)
            ["bash", "-c", local], cwd=work, env=environment, capture_output=True, text=True, check=False  # noqa: S607
        )  # fmt: skip
        assert done.returncode == 0, f"{local}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    return run


@pytest.fixture(scope="module")
def outcomes(shell: Callable[[str], str]) -> dict[Path, Future[list[str]]]:
    """What each page's commands print, four pages at once, but for the role that another example needs."""

    def printed_by(path: Path) -> list[str]:
        return [shell(command) for of, command in RUN if of == path]

    pages = {path for path, _ in RUN}
    first: Future[list[str]] = Future()
    first.set_result(printed_by(ROLE))
    with ThreadPoolExecutor(4) as pool:
        return {path: pool.submit(printed_by, path) for path in pages - {ROLE}} | {ROLE: first}


@pytest.mark.skipif(shutil.which("aws") is None, reason="the commands are the AWS CLI's, which is not on this machine")
@pytest.mark.parametrize("path", sorted({path for path, _ in RUN}), ids=lambda path: path.name)
def test_the_commands_run_as_they_stand(
    application: Application, outcomes: dict[Path, Future[list[str]]], path: Path
) -> None:
    for command, printed in zip([one for of, one in RUN if of == path], outcomes[path].result(), strict=True):
        if stack := re.search(r"cloudformation deploy --stack-name (\S+)", command):
            assert application.cloud.stacks.describe(stack[1]).status == "CREATE_COMPLETE"
        if "start-execution" in command:
            ended = application.finish(json.loads(printed)["executionArn"])
            if INSTANCE not in command:  # which the local cloud's EC2 has not
                assert ended["status"] == "SUCCEEDED", ended


# Stacks


@pytest.fixture(scope="module")
def stacks(application: Application) -> Callable[[str], Stack]:
    """Stacks of the examples by name, once they have ended; they wait at the same time. Tasks and accounts are of one License
    Manager: the local cloud keeps all accounts in one.
    """
    cloud, add = application.cloud, application.cloud.license_manager.add_task
    trusted = {"GateAccountId": ACCOUNT, "ExternalId": "something-long"}
    if READER not in [role["Arn"] for role in cloud.client("iam").list_roles()["Roles"]]:
        assert cloud.stacks.create("license-conversion-reader", ROLE, trusted).status == "CREATE_COMPLETE"
    add("lct-first", resource_arn=arn("i-0123456789abcdef1"), duration=0)
    two = f"{add('lct-succeeds', duration=3)},{add('lct-fails', duration=3, end_status='FAILED', status_message=SAID)}"
    elsewhere = EXAMPLES / "cross-account-gate.yaml"
    given: dict[str, tuple[Path, dict[str, str]]] = {
        "resource": (EXAMPLES / "resource-gate.yaml", {"InstanceId": "i-0123456789abcdef1", "Trigger": "first"}),
        "with-role": (elsewhere, {"RoleArn": READER, "ExternalId": "something-long"}),
        "without-external-id": (elsewhere, {"RoleArn": READER}),
        "other-region": (elsewhere, {"Region": "eu-west-1"}),
        "fleet": (EXAMPLES / "fleet-gate.yaml", {"LicenseConversionTaskIds": two, "OnFailure": "CONTINUE"}),
    }
    ids = {}
    for name, (template, parameters) in given.items():
        if template == elsewhere:
            region = parameters.get("Region", REGION)
            parameters["LicenseConversionTaskId"] = add(f"lct-{name.replace('-', '')}", duration=3, region=region)
        ids[name] = cloud.stacks.create(name, template, parameters, wait=False).id
    return lambda name: cloud.stacks.wait_for(ids[name])


def test_a_resource_that_is_converted_again_is_waited_for_again_when_the_trigger_changes(
    application: Application, stacks: Callable[[str], Stack]
) -> None:
    stack, cloud = stacks("resource"), application.cloud
    assert (stack.status, stack.outputs["Task"]) == ("CREATE_COMPLETE", "lct-first")
    assert stack.outputs["UsageOperation"] == "RunInstances:0002"

    resource = arn("i-0123456789abcdef1")
    next_task = cloud.license_manager.add_task(resource_arn=resource, duration=3, destination="RunInstances:0102")
    changed = {"InstanceId": "i-0123456789abcdef1", "Trigger": "second"}
    stack = cloud.stacks.update("resource", EXAMPLES / "resource-gate.yaml", changed)

    assert (stack.status, stack.outputs["Task"]) == ("UPDATE_COMPLETE", next_task)
    assert (stack.outputs["Status"], stack.outputs["UsageOperation"]) == ("SUCCEEDED", "RunInstances:0102")


@pytest.mark.parametrize("name", ["with-role", "other-region"])
def test_a_gate_waits_for_a_task_of_another_account_or_region(stacks: Callable[[str], Stack], name: str) -> None:
    stack = stacks(name)

    assert (stack.status, stack.outputs["Status"]) == ("CREATE_COMPLETE", "SUCCEEDED")
    assert stack.outputs["Task"] == f"lct-{name.replace('-', '')}"


def test_a_gate_does_not_get_a_role_without_its_external_id(stacks: Callable[[str], Stack]) -> None:
    assert stacks("without-external-id").status == "ROLLBACK_COMPLETE"


def test_a_stack_waits_for_a_fleet_and_says_which_conversion_failed(stacks: Callable[[str], Stack]) -> None:
    stack = stacks("fleet")

    assert stack.status == "CREATE_COMPLETE"
    counted = [stack.outputs[name] for name in ("Status", "Total", "Succeeded", "Failed", "FailedTaskIds")]
    assert counted == ["FAILED", "2", "1", "1", "lct-fails"]
    assert SAID in stack.outputs["StatusMessage"]


# State machines


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_no_example_makes_a_name_in_one_state_that_another_uses(path: Path) -> None:
    """When a caller is redriven it begins with the state that failed, and a name can be used once."""
    assert not re.search(r"States\.UUID|\$uuid", path.read_text())


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_an_expression_is_one_line_to_step_functions(path: Path) -> None:
    """Validators take no other, whatever Step Functions does."""
    nodes = [node for node in yaml.parse(path.read_text()) if isinstance(node, yaml.ScalarEvent)]

    assert [node.value for node in nodes if node.value.startswith("{%") and "\n" in node.value] == []


class Callers(NamedExecutions):
    """State machines of the examples, at the gate or at something in its place."""

    def at(self, example: str, gate: str = "", *changes: tuple[str, str]) -> Stack:
        """The example's stack; `gate` is the ARN of what is in the gate's place."""
        cloud, template = self.application.cloud, (EXAMPLES / f"{example}.yaml").read_text()
        for old, new in ((IMPORTED, gate), *changes) if gate else changes:
            assert old in template
            template = template.replace(old, new)
        vpc = cloud.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
        stack = cloud.stacks.create(
            f"caller-{gate.rpartition(':')[2] or example}", template, {"VpcId": vpc} if "VpcId:" in template else {}
        )
        assert stack.status == "CREATE_COMPLETE", stack.failures
        return stack

    def start(self, name: str, stack: Stack, **given: Any) -> None:
        self.begin(name, given, stack.outputs["StateMachineArn"])

    def broken_gate(self, name: str, state: Json) -> str:
        """Something in the gate's place that ends in its own way."""
        definition = json.dumps({"StartAt": "Break", "States": {"Break": state}})
        role = "arn:aws:iam::000000000000:role/gate"
        steps = self.application.cloud.client("stepfunctions")
        return str(steps.create_state_machine(name=name, definition=definition, roleArn=role)["stateMachineArn"])


def calls_back(error: str, cause: str) -> Json:
    """A state that fails the caller's task."""
    said = {"TaskToken.$": "$.TaskToken", "Error": error, "Cause": cause}
    resource = "arn:aws:states:::aws-sdk:sfn:sendTaskFailure"
    return {"Type": "Task", "Resource": resource, "Parameters": said, "End": True}


@pytest.fixture(scope="module")
def callers(application: Application) -> Callers:
    return Callers(application)


@pytest.mark.parametrize(
    ("name", "does", "patience", "error", "cause"),
    [
        ("breaks", calls_back("LicenseConversion.GateBroken", "Broken."), 90_000, "GateBroken", "GateBroken: Broken."),
        ("is-silent", {"Type": "Pass", "End": True}, 3, "GateBroken", ""),
        ("says-nothing", calls_back("LicenseConversion.Failed", "{}"), 90_000, "ConversionFailed", "does not say why."),
    ],
)
def test_a_caller_by_token_catches_whatever_becomes_of_the_gate(
    callers: Callers, name: str, *, does: Json, patience: int, error: str, cause: str
) -> None:
    patient = ("TimeoutSeconds: 90000", f"TimeoutSeconds: {patience}")
    stack = callers.at("state-machine-callback", callers.broken_gate(name, does), patient)
    callers.start(name, stack, LicenseConversionTaskId="lct-1", TimeoutSeconds=9)

    caught, told = callers.failure(name)
    assert (caught, told.endswith(cause)) == (error, True), told


def test_a_map_of_any_size_reports_what_failed_in_json(callers: Callers) -> None:
    cause = json.dumps({"LicenseConversionTaskId": "lct-1", "StatusMessage": 'No "AMI" of yours. ' * 60})
    gate = callers.broken_gate("fails-always", calls_back("LicenseConversion.Failed", cause))
    tasks = [f"lct-{number:017}" for number in range(40)]
    callers.start("map", callers.at("state-machine-map", gate), LicenseConversionTaskIds=tasks, TimeoutSeconds=9)

    error, told = callers.failure("map")
    assert (error, len(told) < 32_768) == ("SomeNotConverted", True)
    found = json.loads(told)
    assert (found["Tasks"], found["NotConverted"], len(found["First"])) == (40, 40, 20)


@pytest.mark.parametrize(
    ("name", "given", "error"),
    [
        ("no-task", {"LicenseConversionTaskId": "lct_1"}, "LicenseConversion.InvalidRequest"),
        ("days", {"TimeoutSeconds": 172_800}, "WrongInput"),
        ("unit", {"TimeoutSeconds": "2h"}, "WrongInput"),
    ],
)
def test_traffic_is_not_stopped_before_the_input_is_right(
    callers: Callers, sync: Stack, name: str, given: Json, error: str
) -> None:
    cloud = callers.application.cloud
    instance = run_instance(cloud)
    known = {"LicenseConversionTaskId": cloud.license_manager.add_task(duration=600), "TimeoutSeconds": 60}
    callers.start(name, sync, **known | given, **instance)

    assert callers.failure(name)[0] == error
    assert "Stop Traffic" not in callers.entered(name)
    assert groups_of(cloud, instance["InstanceId"]) == instance["SecurityGroupIds"]


@pytest.fixture(scope="module")
def sync(callers: Callers) -> Stack:
    return callers.at("state-machine-sync")


@pytest.mark.parametrize(
    ("error", "open_again"),
    [
        ("LicenseConversion.InvalidRequest", True),
        ("LicenseConversion.GateBroken", False),
    ],
)
def test_traffic_comes_again_unless_the_conversion_may_still_run(
    callers: Callers, error: str, open_again: bool
) -> None:
    gate = callers.broken_gate(f"sync-{error.rpartition('.')[2]}", {"Type": "Fail", "Error": error, "Cause": "So."})
    stack = callers.at("state-machine-sync", gate)
    cloud = callers.application.cloud
    instance = run_instance(cloud)
    task = cloud.license_manager.add_task(duration=600)
    callers.start(error, stack, LicenseConversionTaskId=task, TimeoutSeconds=60, **instance)

    assert callers.failure(error) == (error, "So.")
    groups = instance["SecurityGroupIds"] if open_again else [stack.outputs["ClosedGroupId"]]
    assert groups_of(cloud, instance["InstanceId"]) == groups
    (asked,) = (
        json.loads(event["taskScheduledEventDetails"]["parameters"])["ExecutionArn"]
        for event in callers.history(error)
        if event.get("taskScheduledEventDetails", {}).get("resource") == "describeExecution"
    )
    (entered,) = (event["timestamp"] for event in callers.history(error) if states_in([event]) == ["Wait at Gate"])
    assert entered.strftime("%Y%m%d%H%M%S") in asked  # the name is of this entry, so another one's is another


def test_a_loop_of_ones_own_ends_whatever_the_task_came_without(callers: Callers) -> None:
    template, times = re.subn(
        r" +Look at Task:\n +Type.*?(?= +Next: Look Again)",
        "          Look at Task:\n            Type: Pass\n            Output: {}\n",
        (EXAMPLES / "state-machine-own-loop.yaml").read_text(),
        flags=re.DOTALL,
    )
    assert times == 1
    callers.start("loop", callers.application.cloud.stacks.create("loop", template), LicenseConversionTaskId="lct-1")

    assert callers.failure("loop")[0] == "ConversionFailed"


# The CDK and Terraform


@pytest.mark.skipif(shutil.which("node") is None, reason="the CDK needs Node, and this machine has none")
@pytest.mark.skipif(not CDK_PYTHON.exists(), reason="the CDK is not installed: make .local/cdk/.installed")
def test_a_cdk_app_waits_at_the_gate(application: Application, tmp_path: Path) -> None:
    cloud = application.cloud
    template = _synthesise(tmp_path) / "ConvertedStack.template.json"
    cloud.client("ssm").put_parameter(Name="/cdk-bootstrap/hnb659fds/version", Value="30", Type="String")
    task = cloud.license_manager.add_task(duration=3)

    stack = cloud.stacks.create("converted-stack", template, {"LicenseConversionTaskId": task})

    assert (stack.status, stack.outputs["Task"], stack.outputs["Status"]) == ("CREATE_COMPLETE", task, "SUCCEEDED")
    found = cloud.client("ssm").get_parameter(Name=stack.outputs["BilledAsParameter"])
    assert found["Parameter"]["Value"] == "RunInstances:0002"


def test_the_cdk_app_asks_for_the_packages_that_it_is_tested_with() -> None:
    locked = (ROOT / "requirements" / "cdk.txt").read_text()
    for line in (CDK / "requirements.txt").read_text().splitlines():
        name, major = re.fullmatch(r"([a-z-]+)>=(\d+)\S*", line).groups()  # type: ignore[union-attr]
        assert f"\n{name}=={major}." in locked


def test_the_terraform_example_gives_the_stack_parameters_that_it_has_and_reads_outputs_that_it_has() -> None:
    wrapped = _load(EXAMPLES / "terraform" / re.findall(r'file\("\$\{path.module\}/(.+?)"\)', TERRAFORM)[0])
    given = re.findall(r"^    ([A-Z]\w+) +=", TERRAFORM, re.MULTILINE)

    assert given
    assert set(given) <= set(wrapped["Parameters"])
    assert set(re.findall(r'outputs\["(\w+)"\]', TERRAFORM)) <= set(wrapped["Outputs"])


def _synthesise(folder: Path) -> Path:
    """What `cdk synth` would leave: the app itself writes it, the CDK's command line adds nothing to it."""
    own = {
        "CDK_OUTDIR": str(folder),
        "HOME": str(folder),
        "JSII_RUNTIME_PACKAGE_CACHE": "disabled",
        "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "1",
    }
    done = subprocess.run(  # noqa: S603  (our own example)
        [str(CDK_PYTHON), "app.py"], cwd=CDK, env={**os.environ, **own}, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def _load(template: Path) -> dict[str, dict[str, object]]:
    """A template without what its tags mean."""
    loaded: dict[str, dict[str, object]] = yaml.safe_load(re.sub(r"!\w+", "", template.read_text()))
    return loaded
