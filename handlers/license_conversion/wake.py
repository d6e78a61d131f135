"""Wakes gates that wait for a word, with the task tokens of their executions."""

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING

from license_conversion import aws, telemetry

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

ATTEMPTS = 4
AT_ONCE = 10
GONE = {"TaskTimedOut", "TaskDoesNotExist", "InvalidToken"}


@cache
def _client() -> "SFNClient":
    client: SFNClient = aws.client("stepfunctions", attempts=ATTEMPTS)
    return client


def wake(tokens: Collection[str]) -> None:
    """Several at once. Never raises: a gate that is not woken wakes by itself, and a token that is used up is no news."""
    if not tokens:
        return
    client = _client()  # threads may share a client, but not its making
    with ThreadPoolExecutor(min(AT_ONCE, len(tokens))) as threads:
        for missed in threads.map(lambda token: _wake(client, token), tokens):
            if missed:
                telemetry.logger.warning(f"A gate is not woken: {missed}")


def _wake(client: "SFNClient", token: str) -> str:
    """Why not; `""`: it is, or has no need to be. Never the token."""
    try:
        client.send_task_success(taskToken=token, output="{}")
    except aws.failures() as error:
        code: str = getattr(error, "response", {}).get("Error", {}).get("Code", type(error).__name__)
        return "" if code in GONE else code
    return ""
