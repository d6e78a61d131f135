"""Stacks get a response from a gate whose functions are broken, and no operator does anything.

Each broken function is the deployed one with its role, its environment and its destination, but with code that breaks; all
stacks of this module are created at once. On the local cloud Lambda tries again after a second, on AWS after a minute.
"""

import json
from typing import Any

import pytest

from tests.end_to_end.application import EXAMPLES, ROOT, Application, history_of, until_it_runs, zipped
from tests.eventually import eventually
from tests.local_cloud.stacks import Stack

STACK_GATE = (EXAMPLES / "stack-gate.yaml").read_text()
IMPORTED = "!ImportValue license-conversion-gate-ServiceToken"
FOREVER = float("inf")
LOG_GROUP = "log group /license-conversion-gate/license-conversion-gate"
SOON = "25"
"""ServiceTimeout: a check that fails is tried again until it would be too late to respond."""

KILLED = """
import os, signal

def handler(event, context):
    os.kill(os.getpid(), signal.SIGKILL)
"""
SLOW = """
import time

def handler(event, context):
    time.sleep(60)
"""
WORKS_ONCE = """
import check_task, os, signal

def handler(event, context):
    if "Pending" in event["Gate"]:
        os.kill(os.getpid(), signal.SIGKILL)
    return check_task.handler(event, context)
"""


