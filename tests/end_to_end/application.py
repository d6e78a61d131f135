"""The application as `sam build` leaves it, deployed once for all end-to-end tests of a cloud, and what they ask of it."""

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.eventually import LONG, eventually
from tests.local_cloud.clients import ACCOUNT
from tests.local_cloud.cloud import LocalCloud
from tests.local_cloud.stacks import ARTIFACTS, Stack

ROOT = Path(__file__).parents[2]
BUILT = ROOT / ".aws-sam" / "build" / "template.yaml"
EXAMPLES = ROOT / "examples"
NAME = "license-conversion-gate"
READER = f"arn:aws:iam::{ACCOUNT}:role/license-conversion-reader"
"""The role that examples/cross-account-role.yaml makes, and that the application may assume."""


@contextmanager
def cloud_for_tests() -> Iterator[LocalCloud]:
    """Conversions begin with the first check: a machine so busy that it looks late sees the same."""
    with LocalCloud() as running:
        running.license_manager.configure(begins_when_seen=True)
        yield running


def end_of(cloud: LocalCloud, execution_arn: str, seconds: float = LONG) -> dict[str, Any]:
    """The execution once it has ended; TimeoutError if that takes longer."""
    describe = partial(cloud.client("stepfunctions").describe_execution, executionArn=execution_arn)
    return dict(eventually(describe, seconds, 0.1, until=lambda found: found["status"] != "RUNNING"))


def history_of(cloud: LocalCloud, execution_arn: str) -> list[dict[str, Any]]:
    """All events of the execution so far, the oldest first."""
    pages = cloud.client("stepfunctions").get_paginator("get_execution_history").paginate(executionArn=execution_arn)
    return [dict(event) for page in pages for event in page["events"]]


def states_in(history: Iterable[Mapping[str, Any]]) -> list[str]:
    """The states that were entered, in order."""
    return [event["stateEnteredEventDetails"]["name"] for event in history if "stateEnteredEventDetails" in event]


def until_it_runs(cloud: LocalCloud, function: str) -> None:
    """A function that was made or changed. boto3's waiter for it asks once a second."""
    read = partial(cloud.client("lambda").get_function_configuration, FunctionName=function)
    eventually(read, until=lambda found: (found["State"], found.get("LastUpdateStatus")) == ("Active", "Successful"))


