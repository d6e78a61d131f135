"""The names of executions: a request finds its own, and no other. And what Step Functions may say: a real client, no network."""

import random
import re
from contextlib import suppress
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from hypothesis import given
from hypothesis import strategies as st

from license_conversion import executions
from license_conversion.executions import Executions
from license_conversion.fleet import fleet_id
from license_conversion.response import RESERVE_SECONDS
from tests.simulation.clock import VirtualClock
from tests.simulation.token_bucket import TokenBucket
from tests.unit.network import Network, Reply, refusal
from tests.unit.one_gate import STACK_EVENT as EVENT
from tests.unit.one_gate import TASK_ID
from tests.unit.step_functions import ARNS, STATE_MACHINE, StepFunctions

OTHER = "lct-other"
FLEET = fleet_id([TASK_ID, OTHER])
REFUSED = "license-conversion-gate-refused"
MADE_UP = "stack-Gate-1ABCDEFGHIJKL"
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
        pytest.param({"LogicalResourceId": "LicenseConversionGates"}, id="resource, though its name begins alike"),
    ],
)
def test_a_request_that_differs_has_another_name(changed: dict[str, str]) -> None:
    request = {**EVENT, "LogicalResourceId": "LicenseConversionGate"}

    assert executions.name({**request, **changed}) != executions.name(request)


def test_every_delivery_of_a_request_has_the_same_name_which_begins_with_the_resource() -> None:
    """For people who read the list."""
    again = {**EVENT, "RequestType": "Create", "ResourceProperties": {"anything": "else"}}

    assert executions.name(again) == NAME
    assert NAME.startswith("Gate-")


@given(
    logical_id=st.from_regex(r"[A-Za-z0-9]{1,255}", fullmatch=True),
    others=st.fixed_dictionaries({name: st.text(max_size=300) for name in ("StackId", "RequestId", "ResponseURL")}),
)
def test_step_functions_takes_every_name_in_which_so_no_url_can_be(logical_id: str, others: dict[str, Any]) -> None:
    execution_name = executions.name({**others, "LogicalResourceId": logical_id})

    assert re.fullmatch(r"[A-Za-z0-9_-]{1,80}", execution_name)


# What Step Functions answers

ARN = ARNS + NAME
BEFORE, REQUESTED, AFTER = "2026-11-22T17:39:54Z", "2026-11-22T17:39:55Z", "2026-11-22T17:39:56Z"
NO_REPLY: Reply = 0, ReadTimeoutError(endpoint_url="https://states")
THROTTLE = refusal("ThrottlingException")
ERRORS = (ClientError, ReadTimeoutError)


beyond_reach = pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(THROTTLE, id="a throttle"),
        pytest.param(refusal("AccessDeniedException"), id="a denial"),
        pytest.param(refusal("InternalFailure", status=500), id="a fault"),
        pytest.param(NO_REPLY, id="no reply in time"),
    ],
)


def began(waits_for: str = TASK_ID, since: str = BEFORE) -> dict[str, Any]:
    """The input of an execution. `waits_for` is `""` for the newest task of a resource, which the checks alone know."""
    return {"Stack": {"Event": EVENT, "RequestedAt": since, "PhysicalResourceId": waits_for}}


@pytest.fixture
def step_functions(network: Network) -> StepFunctions:
    """One execution of the resource runs, unless a test says otherwise."""
    step_functions = StepFunctions(network)
    step_functions.has(began(), name=NAME)
    return step_functions


# To begin one


def test_an_execution_begins_with_its_input_under_its_name(step_functions: StepFunctions) -> None:
    """The input is as long as its text. Escaped it may be three times as long, and no execution begins with more than 256 KB."""
    step_functions.executions().begin(EVENT, {"Said": "é\ud800"}, 20)

    assert step_functions.asked("StartExecution") == [
        {"stateMachineArn": STATE_MACHINE, "name": NAME, "input": '{"Said": "é?"}'}
    ]


@beyond_reach
def test_a_start_that_fails_is_tried_for_as_long_as_there_is_time_and_then_raised(
    step_functions: StepFunctions, trouble: Reply
) -> None:
    """Lambda then delivers the request again."""
    step_functions.network.answers("StartExecution", trouble)

    with pytest.raises(ERRORS):
        step_functions.executions().begin(EVENT, {}, 20)

    assert step_functions.pauses == [1, 2, 4, 8]
    assert {said["name"] for said in step_functions.asked("StartExecution")} == {NAME}


