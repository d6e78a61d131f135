"""Handing the end of a gate over to the function that announces it: a real client, and no network."""

import io
import json
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import NoCredentialsError
from urllib3 import HTTPResponse

from license_conversion.announcer import Announcer

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:AnnounceEnd"
ANNOUNCEMENT = {"DetailType": "License Conversion Succeeded", "Detail": {"StatusMessage": "Fertig: 😀"}}


class Lambda:
    """Stands where botocore would send a request."""

    def __init__(self) -> None:
        self.asked: list[AWSPreparedRequest] = []
        self.status = 202
        self.fault: Exception | None = None

    def __call__(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        self.asked.append(request)
        if self.fault:
            raise self.fault
        raw = HTTPResponse(body=io.BytesIO(b"{}"), preload_content=False)
        return AWSResponse(request.url, self.status, HTTPHeaders(), raw)


@pytest.fixture
def lambda_(monkeypatch: pytest.MonkeyPatch) -> Lambda:
    session, lambda_ = boto3.Session(region_name="us-east-1"), Lambda()
    hook: Any = lambda_  # the stubs say that a hook returns nothing, but the first answer to before-send is the reply
    session.events.register("before-send.lambda.Invoke", hook)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", session)
    return lambda_


def test_the_function_is_invoked_without_waiting_for_it(lambda_: Lambda) -> None:
    Announcer(FUNCTION).announce(ANNOUNCEMENT)

    (request,) = lambda_.asked
    body: Any = request.body
    assert "AnnounceEnd" in request.url
    assert request.headers["X-Amz-Invocation-Type"] == b"Event"
    assert json.loads(body) == ANNOUNCEMENT


def test_half_a_character_does_not_keep_an_end_from_being_announced(lambda_: Lambda) -> None:
    Announcer(FUNCTION).announce({"Detail": {"StatusMessage": "a\ud800b"}})

    body: Any = lambda_.asked[0].body
    assert json.loads(body) == {"Detail": {"StatusMessage": "a?b"}}


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        pytest.param(404, None, id="no such function"),
        pytest.param(403, None, id="a denial"),
        pytest.param(202, NoCredentialsError(), id="no credentials"),
    ],
)
def test_an_end_that_cannot_be_announced_is_logged_and_stops_nothing(
    lambda_: Lambda, status: int, fault: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    lambda_.status, lambda_.fault = status, fault

    Announcer(FUNCTION).announce(ANNOUNCEMENT)

    assert "could not be announced" in caplog.text
