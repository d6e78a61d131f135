"""Draws statemachine/gate.asl.json as a Mermaid flowchart into docs/state-machine.md, between markers.

`make reference` runs it; a test compares. A diamond is a Choice, a slanted box a Wait, a box with double sides a Task, a
rounded one an end; dotted arrows are errors that are caught.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
DEFINITION = ROOT / "statemachine" / "gate.asl.json"
PAGE = ROOT / "docs" / "state-machine.md"
BEGIN, END = "<!-- drawn by scripts/draw_state_machine.py -->", "<!-- end of the drawing -->"
SHAPES = {"Choice": "{{{}}}", "Task": "[[{}]]", "Wait": "[/{}/]", "Pass": "[{}]", "Succeed": "([{}])", "Fail": "([{}])"}


def flowchart(definition: Mapping[str, Any]) -> str:
    """Its states in the file's order, then the ways from each. A rule of a Choice is told by its Comment."""
    states: Mapping[str, Any] = definition["States"]
    ids = {name: f"s{number}" for number, name in enumerate(states)}
    boxes = [ids[name] + SHAPES[state["Type"]].format(f'"{name}"') for name, state in states.items()]
    ways = [f"start(( )) --> {ids[definition['StartAt']]}"]
    for name, state in states.items():
        labels: dict[str, list[str]] = {}
        for rule in state.get("Choices", ()):
            labels.setdefault(rule["Next"], []).append(rule["Comment"])
        if "Default" in state:
            labels.setdefault(state["Default"], []).append("else")
        arrows = [(f'-- "{" / ".join(words)}" -->', target) for target, words in labels.items()]
        arrows += [("-->", state["Next"])] if "Next" in state else []
        arrows += [("-. error .->", target) for target in dict.fromkeys(one["Next"] for one in state.get("Catch", ()))]
        ways += [f"{ids[name]} {arrow} {ids[target]}" for arrow, target in arrows]
    return "\n    ".join(["flowchart TD", *boxes, *ways])


def page() -> str:
    """The page with the drawing that it should have."""
    before, rest = PAGE.read_text().split(BEGIN)
    drawing = flowchart(json.loads(DEFINITION.read_text()))
    return f"{before}{BEGIN}\n```mermaid\n{drawing}\n```\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    PAGE.write_text(page())
