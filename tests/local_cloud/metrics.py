"""The metrics of a run on the local cloud: what CloudWatch would make of the functions' logs, and what it was told."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tests.local_cloud.cloud import LocalCloud

_SECONDS = 5


@dataclass(frozen=True)
class Point:
    """One value of a metric. ``at`` is in epoch seconds; ``dimensions`` are names and values."""

    at: float
    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]
    value: float


def written(cloud: LocalCloud, since: float) -> list[Point]:
    """All since then (epoch seconds): embedded in logs, put by the state machine, and what LocalStack has of Lambda's own."""
    lines = (json.loads(line) for line in cloud.log_lines() if line.startswith('{"_aws"'))
    embedded = [point for line in lines for point in _embedded(line)]
    return sorted((one for one in [*embedded, *_put(cloud, since)] if one.at >= since), key=lambda one: one.at)


def _embedded(line: dict[str, Any]) -> Iterator[Point]:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html"""
    for directive in line["_aws"]["CloudWatchMetrics"]:
        for names in directive["Dimensions"]:
            dimensions = tuple((name, line[name]) for name in names)
            for metric in directive["Metrics"]:
                values = line[metric["Name"]]
                for value in values if isinstance(values, list) else [values]:
                    at = line["_aws"]["Timestamp"] / 1000
                    yield Point(at, directive["Namespace"], metric["Name"], dimensions, value)


def _put(cloud: LocalCloud, since: float) -> Iterator[Point]:
    cloudwatch = cloud.client("cloudwatch")
    for metric in cloudwatch.list_metrics()["Metrics"]:
        found = cloudwatch.get_metric_statistics(
            Namespace=metric["Namespace"], MetricName=metric["MetricName"], Dimensions=metric["Dimensions"],
            StartTime=datetime.fromtimestamp(since // _SECONDS * _SECONDS, UTC), EndTime=datetime.now(UTC),
            Period=_SECONDS, Statistics=["Sum"],
        )  # fmt: skip
        dimensions = tuple((one["Name"], one["Value"]) for one in metric["Dimensions"])
        for one in found["Datapoints"]:
            at = max(since, one["Timestamp"].timestamp())
            yield Point(at, metric["Namespace"], metric["MetricName"], dimensions, one["Sum"])
