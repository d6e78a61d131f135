"""The names of executions: a request finds its own, and no other. And what Step Functions may say: a real client, no network."""

import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError, ReadTimeoutError
from hypothesis import given
from hypothesis import strategies as st
from urllib3 import HTTPResponse

from license_conversion import executions
from license_conversion.executions import OWN_ID, Executions, has_responded
from license_conversion.fleet import fleet_id

TASK_ID = "lct-0123456789abcdef0"
EVENT = {
    "StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/gate/0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0",
    "LogicalResourceId": "Gate",
    "RequestId": "7bfe2d54-710d-4a5c-b1d1-0f0f0f0f0f0f",
    "ResponseURL": "https://bucket.s3.amazonaws.com/key?X-Amz-Date=20261122T173955Z&X-Amz-Signature=c0ffee",
}


def test_every_delivery_of_a_request_has_the_same_name() -> None:
    again = {**EVENT, "RequestType": "Create", "ResourceProperties": {"anything": "else"}}

    assert executions.name(EVENT) == executions.name(again)


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
    assert executions.name({**EVENT, **changed}) != executions.name(EVENT)


@pytest.mark.parametrize("length", [16, 17, 255])
def test_resources_whose_long_names_begin_alike_have_different_names(length: int) -> None:
    one, other = ({**EVENT, "LogicalResourceId": "G" * (length - 1) + end} for end in "ab")

    assert executions.name(one) != executions.name(other)


def test_a_name_begins_with_the_resource_for_whoever_reads_the_list() -> None:
    assert executions.name(EVENT).startswith("Gate-")


def test_a_name_holds_no_credential() -> None:
    assert "c0ffee" not in executions.name(EVENT)


@given(
    logical_id=st.from_regex(r"[A-Za-z0-9]{1,255}", fullmatch=True),
    others=st.fixed_dictionaries({name: st.text(max_size=300) for name in ("StackId", "RequestId", "ResponseURL")}),
)
def test_step_functions_takes_every_name(logical_id: str, others: dict[str, Any]) -> None:
    execution_name = executions.name({**others, "LogicalResourceId": logical_id})

    assert re.fullmatch(r"[A-Za-z0-9_-]{1,80}", execution_name)


# What Step Functions answers

STATE_MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:LicenseConversionGate"
EXECUTIONS = "arn:aws:states:us-east-1:123456789012:execution:LicenseConversionGate"
NAME = executions.name(EVENT)
BEFORE, REQUESTED, AFTER = "2026-11-22T17:39:54Z", "2026-11-22T17:39:55Z", "2026-11-22T17:39:56Z"
DELETE = {**EVENT, "RequestType": "Delete", "RequestId": "the Delete", "PhysicalResourceId": TASK_ID}
UPDATE = {**EVENT, "RequestType": "Update", "RequestId": "the Update", "PhysicalResourceId": TASK_ID}
MADE_UP = "stack-Gate-1ABCDEFGHIJKL"
REFUSED = "license-conversion-gate-refused"
OTHER = "lct-other"
URL = "https://states.us-east-1.amazonaws.com/"
BEYOND_REACH = [
    pytest.param((400, "ThrottlingException"), id="a throttle"),
    pytest.param((400, "AccessDeniedException"), id="a denial"),
    pytest.param((500, "InternalFailure"), id="a fault"),
    pytest.param(ReadTimeoutError(endpoint_url=URL), id="no reply in time"),
    pytest.param(EndpointConnectionError(endpoint_url=URL), id="no connection"),
]
ERRORS = (ClientError, BotoCoreError)
Answer = dict[str, Any] | tuple[int, str] | Exception
Answers = Answer | Callable[[Mapping[str, Any]], Answer]


