"""What stacks see when the application is updated, or deleted, while they wait at it.

The application stands here a second time, under a name of its own: the other tests go on with theirs.
"""

import io
import json
import re
import zipfile
from dataclasses import dataclass

import pytest

from scripts import waiting
from tests.end_to_end.application import EXAMPLES, NAME, Application, end_of, history_of
from tests.end_to_end.test_safety_net import StackThatWaits
from tests.eventually import eventually
from tests.local_cloud.cloud import LocalCloud
from tests.local_cloud.stacks import ARTIFACTS, Stack

UPGRADED = "upgraded"
FOREVER = float("inf")
NEXT, OLDER = "the next release", "an older definition"
NEXT_CHECK = f"""
import check_task_before

def handler(event, context):
    release = event.pop("Release", {OLDER!r})
    kept = event["Gate"].pop("Seen", [])
    state = check_task_before.handler(event, context)
    return {{**state, "Seen": [*kept, release]}} if state else state
"""
DELETED = "The license conversion gate was deleted while it waited for task"
STACK_GATE = (EXAMPLES / "stack-gate.yaml").read_text().replace(f"{NAME}-ServiceToken", f"{UPGRADED}-ServiceToken")


@dataclass
class Second:
    """The second application, and the stacks that wait at it."""

    cloud: LocalCloud
    template: str

    @property
    def stack(self) -> Stack:
        return self.cloud.stacks.describe(UPGRADED)

    def gate(self, name: str, task_id: str) -> Stack:
        """A stack that waits. When this returns, its first check and the poller have asked for the task."""
        stack = self.cloud.stacks.create(name, STACK_GATE, {"LicenseConversionTaskId": task_id}, wait=False)
        eventually(lambda: len(self.cloud.license_manager.calls_for(task_id)) > 1)
        return stack

    def waiting(self) -> list[str]:
        return waiting.executions(UPGRADED, self.cloud.client)

    def finish(self, stack: Stack, task_id: str) -> Stack:
        """The stack that waits for this task, once the task has ended."""
        self.cloud.license_manager.finish_task(task_id)
        return self.cloud.stacks.wait_for(stack.id)

    def code(self) -> str:
        found = self.cloud.client("lambda").get_function(FunctionName=self.stack.outputs["ServiceToken"])
        return str(found["Configuration"]["CodeSha256"])

    def next_release(self) -> str:
        """The template with code and a definition of another shape: the definition says more, and the check keeps more."""
        s3 = self.cloud.client("s3")
        template = self.template
        code, definition = (
            re.findall(pattern, template)[0] for pattern in (rf"CodeUri: s3://{ARTIFACTS}/(\w+)", r"Key: '?(\w+)")
        )
        packed, changed = io.BytesIO(s3.get_object(Bucket=ARTIFACTS, Key=code)["Body"].read()), io.BytesIO()
        with zipfile.ZipFile(packed) as before, zipfile.ZipFile(changed, "w") as archive:
            for name in before.namelist():
                archive.writestr(name.replace("check_task.py", "check_task_before.py"), before.read(name))
            archive.writestr("check_task.py", NEXT_CHECK)
        s3.put_object(Bucket=ARTIFACTS, Key="next-code", Body=changed.getvalue())
        states = json.loads(s3.get_object(Bucket=ARTIFACTS, Key=definition)["Body"].read())
        states["States"]["Check Task"]["Arguments"]["Payload"]["Release"] = NEXT
        s3.put_object(Bucket=ARTIFACTS, Key="next-states", Body=json.dumps(states))
        return template.replace(code, "next-code").replace(definition, "next-states")

    def seen(self, execution: str) -> list[str]:
        """What the checks of an execution have kept of the releases whose definition asked them, the newest last."""
        machine = self.stack.outputs["StateMachineArn"].replace(":stateMachine:", ":execution:")
        left = (one.get("stateExitedEventDetails", {}) for one in history_of(self.cloud, f"{machine}:{execution}"))
        assigned = [one.get("assignedVariables", {}) for one in left]
        gates = [json.loads(variables["gate"]) for variables in assigned if "gate" in variables]
        return [release for gate in gates for release in gate.get("Seen", [])]


@pytest.fixture(scope="module")
def second(application: Application) -> Second:
    assert application.beside(UPGRADED).status == "CREATE_COMPLETE"
    return Second(application.cloud, application.template)


