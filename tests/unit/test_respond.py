"""Each recipient gets a response, by whichever of the four doors the responder is reached: real clients, TLS, and no network."""

import json
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

import respond
from license_conversion import executions, response
from license_conversion.errors import RecipientGone, ResponseNotTaken
from license_conversion.text import MARK
from tests.context import Context
from tests.local_cloud.answers import AnswersReceiver
from tests.unit.conftest import Said
from tests.unit.network import Network, Reply, refusal
from tests.unit.one_gate import STACK_EVENT, TASK_ID
from tests.unit.step_functions import ARNS, STATE_MACHINE, StepFunctions

ARN = f"{ARNS}Gate-1"
WHOSE = {"stack_id": STACK_EVENT["StackId"], "logical_resource_id": "Gate", "request_type": "Create"}
STACK, HANDLE, TOKEN = "STACK", "HANDLE", "TASK_TOKEN"
CALLER = {"LicenseConversionTaskId": TASK_ID, "TaskToken": "a token"}

TIMES = {"GiveUpAt": "2026-11-22T18:38:22Z", "AttemptSeconds": 25, "PauseSeconds": 15}
TASK = {"LicenseConversionTaskId": TASK_ID, "Status": "SUCCEEDED"}
WAITS = {"Waiter": STACK, "Ended": False, **TIMES, "Pending": TASK_ID, "Task": TASK}
SUCCESS = {"Status": "SUCCESS", "Reason": "", "PhysicalResourceId": TASK_ID, "Data": {"Status": "SUCCEEDED"}}
PASSED = {**WAITS, "Ended": True, "Passed": True, "Output": TASK, "Error": "", "Cause": "", "Response": SUCCESS}
FAILURE = {"Status": "FAILED", "Reason": "License conversion FAILED.", "PhysicalResourceId": TASK_ID, "Data": {}}
ERROR = {"Error": "LicenseConversion.Failed", "Cause": '{"Status": "FAILED"}'}
FAILED = {**PASSED, "Passed": False, "Output": {}, **ERROR, "Response": FAILURE}
CAUSE = "The gate itself broke, the conversion is not affected. The last check failed with Lambda.Unknown: killed"
BROKE_WITH = {"Error": "LicenseConversion.GateBroken", "Cause": CAUSE}
BROKEN = {**WAITS, "Ended": True, "Passed": False, "Output": {}, **BROKE_WITH}
AT_ONCE = {**WAITS, "Response": SUCCESS}
"""Not ended: the stack gets its response, because a handle is signalled at the end."""

RUNTIME = {"status": "FAILED", "error": "States.Runtime", "cause": "The path '$.Nowhere' is not there"}
NOT_TAKEN = {"status": "FAILED", "error": "LicenseConversion.NoResponse", "cause": "RecipientGone"}
BY_HAND = {"status": "ABORTED", "error": "Operator", "cause": "I wanted it to end"}
OWN_ID, NO_ID = "license-conversion-gate-responder", "license-conversion-gate-refused"
APPLICATIONS_STACK = """<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>gate</StackName>
<CreationTime>2026-11-25T12:00:00Z</CreationTime><StackStatus>{}</StackStatus></member></Stacks></DescribeStacksResult>
</DescribeStacksResponse>"""


