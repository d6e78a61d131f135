"""Executions wait at the deployed gate at once, and one poller asks License Manager for all of them."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.end_to_end.application import Application, history_of, states_in
from tests.eventually import eventually

GATES = 5
SOON = 50
"""The gates' TimeoutSeconds: such a gate wakes by itself within 45 seconds, and within 120 where it may wait for longer."""
LONG = 900


class WaitingGates:
    """Executions that are started together, each for a task of its own."""

    def __init__(self, application: Application, timeout: int) -> None:
        self._application = application
        self._tasks = [application.cloud.license_manager.add_task(duration=float("inf")) for _ in range(GATES)]
        self._arns = [
            application.start({"LicenseConversionTaskId": task, "TimeoutSeconds": timeout}) for task in self._tasks
        ]

    def all_sleep(self) -> bool:
        return all("Wait for Result" in states for states in self.states())

    def finish(self) -> None:
        """All conversions end."""
        for task in self._tasks:
            self._application.cloud.license_manager.finish_task(task)

    def statuses(self) -> list[str]:
        """Once the executions have ended."""
        return [self._application.finish(arn, LONG + 60)["status"] for arn in self._arns]

    def histories(self) -> Iterator[list[dict[str, Any]]]:
        for arn in self._arns:
            yield history_of(self._application.cloud, arn)

    def states(self) -> list[list[str]]:
        """Which states each execution has entered, in order."""
        return [states_in(history) for history in self.histories()]

    def tokens(self) -> set[str]:
        """Those by which the poller calls the gates back."""
        scheduled = [
            json.loads(one["taskScheduledEventDetails"]["parameters"])
            for history in self.histories()
            for one in history
            if "taskScheduledEventDetails" in one
        ]
        return {one["ExpressionAttributeValues"][":token"]["S"] for one in scheduled if "UpdateExpression" in one}


def test_gates_that_are_throttled_are_called_back_by_one_poller_whose_tokens_no_log_shows(
    application: Application,
) -> None:
    """License Manager takes two calls a second."""
    license_manager = application.cloud.license_manager
    license_manager.faults.limit(2, 2)
    before = len(license_manager.calls)
    gates = WaitingGates(application, LONG)
    eventually(gates.all_sleep)
    eventually(lambda: "ListLicenseConversionTasks" in {one.operation for one in license_manager.calls[before:]})

    gates.finish()
    assert gates.statuses() == ["SUCCEEDED"] * GATES
    license_manager.faults.clear()
    slept = ["Open Gate", "Check Task", "Route", "Wait for Result", "Check Task", "Route", "Publish Event", "Route"]
    assert gates.states() == [[*slept, "Conversion Done"]] * GATES
    assert "TaskTimedOut" not in {one["type"] for history in gates.histories() for one in history}
    tokens = gates.tokens()
    assert len(tokens) == GATES
    lines = "\n".join(application.cloud.log_lines())
    assert not [token for token in tokens if token in lines]


@pytest.fixture(scope="module")
def left_alone(application: Application) -> Iterator[list[WaitingGates]]:
    """Gates whose poller is killed, and gates that find no table. They wait at the same time."""
    killed = WaitingGates(application, SOON)
    eventually(killed.all_sleep)
    eventually(lambda: application.cloud.localstack.kill_runtimes(application.function_arn("PollTasksFunction")))
    application.cloud.tables_are_away.set()
    without_table = WaitingGates(application, SOON)
    eventually(without_table.all_sleep)
    for gates in (killed, without_table):
        gates.finish()
    yield [killed, without_table]
    application.cloud.tables_are_away.clear()


def test_a_poller_that_is_killed_fails_no_gate(left_alone: list[WaitingGates]) -> None:
    assert left_alone[0].statuses() == ["SUCCEEDED"] * GATES


def test_a_table_that_is_away_fails_no_gate(left_alone: list[WaitingGates]) -> None:
    assert left_alone[1].statuses() == ["SUCCEEDED"] * GATES
    assert all("Back Off" in states for states in left_alone[1].states())
