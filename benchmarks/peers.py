"""Other ways to wait, as far as they meet License Manager. Each check is one GetLicenseConversionTask; their functions run on a
bill like ours, at the same seconds an invocation. docs/benchmarks.md says where each constant comes from, and what is left out.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature
from random import Random

from botocore.exceptions import ClientError

from benchmarks.functions import INVOCATION_SECONDS, MEMORY_GB, Bill
from benchmarks.rate_limit import CALL_SECONDS, LimitedClient
from license_conversion.lifecycle import Lifecycle
from tests.simulation.clock import VirtualClock

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
CRHELPERS = Lifecycle.mro()[1]
"""CfnResource, by way of ours: an import of crhelper that comes first would make it clients."""


@dataclass
class Progress:
    """One wait. `pause` is the last one, in seconds."""

    task_id: str
    began: float
    pause: float = 0.0
    throttles: int = 0


class Peer(ABC):
    """A loop: check, wait, check again."""

    name = ""
    throttle_fails = False
    longest = DAY
    """Seconds; a wait that is not over by then has failed."""
    transitions_a_check = 0
    functions_gb: Sequence[float] = ()
    """The memory of each function that runs for a check."""

    def __init__(self, clock: VirtualClock, service: LimitedClient, random: Random) -> None:
        self.bills = [Bill() for _ in self.functions_gb] or [Bill()]
        self.transitions = 0
        self._clock = clock
        self._service = service
        self._random = random

    def first(self) -> float:
        """Seconds until the first check."""
        return 0.0

    @abstractmethod
    def pause(self, progress: Progress) -> float:
        """Seconds until the next one."""

    def wait(self, task_id: str) -> None:
        progress = Progress(task_id, self._clock.now)
        self._clock.after(self.first(), lambda: self._check(progress))

    def _check(self, progress: Progress) -> None:
        self.transitions += self.transitions_a_check
        for bill, memory in zip(self.bills, self.functions_gb, strict=False):
            bill.invocations += 1
            bill.gb_seconds += (CALL_SECONDS + INVOCATION_SECONDS) * memory
        self._clock.after(CALL_SECONDS, lambda: self._answered(progress, status))
        try:
            status = self._service.ask(progress.task_id)
        except ClientError:
            status = ""

    def _answered(self, progress: Progress, status: str) -> None:
        progress.throttles = 0 if status else progress.throttles + 1
        if status == "SUCCEEDED":
            self._service.seen([progress.task_id])
        elif (not status and self.throttle_fails) or self._clock.now - progress.began > self.longest:
            self._service.failed += 1
        else:
            progress.pause = self.pause(progress)
            self._clock.after(progress.pause, lambda: self._check(progress))


class Crhelper(Peer):
    """Its own polling: any error of the poll function, so a throttle too, is FAILED. When in its period a rule that was just made
    fires first is not documented: here anywhere in its second half.
    """

    name = "crhelper's polling"
    throttle_fails = True
    longest = HOUR
    functions_gb = (MEMORY_GB,)
    interval: float = MINUTE * signature(CRHELPERS).parameters["polling_interval"].default

    def first(self) -> float:
        return self._random.uniform(self.interval / 2, self.interval)

    def pause(self, progress: Progress) -> float:  # noqa: ARG002
        return self.interval - CALL_SECONDS


class CdkProvider(Peer):
    """Its waiter state machine: one Task with a Retry, so that a check is one transition. An error of the user's function, so a
    throttle too, is FAILED. Its default of 30 minutes is an hour here, all that a stack waits.
    """

    name = "CDK Provider"
    throttle_fails = True
    longest = HOUR
    transitions_a_check = 1
    functions_gb = (0.125, MEMORY_GB)
    interval = 5.0

    def pause(self, progress: Progress) -> float:  # noqa: ARG002
        return self.interval


class FixedLoop(Peer):
    """A state machine with the SDK integration: Task, Choice, Wait 60, and a Retry from 2 seconds, doubled up to a minute,
    with JitterStrategy FULL. Without the jitter all of them would come in the same instant for ever, which is no fair peer.
    """

    name = "fixed 60 s, with Retry"
    transitions_a_check = 3

    def pause(self, progress: Progress) -> float:
        if progress.throttles:
            self.transitions -= 2  # a retry is one transition
            return self._random.uniform(0, min(60, 2**progress.throttles))
        return 60.0


class Backoff(Peer):
    """A loop whose pause grows by half from 5 seconds to 5 minutes, half of it random; a throttle is one more step."""

    name = "exponential backoff"
    transitions_a_check = 3

    def pause(self, progress: Progress) -> float:
        grown = min(300.0, max(5.0, progress.pause * 1.5))
        return grown if not progress.pause else min(300.0, grown * self._random.uniform(0.75, 1.25))


PEERS = (Crhelper, CdkProvider, FixedLoop, Backoff)
