"""The names of executions: a request finds its own, and no other. And what Step Functions may say: a real client, no network."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from hypothesis import given
from hypothesis import strategies as st

from license_conversion import executions
from license_conversion.executions import Executions
from license_conversion.fleet import fleet_id
from tests.unit.network import Network, Reply, refusal

TASK_ID, OTHER = "lct-0123456789abcdef0", "lct-other"
FLEET = fleet_id([TASK_ID, OTHER])
REFUSED = "license-conversion-gate-refused"
MADE_UP = "stack-Gate-1ABCDEFGHIJKL"
EVENT = {
    "StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/gate/0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0",
    "LogicalResourceId": "Gate",
    "RequestId": "7bfe2d54-710d-4a5c-b1d1-0f0f0f0f0f0f",
    "ResponseURL": "https://bucket.s3.amazonaws.com/key?X-Amz-Date=20261122T173955Z&X-Amz-Signature=c0ffee",
}
DELETE = {**EVENT, "RequestType": "Delete", "RequestId": "the Delete", "PhysicalResourceId": TASK_ID}
UPDATE = {**EVENT, "RequestType": "Update", "RequestId": "the Update", "PhysicalResourceId": "lct-before"}
BOTH = pytest.mark.parametrize("event", [DELETE, UPDATE], ids=["a Delete", "an Update"])


def named(**members: str) -> str:
    return executions.name({**EVENT, **members})


NAME = named()


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
    assert named(**changed) != NAME


def test_every_delivery_of_a_request_has_the_same_name() -> None:
    assert executions.name({**EVENT, "RequestType": "Create", "ResourceProperties": {"anything": "else"}}) == NAME


@pytest.mark.parametrize("length", [16, 17, 255])
def test_resources_whose_long_names_begin_alike_have_different_names(length: int) -> None:
    beginning = "G" * (length - 1)

    assert named(LogicalResourceId=f"{beginning}a") != named(LogicalResourceId=f"{beginning}b")


def test_a_name_begins_with_the_resource_for_whoever_reads_the_list() -> None:
    assert NAME.startswith("Gate-")


@given(
    logical_id=st.from_regex(r"[A-Za-z0-9]{1,255}", fullmatch=True),
    others=st.fixed_dictionaries({name: st.text(max_size=300) for name in ("StackId", "RequestId", "ResponseURL")}),
)
def test_step_functions_takes_every_name_in_which_so_no_url_can_be(logical_id: str, others: dict[str, Any]) -> None:
    execution_name = executions.name({**others, "LogicalResourceId": logical_id})

    assert re.fullmatch(r"[A-Za-z0-9_-]{1,80}", execution_name)


# What Step Functions answers

STATE_MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:LicenseConversionGate"
EXECUTIONS = "arn:aws:states:us-east-1:123456789012:execution:LicenseConversionGate:"
ARN = EXECUTIONS + NAME
BEFORE, REQUESTED, AFTER = "2026-11-22T17:39:54Z", "2026-11-22T17:39:55Z", "2026-11-22T17:39:56Z"
THROTTLE = refusal("ThrottlingException")
ERRORS = (ClientError, ReadTimeoutError)


def no_reply(_: Mapping[str, Any]) -> Reply:
    raise ReadTimeoutError(endpoint_url="https://states")


Answer = Reply | dict[str, Any] | Callable[[Mapping[str, Any]], Reply]
beyond_reach = pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(THROTTLE, id="a throttle"),
        pytest.param(refusal("AccessDeniedException"), id="a denial"),
        pytest.param(refusal("InternalFailure", status=500), id="a fault"),
        pytest.param(no_reply, id="no reply in time"),
    ],
)


def listed(*names: str, more: str = "") -> dict[str, Any]:
    """A page of running executions."""
    page = {"executions": [{"executionArn": EXECUTIONS + name, "name": name} for name in names]}
    return {**page, "nextToken": more} if more else page


def described(waits_for: str = TASK_ID, since: str = BEFORE, **members: str) -> dict[str, Any]:
    """`waits_for` is `""` for the newest task of a resource, which the checks alone know."""
    given = {"Stack": {"Event": EVENT, "RequestedAt": since, "PhysicalResourceId": waits_for}}
    return {"status": "RUNNING", "input": json.dumps(given), **members}


def history(gate: Any) -> dict[str, Any]:
    """What an execution assigned to `gate`, after what else happens and another variable."""
    assigned = [{"published": "true"}, {"gate": json.dumps(gate), "results": "[]"}]
    exits = [{"stateExitedEventDetails": {"assignedVariables": one}} for one in assigned]
    return {"events": [{"type": "TaskScheduled"}, *exits]}


class RunningExecution:
    """Where one execution of the resource runs, unless a test says otherwise. The clock moves with each pause, and with each call
    if they take `call_seconds`; `share` is what chance gives.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.pauses: list[float] = []
        self.call_seconds, self.share = 0.0, 1.0
        self.executions = Executions(STATE_MACHINE, lambda: self.now, self.pauses.append, lambda: self.share)
        self.says(ListExecutions=[listed(NAME)], DescribeExecution=[described()])

    @property
    def now(self) -> float:
        return sum(self.pauses) + self.call_seconds * len(self.network.calls)

    def says(self, **answers: list[Any]) -> None:
        """By operation, one after the other; the last one stays."""
        for operation, replies in answers.items():
            self.network.answers(operation, *replies)

    def asked(self, operation: str) -> list[Mapping[str, Any]]:
        return [call.said for call in self.network.calls if call.operation == operation]

    def stops(self, event: dict[str, str]) -> list[str]:
        """The names of the executions that the event stops."""
        stopped = self.executions.stop_superseded(event, REQUESTED, 20)
        names = [said["executionArn"].removeprefix(EXECUTIONS) for said in self.asked("StopExecution")]
        assert stopped == len(names)
        return names