def test_an_execution_that_began_without_a_reply_is_joined_at_the_second_try(step_functions: StepFunctions) -> None:
    step_functions.network.answers("StartExecution", NO_REPLY, refusal("ExecutionAlreadyExists"))

    step_functions.executions().begin(EVENT, {}, 20)

    assert step_functions.network.operations() == ["StartExecution", "StartExecution"]


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_many_that_are_throttled_do_not_come_again_all_at_once(step_functions: StepFunctions, share: float) -> None:
    """Full jitter: anywhere between at once and the whole pause."""
    step_functions.network.answers("StartExecution", THROTTLE, {})

    step_functions.executions(share).begin(EVENT, {}, 20)

    assert step_functions.pauses == [share]


# To stop those that a request takes the place of

SECOND = named(RequestId="another")
OTHERS = [named(LogicalResourceId="Other"), named(StackId="arn:other"), "another-application"]


def stopped_by(event: dict[str, str], step_functions: StepFunctions) -> list[str]:
    """The names of the executions that it stops."""
    count = step_functions.executions().stop_superseded(event, REQUESTED, 20)
    assert count == len(step_functions.stopped)
    return [name for name, _ in step_functions.stopped]


@BOTH
def test_the_executions_of_a_resource_are_stopped_and_no_others(
    step_functions: StepFunctions, event: dict[str, str]
) -> None:
    """In pages as large as Step Functions gives: a Delete has a minute, and a smaller page is more calls.
    https://docs.aws.amazon.com/step-functions/latest/apireference/API_ListExecutions.html
    """
    step_functions.page = 3
    for name in (*OTHERS, SECOND, executions.name(event)):
        step_functions.has(began(), name=name)

    assert stopped_by(event, step_functions) == [NAME, SECOND]

    first = {"stateMachineArn": STATE_MACHINE, "statusFilter": "RUNNING", "maxResults": 1000}
    assert step_functions.asked("ListExecutions") == [first, {**first, "nextToken": "3"}]
    cause = f"{event['RequestType']} request {event['RequestId']} stopped it"
    stop = {"executionArn": ARN, "error": "LicenseConversion.Stopped", "cause": cause}
    assert step_functions.asked("StopExecution")[0] == stop


@BOTH
@pytest.mark.parametrize(("requested_at", "stops"), [(BEFORE, [NAME]), (REQUESTED, [NAME]), (AFTER, [])])
def test_what_was_requested_later_stays_because_an_event_can_be_delivered_late(
    step_functions: StepFunctions, event: dict[str, str], requested_at: str, stops: list[str]
) -> None:
    """By the requests' own times, which one clock gave: never by when Step Functions says that the execution began."""
    step_functions.has(began(since=requested_at), name=NAME)

    assert stopped_by(event, step_functions) == stops


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
    step_functions: StepFunctions, physical_id: str, waits_for: str, *, stops: bool
) -> None:
    step_functions.has(began(waits_for), name=NAME)

    assert bool(stopped_by({**DELETE, "PhysicalResourceId": physical_id}, step_functions)) == stops


@pytest.mark.parametrize(
    ("gate", "stops"),
    [
        pytest.param({"Task": {"LicenseConversionTaskId": TASK_ID}}, [NAME], id="it waits for this task"),
        pytest.param({"Task": {"LicenseConversionTaskId": OTHER}}, [], id="it waits for another one"),
        pytest.param({"Waiter": "STACK"}, [], id="no check has named its task yet"),
    ],
)
def test_the_gate_of_a_resources_newest_task_belongs_to_the_id_that_its_checks_have_named(
    step_functions: StepFunctions, gate: Any, stops: list[str]
) -> None:
    """Read from the end of its history in one call, however long it has waited: the beginning may be thousands of events away."""
    step_functions.has(began(""), gate, NAME)

    assert stopped_by(DELETE, step_functions) == stops

    (said,) = step_functions.asked("GetExecutionHistory")
    assert 25 <= said["maxResults"] <= 1000, "a turn is nine events, and a state's retries come on top"


@pytest.mark.parametrize("given", ["{}", "[]", "null", "no JSON", '{"Stack": 5}', '{"Stack": {"RequestedAt": 5}}'])
@BOTH
def test_an_execution_whose_input_is_none_of_ours_keeps_no_request_from_its_response(
    step_functions: StepFunctions, event: dict[str, str], given: str
) -> None:
    """Another release may have begun it, or an operator, under the name of one of ours."""
    step_functions.network.answers("DescribeExecution", {"status": "RUNNING", "input": given})

    assert stopped_by(event, step_functions) == []


