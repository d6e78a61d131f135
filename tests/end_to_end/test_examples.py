"""The examples that lead into the gate from elsewhere: a resource, another account, the CDK, Terraform.

The others are run where what they show is tested: stacks in test_stack_gate.py, state machines in test_state_machine.py.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.end_to_end.application import EXAMPLES, ROOT, Application
from tests.local_cloud.clients import ACCOUNT, REGION
from tests.local_cloud.cloud import LocalCloud
from tests.local_cloud.stacks import Stack

CDK = EXAMPLES / "cdk"
CDK_PYTHON = ROOT / ".local" / "cdk" / "bin" / "python"
TERRAFORM = (EXAMPLES / "terraform" / "main.tf").read_text()
EXTERNAL_ID = "something-long"


def test_a_resource_that_is_converted_again_is_waited_for_again_when_the_trigger_changes(
    application: Application,
) -> None:
    cloud, template = application.cloud, EXAMPLES / "resource-gate.yaml"
    instance = "i-0123456789abcdef0"
    resource = f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/{instance}"
    task = cloud.license_manager.add_task(resource_arn=resource, duration=3)
    stack = cloud.stacks.create("resource", template, {"InstanceId": instance, "Trigger": "first"})
    assert (stack.status, stack.outputs["Task"]) == ("CREATE_COMPLETE", task)
    assert stack.outputs["UsageOperation"] == "RunInstances:0002"

    next_task = cloud.license_manager.add_task(resource_arn=resource, duration=8, destination="RunInstances:0102")
    stack = cloud.stacks.update("resource", template, {"InstanceId": instance, "Trigger": "second"})

    assert (stack.status, stack.outputs["Task"]) == ("UPDATE_COMPLETE", next_task)
    assert (stack.outputs["Status"], stack.outputs["UsageOperation"]) == ("SUCCEEDED", "RunInstances:0102")


def test_a_gate_waits_for_a_task_that_it_reads_with_the_role_of_another_account(application: Application) -> None:
    """On one account: the local cloud's License Manager keeps all accounts in one."""
    cloud = application.cloud
    role = cloud.stacks.create(
        "reader", EXAMPLES / "cross-account-role.yaml", {"GateAccountId": ACCOUNT, "ExternalId": EXTERNAL_ID}
    )
    task = cloud.license_manager.add_task(duration=3)

    stack = cloud.stacks.create(
        "cross-account",
        EXAMPLES / "cross-account-gate.yaml",
        {"LicenseConversionTaskId": task, "RoleArn": role.outputs["RoleArn"], "ExternalId": EXTERNAL_ID},
    )

    assert (stack.status, stack.outputs["Task"], stack.outputs["Status"]) == ("CREATE_COMPLETE", task, "SUCCEEDED")


@pytest.mark.skipif(shutil.which("node") is None, reason="the CDK needs Node, and this machine has none")
@pytest.mark.skipif(not CDK_PYTHON.exists(), reason="the CDK is not installed: make .local/cdk/.installed")
def test_a_cdk_app_waits_at_the_gate(application: Application, tmp_path: Path) -> None:
    cloud = application.cloud
    template = _synthesise(tmp_path) / "ConvertedStack.template.json"
    cloud.client("ssm").put_parameter(Name="/cdk-bootstrap/hnb659fds/version", Value="30", Type="String")
    task = cloud.license_manager.add_task(duration=3)

    stack = cloud.stacks.create("converted-stack", template, {"LicenseConversionTaskId": task})

    assert (stack.status, stack.outputs["Task"], stack.outputs["Status"]) == ("CREATE_COMPLETE", task, "SUCCEEDED")
    assert _parameter(cloud, stack) == "RunInstances:0002"


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


def _parameter(cloud: LocalCloud, stack: Stack) -> str:
    found = cloud.client("ssm").get_parameter(Name=stack.outputs["BilledAsParameter"])
    return str(found["Parameter"]["Value"])


def _load(template: Path) -> dict[str, dict[str, object]]:
    """A template without what its tags mean."""
    loaded: dict[str, dict[str, object]] = yaml.safe_load(re.sub(r"!\w+", "", template.read_text()))
    return loaded
