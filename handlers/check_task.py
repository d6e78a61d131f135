"""Step Functions comes in here: one check of a task.

Two callers: our own state machine (`OURS` are the members of its events), which gets the gate's new state; and a state
machine with a loop of its own, which sends a request and gets the task.
"""

import random
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import cache, lru_cache
from typing import Any

from license_conversion import aws, telemetry
from license_conversion.conversion import ConversionTask, utc_now
from license_conversion.errors import GateError, InvalidRequest
from license_conversion.fleet import Conversion, Fleet
from license_conversion.gate import Ended, Gate, Outcome, Wait, Waiting, refused
from license_conversion.license_manager import LicenseManager
from license_conversion.poll import Poll
from license_conversion.registrations import Registrations
from license_conversion.request import Account, Request, Times
from license_conversion.settings import Settings

OURS = {"Input", "Gate", "Results", "RegisteredAt", "EnteredAt", "Tries", "StartedAt", "Execution"}
CALLERS_SECONDS = 10
"""A caller with a loop of its own checks again after so many seconds."""
MOST_ACCOUNTS = 20
"""Whose clients a warm function keeps: each takes a megabyte or two of its 256."""
OUTPUT_BYTES, DETAIL_BYTES = 100_000, 32_000
"""What a fleet's tasks may take of an execution's 256 KB: in a caller's output, and in a stack's and the event's."""
DETAIL_TYPES = {
    Outcome.SUCCEEDED: "License Conversion Succeeded",
    Outcome.FAILED: "License Conversion Failed",
    Outcome.TIMED_OUT: "License Conversion Wait Timed Out",
}

aws.prepare("license-manager", "dynamodb")


