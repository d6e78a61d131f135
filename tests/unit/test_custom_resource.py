"""CloudFormation's events: what begins a wait, what stops one, what is answered here, and by whom nobody is answered."""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from license_conversion.waits import Waits

import custom_resource
from custom_resource import StackGate, handle
from license_conversion.errors import AnswerNotDelivered
from tests.context import Context
from tests.unit.conftest import Said
from tests.unit.network import Network
from tests.unit.strategies import any_json, any_text

TASK_ID = "lct-0123456789abcdef0"
REQUESTED = datetime(2026, 11, 22, 17, 39, 55, tzinfo=UTC)
URL = "https://bucket.s3.amazonaws.com/{}?X-Amz-Date=20261122T173955Z&X-Amz-Signature=c0ffee"
PROPERTIES = {
    "ServiceToken": "arn:aws:lambda:us-east-1:123456789012:function:gate",
    "LicenseConversionTaskId": TASK_ID,
}
OF_EVERY_LINE = {
    "level": "INFO",
    "request_id": Context().aws_request_id,
    "stack_id": "arn:aws:cloudformation:us-east-1:123456789012:stack/gate/0f1e2d3c",
    "logical_resource_id": "Gate",
}


def event(request_type: str = "Create", request_id: str = "1", **members: Any) -> dict[str, Any]:
    return {
        "RequestType": request_type,
        "StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/gate/0f1e2d3c",
        "RequestId": request_id,
        "LogicalResourceId": "Gate",
        "ResponseURL": URL.format(request_id),
        "ResourceProperties": PROPERTIES,
        **({} if request_type == "Create" else {"PhysicalResourceId": TASK_ID}),
        **members,
    }


