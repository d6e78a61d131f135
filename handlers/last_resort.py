"""Answers a stack when the function that should have done it could not. The standard library alone, without the layer.

Two come here:

- the state machine, when the custom resource function fails, or the check. The event is the execution's data (`Input`, and
  `Gate` with the Error and Cause of what failed under `Broken`). A verdict that is known is what CloudFormation gets; only
  where there is none the answer is FAILED.
- Lambda, when it has given up an event of CloudFormation's: the function broke before it could answer, twice, or was
  throttled for too long. `requestPayload` is CloudFormation's event.
  https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html

The invocation that broke may have begun a wait before it did, and a wait answers by itself, through this function if need
be. So we look for one first, and leave the answer to it: a FAILED of ours would be a second, different answer, and would
fail a stack whose gate is whole. Whoever looks needs boto3, which Lambda's runtime has and which may be what is broken:
it is imported when it is needed, and when it cannot be known whether there is a wait, we answer. CloudFormation takes the
first answer only, so the worst of that is a FAILED where a wait would have succeeded; the worst of silence is an hour.
"""

import json
import os
import re
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from license_conversion.errors import AnswerNotDelivered
from license_conversion.stack_response import deliver, message, requested_at, response
from license_conversion.text import shorten

if TYPE_CHECKING:
    from license_conversion.waits import Waits

SERVICE = "license-conversion-gate"
ERROR_BYTES = 1500
RESERVE_SECONDS = 1.5
LOOK_AGAIN_SECONDS = 3.0
"""Step Functions lists an execution a moment after it began, and a killed function's record can be here sooner."""
OWN_ID = re.compile(r"lct-[A-Za-z0-9]{1,46}|license-conversion-fleet-[0-9a-f]+")
"""An id that the gate makes. Nobody has checked the properties when the function broke: anything else is not repeated."""
CREDENTIAL = re.compile(r"https://\S*(?:X-Amz-|Signature=)\S*")
"""A presigned URL. What broke is quoted to a person, and may itself quote what it was given."""


def handler(event: Mapping[str, Any], context: Any) -> None:
    """Lambda's entry point. Raises AnswerNotDelivered, so that whoever sent the event sends it again."""
    try:
        if "requestPayload" in event:
            _answer_request(event, context)
        else:
            _answer_wait(event, context)
    except AnswerNotDelivered:
        _count("AnswersNotDelivered")
        raise


def _answer_wait(event: Mapping[str, Any], context: Any) -> None:
    stack_event = event["Input"]["Stack"]["Event"]
    answer = event["Gate"].get("Answer")
    if not answer:
        broken = event["Gate"].get("Broken", {})
        what = _quoted(f"{broken.get('Error', 'no error')}: {broken.get('Cause', '')}")
        answer = {
            "Status": "FAILED",
            "Reason": f"The gate itself broke, the conversion is not affected. Execution {event['Execution']} ended with {what}",
            "PhysicalResourceId": _own_id(stack_event["CrHelperData"]["PhysicalResourceId"]),
            "Data": {},
        }
    _send(*message(stack_event, answer, event["Gate"]["Waiter"]), stack_event, answer["Status"], context)


def _answer_request(record: Mapping[str, Any], context: Any) -> None:
    """What Lambda gave up. `record` is its record for a destination."""
    stack_event = record["requestPayload"]
    answer: Mapping[str, Any] | None
    if "CrHelperPoll" in stack_event:  # a wait's verdict: there is no other answer than the one in it
        if "Answer" in stack_event:
            answer = stack_event["Answer"]
            _send(*message(stack_event, answer, stack_event["Waiter"]), stack_event, answer["Status"], context)
        else:
            _log("ERROR", "A wait's event without an answer came here", stack_event)
        return
    answer = _delete(stack_event) if stack_event["RequestType"] == "Delete" else _first_answer(record)
    if not answer:
        _log("INFO", "The function broke, and the wait that it had begun answers", stack_event)
        return
    body = response(
        stack_event,
        status=answer["Status"],
        reason=answer["Reason"],
        physical_id=answer["PhysicalResourceId"],
        data=answer["Data"],
    )
    _send(stack_event["ResponseURL"], body, stack_event, answer["Status"], context)