def zipped(folder: Path, **modules: str) -> bytes:
    """What is in the folder, and these modules."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for file in folder.rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                archive.write(file, file.relative_to(folder))
        for name, code in modules.items():
            archive.writestr(f"{name}.py", code)
    return content.getvalue()


def packaged(cloud: LocalCloud) -> str:
    """The built template as `sam package` would leave it, in a tenth of the time. test_permissions.py and test_release.py deploy
    with SAM.
    """
    s3, text = cloud.client("s3"), BUILT.read_text()
    s3.create_bucket(Bucket=ARTIFACTS)

    def stored(name: str) -> str:
        path = BUILT.parent / name
        content = zipped(path) if path.is_dir() else path.read_bytes()
        key = hashlib.sha256(content).hexdigest()
        s3.put_object(Bucket=ARTIFACTS, Key=key, Body=content)
        return key

    text = re.sub(
        r"(CodeUri|ContentUri): (\S+)", lambda found: f"{found[1]}: s3://{ARTIFACTS}/{stored(found[2])}", text
    )
    location = f"DefinitionS3Location: {{Bucket: {ARTIFACTS}, Key: "
    return re.sub(r"DefinitionS3Location: (\S+)", lambda found: f"{location}{stored(found[1])}}}", text)


def impatient(folder: Path) -> dict[str, str]:
    """An environment in which no pause of the AWS CLI's or SAM's is longer than a second; some are of 15 or 30."""
    pauses = "import time\n\nsleep = time.sleep\ntime.sleep = lambda seconds: sleep(min(seconds, 1))\n"
    (folder / "sitecustomize.py").write_text(pauses)
    return {"PYTHONPATH": str(folder)}


def run_instance(cloud: LocalCloud) -> dict[str, Any]:
    """As an example of a state machine is told of it."""
    ec2 = cloud.client("ec2")
    group = ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"][0]["GroupId"]
    (started,) = ec2.run_instances(ImageId="ami-1", MinCount=1, MaxCount=1, SecurityGroupIds=[group])["Instances"]
    return {"InstanceId": started["InstanceId"], "SecurityGroupIds": [group]}


def groups_of(cloud: LocalCloud, instance_id: str) -> list[str]:
    found = cloud.client("ec2").describe_instances(InstanceIds=[instance_id])
    return [group["GroupId"] for group in found["Reservations"][0]["Instances"][0]["SecurityGroups"]]


@dataclass(frozen=True)
class Application:
    """The deployed gate on its local cloud."""

    cloud: LocalCloud
    stack: Stack

    @property
    def state_machine_arn(self) -> str:
        return self.stack.outputs["StateMachineArn"]

    @property
    def template(self) -> str:
        """As SAM has packaged it."""
        return str(self.cloud.client("cloudformation").get_template(StackName=self.stack.id)["TemplateBody"])

    def beside(self, name: str, parameters: Mapping[str, str] | None = None) -> Stack:
        """The application once more: the other tests go on with theirs."""
        return self.cloud.stacks.create(name, self.template, parameters)

    def physical_id(self, logical_id: str) -> str:
        found = self.cloud.client("cloudformation").describe_stack_resource(
            StackName=self.stack.id, LogicalResourceId=logical_id
        )
        return str(found["StackResourceDetail"]["PhysicalResourceId"])

    def function_arn(self, logical_id: str) -> str:
        found = self.cloud.client("lambda").get_function(FunctionName=self.physical_id(logical_id))
        return str(found["Configuration"]["FunctionArn"])

    def let(self, role: str, action: str, resource: str) -> None:
        """Give a role of the application (by its logical id) a right on something that a test has made beside it."""
        statement = {"Effect": "Allow", "Action": action, "Resource": resource}
        self.cloud.client("iam").put_role_policy(
            RoleName=self.physical_id(role),
            PolicyName=hashlib.sha256(f"{action} {resource}".encode()).hexdigest(),
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
        )

    def executions(self, status: str = "") -> list[Mapping[str, Any]]:
        filters = {"statusFilter": status} if status else {}
        found = self.cloud.client("stepfunctions").list_executions(stateMachineArn=self.state_machine_arn, **filters)
        return list(found["executions"])

    def start(self, execution_input: Mapping[str, Any], state_machine_arn: str = "") -> str:
        started = self.cloud.client("stepfunctions").start_execution(
            stateMachineArn=state_machine_arn or self.state_machine_arn, input=json.dumps(execution_input)
        )
        return str(started["executionArn"])

    def finish(self, execution_arn: str, seconds: float = LONG) -> dict[str, Any]:
        """The execution once it has ended; TimeoutError if that takes longer."""
        return end_of(self.cloud, execution_arn, seconds)


class NamedExecutions:
    """Executions by the name of what happens to them."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self.arns: dict[str, str] = {}

    def begin(self, name: str, execution_input: Mapping[str, Any], state_machine_arn: str = "") -> None:
        self.arns[name] = self.application.start(execution_input, state_machine_arn)

    def ended(self, name: str) -> dict[str, Any]:
        return self.application.finish(self.arns[name])

    def output(self, name: str) -> Any:
        ended = self.ended(name)
        assert ended["status"] == "SUCCEEDED", ended
        return json.loads(ended["output"])

    def failure(self, name: str) -> tuple[str, str]:
        """Error and Cause."""
        ended = self.ended(name)
        assert ended["status"] == "FAILED", ended
        return ended["error"], ended.get("cause", "")

    def history(self, name: str) -> list[dict[str, Any]]:
        return history_of(self.application.cloud, self.arns[name])

    def entered(self, name: str) -> list[str]:
        return states_in(self.history(name))
