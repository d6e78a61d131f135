"""One check, for our state machine and for one with a loop of its own."""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from license_conversion.crowd import Crowd
from license_conversion.task import ATTRIBUTES, ConversionTask

import check_task
from check_task import TaskCheck, handle, handler
from license_conversion import reason, wake
from license_conversion.errors import AccessDenied, CheckBroken, InvalidRequest, StillUnknown, TableUnavailable
from license_conversion.gate import Gate
from license_conversion.request import Account
from tests.simulation.memory_table import MemoryTable, away, nobody
from tests.unit.conftest import Said
from tests.unit.fake_license_manager import FakeLicenseManager
from tests.unit.network import Network

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
OF_STACKS_LINES = {
    "request_id": CONTEXT.aws_request_id,
    "execution": EXECUTION,
    "stack_id": "arn:stack",
    "logical_resource_id": "Gate",
}
THROTTLE = StillUnknown("License Manager answered RateLimitExceededException: slow down", throttled=True)


def task(status: str = "IN_PROGRESS", task_id: str = TASK_ID) -> ConversionTask:
    return ConversionTask({"LicenseConversionTaskId": task_id, "Status": status})


def checker(
    said: ConversionTask | Exception, *, after: float = 0, crowds: Callable[[Account], Crowd] = nobody
) -> tuple[TaskCheck, FakeLicenseManager]:
    license_manager, now = FakeLicenseManager(said), STARTED_AT + timedelta(seconds=after)
    gate = Gate(lambda _: license_manager, lambda: now, lambda: 0.0, crowds=crowds)
    return TaskCheck(gate, lambda: now), license_manager


def of_stack(
    said: ConversionTask | Exception,
    properties: Mapping[str, Any] = PROPERTIES,
    gate: Mapping[str, Any] | None = None,
    *,
    after: float = 0,
    crowds: Callable[[Account], Crowd] = nobody,
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
        "StartedAt": (STARTED_AT + timedelta(seconds=3)).isoformat(),
        "Execution": EXECUTION,
    }
    task_check, _ = checker(said, after=after, crowds=crowds)
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


def test_the_log_the_metrics_and_the_trace_say_what_a_check_saw(said: Callable[[], Said], steps: list[str]) -> None:
    of_stack(task(), after=61.26)

    printed = said()
    assert printed.metrics == {"GatesStarted": 1, "Checks": 1}
    assert set(printed.units.values()) == {"Count"}
    assert printed.lines == [
        {
            **OF_STACKS_LINES,
            "level": "INFO",
            "message": "The gate waits",
            "task_id": TASK_ID,
            "checks": 1,
            "status": "IN_PROGRESS",
            "waited_seconds": 61.3,
            "seconds_until_next_check": 10,
            "throttles": 0,
        }
    ]
    assert steps == ["## check"]


def test_a_check_without_a_verdict_says_why(said: Callable[[], Said]) -> None:
    of_stack(THROTTLE, gate={"Checks": 4})
    of_stack(task("CANCELLED"), gate={"Checks": 5})

    printed = said()
    assert printed.metrics == {"Checks": 2, "Throttles": 1, "UnknownStatuses": 1}
    throttled, unknown = printed.lines
    assert (throttled["level"], throttled["message"]) == ("WARNING", f"No verdict this time: {THROTTLE}")
    assert (throttled["throttles"], throttled["checks"], throttled["waited_seconds"]) == (1, 5, 0)
    assert (unknown["level"], unknown["status"]) == ("WARNING", "CANCELLED")


def test_the_log_and_the_metrics_say_how_a_gate_ended(said: Callable[[], Said]) -> None:
    failed = ConversionTask({**task("FAILED").shape, "EndTime": "2026-11-22T17:40:55Z"})
    of_stack(failed, gate={"Checks": 1}, after=61.25)

    printed = said()
    assert printed.metrics == {"Checks": 1, "GatesFailed": 1, "SecondsWaited": 61.25, "DetectionLag": 1.25}
    assert (printed.units["SecondsWaited"], printed.units["DetectionLag"]) == ("Seconds", "Seconds")
    (line,) = printed.lines
    why = line.pop("reason")
    assert TASK_ID in why
    assert f"execution {EXECUTION}" in why
    assert line == {
        **OF_STACKS_LINES,
        "level": "INFO",
        "message": "The gate ends: FAILED",
        "task_id": TASK_ID,
        "checks": 2,
        "status": "FAILED",
        "outcome": "FAILED",
        "waited_seconds": 61.2,
    }


def test_throttles_in_a_row_are_counted_from_check_to_check() -> None:
    """Of a fleet whose crowd's table is away: whoever else is throttled is woken by the crowd."""
    fleet = {"LicenseConversionTaskIds": [TASK_ID, "lct-2"]}
    heard = {"Heard": STARTED_AT.timestamp()}

    def away_(_: Account) -> Crowd:
        return Crowd(MemoryTable(called=away), lambda: None, lambda _: None, lambda: STARTED_AT.timestamp() + 3600)

    first = of_stack(THROTTLE, fleet, heard, after=3500, crowds=away_)
    second = of_stack(THROTTLE, fleet, first, after=3501, crowds=away_)

    assert (first["Throttles"], second["Throttles"]) == (1, 2)


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