class ScriptedStepFunctions:
    """Answers each operation with one answer after another, the last one again and again: a reply, an error's status and
    code, or an exception of the network. Each call takes `call_seconds` of a clock that otherwise moves when somebody sleeps.
    """

    def __init__(self) -> None:
        self.answers: dict[str, list[Answers]] = {}
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.now = 0.0
        self.call_seconds = 0.0
        self.pauses: list[float] = []

    def __call__(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        target: Any = request.headers["X-Amz-Target"]
        body: Any = request.body
        operation, said = target.decode().rpartition(".")[2], json.loads(body)
        self.asked.append((operation, said))
        self.now += self.call_seconds
        answers = self.answers[operation]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if callable(answer):
            answer = answer(said)
        if isinstance(answer, Exception):
            raise answer
        status, reply = (200, answer) if isinstance(answer, dict) else (answer[0], {"__type": answer[1]})
        raw = HTTPResponse(body=io.BytesIO(json.dumps(reply).encode()), preload_content=False)
        return AWSResponse(request.url, status, HTTPHeaders(), raw)

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def executions(self, share: float = 1.0) -> Executions:
        return Executions(STATE_MACHINE, lambda: self.now, self.sleep, lambda: share)

    def operations(self) -> list[str]:
        return [operation for operation, _ in self.asked]

    def stopped(self) -> list[str]:
        """The names of the executions that were to be stopped."""
        return [
            said["executionArn"].rpartition(":")[2] for operation, said in self.asked if operation == "StopExecution"
        ]


@pytest.fixture(scope="module")
def session() -> boto3.Session:
    return boto3.Session(region_name="us-east-1")


@pytest.fixture
def step_functions(session: boto3.Session, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedStepFunctions]:
    step_functions = ScriptedStepFunctions()
    hook: Any = step_functions
    session.events.register("before-send.stepfunctions", hook)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", session)
    yield step_functions
    session.events.unregister("before-send.stepfunctions", hook)


BEGUN = {"executionArn": f"{EXECUTIONS}:{NAME}", "startDate": 0}
STOPPED = {"stopDate": 0}


def listed(*names: str, more: str = "") -> dict[str, Any]:
    """A page of running executions."""
    page: dict[str, Any] = {
        "executions": [
            {
                "executionArn": f"{EXECUTIONS}:{name}",
                "stateMachineArn": STATE_MACHINE,
                "name": name,
                "status": "RUNNING",
                "startDate": 0,
            }
            for name in names
        ]
    }
    return {**page, "nextToken": more} if more else page


def begun_with(physical_id: str = TASK_ID, requested_at: str = BEFORE) -> dict[str, Any]:
    """The input of an execution; `""` for the newest task of a resource, which the checks alone know."""
    return {"Stack": {"Event": EVENT, "RequestedAt": requested_at, "PhysicalResourceId": physical_id}, "Gate": {}}


def described(status: str = "RUNNING", execution_input: Any = None, **members: Any) -> dict[str, Any]:
    said = {"status": status, "input": json.dumps(execution_input or begun_with()), **members}
    return {"executionArn": f"{EXECUTIONS}:{NAME}", "stateMachineArn": STATE_MACHINE, "startDate": 0, **said}


def history(*gates: Any, more: str = "") -> dict[str, Any]:
    """What an execution assigned to `gate`, the last one first, after what else happens and another variable."""
    exits = [{"published": "true"}, *({"gate": json.dumps(gate), "results": "[]"} for gate in gates)]
    events: list[dict[str, Any]] = [
        {"timestamp": 0, "type": "TaskScheduled", "id": 99},
        *(
            {
                "timestamp": 0,
                "type": "TaskStateExited",
                "id": number,
                "stateExitedEventDetails": {"name": "Check Task", "assignedVariables": assigned},
            }
            for number, assigned in enumerate(exits)
        ),
    ]
    return {"events": events, **({"nextToken": more} if more else {})}


# To begin one


def test_an_execution_begins_with_its_input_under_its_name(step_functions: ScriptedStepFunctions) -> None:
    step_functions.answers = {"StartExecution": [BEGUN]}

    step_functions.executions().begin(EVENT, {"Gate": {}}, 20)

    assert step_functions.asked == [
        ("StartExecution", {"stateMachineArn": STATE_MACHINE, "name": NAME, "input": '{"Gate": {}}'})
    ]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(BEGUN, id="an equal input"),
        pytest.param((400, "ExecutionAlreadyExists"), id="another input, or an execution that has ended"),
    ],
)
def test_an_execution_that_has_begun_is_joined(step_functions: ScriptedStepFunctions, answer: Answer) -> None:
    step_functions.answers = {"StartExecution": [answer]}

    step_functions.executions().begin(EVENT, begun_with(), 20)

    assert step_functions.operations() == ["StartExecution"]


