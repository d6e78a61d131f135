"""Draws the dashboard for docs/operations.md: its own JSON as it is deployed, with what twenty gates on the local cloud wrote.

`make pictures` runs it. A wide picture is the dashboard's own grid, a narrow one has its widgets below each other, for a phone.
"""

import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.local_cloud.application import deploy
from tests.local_cloud.cloud import LocalCloud, Stack
from tests.local_cloud.metrics import Point, written
from tests.local_cloud.twenty_gates import TwentyGates

ROOT = Path(__file__).parents[1]
PERIOD = 5
"""Seconds, in place of the dashboard's one or five minutes: the whole run takes a few."""
COLOURS = ["#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf"]
THEMES = {"light": ("#ffffff", "#1f2328", "#d0d7de"), "dark": ("#0d1117", "#e6edf3", "#30363d")}
"""Ground, text, lines."""
WIDTHS = {"wide": 24, "narrow": 12}
"""Columns of the dashboard's grid that a picture has."""
UNIT = 0.5  # inches of a column or a row
LONG_LABEL = 22
OK, ALARM = "#2da44e", "#cf222e"

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Run:
    """What is drawn. Times are in epoch seconds."""

    began: float
    ended: float
    points: Sequence[Point]
    alarms: Mapping[str, Json]
    lines: Sequence[Json]

    @property
    def periods(self) -> int:
        return int((self.ended - self.began) / PERIOD) + 1

    def series(self, line: Sequence[Any], stat: str) -> "np.ndarray[Any, np.dtype[np.float64]]":
        """A value for each period; not a number where there is none."""
        namespace, name, *dimensions = (one for one in line if isinstance(one, str))
        wanted = dict(zip(dimensions[::2], dimensions[1::2], strict=True))
        buckets: dict[int, list[float]] = {}
        for point in self.points:
            if (point.namespace, point.name) == (namespace, name) and dict(point.dimensions) == wanted:
                buckets.setdefault(int((point.at - self.began) / PERIOD), []).append(point.value)
        return np.array([of(stat, buckets[n]) if n in buckets else np.nan for n in range(self.periods)])


def of(stat: str, values: Sequence[float]) -> float:
    """A statistic as CloudWatch names it."""
    if stat.startswith("p"):
        return float(np.percentile(values, float(stat[1:])))
    return float({"Sum": sum, "Maximum": max, "SampleCount": len}[stat](values))  # type: ignore[operator]


def evaluated(expression: str, series: Json) -> Any:
    """Metric math: Python's syntax, and of its functions those that the dashboard has."""
    functions = {"RUNNING_SUM": np.cumsum, "FILL": lambda values, to: np.where(np.isnan(values), to, values)}
    return eval(expression, {"__builtins__": {}}, {**functions, **series})  # noqa: S307 - our own template


def draw_metrics(axes: Axes, widget: Json, run: Run) -> None:
    seconds = np.arange(run.periods) * PERIOD
    drawn, known = [], {}
    for line in widget["metrics"]:
        options = line[-1] if isinstance(line[-1], dict) else {}
        if "expression" not in line[0]:
            values = run.series(line, options.get("stat") or widget["stat"])
            known[options.get("id", "")] = values
            drawn += [(options, values)] if options.get("visible", True) else []
    for (expression,) in (line for line in widget["metrics"] if "expression" in line[0]):
        drawn.insert(0, (expression, evaluated(expression["expression"], known)))
    right = axes.twinx() if any(options.get("yAxis") == "right" for options, _ in drawn) else axes
    stack = np.zeros(run.periods)
    for number, (options, values) in enumerate(drawn):
        style = {"color": options.get("color", COLOURS[number % len(COLOURS)]), "label": options["label"]}
        on = right if options.get("yAxis") == "right" else axes
        if widget.get("stacked"):
            height = np.nan_to_num(values)
            on.bar(seconds, height, PERIOD * 0.9, bottom=stack, **style)
            stack += height
        else:
            there = ~np.isnan(values)
            on.plot(seconds[there], values[there], marker="o", markersize=2.5, linewidth=1, **style)
    for each in {axes, right}:
        each.set_ylim(bottom=0)
        each.locator_params(axis="y", nbins=4, integer=True)
    axes.set_xlim(0, run.ended - run.began)
    handles = [handle for each in dict.fromkeys((axes, right)) for handle in each.get_legend_handles_labels()[0]]
    axes.legend(
        handles=handles, ncols=2 if max(len(str(one.get_label())) for one in handles) > LONG_LABEL else 3, fontsize=7.5,
        loc="upper left", bbox_to_anchor=(-0.08, -0.12), frameon=False, borderaxespad=0, handlelength=1, columnspacing=1,
    )  # fmt: skip


