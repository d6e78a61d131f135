"""What a stack is told when the function that should have told it could not."""

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

import last_resort
from license_conversion.errors import AnswerNotDelivered
from license_conversion.text import MARK
from tests.local_cloud.answers import AnswersReceiver

TASK_ID = "lct-0123456789abcdef0"
EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:gate:Gate-1"
VERDICT = {
    "Status": "SUCCESS",
    "Reason": "",
    "PhysicalResourceId": TASK_ID,
    "Data": {"Status": "SUCCEEDED", "StatusMessage": ""},
}


class Context:
    """An invocation with this much time left."""

    def __init__(self, seconds: float) -> None:
        self._milliseconds = round(seconds * 1000)

    def get_remaining_time_in_millis(self) -> int:
        return self._milliseconds


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    return folder / "authority.pem", folder / "server.pem"


@pytest.fixture
def answers(certificates: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[AnswersReceiver]:
    authority, server = certificates
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    with AnswersReceiver(server) as receiver:
        yield receiver


def execution(
    answers: AnswersReceiver,
    gate: dict[str, Any],
    properties: dict[str, str] | None = None,
    **of_event: Any,
) -> dict[str, Any]:
    event = {
        "RequestType": "Create",
        "StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/gate/0f1e2d3c",
        "RequestId": "7bfe2d54",
        "LogicalResourceId": "Gate",
        "ResponseURL": answers.issue("response"),
        "ResourceProperties": properties or {},
        "CrHelperData": {"PhysicalResourceId": TASK_ID},
        **of_event,
    }
    return {"Execution": EXECUTION, "Input": {"Stack": {"Event": event}}, "Gate": gate}


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
    for expected in ("the conversion is not affected", EXECUTION, "Lambda.Unknown: It ran out of time."):
        assert expected in said["Reason"]


def test_an_update_that_broke_keeps_the_id_that_the_resource_has(answers: AnswersReceiver) -> None:
    event = execution(answers, broken("Error", "Cause"), RequestType="Update", PhysicalResourceId="lct-before")

    assert told(answers, event)["PhysicalResourceId"] == "lct-before"


def test_a_wait_that_ended_without_an_error_is_answered_too(answers: AnswersReceiver) -> None:
    said = told(answers, execution(answers, {}))

    assert said["Status"] == "FAILED"
    assert "no error" in said["Reason"]


@pytest.mark.parametrize("character", ["x", "😀", '"'], ids=["one byte", "four bytes", "escaped"])
def test_a_cause_of_any_length_leaves_room_for_the_rest_of_the_reason(answers: AnswersReceiver, character: str) -> None:
    said = told(answers, execution(answers, broken("Lambda.Unknown", character * 32_000)))

    assert EXECUTION in said["Reason"]
    assert said["Reason"].endswith(character * 10 + MARK)


def test_a_handle_that_waits_is_signalled(answers: AnswersReceiver) -> None:
    event = execution(answers, broken("Error", "Cause"), {"WaitConditionHandle": answers.issue("handle")})

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


def test_the_log_says_who_was_answered_and_not_where(
    answers: AnswersReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        last_resort.handler(execution(answers, {"Answer": VERDICT}), Context(seconds=30))

    assert "Answered SUCCESS as the last resort for Gate" in caplog.text
    assert "X-Amz" not in caplog.text


def test_the_last_resort_needs_nothing_but_the_standard_library() -> None:
    handlers = Path(last_resort.__file__).parent
    program = f"import sys; sys.path.insert(0, {str(handlers)!r}); import last_resort"

    subprocess.run([sys.executable, "-I", "-S", "-c", program], check=True)  # noqa: S603 - -S: no site-packages