def test_an_input_is_as_long_as_its_text(step_functions: ScriptedStepFunctions) -> None:
    """Escaped it may be three times as long, and no execution begins with more than 256 KB."""
    step_functions.answers = {"StartExecution": [BEGUN]}

    step_functions.executions().begin(EVENT, {"Said": "é\ud800"}, 20)

    assert step_functions.asked[0][1]["input"] == '{"Said": "é?"}'


@pytest.mark.parametrize("trouble", BEYOND_REACH)
def test_a_start_that_fails_is_tried_for_as_long_as_there_is_time_and_then_raised(
    step_functions: ScriptedStepFunctions, trouble: Answer
) -> None:
    """Lambda then delivers the request again."""
    step_functions.answers = {"StartExecution": [trouble]}

    with pytest.raises(ERRORS):
        step_functions.executions().begin(EVENT, {}, 20)

    assert step_functions.pauses == [1, 2, 4, 8]
    assert 0 < 20 - step_functions.now <= 8
    assert {said["name"] for _, said in step_functions.asked} == {NAME}


@pytest.mark.parametrize("trouble", BEYOND_REACH)
def test_a_start_that_works_at_last_is_a_start(step_functions: ScriptedStepFunctions, trouble: Answer) -> None:
    step_functions.answers = {"StartExecution": [trouble, trouble, BEGUN]}

    step_functions.executions().begin(EVENT, {}, 20)

    assert len(step_functions.asked) == 3


def test_an_execution_that_began_without_a_reply_is_joined_at_the_second_try(
    step_functions: ScriptedStepFunctions,
) -> None:
    step_functions.answers = {
        "StartExecution": [ReadTimeoutError(endpoint_url=URL), (400, "ExecutionAlreadyExists")],
    }

    step_functions.executions().begin(EVENT, begun_with(), 20)

    assert step_functions.stopped() == []


def test_many_that_are_throttled_do_not_come_again_all_at_once(step_functions: ScriptedStepFunctions) -> None:
    """Full jitter: anywhere between at once and the whole pause."""
    first = []
    for share in (0.0, 0.25, 1.0):
        step_functions.answers, step_functions.pauses = {"StartExecution": [(400, "ThrottlingException"), BEGUN]}, []
        step_functions.executions(share).begin(EVENT, {}, 20)
        first += step_functions.pauses

    assert first == [0, 0.25, 1]


# To stop those that a request takes the place of


def named(event: dict[str, str]) -> str:
    return executions.name({**EVENT, **event})


SECOND = named({"RequestId": "another"})
OTHERS = [named({"LogicalResourceId": "Other"}), named({"StackId": "arn:other"}), "another-application"]


def stop(step_functions: ScriptedStepFunctions, event: dict[str, str], seconds: float = 20) -> int:
    return step_functions.executions().stop_superseded(event, REQUESTED, seconds)


@pytest.mark.parametrize("event", [DELETE, UPDATE], ids=["a Delete", "an Update"])
def test_the_executions_of_a_resource_are_stopped_and_no_others(
    step_functions: ScriptedStepFunctions, event: dict[str, str]
) -> None:
    step_functions.answers = {
        "ListExecutions": [listed(*OTHERS, NAME, more="page 2"), listed(SECOND, executions.name(event))],
        "DescribeExecution": [described()],
        "StopExecution": [STOPPED],
    }

    assert stop(step_functions, event) == 2
    assert step_functions.stopped() == [NAME, SECOND]


def test_what_runs_is_listed_in_pages_as_large_as_step_functions_gives_until_there_is_no_more(
    step_functions: ScriptedStepFunctions,
) -> None:
    """A Delete has a minute: a smaller page is more calls.
    https://docs.aws.amazon.com/step-functions/latest/apireference/API_ListExecutions.html
    """
    step_functions.answers = {"ListExecutions": [listed(more="page 2"), listed(more="page 3"), listed()]}

    stop(step_functions, DELETE)

    first = {"stateMachineArn": STATE_MACHINE, "statusFilter": "RUNNING", "maxResults": 1000}
    assert [said for _, said in step_functions.asked] == [
        first,
        {**first, "nextToken": "page 2"},
        {**first, "nextToken": "page 3"},
    ]


