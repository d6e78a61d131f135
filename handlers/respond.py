"""The responder: each recipient gets its response here, and nowhere else. The standard library and boto3, without the layer.

Four doors, one core (recipients.py):

- the state machine's *Respond*: a gate has ended, or its stack gets a response at once because a handle is signalled at the end;
- Lambda, with a request of CloudFormation's that it has given up: the function failed, or was throttled for too long.
  https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
- EventBridge, when an execution has ended in another way than by its last state: Step Functions or an operator ended it.
  https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html
- CloudFormation, with the application's own resource: a deployment shows that the responder runs, and the deletion of the
  application responds to each gate that still waits, before it stops their executions.

Whatever raises here is tried again: by the state machine for an hour, by Lambda twice for each of the other doors.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

from license_conversion import aws
from license_conversion.errors import RecipientGone, ResponseNotTaken
from license_conversion.executions import OWN_ID, Executions, has_responded
from license_conversion.plain_telemetry import count, log
from license_conversion.recipients import Recipients, asked_for
from license_conversion.response import bare, requested_at, seconds_left, send, unusable
from license_conversion.text import quoted

OWN_RESOURCE = "Custom::LicenseConversionGateResponder"
OWN_RESOURCE_ID = "license-conversion-gate-responder"
ENDED = "Step Functions Execution Status Change"
REFUSED = "LicenseConversion.InvalidRequest"
START_SECONDS = 1.5
"""Of an attempt of the state machine's: it may have to start the function in it."""
LOOK_SECONDS = 20.0
"""For how long the responder asks Step Functions whether a request has an execution."""
LOOK_AGAIN_SECONDS = 3.0
"""Step Functions lists an execution a moment after it began, and the record of a function that was killed can be here sooner."""
ENOUGH_TO_RESPOND = 20.0
"""Seconds of an invocation that a deletion keeps for its own response."""
AT_ONCE = 8
"""Executions at once. A thousand take some two minutes, for which DescribeExecution's quota is the reason.
https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html"""
ONE_SECONDS = 15.0
"""For one of many: the responder then leaves it, so that the others get a response."""
LINGER_SECONDS = 20.0
"""A stack whose gate FAILED sends a Delete, which the custom resource function has to answer."""


def handler(event: Mapping[str, Any], context: Any) -> None:
    """Lambda's entry point. Raises whatever keeps it from responding, so that it is tried again."""
    until = time.monotonic() + seconds_left(context)
    try:
        if event.get("detail-type") == ENDED:
            _execution_ended(event["detail"], until)
        elif "requestPayload" in event:
            _request_given_up(event, until)
        elif event.get("ResourceType") == OWN_RESOURCE:
            _own_resource(event, until)
        elif event != {"StayActive": True}:
            _gate(event)
    except ResponseNotTaken as error:
        count("ResponsesNotTaken")
        log("ERROR", f"The response was not taken: {error}")
        raise


def _gate(event: Mapping[str, Any]) -> None:
    """`event` has the execution's `Input`, its ARN as `Execution`, and the state of its `Gate`."""
    gate, seconds = event["Gate"], event["Gate"]["AttemptSeconds"] - START_SECONDS
    _respond(_executions(), Recipients(event["Execution"], event["Input"], gate), gate["Waiter"], "", seconds)


def _execution_ended(end: Mapping[str, Any], until: float) -> None:
    """The safety net. `end` is the detail of Step Functions' event."""
    if has_responded(end):  # where the event says the error, the many ends that have responded cost no call
        return
    executions, arn, seconds = _executions(), end["executionArn"], _left(until) / 4
    ended = executions.ended(arn, seconds)
    if has_responded(ended):
        return
    recipients = Recipients(arn, json.loads(ended["input"]), executions.gate(arn, seconds))
    by_hand = ended["status"] == "ABORTED"
    if not by_hand and not recipients.gate.get("Ended"):
        count("GatesBroken")
    said = quoted(f"{ended['status']}, {ended.get('error') or 'no error'}: {ended.get('cause') or 'no cause'}")
    what = "The gate's execution was stopped by an operator" if by_hand else "The gate itself broke"
    reason = (
        f"{what} while it waited for {recipients.asked}. The conversion is not affected. Execution {arn} ended {said}"
    )
    undelivered: ResponseNotTaken | None = None
    for name in recipients.names:
        try:
            _respond(executions, recipients, name, reason, seconds)
        except RecipientGone as error:
            count("ResponsesNotTaken")
            log("ERROR", f"The recipient no longer waits: {error}", execution=arn)
        except ResponseNotTaken as error:
            undelivered = error
        else:
            count("ResponderRuns")
    if undelivered:
        raise undelivered


def _request_given_up(record: Mapping[str, Any], until: float) -> None:
    """What Lambda gave up. `record` is its record for a destination, `requestPayload` in it is CloudFormation's event."""
    request = record["requestPayload"]
    if not isinstance(request, Mapping) or unusable(request):
        log("ERROR", "The event that Lambda gave up is none of CloudFormation's")
        return
    said = bare("SUCCESS")
    if request["RequestType"] == "Delete":
        requested = requested_at(request, datetime.now(UTC))
        _executions().stop_superseded(request, f"{requested:%Y-%m-%dT%H:%M:%SZ}", _left(until) / 2)
    elif refusal := _refusal(request):
        said = bare("FAILED", refusal)
    elif _has_execution(request):
        log("INFO", "The function failed, and the execution that it had begun responds", **_whose(request))
        return
    else:
        broke, made_of = record.get("responsePayload") or {}, record.get("requestContext", {})
        what = quoted(f"{broke.get('errorType', 'no error')}: {broke.get('errorMessage', '')}")
        reason = (
            f"The gate itself broke before it could wait for {asked_for(request.get('ResourceProperties'))}. The conversion is "
            f"not affected. For more: log group {os.environ.get('GATE_LOG_GROUP', 'of the function')}, request "
            f"{made_of.get('requestId')}. Lambda gave the request up ({made_of.get('condition')}, attempt "
            f"{made_of.get('approximateInvokeCount')}): {what}"
        )
        task_id = str((request.get("ResourceProperties") or {}).get("LicenseConversionTaskId"))
        said = bare("FAILED", reason, task_id if OWN_ID.fullmatch(task_id) else None)
    _send(request, said, _left(until))
    count("ResponderRuns")


