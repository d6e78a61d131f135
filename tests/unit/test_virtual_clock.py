"""Virtual time: what sleeps lets others go on, and a process that is killed is no more."""

import math

import pytest

from tests.simulation.clock import BEGINNING, Killed, VirtualClock

Seen = list[tuple[str, float]]


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def seen() -> Seen:
    return []


def test_what_sleeps_lets_others_go_on_meanwhile(clock: VirtualClock, seen: Seen) -> None:
    def process(name: str, seconds: float) -> None:
        seen.append((name, clock.now))
        clock.sleep(seconds)
        seen.append((name, clock.now))

    clock.after(0, lambda: process("first", 5))
    clock.after(1, lambda: process("second", 2))
    clock.run_out()

    assert seen == [("first", 0), ("second", 1), ("second", 3), ("first", 5)]


def test_what_is_due_in_one_moment_keeps_its_order(clock: VirtualClock, seen: Seen) -> None:
    for name in "abc":
        clock.after(1, lambda name=name: seen.append((name, clock.now)))  # type: ignore[misc]
    clock.after(-1, lambda: seen.append(("late", clock.now)))
    clock.run_out()

    assert seen == [("late", 0), ("a", 1), ("b", 1), ("c", 1)]


def test_nothing_happens_after_the_time_that_is_run_for(clock: VirtualClock, seen: Seen) -> None:
    def process() -> None:
        for _ in range(3):
            clock.sleep(4)
            seen.append(("wakes", clock.now))

    clock.after(0, process)
    clock.run_for(5)

    assert seen == [("wakes", 4)]
    assert clock.now == clock.monotonic() == 5
    assert clock.timestamp() == clock.utc().timestamp() == BEGINNING.timestamp() + 5
    assert not clock.idle

    clock.run_out()

    assert seen == [("wakes", 4), ("wakes", 8), ("wakes", 12)]
    assert clock.idle


def test_a_process_is_killed_when_its_time_is_over(clock: VirtualClock, seen: Seen) -> None:
    def process() -> None:
        try:
            clock.sleep(math.inf)
        except Exception:
            seen.append(("lives on", clock.now))
        finally:
            seen.append(("is killed", clock.now))

    killed = clock.after(1, process, lives=10)
    clock.run_out()

    assert seen == [("is killed", 10)]
    assert killed.dead


def test_what_is_left_is_killed_and_what_has_not_begun_never_begins(clock: VirtualClock, seen: Seen) -> None:
    def process() -> None:
        try:
            clock.sleep(100)
        except Killed:
            seen.append(("is killed", clock.now))
            raise

    clock.after(0, process)
    clock.after(50, lambda: seen.append(("begins", clock.now)))
    clock.run_for(1)
    clock.close()

    assert seen == [("is killed", 1)]
    assert clock.idle
