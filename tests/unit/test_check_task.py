"""One check, for our state machine and for one with a loop of its own: what it gets, and what an operator sees of it."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from check_task import handle, handler
from license_conversion.conversion import ATTRIBUTES, ConversionTask, utc_now
from license_conversion.errors import AccessDenied, GateError
from tests.unit.conftest import Said
from tests.unit.network import Network
from tests.unit.one_gate import (
    CONTEXT,
    EXECUTION,
    HANDLE,
    INSTANCE,
    NEW_ID,
    NEW_ROLE,
    SETTINGS,
    TASK,
    TASK_ID,
    THROTTLE,
    WRONG,
    OneGate,
    first_check,
)

pytestmark = pytest.mark.usefixtures("cold_start")

RUNNING = {**TASK, "Status": "IN_PROGRESS"}
TIMES = {"GiveUpAt": "2026-11-22T18:39:07Z", "AttemptSeconds": 25, "PauseSeconds": 15}
UNTIL_SIGNALLED = "2026-11-23T05:36:33Z"


# What the state machine keeps


def test_a_gate_that_waits_keeps_what_the_state_machine_and_the_next_check_need() -> None:
    assert OneGate(TASK).check() == {
        **TIMES,
        "Waiter": "STACK",
        "Ended": False,
        "NextCheckAt": "2026-11-22T17:41:55.000Z",
        "Registration": {"Account": {"S": "here"}, "Gate": {"S": "Gate-1"}},
        "Pending": TASK_ID,
        "Task": RUNNING,
    }
    late = OneGate(TASK)
    late.input["Stack"]["RequestedAt"] = "2026-11-22T17:38:55+00:00"
    assert late.check()["GiveUpAt"] == "2026-11-22T18:38:07Z", "a minute earlier: counted from the request"


def test_a_gate_that_ended_keeps_how_the_response_and_the_event() -> None:
    shape = {**TASK, "ResourceArn": INSTANCE, "Status": "FAILED", "StatusMessage": "größer als 1 TiB 😀"}
    state = OneGate(TASK).check(ConversionTask(shape))

    assert state.pop("Response")["PhysicalResourceId"] == TASK_ID
    assert state == {
        **TIMES,
        "Waiter": "STACK",
        "Ended": True,
        "Passed": False,
        "Output": {},
        "Error": "LicenseConversion.Failed",
        "Cause": json.dumps(shape, ensure_ascii=False),
        "Pending": "",
        "Task": shape,
        "Event": {
            "DetailType": "License Conversion Failed",
            "Detail": {**shape, "StackId": "arn:stack", "LogicalResourceId": "Gate"},
            "Resources": [INSTANCE],
        },
    }


@pytest.mark.parametrize("says", ["IN_PROGRESS", "FAILED", "SUCCEEDED", WRONG, THROTTLE], ids=str)
def test_no_state_holds_a_credential(says: Any) -> None:
    kept = json.dumps(OneGate({**TASK, **HANDLE}).check(says))

    assert "c0ffee" not in kept
    assert "facade" not in kept


# A stack with a handle


@pytest.mark.parametrize("named", [TASK, {"ResourceArn": INSTANCE}], ids=["a task", "a resource's newest"])
def test_a_stack_with_a_handle_gets_a_response_as_soon_as_a_check_has_named_the_task(named: dict[str, str]) -> None:
    state = OneGate({**named, **HANDLE}).check()

    data = {**dict.fromkeys(ATTRIBUTES, ""), **RUNNING}
    assert state["Response"] == {"Status": "SUCCESS", "Reason": "", "PhysicalResourceId": TASK_ID, "Data": data}
    assert state["GiveUpAt"] == UNTIL_SIGNALLED, "from here on the handle's time counts"


@pytest.mark.parametrize(
    ("properties", "waiter", "says", "give_up_at"),
    [
        ({**TASK, **HANDLE}, "HANDLE", "IN_PROGRESS", UNTIL_SIGNALLED),
        (TASK, "STACK", "IN_PROGRESS", TIMES["GiveUpAt"]),
        ({"ResourceArn": INSTANCE, **HANDLE}, "STACK", THROTTLE, TIMES["GiveUpAt"]),
    ],
    ids=["whose handle waits already", "without a handle", "that has no name yet"],
)
def test_a_gate_that_waits_keeps_no_other_response(
    properties: dict[str, str], waiter: str, says: Any, give_up_at: str
) -> None:
    """A check that breaks later would send it."""
    state = OneGate(properties, waiter=waiter).check(says)

    assert "Response" not in state
    assert state["GiveUpAt"] == give_up_at


# A request that cannot be read


@pytest.mark.parametrize(
    "given", [{"LicenseConversionTaskIdd": TASK_ID}, {}, [], None, "text", {"Stack": {}}], ids=repr
)
def test_an_input_that_is_refused_ends_the_gate_and_says_why(given: Any, said: Callable[[], Said]) -> None:
    gate = OneGate()
    gate.input = given

    state = gate.check()

    cause, printed = state["Cause"], said()
    assert (state["Ended"], state["Passed"], state["Error"]) == (True, False, "LicenseConversion.InvalidRequest")
    assert state["Response"] == {"Status": "FAILED", "Reason": cause, "PhysicalResourceId": "", "Data": {}}
    assert "Event" not in state
    assert printed.metrics == {"GatesStarted": 1, "GatesRefused": 1, "SecondsWaited": 0}
    (line,) = printed.lines
    assert (line["execution"], line["outcome"], line["reason"]) == (EXECUTION, "REFUSED", cause)
    assert cause


# A caller with a loop of its own


def test_a_caller_with_a_loop_of_its_own_gets_the_task_and_when_to_check_again(said: Callable[[], Said]) -> None:
    gate = OneGate()

    assert handle(gate.task_check, TASK, CONTEXT) == {**RUNNING, "SecondsUntilNextCheck": 10}
    assert gate.touched == [], "nothing could wake it"
    assert said().metrics == {"Checks": 1}
    assert handle(gate.task_check, {"LicenseConversionTaskIds": ["lct-1", "lct-2"]}, CONTEXT)["Total"] == 2

    gate.license_manager.says = "FAILED"
    assert handle(gate.task_check, TASK, CONTEXT) == {**TASK, "Status": "FAILED"}


@pytest.mark.parametrize("error", [NEW_ID, NEW_ROLE, WRONG], ids=str)
def test_a_caller_with_a_loop_of_its_own_gets_a_refusal_at_once_by_its_name(
    error: GateError, said: Callable[[], Said]
) -> None:
    """It knows by itself how new its task and its role are."""
    gate = OneGate()
    gate.license_manager.says = error

    with pytest.raises(type(error)) as raised:
        handle(gate.task_check, TASK, CONTEXT)

    assert raised.value is error
    assert type(error).__name__ == error.name, "what Lambda reports as errorType"
    assert said().metrics == {"ChecksRefused": 1}


# What an operator sees


def test_the_log_and_the_metrics_say_what_each_check_saw(said: Callable[[], Said]) -> None:
    gate = OneGate(TASK)
    gate.check(at=61.26)
    gate.check(THROTTLE)
    gate.check("CANCELLED")

    printed = said()
    assert printed.metrics == {"GatesStarted": 1, "Checks": 3, "Throttles": 1, "UnknownStatuses": 1}
    waits, throttled, unknown = printed.lines
    assert waits == {
        "level": "INFO",
        "message": "The gate waits",
        "request_id": CONTEXT.aws_request_id,
        "execution": EXECUTION,
        "stack_id": "arn:stack",
        "logical_resource_id": "Gate",
        "task_id": TASK_ID,
        "status": "IN_PROGRESS",
        "waited_seconds": 61.3,
        "seconds_until_next_check": 120,
    }
    assert str(THROTTLE) in throttled["message"]
    assert (unknown["level"], unknown["status"]) == ("WARNING", "CANCELLED")

    of_a_resource = OneGate({"ResourceArn": INSTANCE})
    of_a_resource.check(THROTTLE)
    of_a_resource.check("CANCELLED")
    assert said().metrics == {"GatesStarted": 1, "Checks": 2, "Throttles": 1, "UnknownStatuses": 1}


def test_a_gate_that_is_refused_again_and_again_is_counted_once_as_started(said: Callable[[], Said]) -> None:
    OneGate().insists(NEW_ROLE)

    assert said().metrics == {"GatesStarted": 1, "GatesRefused": 1, "SecondsWaited": 0, "Checks": 1, "ChecksRefused": 6}


@pytest.mark.parametrize(
    ("status", "wants", "counted"),
    [
        ("SUCCEEDED", {}, "GatesSucceeded"),
        ("FAILED", {}, "GatesFailed"),
        ("FAILED", {"OnFailure": "CONTINUE"}, "GatesFailed"),
    ],
    ids=["success", "failure", "a failure that is none to the stack"],
)
def test_the_log_the_metrics_and_the_event_say_how_a_gate_ended(
    status: str, wants: dict[str, str], counted: str, said: Callable[[], Said]
) -> None:
    gate = OneGate({**TASK, **wants})
    gate.check()
    said()

    state = gate.check(ConversionTask({**TASK, "Status": status, "EndTime": "2026-11-22T17:40:55Z"}), at=61.25)

    printed = said()
    assert printed.metrics == {"Checks": 1, counted: 1, "SecondsWaited": 61.25, "DetectionLag": 1.25}
    assert (printed.units["SecondsWaited"], printed.units["DetectionLag"]) == ("Seconds", "Seconds")
    (line,) = printed.lines
    assert (line["message"], line["outcome"], line["status"]) == (f"The gate ends: {status}", status, status)
    assert (line["waited_seconds"], line.get("reason", "")) == (61.2, state["Response"]["Reason"])
    assert state["Event"]["DetailType"] == f"License Conversion {status.title()}"


# The entry point

READER = {"RoleArn": "arn:aws:iam::210987654321:role/reader", "ExternalId": "an-id", "Region": "eu-central-1"}
ENDED = {**TASK, "Status": "SUCCEEDED"}


def test_a_denial_names_the_functions_own_role(network: Network) -> None:
    network.refuses("GetLicenseConversionTask", "AccessDeniedException")

    with pytest.raises(AccessDenied, match=SETTINGS.role_arn):
        handler(TASK, CONTEXT)


def test_a_first_check_that_leaves_the_gate_waiting_starts_the_poller_of_its_account(
    network: Network, said: Callable[[], Said]
) -> None:
    network.answers("GetLicenseConversionTask", RUNNING)
    network.answers("UpdateItem", {"Attributes": {}})

    state = handler(first_check(utc_now(), **READER), CONTEXT)

    assert network.operations() == ["AssumeRole", "GetLicenseConversionTask", "UpdateItem", "Invoke"]
    assert network.call("UpdateItem").said["TableName"] == SETTINGS.table_name
    invoked = network.call("Invoke")
    assert invoked.url.endswith(f"/functions/{SETTINGS.poll_function}/invocations")
    owner = invoked.said["Owner"]
    assert invoked.said == {**READER, "Owner": owner}
    assert network.call("UpdateItem").said["ExpressionAttributeValues"][":owner"] == {"S": owner}
    assert state["Registration"]["Gate"] == {"S": "Gate-1"}
    assert [line["message"] for line in said().lines] == ["The gate starts a poller", "The gate waits"]


def test_a_warm_function_keeps_the_clients_of_twenty_of_thirty_accounts(network: Network) -> None:
    network.answers("GetLicenseConversionTask", ENDED)
    thirty = [f"arn:aws:iam::{number:012}:role/reader" for number in range(30)]

    for role in [*thirty, thirty[-1], thirty[0]]:
        assert handler({**TASK, "RoleArn": role}, CONTEXT) == ENDED

    assumed = [call.said["RoleArn"] for call in network.calls if call.operation == "AssumeRole"]
    assert assumed == [*thirty, thirty[0]]
