"""The application is deleted: who is told, and that its deployment and its deletion succeed whatever happens."""

import io
import json
from collections.abc import Callable, Mapping
from typing import Any

import boto3
import last_resort
import pytest
import tell_waiters
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from urllib3 import HTTPResponse

from tests.context import Context
from tests.local_cloud.answers import AnswersReceiver
from tests.unit.conftest import Said
from tests.unit.test_last_resort import TASK_ID, execution, given_up
from tests.unit.test_waits import STATE_MACHINE, STOPPED, ScriptedStepFunctions, history, listed

APPLICATION = "arn:aws:cloudformation:us-east-1:123456789012:stack/license-conversion-gate/0f1e2d3c"
DELETED = "The gate was deleted while you waited, the conversion is not affected."
TOKEN = {"LicenseConversionTaskId": TASK_ID, "TaskToken": "a token"}
DESCRIBED = """<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>license-conversion-gate</StackName>
<CreationTime>2026-11-25T12:00:00Z</CreationTime><StackStatus>{}</StackStatus></member></Stacks></DescribeStacksResult>
</DescribeStacksResponse>"""


class DeletedApplication:
    """Its stack's status, and the executions that run: the input and the last state of each, by its name."""

    def __init__(self, step_functions: ScriptedStepFunctions) -> None:
        self.status = "DELETE_IN_PROGRESS"
        self.running: dict[str, tuple[Any, Any]] = {}
        self.newcomers: dict[str, tuple[Any, Any]] = {}
        self.step_functions = step_functions
        step_functions.answers = {
            "ListExecutions": [self._list],
            "DescribeExecution": [self._describe],
            "GetExecutionHistory": [lambda said: history(self._of(said)[1])],
            "StopExecution": [self._stop],
            "SendTaskFailure": [{}],
        }

    def _of(self, said: Mapping[str, Any]) -> tuple[Any, Any]:
        return self.running[said["executionArn"].rpartition(":")[2]]

    def _list(self, _: Mapping[str, Any]) -> dict[str, Any]:
        page = listed(*self.running)
        self.running |= self.newcomers
        return page

    def _describe(self, said: Mapping[str, Any]) -> dict[str, Any]:
        given = json.dumps(self._of(said)[0])
        return {**said, "stateMachineArn": STATE_MACHINE, "startDate": 0, "status": "RUNNING", "input": given}

    def _stop(self, said: Mapping[str, Any]) -> dict[str, Any]:
        self.running.pop(said["executionArn"].rpartition(":")[2])
        return STOPPED

    def describe_stack(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        status = 200 if self.status else 403
        raw = HTTPResponse(body=io.BytesIO(DESCRIBED.format(self.status).encode()), preload_content=False)
        return AWSResponse(request.url, status, HTTPHeaders(), raw)


@pytest.fixture
def application(monkeypatch: pytest.MonkeyPatch) -> DeletedApplication:
    """Real clients of boto3, without a network."""
    session = boto3.Session(region_name="us-east-1")
    made = DeletedApplication(ScriptedStepFunctions())
    hooks: Any = made.step_functions, made.describe_stack
    session.events.register("before-send.stepfunctions", hooks[0])
    session.events.register("before-send.cloudformation", hooks[1])
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", session)
    monkeypatch.setenv("GATE_STATE_MACHINE_ARN", STATE_MACHINE)
    monkeypatch.setattr(tell_waiters, "LINGER_SECONDS", 0)
    return made


def request(receiver: AnswersReceiver, request_type: str = "Delete") -> dict[str, Any]:
    return {
        "RequestType": request_type,
        "StackId": APPLICATION,
        "RequestId": "the application's",
        "LogicalResourceId": "WaitersTold",
        "ResourceType": "Custom::WaitersTold",
        "ResponseURL": receiver.issue(f"application {request_type}"),
        "ResourceProperties": {"ServiceTimeout": "900"},
        **({} if request_type == "Create" else {"PhysicalResourceId": "waiters-told"}),
    }


def of_stack(receiver: AnswersReceiver, name: str, waiter: str = "STACK", **properties: str) -> tuple[Any, Any]:
    given = execution(receiver, {}, properties, ResponseURL=receiver.issue(name), RequestId=name)
    return {"Stack": given["Stack"], "Gate": given["Gate"]}, {"Waiter": waiter}


def heard(receiver: AnswersReceiver) -> dict[str, dict[str, Any]]:
    """The answers by whom they are for; a signal has no request."""
    return {answer.json.get("RequestId", "signal"): answer.json for answer in receiver.answers()}


def test_everybody_who_waits_hears_that_the_gate_is_deleted_and_then_their_executions_are_stopped(
    answers: AnswersReceiver, application: DeletedApplication, said: Callable[[], Said]
) -> None:
    application.running = {
        "stack": of_stack(answers, "stack"),
        "handle": of_stack(answers, "handle", "HANDLE", WaitConditionHandle=answers.issue("a handle")),
        "token": (TOKEN, {"Waiter": "TASK_TOKEN"}),
        "sync": ({"LicenseConversionTaskId": TASK_ID}, {"Waiter": "CALLER"}),
    }

    tell_waiters.handler(request(answers), Context(seconds=60))

    told = heard(answers)
    assert told.keys() == {"stack", "signal", "the application's"}
    assert (told["stack"]["Status"], told["signal"]["Status"]) == ("FAILED", "FAILURE")
    assert told["stack"]["Reason"].startswith(DELETED)
    assert told["signal"]["Reason"].startswith(DELETED)
    (called,) = [one for operation, one in application.step_functions.asked if operation == "SendTaskFailure"]
    assert (called["taskToken"], called["error"]) == ("a token", "LicenseConversion.GateBroken")
    assert called["cause"].startswith(DELETED)
    assert sorted(application.step_functions.stopped()) == ["handle", "stack", "sync", "token"]
    stops = [one for operation, one in application.step_functions.asked if operation == "StopExecution"]
    assert {one["error"] for one in stops} == {"LicenseConversion.Stopped"}, "so that the second net tells nobody again"
    assert {one["cause"] for one in stops} == {"The gate was deleted while you waited"}
    assert told["the application's"]["Status"] == "SUCCESS"
    assert told["the application's"]["Reason"] == "4 who waited were told that the gate is deleted, 0 were left"
    assert said().lines == [{"level": "INFO", "message": told["the application's"]["Reason"]}]


@pytest.mark.parametrize("request_type", ["Create", "Update"])
def test_a_deployment_asks_nothing_and_succeeds(
    answers: AnswersReceiver, application: DeletedApplication, request_type: str
) -> None:
    application.running = {"stack": of_stack(answers, "stack")}

    tell_waiters.handler(request(answers, request_type), Context(seconds=60))

    (answer,) = answers.answers()
    assert (answer.json["Status"], answer.json["PhysicalResourceId"]) == ("SUCCESS", "waiters-told")
    assert answer.json["Reason"] == ""
    assert application.step_functions.asked == []


@pytest.mark.parametrize("status", ["UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS"])
def test_nobody_is_told_where_the_resource_goes_and_the_stack_stays(
    answers: AnswersReceiver, application: DeletedApplication, status: str
) -> None:
    """A downgrade to a release that has no such resource, for example."""
    application.running, application.status = {"stack": of_stack(answers, "stack")}, status

    tell_waiters.handler(request(answers), Context(seconds=60))

    assert heard(answers).keys() == {"the application's"}
    assert application.step_functions.stopped() == []


def test_where_it_is_not_known_whether_the_stack_goes_they_are_told(
    answers: AnswersReceiver, application: DeletedApplication, said: Callable[[], Said]
) -> None:
    application.running, application.status = {"stack": of_stack(answers, "stack")}, ""

    tell_waiters.handler(request(answers), Context(seconds=60))

    assert heard(answers)["stack"]["Status"] == "FAILED"
    unknown, _ = said().lines
    assert unknown["level"] == "WARNING"
    assert unknown["message"].startswith(
        "It is not known whether the stack is being deleted; whoever waits is told that: An error occurred"
    )


def test_who_comes_meanwhile_is_told_too(answers: AnswersReceiver, application: DeletedApplication) -> None:
    application.running = {"stack": of_stack(answers, "stack")}
    application.newcomers = {"late": of_stack(answers, "late")}

    tell_waiters.handler(request(answers), Context(seconds=60))

    told = heard(answers)
    assert told["late"]["Status"] == "FAILED"
    assert told["the application's"]["Reason"].startswith("2 who waited were told")


def test_one_that_cannot_be_told_is_left_and_keeps_nobody_else_from_it(
    answers: AnswersReceiver, application: DeletedApplication, said: Callable[[], Said]
) -> None:
    given, state = of_stack(answers, "unreachable")
    given["Stack"]["Event"]["ResponseURL"] = "https://127.0.0.1:1/nobody?X-Amz-Signature=c0ffee"
    application.running = {"unreachable": (given, state), "stack": of_stack(answers, "stack")}

    tell_waiters.handler(request(answers), Context(seconds=23))

    told = heard(answers)
    assert told["stack"]["Status"] == "FAILED"
    assert told["the application's"]["Status"] == "SUCCESS"
    assert told["the application's"]["Reason"] == "1 who waited were told that the gate is deleted, 1 were left"
    assert application.step_functions.stopped() == ["stack"], "one that nobody has told may tell by itself yet"
    arn = STATE_MACHINE.replace(":stateMachine:", ":execution:") + ":unreachable"
    message = f"Who waits for {arn} could not be told: AnswerNotDelivered"
    line = {"level": "ERROR", "message": message, "execution": arn}
    assert said().lines == [line, line, {"level": "ERROR", "message": told["the application's"]["Reason"]}]


def test_a_thousand_waits_and_no_time_end_in_an_answer_that_says_how_many_were_left(
    answers: AnswersReceiver, application: DeletedApplication
) -> None:
    application.running = {str(number): of_stack(answers, str(number)) for number in range(1000)}

    tell_waiters.handler(request(answers), Context(seconds=22))

    answer = heard(answers)["the application's"]
    told, left = (int(word) for word in answer["Reason"].split() if word.isdigit())
    assert answer["Status"] == "SUCCESS"
    assert told + left >= 1000
    assert left > 0


@pytest.mark.parametrize("operation", ["ListExecutions", "DescribeExecution", "GetExecutionHistory", "StopExecution"])
def test_the_deletion_goes_on_whatever_step_functions_says(
    answers: AnswersReceiver, application: DeletedApplication, operation: str
) -> None:
    application.running = {"stack": of_stack(answers, "stack")}
    application.step_functions.answers[operation] = [(400, "AccessDeniedException")]

    tell_waiters.handler(request(answers), Context(seconds=22))

    assert heard(answers)["the application's"]["Status"] == "SUCCESS"


def test_the_deletion_goes_on_without_its_settings(
    answers: AnswersReceiver, application: DeletedApplication, monkeypatch: pytest.MonkeyPatch, said: Callable[[], Said]
) -> None:
    monkeypatch.delenv("GATE_STATE_MACHINE_ARN")

    tell_waiters.handler(request(answers), Context(seconds=60))

    answer = heard(answers)["the application's"]
    assert (answer["Status"], answer["Reason"]) == ("SUCCESS", "")
    assert said().lines == [{"level": "ERROR", "message": "Whoever waits could not be looked for: KeyError"}]


def test_what_was_done_is_said_though_nobody_looked_again(
    answers: AnswersReceiver, application: DeletedApplication, said: Callable[[], Said]
) -> None:
    application.running = {"stack": of_stack(answers, "stack")}
    broken = (400, "AccessDeniedException")
    application.step_functions.answers["ListExecutions"] = [listed("stack"), *[broken] * 20]

    tell_waiters.handler(request(answers), Context(seconds=24))

    assert heard(answers)["the application's"]["Reason"].startswith("1 who waited were told")
    message = "Nobody looked for those who came meanwhile: ClientError"
    assert said().lines[0] == {"level": "ERROR", "message": message}


@pytest.mark.parametrize("request_type", ["Create", "Update", "Delete"])
def test_the_last_resort_answers_success_where_the_function_is_broken(
    answers: AnswersReceiver, request_type: str
) -> None:
    record = {**given_up(answers), "requestPayload": request(answers, request_type)}

    last_resort.handler(record, Context(seconds=30))

    (answer,) = answers.answers()
    assert answer.json["Status"] == "SUCCESS"