@pytest.mark.parametrize(
    ("properties", "longer"), [({}, reason.LONGER), ({"WaitConditionHandle": HANDLE}, reason.LONGER_WITH_HANDLE)]
)
def test_a_wait_that_ran_out_says_how_it_could_have_been_longer(properties: dict[str, str], longer: str) -> None:
    waiter = "HANDLE" if properties else "STACK"
    after = of_stack(task(), {**PROPERTIES, **properties}, {"Waiter": waiter, "Checks": 1}, after=50_000)

    assert after["Outcome"] == "TIMED_OUT"
    assert longer in after["Answer"]["Reason"]


def test_a_stack_without_a_handle_is_not_answered_while_it_waits() -> None:
    assert "Answer" not in of_stack(task())


# A caller


@pytest.mark.parametrize(
    "given", [{"LicenseConversionTaskIdd": TASK_ID}, {}, [], None, "text", {"Stack": {}}], ids=repr
)
def test_an_input_that_is_refused_ends_the_gate_and_keeps_who_waits(given: Any, said: Callable[[], Said]) -> None:
    after = of_caller(task(), given)

    assert (after["Ended"], after["Outcome"], after["Error"]) == (True, "REFUSED", "LicenseConversion.InvalidRequest")
    assert after["Cause"]
    assert (after["Waiter"], after["AttemptSeconds"], after["Checks"]) == ("CALLER", 25, 1)
    printed = said()
    assert printed.metrics == {"GatesStarted": 1, "GatesRefused": 1, "SecondsWaited": 0}
    (line,) = printed.lines
    assert (line["execution"], line["outcome"], line["reason"]) == (EXECUTION, "REFUSED", after["Cause"])


def test_a_caller_with_a_loop_of_its_own_gets_the_task_and_when_to_ask_again(
    said: Callable[[], Said], steps: list[str]
) -> None:
    task_check, _ = checker(task())

    assert handle(task_check, {"LicenseConversionTaskId": TASK_ID}, CONTEXT) == {
        **task().shape,
        "SecondsUntilNextCheck": 5,
    }
    printed = said()
    assert printed.metrics == {"Checks": 1}
    assert printed.lines == [
        {
            "request_id": CONTEXT.aws_request_id,
            "level": "INFO",
            "message": "The gate waits",
            "task_id": TASK_ID,
            "status": "IN_PROGRESS",
            "waited_seconds": 0,
            "seconds_until_next_check": 5,
            "throttles": 0,
        }
    ]
    assert steps == ["## check"]


def test_a_caller_with_a_loop_of_its_own_can_ask_for_a_fleet() -> None:
    after = handle(checker(task())[0], {"LicenseConversionTaskIds": [TASK_ID, "lct-2"]}, CONTEXT)

    assert after is not None
    assert (after["Total"], after["Succeeded"], after["SecondsUntilNextCheck"]) == (2, 0, 5)


def test_a_task_that_has_ended_is_not_to_be_asked_for_again() -> None:
    assert handle(checker(task("FAILED"))[0], {"LicenseConversionTaskId": TASK_ID}, CONTEXT) == task("FAILED").shape


@pytest.mark.parametrize("error", [InvalidRequest("No.", grace=10), AccessDenied("No.", grace=30)])
def test_a_direct_call_hears_of_a_refusal_at_once_by_its_name(error: Exception, said: Callable[[], Said]) -> None:
    """Whoever asks by itself knows by itself how new its task and its role are."""
    with pytest.raises(type(error)) as raised:
        handle(checker(error)[0], {"LicenseConversionTaskId": TASK_ID}, CONTEXT)

    assert raised.value is error
    printed = said()
    assert printed.metrics == {"Checks": 1, "CallsRefused": 1}
    assert (printed.lines[-1]["level"], printed.lines[-1]["message"]) == ("INFO", "The caller is refused: No.")


def test_what_breaks_in_a_check_has_the_name_by_which_the_state_machine_knows_it(said: Callable[[], Said]) -> None:
    with pytest.raises(CheckBroken) as broken:
        of_stack(KeyError("what"), {**PROPERTIES})

    assert type(broken.value).__name__ == "LicenseConversion.CheckBroken"
    assert str(broken.value) == "KeyError: 'what'"
    printed = said()
    assert printed.metrics == {"GatesStarted": 1, "ChecksBroken": 1}
    assert printed.lines == [
        {**OF_STACKS_LINES, "level": "ERROR", "message": "The check broke", "exception_name": "KeyError", "checks": 1}
    ]


# The entry point

READER = {"RoleArn": "arn:aws:iam::210987654321:role/reader", "ExternalId": "an-id", "Region": "eu-central-1"}


