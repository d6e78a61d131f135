"""The application is being deleted: whoever waits is told so, while there is somebody left to tell them.

CloudFormation comes here for a custom resource of the application's own template (`WaitersTold`), which it deletes before the
functions, their roles and the state machine. The answer is SUCCESS whatever happens, so that neither a deployment nor the
deletion fails because of it; last_resort.py gives it where this function cannot. No layer, and in the last resort's zip.
"""

import os
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from license_conversion.plain_telemetry import log
from license_conversion.stack_response import bare, seconds_left, send
from license_conversion.waiters import STACK, Waiters

if TYPE_CHECKING:
    from license_conversion.waits import Waits

PHYSICAL_ID = "waiters-told"
ENOUGH_TO_ANSWER = 20.0
"""Seconds of the invocation that are left for its own answer."""
AT_ONCE = 8
"""Waits that are told at once. A thousand take some two minutes, for which DescribeExecution's quota is the reason.
https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html"""
ONE_SECONDS = 15.0
"""For one wait: what is not taken by then is left, so that others are told."""
LINGER_SECONDS = 20.0
"""A stack that has heard FAILED sends its gate a Delete, which takes the custom resource function."""


def handler(event: Mapping[str, Any], context: Any) -> None:
    """Lambda's entry point for CloudFormation's requests about `WaitersTold`."""
    said = ""
    try:
        if event["RequestType"] == "Delete" and _goes_with_its_stack(event["StackId"]):
            said = _tell_everybody(time.monotonic() + seconds_left(context) - ENOUGH_TO_ANSWER)
    except Exception as error:  # whatever it is, the deletion goes on
        log("ERROR", f"Whoever waits could not be looked for: {type(error).__name__}")
    send(event, bare("SUCCESS", said, PHYSICAL_ID), STACK, seconds_left(context), now=datetime.now(UTC))


def _goes_with_its_stack(stack_id: str) -> bool:
    """And not alone: by an update to a release that has no such resource, or the rollback of one that brought it."""
    from license_conversion import aws  # noqa: PLC0415 - boto3 may be what is broken

    try:
        (stack,) = aws.client("cloudformation", attempts=3).describe_stacks(StackName=stack_id)["Stacks"]
    except aws.failures() as error:
        log("WARNING", f"It is not known whether the stack is being deleted; whoever waits is told that: {error}")
        return True
    return str(stack["StackStatus"]).startswith("DELETE_")


def _tell_everybody(give_up: float) -> str:
    """Twice, because of those who came meanwhile, and who could not be told at once. What was done, for a person."""
    from license_conversion.waits import Waits  # noqa: PLC0415 - boto3 may be what is broken

    waits = Waits(os.environ["GATE_STATE_MACHINE_ARN"], time.monotonic, time.sleep)
    told, left = _tell_all(waits, give_up)
    if told or left:
        time.sleep(max(0.0, min(LINGER_SECONDS, give_up - time.monotonic())))
        try:
            more, left = _tell_all(waits, give_up)
            told += more
        except Exception as error:  # what was done is said all the same
            log("ERROR", f"Nobody looked for those who came meanwhile: {type(error).__name__}")
    said = f"{told} who waited were told that the gate is deleted, {left} were left"
    log("ERROR" if left else "INFO", said)
    return said


def _tell_all(waits: "Waits", give_up: float) -> tuple[int, int]:
    """How many waits were told, and how many were left."""
    running = waits.running(max(0.0, give_up - time.monotonic()))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        done = Counter(pool.map(partial(_tell, waits, give_up), running))
    return done[True], done[False]


def _tell(waits: "Waits", give_up: float, arn: str) -> bool:
    """Tell whoever waits for this execution, and then stop it: one that was stopped first, and not told, would be silent."""
    seconds = min(ONE_SECONDS, give_up - time.monotonic())
    if seconds <= 0:
        return False
    try:
        waiters = Waiters.of(waits, arn, waits.described(arn, seconds)["input"], seconds)
        for waiter in waiters.names:
            waiters.tell(
                f"The gate was deleted while you waited, the conversion is not affected. Execution {arn} was stopped",
                waiter, waits, seconds, datetime.now(UTC),
            )  # fmt: skip
        waits.end(arn, "The gate was deleted while you waited", seconds)
    except Exception as error:  # one that cannot be told keeps nobody else from it
        log("ERROR", f"Who waits for {arn} could not be told: {type(error).__name__}", execution=arn)
        return False
    return True
