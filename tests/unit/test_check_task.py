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
    BEGAN,
    CONTEXT,
    EXECUTION,
    INSTANCE,
    NEW_ID,
    NEW_ROLE,
    NOT_READ_YET,
    SETTINGS,
    TASK_ID,
    THROTTLE,
    WRONG,
    OneGate,
    first_check,
    fleet,
    ids,
)

HANDLE = {"WaitConditionHandle": "https://handles.s3.amazonaws.com/key?Signature=facade"}
TASK = {"LicenseConversionTaskId": TASK_ID}
RUNNING = {**TASK, "Status": "IN_PROGRESS"}
OF_STACKS_LINES = {
    "request_id": CONTEXT.aws_request_id,
    "execution": EXECUTION,
    "stack_id": "arn:stack",
    "logical_resource_id": "Gate",
}


# What the state machine keeps


def test_a_gate_that_waits_keeps_what_the_state_machine_and_the_next_check_need() -> None:
    assert OneGate(TASK).check() == {
        "Waiter": "STACK",
        "GiveUpAt": "2026-11-22T18:39:07Z",
        "AttemptSeconds": 25,
        "PauseSeconds": 15,
        "Ended": False,
        "NextCheckAt": "2026-11-22T17:41:55.000Z",
        "Registration": {"Account": {"S": "here"}, "Gate": {"S": "Gate-1"}},
        "Pending": TASK_ID,
        "Task": RUNNING,
    }


def test_a_fleet_that_waits_keeps_each_pending_id_once_and_its_failed_tasks() -> None:
    gate = fleet(3, OnFailure="CONTINUE")
    gate.license_manager.of[ids(3)[1]] = "FAILED"

    state = gate.check()

    assert (state["Pending"], state["FailedTasks"]) == (f"{ids(3)[0]} {ids(3)[2]}", {ids(3)[1]: ""})
    assert ids(3)[0] not in json.dumps({**state, "Pending": ""})


@pytest.mark.parametrize("says", ["SUCCEEDED", "FAILED"])
def test_a_gate_that_ended_keeps_how_the_response_and_the_event(says: str) -> None:
    state = OneGate(TASK).check(says)

    passes, shape = says == "SUCCEEDED", {**TASK, "Status": says}
    assert state.pop("Response")["PhysicalResourceId"] == TASK_ID
    assert state == {
        "Waiter": "STACK",
        "GiveUpAt": "2026-11-22T18:39:07Z",
        "AttemptSeconds": 25,
        "PauseSeconds": 15,
        "Ended": True,
        "Passed": passes,
        "Output": shape if passes else {},
        "Error": "" if passes else "LicenseConversion.Failed",
        "Cause": "" if passes else json.dumps(shape),
        "Pending": "",
        "Task": shape,
        "Event": {
            "DetailType": f"License Conversion {'Succeeded' if passes else 'Failed'}",
            "Detail": {**shape, "StackId": "arn:stack", "LogicalResourceId": "Gate"},
            "Resources": [],
        },
    }


@pytest.mark.parametrize(
    ("says", "on_failure", "after", "detail_type"),
    [
        pytest.param("SUCCEEDED", "FAIL", 0, "License Conversion Succeeded", id="succeeded"),
        pytest.param("FAILED", "FAIL", 0, "License Conversion Failed", id="failed"),
        pytest.param("FAILED", "CONTINUE", 0, "License Conversion Failed", id="failed, and went on"),
        pytest.param("IN_PROGRESS", "FAIL", 3600, "License Conversion Wait Timed Out", id="timed out"),
    ],
)
def test_a_callers_event_has_the_task_its_resource_and_no_stack(
    says: str, on_failure: str, after: float, detail_type: str
) -> None:
    shape = {**TASK, "Status": says, "ResourceArn": INSTANCE}

    event = OneGate(OnFailure=on_failure).check(ConversionTask(shape), at=after)["Event"]

    assert event == {"DetailType": detail_type, "Detail": shape, "Resources": [INSTANCE]}


def test_a_cause_has_the_characters_that_license_manager_wrote() -> None:
    shape = {**TASK, "Status": "FAILED", "StatusMessage": "größer als 1 TiB 😀"}

    assert "größer als 1 TiB 😀" in OneGate().check(ConversionTask(shape))["Cause"]


@pytest.mark.parametrize("says", ["IN_PROGRESS", "FAILED", "SUCCEEDED", WRONG, THROTTLE], ids=str)
def test_no_state_holds_a_credential(says: Any) -> None:
    kept = json.dumps(OneGate({**TASK, **HANDLE}).check(says))

    assert "c0ffee" not in kept
    assert "facade" not in kept


# A stack with a handle