def test_the_task_of_an_execution_is_read_from_the_end_of_its_history(step_functions: ScriptedStepFunctions) -> None:
    """One call, however long it has waited: the beginning may be thousands of events away."""
    step_functions.answers = {
        "ListExecutions": [listed(NAME)],
        "DescribeExecution": [described(execution_input=begun_with(""))],
        "GetExecutionHistory": [history({"Task": {"LicenseConversionTaskId": OTHER}})],
    }

    stop(step_functions, DELETE)

    (said,) = (said for operation, said in step_functions.asked if operation == "GetExecutionHistory")
    assert said["executionArn"] == f"{EXECUTIONS}:{NAME}"
    assert said["reverseOrder"] is True
    assert said["includeExecutionData"] is True, "without it there is no input to read"
    assert 25 <= said["maxResults"] <= 1000, "a turn is nine events, and a state's retries come on top"


def test_an_execution_that_is_stopped_says_what_took_its_place(step_functions: ScriptedStepFunctions) -> None:
    step_functions.answers = {
        "ListExecutions": [listed(NAME)],
        "DescribeExecution": [described()],
        "StopExecution": [STOPPED],
    }

    stop(step_functions, UPDATE)

    assert step_functions.asked[-1][1] == {
        "executionArn": f"{EXECUTIONS}:{NAME}",
        "error": "LicenseConversion.Stopped",
        "cause": "Update request the Update stopped it",
    }


@pytest.mark.parametrize("event", [DELETE, UPDATE], ids=["a Delete", "an Update"])
@pytest.mark.parametrize(("requested_at", "stops"), [(BEFORE, 1), (REQUESTED, 1), (AFTER, 0)])
def test_what_was_requested_later_stays_because_an_event_can_be_delivered_late(
    step_functions: ScriptedStepFunctions, event: dict[str, str], requested_at: str, stops: int
) -> None:
    """By the requests' own times, which one clock gave: never by when Step Functions says that the execution began."""
    step_functions.answers = {
        "ListExecutions": [listed(NAME)],
        "DescribeExecution": [described(execution_input=begun_with(requested_at=requested_at))],
        "StopExecution": [STOPPED],
    }

    assert stop(step_functions, event) == stops


FLEET = fleet_id([TASK_ID, OTHER])


@pytest.mark.parametrize(
    ("physical_id", "waits_for", "stops"),
    [
        pytest.param(TASK_ID, TASK_ID, 1, id="its own"),
        pytest.param(TASK_ID, OTHER, 0, id="that of another task, which replaced it"),
        pytest.param(FLEET, FLEET, 1, id="its own fleet's"),
        pytest.param(FLEET, TASK_ID, 0, id="that of a task which replaced its fleet"),
        pytest.param(REFUSED, TASK_ID, 0, id="none: a refused Create that was kept never had one"),
        pytest.param(MADE_UP, TASK_ID, 1, id="any: CloudFormation made the id up, the Create had no response"),
        pytest.param(MADE_UP, "", 1, id="any, a resource's newest too"),
        pytest.param(
            f"license-conversion-fleet-{MADE_UP}", TASK_ID, 1, id="any: the stack's name begins like a fleet's id"
        ),
        pytest.param(f"{FLEET}-Gate-1ABCDEFGHIJKL", TASK_ID, 1, id="any: the stack's name is a fleet's id"),
    ],
)
def test_a_delete_stops_only_what_belongs_to_the_id_that_it_names(
    step_functions: ScriptedStepFunctions, physical_id: str, waits_for: str, stops: int
) -> None:
    step_functions.answers = {
        "ListExecutions": [listed(NAME)],
        "DescribeExecution": [described(execution_input=begun_with(waits_for))],
        "StopExecution": [STOPPED],
    }

    assert stop(step_functions, {**DELETE, "PhysicalResourceId": physical_id}) == stops


