"""One check, for our state machine and for one with a loop of its own."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from check_task import TaskCheck, handle
from license_conversion.errors import AccessDenied, CheckBroken, InvalidRequest, StillUnknown
from license_conversion.gate import Gate
from license_conversion.shared import SharedLicenseManager
from license_conversion.task import ATTRIBUTES, ConversionTask
from tests.memory_table import nobody

TASK_ID = "lct-0123456789abcdef0"
INSTANCE = "arn:aws:ec2:us-east-1:123456789012:instance/i-0123456789abcdef0"
STARTED_AT = datetime(2026, 11, 22, 17, 39, 55, tzinfo=UTC)
EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:gate:Gate-1"
HANDLE = "https://handles.s3.amazonaws.com/key?Signature=facade"
PROPERTIES = {
    "ServiceToken": "arn:aws:lambda:us-east-1:123456789012:function:gate",
    "LicenseConversionTaskId": TASK_ID,
}
NEWEST = {"ServiceToken": PROPERTIES["ServiceToken"], "ResourceArn": INSTANCE}
CONTEXT = SimpleNamespace(aws_request_id="11111111-2222-4333-8444-555555555555")
THROTTLE = StillUnknown("License Manager answered RateLimitExceededException: slow down", throttled=True)


class FakeLicenseManager(SharedLicenseManager):
    """Says the same to whoever asks; an exception is raised. `asked` are the ids and ARNs that it was asked for."""

    def __init__(self, said: ConversionTask | Exception) -> None:
        self.said = said
        self.asked: list[str] = []

    def get_task(self, task_id: str) -> ConversionTask:
        self.asked.append(task_id)
        if isinstance(self.said, Exception):
            raise self.said
        return self.said

    def newest_task(self, resource_arn: str) -> ConversionTask:
        return self.get_task(resource_arn)


def task(status: str = "IN_PROGRESS", task_id: str = TASK_ID) -> ConversionTask:
    return ConversionTask({"LicenseConversionTaskId": task_id, "Status": status})


def checker(said: ConversionTask | Exception, *, after: float = 0) -> tuple[TaskCheck, FakeLicenseManager]:
    license_manager, now = FakeLicenseManager(said), STARTED_AT + timedelta(seconds=after)
    gate = Gate(lambda _: license_manager, lambda: now, lambda: 0.0, crowds=nobody)
    return TaskCheck(gate, lambda: now), license_manager


def of_stack(
    said: ConversionTask | Exception,
    properties: Mapping[str, Any] = PROPERTIES,
    gate: Mapping[str, Any] | None = None,
    *,
    after: float = 0,
) -> dict[str, Any]:
    """What a stack's gate keeps after one check; `gate` is what it kept before."""
    stack_event = {
        "RequestType": "Create",
        "StackId": "arn:stack",
        "RequestId": "1",
        "LogicalResourceId": "Gate",
        "ResponseURL": "https://bucket/key?X-Amz-Signature=c0ffee",
        "ResourceProperties": properties,
    }
    requested_at = "2026-11-22T17:39:55Z"
    event = {
        "Input": {"Stack": {"Event": stack_event, "RequestedAt": requested_at, "PhysicalResourceId": ""}, "Gate": {}},
        "Gate": {
            "Waiter": "STACK",
            "Checks": 0,
            "AttemptSeconds": 25,
            "PauseSeconds": 10,
            "GiveUpAt": "",
            **(gate or {}),
        },
        "StartedAt": STARTED_AT.isoformat(),
        "Execution": EXECUTION,
    }
    task_check, _ = checker(said, after=after)
    after_: dict[str, Any] = json.loads(json.dumps(handle(task_check, json.loads(json.dumps(event)), CONTEXT)))
    return after_


def of_caller(said: ConversionTask | Exception, execution_input: Any) -> dict[str, Any]:
    event = {
        "Input": execution_input,
        "Gate": {"Waiter": "CALLER", "Checks": 0, "AttemptSeconds": 25},
        "StartedAt": STARTED_AT.isoformat(),
        "Execution": EXECUTION,
    }
    after = handle(checker(said)[0], event, CONTEXT)
    assert after is not None
    return after


# A stack


def test_a_gate_that_waits_keeps_who_waits_what_was_seen_and_by_when_it_has_to_be_told() -> None:
    assert of_stack(task()) == {
        "Waiter": "STACK",
        "Checks": 1,
        "GiveUpAt": "2026-11-22T18:39:12Z",
        "AttemptSeconds": 25,
        "PauseSeconds": 10,
        "Ended": False,
        "SecondsUntilNextCheck": 5,
        "Throttles": 0,
        "Task": task().shape,
    }


def test_a_gate_that_ended_keeps_the_answer_and_the_announcement() -> None:
    after = of_stack(task("SUCCEEDED"))

    assert (after["Ended"], after["Passed"], after["Outcome"]) == (True, True, "SUCCEEDED")
    assert after["Answer"]["PhysicalResourceId"] == TASK_ID
    assert after["Announcement"]["Detail"]["StackId"] == "arn:stack"
    assert after["Waiter"] == "STACK"
    assert after["AttemptSeconds"] == 25


