"""Waking gates."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.stub import Stubber

from license_conversion import aws
from license_conversion import wake as wake_module
from license_conversion.wake import wake


@pytest.fixture
def step_functions(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    client = boto3.client("stepfunctions", region_name="us-east-1")
    monkeypatch.setattr(aws, "client", lambda *_, **__: client)
    wake_module._client.cache_clear()
    with Stubber(client) as stubber:
        yield stubber
    wake_module._client.cache_clear()


def called_with(token: str) -> dict[str, Any]:
    return {"taskToken": token, "output": "{}"}


def test_each_token_is_called_once(step_functions: Stubber) -> None:
    step_functions.add_response("send_task_success", {}, called_with("one"))

    wake(["one"])

    step_functions.assert_no_pending_responses()


def test_nobody_is_woken_without_a_client() -> None:
    wake([])


@pytest.mark.parametrize("code", ["TaskTimedOut", "TaskDoesNotExist", "InvalidToken"])
def test_a_token_that_is_used_up_is_no_news(step_functions: Stubber, lines: Callable[[], str], code: str) -> None:
    step_functions.add_client_error("send_task_success", code)

    wake(["the-token"])

    assert not lines()


def test_a_gate_that_could_not_be_woken_is_in_the_log_and_its_token_is_not(
    step_functions: Stubber, lines: Callable[[], str]
) -> None:
    step_functions.add_client_error("send_task_success", "ThrottlingException", "not the-token")

    wake(["the-token"])

    said = lines()
    assert "A gate is not woken: ThrottlingException" in said
    assert "the-token" not in said


def test_a_gate_that_could_not_be_woken_because_nobody_answers_is_in_the_log_too(
    monkeypatch: pytest.MonkeyPatch, lines: Callable[[], str]
) -> None:
    def nobody(**_: str) -> None:
        raise EndpointConnectionError(endpoint_url="https://states.us-east-1.amazonaws.com/")

    monkeypatch.setattr(aws, "client", lambda *_, **__: SimpleNamespace(send_task_success=nobody))
    wake_module._client.cache_clear()

    wake(["the-token"])

    wake_module._client.cache_clear()
    assert "A gate is not woken: EndpointConnectionError" in lines()