@pytest.fixture
def step_functions(network: Network) -> RunningExecution:
    return RunningExecution(network)


# To begin one


def test_an_execution_begins_with_its_input_under_its_name(step_functions: RunningExecution) -> None:
    """The input is as long as its text. Escaped it may be three times as long, and no execution begins with more than 256 KB."""
    step_functions.executions.begin(EVENT, {"Said": "é\ud800"}, 20)

    assert step_functions.asked("StartExecution") == [
        {"stateMachineArn": STATE_MACHINE, "name": NAME, "input": '{"Said": "é?"}'}
    ]


@beyond_reach
def test_a_start_that_fails_is_tried_for_as_long_as_there_is_time_and_then_raised(
    step_functions: RunningExecution, trouble: Answer
) -> None:
    """Lambda then delivers the request again."""
    step_functions.says(StartExecution=[trouble])

    with pytest.raises(ERRORS):
        step_functions.executions.begin(EVENT, {}, 20)

    assert step_functions.pauses == [1, 2, 4, 8]
    assert {said["name"] for said in step_functions.asked("StartExecution")} == {NAME}


def test_an_execution_that_began_without_a_reply_is_joined_at_the_second_try(step_functions: RunningExecution) -> None:
    step_functions.says(StartExecution=[no_reply, refusal("ExecutionAlreadyExists")])

    step_functions.executions.begin(EVENT, {}, 20)

    assert step_functions.network.operations() == ["StartExecution", "StartExecution"]


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_many_that_are_throttled_do_not_come_again_all_at_once(step_functions: RunningExecution, share: float) -> None:
    """Full jitter: anywhere between at once and the whole pause."""
    step_functions.share = share
    step_functions.says(StartExecution=[THROTTLE, {}])

    step_functions.executions.begin(EVENT, {}, 20)

    assert step_functions.pauses == [share]


# To stop those that a request takes the place of

SECOND = named(RequestId="another")
OTHERS = [named(LogicalResourceId="Other"), named(StackId="arn:other"), "another-application"]


@BOTH
def test_the_executions_of_a_resource_are_stopped_and_no_others(
    step_functions: RunningExecution, event: dict[str, str]
) -> None:
    """In pages as large as Step Functions gives: a Delete has a minute, and a smaller page is more calls.
    https://docs.aws.amazon.com/step-functions/latest/apireference/API_ListExecutions.html
    """
    pages = [listed(*OTHERS, NAME, more="page 2"), listed(more="page 3"), listed(SECOND, executions.name(event))]
    step_functions.says(ListExecutions=pages)

    assert step_functions.stops(event) == [NAME, SECOND]

    first = {"stateMachineArn": STATE_MACHINE, "statusFilter": "RUNNING", "maxResults": 1000}
    more = [{**first, "nextToken": "page 2"}, {**first, "nextToken": "page 3"}]
    assert step_functions.asked("ListExecutions") == [first, *more]
    cause = f"{event['RequestType']} request {event['RequestId']} stopped it"
    stop = {"executionArn": ARN, "error": "LicenseConversion.Stopped", "cause": cause}
    assert step_functions.asked("StopExecution")[0] == stop


@BOTH
@pytest.mark.parametrize(("requested_at", "stops"), [(BEFORE, [NAME]), (REQUESTED, [NAME]), (AFTER, [])])
def test_what_was_requested_later_stays_because_an_event_can_be_delivered_late(
    step_functions: RunningExecution, event: dict[str, str], requested_at: str, stops: list[str]
) -> None:
    """By the requests' own times, which one clock gave: never by when Step Functions says that the execution began."""
    step_functions.says(DescribeExecution=[described(since=requested_at)])

    assert step_functions.stops(event) == stops


