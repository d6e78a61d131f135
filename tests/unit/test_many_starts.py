"""Thousands of Creates at once, and a StartExecution that lets through what a region has."""

import random
from collections.abc import Iterator

import pytest
from botocore.exceptions import ClientError

from license_conversion.executions import Executions
from license_conversion.response import RESERVE_SECONDS
from tests.simulation.token_bucket import TokenBucket

BUCKET, PER_SECOND = 800, 150
"""What StartExecution allows in a region of the smaller kind, at once and from then on.
https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html"""
INVOCATION = 60.0
"""Seconds that custom_resource.py has, as template.yaml says."""
BEFORE_REDELIVERY = 60.0
"""Seconds until Lambda delivers an event again that has failed once; template.yaml lets it do so once.
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html"""


def tries(random_: random.Random, invocations: int) -> Iterator[float]:
    """When one Create asks for its start, as long as it is throttled.

    What it does between two tries depends on nothing but its own chance, so that each Create can be timed by itself, and all
    of them are put in the order of time.
    """
    now = random_.random()  # CloudFormation does not send them all in the same instant
    asked_at: list[float] = []

    def throttled() -> None:
        asked_at.append(now)
        raise ClientError({"Error": {"Code": "ThrottlingException"}}, "StartExecution")

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    executions = Executions("arn", lambda: now, sleep, random_.random)
    for _ in range(invocations):
        with pytest.raises(ClientError):
            executions.within(INVOCATION - RESERVE_SECONDS, throttled)
        now += BEFORE_REDELIVERY
    yield from asked_at


def begun(creates: int, *, invocations: int) -> list[float]:
    """When each of those that get through does, in seconds."""
    random_ = random.Random(creates)  # noqa: S311 - jitter
    asked = sorted((when, number) for number in range(creates) for when in tries(random_, invocations))
    through: dict[int, float] = {}
    now = 0.0
    bucket = TokenBucket(lambda: now, PER_SECOND, BUCKET)
    for now, number in asked:
        if number not in through and bucket.take():
            through[number] = now
    return list(through.values())


@pytest.mark.parametrize(
    ("creates", "invocations"), [(500, 1), (2000, 1), (5000, 1), pytest.param(10_000, 2, marks=pytest.mark.slow)]
)
def test_of_many_creates_at_once_each_one_begins(creates: int, invocations: int) -> None:
    """In its first invocation. Where they are too many for that, Lambda's second delivery begins the rest."""
    found = begun(creates, invocations=invocations)

    assert len(found) == creates
    assert (max(found) > INVOCATION) == (invocations > 1)
