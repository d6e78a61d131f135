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
from license_conversion.errors import GateError, InvalidRequest
from license_conversion.gate import Ended, Gate, Wait, Waiting, known_before, refused, utc_now
from license_conversion.request import Request
from license_conversion.settings import Settings
from license_conversion.shared import LicenseManagers
from license_conversion.task import ConversionTask, iso

OURS = {"Input", "Gate", "StartedAt", "Execution"}
"""The members of our state machine's events."""


class TaskCheck:
    """One check, in the shape that the caller needs."""

    def __init__(self, gate: Gate, clock: Callable[[], datetime] = utc_now) -> None:
        self._gate = gate
        self._clock = clock

    def for_state_machine(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """The gate's state after this check.

        Always `Waiter`, `Deadline` and `Checks`. Waiting: `Ended` false, `SecondsUntilNextCheck`, and what the next check
        needs. Ended: `Ended` true, `Passed`, `Outcome`, `Output` (the task's shape), `Error` and `Cause`, the `Answer`
        that a stack gets, and the `Announcement` for the event bus.
        """
        before = event["Gate"]
        stack_event = _stack_event(event)
        after = {
            "Waiter": before["Waiter"],
            "AttemptSeconds": before["AttemptSeconds"],
            "Checks": before["Checks"] + 1,
        }
        try:
            if stack_event:
                request = Request.from_properties(stack_event["ResourceProperties"])
            else:
                request = Request.from_input(event["Input"])
        except InvalidRequest as error:
            refusal = refused(error, ConversionTask.unseen())
            telemetry.count("GatesStarted")
            telemetry.decided(refusal)
            telemetry.ended(refusal)
            return after | refusal.state(stack_event)
        started_at = datetime.fromisoformat(
            stack_event["CrHelperData"]["RequestedAt"] if stack_event else event["StartedAt"]
        )
        deadline = started_at + timedelta(seconds=request.timeout)
        # What a look has found when the state machine gives the attempt up is lost: half of one leaves time for its last call.
        half_an_attempt = self._clock() + timedelta(seconds=before["AttemptSeconds"] / 2)
        wait = Wait(
            started_at=started_at,
            deadline=deadline,
            look_until=min(half_an_attempt, deadline + timedelta(seconds=request.margin / 2)),
            look=f"execution {event['Execution']}",
            known=known_before(request, before),
            throttles=before.get("Throttles", 0),
            shares=before["Checks"] > 0,
            patience=before.get("Patience", 0),
            signals_handle=bool(request.wait_condition_handle),
        )
        telemetry.about(checks=after["Checks"])
        with telemetry.traced("check"):
            result = self._gate.check(request, wait)
            telemetry.checked(result, (self._clock() - started_at).total_seconds())
        if not before["Checks"]:
            telemetry.count("GatesStarted")
        if isinstance(result, Ended):
            telemetry.decided(result)
            telemetry.ended(result, started_at)
        found = result.state() if isinstance(result, Waiting) else result.state(stack_event)
        return after | {"Deadline": iso(deadline)} | found

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
            look_until=deadline,
            look="",
            known=known_before(request, {}),
        )
        with telemetry.traced("check"):
            result = self._gate.check(request, wait)
            telemetry.checked(result, 0)
        if isinstance(result, Waiting):
            return {**result.known.shape, "SecondsUntilNextCheck": result.seconds}
        telemetry.decided(result)
        if result.refusal:
            raise result.refusal
        return dict(result.known.shape)


def _is_our_state_machines(event: Any) -> bool:
    """A caller's own event may be anything, no object even."""
    return isinstance(event, Mapping) and event.keys() == OURS


def _stack_event(event: Any) -> Mapping[str, Any]:
    """Empty when no stack waits. By who waits, not by what the input looks like: a caller's input may be anything."""
    if not _is_our_state_machines(event) or event["Gate"]["Waiter"] not in ("STACK", "HANDLE"):
        return {}
    found: Mapping[str, Any] = event["Input"]["Stack"]["Event"]
    return found


@cache
def _task_check() -> TaskCheck:
    return TaskCheck(Gate(LicenseManagers(Settings.from_env().role_arn), utc_now, random.random))


def handler(event: Any, context: Any) -> dict[str, Any]:
    """Lambda's entry point for state machines."""
    return handle(_task_check(), event, context)


def handle(task_check: TaskCheck, event: Any, context: Any) -> dict[str, Any]:
    """One event, with its log and its metrics."""
    stack_event = _stack_event(event)
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
    except Exception:
        telemetry.count("ChecksBroken")
        raise
    finally:
        telemetry.flush()
