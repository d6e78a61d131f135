"""Putting the end of a gate on the bus: a real client, and no network."""

import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import announce_end
import boto3
import pytest
from announce_end import EventNotTaken, handler
from botocore.stub import ANY, Stubber

from tests.unit.conftest import Said

TASK = "lct-0123456789abcdef0"
RESOURCE = "arn:aws:ec2:us-east-1:123456789012:instance/i-0123456789abcdef0"
EVENT = {
    "DetailType": "License Conversion Succeeded",
    "Detail": {"LicenseConversionTaskId": TASK, "ResourceArn": RESOURCE, "StatusMessage": "Fertig: 😀"},
}
CONTEXT = SimpleNamespace(aws_request_id="11111111-2222-4333-8444-555555555555")
ENTRY = {
    "Source": "license-conversion-gate",
    "DetailType": "License Conversion Succeeded",
    "Detail": json.dumps(EVENT["Detail"], ensure_ascii=False),
    "Resources": [RESOURCE],
    "EventBusName": "ends",
}


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch, fake_aws: None) -> Iterator[Stubber]:
    events = boto3.client("events")
    monkeypatch.setenv("GATE_EVENT_BUS_NAME", "ends")
    monkeypatch.setenv("GATE_ACCOUNT_ID", "123456789012")
    monkeypatch.setattr(announce_end, "_events", lambda: events)
    with Stubber(events) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def test_the_event_goes_to_the_chosen_bus(bus: Stubber) -> None:
    bus.add_response("describe_event_bus", {"Name": "ends"}, {"Name": "ends"})
    bus.add_response("put_events", {"Entries": [{"EventId": "1"}]}, {"Entries": [ENTRY]})

    handler(EVENT, CONTEXT)


def test_an_event_without_a_resource_names_none(bus: Stubber) -> None:
    bus.add_response("describe_event_bus", {"Name": "ends"})
    bus.add_response(
        "put_events", {"Entries": [{"EventId": "1"}]}, {"Entries": [ENTRY | {"Detail": ANY, "Resources": []}]}
    )

    handler({**EVENT, "Detail": {"LicenseConversionTaskId": TASK}}, CONTEXT)


def of_stack() -> dict[str, Any]:
    detail = {"LicenseConversionTaskId": TASK, "StackId": "arn:stack", "LogicalResourceId": "Gate"}
    return {"DetailType": "License Conversion Failed", "Detail": detail}


OF_STACKS_LINE = {
    "request_id": CONTEXT.aws_request_id,
    "task_id": TASK,
    "stack_id": "arn:stack",
    "logical_resource_id": "Gate",
    "detail_type": "License Conversion Failed",
}


def test_the_log_and_the_trace_say_whose_end_is_on_the_bus(
    bus: Stubber, said: Callable[[], Said], steps: list[str]
) -> None:
    bus.add_response("describe_event_bus", {"Name": "ends"})
    bus.add_response("put_events", {"Entries": [{"EventId": "1"}]})

    handler(of_stack(), CONTEXT)

    assert said() == Said([{**OF_STACKS_LINE, "level": "INFO", "message": "The event is on the bus"}])
    assert steps == ["## put event"]


def test_a_bus_that_is_missing_takes_nothing_and_is_counted(bus: Stubber, said: Callable[[], Said]) -> None:
    bus.add_client_error("describe_event_bus", "ResourceNotFoundException", "Event bus ends does not exist.")

    with pytest.raises(EventNotTaken, match="There is no event bus ends"):
        handler(of_stack(), CONTEXT)

    printed = said()
    assert printed.metrics == {"EventsNotTaken": 1}
    assert printed.lines == [
        {
            **OF_STACKS_LINE,
            "level": "ERROR",
            "message": "The bus did not take the event",
            "exception_name": "EventNotTaken",
        }
    ]


def test_a_bus_that_may_not_be_described_may_still_be_put_to(bus: Stubber) -> None:
    bus.add_client_error("describe_event_bus", "AccessDeniedException")
    bus.add_response("put_events", {"Entries": [{"EventId": "1"}]})

    handler(EVENT, CONTEXT)


def test_a_bus_of_another_account_is_put_to_without_a_question(bus: Stubber, monkeypatch: pytest.MonkeyPatch) -> None:
    """DescribeEventBus would say that it does not exist."""
    theirs = "arn:aws:events:us-east-1:210987654321:event-bus/ends"
    monkeypatch.setenv("GATE_EVENT_BUS_NAME", theirs)
    bus.add_response("put_events", {"Entries": [{"EventId": "1"}]}, {"Entries": [ENTRY | {"EventBusName": theirs}]})

    handler(EVENT, CONTEXT)


def test_a_bus_of_the_own_account_is_asked_for_by_its_arn_as_well(
    bus: Stubber, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = "arn:aws:events:us-east-1:123456789012:event-bus/ends"
    monkeypatch.setenv("GATE_EVENT_BUS_NAME", ours)
    bus.add_client_error("describe_event_bus", "ResourceNotFoundException", expected_params={"Name": ours})

    with pytest.raises(EventNotTaken, match=f"There is no event bus {ours}"):
        handler(EVENT, CONTEXT)


@pytest.mark.parametrize("code", ["ThrottlingException", "InternalFailure"])
def test_an_entry_that_the_bus_refuses_is_an_error_so_that_lambda_tries_again(
    bus: Stubber, code: str, said: Callable[[], Said]
) -> None:
    refused: dict[str, Any] = {"ErrorCode": code, "ErrorMessage": "Not now."}
    bus.add_response("describe_event_bus", {"Name": "ends"})
    bus.add_response("put_events", {"FailedEntryCount": 1, "Entries": [refused]})

    with pytest.raises(EventNotTaken, match=f"{code}: Not now."):
        handler(EVENT, CONTEXT)

    assert said().metrics == {"EventsNotTaken": 1}
