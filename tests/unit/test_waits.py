"""The names of waits: a request finds its own, and no other. And what Step Functions may answer: a real client, no network."""

import io
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError
from hypothesis import given
from hypothesis import strategies as st
from urllib3 import HTTPResponse

from license_conversion import waits
from license_conversion.errors import GateError
from license_conversion.waits import Waits

TASK_ID = "lct-0123456789abcdef0"
EVENT = {
    "StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/gate/0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0",
    "LogicalResourceId": "Gate",
    "RequestId": "7bfe2d54-710d-4a5c-b1d1-0f0f0f0f0f0f",
    "ResponseURL": "https://bucket.s3.amazonaws.com/key?X-Amz-Date=20261122T173955Z&X-Amz-Signature=c0ffee",
}


def test_every_delivery_of_a_request_has_the_same_name() -> None:
    again = {**EVENT, "RequestType": "Create", "ResourceProperties": {"anything": "else"}}

    assert waits.name(EVENT, TASK_ID) == waits.name(again, TASK_ID)


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"RequestId": "another"}, id="request"),
        pytest.param({"ResponseURL": EVENT["ResponseURL"] + "0"}, id="URL, when a deployment is tried again"),
        pytest.param({"StackId": EVENT["StackId"] + "0"}, id="stack"),
        pytest.param({"LogicalResourceId": "Other"}, id="resource"),
    ],
)
def test_a_request_that_differs_has_another_name(changed: dict[str, str]) -> None:
    assert waits.name({**EVENT, **changed}, TASK_ID) != waits.name(EVENT, TASK_ID)


def test_another_physical_id_has_another_name() -> None:
    assert waits.name(EVENT, "lct-other") != waits.name(EVENT, TASK_ID)


@pytest.mark.parametrize("length", [16, 17, 255])
def test_resources_whose_long_names_begin_alike_have_different_names(length: int) -> None:
    one, other = ({**EVENT, "LogicalResourceId": "G" * (length - 1) + end} for end in "ab")

    assert waits.name(one, TASK_ID) != waits.name(other, TASK_ID)


def test_a_name_begins_with_the_resource_for_whoever_reads_the_list() -> None:
    assert waits.name(EVENT, TASK_ID).startswith("Gate-")


def test_a_name_holds_no_credential() -> None:
    assert "c0ffee" not in waits.name(EVENT, TASK_ID)


@given(
    logical_id=st.from_regex(r"[A-Za-z0-9]{1,255}", fullmatch=True),
    others=st.fixed_dictionaries({name: st.text(max_size=300) for name in ("StackId", "RequestId", "ResponseURL")}),
    physical_id=st.text(max_size=1024),
)
def test_step_functions_takes_every_name(logical_id: str, others: dict[str, Any], physical_id: str) -> None:
    wait_name = waits.name({**others, "LogicalResourceId": logical_id}, physical_id)

    assert re.fullmatch(r"[A-Za-z0-9_-]{1,80}", wait_name)


# What Step Functions answers

STATE_MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:LicenseConversionGate"
EXECUTIONS = "arn:aws:states:us-east-1:123456789012:execution:LicenseConversionGate"
NAME = waits.name(EVENT, TASK_ID)
NOW = datetime.now(UTC).replace(microsecond=0)
DELETE = {**EVENT, "RequestType": "Delete", "RequestId": "the Delete", "PhysicalResourceId": TASK_ID}
URL = "https://states.us-east-1.amazonaws.com/"
BEYOND_REACH = [
    pytest.param((400, "ThrottlingException"), id="a throttle"),
    pytest.param((400, "AccessDeniedException"), id="a denial"),
    pytest.param((500, "InternalFailure"), id="a fault"),
    pytest.param(ReadTimeoutError(endpoint_url=URL), id="no reply in time"),
    pytest.param(EndpointConnectionError(endpoint_url=URL), id="no connection"),
]
Answer = dict[str, Any] | tuple[int, str] | Exception


