"""One check of one gate: what License Manager says now, and what that means for whoever waits."""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from license_conversion import fleet, reason
from license_conversion.crowd import Crowd, Heard
from license_conversion.errors import GateError, StillUnknown
from license_conversion.fleet import Fleet
from license_conversion.pace import LONGEST, SHORTEST, seconds_until_next_check, seconds_until_repetition
from license_conversion.request import Account, Request
from license_conversion.shared import SharedLicenseManager
from license_conversion.task import ConversionTask, Status

Conversion = ConversionTask | Fleet
CAUSE_BYTES = 32_000
"""An execution's Cause has at most 32,768 characters.
https://docs.aws.amazon.com/step-functions/latest/apireference/API_ExecutionFailedEventDetails.html"""
DETAIL_BYTES = 32_000
CLOSE_LOOKS = timedelta(hours=1)
"""How long a refusal is heard closely. A check is 9 events of an execution's 25,000.
https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html"""
LARGE = 10
"""A fleet with more pending tasks than this is a crowd of its own."""

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
class Seen:
    """What one look found, and what kept it from a verdict. `unanswered`: that was not the conversion, which may have ended.
    `progress`: some of many tasks were seen to end. `heard` is when a gate of the crowd last knew that its tasks ran, in seconds
    since 1970; 0 for one that is alone. It looks for the tasks `alone` by itself all the same. `away`: the crowd's table is.
    """

    known: Conversion
    trouble: str = ""
    throttled: bool = False
    unanswered: bool = False
    unknown_status: bool = False
    progress: bool = False
    heard: float = 0.0
    alone: tuple[str, ...] = ()
    away: bool = False

    @property
    def in_crowd(self) -> bool:
        """Whether others look for it: then it wakes by itself rarely."""
        return bool(self.heard) and not self.alone and not (self.away and isinstance(self.known, Fleet))


@dataclass(frozen=True)
class Refusal:
    """An error that would end the gate, and since when it has been said. It is believed when its grace is over."""

    name: str
    since: datetime


@dataclass(frozen=True)
class Wait:
    """What a check has to know of the wait so far.

    A look may come until `checks_until`, and no call of it begins after `look_until`. `look` says where a person finds more.
    `known` is what the last check saw, `throttles` the throttled checks in a row, `refusal` what it was told.
    `gate` is the name of its place in the crowd; `heard` and `alone` are Seen's.
    """

    started_at: datetime
    deadline: datetime
    checks_until: datetime
    look_until: datetime
    look: str
    known: Conversion
    throttles: int = 0
    refusal: Refusal | None = None
    signals_handle: bool = False
    gate: str = ""
    heard: float = 0.0
    alone: tuple[str, ...] = ()


@dataclass(frozen=True)
class Waiting:
    """The gate has not ended. The next check comes in `seconds`, or sooner where it `awaits_word` from the crowd's watch.
    `error`: it ends with this one, if it goes on being said.
    """

    seconds: int
    known: Conversion
    throttles: int = 0
    trouble: str = ""
    unknown_status: bool = False
    heard: float = 0.0
    alone: tuple[str, ...] = ()
    awaits_word: bool = False
    refusal: Refusal | None = None
    error: GateError | None = None

    def state(self) -> dict[str, Any]:
        """What the state machine keeps until the next check."""
        refusal = self.refusal
        return {
            "Ended": False,
            "SecondsUntilNextCheck": self.seconds,
            "Throttles": self.throttles,
            **({"Heard": self.heard} if self.heard else {}),
            **({"Alone": list(self.alone)} if self.alone else {}),
            **({"AwaitsWord": True} if self.awaits_word else {}),
            **({"Refusal": {"Error": refusal.name, "Since": refusal.since.isoformat()}} if refusal else {}),
            **self.known.carried(),
        }


@dataclass(frozen=True)
class Ended:
    """The gate's verdict. `error` is empty when whoever waited may go on; `cause` is for programs, `reason` for people."""

    outcome: Outcome
    known: Conversion
    error: str = ""
    cause: str = ""
    reason: str = ""
    waited_seconds: float = 0.0
    refusal: GateError | None = None

    @property
    def passed(self) -> bool:
        return not self.error

    def state(self, stack_event: Mapping[str, Any]) -> dict[str, Any]:
        """What the state machine tells whoever waits, and how it ends itself. `stack_event` is empty when no stack waits."""
        announcement = self.announcement(stack_event)
        # A stack's event goes to the one who answers together with all this: 256 KB in all.
        output = self.known.within(DETAIL_BYTES) if stack_event else self.known.shape
        return {
            "Ended": True,
            "Passed": self.passed,
            "Outcome": self.outcome,
            "Output": dict(output),
            "Error": self.error,
            "Cause": self.cause,
            "Answer": answer(self.known, fails_with="" if self.passed else self.reason),
            **({"Announcement": announcement} if announcement else {}),
        }

    def announcement(self, stack_event: Mapping[str, Any]) -> dict[str, Any] | None:
        """The event for the bus: `DetailType` and `Detail`. None for a refused request."""
        if self.outcome is Outcome.REFUSED:
            return None
        detail = dict(self.known.within(DETAIL_BYTES))
        if stack_event:
            detail.update(StackId=stack_event["StackId"], LogicalResourceId=stack_event["LogicalResourceId"])
        return {"DetailType": DETAIL_TYPES[self.outcome], "Detail": detail}