class Outside(StepFunctions):
    """What is outside of the responder: Step Functions, S3 behind CloudFormation's URLs, and the clock."""

    def __init__(self, answers: AnswersReceiver, network: Network) -> None:
        super().__init__(network)
        self.answers = answers
        self.page = 1
        self.stack_is("DELETE_IN_PROGRESS")

    # CloudFormation

    def stack_is(self, status: str) -> None:
        self.network.answers("DescribeStacks", APPLICATIONS_STACK.format(status))

    def request(self, name: str = "stack", **members: Any) -> dict[str, Any]:
        """The event of a stack that waits."""
        properties = {"LicenseConversionTaskId": TASK_ID}
        url = self.answers.issue(name)
        return {**STACK_EVENT, "RequestId": name, "ResponseURL": url, "ResourceProperties": properties, **members}

    def of(self, waiter: str) -> dict[str, Any]:
        """The input of an execution for which a stack, a stack with a handle or a caller waits."""
        if waiter == TOKEN:
            return CALLER
        handle = {"WaitConditionHandle": self.answers.issue("handle", handle=True)} if waiter == HANDLE else {}
        return of_stack(self.request(ResourceProperties={"LicenseConversionTaskId": TASK_ID, **handle}))

    # The doors

    def comes_by(self, door: str, given: Any, gate: Mapping[str, Any]) -> None:
        if door == "state":
            by_state(given, gate)
        elif door == "deletion":
            self.has(given, gate)
            self.deploys("Delete")
        else:
            self.ends(given, gate, RUNTIME if door == "net" else BY_HAND)

    def ends(self, given: Any, gate: Any, end: Mapping[str, str], **said: str) -> None:
        """EventBridge's event comes; with a key of one's own it says neither the input nor the error."""
        self.has(given, gate, **end)
        detail = {"executionArn": ARN, "status": end["status"], **said}
        responds({"detail-type": "Step Functions Execution Status Change", "detail": detail})

    def gives_up(self, **members: Any) -> None:
        """Lambda gives up a request."""
        responds(record(self.request(**members)))

    def deploys(self, request_type: str, seconds: float = 150) -> dict[str, Any]:
        """CloudFormation's event of the application's own resource comes. The response."""
        members = {} if request_type == "Create" else {"PhysicalResourceId": OWN_ID}
        event = {"RequestType": request_type, "ResourceType": "Custom::LicenseConversionGateResponder", **members}
        responds(self.request("own", ResourceProperties={"ServiceTimeout": "900"}, **event), seconds)
        (answer,) = self.answers.answers("own")
        said: dict[str, Any] = answer.json
        return said

    def received(self) -> dict[str, Any]:
        """What each of those who wait has got. Of a caller: the error and the cause, or the output."""
        found: dict[str, Any] = {}
        for answer in self.answers.answers():
            if answer.taken and answer.key == "handle":
                said = {"Status": {"SUCCESS": "SUCCESS", "FAILURE": "FAILED"}[answer.json["Status"]]}
                said |= {"Reason": answer.json["Reason"], "PhysicalResourceId": answer.json["UniqueId"]}
                found[HANDLE] = {**said, "Data": json.loads(answer.json["Data"])}
            elif answer.taken and answer.key != "own":
                found[STACK] = {name: answer.json[name] for name in SUCCESS}
        for call in self.network.calls:
            if call.operation.startswith("SendTask"):
                found[TOKEN] = {name: said for name, said in call.said.items() if name != "taskToken"}
        return found


@pytest.fixture
def outside(answers: AnswersReceiver, network: Network, monkeypatch: pytest.MonkeyPatch) -> Outside:
    outside = Outside(answers, network)
    monkeypatch.setattr(respond, "time", outside)
    # Of deliver; and where `make mutants` has put something else in its place, of the copies that it calls.
    for one in vars(response).values():
        kept: Any = getattr(one, "__kwdefaults__", None) or {}
        if {"sleep", "monotonic"} <= set(kept):
            monkeypatch.setitem(kept, "sleep", outside.sleep)
            monkeypatch.setitem(kept, "monotonic", outside.monotonic)
    monkeypatch.setenv("GATE_STATE_MACHINE_ARN", STATE_MACHINE)
    monkeypatch.setenv("GATE_LOG_GROUP", "/license-conversion-gate/application")
    return outside


def of_stack(event: Mapping[str, Any], **members: Any) -> dict[str, Any]:
    requested = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return {
        "Stack": {"Event": event, "RequestedAt": requested, "PhysicalResourceId": TASK_ID, "Gate": TIMES, **members}
    }


def record(event: Any) -> dict[str, Any]:
    """Lambda's, of an event that it has given up."""
    return {
        "requestContext": {"requestId": "e4b46cbf", "condition": "RetriesExhausted", "approximateInvokeCount": 3},
        "requestPayload": event,
        "responsePayload": {"errorType": "Runtime.ImportModuleError", "errorMessage": "Unable to import module"},
    }


def responds(event: Mapping[str, Any], seconds: float = 150) -> None:
    respond.handler(event, Context(seconds=seconds))


def by_state(given: Any, gate: Mapping[str, Any], seconds: float = 150) -> None:
    responds({"Input": given, "Gate": gate, "Execution": ARN}, seconds)


# What is said, by whichever door


BROKE = f"{CAUSE} The gate waited for task {TASK_ID}. For more: execution {ARN}."
OUTCOMES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, str]]] = {
    "passed": (PASSED, SUCCESS, {"output": json.dumps(TASK)}),
    "failed": (FAILED, FAILURE, {"error": "LicenseConversion.Failed", "cause": '{"Status": "FAILED"}'}),
    "broken": (BROKEN, {**FAILURE, "Reason": BROKE}, {"error": "LicenseConversion.GateBroken", "cause": BROKE}),
}


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("waiter", [STACK, HANDLE, TOKEN])
@pytest.mark.parametrize("door", ["state", "net", "stopped by hand", "deletion"])
def test_each_recipient_gets_the_outcome_in_the_same_words_by_whichever_door(
    outside: Outside, said: Callable[[], Said], door: str, waiter: str, outcome: str
) -> None:
    gate, response, callback = OUTCOMES[outcome]

    outside.comes_by(door, outside.of(waiter), {**gate, "Waiter": waiter})

    assert outside.received() == {waiter: callback if waiter == TOKEN else response}
    assert "GatesBroken" not in said().metrics, "the check has counted its end"


