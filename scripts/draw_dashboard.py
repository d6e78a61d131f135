"""Draws the dashboard for docs/operations.md: its own JSON as it is deployed, with what twenty gates on the local cloud wrote.

`make pictures` runs it. A wide picture is the dashboard's own grid, a narrow one has its widgets below each other, for a phone.
"""

import io
import json
import re
import textwrap
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tests.local_cloud.cloud import LocalCloud
from tests.local_cloud.deployment import deploy
from tests.local_cloud.metrics import Point, written
from tests.local_cloud.stacks import Stack
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
SMALL, TITLE = 8.5, 10  # points
LOG_COLUMNS = {
    "@timestamp": 3.4, "stack_id": 3, "logical_resource_id": 4.6, "execution": 4.5, "task_id": 5.6, "outcome": 3,
    "waited_seconds": 4.2, "reason": 12,
}  # fmt: skip
"""The widths of the list's columns, in parts of all."""
LOG_OF_A_PHONE = ("task_id", "outcome", "waited_seconds")
BLACK = "#000000"
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


def draw_metrics(axes: Axes, widget: Json, run: Run, ncols: int, inches: float) -> None:
    """The lines or bars, and below them their names in so many columns. `inches` is the height of the axes."""
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
        colour = options.get("color", COLOURS[number % len(COLOURS)])
        colour = mpl.rcParams["text.color"] if colour == BLACK else colour  # which a dark page would swallow
        style = {"color": colour, "label": options["label"]}
        on = right if options.get("yAxis") == "right" else axes
        if widget.get("stacked"):
            height = np.nan_to_num(values)
            on.bar(seconds, height, PERIOD * 0.9, bottom=stack, **style)
            stack += height
        else:
            there = ~np.isnan(values)
            on.plot(seconds[there], values[there], marker="o", markersize=3, linewidth=1.2, clip_on=False, **style)
    on_right = [values for options, values in drawn if options.get("yAxis") == "right"]
    on_left = [values for options, values in drawn if options.get("yAxis") != "right"]
    for each, there_are in {right: on_right, axes: [*on_left, stack]}.items():
        highest = max([1.0, *(float(np.nanmax(one)) for one in there_are if not np.isnan(one).all())])
        lowest = min([0.0, *(float(np.nanmin(one)) for one in there_are if not np.isnan(one).all())])
        each.set_ylim(lowest, highest * 1.1)
        each.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    right.grid(visible=right is axes, axis="y")  # one set of lines
    axes.set_xlim(0, run.periods * PERIOD)
    axes.xaxis.set_major_formatter("{x:.0f} s")
    handles = [handle for each in dict.fromkeys((axes, right)) for handle in each.get_legend_handles_labels()[0]]
    axes.legend(
        handles=handles, ncols=ncols, fontsize=SMALL, loc="upper left", bbox_to_anchor=(-0.02, -0.2 / inches),
        frameon=False, borderaxespad=1, handlelength=1, columnspacing=1, labelspacing=0.3,
    )  # fmt: skip


