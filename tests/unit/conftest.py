"""What the functions print and ask AWS for, for the tests of entry points."""

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import botocore.endpoint
import botocore.handlers
import pytest

import check_task
from license_conversion import aws, telemetry
from tests.local_cloud.answers import AnswersReceiver
from tests.unit.network import Network
from tests.unit.one_gate import SETTINGS

OF_EVERY_LINE = {"location", "timestamp", "service", "xray_trace_id", "exception", "stack_trace"}
"""What a line has besides what it says: where and when, and the words of Python for what was raised."""


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """Everything that was printed and logged since the last call: log lines and metrics. What an earlier test counted and did not
    print is gone.
    """
    telemetry.metrics.clear_metrics()
    logged = StringIO()
    handler = telemetry.logger.registered_handler
    assert isinstance(handler, logging.StreamHandler)
    before = handler.setStream(logged)

    def read() -> str:
        said = logged.getvalue() + "".join(capsys.readouterr())
        logged.seek(0)
        logged.truncate()
        return said

    yield read
    handler.setStream(before)


@dataclass
class Said:
    """What was printed: whole log lines but for `OF_EVERY_LINE`, the sum of each metric, and the unit of each."""

    lines: list[dict[str, Any]] = field(default_factory=list)
    metrics: Counter[str] = field(default_factory=Counter)
    units: dict[str, str] = field(default_factory=dict)

    def add(self, line: dict[str, Any]) -> None:
        if "_aws" not in line:
            self.lines.append({name: value for name, value in line.items() if name not in OF_EVERY_LINE})
            return
        for directive in line["_aws"]["CloudWatchMetrics"]:
            for metric in directive["Metrics"]:
                values = line[metric["Name"]]
                self.metrics[metric["Name"]] += sum(values) if isinstance(values, list) else values
                self.units[metric["Name"]] = metric["Unit"]


@pytest.fixture
def said(lines: Callable[[], str]) -> Callable[[], Said]:
    """Everything that was printed and logged since the last call."""

    def read() -> Said:
        said = Said()
        for line in lines().splitlines():
            if line.startswith("{"):
                said.add(json.loads(line))
        return said

    return read


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    """What every client asks whose session is made from now on."""
    network = Network()
    handlers = [*botocore.handlers.BUILTIN_HANDLERS, ("before-send", network)]
    monkeypatch.setattr(botocore.handlers, "BUILTIN_HANDLERS", handlers)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    aws._session_of_roles.cache_clear()
    monkeypatch.setattr(botocore.endpoint, "time", SimpleNamespace(sleep=lambda _: None))  # between two tries of a call
    yield network
    aws._session_of_roles.cache_clear()


@pytest.fixture
def answers(certificates: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[AnswersReceiver]:
    """CloudFormation's end of a presigned URL."""
    authority, server = certificates
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    with AnswersReceiver(server) as receiver:
        yield receiver


@pytest.fixture
def cold_start(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The check function's environment, and nothing that an earlier invocation made."""
    monkeypatch.setenv("GATE_TABLE_NAME", SETTINGS.table_name)
    monkeypatch.setenv("GATE_POLL_FUNCTION", SETTINGS.poll_function)
    monkeypatch.setenv("GATE_ROLE_ARN", SETTINGS.role_arn)
    check_task._task_check.cache_clear()
    yield
    check_task._task_check.cache_clear()