def _delete(stack_event: Mapping[str, Any]) -> dict[str, Any]:
    """A Delete always succeeds, and stops the wait that belongs to the resource if it can."""
    try:
        from license_conversion.waits import keys_of_deleted  # noqa: PLC0415 - boto3 may be what is broken

        _waits().stop(stack_event, keys_of_deleted(stack_event), requested_at(stack_event, datetime.now(UTC)))
    except Exception as error:  # the wait then ends by itself
        _log("WARNING", f"The waits of the resource could not be stopped: {type(error).__name__}", stack_event)
    return {"Status": "SUCCESS", "Reason": "", "PhysicalResourceId": None, "Data": {}}


def _first_answer(record: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The answer to a Create or an Update; None where a wait will give, or gave, the answer."""
    stack_event = record["requestPayload"]
    wait = _wait_of(stack_event)
    if wait is not None:
        # A wait that signals a handle leaves the request itself to the function: its answer is in the wait's input.
        first: Mapping[str, Any] | None = wait["Stack"].get("FirstAnswer")
        return first
    said = record.get("responsePayload") or {}
    made_of = record.get("requestContext", {})
    what = _quoted(f"{said.get('errorType', 'no error')}: {said.get('errorMessage', '')}")
    return {
        "Status": "FAILED",
        "Reason": (
            "The gate itself broke before it could answer, the conversion is not affected. Look further in log group "
            f"{os.environ.get('GATE_LOG_GROUP', 'of the function')}, request {made_of.get('requestId')}. Lambda gave the "
            f"request up ({made_of.get('condition')}, attempt {made_of.get('approximateInvokeCount')}): {what}"
        ),
        "PhysicalResourceId": _task_id(stack_event),
        "Data": {},
    }


def _wait_of(stack_event: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The input of the request's wait, if it is one that answers or has answered. None: there is none, or none known."""
    try:
        waits = _waits()
        since = requested_at(stack_event, datetime.now(UTC))
        found = waits.of_request(stack_event, since)
        if found is None:
            time.sleep(LOOK_AGAIN_SECONDS)
            found = waits.of_request(stack_event, since)
    except Exception as error:  # whatever it is, silence would be worse
        _log("WARNING", f"It is not known whether the request has a wait: {type(error).__name__}", stack_event)
        return None
    return found


def _waits() -> "Waits":
    from license_conversion.waits import Waits  # noqa: PLC0415 - boto3 may be what is broken

    return Waits(os.environ["GATE_STATE_MACHINE_ARN"])


def _send(url: str, body: bytes, stack_event: Mapping[str, Any], status: str, context: Any) -> None:
    deliver(url, body, context.get_remaining_time_in_millis() / 1000 - RESERVE_SECONDS)
    _count("LastResortAnswers")
    _log("INFO", f"Answered {status} as the last resort", stack_event)


def _log(level: str, message_: str, stack_event: Mapping[str, Any]) -> None:
    """A line with the keys that the other functions' lines have, so that one query finds them all."""
    known = (stack_event.get("Answer") or stack_event.get("CrHelperData") or stack_event).get("PhysicalResourceId")
    line = {
        "level": level,
        "message": message_,
        "timestamp": datetime.now(UTC).isoformat(" ", "milliseconds").replace("+00:00", "+0000").replace(".", ","),
        "service": SERVICE,
        "task_id": known or _task_id(stack_event),
        "stack_id": stack_event.get("StackId"),
        "logical_resource_id": stack_event.get("LogicalResourceId"),
        "request_type": stack_event.get("RequestType"),
    }
    sys.stdout.write(json.dumps({key: value for key, value in line.items() if value}) + "\n")
    sys.stdout.flush()


def _task_id(stack_event: Mapping[str, Any]) -> str | None:
    properties = stack_event.get("ResourceProperties")
    return _own_id(properties.get("LicenseConversionTaskId") if isinstance(properties, Mapping) else None)


def _own_id(known: Any) -> str | None:
    """An ARN stands for the newest task of a resource until its id is known."""
    return known if isinstance(known, str) and OWN_ID.fullmatch(known) else None


def _quoted(what: str) -> str:
    return shorten(CREDENTIAL.sub("(a URL that is a credential)", what), ERROR_BYTES)


def _count(metric: str) -> None:
    """One more, in CloudWatch's embedded metric format, as the other functions' metrics."""
    line = {
        "_aws": {
            "Timestamp": round(time.time() * 1000),
            "CloudWatchMetrics": [
                {
                    "Namespace": "LicenseConversionGate",
                    "Dimensions": [["service"]],
                    "Metrics": [{"Name": metric, "Unit": "Count"}],
                }
            ],
        },
        "service": SERVICE,
        metric: 1,
    }
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
