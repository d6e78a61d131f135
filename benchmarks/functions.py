"""Lambda in virtual time: sandboxes that serve one invocation at a time, the one that was freed last before the others.

What of this AWS does not document: the order of reuse, the time until an idle sandbox goes, the time of a cold start.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from tests.simulation.clock import VirtualClock

COLD_START_SECONDS = 1.0
INVOCATION_SECONDS = 0.03
"""What an invocation takes besides its calls: our code, its log line, Lambda. Both were measured once (docs/benchmarks.md)."""
IDLE_SECONDS = 300.0
MOST_SANDBOXES = 1000
"""An account's default concurrency, and what a function gains in ten seconds."""
MEMORY_GB = 0.25

S = TypeVar("S")


@dataclass
class Bill:
    invocations: int = 0
    gb_seconds: float = 0.0


@dataclass
class Function(Generic[S]):
    """`start` makes what a sandbox keeps while it is warm."""

    clock: VirtualClock
    start: Callable[[], S]
    bill: Bill = field(default_factory=Bill)
    _busy: int = 0
    _free: list[tuple[float, S]] = field(default_factory=list)
    """Since when, and what it keeps: the one that has been free the longest is first."""

    def invoke(self, work: Callable[[S], None]) -> bool:
        """Run `work` in a sandbox. False: all are busy (TooManyRequestsException)."""
        if self._busy >= MOST_SANDBOXES:
            return False
        began = self.clock.now
        self._busy += 1
        try:
            kept = self._warm()
            self.clock.sleep(INVOCATION_SECONDS)
            work(kept)
            self._free.append((self.clock.now, kept))
        finally:  # killed too
            self._busy -= 1
            self.bill.invocations += 1
            self.bill.gb_seconds += (self.clock.now - began) * MEMORY_GB
        return True

    def _warm(self) -> S:
        if self._free and self._free[0][0] < self.clock.now - IDLE_SECONDS:
            self._free = [one for one in self._free if one[0] >= self.clock.now - IDLE_SECONDS]
        if not self._free:
            kept = self.start()
            self.clock.sleep(COLD_START_SECONDS)
            return kept
        return self._free.pop()[1]