@pytest.mark.parametrize("named", [TASK, {"ResourceArn": INSTANCE}], ids=["a task", "a resource's newest"])
def test_a_stack_with_a_handle_gets_a_response_as_soon_as_a_check_has_named_the_task(named: dict[str, str]) -> None:
    state = OneGate({**named, **HANDLE}).check()

    assert state["Response"] == {
        "Status": "SUCCESS",
        "Reason": "",
        "PhysicalResourceId": TASK_ID,
        "Data": {**dict.fromkeys(ATTRIBUTES, ""), **RUNNING},
    }
    assert state["Waiter"] == "STACK", "the state machine says when it is another's turn"
    assert state["GiveUpAt"] == "2026-11-23T05:36:33Z", "from here on the handle's time counts"


@pytest.mark.parametrize(
    ("properties", "waiter"),
    [({**TASK, **HANDLE}, "HANDLE"), (TASK, "STACK")],
    ids=["whose handle waits already", "without a handle"],
)
def test_no_response_is_kept_while_a_gate_waits(properties: dict[str, str], waiter: str) -> None:
    """A check that breaks later would send it."""
    assert "Response" not in OneGate(properties, waiter=waiter).check()


def test_a_resource_that_has_no_name_yet_keeps_the_requests_own_time_and_no_response() -> None:
    state = OneGate({"ResourceArn": INSTANCE, **HANDLE}).check(THROTTLE)

    assert "Response" not in state
    assert state["GiveUpAt"] == "2026-11-22T18:39:07Z"


# A request that cannot be read


@pytest.mark.parametrize(
    "given", [{"LicenseConversionTaskIdd": TASK_ID}, {}, [], None, "text", {"Stack": {}}], ids=repr
)
def test_an_input_that_is_refused_ends_the_gate_and_keeps_who_waits(given: Any, said: Callable[[], Said]) -> None:
    gate = OneGate()
    gate.input = given

    state = gate.check()

    assert (state["Ended"], state["Passed"], state["Error"]) == (True, False, "LicenseConversion.InvalidRequest")
    assert state["Cause"] == state["Response"]["Reason"] != ""
    assert state["Response"]["PhysicalResourceId"] == ""
    assert {name: state[name] for name in ("Waiter", "AttemptSeconds", "PauseSeconds", "GiveUpAt")} == {
        "Waiter": "CALLER",
        **{name: NOT_READ_YET[name] for name in ("AttemptSeconds", "PauseSeconds", "GiveUpAt")},
    }
    assert "Event" not in state
    printed = said()
    assert printed.metrics == {"GatesStarted": 1, "GatesRefused": 1, "SecondsWaited": 0}


def test_the_log_says_why_an_input_is_refused(said: Callable[[], Said]) -> None:
    gate = OneGate()
    gate.input = {}

    cause = gate.check()["Cause"]

    (line,) = said().lines
    assert (line["execution"], line["outcome"], line["reason"]) == (EXECUTION, "REFUSED", cause)


# A caller with a loop of its own


def asked_directly(gate: OneGate, **event: Any) -> dict[str, Any]:
    return handle(gate.task_check, {**TASK, **event} if "LicenseConversionTaskIds" not in event else event, CONTEXT)


def test_a_caller_with_a_loop_of_its_own_gets_the_task_and_when_to_check_again(said: Callable[[], Said]) -> None:
    gate = OneGate()

    assert asked_directly(gate) == {**RUNNING, "SecondsUntilNextCheck": 10}
    assert gate.touched == [], "nothing could wake it"
    printed = said()
    assert printed.metrics == {"Checks": 1}
    assert [line["message"] for line in printed.lines] == ["The gate waits"]


def test_a_caller_with_a_loop_of_its_own_can_ask_for_a_fleet() -> None:
    state = asked_directly(fleet(2), LicenseConversionTaskIds=ids(2))

    assert (state["Total"], state["Succeeded"], state["SecondsUntilNextCheck"]) == (2, 0, 10)


def test_a_task_that_has_ended_is_not_to_be_asked_for_again() -> None:
    gate = OneGate()
    gate.license_manager.says = "FAILED"

    assert asked_directly(gate) == {**TASK, "Status": "FAILED"}


@pytest.mark.parametrize("error", [NEW_ID, NEW_ROLE, WRONG], ids=str)
def test_a_caller_with_a_loop_of_its_own_gets_a_refusal_at_once_by_its_name(
    error: GateError, said: Callable[[], Said]
) -> None:
    """It knows by itself how new its task and its role are."""
    gate = OneGate()
    gate.license_manager.says = error

    with pytest.raises(type(error)) as raised:
        asked_directly(gate)

    assert raised.value is error
    assert type(raised.value).__name__ == error.name
    printed = said()
    assert printed.metrics == {"ChecksRefused": 1}
    assert (printed.lines[-1]["level"], printed.lines[-1]["message"]) == ("INFO", f"The check is refused: {error}")