def test_a_gate_that_waits_gets_its_response_though_everything_is_updated_under_it(second: Second) -> None:
    """The newest check is asked by the older definition, with a state that an older check has kept."""
    task = second.cloud.license_manager.add_task(duration=FOREVER)
    stack = second.gate("waits-while-updated", task)
    (execution,) = second.waiting()
    code = second.code()

    updated = second.cloud.stacks.update(UPGRADED, second.next_release(), {"LogLevel": "DEBUG"})

    assert (updated.status, updated.failures) == ("UPDATE_COMPLETE", [])
    assert second.code() != code
    ended = second.finish(stack, task)
    assert set(second.seen(execution)) == {OLDER}
    assert (ended.status, ended.outputs["Status"]) == ("CREATE_COMPLETE", "SUCCEEDED")
    assert len(second.cloud.received(stack.id)) == 1
    secrets = [issued.signature for issued in second.cloud.requests(stack.id)]
    assert not [line for line in second.cloud.log_lines() if any(secret in line for secret in secrets)]


def test_a_gate_that_waits_gets_its_response_though_the_update_is_taken_back(second: Second) -> None:
    """The check of before is asked by the newer definition, which says more, with a state in which there is more."""
    task = second.cloud.license_manager.add_task(duration=FOREVER)
    stack = second.gate("waits-while-downgraded", task)
    (execution,) = second.waiting()
    eventually(lambda: second.seen(execution) == [NEXT])
    code = second.code()

    updated = second.cloud.stacks.update(UPGRADED, second.template)

    assert (updated.status, updated.failures) == ("UPDATE_COMPLETE", [])
    assert second.code() != code
    ended = second.finish(stack, task)
    assert (ended.status, ended.outputs["Status"]) == ("CREATE_COMPLETE", "SUCCEEDED")
    assert len(second.cloud.received(stack.id)) == 1


def test_a_deployment_whose_responder_cannot_run_is_rolled_back(second: Second) -> None:
    """The application's own resource asks it. CloudFormation waits a quarter of an hour for that on AWS."""
    broken = second.template.replace("respond.handler", "nowhere.handler").replace(
        "ServiceTimeout: 900", "ServiceTimeout: 5"
    )
    broken, count = re.subn(r"Release: '?0\.1\.0'?", "Release: 0.2.0", broken)
    assert count == 1

    updated = second.cloud.stacks.update(UPGRADED, broken)

    assert updated.status == "UPDATE_ROLLBACK_COMPLETE"
    assert [one for one in updated.failures if one.startswith("Responder: CloudFormation did not receive a response")]
    task = second.cloud.license_manager.add_task(duration=FOREVER)
    assert second.finish(second.gate("after-a-rollback", task), task).status == "CREATE_COMPLETE"


def test_the_deletion_of_the_application_responds_to_each_gate_that_waits(second: Second) -> None:
    """A stack, a wait condition and a task token, before anything else of the application goes: docs/upgrading.md."""
    before = second.cloud.stacks.create(
        "had-its-response", STACK_GATE, {"LicenseConversionTaskId": second.cloud.license_manager.add_task(duration=0)}
    )
    waiting = StackThatWaits(second.cloud, second.stack)
    executions = [waiting.of(who) for who in (waiting.stack.id, waiting.handle.id, "TaskToken")]

    deleted = second.cloud.stacks.delete(UPGRADED)

    assert (deleted.status, deleted.statuses("Responder")[-1]) == ("DELETE_COMPLETE", "DELETE_COMPLETE")
    stack, handle = (second.cloud.stacks.wait_for(one.id) for one in (waiting.stack, waiting.handle))
    assert [one for one in stack.failures if one.startswith("Gate: ") and DELETED in one]
    assert [one for one in handle.failures if one.startswith("Conversion1: ") and DELETED in one]
    assert stack.status == "ROLLBACK_COMPLETE", "its Delete still found the function"
    assert [answer["Status"] for answer in waiting.cloud.received(stack.id)] == ["FAILED", "SUCCESS"]
    caller = end_of(waiting.cloud, waiting.callers["waitForTaskToken"])
    assert (caller["error"], DELETED in caller["cause"]) == ("LicenseConversion.GateBroken", True)
    assert end_of(waiting.cloud, waiting.callers["sync:2"])["status"] == "FAILED"
    assert len(set(executions)) == 3
    denied = [one for one in second.cloud.verdicts() if "RespondRole" in one.owner and not one.allowed]
    assert [one.reason for one in denied] == []
    left = second.cloud.stacks.delete(before.id)
    assert left.status == "DELETE_FAILED"
    assert "Function not found" in left.failures[-1]
