"""What an operator sees of a gate: one log line for each decision, and metrics in the same log (EMF).

Never an event, an input or a response: they carry URLs and tokens that are credentials.
"""

from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from license_conversion.gate import Ended, Outcome, Waiting

SERVICE = "license-conversion-gate"
NAMESPACE = "LicenseConversionGate"

logger = Logger(service=SERVICE)
"""Its level is the template's LogLevel (POWERTOOLS_LOG_LEVEL); the root logger, and so botocore's, stays as it is."""
metrics = Metrics(namespace=NAMESPACE, service=SERVICE)

ENDED_METRIC = {
    Outcome.SUCCEEDED: "GatesSucceeded",
    Outcome.FAILED: "GatesFailed",
    Outcome.TIMED_OUT: "GatesTimedOut",
    Outcome.REFUSED: "GatesRefused",
}


def begin(context: Any, **keys: str) -> None:
    """Start the log of one invocation: `keys` stand in each of its lines."""
    logger.clear_state()
    logger.append_keys(request_id=context.aws_request_id, **keys)


def checked(result: Waiting | Ended) -> None:
    """One check's decision."""
    count("Checks")
    if isinstance(result, Ended):
        _ended(result)
        return
    said: dict[str, Any] = {
        "status": result.known.status_word,
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


def _ended(result: Ended) -> None:
    count(ENDED_METRIC[result.outcome])
    metrics.add_metric("SecondsWaited", MetricUnit.Seconds, result.waited_seconds)
    logger.info(
        f"The gate ends: {result.outcome}",
        extra={
            "status": result.known.status_word,
            "outcome": result.outcome,
            "waited_seconds": round(result.waited_seconds, 1),
            "reason": result.reason,
        },
    )


def count(name: str, value: float = 1) -> None:
    metrics.add_metric(name, MetricUnit.Count, value)


def flush() -> None:
    """Write the invocation's metrics to the log."""
    if metrics.metric_set:
        metrics.flush_metrics()
