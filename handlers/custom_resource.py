"""CloudFormation comes in here, and its answer leaves from here. The only reader of its lifecycle events.

A Create or Update is validated and the task looked at once. A verdict is answered at once; otherwise a wait (an execution
of the state machine) begins, which sends the same event back with its verdict in it (`CrHelperPoll`, `Answer`).
"""

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from license_conversion import telemetry, waits
from license_conversion.errors import InvalidRequest
from license_conversion.gate import Ended, Gate, Wait, Waiting, refused, utc_now
from license_conversion.license_manager import LicenseManager
from license_conversion.lifecycle import Event, Lifecycle
from license_conversion.request import Request
from license_conversion.settings import Settings
from license_conversion.stack_response import deliver, requested_at
from license_conversion.task import ConversionTask, iso
from license_conversion.waits import Waits


class StackGate:
    """The provider of `Custom::LicenseConversionTask`."""

    def __init__(
        self,
        gate: Gate,
        waits_: Waits,
        clock: Callable[[], datetime] = utc_now,
        deliver_: Callable[[str, bytes, float], int] = deliver,
    ) -> None:
        self._gate = gate
        self._waits = waits_
        self._clock = clock
        self._lifecycle = Lifecycle(self._begin_wait, deliver_, _broken)
        self._lifecycle.create(self._check)
        self._lifecycle.update(self._check)
        self._lifecycle.poll_create(self._answer)
        self._lifecycle.poll_update(self._answer)
        self._lifecycle.delete(self._delete)

    def __call__(self, event: Event, context: Any) -> None:
        """Handle one event. Raises AnswerNotDelivered, so that Lambda delivers the event again."""
        self._lifecycle(event, context)

    def _check(self, event: Event, context: Any) -> str:
        """A Create or an Update: one look at the task. Returns the physical id."""
        try:
            request = Request.from_properties(event.get("ResourceProperties"))
        except InvalidRequest as error:
            return self._end(refused(error, ConversionTask.unseen("")))
        started_at = requested_at(event, self._clock())
        wait = Wait(
            started_at=started_at,
            deadline=started_at + timedelta(seconds=request.timeout),
            look=f"log group {context.log_group_name}, request {context.aws_request_id}",
            task=ConversionTask.unseen(request.task_id),
        )
        result = self._gate.check(request, wait)
        if isinstance(result, Waiting) or self._waits.exists(waits.name(event, request.task_id)):
            self._lifecycle.Data.update(RequestedAt=iso(started_at), Deadline=iso(wait.deadline))
            self._lifecycle.waiting = True
            return request.task_id
        telemetry.checked(result)
        return self._end(result)

    def _end(self, ended: Ended) -> str:
        answer = ended.answer()
        self._lifecycle.Status, self._lifecycle.Reason = answer["Status"], answer["Reason"]
        self._lifecycle.Data = answer["Data"]
        return str(answer["PhysicalResourceId"])

    def _begin_wait(self, event: Event, context: Any) -> None:
        """Hand the request to an execution, which gets our own ARN to send its answer to.

        The state machine's definition cannot name this function, whose environment names the state machine.
        """
        wait_name = waits.name(event, event["CrHelperData"]["PhysicalResourceId"])
        self._waits.begin(wait_name, {"Stack": {"FunctionArn": context.invoked_function_arn, "Event": event}})
        telemetry.count("GatesStarted")
        telemetry.logger.info("A wait begins, or is joined", extra={"execution": wait_name})

    def _answer(self, event: Event, _context: Any) -> str:
        """The wait's verdict came back: give it to crhelper to send."""
        answer = event["Answer"]
        self._lifecycle.Status, self._lifecycle.Reason = answer["Status"], answer["Reason"]
        self._lifecycle.Data = dict(answer["Data"])
        return str(answer["PhysicalResourceId"])

    def _delete(self, _event: Event, _context: Any) -> None:
        """Nothing in License Manager is the stack's to delete."""


def _broken(error: Exception, context: Any) -> str:
    telemetry.logger.error("The gate broke", exc_info=error)
    return (
        f"The gate itself broke ({type(error).__name__}: {error}); the conversion is not affected. "
        f"Look further in log group {context.log_group_name}, request {context.aws_request_id}."
    )


@cache
def _stack_gate() -> StackGate:
    settings = Settings.from_env()
    gate = Gate(LicenseManager(settings.role_arn), utc_now, random.random)
    return StackGate(gate, Waits(settings.state_machine_arn))


def handler(event: Event, context: Any) -> None:
    """Lambda's entry point for CloudFormation's events and for those that a wait sends back."""
    telemetry.begin(
        context,
        stack_id=str(event.get("StackId")),
        logical_resource_id=str(event.get("LogicalResourceId")),
        request_type=str(event.get("RequestType")),
    )
    try:
        _stack_gate()(event, context)
    finally:
        telemetry.flush()
