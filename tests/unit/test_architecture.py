"""The size and the shape of the application: what a reader has to hold in mind."""

import ast
import sys
from collections.abc import Callable
from graphlib import TopologicalSorter
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from check_task import handler
from license_conversion.conversion import utc_now
from tests.template import ROOT, STATES, resources
from tests.unit.network import Network
from tests.unit.one_gate import CONTEXT, TASK_ID, first_check

MODULES = {path.stem: path for path in (ROOT / "handlers").rglob("*.py") if path.stem != "__init__"}
STEMS = {str(path): stem for stem, path in MODULES.items()}
HOUSE = ("check_task", "request", "gate", "reason", "registrations", "poll", "license_manager", "fleet", "conversion")
"""What one check enters, from above. A call to a file that stands above its caller is a climb."""
NOT_COUNTED = {"telemetry", "aws", "errors", "text", "settings", "properties"}
RUNNING = {"LicenseConversionTaskId": TASK_ID, "Status": "IN_PROGRESS"}


def lines(*paths: Path) -> int:
    return sum(len(path.read_text().splitlines()) for path in paths)


@pytest.mark.parametrize(
    ("what", "count", "at_most"),
    [
        # The aim is 2,700: never raise it, lower it with each step.
        ("lines of handlers/", lines(*MODULES.values()), 3610),
        ("lines of the longest file", max(map(lines, MODULES.values())), 280),
        ("states", len(STATES), 12),
        ("lines of the definition", lines(ROOT / "statemachine" / "gate.asl.json"), 380),
        ("lines of the template", lines(ROOT / "template.yaml"), 1050),
        ("functions", len(resources("AWS::Serverless::Function")), 4),
        ("alarms", len(resources("AWS::CloudWatch::Alarm")), 16),
        ("log groups", len(resources("AWS::Logs::LogGroup")), 2),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_application_is_no_larger_than(what: str, count: int, at_most: int) -> None:
    assert count <= at_most


def test_imports_have_no_circles() -> None:
    """Nor those that only types need: one module can be read without another one first."""
    imports = {
        stem: {
            name.rpartition(".")[2]
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom) and node.module
            for name in ([node.module] if node.module in MODULES else [node.module, *(one.name for one in node.names)])
            if node.module.partition(".")[0] in {"license_conversion", *MODULES}
        }
        & MODULES.keys()
        for stem, path in MODULES.items()
    }

    assert imports["gate"] >= {"reason", "poll", "registrations"}
    assert imports["telemetry"] == {"plain_telemetry"}, "an error in a type of the domain breaks no other function"
    assert list(TopologicalSorter(imports).static_order())


class Way:
    """The files that a call enters, and each step from one of them to another."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.steps: set[tuple[str, str]] = set()
        before = sys.gettrace()
        sys.settrace(self._entered)
        try:
            self.result = call()
        finally:
            sys.settrace(before)

    def _entered(self, frame: FrameType, event: str, _: Any) -> None:
        """What is called from a library counts as called by the file that called the library."""
        callee, caller = STEMS.get(frame.f_code.co_filename), frame.f_back
        while caller and caller.f_code.co_filename not in STEMS:
            caller = caller.f_back
        if event == "call" and callee and caller and callee != (above := STEMS[caller.f_code.co_filename]):
            self.steps.add((above, callee))

    @property
    def files(self) -> set[str]:
        return {"check_task", *(callee for _, callee in self.steps)} - NOT_COUNTED

    @property
    def climbs(self) -> list[tuple[str, str]]:
        rank = {stem: place for place, stem in enumerate(HOUSE)}
        return [step for step in self.steps if rank.get(step[1], len(HOUSE)) < rank.get(step[0], len(HOUSE))]


@pytest.mark.usefixtures("cold_start")
def test_a_check_enters_eight_files_at_most_and_none_that_stands_above_the_one_that_calls_it(network: Network) -> None:
    network.answers("GetLicenseConversionTask", RUNNING, {**RUNNING, "Status": "FAILED"})
    event = first_check(utc_now())

    first = Way(lambda: handler(event, CONTEXT))
    last = Way(
        lambda: handler(
            {**event, "Gate": {**event["Gate"], **first.result}, "RegisteredAt": event["EnteredAt"]}, CONTEXT
        )
    )

    assert "Registration" in first.result
    assert "FAILED" in last.result["Response"]["Reason"]
    for way in (first, last):
        assert way.files <= set(HOUSE)
        assert len(way.files) <= 8
        assert way.climbs == []