OF = f"while it waited for task {TASK_ID}. The conversion is not affected. Execution {ARN}"
ITSELF = f"The gate itself broke {OF} ended"


@pytest.mark.parametrize("waiter", [STACK, HANDLE, TOKEN])
@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (RUNTIME, f"{ITSELF} FAILED, States.Runtime: The path '$.Nowhere' is not there"),
        ({"status": "TIMED_OUT"}, f"{ITSELF} TIMED_OUT, no error: no cause"),
        (NOT_TAKEN, f"{ITSELF} FAILED, LicenseConversion.NoResponse: RecipientGone"),
        (BY_HAND, f"The gate's execution was stopped by an operator {OF} ended ABORTED, Operator: I wanted it to end"),
        ({}, f"The license conversion gate was deleted {OF} was stopped"),
    ],
    ids=["Step Functions ended it", "too late", "its response was not taken", "by hand", "the application is deleted"],
)
def test_where_there_is_no_outcome_the_reason_says_what_became_of_the_gate_of_which_task(
    outside: Outside, said: Callable[[], Said], waiter: str, end: dict[str, str], reason: str
) -> None:
    """Each end but that of the application is counted, so that an alarm rings."""
    given, gate = outside.of(waiter), {**WAITS, "Waiter": waiter}

    if end:
        outside.ends(given, gate, end)
    else:
        outside.comes_by("deletion", given, gate)

    callback = {"error": "LicenseConversion.GateBroken", "cause": reason}
    assert outside.received() == {waiter: callback if waiter == TOKEN else {**FAILURE, "Reason": reason}}
    broke = {"GatesBroken": 1} if ITSELF in reason else {}
    assert said().metrics == ({**broke, "ResponderRuns": 1} if end else {})


@pytest.mark.parametrize(
    ("properties", "asked_for"),
    [
        ({"LicenseConversionTaskId": "lct-1"}, "task lct-1"),
        ({"ResourceArn": "arn:aws:ec2:r:1:i/i-1"}, "the newest task of arn:aws:ec2:r:1:i/i-1"),
        ({"LicenseConversionTaskIds": ["lct-1", "lct-2"]}, "a fleet of 2 tasks"),
        ({"LicenseConversionTaskId": "https://bucket/k?X-Amz-Signature=c0ffee"}, "a task"),
        ({"ResourceArn": "arn:https://bucket/k?X-Amz-Signature=c0ffee"}, "a task"),
        ({}, "a task"),
    ],
)
def test_a_gate_that_broke_before_any_check_names_what_was_asked_for_and_repeats_nothing_else(
    outside: Outside, properties: dict[str, Any], asked_for: str
) -> None:
    gate = {name: value for name, value in BROKEN.items() if name != "Task"}

    by_state(of_stack(outside.request(ResourceProperties=properties)), gate)

    assert outside.received()[STACK]["Reason"] == BROKE.replace(f"task {TASK_ID}", asked_for)


def test_a_cause_of_any_length_leaves_room_for_the_task_and_the_execution(outside: Outside) -> None:
    began = time.process_time()

    by_state(outside.of(STACK), {**BROKEN, "Cause": "😀" * 32_000})

    assert outside.received()[STACK]["Reason"].endswith("😀" * 10 + MARK + BROKE.removeprefix(CAUSE))
    assert time.process_time() - began < 2, "an attempt has 25 seconds"


@pytest.mark.parametrize(
    ("task", "asked_for", "expected"),
    [({}, TASK_ID, TASK_ID), ({}, "", NO_ID), ({"LicenseConversionTaskId": "lct-newest"}, "", "lct-newest")],
    ids=["the one that was asked for", "no task was named", "a check has named it"],
)
def test_a_gate_that_broke_has_the_id_that_is_known(
    outside: Outside, task: dict[str, str], asked_for: str, expected: str
) -> None:
    by_state(of_stack(outside.request(), PhysicalResourceId=asked_for), {**BROKEN, "Task": task})

    assert outside.received()[STACK]["PhysicalResourceId"] == expected


