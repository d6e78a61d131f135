"""CloudFormation comes in here, and its answer leaves from here. The only reader of its lifecycle events.

A Create or Update is validated and the task looked at once. A verdict is answered at once; otherwise a wait (an execution
of the state machine) begins, which sends the same event back with its verdict in it (`CrHelperPoll`, `Answer`).
"""

import random
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any

from license_conversion import telemetry, waits
from license_conversion.announcer import Announcer
from license_conversion.errors import AnswerNotDelivered, GateError, InvalidRequest
from license_conversion.fleet import Fleet
from license_conversion.gate import Conversion, Ended, Gate, Wait, Waiting, known_before, refused, utc_now
from license_conversion.lifecycle import Event, Lifecycle, poll_event, seconds_left
from license_conversion.request import ATTEMPT_SECONDS, Request
from license_conversion.settings import Settings
from license_conversion.shared import LicenseManagers
from license_conversion.stack_response import deliver, message, requested_at
from license_conversion.task import ConversionTask, Status, iso
from license_conversion.waits import Waits

ENOUGH_TO_BEGIN = 35.0
"""Seconds of an invocation that are kept to begin a wait, with its retries, and to answer."""


@dataclass(frozen=True)
class Verdict:
    """What a request is answered at once. `announcement` is the event for the bus, where it is ours to send.

    `key` names the wait that sends the answer again, should nobody take it.
    """

    ended: Ended
    key: str = waits.REFUSED
    announcement: Mapping[str, Any] | None = None


