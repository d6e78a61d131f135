"""Puts the event that License Manager does not send: one for each gate that ended. Invoked asynchronously, so that Lambda
repeats it when the bus does not take it, and no answer waits for it.
"""

import json
from functools import cache
from typing import TYPE_CHECKING, Any

from license_conversion import aws, telemetry
from license_conversion.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient

SOURCE = "license-conversion-gate"
ATTEMPTS = 3

aws.prepare("events")


class EventNotTaken(Exception):  # noqa: N818 - says what happened
    """The bus is missing, throttled, or refuses the entry. Lambda invokes the function again."""


@cache
def _events() -> "EventBridgeClient":
    client: EventBridgeClient = aws.client("events", attempts=ATTEMPTS)
    return client


def handler(event: dict[str, Any], context: Any) -> None:
    """Lambda's entry point. `event` has `DetailType` and `Detail`."""
    detail = event["Detail"]
    telemetry.begin(
        context,
        task_id=detail.get("LicenseConversionTaskId"),
        stack_id=detail.get("StackId"),
        logical_resource_id=detail.get("LogicalResourceId"),
        detail_type=event["DetailType"],
    )
    try:
        with telemetry.traced("put event"):
            _put(event["DetailType"], detail)
    except Exception:
        telemetry.count("EventsNotTaken")
        telemetry.logger.exception("The bus did not take the event")
        raise
    else:
        telemetry.logger.info("The event is on the bus")
    finally:
        telemetry.flush()


def _put(detail_type: str, detail: dict[str, Any]) -> None:
    settings = Settings.from_env()
    bus = settings.event_bus_name
    if _account(bus) in ("", settings.account_id):
        _find(bus)
    taken = _events().put_events(
        Entries=[
            {
                "Source": SOURCE,
                "DetailType": detail_type,
                "Detail": json.dumps(detail, ensure_ascii=False),
                "Resources": [detail["ResourceArn"]] if detail.get("ResourceArn") else [],
                "EventBusName": bus,
            }
        ]
    )
    for entry in taken["Entries"]:
        if "ErrorCode" in entry:
            raise EventNotTaken(f"{entry['ErrorCode']}: {entry.get('ErrorMessage')}")


def _account(bus: str) -> str:
    """The account in the ARN of a bus; nothing for a name, which is of the function's own."""
    return bus.split(":")[4] if ":" in bus else ""


def _find(bus: str) -> None:
    """PutEvents says nothing about a bus that does not exist: it takes the event, and drops it.

    Raises EventNotTaken. A bus that may not be described may still be put to. Not for a bus of another account: DescribeEventBus
    knows those of its own alone, and says of any other that it does not exist.
    https://github.com/aws/aws-cli/issues/9186
    """
    try:
        _events().describe_event_bus(Name=bus)
    except _events().exceptions.ResourceNotFoundException as error:
        raise EventNotTaken(f"There is no event bus {bus}") from error
    except aws.refusal() as error:
        telemetry.logger.info(f"It is not known whether there is an event bus {bus}: {error}")
