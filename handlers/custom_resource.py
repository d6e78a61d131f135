"""CloudFormation comes in here: a Create or an Update that is valid begins a wait, which answers it; a Delete stops waits.

No task is looked at here, and no verdict leaves from here: what answers a wait is answer_stack.py.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from typing import Any

from license_conversion import aws, telemetry
from license_conversion.errors import AnswerNotDelivered, InvalidRequest
from license_conversion.gate import utc_now
from license_conversion.lifecycle import Event, Lifecycle
from license_conversion.request import Request
from license_conversion.settings import Settings
from license_conversion.stack_response import deliver, requested_at, seconds_left
from license_conversion.task import iso
from license_conversion.waits import Waits

ADDRESS = ("ResponseURL", "StackId", "RequestId", "LogicalResourceId")
"""Who an event is from. Without all of it there is nobody to answer."""
ENOUGH_TO_ANSWER = 20.0
"""Seconds of an invocation that a search for waits leaves for what comes after it."""

aws.prepare("stepfunctions")


class StackGate:
    """The provider of `Custom::LicenseConversionTask`."""

    def __init__(
        self,
        waits: Waits,
        clock: Callable[[], datetime] = utc_now,
        deliver_: Callable[[str, bytes, float], int] = deliver,
    ) -> None:
        self._waits = waits
        self._clock = clock
        self._lifecycle = Lifecycle(self._begin, self._delete, deliver_)

    def __call__(self, event: Event, context: Any) -> None:
        """Handle one event. Raises whatever keeps it from being handled, so that Lambda delivers the event again."""
        self._lifecycle({"RequestType": None, **event}, context)

    def _begin(self, event: Event, context: Any) -> None:
        """A Create or an Update. InvalidRequest is its answer."""
        try:
            request = Request.from_event(event)
        except InvalidRequest as error:
            telemetry.refused(error)
            raise
        requested = requested_at(event, self._clock())
        if event["RequestType"] == "Update":
            self._stop_waits(event, iso(requested), seconds_left(context) / 2)
        wait = {
            "Stack": {
                # Nobody needs the old properties, and those of a fleet are a fifth of what an execution can hold.
                "Event": {name: value for name, value in event.items() if name != "OldResourceProperties"},
                "RequestedAt": iso(requested),
                "PhysicalResourceId": request.task_id,
            },
            "Gate": {"Waiter": "STACK", "Checks": 0, **request.times(requested, answers_request=True).state()},
        }
        telemetry.about(task_id=request.task_id)
        with telemetry.traced("begin wait"):
            self._waits.begin(event, wait, seconds_left(context))
        telemetry.logger.info("The wait answers")

    def _delete(self, event: Event, context: Any) -> None:
        """Nothing in License Manager is the stack's to delete: stop the wait that belongs to it, if one still runs."""
        requested = requested_at(event, self._clock())
        stopped = self._stop_waits(event, iso(requested), seconds_left(context) - ENOUGH_TO_ANSWER)
        telemetry.logger.info("The resource is deleted", extra={"waits_stopped": stopped})

    def _stop_waits(self, event: Event, requested: str, seconds: float) -> int:
        with telemetry.traced("stop waits"):
            stopped = self._waits.stop(event, requested, seconds)
        if stopped:
            telemetry.count("WaitsStopped", stopped)
        return stopped


@cache
def _stack_gate() -> StackGate:
    return StackGate(Waits(Settings.from_env().state_machine_arn))


def handler(event: Any, context: Any) -> None:
    """Lambda's entry point for CloudFormation's events."""
    handle(_stack_gate(), event, context)


def handle(stack_gate: StackGate, event: Any, context: Any) -> None:
    """One event, with its log and its metrics. One that does not say whom to answer is not worth another try."""
    said = event if isinstance(event, Mapping) else {}
    telemetry.begin(
        context,
        stack_id=said.get("StackId"),
        logical_resource_id=said.get("LogicalResourceId"),
        request_type=said.get("RequestType"),
        task_id=said.get("PhysicalResourceId"),
    )
    try:
        missing = [name for name in ADDRESS if not isinstance(said.get(name), str)]
        if missing:
            telemetry.count("MalformedEvents")
            telemetry.logger.error(f"The event is none of CloudFormation's: it has no {', '.join(missing)}")
        else:
            stack_gate(dict(said), context)
    except AnswerNotDelivered as error:
        telemetry.count("AnswersNotDelivered")
        telemetry.logger.error(f"The answer was not taken: {error}")
        raise
    finally:
        telemetry.flush()
