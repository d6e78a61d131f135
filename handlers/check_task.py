"""Step Functions comes in here: one check of a task.

Two callers: our own state machine (`Input`, `Gate`, `StartedAt` and `Execution` in the event), which gets the gate's new
state; and a state machine with a loop of its own, which sends a request and gets the task.
"""

import random
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from license_conversion import telemetry
from license_conversion.errors import CheckBroken, GateError, InvalidRequest
from license_conversion.gate import (
    Ended,
    Gate,
    Wait,
    Waiting,
    answer,
    known_before,
    refusal_before,
    refused,
    utc_now,
)
from license_conversion.request import Request
from license_conversion.settings import Settings
from license_conversion.shared import LicenseManagers
from license_conversion.task import ConversionTask

OURS = {"Input", "Gate", "StartedAt", "Execution"}
"""The members of our state machine's events."""
KEPT = ("Waiter", "GiveUpAt", "AttemptSeconds", "PauseSeconds")
"""The members of a gate's state that no check but one that can read its request changes."""


class TaskCheck:
    """One check, in the shape that the caller needs."""

    def __init__(self, gate: Gate, clock: Callable[[], datetime] = utc_now) -> None:
        self._gate = gate
        self._clock = clock

    def for_state_machine(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """The gate's state after this check.

        Always `Waiter`, `Checks`, `GiveUpAt`, `AttemptSeconds` and `PauseSeconds`. Waiting: `Ended` false,
        `SecondsUntilNextCheck`, what the next check needs, and an `Answer` where the stack is answered at once because a
        handle is signalled at the end. Ended: `Ended` true, `Passed`, `Outcome`, `Output` (the task's shape), `Error` and
        `Cause`, the `Answer` that a stack gets, and the `Announcement` for the event bus.
        """
        before = event["Gate"]
        stack = _stack(event)
        stack_event = stack.get("Event", {})
        after = {**{name: before[name] for name in KEPT if name in before}, "Checks": before["Checks"] + 1}
        if not before["Checks"]:
            telemetry.count("GatesStarted")
        try:
            properties = stack_event.get("ResourceProperties")
            request = Request.from_properties(properties) if stack else Request.from_input(event["Input"])
        except InvalidRequest as error:
            refusal = refused(error, ConversionTask.unseen())
            telemetry.decided(refusal)
            telemetry.ended(refusal)
            return after | refusal.state(stack_event)
        started_at = datetime.fromisoformat(stack["RequestedAt"] if stack else event["StartedAt"])
        times = request.times(started_at, answers_request=before["Waiter"] == "STACK")
        wait = Wait(
            started_at=started_at,
            deadline=times.deadline,
            checks_until=times.checks_until,
            # What a look has found when the state machine gives the attempt up is lost: half of one leaves time for its last
            # call.
            look_until=self._clock() + timedelta(seconds=before["AttemptSeconds"] / 2),
            look=f"execution {event['Execution']}",
            known=known_before(request, before),
            throttles=before.get("Throttles", 0),
            refusal=refusal_before(before),
            shares=before["Checks"] > 0,
            patience=before.get("Patience", 0),
            signals_handle=bool(request.wait_condition_handle),
        )
        telemetry.about(checks=after["Checks"])
        with telemetry.traced("check"):
            result = self._gate.check(request, wait)
            telemetry.checked(result, max(0.0, (self._clock() - started_at).total_seconds()))
        if isinstance(result, Ended):
            telemetry.decided(result)
            telemetry.ended(result, started_at)
            return after | times.state() | result.state(stack_event)
        if (
            request.wait_condition_handle
            and before["Waiter"] == "STACK"
            and result.known.task_id
            and not result.refusal
        ):
            times = request.times(started_at, answers_request=False)
            after["Answer"] = answer(result.known)
        return after | times.state() | result.state()

    def for_caller(self, event: Any) -> dict[str, Any]:
        """The task as it is now, with `SecondsUntilNextCheck` while it is not terminal.

        Raises InvalidRequest and AccessDenied: the caller's execution shows them by these names.
        """
        request = Request.from_input(event)
        now = self._clock()
        deadline = now + timedelta(seconds=request.timeout)
        wait = Wait(
            started_at=now,
            deadline=deadline,
            checks_until=deadline,
            look_until=deadline,
            look="",
            known=known_before(request, {}),
        )
        with telemetry.traced("check"):
            result = self._gate.check(request, wait)
            telemetry.checked(result, 0)
        if isinstance(result, Waiting):
            if result.error:
                raise result.error
            return {**result.known.shape, "SecondsUntilNextCheck": result.seconds}
        telemetry.decided(result)
        if result.refusal:
            raise result.refusal
        return dict(result.known.shape)


def _is_our_state_machines(event: Any) -> bool:
    """A caller's own event may be anything, no object even."""
    return isinstance(event, Mapping) and event.keys() == OURS


def _stack(event: Any) -> Mapping[str, Any]:
    """Empty when no stack waits. By who waits, not by what the input looks like: a caller's input may be anything."""
    if not _is_our_state_machines(event) or event["Gate"]["Waiter"] not in ("STACK", "HANDLE"):
        return {}
    found: Mapping[str, Any] = event["Input"]["Stack"]
    return found


@cache
def _task_check() -> TaskCheck:
    settings = Settings.from_env()
    return TaskCheck(Gate(LicenseManagers(settings.role_arn), utc_now, random.random, region=settings.region))


def handler(event: Any, context: Any) -> dict[str, Any]:
    """Lambda's entry point for state machines."""
    return handle(_task_check(), event, context)


def handle(task_check: TaskCheck, event: Any, context: Any) -> dict[str, Any]:
    """One event, with its log and its metrics."""
    stack_event = _stack(event).get("Event", {})
    telemetry.begin(
        context,
        execution=event["Execution"] if _is_our_state_machines(event) else None,
        stack_id=stack_event.get("StackId"),
        logical_resource_id=stack_event.get("LogicalResourceId"),
    )
    try:
        if _is_our_state_machines(event):
            return task_check.for_state_machine(event)
        return task_check.for_caller(event)
    except GateError as error:
        telemetry.count("CallsRefused")  # an error of the function that is its caller's, which no alarm counts
        telemetry.logger.info(f"The caller is refused: {error}")
        raise
    except Exception as error:
        telemetry.count("ChecksBroken")
        telemetry.logger.exception("The check broke")
        raise CheckBroken(f"{type(error).__name__}: {error}") from error
    finally:
        telemetry.flush()