@pytest.mark.parametrize(
    ("door", "waiter", "gate", "statuses"),
    [
        ("state", STACK, AT_ONCE, {STACK: "SUCCESS"}),
        ("state", HANDLE, {**PASSED, "Response": FAILURE}, {HANDLE: "FAILED"}),
        ("stopped by hand", STACK, WAITS, {STACK: "FAILED", HANDLE: "FAILED"}),
        ("stopped by hand", STACK, AT_ONCE, {STACK: "SUCCESS", HANDLE: "FAILED"}),
        ("stopped by hand", STACK, PASSED, {STACK: "SUCCESS", HANDLE: "SUCCESS"}),
        ("stopped by hand", HANDLE, AT_ONCE, {HANDLE: "FAILED"}),
        ("deletion", STACK, AT_ONCE, {STACK: "SUCCESS", HANDLE: "FAILED"}),
    ],
)
def test_the_response_that_a_stack_gets_at_once_is_never_signalled_to_its_handle(
    outside: Outside, door: str, waiter: str, gate: dict[str, Any], statuses: dict[str, str]
) -> None:
    """Where it is not known whether the stack has its response, both get one: each takes the first that it gets."""
    outside.comes_by(door, outside.of(HANDLE), {**gate, "Waiter": waiter})

    assert {name: said["Status"] for name, said in outside.received().items()} == statuses


@pytest.mark.parametrize(
    "credential",
    [
        "https://bucket.s3.amazonaws.com/k?X-Amz-Signature=c0ffee",
        "https://bucket/k?Expires=1&AWSAccessKeyId=A&Signature=c0ffee",
        "'/k?X-Amz-Signature=c0ffee'",
    ],
)
@pytest.mark.parametrize("door", ["state", "net", "record"])
def test_no_credential_is_in_a_reason_a_cause_or_a_log_line(
    outside: Outside, lines: Callable[[], str], door: str, credential: str
) -> None:
    quote, given = f"not found: {credential} failed", outside.of(STACK)

    if door == "state":
        by_state(given, {**BROKEN, "Cause": quote})
        by_state(CALLER, {**BROKEN, "Waiter": TOKEN, "Cause": quote})
    elif door == "net":
        outside.ends(given, WAITS, {**RUNTIME, "cause": quote})
        outside.ends(CALLER, {**WAITS, "Waiter": TOKEN}, {**RUNTIME, "cause": quote})
    else:
        responds({**record(outside.request()), "responsePayload": {"errorType": "KeyError", "errorMessage": quote}})

    told = json.dumps(outside.received())
    assert told.count("not found: (a URL that is a credential) failed") == (1 if door == "record" else 2)
    printed = lines()
    assert "INFO" in printed
    for secret in ("c0ffee", "X-Amz", "127.0.0.1", "a token", *(one.signature for one in outside.answers.issued())):
        assert secret not in printed + told


# The state Respond


@pytest.mark.parametrize("attempt_seconds", [25, 8, 5])
def test_an_attempt_ends_before_the_state_machine_gives_it_up(outside: Outside, attempt_seconds: int) -> None:
    outside.answers.misbehave(*[503] * 50)

    with pytest.raises(ResponseNotTaken) as raised:
        by_state(outside.of(STACK), {**PASSED, "AttemptSeconds": attempt_seconds})

    assert type(raised.value) is ResponseNotTaken, "it is tried again"
    assert len(outside.answers.answers()) >= 3
    assert outside.monotonic() <= attempt_seconds - 1.5, "a function may have to start in it"


@pytest.mark.parametrize(
    ("ago", "error"), [(30, ResponseNotTaken), (91, RecipientGone)], ids=["CloudFormation waits", "it has given up"]
)
@pytest.mark.parametrize("dated", [True, False], ids=["the URL has a date", "the URL has none"])
def test_a_response_is_tried_for_as_long_as_cloudformation_waits_counted_from_the_request(
    outside: Outside, said: Callable[[], Said], dated: bool, ago: int, error: type[ResponseNotTaken]
) -> None:
    """The state machine knows by the error's name whether to try again."""
    requested = datetime.now(UTC) - timedelta(seconds=ago)
    date = f"X-Amz-Date={requested:%Y%m%dT%H%M%SZ}&" if dated else ""
    event = outside.request(ResponseURL=f"{outside.answers.url}/key?{date}X-Amz-Signature=c0ffee")  # S3 would say 403
    event["ResourceProperties"]["ServiceTimeout"] = "90"
    began = datetime.now(UTC) if dated else requested

    with pytest.raises(ResponseNotTaken) as raised:
        by_state(of_stack(event, RequestedAt=f"{began:%Y-%m-%dT%H:%M:%SZ}"), PASSED)

    assert type(raised.value) is error
    printed = said()
    assert printed.metrics == {"ResponsesNotTaken": 1}
    assert printed.lines == [{"level": "ERROR", "message": f"The response was not taken: {raised.value}"}]


