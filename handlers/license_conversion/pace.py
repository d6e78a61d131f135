"""Seconds until the next check. Pure."""

import math
from collections.abc import Callable
from datetime import datetime

SHORTEST = 5
LONGEST = 60
LONGEST_WHEN_THROTTLED = 120
SHARE = 0.103
"""The next check comes after this share of the time since the start, less the jitter: a tenth on average."""
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
    longest: int = LONGEST,
) -> int:
    """Whole seconds until the next check, at least 1. Never past the deadline, and never from far before it to the deadline
    itself: a look comes `CLOSE` seconds or less before it, each gate's at a time of its own, because the last one may be
    throttled.

    `started_at` is the task's StartTime, or the wait's own start where that is unknown. `random` gives 0 to 1.
    `throttles` counts the throttled checks in a row: each doubles the pause, and spreads it wider, because whoever asks
    again at once keeps the throttle alive.
    """
    elapsed = max(0.0, (now - started_at).total_seconds())
    pause = min(longest, max(SHORTEST, elapsed * SHARE))
    jitter = JITTER
    if throttles:
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
