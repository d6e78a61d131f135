"""How long each way to an answer takes, added up from the definition and the template, is what docs/operations.md says of it."""

from typing import Any

import pytest

from license_conversion.request import ATTEMPT_SECONDS
from tests.template import RESOURCES
from tests.unit.test_state_machine import OURS, ROOT, pauses, rule_for

TABLE = (
    (ROOT / "docs" / "operations.md").read_text().split("## How nobody is left without an answer")[1].split("\n#")[0]
)
FUNCTIONS = {name: one["Properties"] for name, one in RESOURCES.items() if one["Type"] == "AWS::Serverless::Function"}
WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
LAMBDA_PAUSES = (60, 120)
"""Seconds before Lambda's second and third try of an asynchronous invocation.
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html"""
THROTTLED, BROKEN = "Lambda.TooManyRequestsException", OURS[0]


def row(begins: str) -> str:
    (found,) = (line for line in TABLE.splitlines() if line.startswith(f"| {begins}"))
    return found


def retry(state: str, error: str) -> Any:
    rule = rule_for(state, "Retry", error)
    assert rule
    return rule


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


def test_a_broken_check_is_tried_as_often_as_said_within_seconds() -> None:
    rules = [retry(state, BROKEN) for state in ("First Check", "Check Task")]

    for rule in rules:
        assert f"tries {WORDS[1 + rule['MaxAttempts']]} times" in row("the check function is broken")
        assert sum(pauses(rule)) < 10


def test_a_check_that_hangs_is_given_the_time_that_is_said() -> None:
    assert f"each check {ATTEMPT_SECONDS} seconds at most" in row("a check hangs")


def test_the_first_check_for_a_caller_is_tried_for_the_sum_of_its_pauses() -> None:
    """With full jitter each pause is anything up to the longest, and half of it on average."""
    rule = retry("First Check", THROTTLED)
    said = row("the same, at the first check")

    assert rule["JitterStrategy"] == "FULL"
    assert f"{rule['MaxAttempts']} tries, with pauses of up to {rule['MaxDelaySeconds']} seconds" in said
    assert sum(pauses(rule)) / 2 / 60 == pytest.approx(15, abs=0.5)
    assert "15 minutes on average, and half an hour at most" in said


def test_the_function_that_answers_is_given_what_is_said_before_the_last_resort() -> None:
    assert f"it sends for {ATTEMPT_SECONDS} seconds" in row("the function that answers")


def test_the_last_resort_is_tried_for_the_pauses_of_the_definition_and_its_own_minutes() -> None:
    rule = retry("Answer as Last Resort", THROTTLED)
    said = row("the last resort, called by the state machine")
    pause, sends = sum(pauses(rule)) / 60, FUNCTIONS["LastResortFunction"]["Timeout"] / 60

    assert "JitterStrategy" not in rule
    assert sends == 1
    assert "it sends for a minute" in said
    assert f"tries it {WORDS[rule['MaxAttempts']]} times more, with {WORDS[round(pause)]} minutes of pauses" in said
    least, most = pause, pause + sends * (1 + rule["MaxAttempts"])
    assert "five to fifteen minutes" in said
    assert (round(least), round(most)) == (5, 15)


def test_lambda_tries_the_last_resort_as_often_and_as_long_as_said() -> None:
    said = row("the last resort, called by Lambda")

    assert f"tries it {WORDS[1 + asynchronous('LastResortFunction', 'MaximumRetryAttempts')]} times" in said
    minutes = asynchronous("LastResortFunction", "MaximumEventAgeInSeconds") // 60
    assert said.count(f"{minutes} minutes") == 2
    assert worst("LastResortFunction") <= 60 * minutes