class StackGate:
    """The provider of `Custom::LicenseConversionTask`."""

    def __init__(
        self,
        gate: Gate,
        waits_: Waits,
        announcer: Announcer,
        clock: Callable[[], datetime] = utc_now,
        *,
        deliver_: Callable[[str, bytes, float], int] = deliver,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._gate = gate
        self._waits = waits_
        self._announcer = announcer
        self._clock = clock
        self._deliver = deliver_
        self._sleep = sleep
        self._verdict: Verdict | None = None
        """Of the request that crhelper is at."""
        self._lifecycle = Lifecycle(deliver_, _broken)
        self._lifecycle.create(self._check)
        self._lifecycle.update(self._check)
        self._lifecycle.poll_create(self._answer)
        self._lifecycle.poll_update(self._answer)
        self._lifecycle.delete(self._delete)

    def __call__(self, event: Event, context: Any) -> None:
        """Handle one event. Raises AnswerNotDelivered, so that whoever sent the event sends it again."""
        if "CrHelperPoll" in event and event["Waiter"] == "HANDLE":
            self._deliver(*message(event, event["Answer"], "HANDLE"), seconds_left(context))
            return
        self._verdict = None
        try:
            self._lifecycle(event, context)
        except AnswerNotDelivered as error:
            if not self._verdict:
                raise
            self._leave_to_wait(event, context, self._verdict, error, waiter="STACK")
            self._verdict = replace(self._verdict, announcement=None)  # the wait's
        if self._verdict:
            telemetry.count("GatesStarted")
            telemetry.ended(self._verdict.ended, requested_at(event, self._clock()))
            if self._verdict.announcement:
                with telemetry.traced("announce end"):
                    self._announcer.announce(self._verdict.announcement)

    def _check(self, event: Event, context: Any) -> str:
        """A Create or an Update: one look at the task. Returns the physical id."""
        try:
            request = Request.from_properties(event.get("ResourceProperties"))
        except InvalidRequest as error:
            return self._end(Verdict(refused(error, ConversionTask.unseen())))
        started_at = requested_at(event, self._clock())
        if event["RequestType"] == "Update":
            self._stop_waits(event, None, started_at)
        wait = Wait(
            started_at=started_at,
            deadline=started_at + timedelta(seconds=request.timeout),
            look_until=started_at + timedelta(seconds=request.first_look_seconds),
            look=f"log group {context.log_group_name}, request {context.aws_request_id}",
            known=known_before(request, {}),
            signals_handle=bool(request.wait_condition_handle),
            first_look=True,
        )
        with telemetry.traced("first look"):
            result = self._first_look(request, wait, context)
            telemetry.checked(result, (self._clock() - started_at).total_seconds())
        if isinstance(result, Ended) and not self._waits.exists(waits.name(event, request.key)):
            return self._end(self._verdict_for(event, context, request, result))
        first_check = {
            "Waiter": "HANDLE" if request.wait_condition_handle else "STACK",
            "Deadline": iso(wait.deadline),
            "AttemptSeconds": request.attempt_seconds,
            "Checks": 1,
            **(result.state() if isinstance(result, Waiting) else {}),
        }
        self._lifecycle.Data.update(RequestedAt=iso(started_at), Key=request.key)
        if request.wait_condition_handle:
            return self._answer_at_once(event, context, result.known, first_check)
        self._lifecycle.begin_wait = partial(self._begin_wait, context=context, first_check=first_check)
        return result.known.task_id or request.key

    def _first_look(self, request: Request, wait: Wait, context: Any) -> Waiting | Ended:
        """One look. More of them, at the gate's pace, for the newest task of a resource that has to be named at once."""
        while True:
            result = self._gate.check(request, wait)
            if isinstance(result, Ended) or result.known.task_id or not request.wait_condition_handle:
                return result
            in_time = self._clock() + timedelta(seconds=result.seconds) < wait.look_until
            if not in_time or seconds_left(context) < ENOUGH_TO_BEGIN + result.seconds:
                return result
            self._sleep(result.seconds)

    def _verdict_for(self, event: Event, context: Any, request: Request, ended: Ended) -> Verdict:
        """The verdict of the first look. A handle is signalled: what the resource itself is answered does not depend on it."""
        announcement = ended.announcement(event)
        if not request.wait_condition_handle:
            return Verdict(ended, request.key, announcement)
        if ended.passed:
            try:
                self._deliver(*message(event, ended.answer(), "HANDLE"), seconds_left(context) / 3)
            except AnswerNotDelivered as error:
                signal = Verdict(ended, waits.SIGNAL + request.key, announcement)
                self._leave_to_wait(event, context, signal, error, waiter="HANDLE")
                announcement = None  # the wait's
        return Verdict(ended, waits.ANSWER + request.key, announcement)

    def _leave_to_wait(
        self, event: Event, context: Any, verdict: Verdict, error: AnswerNotDelivered, *, waiter: str
    ) -> None:
        """Nobody has taken the message: a wait that begins with its end sends the same one, and for longer than we can."""
        since, ended = iso(requested_at(event, self._clock())), verdict.ended
        first_check = {
            "Waiter": waiter,
            "Deadline": since,
            "AttemptSeconds": ATTEMPT_SECONDS,
            "Checks": 1,
            **ended.state(event),
        }
        if not verdict.announcement:
            first_check.pop("Announcement", None)  # another wait's
        data = {"PhysicalResourceId": ended.known.task_id, "RequestedAt": since, "Key": verdict.key}
        first_answer = ended.answer() if waiter == "HANDLE" else None
        try:
            self._start_wait(poll_event(event, data), context, first_check, first_answer, or_give_up=False)
        except GateError as failed:
            raise error from failed
        telemetry.logger.warning(f"A wait sends the message that was not taken: {error}")

    def _answer_at_once(self, event: Event, context: Any, known: Conversion, first_check: Mapping[str, Any]) -> str:
        """The wait signals a handle at its end; the resource itself is done.

        The attributes say no more than that, because every delivery of this request has to answer the same.
        """
        if not known.task_id:
            nameless = "License Manager could not say now which task is the newest of ResourceArn; deploy again."
            return self._end(Verdict(refused(GateError(nameless), known)))
        data = {**self._lifecycle.Data, "PhysicalResourceId": known.task_id}
        task = ConversionTask({"LicenseConversionTaskId": known.task_id, "Status": str(Status.IN_PROGRESS)})
        attributes = Fleet.unseen(known.task_ids).attributes() if isinstance(known, Fleet) else task.attributes()
        first_answer = {
            "Status": "SUCCESS",
            "Reason": "",
            "PhysicalResourceId": known.task_id,
            "Data": attributes,
        }
        had_begun = self._begin_wait(poll_event(event, data), context, first_check, first_answer)
        # An earlier delivery may have answered with what was the newest task then.
        said = had_begun.get("Stack", {}).get("FirstAnswer", first_answer)
        self._lifecycle.Data = said["Data"]
        return str(said["PhysicalResourceId"])

    def _end(self, verdict: Verdict) -> str:
        """The gate ends here. It is counted when the answer is out: an answer that nobody took comes again."""
        telemetry.decided(verdict.ended)
        self._verdict = verdict
        answer = verdict.ended.answer()
        self._lifecycle.Status, self._lifecycle.Reason = answer["Status"], answer["Reason"]
        self._lifecycle.Data = answer["Data"]
        return str(answer["PhysicalResourceId"])

    def _begin_wait(
        self,
        event: Event,
        context: Any,
        first_check: Mapping[str, Any],
        first_answer: Mapping[str, Any] | None = None,
    ) -> Mapping[str, Any]:
        """Hand the request to an execution. What its input is, when it has it already; else empty. Raises GateError."""
        try:
            had_begun = self._start_wait(event, context, first_check, first_answer, or_give_up=True)
        except GateError as error:
            _count_broken(error)
            raise
        if had_begun is None:
            telemetry.count("GatesStarted")
        return had_begun or {}

    def _start_wait(
        self,
        event: Event,
        context: Any,
        first_check: Mapping[str, Any],
        first_answer: Mapping[str, Any] | None,
        *,
        or_give_up: bool,
    ) -> Mapping[str, Any] | None:
        """Begin the wait of this request: it gets our own ARN, to send its answer to. Its input, if it had begun.

        The state machine's definition cannot name this function, whose environment names the state machine. An answer that
        is to be given at once stands in the input too, for the last resort: we may break before we give it. The old
        properties do not: nobody needs them, and those of a fleet are a fifth of what an execution can hold.
        """
        wait_name = waits.name(event, event["CrHelperData"]["Key"])
        kept = {name: value for name, value in event.items() if name != "OldResourceProperties"}
        stack = {"FunctionArn": context.invoked_function_arn, "Event": kept}
        if first_answer:
            stack["FirstAnswer"] = first_answer
        with telemetry.traced("begin wait"):
            had_begun = self._waits.begin(wait_name, {"Stack": stack, "Gate": first_check}, or_give_up=or_give_up)
        telemetry.logger.info(
            "The wait begins" if had_begun is None else "The wait of this request had begun",
            extra={"execution": wait_name},
        )
        return had_begun

    def _answer(self, event: Event, _context: Any) -> str:
        """The wait's verdict came back: give it to crhelper to send."""
        answer = event["Answer"]
        telemetry.logger.info("The wait's verdict is answered", extra={"status": answer["Status"]})
        self._lifecycle.Status, self._lifecycle.Reason = answer["Status"], answer["Reason"]
        self._lifecycle.Data = dict(answer["Data"])
        return str(answer["PhysicalResourceId"])

    def _delete(self, event: Event, _context: Any) -> None:
        """Nothing in License Manager is the stack's to delete: stop the wait, if one still runs."""
        stopped = self._stop_waits(event, waits.keys_of_deleted(event), requested_at(event, self._clock()))
        telemetry.logger.info("The resource is deleted", extra={"waits_stopped": stopped})

    def _stop_waits(self, event: Event, keys: Collection[str] | None, requested: datetime) -> int:
        with telemetry.traced("stop waits"):
            stopped = self._waits.stop(event, keys, requested)
        if stopped:
            telemetry.count("WaitsStopped", stopped)
        return stopped


def _count_broken(error: Exception) -> None:
    telemetry.count("GatesStarted")
    telemetry.count("GatesBroken")
    telemetry.logger.error("The gate broke", exc_info=error)


def _broken(error: Exception, context: Any) -> str:
    _count_broken(error)
    return (
        f"The gate itself broke ({type(error).__name__}: {error}); the conversion is not affected. "
        f"Look further in log group {context.log_group_name}, request {context.aws_request_id}."
    )


@cache
def _stack_gate() -> StackGate:
    settings = Settings.from_env()
    gate = Gate(LicenseManagers(settings.role_arn), utc_now, random.random)
    return StackGate(gate, Waits(settings.state_machine_arn), Announcer(settings.announce_function_arn))


def handler(event: Event, context: Any) -> None:
    """Lambda's entry point for CloudFormation's events and for those that a wait sends back."""
    handle(_stack_gate(), event, context)


def handle(stack_gate: StackGate, event: Event, context: Any) -> None:
    """One event, with its log and its metrics."""
    telemetry.begin(
        context,
        stack_id=event.get("StackId"),
        logical_resource_id=event.get("LogicalResourceId"),
        request_type=event.get("RequestType"),
        task_id=event.get("Answer", {}).get("PhysicalResourceId") or event.get("PhysicalResourceId"),
    )
    try:
        stack_gate(event, context)
    except AnswerNotDelivered as error:
        telemetry.count("AnswersNotDelivered")
        telemetry.logger.error(f"The answer was not taken: {error}")
        raise
    finally:
        telemetry.flush()
