"""An execution that ends in another way than by its last state: the responder responds to the recipient all the same.

LocalStack puts Step Functions' events on the default bus itself, and its rule engine matches the template's rule. Two
ways to such an end are tried, each for a stack, a wait condition and a task token: an operator stops the execution, and a
release whose definition asks for what is not there.
"""

import json
import re
from collections.abc import Iterator

import pytest

from tests.end_to_end.application import EXAMPLES, NAME, Application, end_of
from tests.eventually import eventually
from tests.local_cloud.cloud import LocalCloud
from tests.local_cloud.stacks import ARTIFACTS, Stack

STACK_GATE = (EXAMPLES / "stack-gate.yaml").read_text()
LONG = (EXAMPLES / "long-conversion.yaml").read_text()
MISTAKEN = "mistaken"
STOPPED = "The gate's execution was stopped by an operator"
FOREVER = float("inf")
CALLER_ROLE = "arn:aws:iam::000000000000:role/caller"


class StackThatWaits:
    """A stack, a wait condition, a task token's caller and a .sync caller wait at one application."""

    def __init__(self, cloud: LocalCloud, gate: Stack) -> None:
        self.cloud, self.gate = cloud, gate
        self._steps = cloud.client("stepfunctions")
        self._task = cloud.license_manager.add_task(duration=FOREVER)
        prefix = f"{gate.name}-"
        self.stack = self._stack(f"{prefix}stack", STACK_GATE)
        self.handle = self._stack(f"{prefix}handle", LONG, WaitConditionTimeout="250", TimeoutSeconds="200")
        self.callers = {
            pattern: self._call(prefix + name, pattern)
            for name, pattern in (("by-token", "waitForTaskToken"), ("by-sync", "sync:2"))
        }

    def _stack(self, name: str, template: str, **parameters: str) -> Stack:
        text = template.replace(f"{NAME}-ServiceToken", f"{self.gate.name}-ServiceToken")
        return self.cloud.stacks.create(name, text, {"LicenseConversionTaskId": self._task, **parameters}, wait=False)

    def _call(self, name: str, pattern: str) -> str:
        token = {"TaskToken.$": "$$.Task.Token"} if pattern == "waitForTaskToken" else {}
        state = {
            "Type": "Task",
            "Resource": f"arn:aws:states:::states:startExecution.{pattern}",
            "Parameters": {
                "StateMachineArn": self.gate.outputs["StateMachineArn"],
                "Input": {"LicenseConversionTaskId": self._task, **token},
            },
            "End": True,
        }
        definition = json.dumps({"StartAt": "Wait at Gate", "States": {"Wait at Gate": state}})
        machine = self._steps.create_state_machine(name=name, definition=definition, roleArn=CALLER_ROLE)
        return str(self._steps.start_execution(stateMachineArn=machine["stateMachineArn"])["executionArn"])

    def executions(self) -> list[str]:
        machine = self.gate.outputs["StateMachineArn"]
        return [
            one["executionArn"]
            for one in self._steps.list_executions(stateMachineArn=machine, statusFilter="RUNNING")["executions"]
        ]

    def of(self, text: str) -> str:
        """The running execution that has this in its input, once it has been checked and waits."""

        def found() -> str:
            for arn in self.executions():
                entered = self._steps.get_execution_history(executionArn=arn)["events"]
                if text in self._steps.describe_execution(executionArn=arn)["input"] and any(
                    one.get("stateEnteredEventDetails", {}).get("name") == "Wait for Result" for one in entered
                ):
                    return arn
            return ""

        return eventually(found)

    def stop_by_hand(self, arn: str) -> None:
        self._steps.stop_execution(executionArn=arn, error="Operator", cause="I wanted it to end.")

    def counted(self, metric: str) -> list[str]:
        return [line for line in self.cloud.log_lines() if f'"{metric}": 1' in line]


@pytest.fixture(scope="module")
def stopped(application: Application) -> StackThatWaits:
    """Each execution is stopped by hand, once it waits."""
    waiting = StackThatWaits(application.cloud, application.stack)
    for who in (waiting.stack.id, waiting.handle.id, "TaskToken"):
        waiting.stop_by_hand(waiting.of(who))
    return waiting


