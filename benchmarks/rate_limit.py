"""A License Manager behind one rate limit, in virtual time: the client that the real adapter calls."""

from collections.abc import Iterable

from tests.simulation.clock import VirtualClock
from tests.simulation.license_manager.client import Client, error
from tests.simulation.license_manager.service import ConversionService, Json
from tests.simulation.token_bucket import TokenBucket

CALL_SECONDS = 0.06
TASK_SECONDS = 0.0005
"""What a listed task adds: to send, and to parse in a function of 256 MB."""


class LimitedClient(Client):
    """Of an account's tasks, listed in the order in which they start. The limit is met, and the answer made, as a request comes
    in. It is called when a wait has seen a task's end, and how many waits failed.
    """

    def __init__(self, clock: VirtualClock, rate: float, page: int) -> None:
        super().__init__(ConversionService(clock=clock.monotonic, page_size=page, seed=None))
        self.calls = 0
        self.throttles = 0
        self.lags: dict[str, float] = {}
        self.failed = 0
        self._bucket = TokenBucket(clock.monotonic, rate, rate)
        self._clock = clock

    def add(self, task_id: str, seconds: float) -> None:
        instance = f"arn:aws:ec2:us-east-1:123456789012:instance/i-{task_id[4:]}"
        self.service.add_task(task_id, duration=seconds, resource_arn=instance)

    def end_of(self, task_id: str) -> float:
        return self.service.known[task_id].end_time

    def seen(self, tasks: Iterable[str]) -> None:
        for task_id in tasks:
            self.lags.setdefault(task_id, self._clock.now - self.end_of(task_id))

    def ask(self, task_id: str) -> str:
        """The status at once, for a loop that keeps its own time."""
        if not self._taken():
            raise _throttle("GetLicenseConversionTask")
        return self.service.known[task_id].status(self._clock.now)

    def _taken(self) -> bool:
        taken = self._bucket.take()
        self.calls += 1
        self.throttles += not taken
        return taken

    def _call(self, operation: str, parameters: Json) -> Json:
        answered = super()._call(operation, parameters) if self._taken() else None
        self._clock.sleep(CALL_SECONDS)
        if answered is None:
            raise _throttle(operation)
        self._clock.sleep(TASK_SECONDS * len(answered.get("LicenseConversionTasks", ())))
        return answered


def _throttle(operation: str) -> Exception:
    return error("RateLimitExceededException", operation)
