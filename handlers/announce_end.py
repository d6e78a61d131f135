"""Puts the event that License Manager does not send: one for each gate that ended. Invoked asynchronously, so that Lambda
repeats it when the bus does not take it, and no answer waits for it.
"""

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from license_conversion import telemetry
from license_conversion.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient

SOURCE = "license-conversion-gate"
CONFIG = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 3})


class EventNotTaken(Exception):  # noqa: N818 - says what happened
    """The bus is missing, throttled, or refuses the entry. Lambda invokes the function again."""


@cache
def _events() -> "EventBridgeClient":
    return boto3.client("events", config=CONFIG)


def handler(event: dict[str, Any], context: Any) -> None:
    """Lambda's entry point. `event` has `DetailType` and `Detail`."""
    detail = event["Detail"]
    telemetry.begin(context, task_id=detail["LicenseConversionTaskId"], detail_type=event["DetailType"])
    entry = {
        "Source": SOURCE,
        "DetailType": event["DetailType"],
        "Detail": json.dumps(detail, ensure_ascii=False),
        "Resources": [detail["ResourceArn"]] if detail.get("ResourceArn") else [],
        "EventBusName": Settings.from_env().event_bus_name,
    }
    try:
        taken = _events().put_events(Entries=[entry])
        if taken["FailedEntryCount"]:
            failed = taken["Entries"][0]
            raise EventNotTaken(f"{failed.get('ErrorCode')}: {failed.get('ErrorMessage')}")
        telemetry.logger.info("The event is on the bus")
    except Exception:
        telemetry.count("EventsNotTaken")
        telemetry.logger.exception("The bus did not take the event")
        raise
    finally:
        telemetry.flush()