def columns_of_legend(widget: Json, units: float) -> tuple[int, int]:
    """In how many columns the names of the lines fit, and how many rows that makes."""
    options = [line[-1] if isinstance(line[-1], dict) else line[0] for line in widget["metrics"]]
    labels = [one["label"] for one in options if one.get("visible", True)]
    ncols = max(1, min(3, int(units * UNIT * 72 / (max(map(len, labels)) * SMALL * 0.48 + 18))))
    return ncols, -(-len(labels) // ncols)


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


def draw_alarms(axes: Axes, widget: Json, run: Run, units: float) -> None:
    per_row = int(units // 6)
    rows = -(-len(widget["alarms"]) // per_row)
    for number, arn in enumerate(widget["alarms"]):
        x, y = number % per_row / per_row, 1 - (number // per_row + 0.5) / rows
        colour = ALARM if breached(run.alarms[arn], run.points) else OK
        axes.plot(x, y, "s", color=colour, markersize=7, clip_on=False)
        axes.text(x + 0.07 / per_row, y, run.alarms[arn]["LogicalId"], fontsize=SMALL, va="center")


def draw_log(axes: Axes, widget: Json, run: Run, units: float) -> None:
    (fields,) = re.findall(r"fields ([^|]+)", widget["query"])
    names = [name for name in (name.strip() for name in fields.split(",")) if units > 12 or name in LOG_OF_A_PHONE]  # noqa: PLR2004
    total = sum(LOG_COLUMNS[name] for name in names)
    starts = np.cumsum([0, *(LOG_COLUMNS[name] / total for name in names)])
    for row, line in enumerate([dict(zip(names, names, strict=True)), *run.lines[:8]]):
        for start, end, name in zip(starts, starts[1:], names, strict=False):
            fits, said = int((end - start) * units * UNIT * 72 / (SMALL * 0.58)), str(line.get(name, ""))
            said = said if len(said) <= fits else said[: fits - 1] + "…"
            axes.text(start, 1 - row / 9, said, fontsize=SMALL, va="top", weight="normal" if row else "bold")


def draw(widgets: Iterable[Json], run: Run, columns: int) -> Figure:
    """The dashboard in a grid of so many columns: where it is narrower than the dashboard's, the widgets are below each other."""
    placed, below = [], 0.0
    for widget in sorted(widgets, key=lambda one: (one["y"], one["x"])):
        narrow = columns < WIDTHS["wide"]
        x, y, width = (0, below, columns) if narrow else (widget["x"], widget["y"], widget["width"])
        height = widget["height"] + (4 if narrow and widget["type"] == "alarm" else 0)
        placed.append((widget, x, y, width, height))
        below = max(below, y + height)
    figure = Figure(figsize=(columns * UNIT, below * UNIT))
    for widget, x, y, width, height in placed:
        properties, units = widget["properties"], width - 2.1
        title = textwrap.wrap(properties["title"], int(units * UNIT * 72 / (TITLE * 0.62)))
        ncols, rows = columns_of_legend(properties, units + 1) if widget["type"] == "metric" else (0, 0)
        head, foot = 0.6 + 0.45 * len(title), 1.2 + 0.37 * rows if rows else 0.3
        inner = height - foot - head
        axes = figure.add_axes(
            ((x + 1.0) / columns, 1 - (y + height - foot) / below, units / columns, inner / below)
        )  # fmt: skip
        axes.set_title("\n".join(title), loc="left", fontsize=TITLE, weight="bold", x=-0.5 / units)
        if widget["type"] == "metric":
            draw_metrics(axes, properties, run, ncols, inner * UNIT)
            continue
        axes.axis("off")
        axes.set(xlim=(0, 1), ylim=(0, 1))
        {"alarm": draw_alarms, "log": draw_log}[widget["type"]](axes, properties, run, units)
    return figure


def smaller(svg: str) -> str:
    """The same picture in half the bytes: a style that stands a hundred times becomes a class, and what says nothing goes."""
    for nothing in (r"(?<=<g) id=\"[^\"]*\"", r" transform=\"rotate\(-0 [^\"]*\"", r"^ +", r" +$", r"(?<=\.\d)\d+"):
        svg = re.sub(nothing, "", svg, flags=re.MULTILINE)
    styles: dict[str, str] = {}
    svg = re.sub(r' style="([^"]*)"', lambda found: f' class="{styles.setdefault(found[1], f"s{len(styles)}")}"', svg)
    rules = "\n".join(f".{name} {{ {style} }}" for style, name in styles.items())
    return svg.replace("<defs>", f"<style>\n{rules}\n</style>\n<defs>", 1)


def save(widgets: Sequence[Json], run: Run, width: str, theme: str) -> None:
    """Text stays text: it is searched, compared by a test, and smaller."""
    ground, text, lines = THEMES[theme]
    style: dict[Any, Any] = {
        "svg.fonttype": "none", "svg.hashsalt": "dashboard", "font.sans-serif": ["DejaVu Sans"], "font.size": SMALL,
        "text.color": text, "axes.labelcolor": text, "xtick.color": text, "ytick.color": text,
        "figure.facecolor": ground, "axes.facecolor": ground, "axes.edgecolor": lines, "grid.color": lines,
        "axes.grid": True, "axes.grid.axis": "y", "axes.spines.top": False, "axes.spines.right": False,
    }  # fmt: skip
    with mpl.rc_context(style):
        drawn = io.StringIO()
        draw(widgets, run, WIDTHS[width]).savefig(
            drawn, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type"))
        )
    picture = ROOT / "docs" / f"dashboard-{width}-{theme}.svg"
    picture.write_text(smaller(drawn.getvalue()))


def of_executions(cloud: LocalCloud, application: Stack) -> list[Point]:
    """What AWS would count of the executions: LocalStack counts none."""
    arn = application.outputs["StateMachineArn"]
    points = []
    for one in cloud.client("stepfunctions").list_executions(stateMachineArn=arn)["executions"]:
        ended = f"Executions{ {'TIMED_OUT': 'TimedOut'}.get(one['status'], one['status'].capitalize()) }"
        for name, at in (("ExecutionsStarted", one["startDate"]), (ended, one["stopDate"])):
            points.append(Point(at.timestamp(), "AWS/States", name, (("StateMachineArn", arn),), 1))
    return points


def of_functions(cloud: LocalCloud, application: Stack) -> Iterator[Point]:
    """How long Lambda's emulator says that each invocation took."""
    functions, logs = cloud.client("lambda"), cloud.client("logs")
    for name in resources(cloud, application, "AWS::Lambda::Function").values():
        group = functions.get_function_configuration(FunctionName=name)["LoggingConfig"]["LogGroup"]
        for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group):
            for event in page["events"]:
                for took in re.findall(r"^REPORT .*\tDuration: ([\d.]+) ms", event["message"]):
                    yield Point(
                        event["timestamp"] / 1000, "AWS/Lambda", "Duration", (("FunctionName", name),), float(took)
                    )


def resources(cloud: LocalCloud, stack: Stack, kind: str) -> dict[str, str]:
    """Physical ids by logical ids."""
    found = cloud.client("cloudformation").describe_stack_resources(StackName=stack.id)["StackResources"]
    return {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in found if one["ResourceType"] == kind}


def ends(cloud: LocalCloud, began: float) -> list[Json]:
    """The log lines that the dashboard's list finds, newest first; their times are seconds of the run."""
    lines = [json.loads(line) for line in cloud.log_lines() if line.startswith("{")]
    found = [line for line in lines if line.get("outcome") in ("FAILED", "TIMED_OUT", "REFUSED")]
    for line in found:
        at = datetime.strptime(line["timestamp"], "%Y-%m-%d %H:%M:%S,%f%z").timestamp()
        line["@timestamp"] = f"{at - began:.0f} s"
        line["stack_id"] = line.get("stack_id", "").partition(":stack/")[2].split("/")[0]
        line["execution"] = line.get("execution", "").rpartition(":")[2]
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
        ids = {name: one for one, name in resources(cloud, application, "AWS::CloudWatch::Alarm").items()}
        alarms = cloudwatch.describe_alarms()["MetricAlarms"]
        alarms = {one["AlarmArn"]: {**one, "LogicalId": ids[one["AlarmName"]]} for one in alarms}
        points = [*written(cloud, began), *of_executions(cloud, application), *of_functions(cloud, application)]
        return body["widgets"], Run(began, ended, points, alarms, ends(cloud, began))


def main() -> None:
    widgets, run = record()
    for width in WIDTHS:
        for theme in THEMES:
            save(widgets, run, width, theme)


if __name__ == "__main__":
    main()
