"""What X-Ray is told, by a process of its own: the SDK and its patches stay in a process once they are there."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from license_conversion.task import ConversionTask

from license_conversion import plain_telemetry, telemetry
from license_conversion.gate import Ended, Outcome
from tests.local_cloud.traces import TraceDaemon

HANDLERS = Path(__file__).parents[2] / "handlers"
INVOCATION = """
import sys
from types import SimpleNamespace
from license_conversion import telemetry

telemetry.begin(SimpleNamespace(aws_request_id="r"), task_id="lct-1", stack_id="arn:stack", checks=3)
try:
    with telemetry.traced("check"):
        telemetry.about(execution="arn:execution")
        raise KeyError("what")
except KeyError:
    print(*sorted({"botocore.session", "aws_xray_sdk"} & sys.modules.keys()))
"""


BEGINS = """
import time
from license_conversion import aws, telemetry
from license_conversion.waits import Waits

aws.prepare("stepfunctions")
waits = Waits("arn:aws:states:us-east-1:123456789012:stateMachine:gate", time.monotonic, time.sleep)
headers = []

def keep(request, **_):
    headers.append(request.headers["X-Amzn-Trace-Id"].decode())
    raise KeyboardInterrupt

waits._client.meta.events.register("before-send.sfn.StartExecution", keep)
try:
    with telemetry.traced("begin wait"):
        waits.begin({"StackId": "s", "LogicalResourceId": "l", "RequestId": "r", "ResponseURL": "u"}, {}, 5.0)
except KeyboardInterrupt:
    print(*headers)
"""
COUNTS = """
from license_conversion import plain_telemetry, telemetry

