"""What a stack is told when the function that should have told it could not."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import last_resort
import pytest
from license_conversion.stack_response import RESERVE_SECONDS

from license_conversion.errors import AnswerNotDelivered, NobodyListens
from license_conversion.text import MARK
from tests.context import Context
from tests.local_cloud.answers import AnswersReceiver
from tests.unit.conftest import Said
from tests.unit.network import Network

TASK_ID = "lct-0123456789abcdef0"
EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:gate:Gate-1"
LINE = {
    "stack_id": "arn:aws:cloudformation:us-east-1:123456789012:stack/gate/0f1e2d3c",
    "logical_resource_id": "Gate",
    "request_type": "Create",
}
VERDICT = {
    "Status": "SUCCESS",
    "Reason": "",
    "PhysicalResourceId": TASK_ID,
    "Data": {"Status": "SUCCEEDED", "StatusMessage": ""},
}


def execution(
    answers: AnswersReceiver,
    gate: dict[str, Any],
    properties: dict[str, str] | None = None,
    waiter: str = "STACK",
    physical_id: str = TASK_ID,
    **of_event: Any,
) -> dict[str, Any]:
    """What the state machine sends: whom to answer, and the gate's state."""
    event = {
        "RequestType": "Create",
        "StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/gate/0f1e2d3c",
        "RequestId": "7bfe2d54",
        "LogicalResourceId": "Gate",
        "ResponseURL": answers.issue("response"),
        "ResourceProperties": properties or {},
        **of_event,
    }
    stack = {"Event": event, "RequestedAt": "2026-11-22T17:39:55Z", "PhysicalResourceId": physical_id}
    return {"Execution": EXECUTION, "Stack": stack, "Gate": {"Waiter": waiter, **gate}}


def broken(error: str, cause: str) -> dict[str, Any]:
    return {"Broken": {"Error": error, "Cause": cause}}


def told(answers: AnswersReceiver, event: dict[str, Any]) -> dict[str, Any]:
    last_resort.handler(event, Context(seconds=30))
    (answer,) = answers.answers()
    assert len(answer.body.encode()) <= 4096
    said: dict[str, Any] = answer.json
    return said


@pytest.mark.parametrize("why", [{}, broken("Lambda.Unknown", "It ran out of time.")], ids=["alone", "with what broke"])
def test_a_verdict_that_is_known_is_what_cloudformation_gets(answers: AnswersReceiver, why: dict[str, Any]) -> None:
    event = execution(answers, {"Answer": VERDICT, **why})

    said = told(answers, event)

    assert (said["Status"], said["Reason"], said["PhysicalResourceId"]) == ("SUCCESS", "", TASK_ID)
    assert said["Data"] == VERDICT["Data"]
    assert (said["RequestId"], said["LogicalResourceId"]) == ("7bfe2d54", "Gate")


def test_where_there_is_no_verdict_the_answer_says_what_broke_and_that_the_conversion_is_not_affected(
    answers: AnswersReceiver,
) -> None:
    event = execution(answers, broken("Lambda.Unknown", "It ran out of time."))

    said = told(answers, event)

    assert said["Status"] == "FAILED"
    assert said["PhysicalResourceId"] == TASK_ID
    assert said["Data"] == {}
    assert said["Reason"] == (
        f"The gate itself broke, the conversion is not affected. Execution {EXECUTION} ended with "
        "Lambda.Unknown: It ran out of time."
    )


def test_an_update_that_broke_keeps_the_id_that_the_resource_has(answers: AnswersReceiver) -> None:
    event = execution(answers, broken("Error", "Cause"), RequestType="Update", PhysicalResourceId="lct-before")

    assert told(answers, event)["PhysicalResourceId"] == "lct-before"


def test_a_newest_task_that_was_never_named_has_no_id(answers: AnswersReceiver) -> None:
    event = execution(answers, broken("Error", "Cause"), physical_id="")

    assert told(answers, event)["PhysicalResourceId"] == "license-conversion-gate-refused"


