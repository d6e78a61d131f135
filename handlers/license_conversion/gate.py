"""One check of one gate: what License Manager says now, and what that means for whoever waits."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from license_conversion import reason
from license_conversion.errors import GateError, StillUnknown
from license_conversion.license_manager import LicenseManager
from license_conversion.pace import seconds_until_next_check
from license_conversion.request import Request
from license_conversion.task import ConversionTask, Status

FAILED = "LicenseConversion.Failed"
TIMED_OUT = "LicenseConversion.TimedOut"


class Outcome(StrEnum):
    """How a gate ends."""

    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"
    REFUSED = "REFUSED"


DETAIL_TYPES = {
    Outcome.SUCCEEDED: "License Conversion Succeeded",
    Outcome.FAILED: "License Conversion Failed",
    Outcome.TIMED_OUT: "License Conversion Wait Timed Out",
}


@dataclass(frozen=True)
class Wait:
    """What a check has to know of the wait so far.

    `look` says where a person finds more. `task` is the last task seen, `throttles` the throttled checks in a row.
    """

    started_at: datetime
    deadline: datetime
    look: str
    task: ConversionTask
    throttles: int = 0
    signals_handle: bool = False


@dataclass(frozen=True)
class Waiting:
    """The task is not terminal. The next check comes in `seconds`."""

    seconds: int
    task: ConversionTask
    throttles: int = 0
    trouble: str = ""
    unknown_status: bool = False

    def state(self) -> dict[str, Any]:
        """What the state machine keeps until the next check."""
        return {
            "Ended": False,
            "SecondsUntilNextCheck": self.seconds,
            "Throttles": self.throttles,
            "Task": dict(self.task.shape),
        }


@dataclass(frozen=True)
class Ended:
    """The gate's verdict. `error` is empty when whoever waited may go on; `cause` is for programs, `reason` for people."""

    outcome: Outcome
    task: ConversionTask
    error: str = ""
    cause: str = ""
    reason: str = ""
    waited_seconds: float = 0.0
    refusal: GateError | None = None

    @property
    def passed(self) -> bool:
        return not self.error

    def state(self, stack_event: Mapping[str, Any] | None) -> dict[str, Any]:
        """What the state machine tells whoever waits, and how it ends itself."""
        announcement = self.announcement(stack_event)
        return {
            "Ended": True,
            "Passed": self.passed,
            "Outcome": self.outcome,
            "Output": dict(self.task.shape),
            "Error": self.error,
            "Cause": self.cause,
            "Answer": self.answer(),
            **({"Announcement": announcement} if announcement else {}),
        }

    def announcement(self, stack_event: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """The event for the bus: `DetailType` and `Detail`. None for a refused request."""
        if self.outcome is Outcome.REFUSED:
            return None
        detail = dict(self.task.shape)
        if stack_event:
            detail.update(StackId=stack_event["StackId"], LogicalResourceId=stack_event["LogicalResourceId"])
        return {"DetailType": DETAIL_TYPES[self.outcome], "Detail": detail}

    def answer(self) -> dict[str, Any]:
        """What CloudFormation is told: Status, Reason, PhysicalResourceId (`""` when there is no task) and Data."""
        return {
            "Status": "SUCCESS" if self.passed else "FAILED",
            "Reason": self.reason,
            "PhysicalResourceId": self.task.task_id,
            "Data": self.task.attributes() if self.passed else {},
        }


class Gate:
    """Checks tasks. The clock (aware datetimes) and the randomness come from outside, so that a test can own them."""

    def __init__(
        self, license_manager: LicenseManager, clock: Callable[[], datetime], random: Callable[[], float]
    ) -> None:
        self._license_manager = license_manager
        self._clock = clock
        self._random = random

    def check(self, request: Request, wait: Wait) -> Waiting | Ended:
        """One look at the task of `request`. Never raises for what License Manager does."""
        task, throttles, trouble, unknown_status = wait.task, 0, "", False
        try:
            task = self._license_manager.get_task(request.task_id)
        except GateError as error:
            return refused(error, task)
        except StillUnknown as unknown:
            throttles = wait.throttles + 1 if unknown.throttled else 0
            trouble = str(unknown)
        else:
            unknown_status = task.status is Status.UNKNOWN
            if unknown_status:
                trouble = f"the status is {task.status_word}, which License Manager does not document"
        now = self._clock()
        waited = now - wait.started_at
        if task.terminal:
            return _verdict(request, task, waited.total_seconds(), reason.failed(task, waited, wait.look))
        if now >= wait.deadline:
            said = reason.timed_out(task, waited, wait.look, trouble, with_handle=wait.signals_handle)
            return Ended(Outcome.TIMED_OUT, task, TIMED_OUT, cause(task), said, waited.total_seconds())
        seconds = seconds_until_next_check(
            now, task.start_time or wait.started_at, wait.deadline, self._random, throttles
        )
        return Waiting(seconds, task, throttles, trouble, unknown_status)


def refused(error: GateError, task: ConversionTask) -> Ended:
    """The end of a gate that could not even ask."""
    return Ended(Outcome.REFUSED, task, error.name, str(error), str(error), refusal=error)


def cause(task: ConversionTask) -> str:
    """The task's shape as JSON."""
    return json.dumps(task.shape, ensure_ascii=False)


def _verdict(request: Request, task: ConversionTask, waited: float, why_failed: str) -> Ended:
    if task.status is Status.SUCCEEDED:
        return Ended(Outcome.SUCCEEDED, task, waited_seconds=waited)
    if not request.fails_on_failure:
        return Ended(Outcome.FAILED, task, waited_seconds=waited)
    return Ended(Outcome.FAILED, task, FAILED, cause(task), why_failed, waited)


def utc_now() -> datetime:
    return datetime.now(UTC)