@pytest.mark.parametrize(
    ("physical_id", "waits_for", "stops"),
    [
        pytest.param(TASK_ID, TASK_ID, True, id="its own"),
        pytest.param(TASK_ID, OTHER, False, id="not that of another task, which replaced it"),
        pytest.param(FLEET, FLEET, True, id="its own fleet's"),
        pytest.param(FLEET, TASK_ID, False, id="not that of a task which replaced its fleet"),
        pytest.param(REFUSED, TASK_ID, False, id="none: a refused Create that was kept never had one"),
        pytest.param(MADE_UP, TASK_ID, True, id="any: CloudFormation made the id up, the Create had no response"),
        pytest.param(MADE_UP, "", True, id="any, a resource's newest too"),
        pytest.param("", TASK_ID, True, id="any: there is no id"),
        pytest.param(f"{FLEET}-Gate-1ABC", TASK_ID, True, id="any: the stack's name is a fleet's id"),
        pytest.param(FLEET[:-1], TASK_ID, True, id="any: the stack's name begins like a fleet's id"),
        pytest.param(f"lct-{MADE_UP}", TASK_ID, True, id="any: the stack's name begins like a task's id"),
        pytest.param(f"{REFUSED}-Gate-1ABC", TASK_ID, True, id="any: the stack's name is a refused Create's id"),
    ],
)
def test_a_delete_stops_only_what_belongs_to_the_id_that_it_names(
    step_functions: RunningExecution, physical_id: str, waits_for: str, *, stops: bool
) -> None:
    step_functions.says(DescribeExecution=[described(waits_for=waits_for)])

    assert bool(step_functions.stops({**DELETE, "PhysicalResourceId": physical_id})) == stops


@pytest.mark.parametrize(
    ("gate", "stops"),
    [
        pytest.param({"Task": {"LicenseConversionTaskId": TASK_ID}}, [NAME], id="it waits for this task"),
        pytest.param({"Task": {"LicenseConversionTaskId": OTHER}}, [], id="it waits for another one"),
        pytest.param({"Waiter": "STACK"}, [], id="no check has named its task yet"),
    ],
)
def test_the_gate_of_a_resources_newest_task_belongs_to_the_id_that_its_checks_have_named(
    step_functions: RunningExecution, gate: Any, stops: list[str]
) -> None:
    """Read from the end of its history in one call, however long it has waited: the beginning may be thousands of events away."""
    step_functions.says(DescribeExecution=[described(waits_for="")], GetExecutionHistory=[history(gate)])

    assert step_functions.stops(DELETE) == stops

    (said,) = step_functions.asked("GetExecutionHistory")
    assert (said["executionArn"], said["reverseOrder"], said["includeExecutionData"]) == (ARN, True, True)
    assert 25 <= said["maxResults"] <= 1000, "a turn is nine events, and a state's retries come on top"


@pytest.mark.parametrize("given", ["{}", "[]", "null", "no JSON", '{"Stack": 5}', '{"Stack": {"RequestedAt": 5}}'])
@BOTH
def test_an_execution_whose_input_is_none_of_ours_keeps_no_request_from_its_response(
    step_functions: RunningExecution, event: dict[str, str], given: str
) -> None:
    """Another release may have begun it, or an operator, under the name of one of ours."""
    step_functions.says(DescribeExecution=[described(input=given)])

    assert step_functions.stops(event) == []


@beyond_reach
@pytest.mark.parametrize("operation", ["ListExecutions", "DescribeExecution", "GetExecutionHistory", "StopExecution"])
def test_executions_that_cannot_be_found_or_stopped_are_logged_and_no_error(
    step_functions: RunningExecution, operation: str, trouble: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    gate = {"Task": {"LicenseConversionTaskId": TASK_ID}}
    step_functions.says(DescribeExecution=[described(waits_for="")], GetExecutionHistory=[history(gate)])
    step_functions.says(**{operation: [trouble]})

    assert step_functions.executions.stop_superseded(DELETE, REQUESTED, 20) == 0

    assert step_functions.now <= 20
    assert "could be looked for and stopped" in caplog.text
    assert "c0ffee" not in caplog.text


def test_what_fails_for_a_moment_while_executions_are_stopped_is_tried_again(step_functions: RunningExecution) -> None:
    step_functions.says(
        ListExecutions=[THROTTLE, listed(NAME)], DescribeExecution=[THROTTLE, described()], StopExecution=[THROTTLE, {}]
    )

    assert step_functions.executions.stop_superseded(DELETE, REQUESTED, 20) == 1


@pytest.mark.parametrize(
    ("pages", "running", "call_seconds"),
    [
        pytest.param(10, OTHERS, 6, id="slow pages"),
        pytest.param(1000, OTHERS, 0.2, id="many pages"),
        pytest.param(1, [named(RequestId=str(number)) for number in range(1000)], 0.5, id="many to describe"),
    ],
)
def test_the_search_for_executions_ends_when_its_time_is_up(
    step_functions: RunningExecution, pages: int, running: list[str], call_seconds: float
) -> None:
    step_functions.call_seconds = call_seconds
    step_functions.says(
        ListExecutions=[*(listed(*running, more=f"page {number}") for number in range(1, pages)), listed(*running)],
        DescribeExecution=[described(waits_for=OTHER)],
    )

    step_functions.stops(DELETE)

    assert step_functions.now <= 20 + 7, "one call more, which takes seven seconds at most"


# For the responder, whose tests have the rest


def test_an_execution_that_goes_on_running_is_an_error_so_that_lambda_tries_again(
    step_functions: RunningExecution,
) -> None:
    with pytest.raises(TimeoutError):
        step_functions.executions.ended(ARN, 20)

    assert step_functions.now <= 20 + 1