def answer(known: Conversion, *, fails_with: str = "") -> dict[str, Any]:
    """What CloudFormation is told: Status, Reason, PhysicalResourceId (`""` when there is no task) and Data."""
    return {
        "Status": "FAILED" if fails_with else "SUCCESS",
        "Reason": fails_with,
        "PhysicalResourceId": known.task_id,
        "Data": {} if fails_with else known.attributes(),
    }


class Gate:
    """Checks tasks. Clock (aware datetimes), randomness and sleep come from outside, so that a test can own them. `region` is
    the function's own.
    """

    def __init__(
        self,
        license_managers: Callable[[Account], SharedLicenseManager],
        clock: Callable[[], datetime],
        random: Callable[[], float],
        *,
        crowds: Callable[[Account], Crowd],
        sleep: Callable[[float], None] = time.sleep,
        region: str = "",
    ) -> None:
        self._license_managers = license_managers
        self._crowds = crowds
        self._clock = clock
        self._random = random
        self._sleep = sleep
        self._region = region

    def check(self, request: Request, wait: Wait) -> Waiting | Ended:
        """One look at the task, or the tasks, of `request`. Never raises for what License Manager does."""
        wait, heard = self._listened(request, wait)
        try:
            seen = self._look(request, wait, heard)
        except GateError as error:
            return self._refused(error, wait)
        known = seen.known
        now = self._clock()
        waited = max(timedelta(), now - wait.started_at)
        in_a_row = 0 if seen.progress or seen.in_crowd else wait.throttles
        throttles = in_a_row + 1 if seen.throttled else 0
        account = replace(request.account, region=request.account.region or self._region)
        if known.terminal or (known.status is Status.FAILED and request.fails_on_failure):
            self._leave(request, wait)
            return _verdict(request, known, waited.total_seconds(), reason.failed(known, waited, account, wait.look))
        if now >= wait.deadline:
            # A throttle decides nothing: the last look comes again while there is time for an answer after it.
            seconds = seconds_until_repetition(self._random)
            if not (seen.unanswered and now + timedelta(seconds=seconds) <= wait.checks_until):
                self._leave(request, wait)
                longer = reason.LONGER_WITH_HANDLE if wait.signals_handle else reason.LONGER
                said = reason.timed_out(known, waited, account, wait.look, trouble=seen.trouble, longer=longer)
                return Ended(Outcome.TIMED_OUT, known, TIMED_OUT, cause(known), said, waited.total_seconds())
        else:
            seconds = seconds_until_next_check(
                now,
                started_at=min(known.start_time or wait.started_at, wait.started_at),
                deadline=wait.deadline,
                random=self._random,
                throttles=0 if seen.in_crowd and not heard.silent else throttles,
                in_crowd=seen.in_crowd,
            )
        return Waiting(
            seconds,
            known,
            throttles,
            seen.trouble,
            seen.unknown_status,
            heard=seen.heard,
            alone=seen.alone,
            awaits_word=bool(seen.heard) and not seen.away and now < wait.deadline,
            refusal=wait.refusal if seen.unanswered else None,
        )

    def take_place(self, request: Request, wait: Wait, token: str) -> None:
        """In the crowd, for the tasks that the gate leaves to it. `token` is called when there is a word. Raises
        TableUnavailable.
        """
        tasks = [task_id for task_id in wait.known.pending if task_id not in wait.alone]
        self._crowds(request.account).take_place(wait.gate, tasks, token)

    def _leave(self, request: Request, wait: Wait) -> None:
        if wait.heard:
            self._crowds(request.account).leave(wait.gate)

    def _refused(self, error: GateError, wait: Wait) -> Waiting | Ended:
        """The end, once the error has been said for as long as its grace, or until the deadline."""
        now = self._clock()
        again = wait.refusal and wait.refusal.name == error.name
        refusal = wait.refusal if wait.refusal and again else Refusal(error.name, now)
        left = (refusal.since + timedelta(seconds=error.grace) - now).total_seconds()
        until_deadline = (wait.deadline - now).total_seconds()
        if left <= 0 or until_deadline <= 0:
            return refused(error, wait.known)
        # Not closely for ever: a service that says now this, now that, would fill the execution's history.
        pause = min(left, SHORTEST) if now - wait.started_at < CLOSE_LOOKS else LONGEST
        return Waiting(
            math.ceil(min(pause, until_deadline)),
            wait.known,
            trouble=str(error),
            heard=wait.heard,
            alone=wait.alone,
            refusal=refusal,
            error=error,
        )

    def _listened(self, request: Request, wait: Wait) -> tuple[Wait, Heard]:
        """The wait with what the crowd's watch says of it."""
        if not wait.heard:
            return wait, Heard()
        heard = self._crowds(request.account).listen(wait.gate, wait.heard)
        known = wait.known.with_words(heard.words)
        alone = dict.fromkeys((*wait.alone, *heard.tasks_left_to_gate))
        left = tuple(task_id for task_id in alone if task_id in known.pending)
        return replace(wait, known=known, heard=heard.at, alone=left), heard

    def _look(self, request: Request, wait: Wait, heard: Heard) -> Seen:
        """Only at what nobody else looks at. The last look is a real one, as is that of a gate that has heard nothing for too
        long.
        """
        known, alone = wait.known, wait.alone
        now = self._clock()
        last = now >= wait.deadline
        if not wait.gate:  # a caller who asks itself again: no place can call it
            return self._ask(request, wait, known.pending)
        joins = bool(wait.heard) or len(known.pending) > LARGE
        asks_all = last or heard.silent or not joins
        to_ask = known.pending if asks_all else alone
        if known.terminal or (joins and not to_ask):
            return Seen(known, heard=wait.heard or now.timestamp(), away=heard.away)
        seen = self._ask(request, wait, to_ask)
        if seen.throttled and not heard.tasks_left_to_gate:  # at once it would only be throttled again
            joins, alone = True, ()
        elif not alone:
            joins = joins or self._crowds(request.account).lively
        alone = tuple(task_id for task_id in alone if task_id in seen.known.pending)
        if not joins or len(alone) == len(seen.known.pending):
            return replace(seen, alone=alone)
        at = now.timestamp() if asks_all and not seen.unanswered else wait.heard or now.timestamp()
        return replace(seen, heard=at, alone=alone, away=heard.away)

    def _ask(self, request: Request, wait: Wait, to_ask: Sequence[str]) -> Seen:
        """License Manager. A look at the newest task of a resource has no task yet."""
        known = wait.known
        license_manager = self._license_managers(request.account)
        if isinstance(known, Fleet):
            found = fleet.look(
                known,
                to_ask,
                license_manager,
                self._clock,
                self._sleep,
                until=wait.look_until,
                stop_at_failure=request.fails_on_failure,
            )
            return Seen(
                found.fleet,
                found.trouble,
                throttled=found.throttled,
                unanswered=bool(found.fleet.unconfirmed),
                unknown_status=found.unknown_status,
                progress=len(found.fleet.pending) < len(known.pending),
            )
        try:
            task_id = known.task_id
            task = license_manager.get_task(task_id) if task_id else license_manager.newest_task(request.resource_arn)
        except StillUnknown as unknown:
            return Seen(known, str(unknown), unknown.throttled, unanswered=True)
        return Seen(task, task.trouble, unknown_status=bool(task.trouble))


