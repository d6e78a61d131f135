"""CloudFormation's events: what begins an execution, what stops one, what gets its response here, and what is no request."""

import inspect
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

import custom_resource
from custom_resource import handle, provider
from license_conversion.errors import InvalidRequest, ResponseNotTaken
from license_conversion.executions import Executions
from license_conversion.lifecycle import Lifecycle
from tests.context import Context
from tests.unit.conftest import Said
from tests.unit.network import Network
from tests.unit.one_gate import BEGAN, SERVICE_TOKEN, STACK_EVENT, TASK_ID

STATE_MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:gate"
URL = "https://bucket.s3.amazonaws.com/{}?X-Amz-Date=20261122T173955Z&X-Amz-Signature=c0ffee"
PROPERTIES = {"ServiceToken": SERVICE_TOKEN, "LicenseConversionTaskId": TASK_ID}
WHOSE = {
    "request_id": Context().aws_request_id,
    "stack_id": STACK_EVENT["StackId"],
    "logical_resource_id": "Gate",
    "task_id": TASK_ID,
}


def event(request_type: str = "Create", request_id: str = "1", **members: Any) -> dict[str, Any]:
    known = {} if request_type == "Create" else {"PhysicalResourceId": TASK_ID}
    request = {"RequestType": request_type, "RequestId": request_id, "ResponseURL": URL.format(request_id)}
    return {**STACK_EVENT, **request, "ResourceProperties": PROPERTIES, **known, **members}