@pytest.fixture(scope="module")
def mistaken(application: Application) -> Iterator[StackThatWaits]:
    """A release whose executions end with States.QueryEvaluationError after the first check: no Choice catches that."""
    cloud = application.cloud
    (key,) = re.findall(r"Key: '?(\w+)", application.template)
    s3 = cloud.client("s3")
    definition = json.loads(s3.get_object(Bucket=ARTIFACTS, Key=key)["Body"].read())
    definition["States"]["Route"]["Choices"][-1]["Condition"] = "{% $gate.Registration.Nowhere %}"
    s3.put_object(Bucket=ARTIFACTS, Key="mistaken-states", Body=json.dumps(definition))
    gate = cloud.stacks.create(MISTAKEN, application.template.replace(key, "mistaken-states"))
    assert gate.status == "CREATE_COMPLETE"
    waiting = StackThatWaits(cloud, gate)
    yield waiting
    for stack in (waiting.stack, waiting.handle, gate):
        cloud.stacks.delete(stack.id)


def test_a_stack_whose_execution_is_stopped_by_hand_fails_at_once(stopped: StackThatWaits) -> None:
    stack = stopped.cloud.stacks.wait_for(stopped.stack.id)

    (reason,) = stack.failures
    for part in (STOPPED, "The conversion is not affected", "Operator: I wanted it to end."):
        assert part in reason, reason
    assert stack.status == "ROLLBACK_COMPLETE"
    assert [answer["Status"] for answer in stopped.cloud.received(stack.id)] == ["FAILED", "SUCCESS"]


def test_a_wait_condition_whose_execution_is_stopped_by_hand_fails_at_once(stopped: StackThatWaits) -> None:
    stack = stopped.cloud.stacks.wait_for(stopped.handle.id)

    assert [one for one in stack.failures if one.startswith("Conversion1: ") and STOPPED in one]
    assert stack.status == "ROLLBACK_COMPLETE"


def test_a_caller_whose_token_waits_is_called_back_where_its_execution_is_stopped_by_hand(
    stopped: StackThatWaits,
) -> None:
    caller = end_of(stopped.cloud, stopped.callers["waitForTaskToken"])

    assert (caller["status"], caller["error"]) == ("FAILED", "LicenseConversion.GateBroken")
    assert STOPPED in caller["cause"]


def test_a_stack_whose_execution_step_functions_ends_fails_at_once(mistaken: StackThatWaits) -> None:
    stack = mistaken.cloud.stacks.wait_for(mistaken.stack.id)

    (reason,) = stack.failures
    for part in ("The gate itself broke", "The conversion is not affected", "FAILED, States.QueryEvaluationError"):
        assert part in reason
    assert stack.status == "ROLLBACK_COMPLETE"
    assert [answer["Status"] for answer in mistaken.cloud.received(stack.id)] == ["FAILED", "SUCCESS"]


@pytest.mark.parametrize("pattern", ["waitForTaskToken", "sync:2"])
def test_a_caller_whose_execution_step_functions_ends_fails_at_once(mistaken: StackThatWaits, pattern: str) -> None:
    caller = end_of(mistaken.cloud, mistaken.callers[pattern])

    assert caller["status"] == "FAILED"
    assert "States.QueryEvaluationError" in caller["cause"]


def test_each_response_of_the_safety_net_is_counted_and_logged_without_a_credential(
    mistaken: StackThatWaits,
) -> None:
    for stack in (mistaken.stack, mistaken.handle):
        mistaken.cloud.stacks.wait_for(stack.id)

    eventually(lambda: len(mistaken.counted("ResponderRuns")) >= 3)
    assert len(mistaken.counted("GatesBroken")) >= 4, "of each recipient: a .sync caller's execution too"
    lines = mistaken.cloud.log_lines()
    assert [line for line in lines if "The STACK got its response" in line and mistaken.stack.id in line]
    assert not [line for line in lines if "Signature=" in line]
