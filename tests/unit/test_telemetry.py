"""Log lines and metrics: with Powertools, and without the layer."""

import json
import runpy
from collections.abc import Callable
from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest

from license_conversion import plain_telemetry, telemetry
from tests.unit.conftest import Said
from tests.unit.one_gate import BEGAN


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


def test_a_poll_is_counted_at_once_because_the_poller_goes_on(said: Callable[[], Said]) -> None:
    telemetry.polled(7, 1.26)

    assert said().units == {"GatesWaiting": "Count", "SecondsToPoll": "Seconds"}


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


def test_each_metric_and_each_line_names_the_stack_that_it_is_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "another-stack")

    assert runpy.run_path(plain_telemetry.__file__)["SERVICE"] == "another-stack"
    assert (telemetry.logger.service, telemetry.metrics.service) == (plain_telemetry.SERVICE,) * 2
