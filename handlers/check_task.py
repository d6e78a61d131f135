"""Step Functions comes in here: one check of a task.

Two callers: our own state machine (`Input`, `Gate`, `StartedAt` and `Execution` in the event), which gets the gate's new
state, or hands over a `Token` with which the gate is woken in the crowd; and a state machine with a loop of its own, which
sends a request and gets the task.
"""

import json
import random
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any

from license_conversion import aws, telemetry
from license_conversion.crowd import Crowd
from license_conversion.crowd_table import CrowdTable
from license_conversion.errors import CheckBroken, GateError, InvalidRequest, TableUnavailable
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
from license_conversion.request import Account, Request, Times
from license_conversion.settings import Settings
from license_conversion.shared import LicenseManagers
from license_conversion.task import ConversionTask
from license_conversion.wake import wake

OURS = {"Input", "Gate", "StartedAt", "Execution"}
"""The members of our state machine's events."""
KEPT = ("Waiter", "GiveUpAt", "AttemptSeconds", "PauseSeconds")
"""The members of a gate's state that no check but one that can read its request changes."""

aws.prepare("license-manager")


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
            request = _request(event)
        except InvalidRequest as error:
            refusal = refused(error, ConversionTask.unseen())
            telemetry.decided(refusal)
            telemetry.ended(refusal)
            return after | refusal.state(stack_event)
        wait, times = self._wait(request, event)
        started_at = wait.started_at
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

    def take_place(self, event: Mapping[str, Any]) -> None:
        """The gate waits in the crowd, until its `Token` is called."""
        request = _request(event)
        self._gate.take_place(request, self._wait(request, event)[0], event["Token"])

    def _wait(self, request: Request, event: Mapping[str, Any]) -> tuple[Wait, Times]:
        stack, before = _stack(event), event["Gate"]
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
            signals_handle=bool(request.wait_condition_handle),
            gate=event["Execution"].rpartition(":")[2],
            heard=before.get("Heard", 0.0),
            alone=tuple(before.get("Alone", ())),
        )
        return wait, times

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
    """A caller's own event may be anything, no object even. The definition of a newer release may say more than ours."""
    return isinstance(event, Mapping) and event.keys() >= OURS


def _stack(event: Any) -> Mapping[str, Any]:
    """Empty when no stack waits. By who waits, not by what the input looks like: a caller's input may be anything."""
    if not _is_our_state_machines(event) or event["Gate"]["Waiter"] not in ("STACK", "HANDLE"):
        return {}
    found: Mapping[str, Any] = event["Input"]["Stack"]
    return found


def _request(event: Mapping[str, Any]) -> Request:
    """Of our state machine's event. Raises InvalidRequest."""
    stack = _stack(event)
    return (
        Request.from_properties(stack["Event"]["ResourceProperties"]) if stack else Request.from_input(event["Input"])
    )


class Crowds:
    """The crowd of each account and region, kept for as long as the function is warm."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known: dict[Account, Crowd] = {}

    def __call__(self, account: Account) -> Crowd:
        if account not in self._known:
            table = CrowdTable(self._settings.table_name, account)
            self._known[account] = Crowd(table, partial(self._start_watch, account), wake, time.time)
        return self._known[account]

    def _start_watch(self, account: Account) -> None:
        """Nobody waits for it: where it does not start, a gate that wakes starts the next one, or asks by itself."""
        event = {"RoleArn": account.role_arn, "ExternalId": account.external_id, "Region": account.region}
        function, payload = self._settings.watch_function, json.dumps(event).encode()
        try:
            aws.client("lambda", attempts=2).invoke(FunctionName=function, InvocationType="Event", Payload=payload)
            telemetry.logger.info("The gate starts a watch")
        except aws.failures() as error:
            telemetry.logger.warning(f"The watch could not be started: {error}")


@cache
def _task_check() -> TaskCheck:
    settings = Settings.from_env()
    managers, crowds = LicenseManagers(settings.role_arn), Crowds(settings)
    return TaskCheck(Gate(managers, utc_now, random.random, crowds=crowds, region=settings.region))


def handler(event: Any, context: Any) -> dict[str, Any] | None:
    """Lambda's entry point for state machines."""
    return handle(_task_check(), event, context)


def handle(task_check: TaskCheck, event: Any, context: Any) -> dict[str, Any] | None:
    """One event, with its log and its metrics."""
    stack_event = _stack(event).get("Event", {})
    telemetry.begin(
        context,
        execution=event["Execution"] if _is_our_state_machines(event) else None,
        stack_id=stack_event.get("StackId"),
        logical_resource_id=stack_event.get("LogicalResourceId"),
    )
    try:
        if _is_our_state_machines(event) and "Token" in event:
            task_check.take_place(event)
            return None
        if _is_our_state_machines(event):
            return task_check.for_state_machine(event)
        return task_check.for_caller(event)
    except TableUnavailable as error:
        telemetry.count("TableFailures")
        telemetry.logger.warning(f"The gate has no place in the crowd: {error}")
        raise
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