class BrokenGate:
    """Makes broken copies of the deployed functions, and stacks that come to them."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self.cloud = application.cloud
        self._lambda = application.cloud.client("lambda")
        self._stacks: dict[str, Stack] = {}
        self.responder = ""
        """The ARN of a broken one."""

    def copy(
        self, logical_id: str, name: str, code: str = "", environment: Any = None, given_up: str = "", **changes: Any
    ) -> str:
        """The ARN of a function that is the deployed one but for `code`, put into a module that comes first, and `given_up`, the
        ARN of who gets the events that it fails.
        """
        deployed = self._lambda.get_function_configuration(FunctionName=self.application.function_arn(logical_id))
        copied = {
            **{key: deployed[key] for key in ("Runtime", "Role", "Handler", "Timeout", "MemorySize", "LoggingConfig")},
            "Layers": [layer["Arn"] for layer in deployed.get("Layers", [])],
            "Environment": {"Variables": {**deployed["Environment"]["Variables"], **(environment or {})}},
            **({"Handler": "broken.handler"} if code else {}),
            **changes,
        }
        arn = self._lambda.create_function(
            FunctionName=name, Code={"ZipFile": zipped(ROOT / "handlers", broken=code)}, **copied
        )["FunctionArn"]
        until_it_runs(self.cloud, name)
        if logical_id in ("CustomResourceFunction", "RespondFunction"):
            invoked = self._lambda.get_function_event_invoke_config(FunctionName=deployed["FunctionName"])
            kept = {k: invoked[k] for k in ("MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig")}
            if given_up:
                kept["DestinationConfig"] = {"OnFailure": {"Destination": given_up}}
                self.application.let("CustomResourceRole", "lambda:InvokeFunction", given_up)
            self._lambda.put_function_event_invoke_config(FunctionName=name, **kept)
        self.application.let("StateMachineRole", "lambda:InvokeFunction", arn)
        return str(arn)

    def with_broken(self, logical_id: str, name: str, code: str = "", **changes: Any) -> str:
        """The ARN of a working custom resource function whose executions come to a broken function."""
        broken = self.copy(logical_id, f"{name}-broken", code, **changes)
        step_functions = self.cloud.client("stepfunctions")
        machine = step_functions.describe_state_machine(stateMachineArn=self.application.state_machine_arn)
        own = step_functions.create_state_machine(
            name=name,
            definition=machine["definition"].replace(self.application.function_arn(logical_id), broken),
            roleArn=machine["roleArn"],
        )
        self.application.let("CustomResourceRole", "states:*", own["stateMachineArn"])
        self.application.let("CustomResourceRole", "states:*", f"arn:aws:states:*:*:execution:{name}:*")
        return self.copy("CustomResourceFunction", name, environment={"GATE_STATE_MACHINE_ARN": own["stateMachineArn"]})

    def mend(self, name: str, handler: str) -> None:
        """A release of the function that works."""
        self._lambda.update_function_configuration(FunctionName=name, Handler=handler)
        until_it_runs(self.cloud, name)

    def create(self, function_arn: str, task_id: str, **parameters: str) -> None:
        name = function_arn.rsplit(":", 1)[-1]
        self._stacks[name] = self.cloud.stacks.create(
            name,
            STACK_GATE.replace(IMPORTED, function_arn),
            {"LicenseConversionTaskId": task_id, **parameters},
            wait=False,
        )

    def failed_states(self, machine: str) -> int:
        """How often a function has failed the only execution of this state machine."""
        arn = self.application.state_machine_arn.rpartition(":")[0] + f":{machine}"
        executions = self.cloud.client("stepfunctions").list_executions(stateMachineArn=arn)["executions"]
        events = [event for one in executions for event in history_of(self.cloud, one["executionArn"])]
        return [event["type"] for event in events].count("TaskFailed")

    def ended(self, name: str) -> Stack:
        return self.cloud.stacks.wait_for(self._stacks[name].id)

    def answers(self, name: str) -> list[Any]:
        return [answer for answer in self.cloud.received(self._stacks[name].id) if "RequestId" in answer]


@pytest.fixture(scope="module")
def gate(application: Application) -> BrokenGate:
    add = application.cloud.license_manager.add_task
    gate = BrokenGate(application)
    function = "CustomResourceFunction"
    gate.create(gate.copy(function, "without-its-layer", Layers=[]), add(duration=FOREVER))
    gate.create(gate.copy(function, "too-slow", SLOW, Timeout=1), add(duration=FOREVER))
    gate.responder = gate.copy("RespondFunction", "responder-killed", KILLED)
    gate.create(gate.copy(function, "given-up-by-all", KILLED, given_up=gate.responder), add(duration=FOREVER))
    check = "CheckTaskFunction"
    gate.create(
        gate.with_broken(check, "check-without-its-layer", Layers=[]), add(duration=FOREVER), ServiceTimeout=SOON
    )
    gate.create(
        gate.with_broken(check, "check-killed-mid-wait", WORKS_ONCE), add(duration=FOREVER), ServiceTimeout=SOON
    )
    mended = gate.with_broken("RespondFunction", "mended", KILLED)
    gate.create(mended, add(duration=0))
    return gate


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("without-its-layer", "Runtime.ImportModuleError: Unable to import module 'custom_resource'"),
        ("too-slow", "Task timed out after 1.00 seconds"),
    ],
)
def test_the_responder_stands_in_for_a_function_that_fails(gate: BrokenGate, name: str, why: str) -> None:
    stack = gate.ended(name)

    (reason,) = stack.failures
    for part in ("The gate itself broke", "The conversion is not affected", LOG_GROUP, "RetriesExhausted", why):
        assert part in reason
    create, delete = gate.answers(name)
    assert (create["Status"], delete["Status"]) == ("FAILED", "SUCCESS")
    assert create["PhysicalResourceId"] == delete["PhysicalResourceId"]
    assert create["PhysicalResourceId"].startswith("lct-")
    assert stack.status == "ROLLBACK_COMPLETE"  # its Delete came to the same broken function


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("check-without-its-layer", "Unable to import module 'check_task'"),
        ("check-killed-mid-wait", "signal: killed"),
    ],
)
def test_a_check_that_fails_until_it_would_be_too_late_ends_the_gate(gate: BrokenGate, name: str, why: str) -> None:
    stack = gate.ended(name)

    (reason,) = stack.failures
    for part in ("The gate itself broke", "the conversion is not affected", "execution arn:aws:states:", why):
        assert part in reason
    assert [answer["Status"] for answer in gate.answers(name)] == ["FAILED", "SUCCESS"]
    assert stack.status == "ROLLBACK_COMPLETE"


def test_a_responder_that_fails_is_tried_until_a_release_mends_it(gate: BrokenGate) -> None:
    eventually(lambda: gate.failed_states("mended") > 1)

    gate.mend("mended-broken", "respond.handler")

    stack = gate.ended("mended")
    assert (stack.status, stack.outputs["Status"]) == ("CREATE_COMPLETE", "SUCCEEDED")
    assert [answer["Status"] for answer in gate.answers(stack.name)] == ["SUCCESS"]


def test_what_the_responder_cannot_handle_waits_in_the_dead_letter_queue_and_is_handled_by_hand(
    gate: BrokenGate,
) -> None:
    """As docs/operations.md says it: receive a message, give its event to the function again, delete the message."""
    sqs, lambda_ = gate.cloud.client("sqs"), gate.cloud.client("lambda")
    queue = gate.application.physical_id("DeadLetterQueue")
    for kind in ("Create", "Delete"):
        (message,) = eventually(lambda: sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1).get("Messages"))
        record = json.loads(message["Body"])
        assert record["requestContext"]["functionArn"].startswith(gate.responder)
        assert "signal: killed" in record["responsePayload"]["errorMessage"]
        event = record["requestPayload"]
        assert event["requestPayload"]["RequestType"] == kind
        said = lambda_.invoke(
            FunctionName=gate.application.function_arn("RespondFunction"), Payload=json.dumps(event).encode()
        )
        assert "FunctionError" not in said
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])

    stack = gate.ended("given-up-by-all")
    assert [answer["Status"] for answer in gate.answers(stack.name)] == ["FAILED", "SUCCESS"]
    assert stack.status == "ROLLBACK_COMPLETE"
    assert "The gate itself broke before it could wait" in stack.failures[0]