def test_a_newest_task_that_a_check_has_named_is_the_id(answers: AnswersReceiver) -> None:
    gate = {"Task": {"LicenseConversionTaskId": "lct-newest"}, **broken("Error", "Cause")}

    assert told(answers, execution(answers, gate, physical_id=""))["PhysicalResourceId"] == "lct-newest"


@pytest.mark.parametrize("query", ["X-Amz-Signature=secret", "Expires=1&AWSAccessKeyId=A&Signature=secret"])
def test_what_broke_is_quoted_without_a_presigned_url(answers: AnswersReceiver, query: str) -> None:
    event = execution(answers, broken("Error", f"PUT https://bucket.s3.amazonaws.com/key?{query} failed"))

    assert "Error: PUT (a URL that is a credential) failed" in told(answers, event)["Reason"]


def test_a_wait_that_ended_without_an_error_is_answered_too(answers: AnswersReceiver) -> None:
    said = told(answers, execution(answers, {}))

    assert said["Status"] == "FAILED"
    assert said["Reason"].endswith(f"Execution {EXECUTION} ended with no error: ")


@pytest.mark.parametrize("character", ["x", "😀", '"'], ids=["one byte", "four bytes", "escaped"])
def test_a_cause_of_any_length_leaves_room_for_the_rest_of_the_reason(answers: AnswersReceiver, character: str) -> None:
    said = told(answers, execution(answers, broken("Lambda.Unknown", character * 32_000)))

    assert EXECUTION in said["Reason"]
    assert said["Reason"].endswith(character * 10 + MARK)


def test_a_handle_that_waits_is_signalled(answers: AnswersReceiver) -> None:
    event = execution(answers, broken("Error", "Cause"), {"WaitConditionHandle": answers.issue("handle")}, "HANDLE")

    said = told(answers, event)

    assert (said["Status"], said["UniqueId"]) == ("FAILURE", TASK_ID)
    assert "the conversion is not affected" in said["Reason"]


def test_an_answer_that_nobody_takes_is_an_error_without_the_url(answers: AnswersReceiver) -> None:
    answers.misbehave(503)

    with pytest.raises(AnswerNotDelivered) as error:
        last_resort.handler(execution(answers, {"Answer": VERDICT}), Context(seconds=1.6))

    assert "503" in str(error.value)
    assert "X-Amz" not in str(error.value)
    assert "127.0.0.1" not in str(error.value)


@pytest.mark.parametrize(
    ("of_event", "task_id"),
    [
        ({"ResourceProperties": {"LicenseConversionTaskId": TASK_ID}}, {"task_id": TASK_ID}),
        ({"RequestType": "Update", "PhysicalResourceId": "lct-before"}, {"task_id": "lct-before"}),
        ({"ResourceProperties": {"LicenseConversionTaskId": "https://not.an/id"}}, {}),
    ],
    ids=["by its properties", "by its physical id", "anything but an id is not repeated"],
)
def test_the_log_says_who_was_answered_and_not_where(
    answers: AnswersReceiver, said: Callable[[], Said], of_event: dict[str, Any], task_id: dict[str, str]
) -> None:
    last_resort.handler(execution(answers, {"Answer": VERDICT}, **of_event), Context(seconds=30))

    printed = said()
    assert printed.metrics == {"LastResortAnswers": 1}
    line = {**LINE, "request_type": of_event.get("RequestType", "Create"), **task_id}
    assert printed.lines == [{**line, "level": "INFO", "message": "Answered SUCCESS as the last resort"}]