class FakeWaits(Waits):
    """Keeps what was to begin and to be stopped; `trouble` is what keeps a wait from beginning."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, dict[str, Any], float]] = []
        self.stopped: list[tuple[str, str, float]] = []
        self.trouble: Exception | None = None

    def begin(self, event: Mapping[str, Any], execution_input: Mapping[str, Any], seconds: float) -> None:
        if self.trouble:
            raise self.trouble
        self.begun.append((event["RequestId"], json.loads(json.dumps(execution_input)), seconds))

    def stop(self, event: Mapping[str, Any], requested_at: str, seconds: float) -> int:
        self.stopped.append((event["RequestId"], requested_at, seconds))
        return 2


@dataclass
class Door:
    """A warm function: what it has begun, and whom it has told what."""

    waits: FakeWaits = field(default_factory=FakeWaits)
    told: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    seconds: float = 0.0
    refuses: bool = False

    def __post_init__(self) -> None:
        self._stack_gate = StackGate(self.waits, lambda: REQUESTED + timedelta(seconds=2), self._deliver)

    def _deliver(self, url: str, body: bytes, seconds: float) -> int:
        if self.refuses:
            raise AnswerNotDelivered("1 attempts, the last one: HTTP status 503")
        self.told.append((url, json.loads(body)))
        self.seconds = seconds
        return 1

    def __call__(self, event_: Any) -> None:
        handle(self._stack_gate, event_, Context(seconds=60))

    def answer(self) -> dict[str, Any]:
        ((_, answer),) = self.told
        return answer


@pytest.fixture
def door() -> Door:
    return Door()


@pytest.fixture
def counted(said: Callable[[], Said]) -> Callable[[], Counter[str]]:
    return lambda: said().metrics


# A wait begins


@pytest.mark.parametrize("request_type", ["Create", "Update"])
def test_a_valid_request_begins_a_wait_that_answers_it_and_is_not_answered_here(door: Door, request_type: str) -> None:
    door(event(request_type, OldResourceProperties={"LicenseConversionTaskId": "lct-before"}))

    ((request_id, began, seconds),) = door.waits.begun
    assert request_id == "1"
    assert began == {
        "Stack": {"Event": event(request_type), "RequestedAt": "2026-11-22T17:39:55Z", "PhysicalResourceId": TASK_ID},
        "Gate": {
            "Waiter": "STACK",
            "Checks": 0,
            "GiveUpAt": "2026-11-22T18:39:12Z",
            "AttemptSeconds": 25,
            "PauseSeconds": 10,
        },
    }
    assert seconds > 50
    assert door.told == []


def test_until_the_stack_is_answered_a_wait_with_a_handle_has_no_more_time_than_the_request(door: Door) -> None:
    handle_ = "https://handles.s3.amazonaws.com/key?Signature=facade"
    door(event(ResourceProperties={**PROPERTIES, "WaitConditionHandle": handle_}))

    ((_, began, _),) = door.waits.begun
    assert began["Gate"]["GiveUpAt"] == "2026-11-22T18:39:12Z"


def test_an_update_takes_the_place_of_what_the_resource_waits_for_before_it_waits_itself(door: Door) -> None:
    door(event("Update"))

    ((_, requested_at, seconds),) = door.waits.stopped
    assert requested_at == "2026-11-22T17:39:55Z"
    assert seconds < 30, "half of the time is left to begin the wait"
    assert len(door.waits.begun) == 1


def test_the_log_and_the_trace_say_what_an_update_waits_for(
    door: Door, said: Callable[[], Said], steps: list[str]
) -> None:
    door(event("Update", PhysicalResourceId="lct-before"))

    printed = said()
    assert printed.lines == [
        {**OF_EVERY_LINE, "request_type": "Update", "task_id": TASK_ID, "message": "The wait answers"}
    ]
    assert printed.metrics == {"WaitsStopped": 2}
    assert steps == ["## stop waits", "## begin wait"]


def test_lambda_hands_over_cloudformations_event(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE_STATE_MACHINE_ARN", "arn:aws:states:us-east-1:123456789012:stateMachine:gate")
    network.answers("StartExecution", {"executionArn": "arn:execution", "startDate": 0})
    custom_resource._stack_gate.cache_clear()

    custom_resource.handler(event(), Context(seconds=60))

    assert network.operations() == ["StartExecution"]
    began = network.call("StartExecution").said
    assert began["stateMachineArn"] == "arn:aws:states:us-east-1:123456789012:stateMachine:gate"
    assert json.loads(began["input"])["Stack"]["Event"] == event()
    custom_resource._stack_gate.cache_clear()


def test_a_create_stops_nothing(door: Door) -> None:
    door(event())

    assert door.waits.stopped == []


def test_a_wait_that_cannot_be_begun_leaves_the_invocation_so_that_lambda_delivers_the_request_again(
    door: Door,
) -> None:
    door.waits.trouble = TimeoutError("The time for it is up")

    with pytest.raises(TimeoutError, match="The time for it is up"):
        door(event())

    assert door.told == [], "crhelper would have answered FAILED in its own words"


# What is refused


def test_refused_properties_are_answered_at_once_and_nothing_is_started_or_stopped(
    door: Door, said: Callable[[], Said]
) -> None:
    door(event("Update", ResourceProperties={**PROPERTIES, "OnFailure": "fail"}))

    ((url, answer),) = door.told
    assert (url, door.seconds) == (URL.format(1), 58.5)
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("FAILED", TASK_ID)
    assert answer["Reason"] == "OnFailure: 'fail' is not allowed: it must be FAIL or CONTINUE."
    assert (door.waits.begun, door.waits.stopped) == ([], [])
    printed = said()
    assert printed.metrics == {"GatesStarted": 1, "GatesRefused": 1}
    assert printed.lines == [
        {
            **OF_EVERY_LINE,
            "request_type": "Update",
            "task_id": TASK_ID,
            "message": "The gate ends: REFUSED",
            "outcome": "REFUSED",
            "reason": answer["Reason"],
        }
    ]


def test_every_delivery_of_a_refused_request_has_the_same_answer(door: Door) -> None:
    refused = event(ResourceProperties={})

    door(refused)
    door(refused)

    assert door.told[0] == door.told[1]
    assert door.told[0][1]["PhysicalResourceId"] == "license-conversion-gate-refused"


@pytest.mark.parametrize("request_type", ["Read", "create", "", None, 5, ["Create"], {}], ids=repr)
def test_an_unknown_request_type_is_refused_in_a_sentence_that_names_it_and_is_counted(
    door: Door, request_type: Any, counted: Callable[[], Counter[str]]
) -> None:
    door(event(RequestType=request_type))

    answer = door.answer()
    assert answer["Status"] == "FAILED"
    assert answer["Reason"] == (f"RequestType: {request_type!r} is not allowed: it must be Create, Update or Delete.")
    assert counted()["GatesRefused"] == 1


def test_an_event_without_a_request_type_is_refused_too(door: Door) -> None:
    without = event()
    del without["RequestType"]

    door(without)

    assert "RequestType: None is not allowed" in door.answer()["Reason"]


# A malformed event in a warm function

ADDRESS = ("ResponseURL", "StackId", "RequestId", "LogicalResourceId")
SAYS_NOT_WHOM: list[Any] = [
    {"key1": "value1"},
    {},
    [],
    None,
    "Create",
    5,
    *({name: value for name, value in event().items() if name != missing} for missing in ADDRESS),
    *({**event(), name: value} for name in ADDRESS for value in (None, 5, ["x"])),
]


@pytest.mark.parametrize("before", ["refused", "deleted", "waiting"])
@pytest.mark.parametrize("malformed", SAYS_NOT_WHOM, ids=repr)
def test_no_event_can_act_on_another_ones_request(
    door: Door, malformed: Any, before: str, counted: Callable[[], Counter[str]]
) -> None:
    """Whatever the warm function did before."""
    earlier = {
        "refused": event(request_id="earlier", ResourceProperties={}),
        "deleted": event("Delete", request_id="earlier"),
        "waiting": event(request_id="earlier"),
    }
    door(earlier[before])
    told, begun, stopped = list(door.told), list(door.waits.begun), list(door.waits.stopped)

    door(malformed)

    assert (door.told, door.waits.begun, door.waits.stopped) == (told, begun, stopped)
    assert counted()["MalformedEvents"] == 1


@given(
    malformed=any_json
    | st.dictionaries(
        st.sampled_from([*event(), "OldResourceProperties", "CrHelperData", "CrHelperPoll"]) | any_text, any_json
    )
)
def test_whatever_comes_nobody_is_told_but_whoever_it_names(malformed: Any) -> None:
    door = Door()
    door(event(request_id="earlier", ResourceProperties={}))
    door.told.clear()

    door(malformed)

    named = malformed.get("ResponseURL") if isinstance(malformed, dict) else None
    assert all(url == named for url, _ in door.told)
    assert all(request_id == malformed["RequestId"] for request_id, *_ in door.waits.begun)


def test_attributes_and_no_echo_of_one_request_are_not_in_the_next(door: Door) -> None:
    door(event(request_id="earlier", CrHelperData={"Secret": "c0ffee", "PhysicalResourceId": "lct-other"}))
    door(event("Delete"))

    answer = door.answer()
    assert (answer["Data"], answer["NoEcho"], answer["PhysicalResourceId"]) == ({}, False, TASK_ID)


# A Delete


@pytest.mark.parametrize(
    "physical_id", [TASK_ID, "license-conversion-gate-refused", "stack-Gate-1ABCDEFGHIJKL"], ids=str
)
@pytest.mark.parametrize("properties", [PROPERTIES, {}, {"Misspelt": "x"}], ids=["valid", "none", "refused"])
def test_a_delete_always_succeeds_with_the_id_that_it_names(
    door: Door, physical_id: str, properties: dict[str, str], counted: Callable[[], Counter[str]]
) -> None:
    door(event("Delete", PhysicalResourceId=physical_id, ResourceProperties=properties))

    answer = door.answer()
    assert (answer["Status"], answer["Reason"], answer["PhysicalResourceId"]) == ("SUCCESS", "", physical_id)
    assert door.waits.begun == []
    assert counted()["WaitsStopped"] == 2


def test_the_log_says_of_which_resource_the_waits_are_stopped(door: Door, said: Callable[[], Said]) -> None:
    door(event("Delete"))

    assert said().lines == [
        {
            **OF_EVERY_LINE,
            "request_type": "Delete",
            "task_id": TASK_ID,
            "message": "The resource is deleted",
            "waits_stopped": 2,
        }
    ]


def test_a_delete_keeps_time_for_its_answer(door: Door) -> None:
    door(event("Delete"))

    ((_, requested_at, seconds),) = door.waits.stopped
    assert requested_at == "2026-11-22T17:39:55Z"
    one_call_more = 7
    assert 60 - seconds - one_call_more > 10


def test_an_answer_that_nobody_takes_is_counted_and_leaves_the_invocation(door: Door, said: Callable[[], Said]) -> None:
    door.refuses = True

    with pytest.raises(AnswerNotDelivered):
        door(event("Delete"))

    printed = said()
    assert printed.metrics == {"WaitsStopped": 2, "AnswersNotDelivered": 1}
    assert [line["message"] for line in printed.lines] == [
        "The resource is deleted",
        "The answer was not taken: 1 attempts, the last one: HTTP status 503",
    ]
