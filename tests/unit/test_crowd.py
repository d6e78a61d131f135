"""What a gate hears in the crowd, and what it does when it hears nothing."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from license_conversion.crowd import LIVELY, PATIENCE, WATCH, Crowd
from license_conversion.shared import SharedLicenseManager
from license_conversion.task import ConversionTask

from check_task import TaskCheck
from license_conversion.errors import AccessDenied, StillUnknown, TableUnavailable
from license_conversion.gate import Gate
from license_conversion.license_manager import LicenseManager
from tests.simulation.memory_table import MemoryTable, away

STARTED_AT = datetime(2026, 11, 22, 17, 39, 55, tzinfo=UTC)
NOW = STARTED_AT.timestamp()
TASK = "lct-1"
THROTTLE = StillUnknown("slow down", throttled=True)
AN_HOUR = 3600
IN_PROGRESS, SUCCEEDED = "IN_PROGRESS", "SUCCEEDED"


def word(task_id: str = TASK, status: str = SUCCEEDED) -> dict[str, Any]:
    return {"LicenseConversionTaskId": task_id, "Status": status}


class OneGate(LicenseManager):
    """A gate, its state, and a License Manager that answers IN_PROGRESS until it is told otherwise."""

    def __init__(self, **request: Any) -> None:
        self.table = MemoryTable()
        self.seconds = 0.0
        self.trouble: Exception | None = None
        self.statuses: dict[str, str] = {}
        self.asked: list[str] = []
        self.watches = 0
        self.woken: list[str] = []
        self.state: dict[str, Any] = {"Waiter": "CALLER", "Checks": 0, "AttemptSeconds": 25}
        self._request = {"LicenseConversionTaskId": TASK, "TimeoutSeconds": AN_HOUR, **request}
        if "LicenseConversionTaskIds" in self._request:
            del self._request["LicenseConversionTaskId"]
        shared = SharedLicenseManager(self, lambda: self.seconds)
        self.crowd = Crowd(self.table, self._start_watch, self.woken.extend, lambda: NOW + self.seconds)
        gate = Gate(lambda _: shared, self._clock, lambda: 0.0, crowds=lambda _: self.crowd, sleep=self._sleep)
        self.task_check = TaskCheck(gate, self._clock)

    def _clock(self) -> datetime:
        return STARTED_AT + timedelta(seconds=self.seconds)

    def _sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def _start_watch(self) -> None:
        self.watches += 1

    def get_task(self, task_id: str) -> ConversionTask:
        self.asked.append(task_id)
        if self.trouble:
            raise self.trouble
        return ConversionTask(word(task_id, self.statuses.get(task_id, IN_PROGRESS)))

    def _event(self, **more: Any) -> dict[str, Any]:
        started_at, execution = STARTED_AT.isoformat(), "arn:aws:states:us-east-1:1:execution:Gate:one"
        return {
            "Input": self._request,
            "Gate": self.state,
            "StartedAt": started_at,
            "Execution": execution,
            **more,
        }

    def check(self, after: float = 0.0) -> dict[str, Any]:
        """One check, and then the place that it may lead to."""
        self.seconds += after
        self.state = json.loads(json.dumps(self.task_check.for_state_machine(self._event())))
        if self.state.get("AwaitsWord"):
            self.task_check.take_place(self._event(Token=f"token-{self.state['Checks']}"))
        return self.state

    def watch_looks(self) -> None:
        """Somebody is at watch, and has just looked at all."""
        self.table.keep_watch(NOW + self.seconds + WATCH)
        self.table.looked(NOW + self.seconds, 1.0)

    def watch_says(self, *words: Mapping[str, Any]) -> None:
        self.table.tell("one", words)


def in_crowd(**request: Any) -> OneGate:
    """A gate that was throttled, with a watch that looks."""
    gate = OneGate(**request)
    gate.trouble = THROTTLE
    gate.check()
    gate.seconds += 30  # the throttle that functions share is over
    gate.watch_looks()
    gate.trouble, gate.asked = None, []
    return gate


# A gate that is alone


def test_a_gate_that_is_alone_touches_nothing_but_its_task() -> None:
    gate = OneGate()
    gate.table.called = away

    for _ in range(20):
        gate.check(after=30)

    assert len(gate.asked) == 20
    assert gate.state.keys() >= {"Task"}
    assert not gate.state.keys() & {"Heard", "Alone", "AwaitsWord"}


# Joining


def test_a_throttled_gate_takes_a_place_and_starts_the_watch() -> None:
    gate = OneGate()
    gate.trouble = THROTTLE

    state = gate.check()

    assert state["AwaitsWord"]
    assert (gate.table.items["one"].task_ids, gate.table.items["one"].token) == ((TASK,), "token-1")
    assert gate.watches == 1


def test_only_one_of_many_gates_starts_the_watch() -> None:
    table, started = MemoryTable(), []
    for number in range(20):
        crowd = Crowd(table, lambda: started.append(1), lambda _: None, lambda: NOW)
        crowd.take_place(f"gate-{number}", [TASK], "token")

    assert started == [1]


def test_a_watch_that_does_not_start_is_started_again() -> None:
    gate = in_crowd()
    gate.table.keep_watch(0)

    gate.check(after=WATCH + 1)

    assert gate.watches == 2


def test_a_gate_joins_without_a_throttle_where_a_watch_was_seen_lately() -> None:
    gate = in_crowd()
    gate.check()
    gate.state = {"Waiter": "CALLER", "Checks": 1, "AttemptSeconds": 25}  # another one in the same function

    assert gate.check()["AwaitsWord"]
    gate.state = {"Waiter": "CALLER", "Checks": 1, "AttemptSeconds": 25}
    assert "AwaitsWord" not in gate.check(after=LIVELY + 1)


def test_a_word_that_came_before_the_gate_slept_wakes_it_at_once() -> None:
    gate = in_crowd()
    gate.watch_says(word())

    gate.crowd.take_place("one", [TASK], "token-9")

    assert gate.woken == ["token-9"]


def test_a_table_that_is_away_gives_no_place() -> None:
    gate = OneGate()
    gate.trouble, gate.table.called = THROTTLE, away

    with pytest.raises(TableUnavailable):
        gate.check()


# Hearing


def test_a_gate_that_hears_nothing_asks_nothing_while_somebody_looks() -> None:
    gate = in_crowd()
    for _ in range(20):
        gate.seconds += 110
        gate.watch_looks()
        state = gate.check()

    assert gate.asked == []
    assert state["AwaitsWord"]
    assert 96 <= state["SecondsUntilNextCheck"] <= 120


def test_the_word_of_the_watch_is_the_verdict() -> None:
    gate = in_crowd()
    gate.watch_says({**word(), "StatusMessage": "Done."})

    state = gate.check()

    assert (state["Ended"], state["Passed"], state["Output"]["StatusMessage"]) == (True, True, "Done.")
    assert (gate.asked, gate.table.items) == ([], {})


def test_a_gate_leaves_its_place_when_it_ends_by_itself() -> None:
    gate = in_crowd()
    gate.statuses[TASK] = SUCCEEDED

    assert gate.check(after=PATIENCE * 3)["Passed"]
    assert not gate.table.items


def test_a_gate_that_nobody_has_looked_for_asks_by_itself_and_stays() -> None:
    gate = in_crowd()
    gate.table.keep_watch(0)

    state = gate.check(after=PATIENCE + 1)

    assert gate.asked == [TASK]
    assert state["AwaitsWord"]
    assert state["Heard"] == NOW + gate.seconds


def test_a_watch_that_lives_but_finishes_no_look_is_trusted_for_twice_as_long() -> None:
    gate = in_crowd()
    gate.seconds += PATIENCE + 1
    gate.table.keep_watch(NOW + gate.seconds + WATCH)
    gate.check()
    assert gate.asked == []

    gate.seconds += PATIENCE
    gate.table.keep_watch(NOW + gate.seconds + WATCH)
    gate.check()
    assert gate.asked == [TASK]


def test_a_gate_whose_place_is_gone_asks_by_itself() -> None:
    gate = in_crowd()
    gate.table.items.clear()

    gate.check()

    assert gate.asked == [TASK]


def test_the_last_look_is_a_real_one() -> None:
    gate = in_crowd()
    gate.statuses[TASK] = SUCCEEDED
    gate.seconds = AN_HOUR
    gate.watch_looks()

    assert gate.check()["Passed"]
    assert gate.asked == [TASK]


def test_a_throttled_last_look_is_repeated_and_not_waited_for_in_the_crowd() -> None:
    gate = in_crowd()
    gate.seconds, gate.trouble = AN_HOUR, THROTTLE

    state = gate.check()

    assert not state["Ended"]
    assert "AwaitsWord" not in state
    assert state["SecondsUntilNextCheck"] <= 5


# The table is away


def test_a_gate_trusts_its_last_word_for_a_minute_and_then_asks_by_itself() -> None:
    gate = in_crowd()
    gate.check()
    gate.table.called = away

    state = gate.check(after=PATIENCE - 1)
    assert (gate.asked, state.get("AwaitsWord")) == ([], None)

    gate.check(after=2)
    assert gate.asked == [TASK]


def test_a_verdict_needs_no_table() -> None:
    gate = in_crowd()
    gate.table.called = away
    gate.statuses[TASK] = SUCCEEDED

    assert gate.check(after=PATIENCE * 2)["Passed"]


def test_a_gate_comes_back_when_the_table_does() -> None:
    gate = in_crowd()
    gate.table.called = away
    gate.check(after=PATIENCE * 2)
    gate.table.called = lambda _: None

    assert gate.check(after=100)["AwaitsWord"]


# Left to the gate


def test_the_last_gate_of_a_crowd_goes_on_alone_without_a_call() -> None:
    gate = in_crowd()
    gate.watch_says(word(status=IN_PROGRESS))

    state = gate.check()
    assert (gate.asked, state["Alone"], "AwaitsWord" in state) == ([TASK], [TASK], False)

    gate.check(after=10)
    assert gate.asked == [TASK, TASK]


def test_a_gate_that_was_left_alone_comes_back_only_after_two_throttles() -> None:
    """The first one would lead it to the same watch, in a circle without a pause."""
    gate = in_crowd()
    gate.watch_says(word(status=IN_PROGRESS))
    gate.trouble = THROTTLE

    assert "AwaitsWord" not in gate.check()
    assert gate.check(after=30)["AwaitsWord"]


@pytest.mark.parametrize("grace", [30])
def test_a_task_that_the_watch_may_not_see_is_refused_to_the_gate_itself(grace: int) -> None:
    gate = in_crowd()
    gate.watch_says({"LicenseConversionTaskId": TASK})
    gate.trouble = AccessDenied("no", grace=grace)

    assert gate.check()["Refusal"]["Error"] == "LicenseConversion.AccessDenied"
    while not gate.state["Ended"]:
        gate.check(after=gate.state["SecondsUntilNextCheck"])

    assert gate.state["Error"] == "LicenseConversion.AccessDenied"
    assert len(gate.asked) >= grace / 5


def test_a_status_that_nobody_knows_is_the_gates_own_to_report() -> None:
    gate = in_crowd()
    gate.watch_says(word(status="PAUSED"))
    gate.statuses[TASK] = "PAUSED"

    state = gate.check()

    assert (state["Ended"], state["Alone"]) == (False, [TASK])


# Fleets


FLEET = [f"lct-{number}" for number in range(50)]


def fleet(**request: Any) -> OneGate:
    gate = OneGate(LicenseConversionTaskIds=FLEET, **request)
    gate.check()
    gate.watch_looks()
    return gate


def test_a_large_fleet_takes_one_place_for_all_its_tasks_and_asks_nothing() -> None:
    gate = fleet()

    assert gate.asked == []
    assert gate.table.items["one"].task_ids == tuple(FLEET)
    assert gate.watches == 1


def test_a_small_fleet_looks_by_itself() -> None:
    gate = OneGate(LicenseConversionTaskIds=FLEET[:3])

    assert "AwaitsWord" not in gate.check()
    assert gate.asked == FLEET[:3]


def test_a_fleet_waits_on_for_the_tasks_of_which_there_is_no_word() -> None:
    gate = fleet()
    gate.watch_says(word(FLEET[0]), word(FLEET[1]))

    state = gate.check()

    assert set(FLEET) - set(state["Pending"]) == set(FLEET[:2])
    assert gate.table.items["one"].task_ids == tuple(FLEET[2:])
    assert gate.asked == []


def test_a_failed_task_of_a_fleet_fails_it_at_once() -> None:
    gate = fleet()
    gate.watch_says({**word(FLEET[0], "FAILED"), "StatusMessage": "No."})

    state = gate.check()

    assert (state["Ended"], state["Passed"]) == (True, False)
    assert not gate.table.items


def test_a_fleet_asks_by_itself_for_the_task_that_is_left_to_it_and_leaves_the_others_to_the_watch() -> None:
    gate = fleet()
    gate.watch_says({"LicenseConversionTaskId": FLEET[7]})

    state = gate.check()

    assert gate.asked == [FLEET[7]]
    assert state["Alone"] == [FLEET[7]]
    assert FLEET[7] not in gate.table.items["one"].task_ids
    assert state["SecondsUntilNextCheck"] <= 30


def test_a_fleet_ends_when_the_last_word_has_come() -> None:
    gate = fleet()
    gate.watch_says(*(word(task_id) for task_id in FLEET))

    assert gate.check()["Passed"]


def test_a_fleet_that_is_told_often_trusts_the_watch_all_the_same() -> None:
    """Its place is a new one after each word, younger than the look that came with it."""
    gate = fleet()
    for task_id in FLEET[:40]:
        gate.seconds += 12
        gate.watch_looks()
        gate.watch_says(word(task_id))
        gate.check()

    assert gate.asked == []


def test_a_whole_day_of_turns_in_a_crowd_fits_into_an_executions_history() -> None:
    """Entered, scheduled, started, submitted, timed out, left; a check's five, and two for the choice."""
    gate = in_crowd(TimeoutSeconds=86400)
    turns = 0
    while not gate.state["Ended"]:
        gate.seconds += gate.state["SecondsUntilNextCheck"]
        gate.watch_looks()
        gate.check()
        turns += 1

    assert turns * 13 < 25_000