def test_a_check_knows_of_the_last_one_what_it_saw_and_what_it_was_refused() -> None:
    first = of_stack(AccessDenied("It is denied.", grace=30), after=10)
    throttled = of_stack(THROTTLE, gate=first, after=20)
    last = of_stack(AccessDenied("It is denied.", grace=30), gate=throttled, after=40)

    assert first["Refusal"] == throttled["Refusal"]
    assert (throttled["Throttles"], throttled["Checks"]) == (1, 2)
    assert (last["Ended"], last["Outcome"], last["Error"]) == (True, "REFUSED", "LicenseConversion.AccessDenied")
    assert "Announcement" not in last


def test_no_state_holds_a_credential() -> None:
    with_handle = {**PROPERTIES, "WaitConditionHandle": HANDLE}

    for said in (task(), task("FAILED"), InvalidRequest("No."), THROTTLE):
        kept = json.dumps(of_stack(said, with_handle))
        assert "c0ffee" not in kept
        assert "facade" not in kept


# A stack with a handle


@pytest.mark.parametrize("properties", [PROPERTIES, NEWEST], ids=["a task", "a resource's newest"])
def test_a_stack_with_a_handle_is_answered_as_soon_as_a_check_has_named_the_task(properties: dict[str, str]) -> None:
    after = of_stack(task(), {**properties, "WaitConditionHandle": HANDLE})

    assert after["Answer"] == {
        "Status": "SUCCESS",
        "Reason": "",
        "PhysicalResourceId": TASK_ID,
        "Data": {**dict.fromkeys(ATTRIBUTES, ""), "LicenseConversionTaskId": TASK_ID, "Status": "IN_PROGRESS"},
    }
    assert after["Waiter"] == "STACK", "the state machine says when it is another's turn"
    assert after["GiveUpAt"] == "2026-11-23T05:36:36Z", "from here on the handle's time counts"


def test_a_handle_that_waits_already_is_not_answered_for_again() -> None:
    after = of_stack(task(), {**PROPERTIES, "WaitConditionHandle": HANDLE}, {"Waiter": "HANDLE", "Checks": 1})

    assert "Answer" not in after
    assert after["Waiter"] == "HANDLE"


@pytest.mark.parametrize(
    "said", [THROTTLE, InvalidRequest("Not known.", grace=10)], ids=["a throttle", "too new, perhaps"]
)
def test_a_resource_that_has_no_name_yet_is_not_answered_for_and_keeps_the_requests_own_time(said: Exception) -> None:
    after = of_stack(said, {**NEWEST, "WaitConditionHandle": HANDLE})

    assert "Answer" not in after
    assert after["GiveUpAt"] == "2026-11-22T18:39:12Z"


def test_a_task_that_is_refused_but_may_be_too_new_is_not_answered_for_at_once() -> None:
    """A stack that has heard SUCCESS would wait twelve hours for a task that there is not."""
    after = of_stack(InvalidRequest("Not known.", grace=10), {**PROPERTIES, "WaitConditionHandle": HANDLE})

    assert "Answer" not in after
    assert after["Ended"] is False


def test_a_stack_without_a_handle_is_not_answered_while_it_waits() -> None:
    assert "Answer" not in of_stack(task())


# A caller


@pytest.mark.parametrize(
    "given", [{"LicenseConversionTaskIdd": TASK_ID}, {}, [], None, "text", {"Stack": {}}], ids=repr
)
def test_an_input_that_is_refused_ends_the_gate_and_keeps_who_waits(given: Any) -> None:
    after = of_caller(task(), given)

    assert (after["Ended"], after["Outcome"], after["Error"]) == (True, "REFUSED", "LicenseConversion.InvalidRequest")
    assert after["Cause"]
    assert (after["Waiter"], after["AttemptSeconds"], after["Checks"]) == ("CALLER", 25, 1)


def test_a_caller_with_a_loop_of_its_own_gets_the_task_and_when_to_ask_again() -> None:
    task_check, _ = checker(task())

    assert handle(task_check, {"LicenseConversionTaskId": TASK_ID}, CONTEXT) == {
        **task().shape,
        "SecondsUntilNextCheck": 5,
    }


def test_a_task_that_has_ended_is_not_to_be_asked_for_again() -> None:
    assert handle(checker(task("FAILED"))[0], {"LicenseConversionTaskId": TASK_ID}, CONTEXT) == task("FAILED").shape


@pytest.mark.parametrize("error", [InvalidRequest("No.", grace=10), AccessDenied("No.", grace=30)])
def test_a_direct_call_hears_of_a_refusal_at_once_by_its_name(error: Exception, lines: Callable[[], str]) -> None:
    """Whoever asks by itself knows by itself how new its task and its role are."""
    with pytest.raises(type(error)) as raised:
        handle(checker(error)[0], {"LicenseConversionTaskId": TASK_ID}, CONTEXT)

    assert raised.value is error
    assert "CallsRefused" in lines()


def test_what_breaks_in_a_check_has_the_name_by_which_the_state_machine_knows_it(lines: Callable[[], str]) -> None:
    with pytest.raises(CheckBroken) as broken:
        of_stack(KeyError("what"), {**PROPERTIES})

    assert type(broken.value).__name__ == "LicenseConversion.CheckBroken"
    assert "KeyError: 'what'" in str(broken.value)
    assert "The check broke" in lines()
