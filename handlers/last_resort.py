"""Answers a stack when the function that should have done it could not. The standard library alone, without the layer.

Three come here:

- the state machine, when the answer cannot be sent, or the task cannot be checked. The event is the execution's data
  (`Stack`, and `Gate` with the Error and Cause of what failed under `Broken`). A verdict that is known is what CloudFormation
  gets; only where there is none the answer is FAILED.
- Lambda, when it has given up an event of CloudFormation's: the function broke, or was throttled for too long.
  `requestPayload` is CloudFormation's event.
  https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
- EventBridge, when an execution has ended in another way than by its last state: Step Functions ended it, or somebody stopped it.
  Whoever waited has heard nothing, or the execution has told them; that is looked up.
  https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html

The invocation that broke may have begun a wait before it did, and a wait answers by itself, through this function if need
be. So we look for it first, and leave the answer to it: a FAILED of ours would be a second, different answer, and would
fail a stack whose gate is whole. Whoever looks needs boto3, which Lambda's runtime has and which may be what is broken:
it is imported when it is needed, and when it cannot be known whether there is a wait, we answer. CloudFormation takes the
first answer only, so the worst of that is a FAILED where a wait would have succeeded; the worst of silence is an hour.
"""

import os
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from license_conversion.errors import AnswerNotDelivered, NobodyListens
from license_conversion.plain_telemetry import count, log
from license_conversion.stack_response import bare, requested_at, seconds_left, send
from license_conversion.text import shorten
from license_conversion.waiters import STACK, Waiters

if TYPE_CHECKING:
    from license_conversion.waits import Waits

WAITERS_TOLD = "Custom::WaitersTold"
"""The application's own resource (tell_waiters.py): no deployment fails because of it, and no deletion."""
ENDED = "Step Functions Execution Status Change"
ERROR_BYTES = 1500
LOOK_AGAIN_SECONDS = 3.0
"""Step Functions lists an execution a moment after it began, and a killed function's record can be here sooner."""
REFUSED = "LicenseConversion.InvalidRequest"
TASK_ID = re.compile(r"lct-[A-Za-z0-9]{1,46}")
CREDENTIAL = re.compile(r"https://\S*(?:X-Amz-|Signature=)\S*")
"""A presigned URL. What broke is quoted to a person, and may itself quote what it was given."""


def handler(event: Mapping[str, Any], context: Any) -> None:
    """Lambda's entry point. Raises AnswerNotDelivered, so that whoever sent the event sends it again."""
    try:
        if event.get("detail-type") == ENDED:
            _tell_of_end(event["detail"], context)
        elif "requestPayload" in event:
            _answer_request(event, context)
        else:
            _answer_wait(event, context)
    except AnswerNotDelivered:
        count("AnswersNotDelivered")
        raise


def _answer_wait(event: Mapping[str, Any], context: Any) -> None:
    stack, gate = event["Stack"], event["Gate"]
    answer = gate.get("Answer")
    if not answer:
        broken = gate.get("Broken", {})
        what = _quoted(f"{broken.get('Error', 'no error')}: {broken.get('Cause', '')}")
        task_id = gate.get("Task", {}).get("LicenseConversionTaskId")
        answer = bare(
            "FAILED",
            f"The gate itself broke, the conversion is not affected. Execution {event['Execution']} ended with {what}",
            task_id or stack["PhysicalResourceId"],
        )
    _send(stack["Event"], answer, gate["Waiter"], context)


def _tell_of_end(end: Mapping[str, Any], context: Any) -> None:
    """Tell whoever waited for an execution that has ended without a word. `end` is the detail of Step Functions' event.

    Raises what keeps it from that, so that Lambda tries again.
    """
    from license_conversion.waits import told  # noqa: PLC0415 - boto3 may be what is broken

    if told(end):  # where the event says the error, the many ends that were told cost no call
        return
    waits, arn, seconds = _waits(), end["executionArn"], seconds_left(context) / 4
    ended = waits.ended(arn, seconds)
    if told(ended):
        return
    waiters = Waiters.of(waits, arn, ended["input"], seconds)
    by_hand = ended["status"] == "ABORTED"
    if not by_hand and not waiters.state.get("Ended"):
        count("GatesBroken")
    why = _quoted(f"{ended['status']}, {ended.get('error') or 'no error'}: {ended.get('cause') or 'no cause'}")
    broke = "Somebody stopped the gate" if by_hand else "The gate itself broke"
    undelivered: AnswerNotDelivered | None = None
    for waiter in waiters.names:
        try:
            status = waiters.tell(
                f"{broke}, the conversion is not affected. Execution {arn} ended {why}", waiter, waits, seconds, _now()
            )
        except NobodyListens as error:
            count("AnswersNotDelivered")
            _log("ERROR", f"Nobody could be told: {error}", waiters.event)
        except AnswerNotDelivered as error:
            undelivered = error
        else:
            count("LastResortAnswers")
            _log("INFO", f"Told the {waiter} {status} as the last resort", waiters.event, execution=arn)
    if undelivered:
        raise undelivered


