"""The answer to CloudFormation, or the signal to a wait condition, leaves here. The state machine invokes it and it names
nobody, so that no function has to know its own name, and the role that begins waits cannot answer for them.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from license_conversion import telemetry
from license_conversion.errors import AnswerNotDelivered
from license_conversion.gate import utc_now
from license_conversion.stack_response import deliver, seconds_left, send


def handler(event: Mapping[str, Any], context: Any) -> None:
    """Lambda's entry point. `event` has `Stack` (the execution's), `Waiter` (STACK or HANDLE) and the `Answer`."""
    handle(event, context)


def handle(
    event: Mapping[str, Any],
    context: Any,
    clock: Callable[[], datetime] = utc_now,
    deliver_: Callable[[str, bytes, float], int] = deliver,
) -> None:
    """Send it until it is taken, or nobody listens any more. Raises AnswerNotDelivered: the last resort goes on."""
    request, answer, waiter = event["Stack"]["Event"], event["Answer"], event["Waiter"]
    telemetry.begin(
        context,
        stack_id=request["StackId"],
        logical_resource_id=request["LogicalResourceId"],
        request_type=request["RequestType"],
        task_id=answer["PhysicalResourceId"],
        execution=event["Execution"],
    )
    try:
        send(request, answer, waiter, seconds_left(context), now=clock(), deliver_=deliver_)
        what = "The stack is answered" if waiter == "STACK" else "The handle is signalled"
        telemetry.logger.info(what, extra={"status": answer["Status"]})
    except AnswerNotDelivered as error:
        telemetry.count("AnswersNotDelivered")
        telemetry.logger.error(f"The answer was not taken: {error}")
        raise
    finally:
        telemetry.flush()
