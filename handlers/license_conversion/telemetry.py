"""What an operator sees of a gate: one log line for each decision, metrics in the same log (EMF), and its part of a trace.

Never an event, an input or a response: they carry URLs and tokens that are credentials.

Each line of a gate carries `task_id`, and `stack_id` with `logical_resource_id` or `execution`, whichever waits, so that one
query over all log groups tells its story: docs/operations.md. The names of keys and metrics are used there, in the
dashboard, in the alarms and in the saved queries.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit

from license_conversion.errors import InvalidRequest
from license_conversion.gate import Ended, Outcome, Waiting
from license_conversion.plain_telemetry import NAMESPACE, SERVICE

ANNOTATIONS = ("task_id", "stack_id", "logical_resource_id", "execution")
"""The keys of a log line that a trace can be searched by."""

logger = Logger(service=SERVICE)
"""Its level is the template's LogLevel (POWERTOOLS_LOG_LEVEL); the root logger, and so botocore's, stays as it is."""
metrics = Metrics(namespace=NAMESPACE, service=SERVICE)

ENDED_METRIC = {
    Outcome.SUCCEEDED: "GatesSucceeded",
    Outcome.FAILED: "GatesFailed",
    Outcome.TIMED_OUT: "GatesTimedOut",
    Outcome.REFUSED: "GatesRefused",
}


def begin(context: Any, **keys: Any) -> None:
    """Start the log of one invocation: `keys` stand in each of its lines, without those that are empty."""
    logger.clear_state()
    about(request_id=context.aws_request_id, **keys)


def about(**keys: Any) -> None:
    """What turned out to be so for the rest of the invocation's lines."""
    logger.append_keys(**{key: value for key, value in keys.items() if value})


def checked(result: Waiting | Ended, waited_seconds: float) -> None:
    """What one check found; `ended` says what became of a verdict."""
    count("Checks")
    about(task_id=result.known.task_id)
    if isinstance(result, Ended):
        return
    said: dict[str, Any] = {
        "status": result.known.status_word,
        "waited_seconds": round(waited_seconds, 1),
        "seconds_until_next_check": result.seconds,
        "throttles": result.throttles,
    }
    if result.throttles:
        count("Throttles")
    if result.unknown_status:
        count("UnknownStatuses")
    if result.trouble:
        logger.warning(f"No verdict this time: {result.trouble}", extra=said)
    else:
        logger.info("The gate waits", extra=said)


def refused(error: InvalidRequest) -> None:
    """The end of a request that begins no wait."""
    count("GatesStarted")
    count(ENDED_METRIC[Outcome.REFUSED])
    logger.info(f"The gate ends: {Outcome.REFUSED}", extra={"outcome": Outcome.REFUSED, "reason": str(error)})


def decided(result: Ended) -> None:
    """The line of a gate's end."""
    logger.info(
        f"The gate ends: {result.outcome}",
        extra={
            "status": result.known.status_word,
            "outcome": result.outcome,
            "waited_seconds": round(result.waited_seconds, 1),
            "reason": result.reason,
        },
    )


def ended(result: Ended, started_at: datetime | None = None) -> None:
    """The metrics of a gate's end. `started_at` is when the gate began to wait; None: it did not even begin."""
    count(ENDED_METRIC[result.outcome])
    metrics.add_metric("SecondsWaited", MetricUnit.Seconds, result.waited_seconds)
    with suppress(KeyError, ValueError):  # a fleet has no EndTime, and License Manager may give none
        task_ended = datetime.fromisoformat(result.known.shape["EndTime"])
        if started_at and task_ended >= started_at and result.outcome in (Outcome.SUCCEEDED, Outcome.FAILED):
            late = result.waited_seconds - (task_ended - started_at).total_seconds()
            if late >= 0:  # two clocks
                metrics.add_metric("DetectionLag", MetricUnit.Seconds, late)


def watched(waiting: int, took: float) -> None:
    """One whole look of the watch at the gates of a crowd."""
    metrics.add_metric("GatesInCrowd", MetricUnit.Count, waiting)
    metrics.add_metric("SecondsToLook", MetricUnit.Seconds, took)
    flush()  # a watch goes on for a quarter of an hour
    logger.info("The crowd is watched", extra={"gates": waiting, "look_seconds": round(took, 1)})


def count(name: str, value: float = 1) -> None:
    metrics.add_metric(name, MetricUnit.Count, value)


@contextmanager
def traced(step: str) -> Iterator[None]:
    """A subsegment of the trace: a step of the invocation, and below it each call of AWS that it makes.

    None where X-Ray does not sample the invocation. The SDK comes with the first one that it does, and brings botocore: so
    only steps that need a client are traced.
    """
    if "Sampled=1" not in os.environ.get("_X_AMZN_TRACE_ID", ""):
        yield
        return
    tracer = _tracer()
    with tracer.provider.in_subsegment(f"## {step}"):
        try:
            yield
        finally:
            known = logger.get_current_keys()
            for key in ANNOTATIONS:
                if key in known:
                    tracer.put_annotation(key, known[key])


@cache
def _tracer() -> Tracer:
    """botocore alone is patched: a patched http.client would show X-Ray the URLs that answers go to."""
    return Tracer(service=SERVICE, patch_modules=("botocore",))


def flush() -> None:
    """Write the invocation's metrics to the log. Never raises: an answer that is out must not be repeated for a number."""
    try:
        if metrics.metric_set:
            metrics.flush_metrics()
    except Exception:
        logger.exception("The metrics could not be written")
