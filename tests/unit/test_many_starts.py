"""Thousands of Creates at once, and a StartExecution that lets through what a region has."""

import random
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from license_conversion.executions import Executions
from license_conversion.response import RESERVE_SECONDS

BUCKET, PER_SECOND = 800, 150
"""What StartExecution allows in a region of the smaller kind, at once and from then on.
https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html"""
INVOCATION = 60.0
"""Seconds that custom_resource.py has, as template.yaml says."""
BEFORE_REDELIVERY = 60.0
"""Seconds until Lambda delivers an event again that has failed once; template.yaml lets it do so once.
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html"""
EVENT = {
    "StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/gate/0f1e2d3c",
    "LogicalResourceId": "Gate",
    "RequestId": "1",
    "ResponseURL": "https://bucket/",
}


class Throttled(Exception):  # noqa: N818 - what AWS calls it
    """Stands for an error of the service that no client raises."""


class AlwaysThrottles:
    """A Step Functions client that keeps when it was asked, and lets nobody through."""

    class exceptions:  # noqa: N801 - boto3's name
        ExecutionAlreadyExists = Throttled

    def __init__(self) -> None:
        self.now = 0.0
        self.asked_at: list[float] = []

    def start_execution(self, **_: Any) -> None:
        self.asked_at.append(self.now)
        raise ClientError({"Error": {"Code": "ThrottlingException"}}, "StartExecution")

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Throttling(Executions):
    """Those of one invocation, among whose calls none comes through."""

    def __init__(self, client: AlwaysThrottles, random_: random.Random) -> None:
        super().__init__(
            "arn:aws:states:us-east-1:1:stateMachine:gate", lambda: client.now, client.sleep, random_.random
        )
        self.client = client  # type: ignore[assignment]  # in the place of the cached property


def tries(random_: random.Random, invocations: int) -> Iterator[float]:
    """When one Create asks for its start, as long as it is throttled.

    What it does between two tries depends on nothing but its own chance, so that each Create can be told by itself, and all
    of them are put in the order of time.
    """
    began = random_.random()  # CloudFormation does not send them all in the same instant
    for _ in range(invocations):
        client = AlwaysThrottles()
        with pytest.raises(ClientError):
            Throttling(client, random_).begin(EVENT, {}, INVOCATION - RESERVE_SECONDS)
        yield from (began + asked_at for asked_at in client.asked_at)
        began += client.now + BEFORE_REDELIVERY


def begun(creates: int, *, invocations: int) -> list[float]:
    """When each of those that get through does, in seconds."""
    random_ = random.Random(creates)  # noqa: S311 - jitter
    asked = sorted((when, number) for number in range(creates) for when in tries(random_, invocations))
    through: dict[int, float] = {}
    tokens, refilled = float(BUCKET), 0.0
    for when, number in asked:
        tokens, refilled = min(BUCKET, tokens + (when - refilled) * PER_SECOND), when
        if number not in through and tokens >= 1:
            tokens -= 1
            through[number] = when
    return list(through.values())


@pytest.mark.parametrize("creates", [500, 2000, 5000])
def test_of_many_creates_at_once_each_one_begins_in_its_first_invocation(creates: int) -> None:
    found = begun(creates, invocations=1)

    assert len(found) == creates
    assert max(found) >= (creates - BUCKET) / PER_SECOND, "or the bucket lets through more than it has"


@pytest.mark.slow
def test_where_they_are_too_many_for_one_invocation_lambdas_second_delivery_begins_the_rest() -> None:
    found = begun(10_000, invocations=2)

    assert len(found) == 10_000
    assert max(found) > INVOCATION