@pytest.mark.parametrize(
    ("code", "metrics"),
    [("InvalidToken", {"CallbacksRefused": 1}), ("TaskTimedOut", {}), ("TaskDoesNotExist", {})],
    ids=["a token of another account", "it has given up", "it has ended"],
)
@pytest.mark.parametrize("gate", [PASSED, FAILED], ids=["success", "failure"])
def test_a_caller_that_takes_no_callback_is_no_error_of_ours(
    outside: Outside, said: Callable[[], Said], gate: dict[str, Any], code: str, metrics: dict[str, int]
) -> None:
    """https://docs.aws.amazon.com/step-functions/latest/dg/connect-to-resource.html#connect-wait-token"""
    outside.network.refuses("SendTaskSuccess", code)
    outside.network.refuses("SendTaskFailure", code)

    by_state(CALLER, {**gate, "Waiter": TOKEN})

    printed = said()
    assert len(outside.network.calls) == 1
    assert printed.metrics == metrics
    went_on = ("INFO", "SUCCESS" if gate["Passed"] else "FAILED")
    assert [(line["level"], line["status"]) for line in printed.lines] == [
        ("WARNING", "REFUSED") if metrics else went_on
    ]


def test_a_callback_is_tried_again_for_as_long_as_the_attempt_lasts(outside: Outside) -> None:
    outside.network.answers("SendTaskSuccess", refusal("ThrottlingException"), {})
    by_state(CALLER, {**PASSED, "Waiter": TOKEN})

    outside.network.refuses("SendTaskFailure", "ThrottlingException")
    with pytest.raises(ClientError):
        by_state(CALLER, {**FAILED, "Waiter": TOKEN})

    assert outside.network.operations().count("SendTaskSuccess") == 2
    assert outside.monotonic() <= 2 * 23.5


@pytest.mark.parametrize("waiter", [STACK, HANDLE])
def test_the_log_says_who_got_which_response(outside: Outside, said: Callable[[], Said], waiter: str) -> None:
    by_state(outside.of(HANDLE), {**FAILED, "Waiter": waiter})

    message = f"The {waiter} got its response"
    line = {**WHOSE, "level": "INFO", "message": message, "status": "FAILED", "execution": ARN, "task_id": TASK_ID}
    assert said() == Said([line])


# EventBridge's rule: an execution has ended


@pytest.mark.parametrize(
    "end",
    [
        {"status": "SUCCEEDED"},
        {"status": "FAILED", "error": "LicenseConversion.Failed"},
        {"status": "FAILED", "error": "LicenseConversion.GateBroken"},
        {"status": "ABORTED", "error": "LicenseConversion.Stopped"},
    ],
    ids=lambda end: end.get("error", end["status"]),
)
@pytest.mark.parametrize("in_event", [True, False], ids=["the event says it", "the event does not say it"])
def test_a_recipient_that_has_a_response_gets_no_second_one(
    outside: Outside, said: Callable[[], Said], end: dict[str, str], in_event: bool
) -> None:
    outside.ends(outside.of(STACK), WAITS, end, **(end if in_event else {}))

    assert outside.answers.answers() == []
    assert said() == Said()
    asked_nothing = in_event or end["status"] == "SUCCEEDED"
    assert bool(outside.network.calls) != asked_nothing, "a thousand that fail at once ask Step Functions nothing"


@pytest.mark.parametrize(("end", "metrics"), [(RUNTIME, {"GatesBroken": 1}), (BY_HAND, {})], ids=["broke", "stopped"])
@pytest.mark.parametrize("waiter", ["CALLER", "NONE"])
def test_there_is_no_response_where_the_state_machine_would_send_none(
    outside: Outside, said: Callable[[], Said], waiter: str, end: dict[str, str], metrics: dict[str, int]
) -> None:
    outside.ends(outside.of(STACK), {**WAITS, "Waiter": waiter}, end)

    assert outside.received() == {}
    assert said().metrics == metrics


@pytest.mark.parametrize("waiter", [STACK, TOKEN])
@pytest.mark.parametrize("gate", [None, [], "text"], ids=["never assigned", "a list", "a text"])
def test_an_execution_without_a_state_of_its_own_is_known_by_its_input(
    outside: Outside, waiter: str, gate: Any
) -> None:
    outside.ends(outside.of(waiter), gate, BY_HAND)

    assert outside.received().keys() == {waiter}


NONE_OF_OURS: list[Any] = [{}, [], "text", 5, None, {"TaskToken": ""}, {"TaskToken": 5}, {"Stack": 1, "Gate": 2}]
UNSIGNED = {"Stack": {"Event": {"ResponseURL": "https://internal/admin"}, "Gate": TIMES}}


@pytest.mark.parametrize("given", [*NONE_OF_OURS, {"Stack": {"Event": {}}}, UNSIGNED], ids=str)
def test_a_caller_by_sync_reads_how_the_execution_ended_whatever_its_input_is(outside: Outside, given: Any) -> None:
    outside.ends(given, None, RUNTIME)

    assert outside.received() == {}


