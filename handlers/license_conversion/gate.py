"""One check of one gate: what is known of the conversion now, and whether the gate waits on or ends."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from license_conversion import reason, telemetry
from license_conversion.conversion import ConversionTask, Status
from license_conversion.errors import GateError, StillUnknown, TableUnavailable
from license_conversion.fleet import Conversion
from license_conversion.poll import Poll
from license_conversion.registrations import LastPoll, Registrations
from license_conversion.request import Request, Times

CAUSE_BYTES = 32_000
"""An execution's Cause has at most 32,768 characters.
https://docs.aws.amazon.com/step-functions/latest/apireference/API_ExecutionFailedEventDetails.html"""
LONGEST_SLEEP, JITTER = 120.0, 0.2
"""Seconds after which a gate wakes by itself, at most, less up to this share: in case no poller wakes it."""
SILENT_SLEEP = 40.0
"""The same where the gate found no poll to trust, and was throttled itself."""
REFUSED_SLEEP = 60.0
"""Seconds without a registration where License Manager refuses a task to the poller, and not to the gate: a poller that found
it registered would wake it at once."""
SHORTEST_PAUSE = 5
"""Seconds between two checks of a gate whose task has no name yet; as many as it has waited, where that is longer."""
CLOSE = 30
"""A check comes this many seconds before the deadline, or less: the one at the deadline may be throttled."""
TRUSTED_SECONDS, TRUSTED_POLLS = 40.0, 4
"""How long a gate trusts a poll that did not see its end: so many seconds, or so many times what the poll took."""
WRITTEN_SECONDS = 10.0
"""After so many seconds, retries included, the registration of a gate is in the table, or has failed."""
RETRY_SECONDS = 5
"""The state machine tries a check that is refused again after this time (statemachine/gate.asl.json)."""

FAILED, TIMED_OUT = "LicenseConversion.Failed", "LicenseConversion.TimedOut"


class Outcome(StrEnum):
    """How a gate ends."""

    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"
    REFUSED = "REFUSED"


@dataclass(frozen=True)
class Wait:
    """What a check has to know of the wait, which `began` with the request. `known` is what the last check knew; `first` says
    that there was none. `further` says where a person finds more.

    `execution` is empty for a caller with a loop of its own, which cannot register. `results` are what the poller sent,
    `registered_at` is when the gate registered last. License Manager has refused `refusals` tries of this check, which the state
    machine `entered_at` that time.
    """

    request: Request
    times: Times
    began: datetime
    known: Conversion
    first: bool
    further: str
    execution: str
    results: Sequence[Any]
    registered_at: datetime | None
    entered_at: datetime | None
    refusals: int


@dataclass(frozen=True)
class Seen:
    """What is known now. `trouble` says why it is no more, to a person. `unanswered`: the conversion may have ended."""

    known: Conversion
    trouble: str = ""
    throttled: bool = False
    unanswered: bool = False
    unknown_status: bool = False


@dataclass(frozen=True)
class Waiting:
    """The gate has not ended. The next check comes in `seconds`, or sooner where the gate `registers` and the poller wakes it."""

    seconds: int
    registers: bool
    seen: Seen
    waited_seconds: float

    @property
    def known(self) -> Conversion:
        return self.seen.known


@dataclass(frozen=True)
class Ended:
    """How the gate ends. `error` is empty when the recipient may go on; `cause` is for programs, `reason` for people."""

    outcome: Outcome
    known: Conversion
    error: str = ""
    cause: str = ""
    reason: str = ""
    waited_seconds: float = 0.0


def refused(error: GateError, known: Conversion) -> Ended:
    """The end of a gate that License Manager refuses, or that could not even ask."""
    return Ended(Outcome.REFUSED, known, error.name, str(error), str(error))


