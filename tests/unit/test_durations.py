"""How long each way to a response takes, added up from the definition and the template, is what docs/operations.md says of it."""

import pytest

from license_conversion.request import ATTEMPT_SECONDS
from tests.template import FUNCTIONS, ROOT, STATES

TABLE = (ROOT / "docs" / "operations.md").read_text().split("## What breaks, and who responds")[1].split("\n#")[0]
WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
LAMBDA_PAUSES = (60, 120)
"""Seconds before Lambda's second and third try of an asynchronous invocation.
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html"""


def tries(function: str) -> int:
    return 1 + int(FUNCTIONS[function]["EventInvokeConfig"]["MaximumRetryAttempts"])


def minutes(function: str) -> int:
    """How old Lambda lets an event become."""
    return int(FUNCTIONS[function]["EventInvokeConfig"]["MaximumEventAgeInSeconds"]) // 60


def worst(function: str) -> float:
    """Seconds until Lambda gives up an event whose every try takes the whole of the function's time."""
    return tries(function) * int(FUNCTIONS[function]["Timeout"]) + sum(LAMBDA_PAUSES[: tries(function) - 1])


def hours_of_the_responder() -> float:
    """With full jitter each pause is anything up to the longest, and half of it on average."""
    rule = STATES["Respond"]["Retry"][-1]
    assert (rule["ErrorEquals"], rule["JitterStrategy"]) == (["States.ALL"], "FULL")
    pauses = (rule["IntervalSeconds"] * rule["BackoffRate"] ** number for number in range(rule["MaxAttempts"]))
    return float(sum(min(pause, rule["MaxDelaySeconds"]) for pause in pauses)) / 2 / 3600


ONE, TWO = "CustomResourceFunction", "RespondFunction"
CLAIMS = [
    ("the custom resource function cannot be imported", "Lambda tries once more after a minute", 1),
    ("Step Functions does not start", "as long as its invocation lasts, a minute", 1),
    ("Step Functions does not start", f"about {WORDS[round(worst(ONE) / 60)]} minutes", 1),
    ("Lambda throttles the custom", f"{minutes(ONE)} minutes", 2),
    ("a check fails", f"each check {ATTEMPT_SECONDS} seconds at most", 1),
    ("the responder fails", "the state machine tries it for an hour", 1),
    ("the responder, invoked by Lambda", f"tries it {WORDS[tries(TWO)]} times", 1),
    ("the responder, invoked by Lambda", f"{minutes(TWO)} minutes", 2),
]


@pytest.mark.parametrize(("begins", "claim", "times"), CLAIMS)
def test_how_long_each_way_to_a_response_takes_is_said(begins: str, claim: str, times: int) -> None:
    (row,) = (line for line in TABLE.splitlines() if line.startswith(f"| {begins}"))

    assert row.count(claim) == times


def test_what_is_said_in_words_alone_is_so() -> None:
    assert (tries(ONE), LAMBDA_PAUSES[0], FUNCTIONS[ONE]["Timeout"]) == (2, 60, 60)
    assert hours_of_the_responder() == pytest.approx(1, abs=2 / 60)
    assert worst(TWO) <= 60 * minutes(TWO)
