"""What leaves for CloudFormation or for a wait condition, and what an operator hears of it."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from answer_stack import handle, handler

from license_conversion.errors import AnswerNotDelivered, NobodyListens
from tests.context import Context
from tests.local_cloud.answers import AnswersReceiver
from tests.unit.conftest import Said

TASK_ID = "lct-0123456789abcdef0"
REQUESTED = datetime(2026, 11, 22, 17, 39, 55, tzinfo=UTC)
RESPONSE_URL = "https://bucket.s3.amazonaws.com/key?X-Amz-Date=20261122T173955Z&X-Amz-Signature=c0ffee"
HANDLE = "https://handles.s3.amazonaws.com/key?X-Amz-Date=20261122T173955Z&X-Amz-Signature=facade"
EVENT = {
    "RequestType": "Create",
    "StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/gate/0f1e2d3c",
    "RequestId": "7bfe2d54",
    "LogicalResourceId": "Gate",
    "ResponseURL": RESPONSE_URL,
    "ResourceProperties": {"LicenseConversionTaskId": TASK_ID, "WaitConditionHandle": HANDLE},
}
SUCCESS = {"Status": "SUCCESS", "Reason": "", "PhysicalResourceId": TASK_ID, "Data": {"Status": "SUCCEEDED"}}
FAILED = {"Status": "FAILED", "Reason": "It failed.", "PhysicalResourceId": TASK_ID, "Data": {}}
EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:gate:Gate-1"
LINE = {
    "request_id": Context().aws_request_id,
    "stack_id": EVENT["StackId"],
    "logical_resource_id": "Gate",
    "request_type": "Create",
    "task_id": TASK_ID,
    "execution": EXECUTION,
}


class Receiver:
    """Takes what is sent, or refuses it."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, Any], float]] = []
        self.refuses = False

    def __call__(self, url: str, body: bytes, seconds: float) -> int:
        if self.refuses:
            raise AnswerNotDelivered("5 attempts in 23 s, the last one: HTTP status 503")
        self.got.append((url, json.loads(body), seconds))
        return 1


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


def answer(receiver: Receiver, waiter: str, said: dict[str, Any], *, after: float = 60) -> None:
    event = {
        "Stack": {"Event": EVENT, "RequestedAt": "2026-11-22T17:39:55Z", "PhysicalResourceId": TASK_ID},
        "Waiter": waiter,
        "Answer": said,
        "Execution": EXECUTION,
    }
    handle(event, Context(seconds=25), lambda: REQUESTED + timedelta(seconds=after), receiver)


@pytest.mark.parametrize("said", [SUCCESS, FAILED], ids=["success", "failed"])
def test_a_stack_that_waits_is_answered(receiver: Receiver, said: dict[str, Any]) -> None:
    answer(receiver, "STACK", said)

    ((url, body, _),) = receiver.got
    assert url == RESPONSE_URL
    assert {name: body[name] for name in said} == said
    assert (body["RequestId"], body["LogicalResourceId"]) == ("7bfe2d54", "Gate")


@pytest.mark.parametrize(("said", "status"), [(SUCCESS, "SUCCESS"), (FAILED, "FAILURE")])
def test_a_handle_that_waits_is_signalled_and_the_stack_is_not_answered_again(
    receiver: Receiver, said: dict[str, Any], status: str
) -> None:
    answer(receiver, "HANDLE", said)

    ((url, body, _),) = receiver.got
    assert url == HANDLE
    assert (body["Status"], body["UniqueId"], json.loads(body["Data"])) == (status, TASK_ID, said["Data"])


def test_a_stack_is_told_for_as_long_as_the_invocation_and_cloudformation_have(receiver: Receiver) -> None:
    answer(receiver, "STACK", SUCCESS)
    answer(receiver, "STACK", SUCCESS, after=3590)

    assert [seconds for *_, seconds in receiver.got] == [23.5, 10]


@pytest.mark.parametrize(
    ("waiter", "message"), [("STACK", "The stack is answered"), ("HANDLE", "The handle is signalled")]
)
def test_the_log_says_who_was_told_and_for_whom(
    receiver: Receiver, waiter: str, message: str, said: Callable[[], Said]
) -> None:
    answer(receiver, waiter, FAILED)

    assert said() == Said([{**LINE, "level": "INFO", "message": message, "status": "FAILED"}])


@pytest.mark.parametrize(("after", "error"), [(60, AnswerNotDelivered), (3590, NobodyListens)])
def test_an_answer_that_is_not_taken_is_an_error_by_whose_name_the_state_machine_knows_what_to_do(
    receiver: Receiver, after: float, error: type[Exception], said: Callable[[], Said]
) -> None:
    receiver.refuses = True

    with pytest.raises(AnswerNotDelivered) as raised:
        answer(receiver, "STACK", SUCCESS, after=after)

    assert type(raised.value).__name__ == error.__name__
    printed = said()
    assert printed.metrics == {"AnswersNotDelivered": 1}
    assert printed.lines == [{**LINE, "level": "ERROR", "message": f"The answer was not taken: {raised.value}"}]


def test_lambda_hands_over_the_event_and_how_much_time_there_is(answers: AnswersReceiver) -> None:
    request = {**EVENT, "ResponseURL": answers.issue("response")}
    stack = {"Event": request, "RequestedAt": "2026-11-22T17:39:55Z", "PhysicalResourceId": TASK_ID}

    handler({"Stack": stack, "Waiter": "STACK", "Answer": SUCCESS, "Execution": EXECUTION}, Context(seconds=25))

    (answered,) = answers.answers()
    assert (answered.json["Status"], answered.json["PhysicalResourceId"]) == ("SUCCESS", TASK_ID)


@pytest.mark.parametrize("refuses", [False, True], ids=["taken", "not taken"])
@pytest.mark.parametrize("waiter", ["STACK", "HANDLE"])
def test_no_credential_is_printed_or_raised(
    receiver: Receiver, waiter: str, refuses: bool, lines: Callable[[], str]
) -> None:
    receiver.refuses = refuses
    said = ""

    try:
        answer(receiver, waiter, FAILED)
    except AnswerNotDelivered as error:
        said = str(error)

    printed = lines()
    assert TASK_ID in printed
    for credential in ("c0ffee", "facade", "s3.amazonaws.com"):
        assert credential not in printed + said
