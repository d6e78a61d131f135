"""CloudFormation comes in here: a Create or an Update that is valid begins an execution, which responds; a Delete stops some.

No task is checked here, and no outcome leaves from here.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from typing import Any

from license_conversion import aws, telemetry
from license_conversion.conversion import iso, utc_now
from license_conversion.errors import InvalidRequest, ResponseNotTaken
from license_conversion.executions import Executions
from license_conversion.lifecycle import Lifecycle
from license_conversion.request import Request
from license_conversion.response import deliver, requested_at, seconds_left, unusable
from license_conversion.settings import Settings

ENOUGH_TO_RESPOND = 20.0
"""Seconds of an invocation that a Delete's search for executions leaves for its response."""

aws.prepare("stepfunctions")


def provider(
    executions: Executions,
    clock: Callable[[], datetime] = utc_now,
    deliver_: Callable[[str, bytes, float], int] = deliver,
) -> Lifecycle:
    """The provider of `Custom::LicenseConversionTask`. It raises whatever keeps it from handling an event, so that Lambda
    delivers the event again.
    """
    helper = Lifecycle(deliver_)

    @helper.create  # type: ignore[untyped-decorator]
    @helper.update  # type: ignore[untyped-decorator]
    def begin(event: dict[str, Any], context: Any) -> None:
        try:
            request = Request.from_properties(event.get("ResourceProperties"))
        except InvalidRequest as error:
            telemetry.count("GatesStarted")
            telemetry.ended("REFUSED", "", 0, str(error))
            raise
        requested = requested_at(event, clock())
        if event["RequestType"] == "Update":
            stop(event, requested, seconds_left(context) / 2)
        stack = {
            # No state needs the old properties, and those of a fleet are a fifth of what an execution can hold.
            "Event": {name: value for name, value in event.items() if name != "OldResourceProperties"},
            "RequestedAt": iso(requested),
            "PhysicalResourceId": request.task_id,
            "Gate": {"Waiter": "STACK", "Ended": False, **request.times(requested, responds=True).state()},
        }
        telemetry.about(task_id=request.task_id)
        executions.begin(event, {"Stack": stack}, seconds_left(context))
        telemetry.logger.info("The execution responds")

    @helper.delete  # type: ignore[untyped-decorator]
    def delete(event: dict[str, Any], context: Any) -> None:
        """Nothing in License Manager is the stack's to delete: stop the execution that belongs to it, if one still runs."""
        stopped = stop(event, requested_at(event, clock()), seconds_left(context) - ENOUGH_TO_RESPOND)
        telemetry.logger.info("The resource is deleted", extra={"gates_stopped": stopped})

    def stop(event: Mapping[str, Any], requested: datetime, seconds: float) -> int:
        stopped = executions.stop_superseded(event, iso(requested), seconds)
        telemetry.count("GatesStopped", stopped)
        return stopped

    return helper


@cache
def _provider() -> Lifecycle:
    return provider(Executions(Settings.from_env().state_machine_arn))


def handler(event: Any, context: Any) -> None:
    """Lambda's entry point for CloudFormation's events."""
    if event != {"StayActive": True}:
        handle(_provider(), event, context)


def handle(helper: Lifecycle, event: Any, context: Any) -> None:
    """One event, with its log and its metrics. InvalidRequest for one that is none of CloudFormation's."""
    said = event if isinstance(event, Mapping) else {}
    telemetry.begin(
        context,
        stack_id=said.get("StackId"),
        logical_resource_id=said.get("LogicalResourceId"),
        request_type=said.get("RequestType"),
        task_id=said.get("PhysicalResourceId"),
    )
    try:
        if wrong := unusable(said):
            telemetry.count("MalformedEvents")
            telemetry.logger.error(f"The event is none of CloudFormation's: {', '.join(wrong)} cannot be used")
            raise InvalidRequest(
                f"{', '.join(wrong)} cannot be used. CloudFormation invokes this function, with a ResponseURL that it has "
                "signed: a Custom::LicenseConversionTask names it as its ServiceToken."
            )
        helper(dict(said), context)
    except ResponseNotTaken as error:
        telemetry.count("ResponsesNotTaken")
        telemetry.logger.error(f"The response was not taken: {error}")
        raise
    finally:
        telemetry.flush()
