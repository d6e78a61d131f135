"""Virtual time: what sleeps lets others go on, and a process that is killed is no more."""

import math

from tests.simulation.clock import BEGINNING, Killed, VirtualClock


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