def given_up(answers: AnswersReceiver, **of_event: Any) -> dict[str, Any]:
    """Lambda's record of an event that it has given up."""
    event = {
        "RequestType": "Create",
        "StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/gate/0f1e2d3c",
        "RequestId": "7bfe2d54",
        "LogicalResourceId": "Gate",
        "ResponseURL": answers.issue("response"),
        "ResourceProperties": {"LicenseConversionTaskId": TASK_ID},
        **of_event,
    }
    return {
        "version": "1.0",
        "requestContext": {
            "requestId": "e4b46cbf",
            "functionArn": "arn:aws:lambda:us-east-1:123456789012:function:gate:$LATEST",
            "condition": "RetriesExhausted",
            "approximateInvokeCount": 2,
        },
        "requestPayload": event,
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "responsePayload": {"errorType": "Runtime.ImportModuleError", "errorMessage": "Unable to import module"},
    }


class KnownWaits:
    """Whether Step Functions knows a wait of the request, or an error; one for each look."""

    def __init__(self, *looks: bool | Exception) -> None:
        self._looks = list(looks)
        self.stopped: list[tuple[str, str]] = []
        self.seconds = 0.0
        self.asked: list[str] = []

    def of_request(self, event: Mapping[str, Any]) -> bool:
        self.asked.append(event["RequestId"])
        found = self._looks.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    def stop(self, event: Mapping[str, Any], requested_at: str, seconds: float) -> int:
        self.stopped.append((event["PhysicalResourceId"], requested_at))
        self.seconds = seconds
        if isinstance(self._looks[0], Exception):
            raise self._looks[0]
        return 1


@pytest.fixture
def no_wait(monkeypatch: pytest.MonkeyPatch) -> KnownWaits:
    return use(monkeypatch, KnownWaits(False, False))


def use(monkeypatch: pytest.MonkeyPatch, fake: KnownWaits) -> KnownWaits:
    monkeypatch.setattr(last_resort, "_waits", lambda: fake)
    monkeypatch.setattr(last_resort, "LOOK_AGAIN_SECONDS", 0)
    monkeypatch.setenv("GATE_LOG_GROUP", "/gate/custom-resource")
    return fake


@pytest.mark.parametrize("request_type", ["Create", "Update"])
def test_a_request_that_lambda_gave_up_fails_with_why_and_where_to_look(
    answers: AnswersReceiver, no_wait: KnownWaits, request_type: str
) -> None:
    said = told(answers, given_up(answers, RequestType=request_type))

    assert (said["Status"], said["PhysicalResourceId"], said["Data"]) == ("FAILED", TASK_ID, {})
    assert said["Reason"] == (
        "The gate itself broke before it could answer, the conversion is not affected. Look further in log group "
        "/gate/custom-resource, request e4b46cbf. Lambda gave the request up (RetriesExhausted, attempt 2): "
        "Runtime.ImportModuleError: Unable to import module"
    )
    assert no_wait.asked == ["7bfe2d54", "7bfe2d54"]


def test_an_update_that_lambda_gave_up_keeps_the_id_that_the_resource_has(
    answers: AnswersReceiver, no_wait: KnownWaits
) -> None:
    record = given_up(answers, RequestType="Update", PhysicalResourceId="lct-before")

    assert told(answers, record)["PhysicalResourceId"] == "lct-before"


@pytest.mark.parametrize(
    "properties",
    [{}, None, "text", {"LicenseConversionTaskId": ["lct-1"]}, {"LicenseConversionTaskId": "lct-" + "x" * 2000}],
)
def test_a_create_without_a_task_id_that_can_be_one_gets_the_marker(
    answers: AnswersReceiver, no_wait: KnownWaits, properties: Any
) -> None:
    record = given_up(answers, ResourceProperties=properties)

    assert told(answers, record)["PhysicalResourceId"] == "license-conversion-gate-refused"


def test_an_event_that_was_throttled_for_too_long_is_answered_without_what_no_function_said(
    answers: AnswersReceiver, no_wait: KnownWaits
) -> None:
    record = given_up(answers)
    record["requestContext"]["condition"] = "EventAgeExceeded"
    del record["responsePayload"], record["responseContext"]

    said = told(answers, record)

    assert said["Status"] == "FAILED"
    assert said["Reason"].endswith("Lambda gave the request up (EventAgeExceeded, attempt 2): no error: ")


