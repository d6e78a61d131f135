"""What goes wrong on purpose: faults that wait in line, and a limit on the rate of calls."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.simulation.token_bucket import TokenBucket

RATE_LIMIT = "RateLimitExceededException"


@dataclass(frozen=True)
class ServiceFault:
    """One fault, by the name of the exception that is answered.

    `times` is how many calls are left to spoil; `operation` the only one that it spoils, `task_id` the only task whose calls it
    spoils, None for any.
    """

    name: str
    times: int = 1
    operation: str | None = None
    task_id: str | None = None

    def spoils(self, operation: str, task_id: str | None) -> bool:
        return self.operation in (None, operation) and self.task_id in (None, task_id)


class ServiceFaults:
    """Decides for each call whether it is spoilt: first by the limit, then by the line."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """From now on calls are answered."""
        self._line: list[ServiceFault] = []
        self._bucket: TokenBucket | None = None

    def queue(self, name: str, *, times: int = 1, operation: str | None = None, task_id: str | None = None) -> None:
        """Spoil the next calls, after those already queued."""
        with self._lock:
            self._line.append(ServiceFault(name, times, operation, task_id))

    def limit(self, requests_per_second: float, burst: int) -> None:
        """Answer RateLimitExceededException to whatever comes faster; `burst` calls may come at once."""
        self._bucket = TokenBucket(self._clock, requests_per_second, burst)

    def next_for(self, operation: str, task_id: str | None = None) -> ServiceFault | None:
        """The fault that spoils this call, or None."""
        if self._bucket and not self._bucket.take():
            return ServiceFault(RATE_LIMIT)
        with self._lock:
            for place, fault in enumerate(self._line):
                if fault.spoils(operation, task_id):
                    left = fault.times - 1
                    self._line[place : place + 1] = [replace(fault, times=left)] if left else []
                    return fault
        return None