def test_an_end_that_step_functions_does_not_say_yet_is_asked_for_again(outside: Outside) -> None:
    outside.network.answers("DescribeExecution", {"status": "RUNNING"}, outside.describes)

    outside.ends(CALLER, None, RUNTIME)

    assert outside.monotonic() == 1.0
    assert outside.network.call("SendTaskFailure")


def test_what_step_functions_does_not_say_in_a_quarter_of_the_time_is_tried_again_by_lambda(outside: Outside) -> None:
    outside.network.refuses("DescribeExecution", "ThrottlingException")

    with pytest.raises(ClientError):
        outside.ends(CALLER, None, RUNTIME)

    assert outside.monotonic() <= 150 / 4


def test_a_handle_is_signalled_though_its_stack_takes_nothing_and_lambda_tries_again(outside: Outside) -> None:
    given = outside.of(HANDLE)
    outside.answers.misbehave(*[503] * 20, key_part="stack")

    with pytest.raises(ResponseNotTaken):
        outside.ends(given, WAITS, BY_HAND)

    assert outside.received().keys() == {HANDLE}


def test_nothing_is_tried_again_for_a_cloudformation_that_has_given_up(
    outside: Outside, said: Callable[[], Said]
) -> None:
    event = outside.request(ResourceProperties={"ServiceTimeout": "1"})
    outside.answers.misbehave(*[503] * 20)

    outside.ends(of_stack(event), WAITS, BY_HAND)

    printed = said()
    assert printed.metrics == {"ResponsesNotTaken": 1}
    assert [(line["level"], line["execution"]) for line in printed.lines] == [("ERROR", ARN)]


# Lambda's record: a request of CloudFormation's that it has given up


@pytest.mark.parametrize("request_type", ["Create", "Update"])
def test_a_request_that_lambda_gave_up_fails_with_what_was_asked_for_and_where_to_look(
    outside: Outside, said: Callable[[], Said], request_type: str
) -> None:
    outside.gives_up(RequestType=request_type)

    reason = (
        f"The gate itself broke before it could wait for task {TASK_ID}. The conversion is not affected. For more: log "
        "group /license-conversion-gate/application, request e4b46cbf. Lambda gave the request up (RetriesExhausted, attempt "
        "3): Runtime.ImportModuleError: Unable to import module"
    )
    assert outside.received() == {STACK: {**FAILURE, "Reason": reason}}
    assert outside.monotonic() == respond.LOOK_AGAIN_SECONDS, "that there is no execution is no failure to try again"
    line = {**WHOSE, "request_type": request_type, "level": "INFO", "message": "The stack got its response"}
    printed = said()
    assert printed.lines == [{**line, "status": "FAILED"}]
    assert printed.metrics == {"ResponderRuns": 1}


@pytest.mark.parametrize(
    "properties",
    [{}, None, "text", {"LicenseConversionTaskId": ["lct-1"]}, {"ResourceArn": "arn:aws:ec2:r:1:i/i-1"}],
    ids=str,
)
def test_a_request_that_was_given_up_before_its_task_was_known_has_an_id_all_the_same(
    outside: Outside, properties: Any
) -> None:
    outside.gives_up(ResourceProperties=properties)

    assert outside.received()[STACK]["PhysicalResourceId"] == NO_ID