def test_a_record_that_says_little_and_a_function_without_its_settings_are_no_reason_for_silence(
    answers: AnswersReceiver, no_wait: KnownWaits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GATE_LOG_GROUP")

    said = told(answers, {"requestPayload": given_up(answers)["requestPayload"]})

    assert said["Reason"].endswith(
        "in log group of the function, request None. Lambda gave the request up (None, attempt None): no error: "
    )


def test_refused_properties_are_answered_as_the_function_answers_them(
    answers: AnswersReceiver, no_wait: KnownWaits
) -> None:
    """It may have done so, without having been heard."""
    properties = {"LicenseConversionTaskId": TASK_ID, "OnFailure": "fail"}

    said = told(answers, given_up(answers, ResourceProperties=properties))

    assert said["Status"] == "FAILED"
    assert said["Reason"] == "OnFailure: 'fail' is not allowed: it must be FAIL or CONTINUE."
    assert no_wait.asked == []


def test_a_request_that_nobody_can_check_is_no_refused_one(
    answers: AnswersReceiver, no_wait: KnownWaits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "license_conversion.request", None)

    said = told(answers, given_up(answers, ResourceProperties={"OnFailure": "fail"}))

    assert said["Reason"].startswith("The gate itself broke before it could answer")


@pytest.mark.parametrize(
    "of_event",
    [
        {"RequestType": "Create"},
        {"RequestType": "Delete", "PhysicalResourceId": TASK_ID},
        {"ResourceType": "Custom::WaitersTold"},
        {"ResourceProperties": {"ServiceTimeout": "1"}},
    ],
    ids=["broken", "a Delete", "the application's", "refused"],
)
def test_nothing_is_sent_for_longer_than_cloudformation_listens(
    answers: AnswersReceiver, no_wait: KnownWaits, of_event: dict[str, Any]
) -> None:
    properties = {"LicenseConversionTaskId": TASK_ID, "ServiceTimeout": "1"}
    answers.misbehave(*[503] * 20)

    with pytest.raises(NobodyListens):
        last_resort.handler(given_up(answers, **{"ResourceProperties": properties, **of_event}), Context(seconds=30))


def test_a_wait_is_looked_for_by_the_name_of_the_request(
    answers: AnswersReceiver, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATE_STATE_MACHINE_ARN", "arn:aws:states:us-east-1:123456789012:stateMachine:gate")
    described = {"executionArn": EXECUTION, "stateMachineArn": "arn", "startDate": 0, "status": "RUNNING"}
    network.answers("DescribeExecution", described)

    last_resort.handler(given_up(answers), Context(seconds=30))

    asked_for = network.call("DescribeExecution").said["executionArn"]
    assert asked_for.startswith("arn:aws:states:us-east-1:123456789012:execution:gate:Gate-")
    assert answers.answers() == []


@pytest.mark.parametrize("looks", [(True,), (False, True)], ids=["at once", "known a moment later"])
def test_the_answer_is_left_to_a_wait_that_the_function_began_before_it_broke(
    answers: AnswersReceiver, monkeypatch: pytest.MonkeyPatch, looks: tuple[bool, ...], said: Callable[[], Said]
) -> None:
    use(monkeypatch, KnownWaits(*looks))

    last_resort.handler(given_up(answers), Context(seconds=30))

    assert answers.answers() == []
    message = "The function broke, and the wait that it had begun answers"
    assert said() == Said([{**LINE, "level": "INFO", "message": message, "task_id": TASK_ID}])


def test_a_handle_is_not_signalled_where_no_wait_began(answers: AnswersReceiver, no_wait: KnownWaits) -> None:
    properties = {"LicenseConversionTaskId": TASK_ID, "WaitConditionHandle": answers.issue("handle")}

    said = told(answers, given_up(answers, ResourceProperties=properties))

    assert (said["Status"], said["RequestId"]) == ("FAILED", "7bfe2d54")


@pytest.mark.parametrize("error", [ImportError("boto3"), OSError("no network"), KeyError("GATE_STATE_MACHINE_ARN")])
def test_a_request_is_answered_when_it_cannot_be_known_whether_it_has_a_wait(
    answers: AnswersReceiver, monkeypatch: pytest.MonkeyPatch, error: Exception, said: Callable[[], Said]
) -> None:
    use(monkeypatch, KnownWaits(error))

    assert told(answers, given_up(answers))["Status"] == "FAILED"
    message = f"It is not known whether the request has a wait: {type(error).__name__}"
    assert said().lines[0] == {**LINE, "level": "WARNING", "message": message, "task_id": TASK_ID}


@pytest.mark.parametrize("physical_id", [TASK_ID, "stack-Gate-ABCDEFGHIJKLM"], ids=["its own", "CloudFormation's"])
def test_a_delete_succeeds_and_stops_the_wait(answers: AnswersReceiver, no_wait: KnownWaits, physical_id: str) -> None:
    record = given_up(answers, RequestType="Delete", PhysicalResourceId=physical_id)
    (signed,) = re.findall(r"X-Amz-Date=(\w+)", record["requestPayload"]["ResponseURL"])

    said = told(answers, record)

    assert (said["Status"], said["PhysicalResourceId"]) == ("SUCCESS", physical_id)
    assert no_wait.stopped == [
        (physical_id, f"{datetime.strptime(signed, '%Y%m%dT%H%M%SZ').replace(tzinfo=UTC):%Y-%m-%dT%H:%M:%SZ}")
    ]


def test_a_delete_keeps_half_of_the_time_for_its_answer(answers: AnswersReceiver, no_wait: KnownWaits) -> None:
    told(answers, given_up(answers, RequestType="Delete", PhysicalResourceId=TASK_ID))

    assert no_wait.seconds == (30 - RESERVE_SECONDS) / 2


def test_a_delete_succeeds_when_its_wait_cannot_be_stopped(
    answers: AnswersReceiver, monkeypatch: pytest.MonkeyPatch, said: Callable[[], Said]
) -> None:
    use(monkeypatch, KnownWaits(ImportError("boto3")))

    assert told(answers, given_up(answers, RequestType="Delete", PhysicalResourceId=TASK_ID))["Status"] == "SUCCESS"
    message = "The waits of the resource could not be stopped: ImportError"
    line = {**LINE, "request_type": "Delete", "level": "WARNING", "message": message, "task_id": TASK_ID}
    assert said().lines[0] == line


def test_a_credential_that_an_error_quotes_is_not_quoted_again(answers: AnswersReceiver, no_wait: KnownWaits) -> None:
    record = given_up(answers)
    record["responsePayload"]["errorMessage"] = f"KeyError: {record['requestPayload']['ResponseURL']!r}"

    reason = told(answers, record)["Reason"]

    assert "X-Amz" not in reason
    assert "a URL that is a credential" in reason


def test_an_answer_that_nobody_takes_is_counted(answers: AnswersReceiver, capsys: pytest.CaptureFixture[str]) -> None:
    answers.misbehave(503)

    with pytest.raises(AnswerNotDelivered):
        last_resort.handler(execution(answers, {"Answer": VERDICT}), Context(seconds=1.6))

    assert json.loads(capsys.readouterr().out)["AnswersNotDelivered"] == 1


def test_the_last_resort_needs_nothing_but_the_standard_library() -> None:
    handlers = Path(last_resort.__file__).parent
    program = f"import sys; sys.path.insert(0, {str(handlers)!r}); import last_resort"

    subprocess.run([sys.executable, "-I", "-S", "-c", program], check=True)  # noqa: S603 - -S: no site-packages
