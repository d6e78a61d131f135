"""What goes wrong, and when: the next calls of a kind meet what was arranged for them."""

from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from tests.simulation.clock import Killed, VirtualClock


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

    def before(self, call: str) -> Fault | None:
        """At the beginning of a call: the time it takes to get there."""
        fault = self.next(call)
        self.clock.sleep(SLOW_SECONDS if fault in (Fault.SLOW, Fault.SLOW_FAILURE) else LATENCY)
        if fault is Fault.CRASH_BEFORE:
            raise Killed
        return fault

    def after(self, fault: Fault | None) -> None:
        """Once it was performed: the time until its reply is there."""
        if fault is Fault.CRASH_AFTER:
            raise Killed
        self.clock.sleep(SLOW_SECONDS if fault is Fault.SLOW_REPLY else LATENCY)

    def clear(self) -> None:
        self.queued.clear()
        self.weather.clear()