def test_an_update_takes_the_place_of_whatever_the_resource_waits_for(step_functions: ScriptedStepFunctions) -> None:
    step_functions.answers = {
        "ListExecutions": [listed(NAME)],
        "DescribeExecution": [described(execution_input=begun_with(OTHER))],
        "StopExecution": [STOPPED],
    }

    assert stop(step_functions, UPDATE) == 1


@pytest.mark.parametrize(
    ("gates", "stops"),
    [
        pytest.param([{"Task": {"LicenseConversionTaskId": TASK_ID}}], 1, id="it waits for this task"),
        pytest.param([{"Task": {"LicenseConversionTaskId": OTHER}}], 0, id="it waits for another one"),
        pytest.param(
            [{"Task": {"LicenseConversionTaskId": OTHER}}, {"Task": {"LicenseConversionTaskId": TASK_ID}}],
            0,
            id="the last one counts",
        ),
        pytest.param([{"Waiter": "STACK"}], 0, id="no check has named its task yet"),
        pytest.param([None], 0, id="the check returned nothing"),
        pytest.param([], 0, id="it has left no state yet"),
    ],
)
def test_the_gate_of_a_resources_newest_task_belongs_to_the_id_that_its_checks_have_named(
    step_functions: ScriptedStepFunctions, gates: list[Any], stops: int
) -> None:
    step_functions.answers = {
        "ListExecutions": [listed(NAME)],
        "DescribeExecution": [described(execution_input=begun_with(""))],
        "GetExecutionHistory": [history(*gates)],
        "StopExecution": [STOPPED],
    }

    assert stop(step_functions, DELETE) == stops


def test_of_two_generations_by_the_same_resource_arn_a_delete_stops_the_one_that_it_names(
    step_functions: ScriptedStepFunctions,
) -> None:
    """The clean-up Delete of the old task comes while the gate of the newer one runs."""
    makes = {NAME: TASK_ID, SECOND: OTHER}
    step_functions.answers = {
        "ListExecutions": [listed(NAME, SECOND)],
        "DescribeExecution": [described(execution_input=begun_with(""))],
        "GetExecutionHistory": [
            lambda said: history({"Task": {"LicenseConversionTaskId": makes[said["executionArn"].rpartition(":")[2]]}})
        ],
        "StopExecution": [STOPPED],
    }

    assert stop(step_functions, DELETE) == 1
    assert step_functions.stopped() == [NAME]


@pytest.mark.parametrize("given", ["{}", "[]", "null", "no JSON", '{"Stack": 5}', '{"Stack": {"RequestedAt": 5}}'])
@pytest.mark.parametrize("event", [DELETE, UPDATE], ids=["a Delete", "an Update"])
def test_an_execution_whose_input_is_none_of_ours_keeps_no_request_from_its_response(
    step_functions: ScriptedStepFunctions, event: dict[str, str], given: str
) -> None:
    """Another release may have begun it, or an operator, under the name of one of ours."""
    step_functions.answers = {"ListExecutions": [listed(NAME)], "DescribeExecution": [described(input=given)]}

    assert stop(step_functions, event) == 0


