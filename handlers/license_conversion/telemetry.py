"""What an operator sees of a gate: one log line for each decision, and metrics in the same log (EMF).

Never an event, an input or a response: they carry URLs and tokens that are credentials. Plain values come here: this module
knows no type of the domain, so that an error in one does not break every function.

Each line of a gate carries `task_id`, and `stack_id` with `logical_resource_id` or `execution`, so that one query finds its
story: docs/operations.md. The names of keys and metrics are used there, in the dashboard, in the alarms and in the saved queries.
"""

from contextlib import suppress
from datetime import datetime
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from license_conversion.plain_telemetry import NAMESPACE, SERVICE

logger = Logger(service=SERVICE)
"""Its level is the template's LogLevel (POWERTOOLS_LOG_LEVEL); the root logger, and so botocore's, stays as it is."""
metrics = Metrics(namespace=NAMESPACE, service=SERVICE)

ENDED_METRIC = {
    "SUCCEEDED": "GatesSucceeded",
    "FAILED": "GatesFailed",
    "TIMED_OUT": "GatesTimedOut",
    "REFUSED": "GatesRefused",
}


def begin(context: Any, **keys: Any) -> None:
    """Start the log of one invocation: `keys` stand in each of its lines, without those that are empty."""
    logger.clear_state()
    about(request_id=context.aws_request_id, **keys)


def about(**keys: Any) -> None:
    """What turned out to be so for the rest of the invocation's lines."""
    logger.append_keys(**{key: value for key, value in keys.items() if value})


def waits(status: str, waited_seconds: float, sleeps_seconds: int, trouble: str) -> None:
    """A check leaves the gate waiting. `trouble` is why it knows no more."""
    said = {
        "status": status,
        "waited_seconds": round(waited_seconds, 1),
        "seconds_until_next_check": sleeps_seconds,
    }
    if trouble:
        logger.warning(f"License Manager gave no outcome this time: {trouble}", extra=said)
    else:
        logger.info("The gate waits", extra=said)


def ended(
    outcome: str, status: str, waited_seconds: float, reason: str, *, began: datetime | None = None, end_time: Any = None
) -> None:  # fmt: skip
    """A gate's end. `end_time` is when the conversion ended, as License Manager says it, if it does."""
    said = {"outcome": outcome, "status": status, "waited_seconds": round(waited_seconds, 1), "reason": reason}
    logger.info(f"The gate ends: {outcome}", extra=said)
    count(ENDED_METRIC[outcome])
    metrics.add_metric("SecondsWaited", MetricUnit.Seconds, waited_seconds)
    with suppress(TypeError, ValueError):  # a fleet has no EndTime, and License Manager may give none
        task_ended = datetime.fromisoformat(end_time)
        if began and task_ended >= began and outcome in ("SUCCEEDED", "FAILED"):
            late = waited_seconds - (task_ended - began).total_seconds()
            if late >= 0:  # two clocks
                metrics.add_metric("DetectionLag", MetricUnit.Seconds, late)


def polled(waiting: int, took: float) -> None:
    """One whole poll for so many gates, in seconds."""
    metrics.add_metric("GatesWaiting", MetricUnit.Count, waiting)
    metrics.add_metric("SecondsToPoll", MetricUnit.Seconds, took)
    flush()  # a poller goes on for a quarter of an hour
    logger.info("The poller has polled", extra={"gates": waiting, "poll_seconds": round(took, 1)})


def count(name: str, value: float = 1) -> None:
    """So many more; none is no metric."""
    if value:
        metrics.add_metric(name, MetricUnit.Count, float(value))


def flush() -> None:
    """Write the invocation's metrics to the log. Never raises: what has been done must not be repeated for a number."""
    try:
        if metrics.metric_set:
            metrics.flush_metrics()
    except Exception:
        logger.exception("The metrics could not be written")
