"""What goes wrong, and when: the next calls of a kind meet what was arranged for them."""

from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from tests.simulation.clock import Killed, VirtualClock

One = TypeVar("One")


class Fault(StrEnum):
    """What one call meets."""

    REFUSED = "refused before it was performed"
    THROTTLED = "throttled"
    LOST = "performed, but its reply is lost"
    CRASH_BEFORE = "the caller is killed before it"
    CRASH_AFTER = "the caller is killed after it"
    SLOW = "takes its time before it is performed"
    SLOW_REPLY = "takes its time after it was performed"
    SLOW_FAILURE = "takes its time, and then is refused"
    STALE = "answers what was true two seconds ago"
    DENIED = "is not allowed to its caller for now"


LATENCY = 0.04
SLOW_SECONDS = 8.0


@dataclass
class Faults:
    """By the name of the call. `weather` is what every call of the name meets until a point in time."""

    clock: VirtualClock
    met: Callable[[str, Fault], None]
    queued: dict[str, deque[Fault | None]] = field(default_factory=lambda: defaultdict(deque))
    weather: dict[str, tuple[Fault, float]] = field(default_factory=dict)

    def next(self, call: str) -> Fault | None:
        fault = None
        if self.queued[call]:
            fault = self.queued[call].popleft()
        elif call in self.weather:
            weather, until = self.weather[call]
            fault = weather if self.clock.now < until else None
        if fault:
            self.met(call, fault)
        return fault

    def meets(
        self, call: str, what: Callable[[Fault | None], One], failure: Callable[[Fault], Exception], *,
        patience: float = SLOW_SECONDS, gives_up: bool = False,
    ) -> One:  # fmt: skip
        """One call of a process, and what it sees of it. What is slow takes the caller's `patience`, who then may give it up."""
        fault = self.next(call)
        slow = fault in (Fault.SLOW, Fault.SLOW_FAILURE)
        self.clock.sleep(patience if slow else LATENCY)
        if fault is Fault.CRASH_BEFORE:
            raise Killed
        if fault in (Fault.REFUSED, Fault.THROTTLED, Fault.SLOW_FAILURE) or (fault and slow and gives_up):
            raise failure(fault)
        result = what(fault)
        if fault is Fault.CRASH_AFTER:
            raise Killed
        self.clock.sleep(patience if fault is Fault.SLOW_REPLY else LATENCY)
        if fault is Fault.LOST or (fault is Fault.SLOW_REPLY and gives_up):
            raise failure(fault)
        return result

    def clear(self) -> None:
        self.queued.clear()
        self.weather.clear()