def known_before(request: Request, state: Mapping[str, Any]) -> Conversion:
    """What `state`, which the last check left, says of the tasks of `request`; empty before the first check."""
    if request.fleet:
        return Fleet.from_carried(request.task_ids, state)
    if "Task" in state:
        return ConversionTask(state["Task"])
    return ConversionTask.unseen(request.task_id, request.resource_arn)


def refusal_before(state: Mapping[str, Any]) -> Refusal | None:
    """The same of what License Manager refuses."""
    said = state.get("Refusal")
    return Refusal(said["Error"], datetime.fromisoformat(said["Since"])) if said else None


def refused(error: GateError, known: Conversion) -> Ended:
    """The end of a gate that could not even ask."""
    return Ended(Outcome.REFUSED, known, error.name, str(error), str(error), refusal=error)


def cause(known: Conversion) -> str:
    """The shape as JSON."""
    return json.dumps(known.within(CAUSE_BYTES), ensure_ascii=False)


def _verdict(request: Request, known: Conversion, waited: float, why_failed: str) -> Ended:
    if known.status is Status.SUCCEEDED:
        return Ended(Outcome.SUCCEEDED, known, waited_seconds=waited)
    if not request.fails_on_failure:
        return Ended(Outcome.FAILED, known, waited_seconds=waited)
    return Ended(Outcome.FAILED, known, FAILED, cause(known), why_failed, waited)


def utc_now() -> datetime:
    return datetime.now(UTC)
