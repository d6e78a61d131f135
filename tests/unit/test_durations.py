"""How long each way to a response takes, added up from the definition and the template, is what docs/operations.md says of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from license_conversion.request import ATTEMPT_SECONDS
from tests.template import RESOURCES

ROOT = Path(__file__).parents[2]
TABLE = (ROOT / "docs" / "operations.md").read_text().split("## What breaks, and who responds")[1].split("\n#")[0]
STATES: dict[str, Any] = json.loads((ROOT / "statemachine" / "gate.asl.json").read_text())["States"]
FUNCTIONS = {name: one["Properties"] for name, one in RESOURCES.items() if one["Type"] == "AWS::Serverless::Function"}
WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
LAMBDA_PAUSES = (60, 120)
"""Seconds before Lambda's second and third try of an asynchronous invocation.
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html"""


def row(begins: str) -> str:
    (found,) = (line for line in TABLE.splitlines() if line.startswith(f"| {begins}"))
    return found


def asynchronous(function: str, option: str) -> int:
    return int(FUNCTIONS[function]["EventInvokeConfig"][option])


def worst(function: str) -> float:
    """Seconds until Lambda gives up an event whose every try takes the whole of the function's time."""
    tries = 1 + asynchronous(function, "MaximumRetryAttempts")
    return tries * int(FUNCTIONS[function]["Timeout"]) + sum(LAMBDA_PAUSES[: tries - 1])


def test_a_custom_resource_function_that_crashes_at_once_is_given_up_after_lambdas_one_pause() -> None:
    assert asynchronous("CustomResourceFunction", "MaximumRetryAttempts") == 1
    assert "Lambda tries once more after a minute" in row("the custom resource function cannot be imported")
    assert LAMBDA_PAUSES[0] == 60


def test_a_start_that_never_comes_through_is_given_up_after_two_invocations_and_the_pause_between_them() -> None:
    said = row("Step Functions does not start")

    assert "as long as its invocation lasts, a minute" in said
    assert FUNCTIONS["CustomResourceFunction"]["Timeout"] == 60
    assert f"about {WORDS[round(worst('CustomResourceFunction') / 60)]} minutes" in said


def test_a_request_that_lambda_throttles_is_given_up_at_the_age_that_the_template_sets() -> None:
    minutes = asynchronous("CustomResourceFunction", "MaximumEventAgeInSeconds") // 60

    assert row("Lambda throttles the custom").count(f"{minutes} minutes") == 2


def test_a_check_is_given_the_time_that_is_said() -> None:
    assert f"each check {ATTEMPT_SECONDS} seconds at most" in row("a check fails")


def test_the_state_machine_tries_the_responder_for_an_hour() -> None:
    """With full jitter each pause is anything up to the longest, and half of it on average."""
    rule = STATES["Respond"]["Retry"][-1]
    longest = (
        min(rule["IntervalSeconds"] * rule["BackoffRate"] ** number, rule["MaxDelaySeconds"])
        for number in range(rule["MaxAttempts"])
    )

    assert rule["ErrorEquals"] == ["States.ALL"]
    assert rule["JitterStrategy"] == "FULL"
    assert sum(longest) / 2 / 60 == pytest.approx(60, abs=2)
    assert "the state machine tries it for an hour" in row("the responder fails")


def test_lambda_tries_the_responder_as_often_and_as_long_as_said() -> None:
    said = row("the responder, invoked by Lambda")

    assert f"tries it {WORDS[1 + asynchronous('RespondFunction', 'MaximumRetryAttempts')]} times" in said
    minutes = asynchronous("RespondFunction", "MaximumEventAgeInSeconds") // 60
    assert said.count(f"{minutes} minutes") == 2
    assert worst("RespondFunction") <= 60 * minutes
