"""What the last resort does with Step Functions' event that an execution has ended: who is told, what, and who is not."""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import last_resort
import pytest

from license_conversion.errors import AnswerNotDelivered
from tests.context import Context
from tests.local_cloud.answers import AnswersReceiver
from tests.unit.conftest import Said
from tests.unit.network import Network
from tests.unit.test_last_resort import TASK_ID, VERDICT, execution

LINE = {
    "stack_id": "arn:aws:cloudformation:us-east-1:123456789012:stack/gate/0f1e2d3c",
    "logical_resource_id": "Gate",
    "request_type": "Create",
}
ARN = "arn:aws:states:us-east-1:123456789012:execution:LicenseConversionGate-0f1e2d3c:Gate-1"
RUNTIME = {"status": "FAILED", "error": "States.Runtime", "cause": "The path '$.Nowhere' is not there"}
BY_HAND = {"status": "ABORTED", "error": "Operator", "cause": "I wanted it to end"}
SUCCEEDED = {
    "Ended": True,
    "Passed": True,
    "Outcome": "SUCCEEDED",
    "Output": {"Status": "SUCCEEDED"},
    "Answer": VERDICT,
}
TOKEN = {"LicenseConversionTaskId": TASK_ID, "TaskToken": "a token"}


class EndedExecution:
    """An execution that has ended, as Step Functions says it; and the task tokens that were called back."""

    def __init__(self, given: Any, state: Any, **end: Any) -> None:
        self._end = {"input": json.dumps(given), **end}
        self._state = state
        self.asked: list[tuple[str, float]] = []
        self.called: list[tuple[str, Mapping[str, Any]]] = []

    def ended(self, arn: str, seconds: float) -> Mapping[str, Any]:
        self.asked.append((arn, seconds))
        return self._end

    def last_state(self, arn: str, seconds: float) -> Any:
        self.asked.append((arn, seconds))
        return self._state

    def tell_caller(self, token: str, verdict: Mapping[str, Any], _: float) -> None:
        self.called.append((token, verdict))


def of_stack(receiver: AnswersReceiver, **properties: str) -> dict[str, Any]:
    """The input of a stack's execution."""
    given = execution(receiver, {"Checks": 0}, properties)
    return {"Stack": given["Stack"], "Gate": given["Gate"]}


def ends(monkeypatch: pytest.MonkeyPatch, found: EndedExecution, seconds: float = 30, **said: Any) -> None:
    """The event comes; with a key of one's own it says neither the input nor the error."""
    monkeypatch.setattr(last_resort, "_waits", lambda: found)
    detail = {"executionArn": ARN, "status": "FAILED", **said}
    last_resort.handler(
        {"detail-type": "Step Functions Execution Status Change", "detail": detail}, Context(seconds=seconds)
    )


def counted(capsys: pytest.CaptureFixture[str]) -> list[str]:
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [line["_aws"]["CloudWatchMetrics"][0]["Metrics"][0]["Name"] for line in lines if "_aws" in line]


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (
            RUNTIME,
            f"The gate itself broke, the conversion is not affected. Execution {ARN} ended FAILED, States.Runtime: The ",
        ),
        ({"status": "TIMED_OUT"}, f"Execution {ARN} ended TIMED_OUT, no error: no cause"),
        (BY_HAND, "Somebody stopped the gate, the conversion is not affected."),
        (BY_HAND, "ended ABORTED, Operator: I wanted it to end"),
        ({"status": "FAILED", "error": "LicenseConversion.NotAnswered"}, "ended FAILED, LicenseConversion.NotAnswered"),
    ],
)
def test_a_stack_hears_how_its_execution_ended(
    answers: AnswersReceiver, monkeypatch: pytest.MonkeyPatch, end: dict[str, str], words: str
) -> None:
    ends(monkeypatch, EndedExecution(of_stack(answers), {"Waiter": "STACK"}, **end))

    (answer,) = answers.answers()
    assert (answer.json["Status"], answer.json["PhysicalResourceId"]) == ("FAILED", TASK_ID)
    assert words in answer.json["Reason"]


