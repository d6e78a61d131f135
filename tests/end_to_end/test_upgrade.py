"""What stacks see when the application is updated, or deleted, while they wait at it.

The application stands here a second time, under a name of its own: the other tests go on with theirs.
"""

import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from scripts import waiting
from tests.end_to_end.application import EXAMPLES, NAME, Application
from tests.eventually import eventually
from tests.local_cloud.cloud import ARTIFACTS, LocalCloud, Stack

UPGRADED = "upgraded"
STACK_GATE = (EXAMPLES / "stack-gate.yaml").read_text().replace(f"{NAME}-ServiceToken", f"{UPGRADED}-ServiceToken")


@dataclass
class Second:
    """The second application, and the stacks that wait at it."""

    cloud: LocalCloud
    template: str

    @property
    def stack(self) -> Stack:
        return self.cloud.describe(UPGRADED)

    def gate(self, name: str, task_id: str, **parameters: str) -> Stack:
        """A stack that waits: its execution runs when this returns."""
        before = len(self.waiting())
        stack = self.cloud.create_stack(
            name, STACK_GATE, {"LicenseConversionTaskId": task_id, **parameters}, wait=False
        )  # fmt: skip
        eventually(lambda: len(self.waiting()) > before)
        return stack

    def waiting(self) -> list[str]:
        return waiting.executions(UPGRADED, self.cloud.client)

    def definition(self) -> dict[str, Any]:
        found = self.cloud.client("stepfunctions").describe_state_machine(
            stateMachineArn=self.stack.outputs["StateMachineArn"]
        )
        return dict(json.loads(found["definition"]))

    def code(self) -> str:
        found = self.cloud.client("lambda").get_function(FunctionName=self.stack.outputs["ServiceToken"])
        return str(found["Configuration"]["CodeSha256"])

    def next_release(self) -> str:
        """The template with code and a definition that are not those of before."""
        s3 = self.cloud.client("s3")
        template = self.template
        code, definition = (
            re.findall(pattern, template)[0] for pattern in (rf"CodeUri: s3://{ARTIFACTS}/(\w+)", r"Key: '?(\w+)")
        )
        packed = io.BytesIO(s3.get_object(Bucket=ARTIFACTS, Key=code)["Body"].read())
        with zipfile.ZipFile(packed, "a") as archive:
            archive.writestr("release.txt", "the next one")
        s3.put_object(Bucket=ARTIFACTS, Key="next-code", Body=packed.getvalue())
        states = json.loads(s3.get_object(Bucket=ARTIFACTS, Key=definition)["Body"].read())
        s3.put_object(Bucket=ARTIFACTS, Key="next-states", Body=json.dumps({**states, "Comment": "The next one."}))
        return template.replace(code, "next-code").replace(definition, "next-states")


@pytest.fixture(scope="module")
def second(application: Application) -> Iterator[Second]:
    cloud = application.cloud
    template = cloud.client("cloudformation").get_template(StackName=application.stack.id)["TemplateBody"]
    assert cloud.create_stack(UPGRADED, template).status == "CREATE_COMPLETE"
    yield Second(cloud, template)
    if any(one["StackName"] == UPGRADED and one["StackStatus"] != "DELETE_COMPLETE" for one in _stacks(cloud)):
        cloud.delete_stack(UPGRADED)


def test_a_gate_that_waits_is_answered_though_everything_is_updated_under_it(second: Second) -> None:
    task = second.cloud.license_manager.add_task(duration=14)
    stack = second.gate("waits-while-updated", task)
    code = second.code()

    updated = second.cloud.update_stack(UPGRADED, second.next_release(), {"LogLevel": "DEBUG"})

    assert len(second.waiting()) == 1
    assert (updated.status, updated.failures) == ("UPDATE_COMPLETE", [])
    assert second.code() != code
    assert second.definition()["Comment"] == "The next one."
    ended = second.cloud.wait_for_stack(stack.id)
    assert (ended.status, ended.outputs["Status"]) == ("CREATE_COMPLETE", "SUCCEEDED")
    assert len(second.cloud.answers(stack.id)) == 1
    secrets = [issued.signature for issued in second.cloud.requests(stack.id)]
    assert not [line for line in second.cloud.log_lines() if any(secret in line for secret in secrets)]


def test_a_gate_that_waits_hears_nothing_when_the_application_is_deleted(second: Second) -> None:
    """It stays until its ServiceTimeout, and nobody is left for its Delete either: docs/upgrading.md says what to do."""
    answered = second.cloud.create_stack(
        "answered-before", STACK_GATE, {"LicenseConversionTaskId": second.cloud.license_manager.add_task(duration=0)}
    )
    stack = second.gate(
        "waits-while-deleted", second.cloud.license_manager.add_task(duration=float("inf")), ServiceTimeout="15"
    )

    deleted = second.cloud.delete_stack(UPGRADED)
    ended = second.cloud.wait_for_stack(stack.id)

    assert deleted.status == "DELETE_COMPLETE"
    assert ended.status == "ROLLBACK_FAILED"
    assert "did not receive a response" in ended.failures[0]
    assert second.cloud.answers(stack.id) == []
    left = second.cloud.delete_stack(answered.id)
    assert left.status == "DELETE_FAILED"
    assert "Function not found" in left.failures[-1]


def _stacks(cloud: LocalCloud) -> list[Mapping[str, Any]]:
    return list(cloud.client("cloudformation").list_stacks()["StackSummaries"])