telemetry.count("Checks")
telemetry.flush()
plain_telemetry.count("LastResortAnswers")
telemetry.logger.info("a line")
plain_telemetry.log("INFO", "another")
"""


def run(daemon: TraceDaemon, *, sampled: bool, invocation: str = INVOCATION) -> str:
    """What an invocation prints; the one whose step fails, of the packages that it has imported."""
    header = f"Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled={int(sampled)}"
    environment = {
        "PYTHONPATH": str(HANDLERS),
        "LAMBDA_TASK_ROOT": str(HANDLERS),
        "AWS_XRAY_DAEMON_ADDRESS": daemon.address,
        "_X_AMZN_TRACE_ID": header,
        "AWS_LAMBDA_FUNCTION_NAME": "gate",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
    }
    ran = subprocess.run(  # noqa: S603
        [sys.executable, "-c", invocation], env=os.environ | environment, check=True, stdout=subprocess.PIPE
    )
    return ran.stdout.decode().strip()


def test_a_step_that_fails_is_traced_with_what_the_log_knows_of_it() -> None:
    with TraceDaemon() as daemon:
        run(daemon, sampled=True)

    (step,) = daemon.subsegments
    assert step["name"] == "## check"
    assert step["trace_id"] == "1-5759e988-bd862e3fe1be46a994272793"
    assert step["fault"] is True
    assert step["annotations"] == {"task_id": "lct-1", "stack_id": "arn:stack", "execution": "arn:execution"}


def test_an_invocation_that_is_not_sampled_is_not_traced_and_brings_no_sdk() -> None:
    with TraceDaemon() as daemon:
        assert run(daemon, sampled=False) == ""

    assert daemon.subsegments == []


def test_a_wait_is_begun_in_the_trace_of_the_function_that_begins_it() -> None:
    """Step Functions takes the trace of an execution from a header of StartExecution."""
    with TraceDaemon() as daemon:
        header = run(daemon, sampled=True, invocation=BEGINS)

    root, parent, sampled = header.split(";")
    assert (root, sampled) == ("Root=1-5759e988-bd862e3fe1be46a994272793", "Sampled=1")
    assert parent != "Parent=53995c3f42cd8ad8"  # the call's own part of the trace


@pytest.mark.parametrize("header", ["", "Root=1-5759e988-bd862e3fe1be46a994272793"])
def test_a_step_without_a_trace_is_just_done(monkeypatch: pytest.MonkeyPatch, header: str) -> None:
    monkeypatch.setenv("_X_AMZN_TRACE_ID", header)
    done = []

    with telemetry.traced("check"):
        done.append("check")

    assert done == ["check"]


@pytest.mark.parametrize(
    ("end_time", "lag"),
    [
        pytest.param("2026-11-22T17:40:50Z", [5], id="five seconds before it was seen"),
        pytest.param("2026-11-22T17:40:56Z", [], id="after it was seen, by a clock that is ahead"),
        pytest.param("2026-11-22T17:39:54Z", [], id="before the gate began"),
        pytest.param("2026-11-22T17:40:55Z", [0], id="in the moment it was seen"),
        pytest.param("2026-11-22T17:39:55Z", [60], id="in the moment the gate began"),
        pytest.param("", [], id="not said"),
        pytest.param("yesterday", [], id="no time"),
    ],
)
def test_no_figure_of_a_gates_end_depends_on_two_clocks_agreeing(
    end_time: str, lag: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    shape = {"LicenseConversionTaskId": "lct-1", "Status": "SUCCEEDED", **({"EndTime": end_time} if end_time else {})}
    began = datetime(2026, 11, 22, 17, 39, 55, tzinfo=UTC)

    telemetry.ended(Ended(Outcome.SUCCEEDED, ConversionTask(shape), waited_seconds=60), began)
    telemetry.flush()

    said = json.loads(capsys.readouterr().out)
    assert said.get("DetectionLag", []) == lag
    assert said["SecondsWaited"] == [60]


def test_what_runs_without_the_layer_counts_as_the_other_functions_do(capsys: pytest.CaptureFixture[str]) -> None:
    plain_telemetry.count("LastResortAnswers", 2)
    plain = json.loads(capsys.readouterr().out)
    telemetry.count("LastResortAnswers", 2)
    telemetry.flush()
    powertools = json.loads(capsys.readouterr().out)

    assert abs(plain["_aws"].pop("Timestamp") - powertools["_aws"].pop("Timestamp")) < 60_000  # milliseconds
    assert powertools.pop("LastResortAnswers") == [plain.pop("LastResortAnswers")] == [2]
    assert plain == powertools


def test_what_runs_without_the_layer_logs_as_the_other_functions_do(
    capsys: pytest.CaptureFixture[str], lines: Callable[[], str]
) -> None:
    telemetry.begin(SimpleNamespace(aws_request_id=""), stack_id="arn:stack")
    telemetry.logger.info("A line", extra={"task_id": "lct-1"})
    powertools = json.loads(lines())
    plain_telemetry.log("INFO", "A line", stack_id="arn:stack", task_id="lct-1", execution=None)
    plain = json.loads(capsys.readouterr().out)

    del powertools["location"]
    times = [datetime.strptime(line.pop("timestamp"), "%Y-%m-%d %H:%M:%S,%f%z") for line in (plain, powertools)]
    assert abs(times[0] - times[1]) < timedelta(minutes=1)
    assert plain == powertools


def test_each_metric_and_each_line_names_the_stack_that_it_is_of() -> None:
    """The last resort's too, which writes them without Powertools."""
    environment = {"PYTHONPATH": str(HANDLERS), "POWERTOOLS_SERVICE_NAME": "another-stack"}
    ran = subprocess.run(  # noqa: S603
        [sys.executable, "-c", COUNTS], env=os.environ | environment, check=True, stdout=subprocess.PIPE
    )
    lines = [json.loads(line) for line in ran.stdout.decode().splitlines()]

    assert len(lines) == 4
    assert {line["service"] for line in lines} == {"another-stack"}
    directives = [line["_aws"]["CloudWatchMetrics"][0] for line in lines if "_aws" in line]
    assert [directive["Dimensions"] for directive in directives] == [[["service"]], [["service"]]]