def test_a_verdict_that_a_check_has_seen_goes_out_word_for_word(
    answers: AnswersReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends(monkeypatch, EndedExecution(of_stack(answers), {"Waiter": "STACK", **SUCCEEDED}, **RUNTIME))

    (answer,) = answers.answers()
    assert (answer.json["Status"], answer.json["Data"]) == ("SUCCESS", VERDICT["Data"])


def test_an_execution_that_ended_before_its_first_state_is_told_of_by_its_input(
    answers: AnswersReceiver, monkeypatch: pytest.MonkeyPatch, said: Callable[[], Said]
) -> None:
    given = of_stack(answers)

    ends(monkeypatch, EndedExecution(given, given, **BY_HAND))

    assert [answer.json["Status"] for answer in answers.answers()] == ["FAILED"]
    assert "Told the STACK FAILED" in said().lines[0]["message"]


def test_a_handle_whose_stack_was_answered_is_all_that_is_told(
    answers: AnswersReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = of_stack(answers, WaitConditionHandle=answers.issue("handle"))

    ends(monkeypatch, EndedExecution(given, {"Waiter": "HANDLE"}, **BY_HAND))

    (answer,) = answers.answers()
    assert (answer.json["Status"], answer.json["UniqueId"]) == ("FAILURE", TASK_ID)


@pytest.mark.parametrize(
    ("state", "statuses"),
    [({"Answer": VERDICT, "Ended": False}, {"FAILED", "FAILURE"}), (SUCCEEDED, {"SUCCESS"})],
    ids=["answered at once, perhaps", "with a verdict"],
)
def test_a_stack_and_its_handle_are_both_told_where_nobody_knows_what_the_stack_has_heard(
    answers: AnswersReceiver, monkeypatch: pytest.MonkeyPatch, state: dict[str, Any], statuses: set[str]
) -> None:
    given = of_stack(answers, WaitConditionHandle=answers.issue("handle"))

    ends(monkeypatch, EndedExecution(given, {"Waiter": "STACK", **state}, **BY_HAND))

    stack, handle = answers.answers()
    assert "RequestId" in stack.json
    assert "UniqueId" in handle.json
    assert {stack.json["Status"], handle.json["Status"]} == statuses


@pytest.mark.parametrize(
    "state",
    [TOKEN, {"Waiter": "TASK_TOKEN"}, {"Waiter": "TASK_TOKEN", "Ended": True, "Passed": True}, [], "text"],
    ids=["no state of its own", "no verdict", "a verdict that is not whole", "a list", "a text"],
)
def test_a_task_token_is_called_back(monkeypatch: pytest.MonkeyPatch, state: Any) -> None:
    found = EndedExecution(TOKEN, state, **RUNTIME)

    ends(monkeypatch, found)

    ((token, verdict),) = found.called
    assert (token, verdict["Error"]) == ("a token", "LicenseConversion.GateBroken")
    assert "States.Runtime" in verdict["Cause"]


def test_a_task_token_gets_the_verdict_that_a_check_has_seen(
    monkeypatch: pytest.MonkeyPatch, said: Callable[[], Said]
) -> None:
    found = EndedExecution(TOKEN, {"Waiter": "TASK_TOKEN", **SUCCEEDED}, **BY_HAND)

    ends(monkeypatch, found)

    ((_, verdict),) = found.called
    assert (verdict["Passed"], verdict["Output"]) == (True, {"Status": "SUCCEEDED"})
    message = "Told the TASK_TOKEN SUCCESS as the last resort"
    assert said().lines == [{"level": "INFO", "message": message, "execution": ARN}]


def test_a_task_token_gets_the_failure_that_a_check_has_seen(
    monkeypatch: pytest.MonkeyPatch, said: Callable[[], Said]
) -> None:
    """With its error and cause alone."""
    verdict = {"Ended": True, "Passed": False, "Error": "LicenseConversion.Failed", "Cause": "{}"}
    found = EndedExecution(TOKEN, verdict, **BY_HAND)

    ends(monkeypatch, found)

    assert found.called == [("a token", verdict)]
    assert said().lines[0]["message"] == "Told the TASK_TOKEN FAILED as the last resort"


def test_step_functions_is_asked_for_a_part_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    found = EndedExecution(TOKEN, {"Waiter": "TASK_TOKEN"}, **BY_HAND)

    ends(monkeypatch, found, seconds=41.5)

    assert found.asked == [(ARN, 10.0), (ARN, 10.0)]


def test_an_end_that_step_functions_does_not_know_yet_is_asked_for_again(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution_ = {"executionArn": ARN, "stateMachineArn": ARN, "startDate": 0, "input": json.dumps(TOKEN)}
    network.answers("DescribeExecution", {**execution_, "status": "RUNNING"}, {**execution_, **RUNTIME})
    network.answers("GetExecutionHistory", {"events": []})
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    monkeypatch.setenv("GATE_STATE_MACHINE_ARN", "arn:aws:states:us-east-1:123456789012:stateMachine:gate")

    last_resort.handler(
        {
            "detail-type": "Step Functions Execution Status Change",
            "detail": {"executionArn": ARN, "status": "FAILED"},
        },
        Context(seconds=30),
    )

    assert slept == [1.0]
    assert network.call("SendTaskFailure").said["taskToken"] == "a token"


def test_a_task_that_a_check_has_named_is_the_id_that_the_stack_hears(
    answers: AnswersReceiver, monkeypatch: pytest.MonkeyPatch, said: Callable[[], Said]
) -> None:
    state = {"Waiter": "STACK", "Task": {"LicenseConversionTaskId": "lct-newest"}}

    ends(monkeypatch, EndedExecution(of_stack(answers), state, **BY_HAND))

    (answer,) = answers.answers()
    assert answer.json["PhysicalResourceId"] == "lct-newest"
    message = "Told the STACK FAILED as the last resort"
    assert said().lines == [{**LINE, "level": "INFO", "message": message, "execution": ARN}]


@pytest.mark.parametrize(
    "given",
    [{}, [], "text", 5, None, {"Stack": 1, "Gate": 2}, {"TaskToken": ""}, {"TaskToken": 5}, {"Stack": {"Event": {}}}],
    ids=str,
)
def test_a_caller_by_sync_is_told_by_step_functions_whatever_its_input_is(
    monkeypatch: pytest.MonkeyPatch, given: Any
) -> None:
    found = EndedExecution(given, given, **RUNTIME)

    ends(monkeypatch, found)

    assert found.called == []


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
def test_whoever_has_been_told_is_not_told_again(
    answers: AnswersReceiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    end: dict[str, Any], in_event: bool,
) -> None:  # fmt: skip
    found = EndedExecution(of_stack(answers), {"Waiter": "STACK"}, **end)

    ends(monkeypatch, found, **(end if in_event else {}))

    assert answers.answers() == []
    assert counted(capsys) == []
    assert len(found.asked) == (0 if in_event else 1), "a crowd that fails at once asks Step Functions nothing"


@pytest.mark.parametrize(
    ("end", "state", "metrics"),
    [
        (RUNTIME, {"Waiter": "STACK"}, ["GatesBroken", "LastResortAnswers"]),
        (RUNTIME, {"Waiter": "CALLER"}, ["GatesBroken"]),
        (BY_HAND, {"Waiter": "STACK"}, ["LastResortAnswers"]),
        (BY_HAND, {"Waiter": "CALLER"}, []),
        (RUNTIME, {"Waiter": "STACK", **SUCCEEDED}, ["LastResortAnswers"]),
    ],
    ids=["it broke", "a caller's broke", "by hand", "stopped with its caller", "its end was counted by the check"],
)
def test_an_end_without_a_word_is_counted_so_that_an_alarm_rings(
    answers: AnswersReceiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    *, end: dict[str, Any], state: dict[str, Any], metrics: list[str],
) -> None:  # fmt: skip
    ends(monkeypatch, EndedExecution(of_stack(answers), state, **end))

    assert counted(capsys) == metrics


def test_what_is_told_and_logged_quotes_no_credential(
    answers: AnswersReceiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = of_stack(answers)
    url = given["Stack"]["Event"]["ResponseURL"]

    ends(
        monkeypatch,
        EndedExecution(given, {"Waiter": "STACK"}, status="FAILED", error="States.Runtime", cause=f"at {url}"),
    )

    assert "at (a URL that is a credential)" in answers.answers()[0].json["Reason"]
    assert "X-Amz" not in capsys.readouterr().out


def test_what_nobody_takes_is_tried_again_by_lambda(answers: AnswersReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    answers.misbehave(503, 503, 503)

    with pytest.raises(AnswerNotDelivered):
        ends(monkeypatch, EndedExecution(of_stack(answers), {"Waiter": "STACK"}, **BY_HAND), seconds=1.6)


def test_a_handle_is_told_though_its_stack_takes_nothing(
    answers: AnswersReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = of_stack(answers, WaitConditionHandle=answers.issue("handle"))
    answers.misbehave(503)

    with pytest.raises(AnswerNotDelivered):
        ends(monkeypatch, EndedExecution(given, {"Waiter": "STACK"}, **BY_HAND), seconds=1.6)

    assert answers.answers()[-1].json["Status"] == "FAILURE"


def test_nothing_is_tried_again_for_a_cloudformation_that_has_given_up(
    answers: AnswersReceiver, monkeypatch: pytest.MonkeyPatch, said: Callable[[], Said]
) -> None:
    given = of_stack(answers, ServiceTimeout="1")
    answers.misbehave(503, 503, 503)

    ends(monkeypatch, EndedExecution(given, {"Waiter": "STACK"}, **BY_HAND))

    printed = said()
    assert printed.metrics == {"AnswersNotDelivered": 1}
    (line,) = printed.lines
    assert line.pop("message").startswith("Nobody could be told: ")
    assert line == {**LINE, "level": "ERROR"}