def _own_resource(event: Mapping[str, Any], until: float) -> None:
    said = ""
    if event["RequestType"] == "Delete" and _goes_with_its_stack(event["StackId"]):
        said = _respond_to_all(until - ENOUGH_TO_RESPOND)
    _send(event, bare("SUCCESS", said, OWN_RESOURCE_ID), _left(until))


def _goes_with_its_stack(stack_id: str) -> bool:
    """And not alone: by an update to a release that has no such resource, or the rollback of one that brought it."""
    try:
        (stack,) = aws.client("cloudformation", attempts=3).describe_stacks(StackName=stack_id)["Stacks"]
    except aws.failures() as error:
        log(
            "WARNING",
            f"It is not known whether the stack is being deleted; all that wait get a response as if it were: {error}",
        )
        return True
    return str(stack["StackStatus"]).startswith("DELETE_")


def _respond_to_all(give_up: float) -> str:
    """Responds twice, because gates came meanwhile or were left at first. Returns what was done, for a person. Never raises: the
    deletion goes on.
    """
    responded = left = 0
    try:
        for last in (False, True):
            executions = _executions()
            running = executions.running(_left(give_up))
            with ThreadPoolExecutor(AT_ONCE) as pool:
                done = Counter(pool.map(partial(_end_with_response, executions, give_up), running))
            responded, left = responded + done[True], done[False]
            if last or not running:
                break
            time.sleep(max(0.0, min(LINGER_SECONDS, _left(give_up))))
    except Exception as error:
        log("ERROR", f"Not every gate that waits could be looked for: {type(error).__name__}")
    said = f"{responded} gates that waited were ended with a response, {left} were left"
    log("ERROR" if left else "INFO", said)
    return said


def _end_with_response(executions: Executions, give_up: float, arn: str) -> bool:
    """Respond first, then stop: if the responder died between the two, a stopped execution would never respond."""
    until = min(give_up, time.monotonic() + ONE_SECONDS)
    if not _left(until):
        return False
    try:
        found = executions.described(arn, _left(until))
        recipients = Recipients(arn, json.loads(found["input"]), executions.gate(arn, _left(until)))
        reason = (
            f"The license conversion gate was deleted while it waited for {recipients.asked}. The conversion is not affected. "
            f"Execution {arn} was stopped"
        )
        for name in recipients.names:
            with suppress(RecipientGone):
                _respond(executions, recipients, name, reason, _left(until))
        executions.end(arn, "The license conversion gate was deleted", _left(until))
    except Exception as error:  # one that gets no response keeps no other from it
        log("ERROR", f"A gate got no response: {type(error).__name__}", execution=arn)
        return False
    return True


def _respond(executions: Executions, recipients: Recipients, name: str, reason: str, seconds: float) -> None:
    status = recipients.respond(name, reason, executions, seconds, datetime.now(UTC))
    keys = {"status": status, "execution": recipients.execution, "task_id": recipients.task_id}
    level, end = ("WARNING", "is none to Step Functions") if status == "REFUSED" else ("INFO", "got its response")
    log(level, f"The {name} {end}", **keys, **_whose(recipients.event))


def _send(request: Mapping[str, Any], said: Mapping[str, Any], seconds: float) -> None:
    now = datetime.now(UTC)
    send(request, said, to_handle=False, seconds=seconds, requested=requested_at(request, now), now=now)
    log("INFO", "The stack got its response", status=said["Status"], **_whose(request))


def _refusal(request: Mapping[str, Any]) -> str:
    """What the function would have responded: the same sentence. `""`: nothing is wrong with the request."""
    try:
        from license_conversion.request import Request  # noqa: PLC0415 - it may be what is broken

        Request.from_properties(request.get("ResourceProperties"))
    except Exception as error:
        return str(error) if type(error).__name__ == REFUSED else ""
    return ""


def _has_execution(request: Mapping[str, Any]) -> bool:
    """Whether an execution will respond to the request, or has. False also where that is not known after `LOOK_SECONDS`: the
    worst of a second response is a FAILED where the gate would have passed, the worst of silence is an hour.
    """
    try:
        executions = _executions()
        if executions.has_begun(request, LOOK_SECONDS):
            return True
        time.sleep(LOOK_AGAIN_SECONDS)
        return executions.has_begun(request, LOOK_SECONDS)
    except Exception as error:
        what = f"It is not known whether the request has an execution: {type(error).__name__}"
        log("WARNING", what, **_whose(request))
        return False


def _executions() -> Executions:
    return Executions(os.environ["GATE_STATE_MACHINE_ARN"], time.monotonic, time.sleep)


def _left(until: float) -> float:
    return max(0.0, until - time.monotonic())


def _whose(request: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a log line. The properties may be unchecked: asked_for repeats ids alone."""
    return {
        "stack_id": request.get("StackId"),
        "logical_resource_id": request.get("LogicalResourceId"),
        "request_type": request.get("RequestType"),
    }