class Gate:
    """Checks conversions. Clock (aware datetimes) and randomness (0 to 1) come from outside, so that a test can own them."""

    def __init__(
        self, poll: Poll, registrations: Registrations, clock: Callable[[], datetime], random: Callable[[], float]
    ) -> None:
        self._poll, self._registrations = poll, registrations
        self._clock, self._random = clock, random

    def check(self, wait: Wait) -> Waiting | Ended:
        """Raises InvalidRequest and AccessDenied while a refusal is not believed yet; nothing else that License Manager does."""
        results = [ConversionTask.from_result(result) for result in wait.results if isinstance(result, str | dict)]
        refused_to_poller = [task.task_id for task in results if not task.seen and task.task_id in wait.known.pending]
        known = wait.known.after(results)
        last = self._clock() >= wait.times.deadline
        polled = LastPoll()
        if not (wait.first or last or _is_over(known, wait)):
            polled = self._look_after_poller(wait)
        trusted = not refused_to_poller and (bool(results) or self._is_fresh(polled, wait))
        if _is_over(known, wait) or (known.pending and trusted and not last):
            seen = Seen(known, unanswered=True)  # the deadline may pass meanwhile, and wants a check of its own
        else:
            try:
                seen = self._ask(wait, known, refused_to_poller if not last else ())
            except GateError as error:
                return self._refused(error, wait, known)
        return self._decided(wait, seen, refused_to_poller=bool(refused_to_poller))

    def _decided(self, wait: Wait, seen: Seen, *, refused_to_poller: bool) -> Waiting | Ended:
        known, now = seen.known, self._clock()
        waited = max(timedelta(), now - wait.began)
        if _is_over(known, wait):
            if known.status is Status.SUCCEEDED or not wait.request.fails_on_failure:
                outcome = Outcome.SUCCEEDED if known.status is Status.SUCCEEDED else Outcome.FAILED
                return Ended(outcome, known, waited_seconds=waited.total_seconds())
            why = reason.failed(known, waited, wait.further)
            return Ended(Outcome.FAILED, known, FAILED, _cause(known), why, waited.total_seconds())
        if now < wait.times.deadline:
            seconds, registers = self._sleep(wait, seen, now, refused_to_poller=refused_to_poller)
            if registers and wait.first:
                self._look_after_poller(wait)
            return Waiting(seconds, registers, seen, waited.total_seconds())
        # A throttle decides nothing: the last check comes again while there is time for a response after it.
        seconds = math.ceil(SHORTEST_PAUSE * max(self._random(), 1 / SHORTEST_PAUSE))
        if seen.unanswered and now + timedelta(seconds=seconds) <= wait.times.checks_until:
            return Waiting(seconds, False, seen, waited.total_seconds())
        longer = reason.LONGER_WITH_HANDLE if wait.request.wait_condition_handle else reason.LONGER
        why = reason.timed_out(known, waited, wait.further, trouble=seen.trouble, longer=longer)
        return Ended(Outcome.TIMED_OUT, known, TIMED_OUT, _cause(known), why, waited.total_seconds())

    def _sleep(self, wait: Wait, seen: Seen, now: datetime, *, refused_to_poller: bool) -> tuple[int, bool]:
        """For how many seconds, at least 1, and whether the gate registers. Never past the deadline, and never from far before it
        to the deadline itself.
        """
        registers = bool(wait.execution and seen.known.pending) and not refused_to_poller
        seconds = LONGEST_SLEEP
        if not seen.known.pending:
            seconds = min(LONGEST_SLEEP, max(SHORTEST_PAUSE, (now - wait.began).total_seconds()))
        elif refused_to_poller:
            seconds = REFUSED_SLEEP
        elif seen.throttled and not wait.first:
            seconds = SILENT_SLEEP
        seconds *= 1 - JITTER * self._random()
        until_deadline = (wait.times.deadline - now).total_seconds()
        if until_deadline > CLOSE:
            seconds = min(seconds, until_deadline - SHORTEST_PAUSE - (CLOSE - SHORTEST_PAUSE) * self._random())
        return max(1, math.ceil(min(seconds, until_deadline))), registers

    def _ask(self, wait: Wait, known: Conversion, task_ids: Sequence[str]) -> Seen:
        """License Manager: for these tasks, for all that are pending where there are none, or for the newest of the resource."""
        poll = self._poll
        if not known.pending:
            try:
                task = poll.newest_task(wait.request.resource_arn)
            except StillUnknown as unknown:
                return Seen(known, str(unknown), unknown.throttled, unanswered=True)
            return Seen(task, task.trouble, unknown_status=bool(task.trouble))
        tasks: list[ConversionTask] = []
        # What a poll has found when the state machine gives the attempt up is lost: half of it is left for the last call.
        until = self._clock().timestamp() + wait.times.attempt_seconds / 2
        for _, found in poll.run(task_ids or known.pending, until):
            if isinstance(found, GateError):
                raise found
            tasks.append(found)
            if found.status is Status.FAILED and wait.request.fails_on_failure:
                break
        trouble = next((f"{task.task_id}: {task.trouble}" for task in tasks if task.trouble), "")
        unseen = len(poll.unseen)
        return Seen(
            known.after(tasks, unseen),
            (poll.trouble if unseen else "") or trouble,
            throttled=poll.throttled,
            unanswered=bool(unseen),
            unknown_status=bool(trouble),
        )

    def _is_fresh(self, polled: LastPoll, wait: Wait) -> bool:
        """Whether the last whole poll looked at this gate's tasks, and that was not long ago."""
        if not wait.registered_at or polled.began < wait.registered_at.timestamp() + WRITTEN_SECONDS:
            return False
        age = self._clock().timestamp() - polled.began
        return age <= max(TRUSTED_SECONDS, TRUSTED_POLLS * polled.took)

    def _look_after_poller(self, wait: Wait) -> LastPoll:
        """What the table says of the last poll; nothing where the table does not answer."""
        try:
            return self._registrations.look_after_poller(wait.execution, self._clock().timestamp())
        except TableUnavailable as error:
            telemetry.count("TableFailures")
            telemetry.logger.warning(f"The gate asks by itself: {error}")
            return LastPoll()

    def _refused(self, error: GateError, wait: Wait, known: Conversion) -> Ended:
        """The end, once License Manager has refused for as long as the error's grace, or when no other try fits."""
        now = self._clock()
        if wait.entered_at is None:
            raise error
        believed = wait.refusals and now >= wait.entered_at + timedelta(seconds=error.grace)
        if believed or not error.grace or now + timedelta(seconds=RETRY_SECONDS) > wait.times.deadline:
            return refused(error, known)
        raise error


def _is_over(known: Conversion, wait: Wait) -> bool:
    return known.terminal or (known.status is Status.FAILED and wait.request.fails_on_failure)


def _cause(known: Conversion) -> str:
    """The shape as JSON."""
    return json.dumps(known.output(CAUSE_BYTES), ensure_ascii=False)
