"""The pictures of the dashboard are current, and what is drawn is what was written.

What draws them is only where the checks of the code are: `make check` runs this file too.
"""

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.local_cloud.metrics import Point
from tests.unit.test_alarms import ALARMS, DASHBOARD, OPERATIONS

PICTURES = [
    Path(__file__).parents[2] / "docs" / f"dashboard-{width}-{theme}.svg"
    for width in ("wide", "narrow")
    for theme in ("light", "dark")
]
SERVICE = (("service", "license-conversion-gate"),)


def words(picture: Path) -> str:
    """All that can be read in it, in the order in which it was drawn."""
    return " ".join(" ".join(text.itertext()) for text in ET.parse(picture).iter("{http://www.w3.org/2000/svg}text"))  # noqa: S314


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.stem)
def test_operations_shows_a_small_picture(picture: Path) -> None:
    assert picture.stat().st_size < 100_000
    assert f'="{picture.name}"' in OPERATIONS


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.stem)
def test_a_picture_shows_the_dashboard_of_today(picture: Path) -> None:
    shown = words(picture)
    widgets = [widget["properties"] for widget in DASHBOARD["widgets"]]
    options = [line[-1] if isinstance(line[-1], dict) else {} for each in widgets for line in each.get("metrics", ())]
    options += [line[0] for each in widgets for line in each.get("metrics", ()) if isinstance(line[0], dict)]
    labels = {one["label"] for one in options if "label" in one and one.get("visible", True)}

    said = "run `make pictures`"
    assert [each["title"] for each in widgets if each["title"] not in shown] == [], said
    assert sorted(label for label in labels if label not in shown) == [], said
    assert [name for name in ALARMS if name not in shown] == [], said


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.stem)
def test_a_picture_has_no_credential_and_nothing_of_the_machine(picture: Path) -> None:
    text = picture.read_text()

    assert "Signature" not in text
    assert "127.0.0.1" not in text
    assert "/work" not in text


@pytest.fixture
def drawing() -> ModuleType:
    pytest.importorskip("matplotlib")
    from scripts import draw_dashboard  # noqa: PLC0415 - the tests alone have no library that draws

    return draw_dashboard


def run(drawing: ModuleType, *points: Point) -> Any:
    return drawing.Run(began=1000.0, ended=1019.0, points=points, alarms={}, lines=[])


def test_a_period_has_the_statistic_of_its_values_and_one_without_has_none(drawing: ModuleType) -> None:
    line = ["Space", "Seconds", "service", "license-conversion-gate", {"label": "Maximum"}]
    points = [Point(at, "Space", "Seconds", SERVICE, value) for at, value in ((1000, 3), (1004.9, 7), (1015, 2))]
    others = [Point(1000, "Other", "Seconds", SERVICE, 9), Point(1000, "Space", "Seconds", (), 9)]

    series = run(drawing, *points, *others).series

    assert json.dumps(list(series(line, "Maximum"))) == "[7.0, NaN, NaN, 2.0]"
    assert json.dumps(list(series(line, "Sum"))) == "[10.0, NaN, NaN, 2.0]"
    assert json.dumps(list(series(line, "SampleCount"))) == "[2.0, NaN, NaN, 1.0]"
    assert json.dumps(list(series(line, "p50"))) == "[5.0, NaN, NaN, 2.0]"


def test_the_expression_of_the_dashboard_counts_who_waits(drawing: ModuleType) -> None:
    (expression,) = (
        line[0]["expression"]
        for widget in DASHBOARD["widgets"]
        for line in widget["properties"].get("metrics", ())
        if isinstance(line[0], dict)
    )
    count = run(
        drawing, Point(1000, "S", "Started", (), 3), Point(1006, "S", "Ended", (), 2), Point(1016, "S", "Ended", (), 1)
    ).series
    known = {name: count(["S", "none"], "Sum") for name in "abcdeg"}

    waiting = drawing.evaluated(
        expression, {**known, "s": count(["S", "Started"], "Sum"), "a": count(["S", "Ended"], "Sum")}
    )

    assert list(waiting) == [3, 1, 1, 0]


@pytest.mark.parametrize(("periods", "value", "red"), [(1, 1.0, True), (1, 0.0, False), (3, 1.0, False)])
def test_an_alarm_is_red_when_the_run_has_raised_it(
    drawing: ModuleType, periods: int, value: float, *, red: bool
) -> None:
    alarm = {
        "Namespace": "S", "MetricName": "Broken", "Dimensions": [], "Period": 300, "Statistic": "Sum",
        "EvaluationPeriods": periods, "Threshold": 0,
    }  # fmt: skip

    assert drawing.breached(alarm, [Point(1000, "S", "Broken", (), value)]) is red
