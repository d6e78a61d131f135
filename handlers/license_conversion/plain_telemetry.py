"""Log lines and metrics of functions that run without the layer. The standard library alone; the others have `telemetry.py`."""

import json
import os
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

SERVICE = os.environ.get("POWERTOOLS_SERVICE_NAME", "license-conversion-gate")
"""The application's stack, the one dimension of each metric: two stacks in one account do not ring each other's alarms."""
NAMESPACE = "LicenseConversionGate"


def log(level: str, message: str, **keys: Any) -> None:
    """A line with the keys that the other functions' lines have, so that one query finds them all; empty ones are left out."""
    line = {
        "level": level,
        "message": message,
        "timestamp": datetime.now(UTC).isoformat(" ", "milliseconds").replace("+00:00", "+0000").replace(".", ","),
        "service": SERVICE,
        **keys,
    }
    _write({key: value for key, value in line.items() if value})


def count(metric: str, value: int = 1) -> None:
    """So many more, in CloudWatch's embedded metric format, as the other functions' metrics."""
    declared = {
        "Namespace": NAMESPACE,
        "Dimensions": [["service"]],
        "Metrics": [{"Name": metric, "Unit": "Count"}],
    }
    aws = {"Timestamp": round(time.time() * 1000), "CloudWatchMetrics": [declared]}
    _write({"_aws": aws, "service": SERVICE, metric: value})


def _write(line: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