class StepFunctions:
    """Answers each operation with one answer after another, the last one again and again: a reply, an error's status and
    code, or an exception of the network.
    """

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        target: Any = request.headers["X-Amz-Target"]
        body: Any = request.body
        operation = target.decode().rpartition(".")[2]
        self.asked.append((operation, json.loads(body)))
        answers = self.answers[operation]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        status, reply = (200, answer) if isinstance(answer, dict) else (answer[0], {"__type": answer[1]})
        raw = HTTPResponse(body=io.BytesIO(json.dumps(reply).encode()), preload_content=False)
        return AWSResponse(request.url, status, HTTPHeaders(), raw)

    def stopped(self) -> list[str]:
        """The names of the executions that were to be stopped."""
        return [
            said["executionArn"].rpartition(":")[2] for operation, said in self.asked if operation == "StopExecution"
        ]


@pytest.fixture
def step_functions(monkeypatch: pytest.MonkeyPatch) -> StepFunctions:
    session, step_functions = boto3.Session(region_name="us-east-1"), StepFunctions()
    hook: Any = step_functions
    session.events.register("before-send.stepfunctions", hook)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", session)
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    return step_functions


def begun(ago: float = 0) -> dict[str, Any]:
    """The answer to a start: now, or when an equal execution began."""
    return {
        "executionArn": f"{EXECUTIONS}:{NAME}",
        "startDate": (datetime.now(UTC) - timedelta(seconds=ago)).timestamp(),
    }


def listed(*names: str, ago: float = 10) -> dict[str, Any]:
    """A page of executions that began so many seconds ago."""
    return {
        "executions": [
            {
                "executionArn": f"{EXECUTIONS}:{name}",
                "stateMachineArn": STATE_MACHINE,
                "name": name,
                "status": "RUNNING",
                "startDate": (NOW - timedelta(seconds=ago)).timestamp(),
            }
            for name in names
        ]
    }


BEGUN_WITH = {"Stack": {"Event": {**EVENT, "CrHelperData": {"PhysicalResourceId": TASK_ID}}}}


def described(status: str = "RUNNING", **members: Any) -> dict[str, Any]:
    said = {"status": status, "input": json.dumps(BEGUN_WITH), **members}
    return {"executionArn": f"{EXECUTIONS}:{NAME}", "stateMachineArn": STATE_MACHINE, "startDate": 0, **said}


def test_a_wait_begins_with_its_input_under_its_name(step_functions: StepFunctions) -> None:
    step_functions.answers = {"StartExecution": [begun()]}

    assert Waits(STATE_MACHINE).begin(NAME, {"Gate": {}}, or_give_up=True) is None
    assert step_functions.asked == [
        ("StartExecution", {"stateMachineArn": STATE_MACHINE, "name": NAME, "input": '{"Gate": {}}'})
    ]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(begun(ago=60), id="an equal input"),
        pytest.param((400, "ExecutionAlreadyExists"), id="another input"),
    ],
)
def test_a_wait_that_has_begun_is_joined(step_functions: StepFunctions, answer: Answer) -> None:
    step_functions.answers = {"StartExecution": [answer], "DescribeExecution": [described()]}

    assert Waits(STATE_MACHINE).begin(NAME, BEGUN_WITH, or_give_up=True) == BEGUN_WITH
    assert step_functions.stopped() == []


@pytest.mark.parametrize("trouble", BEYOND_REACH)
def test_a_wait_that_may_have_begun_all_the_same_is_stopped_before_somebody_else_answers(
    step_functions: StepFunctions, trouble: Answer
) -> None:
    step_functions.answers = {"StartExecution": [trouble], "StopExecution": [{"stopDate": 0}]}

    with pytest.raises(GateError, match="The wait could not be started"):
        Waits(STATE_MACHINE).begin(NAME, {}, or_give_up=True)

    assert step_functions.stopped() == [NAME]


def test_an_input_is_as_long_as_its_text(step_functions: StepFunctions) -> None:
    """Escaped it may be three times as long, and no execution begins with more than 256 KB."""
    step_functions.answers = {"StartExecution": [begun()]}

    Waits(STATE_MACHINE).begin(NAME, {"Said": "é\ud800"}, or_give_up=True)

    assert step_functions.asked[0][1]["input"] == '{"Said": "é?"}'


