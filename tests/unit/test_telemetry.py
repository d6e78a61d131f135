"""Log lines and metrics: with Powertools, and without the layer."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from license_conversion import plain_telemetry, telemetry
from tests.unit.conftest import Said

HANDLERS = Path(__file__).parents[2] / "handlers"
BEGAN = datetime(2026, 11, 22, 17, 39, 55, tzinfo=UTC)
COUNTS = """
from license_conversion import plain_telemetry, telemetry

telemetry.count("Checks")
telemetry.flush()
plain_telemetry.count("ResponderRuns")
telemetry.logger.info("a line")
plain_telemetry.log("INFO", "another")
"""


@pytest.mark.parametrize(
    ("outcome", "end_time", "lag"),
    [
        pytest.param("SUCCEEDED", "2026-11-22T17:40:50Z", {"DetectionLag": 5}, id="five seconds before it was seen"),
        pytest.param("FAILED", "2026-11-22T17:40:50Z", {"DetectionLag": 5}, id="a failure's too"),
        pytest.param("TIMED_OUT", "2026-11-22T17:40:50Z", {}, id="not seen: the wait ran out"),
        pytest.param("REFUSED", "2026-11-22T17:40:50Z", {}, id="not seen: refused"),
        pytest.param("SUCCEEDED", "2026-11-22T17:40:56Z", {}, id="after it was seen, by a clock that is ahead"),
        pytest.param("SUCCEEDED", "2026-11-22T17:39:54Z", {}, id="before the gate began"),
        pytest.param("SUCCEEDED", "2026-11-22T17:40:55Z", {"DetectionLag": 0}, id="in the moment it was seen"),
        pytest.param("SUCCEEDED", "2026-11-22T17:39:55Z", {"DetectionLag": 60}, id="in the moment the gate began"),
        *(pytest.param("SUCCEEDED", none, {}, id=f"no time: {none!r}") for none in (None, "", "yesterday")),
    ],
)
def test_no_figure_of_a_gates_end_depends_on_two_clocks_agreeing(
    outcome: str, end_time: str | None, lag: dict[str, float], said: Callable[[], Said]
) -> None:
    telemetry.ended(outcome, "", 60, "", began=BEGAN, end_time=end_time)
    telemetry.flush()

    ended = "Gates" + outcome.title().replace("_", "")
    assert said().metrics == {ended: 1, "SecondsWaited": 60, **lag}


def test_a_gate_that_did_not_even_begin_has_no_lag(said: Callable[[], Said]) -> None:
    telemetry.ended("SUCCEEDED", "", 60, "", end_time="2026-11-22T17:40:50Z")
    telemetry.flush()

    assert "DetectionLag" not in said().metrics


def test_a_metric_of_nought_is_none(said: Callable[[], Said]) -> None:
    """A check that was not throttled must not make a line."""
    telemetry.count("Throttles", False)
    telemetry.flush()

    assert said() == Said()


@pytest.mark.parametrize(("trouble", "level"), [("", "INFO"), ("License Manager answered SlowDown", "WARNING")])
def test_a_check_that_leaves_the_gate_waiting_is_a_line(trouble: str, level: str, said: Callable[[], Said]) -> None:
    telemetry.begin(SimpleNamespace(aws_request_id="r"), execution="arn:execution", stack_id=None)
    telemetry.waits("IN_PROGRESS", 0.44, 5, trouble)

    (line,) = said().lines
    assert line.pop("message").endswith(trouble or "The gate waits")
    assert line == {
        "level": level,
        "request_id": "r",
        "execution": "arn:execution",
        "status": "IN_PROGRESS",
        "waited_seconds": 0.4,
        "seconds_until_next_check": 5,
    }


def test_a_poll_is_counted_at_once_because_the_poller_goes_on(said: Callable[[], Said]) -> None:
    telemetry.begin(SimpleNamespace(aws_request_id="r"))
    telemetry.polled(7, 1.26)

    printed = said()
    assert printed.metrics == {"GatesWaiting": 7, "SecondsToPoll": 1.26}
    assert [(line["gates"], line["poll_seconds"]) for line in printed.lines] == [(7, 1.3)]


def test_what_runs_without_the_layer_counts_as_the_other_functions_do(capsys: pytest.CaptureFixture[str]) -> None:
    plain_telemetry.count("ResponderRuns", 2)
    plain = json.loads(capsys.readouterr().out)
    telemetry.count("ResponderRuns", 2)
    telemetry.flush()
    powertools = json.loads(capsys.readouterr().out)

    assert abs(plain["_aws"].pop("Timestamp") - powertools["_aws"].pop("Timestamp")) < 60_000  # milliseconds
    assert powertools.pop("ResponderRuns") == [plain.pop("ResponderRuns")] == [2]
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
    """The responder's too, which writes them without Powertools."""
    environment = os.environ | {"PYTHONPATH": str(HANDLERS), "POWERTOOLS_SERVICE_NAME": "another-stack"}
    ran = subprocess.run([sys.executable, "-c", COUNTS], env=environment, check=True, stdout=subprocess.PIPE)  # noqa: S603

    lines = [json.loads(line) for line in ran.stdout.decode().splitlines()]
    assert len(lines) == 4
    assert {line["service"] for line in lines} == {"another-stack"}
    directives = [line["_aws"]["CloudWatchMetrics"][0] for line in lines if "_aws" in line]
    assert [directive["Dimensions"] for directive in directives] == [[["service"]], [["service"]]]