@beyond_reach
@pytest.mark.parametrize("operation", ["ListExecutions", "DescribeExecution", "GetExecutionHistory", "StopExecution"])
def test_executions_that_cannot_be_found_or_stopped_are_logged_and_no_error(
    step_functions: StepFunctions, operation: str, trouble: Reply, caplog: pytest.LogCaptureFixture
) -> None:
    step_functions.has(began(""), {"Task": {"LicenseConversionTaskId": TASK_ID}}, NAME)
    step_functions.network.answers(operation, trouble)

    assert step_functions.executions().stop_superseded(DELETE, REQUESTED, 20) == 0

    assert step_functions.monotonic() <= 20
    assert "could be looked for and stopped" in caplog.text
    assert "c0ffee" not in caplog.text


def test_what_fails_for_a_moment_while_executions_are_stopped_is_tried_again(step_functions: StepFunctions) -> None:
    step_functions.network.answers("ListExecutions", THROTTLE, step_functions.lists)
    step_functions.network.answers("DescribeExecution", THROTTLE, step_functions.describes)
    step_functions.network.answers("StopExecution", THROTTLE, step_functions.stops)

    assert stopped_by(DELETE, step_functions) == [NAME]


@pytest.mark.parametrize(
    ("running", "page", "call_seconds"),
    [
        pytest.param(OTHERS[0], 100, 6, id="slow pages"),
        pytest.param(OTHERS[0], 1, 0.2, id="many pages"),
        pytest.param(NAME, 1000, 0.5, id="many to describe"),
    ],
)
def test_the_search_for_executions_ends_when_its_time_is_up(
    step_functions: StepFunctions, running: str, page: int, call_seconds: float
) -> None:
    step_functions.page, step_functions.call_seconds = page, call_seconds
    for number in range(1000):
        step_functions.has(began(OTHER), name=f"{running[:-3]}{number}")

    stopped_by(DELETE, step_functions)

    assert 20 <= step_functions.monotonic() <= 20 + 7, "one call more, which takes seven seconds at most"


def test_an_execution_that_goes_on_running_is_an_error_so_that_lambda_tries_again(
    step_functions: StepFunctions,
) -> None:
    with pytest.raises(TimeoutError):
        step_functions.executions().ended(ARN, 20)

    assert step_functions.monotonic() <= 20 + 1


# Thousands of Creates at once, and a StartExecution that lets through what a region has

BUCKET, PER_SECOND = 800, 150
"""What StartExecution allows in a region of the smaller kind, at once and from then on.
https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html"""
INVOCATION = 60.0
"""Seconds that custom_resource.py has, as template.yaml says."""
BEFORE_REDELIVERY = 60.0
"""Seconds until Lambda delivers an event again that has failed once; template.yaml lets it do so once.
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html"""


def begun(creates: int, *, invocations: int) -> list[float]:
    """When each of those that get through does, in seconds."""
    clock, random_, through = VirtualClock(), random.Random(creates), list[float]()  # noqa: S311 - jitter
    bucket = TokenBucket(clock.monotonic, PER_SECOND, BUCKET)
    executions_ = Executions("arn", clock.monotonic, clock.sleep, random_.random)

    def start() -> None:
        if not bucket.take():
            raise ClientError({"Error": {"Code": "ThrottlingException"}}, "StartExecution")
        through.append(clock.now)

    def create() -> None:
        for _ in range(invocations):
            with suppress(ClientError):
                return executions_.within(INVOCATION - RESERVE_SECONDS, start)
            clock.sleep(BEFORE_REDELIVERY)
        return None

    for _ in range(creates):
        clock.after(random_.random(), create)  # CloudFormation does not send them all in the same instant
    clock.run_out()
    return through


@pytest.mark.parametrize(
    ("creates", "invocations"), [(500, 1), (2000, 1), (5000, 1), pytest.param(10_000, 2, marks=pytest.mark.slow)]
)
def test_of_many_creates_at_once_each_one_begins(creates: int, invocations: int) -> None:
    """In its first invocation. Where they are too many for that, Lambda's second delivery begins the rest."""
    found = begun(creates, invocations=invocations)

    assert len(found) == creates
    assert (max(found) > INVOCATION) == (invocations > 1)
