"""What goes wrong on purpose: faults that wait in line, and a limit on the rate of calls."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.simulation.token_bucket import TokenBucket

RATE_LIMIT = "RateLimitExceededException"


@dataclass(frozen=True)
class ServiceFault:
    """It spoils one call, of any operation and about any task where none is named."""

    name: str
    operation: str | None = None
    task_id: str | None = None

    def spoils(self, operation: str, task_id: str | None) -> bool:
        return self.operation in (None, operation) and self.task_id in (None, task_id)


class ServiceFaults:
    """Decides for each call whether it is spoilt: first by the limit, then by the line."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.clear()

    def clear(self) -> None:
        """From now on calls are answered."""
        self._line: list[ServiceFault] = []
        self._bucket: TokenBucket | None = None

    def queue(self, name: str, *, times: int = 1, operation: str | None = None, task_id: str | None = None) -> None:
        """Spoil the next calls, after those already queued."""
        self._line += [ServiceFault(name, operation, task_id)] * times

    def limit(self, requests_per_second: float, burst: int) -> None:
        """Answer RateLimitExceededException to whatever comes faster; `burst` calls may come at once."""
        self._bucket = TokenBucket(self._clock, requests_per_second, burst)

    def next_for(self, operation: str, task_id: str | None = None) -> str | None:
        """The name of the exception that answers this call, or None."""
        if self._bucket and not self._bucket.take():
            return RATE_LIMIT
        for fault in self._line:
            if fault.spoils(operation, task_id):
                self._line.remove(fault)
                return fault.name
        return None
