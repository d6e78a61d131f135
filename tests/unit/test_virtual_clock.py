"""Time in tests: the virtual clock, the rate limit that model, benchmark and local cloud share, and waiting for what comes."""

import math
from itertools import count

import pytest

from tests.eventually import eventually
from tests.simulation.clock import BEGINNING, Killed, VirtualClock
from tests.simulation.token_bucket import TokenBucket


def test_what_sleeps_lets_others_go_on_and_what_is_due_in_one_moment_keeps_its_order() -> None:
    clock, seen = VirtualClock(), list[tuple[str, float]]()

    def process(name: str, seconds: float) -> None:
        seen.append((name, clock.now))
        clock.sleep(seconds)
        seen.append((name, clock.now))

    clock.after(0, lambda: process("first", 5))
    clock.after(1, lambda: process("second", 2))
    clock.after(1, lambda: seen.append(("third", clock.now)))
    clock.after(-1, lambda: seen.append(("late", clock.now)))
    clock.run_out()

    assert seen == [("first", 0), ("late", 0), ("second", 1), ("third", 1), ("second", 3), ("first", 5)]


def test_nothing_happens_after_the_time_that_is_run_for() -> None:
    clock, seen = VirtualClock(), list[float]()

    def process() -> None:
        for _ in range(3):
            clock.sleep(4)
            seen.append(clock.now)

    clock.after(0, process)
    clock.run_for(5)

    assert seen == [4]
    assert clock.now == clock.monotonic() == 5
    assert clock.timestamp() == clock.utc().timestamp() == BEGINNING.timestamp() + 5
    assert not clock.idle

    clock.run_out()

    assert seen == [4, 8, 12]
    assert clock.idle


def test_a_process_is_killed_when_its_time_is_over_or_the_clock_closes_and_what_has_not_begun_never_begins() -> None:
    clock, seen = VirtualClock(), list[tuple[str, float]]()

    def process(name: str) -> None:
        try:
            clock.sleep(math.inf)
        except Exception:
            seen.append(("lives on", clock.now))
        except Killed:
            seen.append((name, clock.now))
            raise

    killed = clock.after(1, lambda: process("by time"), lives=10)
    clock.after(0, lambda: process("by the end"))
    clock.after(50, lambda: seen.append(("begins", clock.now)))
    clock.run_for(20)
    assert killed.dead
    clock.close()

    assert seen == [("by time", 10), ("by the end", 20)]
    assert clock.idle


def taken(bucket: TokenBucket) -> int:
    return next(number for number in count() if not bucket.take())


def test_a_full_bucket_gives_its_size_at_once_and_then_its_rate() -> None:
    clock = VirtualClock()
    bucket = TokenBucket(clock.monotonic, 2, size=5)
    found = [taken(bucket)]
    for seconds in (0.25, 0.25, 3600):
        clock.run_for(seconds)
        found.append(taken(bucket))

    assert found == [5, 0, 1, 5]
    assert taken(TokenBucket(clock.monotonic, 0.2)) == 1, "less than one a second still lets one through"


def test_units_are_lent_to_the_first_call_and_paid_by_those_after_it() -> None:
    clock = VirtualClock()
    bucket = TokenBucket(clock.monotonic, 10)
    found = [bucket.take_units(25), bucket.take_units(1)]
    for seconds in (1.5, 0.1):
        clock.run_for(seconds)
        found.append(bucket.take_units(1))

    assert found == [True, False, False, True]


def test_what_comes_later_is_waited_for_and_what_never_comes_is_an_error_that_shows_the_last_value() -> None:
    values = iter(["RUNNING", "RUNNING", "FAILED"])

    assert eventually(lambda: next(values), pause=0, until=lambda status: status != "RUNNING") == "FAILED"
    with pytest.raises(TimeoutError, match=r"Still \[\] after 0"):
        eventually(list, seconds=0)