def test_a_record_that_says_little_and_a_function_without_its_settings_are_no_reason_for_silence(
    outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event that was throttled for too long has no responsePayload."""
    monkeypatch.delenv("GATE_LOG_GROUP")
    monkeypatch.delenv("GATE_STATE_MACHINE_ARN")

    responds({"requestPayload": outside.request()})

    assert outside.received()[STACK]["Reason"].endswith(
        "For more: log group of the function, request None. Lambda gave the request up (None, attempt None): no error: "
    )


def test_refused_properties_get_the_response_that_the_function_gives_unless_they_cannot_be_read(
    outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The function may have sent it, and not have been able to say so."""
    outside.gives_up(ResourceProperties={"LicenseConversionTaskId": TASK_ID, "OnFailure": "fail"})

    reason = "OnFailure: 'fail' is not allowed: it must be FAIL or CONTINUE."
    assert outside.received()[STACK] == {**FAILURE, "Reason": reason, "PhysicalResourceId": NO_ID}
    assert outside.network.calls == []

    monkeypatch.setitem(sys.modules, "license_conversion.request", None)
    outside.gives_up(ResourceProperties={"OnFailure": "fail"})

    assert outside.received()[STACK]["Reason"].startswith("The gate itself broke before it could wait for a task.")


@pytest.mark.parametrize("malformed", [None, [], "text", {"RequestType": "Create"}], ids=str)
def test_an_event_that_is_none_of_cloudformations_is_logged_and_dropped(
    outside: Outside, said: Callable[[], Said], malformed: Any
) -> None:
    responds(record(malformed))

    assert outside.answers.answers() == []
    message = "The event that Lambda gave up is none of CloudFormation's"
    assert said() == Said([{"level": "ERROR", "message": message}])


@pytest.mark.parametrize(
    "end",
    [{}, {"status": "SUCCEEDED"}, {"status": "ABORTED", "error": "LicenseConversion.Stopped"}],
    ids=lambda end: end.get("status", "it runs"),
)
@pytest.mark.parametrize("meanwhile", [(), (refusal("ExecutionDoesNotExist"),), (refusal("ThrottlingException"),) * 3])
def test_the_response_is_left_to_the_execution_that_the_function_began_before_it_broke(
    outside: Outside, said: Callable[[], Said], meanwhile: tuple[Reply, ...], end: dict[str, str]
) -> None:
    """Step Functions may know of it a moment later, or be busy."""
    event = outside.request()
    outside.has({}, None, executions.name(event), **end)
    outside.network.answers("DescribeExecution", *meanwhile, outside.describes)

    responds(record(event))

    assert outside.answers.answers() == []
    message = "The function failed, and the execution that it had begun responds"
    assert said() == Said([{**WHOSE, "level": "INFO", "message": message}])


def test_a_request_whose_execution_step_functions_ended_gets_its_response_here(outside: Outside) -> None:
    event = outside.request()
    outside.has({}, None, executions.name(event), **RUNTIME)

    responds(record(event))

    assert outside.received().keys() == {STACK}


@pytest.mark.parametrize(
    ("broken", "error"), [("boto3", "ModuleNotFoundError"), ("settings", "KeyError"), ("rights", "ClientError")]
)
def test_a_request_gets_a_response_where_it_cannot_be_known_whether_it_has_an_execution(
    outside: Outside, said: Callable[[], Said], monkeypatch: pytest.MonkeyPatch, broken: str, error: str
) -> None:
    if broken == "boto3":
        monkeypatch.setitem(sys.modules, "boto3", None)
    elif broken == "settings":
        monkeypatch.delenv("GATE_STATE_MACHINE_ARN")
    outside.network.refuses("DescribeExecution", "AccessDeniedException")

    outside.gives_up()

    assert outside.received()[STACK]["Status"] == "FAILED"
    message = f"It is not known whether the request has an execution: {error}"
    assert said().lines[0] == {**WHOSE, "level": "WARNING", "message": message}
    assert outside.monotonic() <= 50, "some seconds, and not all that there are"


@pytest.mark.parametrize("physical_id", [TASK_ID, "stack-Gate-ABCDEFGHIJKLM"], ids=["its own", "CloudFormation's"])
def test_a_delete_that_lambda_gave_up_succeeds_and_stops_the_resources_execution(
    outside: Outside, physical_id: str
) -> None:
    create = outside.request("create")
    outside.has(of_stack(create), WAITS, executions.name(create))

    outside.gives_up(RequestType="Delete", PhysicalResourceId=physical_id)

    assert outside.received() == {STACK: {**SUCCESS, "PhysicalResourceId": physical_id, "Data": {}}}
    assert outside.stopped == [(executions.name(create), "LicenseConversion.Stopped")]


@pytest.mark.parametrize("broken", ["boto3", "throttled"])
def test_a_delete_succeeds_and_has_half_of_the_time_for_it_when_no_execution_can_be_stopped(
    outside: Outside, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    if broken == "boto3":
        monkeypatch.setitem(sys.modules, "boto3", None)
    outside.network.refuses("ListExecutions", "ThrottlingException")

    outside.gives_up(RequestType="Delete", PhysicalResourceId=TASK_ID)

    assert outside.received()[STACK]["Status"] == "SUCCESS"
    assert outside.monotonic() <= 150 / 2


# The application's own resource


@pytest.mark.parametrize("request_type", ["Create", "Update"])
def test_a_deployment_shows_that_the_responder_runs_and_touches_nothing(outside: Outside, request_type: str) -> None:
    outside.has(outside.of(STACK), WAITS)

    own = outside.deploys(request_type)

    assert {name: own[name] for name in SUCCESS} == {**SUCCESS, "PhysicalResourceId": OWN_ID, "Data": {}}
    assert outside.network.calls == []


def test_a_deletion_responds_to_all_who_wait_and_then_stops_their_executions(
    outside: Outside, said: Callable[[], Said]
) -> None:
    waiting = {
        "stack": (outside.of(STACK), STACK),
        "handle": (outside.of(HANDLE), HANDLE),
        "token": (CALLER, TOKEN),
        "sync": ({"LicenseConversionTaskId": TASK_ID}, "CALLER"),
    }
    for name, (given, waiter) in waiting.items():
        outside.has(given, {**WAITS, "Waiter": waiter}, name)

    own = outside.deploys("Delete")

    assert outside.received().keys() == {STACK, HANDLE, TOKEN}
    assert sorted(outside.stopped) == [(name, "LicenseConversion.Stopped") for name in sorted(waiting)], (
        "an error by which the safety net knows that all have their responses"
    )
    assert (own["Status"], own["Reason"]) == ("SUCCESS", "4 gates that waited were ended with a response, 0 were left")
    assert {"level": "INFO", "message": own["Reason"]} in said().lines


@pytest.mark.parametrize("status", ["UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "ROLLBACK_IN_PROGRESS"])
def test_there_is_no_response_where_the_resource_goes_alone(outside: Outside, status: str) -> None:
    """By an update to a release that has no such resource, for example."""
    outside.stack_is(status)
    outside.has(outside.of(STACK), WAITS)

    assert outside.deploys("Delete")["Status"] == "SUCCESS"

    assert outside.received() == {}
    assert outside.stopped == []


def test_where_it_is_not_known_whether_the_stack_goes_everybody_gets_a_response(
    outside: Outside, said: Callable[[], Said]
) -> None:
    outside.network.answers("DescribeStacks", "<ErrorResponse/>", status=403)
    outside.has(outside.of(STACK), WAITS)

    assert outside.deploys("Delete")["Status"] == "SUCCESS"

    assert outside.received().keys() == {STACK}
    assert said().lines[0]["level"] == "WARNING"


def test_a_gate_that_comes_meanwhile_gets_a_response_too(outside: Outside) -> None:
    outside.has(CALLER, {**WAITS, "Waiter": TOKEN})
    first = outside.lists({"statusFilter": "RUNNING"})
    outside.network.answers("ListExecutions", first, outside.lists)
    outside.has(outside.of(STACK), WAITS, "late")

    assert outside.deploys("Delete")["Reason"].startswith("2 gates that waited were ended")

    assert outside.received().keys() == {STACK, TOKEN}


def test_one_that_takes_no_response_is_left_and_keeps_no_other_from_it(
    outside: Outside, said: Callable[[], Said]
) -> None:
    outside.has(of_stack(outside.request("deaf")), WAITS, "deaf")
    outside.answers.misbehave(*[503] * 50, key_part="deaf")
    outside.has(outside.of(STACK), WAITS, "stack")

    own = outside.deploys("Delete")

    assert (own["Status"], own["Reason"]) == ("SUCCESS", "1 gates that waited were ended with a response, 1 were left")
    assert outside.stopped == [("stack", "LicenseConversion.Stopped")], "one that has no response may respond yet"
    errors = [line for line in said().lines if line["level"] == "ERROR"]
    no_response = {"level": "ERROR", "message": "A gate got no response: ResponseNotTaken", "execution": f"{ARNS}deaf"}
    assert errors == [no_response, no_response, {"level": "ERROR", "message": own["Reason"]}]


@pytest.mark.parametrize(
    "operation", ["ListExecutions", "DescribeExecution", "GetExecutionHistory", "StopExecution", "SendTaskFailure"]
)
def test_the_deletion_goes_on_whatever_step_functions_says(
    outside: Outside, said: Callable[[], Said], operation: str
) -> None:
    outside.network.refuses(operation, "AccessDeniedException")
    outside.has(CALLER, {**WAITS, "Waiter": TOKEN})

    own = outside.deploys("Delete")

    left = 0 if operation == "ListExecutions" else 1
    assert own["Status"] == "SUCCESS"
    assert own["Reason"] == f"0 gates that waited were ended with a response, {left} were left"
    assert "ERROR" in {line.get("level") for line in said().lines}
    assert outside.stopped == [], "a gate without a response may respond yet"
    assert outside.monotonic() <= 150 - 1.5 - respond.ENOUGH_TO_RESPOND


@pytest.mark.parametrize(
    ("gates", "call_seconds", "seconds"), [(100, 1, 150), (1, 7, 36.5)], ids=["many gates", "calls that take long"]
)
def test_a_deletion_keeps_time_for_its_own_response_and_says_how_many_gates_were_left(
    outside: Outside, gates: int, call_seconds: int, seconds: float
) -> None:
    outside.call_seconds = call_seconds
    for number in range(gates):
        outside.has(CALLER, {**WAITS, "Waiter": "CALLER"}, str(number))

    own = outside.deploys("Delete", seconds)

    assert own["Status"] == "SUCCESS"
    assert not own["Reason"].endswith(" 0 were left")
    assert outside.monotonic() <= seconds - 1.5 - 5