@pytest.mark.parametrize("trouble", BEYOND_REACH)
@pytest.mark.parametrize("operation", ["ListExecutions", "DescribeExecution", "GetExecutionHistory", "StopExecution"])
def test_executions_that_cannot_be_found_or_stopped_are_logged_and_no_error(
    step_functions: ScriptedStepFunctions, operation: str, trouble: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    step_functions.answers = {
        "ListExecutions": [listed(NAME)],
        "DescribeExecution": [described(execution_input=begun_with(""))],
        "GetExecutionHistory": [history({"Task": {"LicenseConversionTaskId": TASK_ID}})],
        "StopExecution": [STOPPED],
        operation: [trouble],
    }

    assert stop(step_functions, DELETE) == 0
    assert step_functions.now <= 20
    assert "could be looked for and stopped" in caplog.text
    assert "c0ffee" not in caplog.text


def test_what_fails_for_a_moment_while_executions_are_stopped_is_tried_again(
    step_functions: ScriptedStepFunctions,
) -> None:
    step_functions.answers = {
        "ListExecutions": [(400, "ThrottlingException"), listed(NAME)],
        "DescribeExecution": [(400, "ThrottlingException"), described()],
        "StopExecution": [(400, "ThrottlingException"), STOPPED],
    }

    assert stop(step_functions, DELETE) == 1


@pytest.mark.parametrize(("pages", "call_seconds"), [(10, 6), (1000, 0.2)], ids=["slow pages", "many pages"])
def test_the_search_for_executions_ends_when_its_time_is_up_and_not_with_its_last_page(
    step_functions: ScriptedStepFunctions, pages: int, call_seconds: float
) -> None:
    step_functions.call_seconds = call_seconds
    step_functions.answers = {
        "ListExecutions": [
            *(listed(*OTHERS, more=f"page {number}") for number in range(pages)),
            listed(NAME),
        ],
        "DescribeExecution": [described()],
        "StopExecution": [STOPPED],
    }

    stop(step_functions, DELETE, seconds=20)

    assert step_functions.now <= 20 + 7, "one call more, which takes seven seconds at most"


def test_the_search_for_executions_ends_when_its_time_is_up_though_many_are_described(
    step_functions: ScriptedStepFunctions,
) -> None:
    step_functions.call_seconds = 0.5
    step_functions.answers = {
        "ListExecutions": [listed(*(named({"RequestId": str(number)}) for number in range(1000)))],
        "DescribeExecution": [described(execution_input=begun_with(OTHER))],
    }

    stop(step_functions, DELETE, seconds=20)

    assert step_functions.now <= 20 + 7


# The execution of a request, for the responder


@pytest.mark.parametrize(
    ("answer", "has_one"),
    [
        pytest.param(described(), True, id="it runs"),
        pytest.param(described("SUCCEEDED"), True, id="it has responded"),
        pytest.param(described("FAILED", error="LicenseConversion.Failed"), True, id="it has responded FAILED"),
        pytest.param(
            described("FAILED", error="LicenseConversion.GateBroken"), True, id="it has responded that it broke"
        ),
        pytest.param(described("ABORTED"), False, id="it was stopped"),
        pytest.param(described("TIMED_OUT"), False, id="it timed out"),
        pytest.param(described("FAILED", error="LicenseConversion.NoResponse"), False, id="its response was not taken"),
        pytest.param(described("FAILED", error="States.Runtime"), False, id="Step Functions ended it"),
        pytest.param((400, "ExecutionDoesNotExist"), False, id="there is none"),
    ],
)
def test_a_request_has_an_execution_that_responds_or_has_responded(
    step_functions: ScriptedStepFunctions, answer: Answer, has_one: bool
) -> None:
    """A moment of trouble is no reason not to know it: asked again, whatever the answer is then."""
    step_functions.answers = {
        "DescribeExecution": [(400, "ThrottlingException"), ReadTimeoutError(endpoint_url=URL), answer],
        "GetExecutionHistory": [(400, "ThrottlingException"), {"events": []}],
    }

    assert step_functions.executions().has_begun(EVENT, 20) is has_one
    assert step_functions.asked[0] == ("DescribeExecution", {"executionArn": f"{EXECUTIONS}:{NAME}"})


@pytest.mark.parametrize(("error", "has_one"), [("LicenseConversion.Stopped", True), ("by hand", False), (None, False)])
def test_who_has_stopped_an_execution_is_said_by_its_history(
    step_functions: ScriptedStepFunctions, error: str | None, has_one: bool
) -> None:
    stopped = {"type": "ExecutionAborted", "id": 2, "timestamp": 0, "executionAbortedEventDetails": {"error": error}}
    step_functions.answers = {
        "DescribeExecution": [described("ABORTED")],
        "GetExecutionHistory": [{"events": [stopped]}],
    }

    assert step_functions.executions().has_begun(EVENT, 20) is has_one


@pytest.mark.parametrize("trouble", BEYOND_REACH)
def test_what_step_functions_does_not_say_in_all_that_time_is_an_error(
    step_functions: ScriptedStepFunctions, trouble: Answer
) -> None:
    step_functions.answers = {"DescribeExecution": [trouble], "GetExecutionHistory": [trouble]}

    with pytest.raises(ERRORS):
        step_functions.executions().has_begun(EVENT, 20)
    with pytest.raises(ERRORS):
        step_functions.executions().gate(f"{EXECUTIONS}:{NAME}", 20)

    assert step_functions.now <= 40


def test_an_execution_that_still_seems_to_run_is_described_again(step_functions: ScriptedStepFunctions) -> None:
    """DescribeExecution is eventually consistent: the event of the end can be here before it."""
    step_functions.answers = {"DescribeExecution": [described(), (400, "ThrottlingException"), described("FAILED")]}

    assert step_functions.executions().ended(f"{EXECUTIONS}:{NAME}", 20)["status"] == "FAILED"


def test_an_execution_that_goes_on_running_is_an_error_so_that_lambda_tries_again(
    step_functions: ScriptedStepFunctions,
) -> None:
    step_functions.answers = {"DescribeExecution": [described()]}

    with pytest.raises(TimeoutError):
        step_functions.executions().ended(f"{EXECUTIONS}:{NAME}", 20)

    assert step_functions.now <= 20 + 1


@pytest.mark.parametrize(
    ("pages", "gate"),
    [
        pytest.param([history({"Ended": True}, {"Ended": False})], {"Ended": True}, id="the newest"),
        pytest.param([history(more="page 2"), history({"Ended": False})], {"Ended": False}, id="on the next page"),
        pytest.param([history()], {}, id="none"),
        pytest.param([history(None)], {}, id="the check returned nothing"),
    ],
)
def test_the_state_of_a_gate_is_what_its_execution_assigned_last(
    step_functions: ScriptedStepFunctions, pages: list[Answers], gate: Any
) -> None:
    step_functions.answers = {"GetExecutionHistory": [(400, "ThrottlingException"), *pages]}

    assert step_functions.executions().gate(f"{EXECUTIONS}:{NAME}", 20) == gate


def test_all_that_runs_is_listed_and_each_can_be_stopped(step_functions: ScriptedStepFunctions) -> None:
    step_functions.answers = {
        "ListExecutions": [listed(NAME, more="page 2"), listed(*OTHERS)],
        "StopExecution": [(400, "ThrottlingException"), STOPPED],
    }

    assert step_functions.executions().running(20) == [f"{EXECUTIONS}:{one}" for one in (NAME, *OTHERS)]
    step_functions.executions().end(f"{EXECUTIONS}:{NAME}", "The gate was deleted", 20)

    assert step_functions.asked[-1][1]["error"] == "LicenseConversion.Stopped", "so that the safety net leaves it"


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        ("SUCCEEDED", None, True),
        ("FAILED", "LicenseConversion.Failed", True),
        ("FAILED", "LicenseConversion.TimedOut", True),
        ("FAILED", "LicenseConversion.InvalidRequest", True),
        ("FAILED", "LicenseConversion.NoResponse", False),
        ("FAILED", "States.Runtime", False),
        ("FAILED", "States.DataLimitExceeded", False),
        ("TIMED_OUT", "States.Timeout", False),
        ("ABORTED", None, False),
        ("ABORTED", "LicenseConversion.Stopped", True),
    ],
)
def test_an_execution_that_ended_with_an_error_of_ours_has_responded(
    status: str, error: str | None, *, expected: bool
) -> None:
    assert has_responded({"status": status, "error": error}) is expected


@pytest.mark.parametrize(
    ("physical_id", "own"),
    [
        pytest.param(TASK_ID, True, id="a task"),
        pytest.param(FLEET, True, id="a fleet"),
        pytest.param(REFUSED, True, id="a refused Create"),
        pytest.param(MADE_UP, False, id="one that CloudFormation made up"),
        pytest.param(f"{REFUSED}-Gate-1ABCDEFGHIJKL", False, id="one made up of a stack's name like ours"),
        pytest.param(f"{FLEET}-Gate-1ABCDEFGHIJKL", False, id="one made up of a name like a fleet's id"),
        pytest.param(FLEET[:-1], False, id="a fleet's id without its last digit"),
        pytest.param("lct-stack-Gate-1ABCDEFGHIJKL", False, id="one made up of a name like a task's id"),
        pytest.param("", False, id="none"),
    ],
)
def test_an_id_of_our_own_is_known_by_its_whole_form(physical_id: str, *, own: bool) -> None:
    assert bool(OWN_ID.fullmatch(physical_id)) is own
