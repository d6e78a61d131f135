"""Other ways to wait, as far as they meet License Manager. Each check is one GetLicenseConversionTask.

Their functions run on a bill like ours, at the same seconds an invocation; what is not charged to them is said in the
assumptions. The limits of their own (an hour, a function policy's size) are modelled only where they end a wait.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from random import Random

from botocore.exceptions import ClientError

from benchmarks.clock import Clock
from benchmarks.functions import INVOCATION_SECONDS, MEMORY_GB, Bill
from benchmarks.license_manager import CALL_SECONDS, LicenseManagerService
from benchmarks.waits import Waits

HOUR = 3600.0
DAY = 24 * HOUR


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
    lambda_a_check = True

    def __init__(self, clock: Clock, service: LicenseManagerService, random: Random) -> None:
        self.bill = Bill()
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

    def wait(self, waits: Waits, task_id: str) -> None:
        progress = Progress(task_id, self._clock.now)
        self._clock.after(self.first(), lambda: self._check(waits, progress))

    def _check(self, waits: Waits, progress: Progress) -> None:
        self.transitions += self.transitions_a_check
        if self.lambda_a_check:
            self.bill.invocations += 1
            self.bill.gb_seconds += (CALL_SECONDS + INVOCATION_SECONDS) * MEMORY_GB
        self._clock.after(CALL_SECONDS, lambda: self._answered(waits, progress, status))
        try:
            status = self._service.ask(progress.task_id)
        except ClientError:
            status = ""

    def _answered(self, waits: Waits, progress: Progress, status: str) -> None:
        progress.throttles = 0 if status else progress.throttles + 1
        if status == "SUCCEEDED":
            waits.seen([progress.task_id])
            waits.end(passed=True)
        elif (not status and self.throttle_fails) or self._clock.now - progress.began > self.longest:
            waits.end(passed=False)
        else:
            progress.pause = self.pause(progress)
            self._clock.after(progress.pause, lambda: self._check(waits, progress))


class Crhelper(Peer):
    """Its own polling: an EventBridge rule of two minutes, at the rule's own whole minutes; any error fails the stack.

    crhelper 2.0.12, crhelper/resource_helper.py: `polling_interval=2` and `rate({} {})` in `_put_rule`.
    """

    name = "crhelper's polling"
    throttle_fails = True
    longest = HOUR

    def first(self) -> float:
        return self._random.uniform(60, 120)

    def pause(self, progress: Progress) -> float:  # noqa: ARG002
        return 120 - CALL_SECONDS


class CdkProvider(Peer):
    """Its waiter state machine: every 5 seconds for an hour at most; an error that is not its own retry signal fails the
    wait. Its retry is the Task state's, one transition each.

    aws-cdk-lib 2.275.0, aws_cdk/custom_resources/__init__.py, `ProviderProps`: `query_interval` 5 seconds; `total_timeout` at
    most 1 hour, which it is given here (30 minutes is the default).
    """

    name = "CDK Provider"
    throttle_fails = True
    longest = HOUR
    transitions_a_check = 1

    def pause(self, progress: Progress) -> float:  # noqa: ARG002
        return 5.0


class FixedLoop(Peer):
    """A state machine with the SDK integration: Task, Choice, Wait 60, and a Retry from 2 seconds, doubled up to a minute,
    with JitterStrategy FULL. Without the jitter all of them would come in the same instant for ever, which is no fair peer.
    """

    name = "fixed 60 s, with Retry"
    lambda_a_check = False
    transitions_a_check = 3

    def pause(self, progress: Progress) -> float:
        if progress.throttles:
            self.transitions -= 2  # a retry is one transition
            return self._random.uniform(0, min(60, 2**progress.throttles))
        return 60.0


class Backoff(Peer):
    """A loop whose pause grows by half from 5 seconds to 5 minutes, half of it random; a throttle is one more step."""

    name = "exponential backoff"
    lambda_a_check = False
    transitions_a_check = 3

    def pause(self, progress: Progress) -> float:
        grown = min(300.0, max(5.0, progress.pause * 1.5))
        return grown if not progress.pause else min(300.0, grown * self._random.uniform(0.75, 1.25))


PEERS = (Crhelper, CdkProvider, FixedLoop, Backoff)