def breached(alarm: Json, points: Iterable[Point]) -> bool:
    """Whether a run of a few minutes raises it: one that waits for three periods of five minutes is not raised by it."""
    wanted = {one["Name"]: one["Value"] for one in alarm["Dimensions"]}
    buckets: dict[int, list[float]] = {}
    for point in points:
        if (point.namespace, point.name) == (alarm["Namespace"], alarm["MetricName"]) and dict(
            point.dimensions
        ) == wanted:
            buckets.setdefault(int(point.at // alarm["Period"]), []).append(point.value)
    worst = max((of(alarm["Statistic"], values) for values in buckets.values()), default=0)
    return bool(alarm["EvaluationPeriods"] == 1 and worst > alarm["Threshold"])


def draw_alarms(axes: Axes, widget: Json, run: Run, columns: int) -> None:
    axes.axis("off")
    per_row = columns // 6
    rows = -(-len(widget["alarms"]) // per_row)
    for number, arn in enumerate(widget["alarms"]):
        x, y = number % per_row / per_row, 1 - (number // per_row + 0.5) / rows
        colour = ALARM if breached(run.alarms[arn], run.points) else OK
        axes.plot(x + 0.005, y, "s", color=colour, markersize=7, clip_on=False)
        name = run.alarms[arn]["AlarmName"].split("-")[-2]
        axes.text(x + 0.09 / per_row, y, name, fontsize=7.5, va="center")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)


def draw_log(axes: Axes, widget: Json, run: Run, columns: int) -> None:
    axes.axis("off")
    (fields,) = re.findall(r"fields ([^|]+)", widget["query"])
    names = [name.strip() for name in fields.split(",")]
    shares = {"@timestamp": 2, "waited_seconds": 3, "outcome": 2.6, "logical_resource_id": 3.8, "reason": 13}
    if columns < WIDTHS["wide"]:
        names = [name for name in names if name in ("task_id", "outcome", "waited_seconds")]
    total = sum(shares.get(name, 4) for name in names)
    starts = np.cumsum([0, *(shares.get(name, 4) / total for name in names)])
    for row, line in enumerate([dict(zip(names, names, strict=True)), *run.lines]):
        for start, end, name in zip(starts, starts[1:], names, strict=False):
            fits = int((end - start) * columns * 7.6)
            text = str(line.get(name, "")).rsplit("/", 2 if name == "stack_id" else 1)
            shown = text[1 if name == "stack_id" and len(text) > 1 else -1].rsplit(":", 1)[
                -1 if name == "execution" else 0
            ]
            if name == "reason":
                shown = str(line.get(name, ""))
            axes.text(
                start, 1 - row * 0.105, shown if len(shown) <= fits else shown[: fits - 1] + "…", fontsize=7, va="top",
                weight="bold" if not row else "normal",
            )  # fmt: skip
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)


def draw(widgets: Iterable[Json], run: Run, columns: int, theme: tuple[str, str, str]) -> Figure:
    """The dashboard in a grid of so many columns: where it is narrower than the dashboard's, the widgets are below each other."""
    ground, text, lines = theme
    style: dict[Any, Any] = {
        "svg.fonttype": "none", "svg.hashsalt": "dashboard", "font.family": "sans-serif", "font.size": 8,
        "text.color": text, "axes.labelcolor": text, "xtick.color": text, "ytick.color": text,
        "figure.facecolor": ground, "axes.facecolor": ground, "axes.edgecolor": lines, "grid.color": lines,
        "axes.grid": True, "axes.spines.top": False, "axes.spines.right": False,
    }  # fmt: skip
    with mpl.rc_context(style):
        placed, below = [], 0
        for widget in sorted(widgets, key=lambda one: (one["y"], one["x"])):
            narrow = columns < WIDTHS["wide"]
            x, y, width = (0, below, columns) if narrow else (widget["x"], widget["y"], widget["width"])
            height = widget["height"] + (3 if narrow and widget["type"] == "alarm" else 0)
            placed.append((widget, x, y, width, height))
            below = max(below, y + height)
        figure = Figure(figsize=(columns * UNIT, below * UNIT))
        for widget, x, y, width, height in placed:
            properties, kind = widget["properties"], widget["type"]
            foot = 1.9 if kind == "metric" else 0.2
            left = 1.0 if kind == "metric" else 0.3
            axes = figure.add_axes(
                ((x + left) / columns, 1 - (y + height - foot) / below,
                 (width - left - 0.9) / columns, (height - foot - 0.9) / below)
            )  # fmt: skip
            axes.set_title(properties["title"], loc="left", fontsize=9, weight="bold", x=0, wrap=True)
            if kind == "metric":
                draw_metrics(axes, properties, run)
            elif kind == "alarm":
                draw_alarms(axes, properties, run, columns)
            else:
                draw_log(axes, properties, run, columns)
    return figure


def of_executions(cloud: LocalCloud, application: Stack) -> list[Point]:
    """What AWS would count of the executions: LocalStack counts none."""
    arn = application.outputs["StateMachineArn"]
    points = []
    for one in cloud.client("stepfunctions").list_executions(stateMachineArn=arn)["executions"]:
        ended = f"Executions{ {'TIMED_OUT': 'TimedOut'}.get(one['status'], one['status'].capitalize()) }"
        for name, at in (("ExecutionsStarted", one["startDate"]), (ended, one["stopDate"])):
            points.append(Point(at.timestamp(), "AWS/States", name, (("StateMachineArn", arn),), 1))
    return points


def ends(cloud: LocalCloud, began: float) -> list[Json]:
    """The log lines that the dashboard's list finds, newest first; their times are seconds of the run."""
    lines = [json.loads(line) for line in cloud.log_lines() if line.startswith("{")]
    found = [line for line in lines if line.get("outcome") in ("FAILED", "TIMED_OUT", "REFUSED")]
    for line in found:
        at = time.mktime(time.strptime(line["timestamp"][:19], "%Y-%m-%d %H:%M:%S")) - time.timezone
        line["@timestamp"] = f"{at - began:.0f} s"
    return sorted(found, key=lambda line: str(line["timestamp"]), reverse=True)


def record() -> tuple[list[Json], Run]:
    """The widgets of the deployed dashboard, and a run."""
    with LocalCloud() as cloud:
        application = deploy(cloud)
        began = time.time()
        TwentyGates(cloud, application).run()
        ended = time.time()
        cloudwatch = cloud.client("cloudwatch")
        (name,) = (one["DashboardName"] for one in cloudwatch.list_dashboards()["DashboardEntries"])
        body = json.loads(cloudwatch.get_dashboard(DashboardName=name)["DashboardBody"])
        alarms = {one["AlarmArn"]: one for one in cloudwatch.describe_alarms()["MetricAlarms"]}
        points = [*written(cloud, began), *of_executions(cloud, application)]
        return body["widgets"], Run(began, ended, points, alarms, ends(cloud, began))


def main() -> None:
    widgets, run = record()
    for width, columns in WIDTHS.items():
        for theme, colours in THEMES.items():
            picture = ROOT / "docs" / f"dashboard-{width}-{theme}.svg"
            draw(widgets, run, columns, colours).savefig(picture, metadata={"Date": None})
            picture.write_text(re.sub(r"(\d\.\d\d)\d+", r"\1", picture.read_text()))


if __name__ == "__main__":
    main()