@pytest.fixture
def cold_start(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("GATE_TABLE_NAME", "crowd")
    monkeypatch.setenv("GATE_WATCH_FUNCTION", "the-watch")
    monkeypatch.setenv("GATE_ROLE_ARN", "arn:aws:iam::123456789012:role/gate")
    for made_once in (check_task._task_check, wake._client):
        made_once.cache_clear()
    yield
    for made_once in (check_task._task_check, wake._client):
        made_once.cache_clear()


def takes_place(of_account: Mapping[str, str] = READER) -> dict[str, Any]:
    return {
        "Input": {"LicenseConversionTaskId": TASK_ID, **of_account},
        "Gate": {"Waiter": "CALLER", "Checks": 1, "AttemptSeconds": 25},
        "StartedAt": STARTED_AT.isoformat(),
        "Execution": EXECUTION,
        "Token": "the-token",
    }


@pytest.mark.usefixtures("cold_start")
def test_lambda_hands_over_what_a_caller_asks(network: Network) -> None:
    network.answers("GetLicenseConversionTask", task("SUCCEEDED").shape)

    assert handler({"LicenseConversionTaskId": TASK_ID}, CONTEXT) == task("SUCCEEDED").shape
    assert network.call("GetLicenseConversionTask").said == {"LicenseConversionTaskId": TASK_ID}


@pytest.mark.usefixtures("cold_start")
def test_a_denial_names_the_functions_own_role_and_region(network: Network) -> None:
    network.refuses("GetLicenseConversionTask", "AccessDeniedException")

    with pytest.raises(AccessDenied, match=r"arn:aws:iam::123456789012:role/gate"):
        handler({"LicenseConversionTaskId": TASK_ID}, CONTEXT)


@pytest.mark.usefixtures("cold_start")
def test_a_gate_that_takes_a_place_and_finds_nobody_at_watch_starts_the_watch_of_its_account(
    network: Network, said: Callable[[], Said]
) -> None:
    network.answers("UpdateItem", {"Attributes": {}})

    assert handler(takes_place(), CONTEXT) is None

    assert network.operations() == ["UpdateItem", "GetItem", "UpdateItem", "Invoke"]
    assert {call.said["TableName"] for call in network.calls[:3]} == {"crowd"}
    assert network.calls[0].said["Key"]["Place"] == {"S": "Gate-1"}
    assert network.calls[0].said["ExpressionAttributeValues"][":token"] == {"S": "the-token"}
    invoked = network.call("Invoke")
    assert invoked.url.endswith("/functions/the-watch/invocations")
    assert invoked.headers["X-Amz-Invocation-Type"] == "Event"
    assert invoked.said == READER
    assert said() == Said(
        [
            {
                "request_id": CONTEXT.aws_request_id,
                "execution": EXECUTION,
                "level": "INFO",
                "message": "The gate starts a watch",
            }
        ]
    )


@pytest.mark.usefixtures("cold_start")
def test_the_crowd_of_one_account_is_not_that_of_another(network: Network) -> None:
    network.answers("UpdateItem", {"Attributes": {}})

    for of_account in (READER, READER, {**READER, "ExternalId": "another"}):
        handler(takes_place(of_account), CONTEXT)

    places = [call.said["Key"]["Crowd"]["S"] for call in network.calls if "Since" in str(call.said)]
    assert places[0] == places[1] != places[2]


@pytest.mark.usefixtures("cold_start")
def test_a_watch_that_cannot_be_started_is_tried_twice_and_leaves_the_gate_its_place(
    network: Network, said: Callable[[], Said]
) -> None:
    network.answers("UpdateItem", {"Attributes": {}})
    network.answers("Invoke", {"Message": "sorry"}, status=500)

    assert handler(takes_place(), CONTEXT) is None

    assert network.operations().count("Invoke") == 2
    (line,) = said().lines
    assert line["level"] == "WARNING"
    assert line["message"].startswith("The watch could not be started: ")
    assert "reached max retries: 1" in line["message"]


@pytest.mark.usefixtures("cold_start")
def test_a_gate_at_whose_place_there_is_a_word_is_woken_at_once(network: Network) -> None:
    network.refuses("UpdateItem", "ConditionalCheckFailedException")

    handler(takes_place(), CONTEXT)

    assert network.call("SendTaskSuccess").said == {"taskToken": "the-token", "output": "{}"}


@pytest.mark.usefixtures("cold_start")
def test_a_gate_without_a_place_is_counted_and_fails_so_that_the_state_machine_asks_by_itself(
    network: Network, said: Callable[[], Said]
) -> None:
    network.refuses("UpdateItem", "ResourceNotFoundException", "no such table")

    with pytest.raises(TableUnavailable) as away:
        handler(takes_place(), CONTEXT)

    printed = said()
    assert printed.metrics == {"TableFailures": 1}
    assert printed.lines == [
        {
            "request_id": CONTEXT.aws_request_id,
            "execution": EXECUTION,
            "level": "WARNING",
            "message": f"The gate has no place in the crowd: {away.value}",
        }
    ]
    assert "the-token" not in str(printed.lines)