class TaskCheck:
    """One check, in the shape that the caller needs. `polls` and `registrations` give those of an account."""

    def __init__(
        self,
        settings: Settings,
        polls: Callable[[Account], Poll],
        registrations: Callable[[Account], Registrations],
        clock: Callable[[], datetime] = utc_now,
        random_: Callable[[], float] = random.random,
    ) -> None:
        self._settings, self._polls, self._registrations = settings, polls, registrations
        self._clock, self._random = clock, random_

    def for_state_machine(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """The gate's state after this check; what is not in it stays as the state machine has it.

        Always `Ended`; after a request that can be read also `GiveUpAt`, `AttemptSeconds` and `PauseSeconds`, and what the next
        check needs: `Pending` (the ids that are waited for) and `Task` or `FailedTasks`.

        While it waits: `NextCheckAt`; the key of its `Registration`, if it registers; a `Response`, where the stack
        gets one at once because a handle is signalled at the end. Once it has ended: `Passed`, `Output` (the task's shape),
        `Error` and `Cause`, the `Response` that a stack gets, and the `Event` for the bus.

        Raises InvalidRequest and AccessDenied while License Manager's refusal is not believed yet.
        """
        before, stack = event["Gate"], _stack(event)
        stack_event = stack.get("Event", {})
        first = "Pending" not in before
        try:
            given = stack_event["ResourceProperties"] if stack else event["Input"]
            request = Request.from_properties(given) if stack else Request.from_input(given)
        except InvalidRequest as error:
            telemetry.count("GatesStarted", first)
            return _ended_state(_recorded(refused(error, ConversionTask.unseen())), stack_event)
        began = datetime.fromisoformat(stack["RequestedAt"] if stack else event["StartedAt"])
        times = request.times(began, responds=before["Waiter"] == "STACK")
        found = self._checked(request, event, began, times)
        telemetry.count("GatesStarted", first)  # here: a refusal that is not believed yet is an error, and comes again
        known = found.known
        state = {"Pending": " ".join(known.pending), **known.carried()}
        if isinstance(found, Ended):
            return state | times.state() | _ended_state(_recorded(found, began), stack_event)
        next_check = self._clock() + timedelta(seconds=found.seconds)
        state |= {"Ended": False, "NextCheckAt": next_check.isoformat(timespec="milliseconds").replace("+00:00", "Z")}
        if found.registers:
            state["Registration"] = self._registrations(request.account).key(_name(event["Execution"]))
        if request.wait_condition_handle and before["Waiter"] == "STACK" and known.task_id:
            times = request.times(began, responds=False)
            state["Response"] = _response(known)
        return state | times.state()

    def for_caller(self, event: Any) -> dict[str, Any]:
        """The task as it is now, with `SecondsUntilNextCheck` while it runs. Raises InvalidRequest and AccessDenied."""
        request = Request.from_input(event)
        now = self._clock()
        found = self._checked(request, {"Gate": {}}, now, request.times(now, responds=False))
        shape = found.known.output(OUTPUT_BYTES)
        return shape if isinstance(found, Ended) else {**shape, "SecondsUntilNextCheck": CALLERS_SECONDS}

    def _checked(self, request: Request, event: Mapping[str, Any], began: datetime, times: Times) -> Waiting | Ended:
        account = request.account
        gate = Gate(self._polls(account), self._registrations(account), self._clock, self._random)
        found = gate.check(self._wait(request, event, began, times))
        telemetry.count("Checks")
        telemetry.about(task_id=found.known.task_id)
        if isinstance(found, Ended):
            return found
        telemetry.count("Throttles", found.seen.throttled)
        telemetry.count("UnknownStatuses", found.seen.unknown_status)
        telemetry.waits(found.known.status_word, found.waited_seconds, found.seconds, found.seen.trouble)
        return found

    def _wait(self, request: Request, event: Mapping[str, Any], began: datetime, times: Times) -> Wait:
        before, execution = event["Gate"], event.get("Execution", "")
        known: Conversion = ConversionTask.unseen(request.task_id, request.resource_arn)
        if request.fleet:
            known = Fleet.from_carried(request.task_ids, before)
        elif "Task" in before:
            known = ConversionTask(before["Task"])
        role, region = request.account.role_arn, request.account.region or self._settings.region
        further = (region and f" --region {region}", role and f" (as {role})", execution and f"; execution {execution}")
        return Wait(
            request,
            times,
            began,
            known,
            first="Pending" not in before,
            further="".join(further),
            execution=_name(execution),
            results=event.get("Results", ()),
            registered_at=datetime.fromisoformat(event["RegisteredAt"]) if event.get("RegisteredAt") else None,
            entered_at=datetime.fromisoformat(event["EnteredAt"]) if execution else None,
            refusals=event.get("Tries", 0),
        )


def _recorded(ended: Ended, began: datetime | None = None) -> Ended:
    """Logs and counts a gate's end. None: the gate did not even begin to wait."""
    known, end_time = ended.known, ended.known.carried().get("Task", {}).get("EndTime")
    telemetry.ended(
        ended.outcome, known.status_word, ended.waited_seconds, ended.reason, began=began, end_time=end_time
    )
    return ended


def _response(known: Conversion, *, fails_with: str = "") -> dict[str, Any]:
    """What CloudFormation gets: Status, Reason, PhysicalResourceId (`""` when there is no task) and Data."""
    return {
        "Status": "FAILED" if fails_with else "SUCCESS",
        "Reason": fails_with,
        "PhysicalResourceId": known.task_id,
        "Data": {} if fails_with else known.attributes(),
    }


def _ended_state(ended: Ended, stack_event: Mapping[str, Any]) -> dict[str, Any]:
    """How the execution ends itself, and what the recipient gets. `stack_event` is empty where no stack waits."""
    known, passes = ended.known, not ended.error
    state = {
        "Ended": True,
        "Passed": passes,
        "Output": known.output(DETAIL_BYTES if stack_event else OUTPUT_BYTES) if passes else {},
        "Error": ended.error,
        "Cause": ended.cause,
        "Response": _response(known, fails_with=ended.reason),
    }
    if ended.outcome is Outcome.REFUSED:
        return state
    whose = {name: stack_event[name] for name in ("StackId", "LogicalResourceId") if stack_event}
    detail = {**known.output(DETAIL_BYTES), **whose}
    return {**state, "Event": {"DetailType": DETAIL_TYPES[ended.outcome], "Detail": detail, "Resources": known.arns}}


def _stack(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """Empty when no stack waits. By the recipient, not by the form of the input: a caller's input may be anything."""
    found: Mapping[str, Any] = event["Input"]["Stack"] if event["Gate"]["Waiter"] in ("STACK", "HANDLE") else {}
    return found


def _name(execution: str) -> str:
    return execution.rpartition(":")[2]


@cache
def _task_check() -> TaskCheck:
    settings = Settings.from_env()
    return TaskCheck(
        settings,
        lru_cache(MOST_ACCOUNTS)(
            lambda account: Poll(LicenseManager(settings.role_arn, account), time.time, time.sleep)
        ),
        lru_cache(MOST_ACCOUNTS)(lambda account: Registrations(settings.table_name, account, settings.poll_function)),
    )


def handler(event: Any, context: Any) -> dict[str, Any]:
    """Lambda's entry point for state machines."""
    return {} if event == {"StayActive": True} else handle(_task_check(), event, context)


def handle(task_check: TaskCheck, event: Any, context: Any) -> dict[str, Any]:
    """One event, with its log and its metrics."""
    # A caller's own event may be anything, no object even. The definition of a newer release may say more than ours.
    ours = isinstance(event, Mapping) and event.keys() >= OURS
    stack_event = _stack(event).get("Event", {}) if ours else {}
    telemetry.begin(
        context,
        execution=event["Execution"] if ours else None,
        stack_id=stack_event.get("StackId"),
        logical_resource_id=stack_event.get("LogicalResourceId"),
    )
    try:
        return task_check.for_state_machine(event) if ours else task_check.for_caller(event)
    except GateError as error:
        telemetry.count("ChecksRefused")
        telemetry.logger.info(f"The check is refused: {error}")
        raise
    finally:
        telemetry.flush()