# What an operator sees


def test_the_log_and_the_metrics_say_what_a_check_saw(said: Callable[[], Said]) -> None:
    OneGate(TASK).check(at=61.26)

    printed = said()
    assert printed.metrics == {"GatesStarted": 1, "Checks": 1}
    assert set(printed.units.values()) == {"Count"}
    assert printed.lines == [
        {
            **OF_STACKS_LINES,
            "level": "INFO",
            "message": "The gate waits",
            "task_id": TASK_ID,
            "status": "IN_PROGRESS",
            "waited_seconds": 61.3,
            "seconds_until_next_check": 120,
        }
    ]


def test_a_gate_is_counted_once_as_started_though_its_first_check_is_refused_several_times(
    said: Callable[[], Said],
) -> None:
    gate = OneGate()
    for tries in range(3):
        with pytest.raises(AccessDenied):
            gate.check(NEW_ROLE, at=5 * tries, tries=tries, entered=BEGAN)
    gate.check("IN_PROGRESS", at=15, tries=3, entered=BEGAN)
    gate.check(at=135)

    assert said().metrics == {"GatesStarted": 1, "Checks": 2, "ChecksRefused": 3}


def test_a_check_without_an_outcome_says_why(said: Callable[[], Said]) -> None:
    gate = OneGate(TASK)
    gate.check()
    said()
    gate.check(THROTTLE)
    gate.check("CANCELLED")

    printed = said()
    assert printed.metrics == {"Checks": 2, "Throttles": 1, "UnknownStatuses": 1}
    throttled, unknown = printed.lines
    why = f"License Manager gave no outcome this time: {THROTTLE}"
    assert (throttled["level"], throttled["message"], throttled["waited_seconds"]) == ("WARNING", why, 0)
    assert (unknown["level"], unknown["status"]) == ("WARNING", "CANCELLED")


def test_the_log_and_the_metrics_say_how_a_gate_ended(said: Callable[[], Said]) -> None:
    gate = OneGate(TASK)
    gate.check()
    said()

    state = gate.check(ConversionTask({**TASK, "Status": "FAILED", "EndTime": "2026-11-22T17:40:55Z"}), at=61.25)

    printed = said()
    assert printed.metrics == {"Checks": 1, "GatesFailed": 1, "SecondsWaited": 61.25, "DetectionLag": 1.25}
    assert (printed.units["SecondsWaited"], printed.units["DetectionLag"]) == ("Seconds", "Seconds")
    assert printed.lines == [
        {
            **OF_STACKS_LINES,
            "level": "INFO",
            "message": "The gate ends: FAILED",
            "task_id": TASK_ID,
            "status": "FAILED",
            "outcome": "FAILED",
            "waited_seconds": 61.2,
            "reason": state["Response"]["Reason"],
        }
    ]


# The entry point

READER = {"RoleArn": "arn:aws:iam::210987654321:role/reader", "ExternalId": "an-id", "Region": "eu-central-1"}
ENDED = {**TASK, "Status": "SUCCEEDED"}


@pytest.mark.usefixtures("cold_start")
def test_lambda_hands_over_what_a_caller_asks(network: Network) -> None:
    network.answers("GetLicenseConversionTask", ENDED)

    assert handler(TASK, CONTEXT) == ENDED
    assert network.call("GetLicenseConversionTask").said == TASK


@pytest.mark.usefixtures("cold_start")
def test_a_denial_names_the_functions_own_role(network: Network) -> None:
    network.refuses("GetLicenseConversionTask", "AccessDeniedException")

    with pytest.raises(AccessDenied, match=SETTINGS.role_arn):
        handler(TASK, CONTEXT)


@pytest.mark.usefixtures("cold_start")
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


@pytest.mark.usefixtures("cold_start")
def test_the_registrations_of_one_account_are_not_those_of_another(network: Network) -> None:
    network.answers("GetLicenseConversionTask", RUNNING)

    one, same, other = (
        handler(first_check(utc_now(), **account), CONTEXT)["Registration"]
        for account in (READER, READER, {**READER, "ExternalId": "another"})
    )

    assert one == same != other


@pytest.mark.usefixtures("cold_start")
def test_a_warm_function_keeps_the_clients_of_twenty_of_thirty_accounts(network: Network) -> None:
    network.answers("GetLicenseConversionTask", ENDED)
    thirty = [f"arn:aws:iam::{number:012}:role/reader" for number in range(30)]

    for role in [*thirty, thirty[-1], thirty[0]]:
        handler({**TASK, "RoleArn": role}, CONTEXT)

    assumed = [call.said["RoleArn"] for call in network.calls if call.operation == "AssumeRole"]
    assert assumed == [*thirty, thirty[0]]
