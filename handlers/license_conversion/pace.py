"""Seconds until the next check. Pure."""

import math
from collections.abc import Callable
from datetime import datetime

SHORTEST = 5
LONGEST_IN_FIRST_HOUR = 30
LONGEST = 60
LONGEST_WHEN_THROTTLED = 120
FACTOR = 1.2
"""The next check comes after this many times the root of the seconds since the start: of all paces that grow, the root's has the
least lag for the calls that it makes."""
FIRST_HOUR = 3600
LONGEST_IN_CROWD = 120
JITTER_IN_CROWD = 0.2
"""A gate that others look for wakes by itself this rarely: in case they do not. Then it asks, and after a throttle again in"""
IN_SILENT_CROWD = 40
JITTER = 0.05
"""A pause is shortened by up to this share of itself, so that gates which started together drift apart."""
CLOSE = 30
JITTER_WHEN_THROTTLED = 0.4
"""Wider, but the pause is still longer than without the throttle."""


def seconds_until_next_check(
    now: datetime,
    *,
    started_at: datetime,
    deadline: datetime,
    random: Callable[[], float],
    throttles: int = 0,
    in_crowd: bool = False,
) -> int:
    """Whole seconds until the next check, at least 1. Never past the deadline, and never from far before it to the deadline
    itself: a look comes `CLOSE` seconds or less before it, each gate's at a time of its own, because the last one may be
    throttled.

    `started_at` is the task's StartTime, or the wait's own start where that is unknown. `random` gives 0 to 1.
    `throttles` counts the throttled checks in a row: each doubles the pause, and spreads it wider, because whoever asks
    again at once keeps the throttle alive. `in_crowd`: the gate is woken when there is a word for it; a throttle there says that
    nobody is at watch.
    """
    elapsed = max(0.0, (now - started_at).total_seconds())
    pause = LONGEST if elapsed >= FIRST_HOUR else min(LONGEST_IN_FIRST_HOUR, max(SHORTEST, FACTOR * math.sqrt(elapsed)))
    jitter = JITTER
    if in_crowd:
        pause, jitter = IN_SILENT_CROWD if throttles else LONGEST_IN_CROWD, JITTER_IN_CROWD
    elif throttles:
        pause = min(LONGEST_WHEN_THROTTLED, pause * 2 ** min(throttles, 8))
        jitter = JITTER_WHEN_THROTTLED
    pause = max(SHORTEST, pause * (1 - jitter * random()))
    until_deadline = (deadline - now).total_seconds()
    if until_deadline > CLOSE:
        pause = min(pause, until_deadline - SHORTEST - (CLOSE - SHORTEST) * random())
    return max(1, math.ceil(min(pause, until_deadline)))


def seconds_until_repetition(random: Callable[[], float]) -> int:
    """Whole seconds until the last look comes again, for one that was not answered."""
    return math.ceil(SHORTEST * max(random(), 1 / SHORTEST))