class FakeExecutions(Executions):
    """Keeps what was to begin and to be stopped; `trouble` is what keeps one from beginning."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, dict[str, Any], float]] = []
        self.stopped: list[tuple[str, str, float]] = []
        self.trouble: Exception | None = None

    def begin(self, event: Mapping[str, Any], execution_input: Mapping[str, Any], seconds: float) -> None:
        if self.trouble:
            raise self.trouble
        self.begun.append((event["RequestId"], json.loads(json.dumps(execution_input)), seconds))

    def stop_superseded(self, event: Mapping[str, Any], requested_at: str, seconds: float) -> int:
        self.stopped.append((event["RequestId"], requested_at, seconds))
        return 2


@dataclass
class WarmFunction:
    """What it has begun, and the responses that it has sent: to which URL, and for how many seconds at most."""

    executions: FakeExecutions = field(default_factory=FakeExecutions)
    responses: list[tuple[str, dict[str, Any], float]] = field(default_factory=list)
    refuses: bool = False

    def __post_init__(self) -> None:
        self._provider = provider(self.executions, lambda: BEGAN + timedelta(seconds=2), self._deliver)

    def _deliver(self, url: str, body: bytes, seconds: float) -> int:
        if self.refuses:
            raise ResponseNotTaken("1 attempts, the last one: HTTP status 503")
        self.responses.append((url, json.loads(body), seconds))
        return 1

    def __call__(self, event_: Any) -> None:
        handle(self._provider, event_, Context(seconds=60))


@pytest.fixture
def function() -> WarmFunction:
    return WarmFunction()


# An execution begins


@pytest.mark.parametrize("handle_", [{}, {"WaitConditionHandle": URL}], ids=["alone", "with a handle"])
@pytest.mark.parametrize("request_type", ["Create", "Update"])
def test_a_valid_request_begins_an_execution_and_gets_no_response_here(
    function: WarmFunction, said: Callable[[], Said], request_type: str, handle_: dict[str, str]
) -> None:
    """Until the stack has its response, a handle gives the gate no more time than the request."""
    given = event(request_type, ResourceProperties={**PROPERTIES, **handle_})

    function({**given, "OldResourceProperties": {"LicenseConversionTaskId": "lct-before"}})

    ((request_id, began, seconds),) = function.executions.begun
    assert request_id == "1"
    gate = {
        "Waiter": "STACK",
        "Ended": False,
        "GiveUpAt": "2026-11-22T18:39:07Z",
        "AttemptSeconds": 25,
        "PauseSeconds": 15,
    }
    stack = {"Event": given, "RequestedAt": "2026-11-22T17:39:55Z", "PhysicalResourceId": TASK_ID, "Gate": gate}
    assert began == {"Stack": stack}
    assert seconds > 50
    assert bool(function.executions.stopped) == (request_type == "Update")
    assert function.responses == []
    (line,) = said().lines
    assert line.items() >= {**WHOSE, "request_type": request_type, "message": "The execution responds"}.items()


def test_an_update_takes_the_place_of_what_the_resource_waits_for_before_it_begins(
    function: WarmFunction, said: Callable[[], Said]
) -> None:
    function(event("Update", PhysicalResourceId="lct-before"))

    ((_, requested_at, seconds),) = function.executions.stopped
    assert requested_at == "2026-11-22T17:39:55Z"
    assert seconds < 30, "half of the time is left to begin the execution"
    assert len(function.executions.begun) == 1
    printed = said()
    assert printed.metrics == {"GatesStopped": 2}
    assert printed.lines[-1]["task_id"] == TASK_ID, "what it waits for from now on"


def test_lambda_hands_over_cloudformations_event(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE_STATE_MACHINE_ARN", STATE_MACHINE)
    network.answers("StartExecution", {"executionArn": "arn:execution", "startDate": 0})
    custom_resource._provider.cache_clear()

    custom_resource.handler(event(), Context(seconds=60))

    assert network.operations() == ["StartExecution"]
    began = network.call("StartExecution").said
    assert began["stateMachineArn"] == STATE_MACHINE
    assert json.loads(began["input"])["Stack"]["Event"] == event()
    custom_resource._provider.cache_clear()


def test_an_execution_that_cannot_be_begun_leaves_the_invocation_so_that_lambda_delivers_again(
    function: WarmFunction,
) -> None:
    function.executions.trouble = TimeoutError("The time for it is up")

    with pytest.raises(TimeoutError, match="The time for it is up"):
        function(event())

    assert function.responses == [], "crhelper would have responded FAILED in its own words"


# What is refused


def test_refused_properties_get_a_response_at_once_and_nothing_is_started_or_stopped(
    function: WarmFunction, said: Callable[[], Said]
) -> None:
    function(event("Update", ResourceProperties={**PROPERTIES, "OnFailure": "fail"}))

    ((url, response, seconds),) = function.responses
    assert (url, seconds) == (URL.format(1), 58.5)
    assert (response["Status"], response["PhysicalResourceId"]) == ("FAILED", TASK_ID)
    assert response["Reason"] == "OnFailure: 'fail' is not allowed: it must be FAIL or CONTINUE."
    assert (function.executions.begun, function.executions.stopped) == ([], [])
    printed = said()
    assert printed.metrics == {"GatesStarted": 1, "GatesRefused": 1, "SecondsWaited": 0}
    (line,) = printed.lines
    assert line.items() >= {**WHOSE, "outcome": "REFUSED", "status": "", "waited_seconds": 0}.items()
    assert line["reason"] == response["Reason"]


# An event that is no request of CloudFormation's

NO_OBJECTS: list[Any] = [{}, [], None, "Create", 5]
WRONG: dict[str, list[Any]] = {
    **{name: [None, 5, ["x"]] for name in ("StackId", "RequestId", "LogicalResourceId")},
    "RequestType": ["Read", "create", "", None, ["Create"], {}],
    "ResponseURL": ["...", None, "https://bucket/key"],
}
NO_REQUESTS: list[tuple[Any, str]] = [
    *((one, "StackId, RequestId, LogicalResourceId, RequestType, ResponseURL") for one in NO_OBJECTS),
    *(({name: of for name, of in event().items() if name != left_out}, left_out) for left_out in WRONG),
    *(({**event(), name: value}, name) for name, values in WRONG.items() for value in values),
]


@pytest.mark.parametrize(("malformed", "wrong"), NO_REQUESTS, ids=repr)
def test_an_event_that_is_no_request_is_an_error_that_says_what_is_wrong_and_touches_no_other_request(
    function: WarmFunction, malformed: Any, wrong: str, said: Callable[[], Said]
) -> None:
    """A framework that calls it synchronously has to see the error."""
    function(event(request_id="earlier", ResourceProperties={}))
    executions = function.executions
    done = [list(each) for each in (function.responses, executions.begun, executions.stopped)]
    said()

    with pytest.raises(InvalidRequest) as refusal:
        function(malformed)

    assert str(refusal.value).startswith(f"{wrong} cannot be used. CloudFormation invokes this function")
    assert [function.responses, executions.begun, executions.stopped] == done
    printed = said()
    assert printed.metrics == {"MalformedEvents": 1}
    assert "c0ffee" not in str(printed)


def test_attributes_and_no_echo_of_one_request_are_not_in_the_next(function: WarmFunction) -> None:
    function(event(request_id="earlier", CrHelperData={"Secret": "c0ffee", "PhysicalResourceId": "lct-other"}))
    function(event("Delete"))

    ((_, response, _),) = function.responses
    assert (response["Data"], response["NoEcho"], response["PhysicalResourceId"]) == ({}, False, TASK_ID)


# A Delete


@pytest.mark.parametrize(
    "physical_id", [TASK_ID, "license-conversion-gate-refused", "stack-Gate-1ABCDEFGHIJKL"], ids=str
)
@pytest.mark.parametrize("properties", [PROPERTIES, {}, {"Misspelt": "x"}], ids=["valid", "none", "refused"])
def test_a_delete_always_succeeds_with_the_id_that_it_names(
    function: WarmFunction, physical_id: str, properties: dict[str, str], said: Callable[[], Said]
) -> None:
    function(event("Delete", PhysicalResourceId=physical_id, ResourceProperties=properties))

    ((_, response, _),) = function.responses
    assert (response["Status"], response["Reason"], response["PhysicalResourceId"]) == ("SUCCESS", "", physical_id)
    assert function.executions.begun == []
    ((_, requested_at, seconds),) = function.executions.stopped
    assert requested_at == "2026-11-22T17:39:55Z"
    one_call_more = 7
    assert 60 - seconds - one_call_more > 10, "for the response"
    printed = said()
    assert printed.metrics == {"GatesStopped": 2}
    assert printed.lines[0].items() >= {**WHOSE, "task_id": physical_id}.items()


def test_a_response_that_is_not_taken_is_counted_and_leaves_the_invocation(
    function: WarmFunction, said: Callable[[], Said]
) -> None:
    function.refuses = True

    with pytest.raises(ResponseNotTaken):
        function(event("Delete"))

    printed = said()
    assert printed.metrics == {"GatesStopped": 2, "ResponsesNotTaken": 1}
    assert printed.lines[-1]["level"] == "ERROR"


# crhelper's seams: a release that takes one away fails here, by its name

OVERRIDDEN = [name for name, one in vars(Lifecycle).items() if inspect.isfunction(one) and name != "__init__"]


def parameters(function: Any) -> list[str]:
    return [name.removeprefix("_") for name in inspect.signature(function).parameters]


@pytest.mark.parametrize("name", OVERRIDDEN)
def test_every_method_that_is_overridden_is_one_of_crhelpers(name: str) -> None:
    theirs = getattr(Lifecycle.mro()[1], name, None)
    assert theirs, f"crhelper's CfnResource has no {name} any more"
    ours = parameters(getattr(Lifecycle, name))
    assert parameters(theirs)[: len(ours)] == ours, f"{name} has other parameters than crhelper's"


def test_crhelper_sets_up_no_logging_and_its_own_logger_which_writes_whole_events_is_silent() -> None:
    """It would through the name that is taken away from it."""
    from crhelper import log_helper  # noqa: PLC0415 - ours imports it first: by itself it would make clients

    assert callable(log_helper.setup)
    root = logging.getLogger()
    before = (root.level, list(root.handlers), log_helper.setup)

    Lifecycle(lambda *_: 1)

    assert (root.level, list(root.handlers), log_helper.setup) == before
    assert not logging.getLogger("crhelper.resource_helper").isEnabledFor(logging.ERROR)