def test_a_start_is_tried_again_when_it_is_throttled(step_functions: StepFunctions) -> None:
    step_functions.answers = {"StartExecution": [(400, "ThrottlingException"), begun()]}

    assert Waits(STATE_MACHINE).begin(NAME, {}, or_give_up=True) is None


def test_a_wait_that_began_though_nobody_was_told_is_joined_at_the_second_try(step_functions: StepFunctions) -> None:
    step_functions.answers = {
        "StartExecution": [ReadTimeoutError(endpoint_url=URL), (400, "ExecutionAlreadyExists")],
        "DescribeExecution": [described()],
    }

    assert Waits(STATE_MACHINE).begin(NAME, BEGUN_WITH, or_give_up=True) == BEGUN_WITH
    assert step_functions.stopped() == []


@pytest.mark.parametrize("trouble", BEYOND_REACH)
def test_a_wait_that_can_be_neither_begun_nor_stopped_is_the_same_error(
    step_functions: StepFunctions, trouble: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    step_functions.answers = {"StartExecution": [trouble], "StopExecution": [trouble]}

    with pytest.raises(GateError, match="The wait could not be started"):
        Waits(STATE_MACHINE).begin(NAME, {}, or_give_up=True)

    assert "could not be stopped" in caplog.text


def test_a_wait_that_was_given_up_is_not_joined(step_functions: StepFunctions) -> None:
    step_functions.answers = {
        "StartExecution": [(400, "ExecutionAlreadyExists")],
        "DescribeExecution": [described("ABORTED", cause=waits.GIVEN_UP)],
    }

    with pytest.raises(GateError, match="given up"):
        Waits(STATE_MACHINE).begin(NAME, {}, or_give_up=True)


@pytest.mark.parametrize("trouble", BEYOND_REACH)
def test_a_wait_of_which_nothing_is_known_but_its_name_is_joined(
    step_functions: StepFunctions, trouble: Answer
) -> None:
    step_functions.answers = {"StartExecution": [(400, "ExecutionAlreadyExists")], "DescribeExecution": [trouble]}

    assert Waits(STATE_MACHINE).begin(NAME, BEGUN_WITH, or_give_up=True) == {}


@pytest.mark.parametrize(
    ("answer", "exists"),
    [
        pytest.param(described(), True, id="it runs"),
        pytest.param(described("SUCCEEDED"), True, id="it has ended"),
        pytest.param(described("ABORTED", cause="Update request 2 took its place"), True, id="it was stopped"),
        pytest.param(described("ABORTED", cause=waits.GIVEN_UP), False, id="it was given up"),
        pytest.param((400, "ExecutionDoesNotExist"), False, id="there is none"),
        *(pytest.param(*trouble.values, False, id=trouble.id) for trouble in BEYOND_REACH),
    ],
)
def test_a_wait_exists_when_step_functions_says_so(step_functions: StepFunctions, answer: Answer, exists: bool) -> None:
    step_functions.answers = {"DescribeExecution": [answer]}

    assert Waits(STATE_MACHINE).exists(NAME) is exists


def named(event: dict[str, str], key: str = TASK_ID) -> str:
    return waits.name({**EVENT, **event}, key)


@pytest.mark.parametrize(
    ("key", "stopped"),
    [
        pytest.param(TASK_ID, [NAME], id="of the task"),
        pytest.param(None, [NAME, named({}, "lct-other")], id="of the resource"),
    ],
)
def test_the_waits_of_a_resource_that_began_before_are_stopped(
    step_functions: StepFunctions, key: str | None, stopped: list[str]
) -> None:
    others = [named({"LogicalResourceId": "Other"}), named({"StackId": "arn:other"}), "somebody-elses"]
    step_functions.answers = {
        "ListExecutions": [
            {**listed(NAME, *others), "nextToken": "more"},
            listed(named({}, "lct-other"), waits.name(DELETE, TASK_ID)),
        ],
        "StopExecution": [{"stopDate": 0}],
    }

    assert Waits(STATE_MACHINE).stop(DELETE, key and {key}, NOW) == len(stopped)
    assert step_functions.stopped() == stopped


def test_a_wait_that_began_after_the_request_belongs_to_a_later_one(step_functions: StepFunctions) -> None:
    step_functions.answers = {"ListExecutions": [listed(NAME, ago=-5)]}

    assert Waits(STATE_MACHINE).stop(DELETE, {TASK_ID}, NOW) == 0
    assert step_functions.stopped() == []


@pytest.mark.parametrize(
    ("begun_by", "makes", "stops"),
    [("Update", TASK_ID, 1), ("Update", "lct-newer", 0), ("Create", "lct-newer", 1)],
)
def test_an_updates_wait_for_the_newest_task_is_stopped_only_when_it_makes_this_id(
    step_functions: StepFunctions, begun_by: str, makes: str, stops: int
) -> None:
    instance = "arn:aws:ec2:us-east-1:123456789012:instance/i-0123456789abcdef0"
    event = {**EVENT, "RequestType": begun_by, "CrHelperData": {"PhysicalResourceId": makes}}
    step_functions.answers = {
        "ListExecutions": [listed(named({}, instance))],
        "DescribeExecution": [described(input=json.dumps({"Stack": {"Event": event}}))],
        "StopExecution": [{"stopDate": 0}],
    }

    assert Waits(STATE_MACHINE).stop(DELETE, {instance}, NOW) == stops


@pytest.mark.parametrize("trouble", BEYOND_REACH)
@pytest.mark.parametrize("operation", ["ListExecutions", "StopExecution"])
def test_waits_that_cannot_be_looked_for_or_stopped_are_logged_and_stop_nothing(
    step_functions: StepFunctions, operation: str, trouble: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    step_functions.answers = {"ListExecutions": [listed(NAME)], operation: [trouble]}

    assert Waits(STATE_MACHINE).stop(DELETE, {TASK_ID}, NOW) == 0
    assert "could not be" in caplog.text
    assert "c0ffee" not in caplog.text


# The wait of a request, for whoever answers as the last resort


def found(
    step_functions: StepFunctions,
    describe: Answer,
    *pages: dict[str, Any],
    since: datetime = NOW - timedelta(minutes=1),
) -> Any:
    step_functions.answers = {"ListExecutions": list(pages), "DescribeExecution": [describe]}
    return Waits(STATE_MACHINE).of_request(EVENT, since)


@pytest.mark.parametrize("status", ["RUNNING", "SUCCEEDED", "FAILED"])
def test_a_wait_that_answers_or_has_answered_is_found_by_its_request(
    step_functions: StepFunctions, status: str
) -> None:
    pages = {**listed("somebody-elses"), "nextToken": "more"}, listed(named({}, "lct-whatever"))

    assert found(step_functions, described(status), *pages)["Stack"]["Event"]["RequestId"] == EVENT["RequestId"]


@pytest.mark.parametrize(
    "silent",
    [
        pytest.param(described("ABORTED"), id="stopped"),
        pytest.param(described("TIMED_OUT"), id="timed out"),
        pytest.param(described("FAILED", error="LicenseConversion.NotAnswered"), id="ended with nobody told"),
        pytest.param(described("FAILED", error="States.Runtime"), id="ended by Step Functions"),
    ],
)
def test_a_wait_that_told_nobody_is_none(step_functions: StepFunctions, silent: dict[str, Any]) -> None:
    assert found(step_functions, silent, listed(NAME)) is None


def test_nobody_looks_further_back_than_the_request(step_functions: StepFunctions) -> None:
    pages = {**listed("somebody-elses", ago=3600), "nextToken": "more"}, listed(NAME)

    assert found(step_functions, described(), *pages) is None
    assert len(step_functions.asked) == 1


@pytest.mark.parametrize("operation", ["ListExecutions", "DescribeExecution"])
def test_what_step_functions_does_not_say_is_an_error(step_functions: StepFunctions, operation: str) -> None:
    step_functions.answers = {"ListExecutions": [listed(NAME)], operation: [(400, "AccessDeniedException")]}
    look: Callable[[], Any] = lambda: Waits(STATE_MACHINE).of_request(EVENT, NOW)  # noqa: E731

    with pytest.raises(Exception, match="AccessDenied"):
        look()
