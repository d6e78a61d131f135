"""Stacks: deployed by `sam`, or made, changed and deleted directly."""

import hashlib
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests.eventually import eventually
from tests.local_cloud import ROOT
from tests.local_cloud.clients import REGION, ROOT_USER, Clients, Credentials

ARTIFACTS = "aws-sam-cli-managed-default-local"  # named as SAM names the bucket that it makes for --resolve-s3
_TEMPLATE_BYTES = 51_200  # https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html


@dataclass(frozen=True)
class Stack:
    """A stack as CloudFormation describes it, and its events, oldest first."""

    id: str
    name: str
    status: str
    outputs: Mapping[str, str]
    events: tuple[Mapping[str, Any], ...]

    @property
    def failures(self) -> list[str]:
        """``<logical id>: <reason>`` of each resource that failed."""
        return [
            f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}"
            for event in self.events
            if event["ResourceStatus"].endswith("_FAILED") and event.get("PhysicalResourceId") != self.id
        ]

    def statuses(self, logical_id: str) -> list[str]:
        """What a resource went through; the stack's own, under the stack's name."""
        return [event["ResourceStatus"] for event in self.events if event["LogicalResourceId"] == logical_id]


@dataclass(frozen=True)
class Stacks:
    """CloudFormation's stacks. `sam_environment` is what a command of SAM's runs with: whose it is."""

    _clients: Clients
    _sam_environment: Callable[[], Mapping[str, str]]

    def deploy(self, stack_name: str, template: Path, parameters: Mapping[str, str] | None = None) -> Stack:
        """``sam deploy`` of what ``sam build`` left, by the deployer; raise RuntimeError with its output if it fails."""
        # --resolve-s3 works too, and waits 20 s for its own stack
        self._clients.get("s3").create_bucket(Bucket=ARTIFACTS)
        overrides = [f"{name}={value}" for name, value in (parameters or {}).items()]
        self.sam(
            *("deploy", "--template-file", str(template), "--stack-name", stack_name, "--s3-bucket", ARTIFACTS),
            *("--no-progressbar", "--no-confirm-changeset"),
            *("--capabilities", "CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"),
            *(("--parameter-overrides", *overrides) if overrides else ()),
        )
        return self.describe(stack_name)

    def sam(self, *arguments: str, folder: Path = ROOT) -> str:
        """A command of SAM's by the deployer, where a samconfig.toml is. Raise RuntimeError with its output if it fails."""
        done = subprocess.run(
            [sys.executable, "-m", "samcli", *arguments],
            cwd=folder, env=self._sam_environment(), check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"sam {arguments[0]} failed:\n{done.stdout}")
        return done.stdout

    def create(
        self,
        stack_name: str,
        template: Path | str,
        parameters: Mapping[str, str] | None = None,
        *,
        wait: bool = True,
        by: Credentials = ROOT_USER,
        operation: Literal["create_stack", "update_stack"] = "create_stack",
        **options: Any,
    ) -> Stack:
        """``template`` is a path or a body; ``options`` go to CreateStack. With ``wait``, come back when it has ended."""
        stack_id: str = getattr(self._clients.get("cloudformation", by), operation)(
            StackName=stack_name,
            **self._template(template.read_text() if isinstance(template, Path) else template),
            Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in (parameters or {}).items()],
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
            **options,
        )["StackId"]
        return self.wait_for(stack_id) if wait else self.describe(stack_id)

    def update(self, *arguments: Any, wait: bool = True) -> Stack:
        """Its arguments are those of `create`."""
        return self.create(*arguments, wait=wait, operation="update_stack")

    def _template(self, body: str) -> dict[str, str]:
        """A request has room for the body of a small template; a larger one is read from S3, as `sam deploy` has it."""
        if len(body.encode()) <= _TEMPLATE_BYTES:
            return {"TemplateBody": body}
        key = f"{hashlib.sha256(body.encode()).hexdigest()}.template"
        self._clients.get("s3").put_object(Bucket=ARTIFACTS, Key=key, Body=body.encode())
        return {"TemplateURL": f"https://s3.{REGION}.amazonaws.com/{ARTIFACTS}/{key}"}

    def delete(self, stack: str, *, wait: bool = True) -> Stack:
        stack_id = self.describe(stack).id
        self._clients.get("cloudformation").delete_stack(StackName=stack_id)
        return self.wait_for(stack_id) if wait else self.describe(stack_id)

    def wait_for(self, stack: str, seconds: float = 300) -> Stack:
        """The stack (by name or id) once nothing is in progress; raise TimeoutError if that takes longer."""
        eventually(
            lambda: f"{stack} is {self._status(stack)}", seconds, 0.1,
            until=lambda told: not told.endswith("_IN_PROGRESS"),
        )  # fmt: skip
        return self.describe(stack)

    def _status(self, stack: str) -> str:
        found = self._clients.get("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
        return str(found["StackStatus"])

    def describe(self, stack: str) -> Stack:
        """By name or id; a deleted one by id only."""
        cloudformation = self._clients.get("cloudformation")
        found = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
        events = cloudformation.describe_stack_events(StackName=found["StackId"])["StackEvents"]
        return Stack(
            id=found["StackId"],
            name=found["StackName"],
            status=found["StackStatus"],
            outputs={one["OutputKey"]: one["OutputValue"] for one in found.get("Outputs", [])},
            events=tuple(reversed(events)),
        )
