"""Answers a stack when the function that should have done it could not. The standard library alone, without the layer.

The state machine comes here when the custom resource function fails, or the check: the event is the execution's data
(`Input`, and `Gate` with the Error and Cause of what failed under `Broken`). A verdict that is known is what CloudFormation
gets; only where there is none the answer is FAILED.
"""

import logging
from collections.abc import Mapping
from typing import Any

from license_conversion.stack_response import deliver, message
from license_conversion.text import shorten

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)

ERROR_BYTES = 1500
RESERVE_SECONDS = 1.5


def handler(event: Mapping[str, Any], context: Any) -> None:
    """Lambda's entry point for our state machine. Raises AnswerNotDelivered."""
    stack_event = event["Input"]["Stack"]["Event"]
    answer = event["Gate"].get("Answer") or _broken(event)
    url, body = message(stack_event, answer)
    deliver(url, body, context.get_remaining_time_in_millis() / 1000 - RESERVE_SECONDS)
    logger.info(
        "Answered %s as the last resort for %s in %s",
        answer["Status"],
        stack_event["LogicalResourceId"],
        stack_event["StackId"],
    )


def _broken(event: Mapping[str, Any]) -> dict[str, Any]:
    broken = event["Gate"].get("Broken", {})
    what = shorten(f"{broken.get('Error', 'no error')}: {broken.get('Cause', '')}", ERROR_BYTES)
    stack_event = event["Input"]["Stack"]["Event"]
    return {
        "Status": "FAILED",
        "Reason": f"The gate itself broke, the conversion is not affected. Execution {event['Execution']} ended with {what}",
        "PhysicalResourceId": stack_event["CrHelperData"]["PhysicalResourceId"],
        "Data": {},
    }
