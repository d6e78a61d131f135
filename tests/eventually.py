"""Waiting for what happens in another thread or process."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
LONG = 200.0
"""Seconds. No expectation: what has not happened by then on the slowest machine will not happen."""
LONGEST_PAUSE = 0.5
"""Seconds between two questions. What is asked about has the same processor."""


def eventually(
    what: Callable[[], T], seconds: float = LONG, pause: float = 0.05, until: Callable[[T], object] = bool
) -> T:
    """The first value of `what` that is true, or that `until` is true of. Raises TimeoutError, which has the last one, when there
    was none for that many seconds.
    """
    deadline = time.monotonic() + seconds
    while not until(found := what()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"Still {found!r} after {seconds} seconds")
        time.sleep(pause)
        pause = max(pause, min(LONGEST_PAUSE, pause * 1.25))
    return found