def _answer_request(record: Mapping[str, Any], context: Any) -> None:
    """What Lambda gave up. `record` is its record for a destination."""
    request = record["requestPayload"]
    if request.get("ResourceType") == WAITERS_TOLD:
        _send(request, bare("SUCCESS"), STACK, context)
    elif request["RequestType"] == "Delete":
        _stop_waits(request, context)
        _send(request, bare("SUCCESS"), STACK, context)
    elif refusal := _refusal(request):
        _send(request, bare("FAILED", refusal), STACK, context)
    elif _has_wait(request):
        _log("INFO", "The function broke, and the wait that it had begun answers", request)
    else:
        said = record.get("responsePayload") or {}
        made_of = record.get("requestContext", {})
        what = _quoted(f"{said.get('errorType', 'no error')}: {said.get('errorMessage', '')}")
        reason = (
            "The gate itself broke before it could answer, the conversion is not affected. Look further in log group "
            f"{os.environ.get('GATE_LOG_GROUP', 'of the function')}, request {made_of.get('requestId')}. Lambda gave the "
            f"request up ({made_of.get('condition')}, attempt {made_of.get('approximateInvokeCount')}): {what}"
        )
        _send(request, bare("FAILED", reason, _task_id(request)), STACK, context)


def _refusal(request: Mapping[str, Any]) -> str:
    """What the function would have answered, or has, without an acknowledgement: the same words. `""`: nothing is wrong with
    it."""
    try:
        from license_conversion.request import Request  # noqa: PLC0415 - it may be what is broken

        Request.from_event(request)
    except Exception as error:
        return str(error) if type(error).__name__ == REFUSED else ""
    return ""


def _stop_waits(request: Mapping[str, Any], context: Any) -> None:
    """A Delete always succeeds, and stops the wait that belongs to the resource if it can."""
    try:
        requested = requested_at(request, _now())
        _waits().stop(request, f"{requested:%Y-%m-%dT%H:%M:%SZ}", seconds_left(context) / 2)
    except Exception as error:  # the wait then ends by itself
        _log("WARNING", f"The waits of the resource could not be stopped: {type(error).__name__}", request)


def _has_wait(request: Mapping[str, Any]) -> bool:
    """Whether a wait will answer the request, or has answered it. False also when that is not known."""
    try:
        waits = _waits()
        if waits.of_request(request):
            return True
        time.sleep(LOOK_AGAIN_SECONDS)
        return waits.of_request(request)
    except Exception as error:  # whatever it is, silence would be worse
        _log("WARNING", f"It is not known whether the request has a wait: {type(error).__name__}", request)
        return False


def _waits() -> "Waits":
    from license_conversion.waits import Waits  # noqa: PLC0415 - boto3 may be what is broken

    return Waits(os.environ["GATE_STATE_MACHINE_ARN"], time.monotonic, time.sleep)


def _send(request: Mapping[str, Any], answer: Mapping[str, Any], waiter: str, context: Any) -> None:
    send(request, answer, waiter, seconds_left(context), now=_now())
    count("LastResortAnswers")
    _log("INFO", f"Answered {answer['Status']} as the last resort", request)


def _now() -> datetime:
    return datetime.now(UTC)


def _log(level: str, message: str, request: Mapping[str, Any], **more: str) -> None:
    log(
        level,
        message,
        task_id=request.get("PhysicalResourceId") or _task_id(request),
        stack_id=request.get("StackId"),
        logical_resource_id=request.get("LogicalResourceId"),
        request_type=request.get("RequestType"),
        **more,
    )


def _task_id(request: Mapping[str, Any]) -> str | None:
    """Nobody has checked the properties when the function broke: anything but an id is not repeated."""
    properties = request.get("ResourceProperties")
    known = properties.get("LicenseConversionTaskId") if isinstance(properties, Mapping) else None
    return known if isinstance(known, str) and TASK_ID.fullmatch(known) else None


def _quoted(what: str) -> str:
    return shorten(CREDENTIAL.sub("(a URL that is a credential)", what), ERROR_BYTES)
