"""How long conversions take. AWS publishes no figure; these three are assumptions."""

import math
from collections.abc import Callable, Mapping
from random import Random

Draw = Callable[[Random], float]
"""Seconds from a task's start to its end."""

MINUTE = 60.0
NINETEEN_OF_TWENTY = 0.95


def _tail(random: Random) -> float:
    """Nineteen of twenty take 2 to 20 minutes; the others up to 12 hours, as many in each doubling."""
    if random.random() < NINETEEN_OF_TWENTY:
        return random.uniform(2 * MINUTE, 20 * MINUTE)
    return 20 * MINUTE * math.pow(36, random.random())


CONVERSIONS: Mapping[str, Draw] = {
    "10 s to 10 min": lambda random: random.uniform(10, 10 * MINUTE),
    "10 min": lambda random: 10 * MINUTE,  # noqa: ARG005
    "ended": lambda random: 0.0,  # noqa: ARG005
    "2 to 10 min": lambda random: random.uniform(2 * MINUTE, 10 * MINUTE),
    "20 to 60 min": lambda random: random.uniform(20 * MINUTE, 60 * MINUTE),
    "a tail of 12 h": _tail,
}
