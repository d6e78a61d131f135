"""What goes wrong on purpose: faults that wait in line, that come by chance, and a limit on the rate of calls."""

import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from tests.simulation.token_bucket import TokenBucket

RATE_LIMIT = "RateLimitExceededException"


@dataclass(frozen=True)
class ServiceFault:
    """One fault, by the name of the exception that is answered.

    `times` is how many calls are left to spoil, None for all of them; `operation` the only one that it spoils, `task_id` the
    only task whose calls it spoils, None for any.
    """

    name: str
    times: int | None = 1
    operation: str | None = None
    task_id: str | None = None

    def spoils(self, operation: str, task_id: str | None) -> bool:
        return self.operation in (None, operation) and self.task_id in (None, task_id)


class ServiceFaults:
    """Decides for each call whether it is spoilt: first by the limit, then by the line, then by chance."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """From now on calls are answered."""
        self._line: list[ServiceFault] = []
        self._rates: dict[ServiceFault, float] = {}
        self._bucket: TokenBucket | None = None

    def queue(
        self, name: str, *, times: int | None = 1, operation: str | None = None, task_id: str | None = None
    ) -> None:
        """Spoil the next calls, after those already queued: `times` of them, or with None all until `clear()`."""
        with self._lock:
            self._line.append(ServiceFault(name, times, operation, task_id))

    def rates(self, rates: Mapping[str, float], *, seed: int = 0, task_id: str | None = None) -> None:
        """Spoil calls by chance: `{"ThrottlingException": 0.5}` about every second. The same seed, the same calls."""
        self._rates = {ServiceFault(name, task_id=task_id): rate for name, rate in rates.items()}
        self._random = random.Random(seed)  # noqa: S311 - repeatable, not secret

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
                    left = None if fault.times is None else fault.times - 1
                    self._line[place : place + 1] = [] if left == 0 else [replace(fault, times=left)]
                    return fault
        return self._draw() if any(fault.spoils(operation, task_id) for fault in self._rates) else None

    def _draw(self) -> ServiceFault | None:
        draw = self._random.random()
        for fault, rate in self._rates.items():
            draw -= rate
            if draw < 0:
                return fault
        return None
