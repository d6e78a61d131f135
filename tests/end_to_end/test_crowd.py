"""A crowd at the deployed gate: License Manager takes two calls a second, and eight executions wait at once."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.end_to_end.application import Application
from tests.eventually import eventually

CROWD = 8
TIMEOUT = 900


class CrowdAtGate:
    """Executions that are started together, each for a task of its own."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self._license_manager = application.cloud.license_manager
        self._step_functions = application.cloud.client("stepfunctions")
        self._license_manager.faults.limit(2, 2)
        self._before = len(self._license_manager.calls)
        self._tasks = [self._license_manager.add_task(duration=float("inf")) for _ in range(CROWD)]
        self.arns = [self._start(task) for task in self._tasks]

    def _start(self, task_id: str) -> str:
        return self.application.start({"LicenseConversionTaskId": task_id, "TimeoutSeconds": TIMEOUT})

    def heard(self, *, operation: str = "", answer: str = "") -> bool:
        """Whether License Manager has had such a call since they began."""
        calls = self._license_manager.calls[self._before :]
        return any(operation in ("", one.operation) and answer in ("", one.answer) for one in calls)

    def end(self) -> list[str]:
        """All conversions end, and then every execution."""
        for task in self._tasks:
            self._license_manager.finish_task(task)
        return [self.application.finish(arn, TIMEOUT + 60)["status"] for arn in self.arns]

    def history(self, arn: str) -> list[dict[str, Any]]:
        pages = self._step_functions.get_paginator("get_execution_history").paginate(executionArn=arn)
        return [dict(event) for page in pages for event in page["events"]]

    def states(self) -> list[list[str]]:
        """Which states each execution has entered, in order."""
        return [
            [one["stateEnteredEventDetails"]["name"] for one in self.history(arn) if "stateEnteredEventDetails" in one]
            for arn in self.arns
        ]


@pytest.fixture
def crowd(application: Application) -> Iterator[CrowdAtGate]:
    license_manager = application.cloud.license_manager
    yield CrowdAtGate(application)
    license_manager.faults.clear()
    application.cloud.dynamodb.away = False


def test_gates_that_are_throttled_are_woken_by_one_watch(crowd: CrowdAtGate) -> None:
    eventually(lambda: crowd.heard(operation="ListLicenseConversionTasks"), TIMEOUT)

    assert crowd.end() == ["SUCCEEDED"] * CROWD
    went_on = [states[states.index("Wait for Word") + 1] for states in crowd.states() if "Wait for Word" in states]
    assert went_on.count("Check Task") > len(went_on) / 2, crowd.states()
    assert any("TaskTimedOut" not in {one["type"] for one in crowd.history(arn)} for arn in crowd.arns)


def test_no_task_token_is_in_a_log(crowd: CrowdAtGate) -> None:
    eventually(crowd.application.cloud.is_watched, TIMEOUT)
    crowd.end()
    scheduled = [
        one["taskScheduledEventDetails"]["parameters"]
        for arn in crowd.arns
        for one in crowd.history(arn)
        if "taskScheduledEventDetails" in one
    ]
    tokens = {json.loads(parameters)["Payload"]["Token"] for parameters in scheduled if '"Token"' in parameters}

    assert tokens
    lines = "\n".join(crowd.application.cloud.log_lines())
    assert not [token for token in tokens if token in lines]


def test_a_watch_that_is_killed_fails_nobody(crowd: CrowdAtGate) -> None:
    eventually(crowd.application.cloud.is_watched, TIMEOUT)

    assert crowd.application.cloud.localstack.kill_runtimes(crowd.application.function_arn("WatchCrowdFunction"))

    assert crowd.end() == ["SUCCEEDED"] * CROWD


def test_a_table_that_is_away_fails_nobody(crowd: CrowdAtGate) -> None:
    crowd.application.cloud.dynamodb.away = True
    eventually(lambda: crowd.heard(answer="RateLimitExceededException"), TIMEOUT)

    assert crowd.end() == ["SUCCEEDED"] * CROWD
