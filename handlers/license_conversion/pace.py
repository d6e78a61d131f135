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
    """Whole seconds until the next check, never past the deadline, at least 1.

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
    until_deadline = math.ceil((deadline - now).total_seconds())
    return max(1, min(math.ceil(pause), until_deadline))
