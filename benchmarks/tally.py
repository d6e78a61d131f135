"""What the waits of one run came to."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from benchmarks.rate_limit import LimitedClient
from tests.simulation.clock import VirtualClock


@dataclass
class Tally:
    """Hears when a task's end was seen, and how each wait ends."""

    clock: VirtualClock
    service: LimitedClient
    lags: dict[str, float] = field(default_factory=dict)
    ended: int = 0
    failed: int = 0

    def seen(self, tasks: Iterable[str]) -> None:
        for task_id in tasks:
            if task_id not in self.lags:
                self.lags[task_id] = self.clock.now - self.service.end_of(task_id)

    def end(self, *, passed: bool) -> None:
        self.ended += 1
        self.failed += not passed
