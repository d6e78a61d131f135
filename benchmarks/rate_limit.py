"""A License Manager behind one rate limit, in virtual time: the client that the real adapter calls."""

from bisect import bisect_right
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from botocore.exceptions import ClientError

from tests.simulation.clock import BEGINNING, VirtualClock
from tests.simulation.token_bucket import TokenBucket

CALL_SECONDS = 0.06
TASK_SECONDS = 0.0005
"""What a listed task adds: to send, and to parse in a function of 256 MB."""


class LicenseManagerService:
    """The tasks of an account. `add` them in the order in which they start."""

    def __init__(self, clock: VirtualClock, rate: float, page: int) -> None:
        self.calls = 0
        self.throttles = 0
        self._bucket = TokenBucket(clock.monotonic, rate, rate)
        self._clock = clock
        self._page = page
        self._ends: dict[str, float] = {}
        self._shapes: dict[str, dict[str, Any]] = {}
        self._running: list[tuple[int, str]] = []

    def add(self, task_id: str, seconds: float) -> None:
        self._ends[task_id] = self._clock.now + seconds
        self._running.append((len(self._ends), task_id))
        self._shapes[task_id] = {
            "LicenseConversionTaskId": task_id,
            "ResourceArn": f"arn:aws:ec2:us-east-1:123456789012:instance/i-{task_id[4:]}",
            "SourceLicenseContext": {"UsageOperation": "RunInstances:0800"},
            "DestinationLicenseContext": {"UsageOperation": "RunInstances:0002"},
            "StartTime": BEGINNING + timedelta(seconds=self._clock.now),
        }

    def end_of(self, task_id: str) -> float:
        return self._ends[task_id]

    def ended(self, task_id: str) -> bool:
        return self._ends[task_id] <= self._clock.now

    def ask(self, task_id: str) -> str:
        """The status at once, for a loop that keeps its own time."""
        if not self._taken():
            raise _throttle("GetLicenseConversionTask")
        return "SUCCEEDED" if self.ended(task_id) else "IN_PROGRESS"

    def _taken(self) -> bool:
        taken = self._bucket.take()
        self.calls += 1
        self.throttles += not taken
        return taken

    # What boto3's client has, as far as the adapter calls it.

    def get_license_conversion_task(self, *, LicenseConversionTaskId: str) -> dict[str, Any]:  # noqa: N803
        def answer() -> dict[str, Any]:
            return self._answer(LicenseConversionTaskId)

        return self._call("GetLicenseConversionTask", answer)

    def list_license_conversion_tasks(self, *, Filters: Any, NextToken: str = "0") -> dict[str, Any]:  # noqa: N803
        def answer() -> dict[str, Any]:
            if Filters[0]["Values"][0] == "SUCCEEDED":
                listed = [numbered for numbered in enumerate(self._ends, 1) if self.ended(numbered[1])]
            elif Filters[0]["Values"][0] == "IN_PROGRESS":
                listed = self._running = [numbered for numbered in self._running if not self.ended(numbered[1])]
            else:
                listed = []
            first = bisect_right(listed, (int(NextToken), "~"))
            page = listed[first : first + self._page]
            more = {"NextToken": str(page[-1][0])} if first + self._page < len(listed) else {}
            return {"LicenseConversionTasks": [self._answer(task_id) for _, task_id in page], **more}

        answered = self._call("ListLicenseConversionTasks", answer)
        self._clock.sleep(TASK_SECONDS * len(answered["LicenseConversionTasks"]))
        return answered

    def _answer(self, task_id: str) -> dict[str, Any]:
        return {**self._shapes[task_id], "Status": "SUCCEEDED" if self.ended(task_id) else "IN_PROGRESS"}

    def _call(self, operation: str, answer: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The limit is met, and the answer made, as the request comes in."""
        answered = answer() if self._taken() else None
        self._clock.sleep(CALL_SECONDS)
        if answered is None:
            raise _throttle(operation)
        return answered


def _throttle(operation: str) -> ClientError:
    said = {"Code": "RateLimitExceededException", "Message": "Too many requests."}
    return ClientError({"Error": said, "ResponseMetadata": {"HTTPStatusCode": 400}}, operation)  # type: ignore[typeddict-item]
