"""Draws statemachine/gate.asl.json as a Mermaid flowchart into docs/state-machine.md, between markers.

`make reference` runs it; a test compares. A diamond is a Choice, a slanted box a Wait, a box with double sides a Task, a
rounded one an end; dotted arrows are errors that are caught.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
DEFINITION = ROOT / "statemachine" / "gate.asl.json"
PAGE = ROOT / "docs" / "state-machine.md"
BEGIN, END = "<!-- drawn by scripts/draw_state_machine.py -->", "<!-- end of the drawing -->"
SHAPES = {
    "Choice": ("{", "}"),
    "Task": ("[[", "]]"),
    "Wait": ("[/", "/]"),
    "Pass": ("[", "]"),
    "Succeed": ("([", "])"),
    "Fail": ("([", "])"),
}

Json = Mapping[str, Any]


def flowchart(definition: Json) -> str:
    """The state machine as a Mermaid flowchart: its states in the file's order, then the ways from each."""
    states: Json = definition["States"]
    ids = {name: f"s{number}" for number, name in enumerate(states)}
    lines = ["flowchart TD", f"    start(( )) --> {ids[definition['StartAt']]}"]
    for name, state in states.items():
        opening, closing = SHAPES[state["Type"]]
        lines.append(f'    {ids[name]}{opening}"{name}"{closing}')
    for name, state in states.items():
        lines += [f"    {ids[name]} {arrow} {ids[target]}" for arrow, target in _ways(state)]
    return "\n".join(lines)


def _ways(state: Json) -> Iterator[tuple[str, str]]:
    """The arrows from a state, and where they lead. Rules that lead to the same state share one."""
    labels: dict[str, list[str]] = {}
    for rule in state.get("Choices", ()):
        labels.setdefault(rule["Next"], []).append(_condition(rule))
    if "Default" in state:
        labels.setdefault(state["Default"], []).append("else")
    for target, conditions in labels.items():
        yield f'-- "{" or ".join(conditions)}" -->', target
    if "Next" in state:
        yield "-->", state["Next"]
    for place, catcher in enumerate(state.get("Catch", ())):
        errors = _errors(catcher["ErrorEquals"])
        yield f'-. "{errors.replace("any", "any other") if place else errors}" .->', catcher["Next"]


def _condition(rule: Json) -> str:
    """A rule in a few words: `Stack and Gate`, `Waiter TASK_TOKEN and Passed`, `GiveUpAt reached`.

    That a variable is there, or is of a type, is left out where another part of the rule says more of it.
    """
    for operator in ("And", "Or"):
        if operator in rule:
            parts = rule[operator]
            said = {name for part in parts if not _says_only_that_it_is_there(part) for name in _variables(part)}
            told = [part for part in parts if not (_says_only_that_it_is_there(part) and part["Variable"] in said)]
            return f" {operator.lower()} ".join(dict.fromkeys(_part(part) for part in told))
    compared = _comparison(rule)
    value, variable = rule[compared], rule["Variable"].rpartition(".")[2]
    if compared == "TimestampGreaterThanEqualsPath":
        return f"{value.rpartition('.')[2]} reached"
    if isinstance(value, bool):
        return variable if value else f"no {variable}"
    if (compared, value) == ("StringGreaterThan", ""):
        return f"{variable} not empty"
    return f"{variable} {value}"


def _comparison(rule: Json) -> str:
    (compared,) = (name for name in rule if name not in ("Variable", "Next", "Comment"))
    return compared


def _variables(rule: Json) -> set[str]:
    return {value for name, value in rule.items() if name == "Variable" or name.endswith("Path")}


def _says_only_that_it_is_there(rule: Json) -> bool:
    return "Variable" in rule and _comparison(rule).startswith("Is") and rule[_comparison(rule)] is True


def _part(rule: Json) -> str:
    return f"({_condition(rule)})" if rule.keys() & {"And", "Or"} else _condition(rule)


def _errors(names: Sequence[str]) -> str:
    """`any error`, or their names; those of one family together: `States.Timeout, Sfn.*`."""
    if "States.ALL" in names:
        return "any error"
    families: dict[str, list[str]] = {}
    for name in names:
        families.setdefault(name.partition(".")[0], []).append(name)
    return ", ".join(family[0] if len(family) == 1 else f"{prefix}.*" for prefix, family in families.items())


def page() -> str:
    """The page with the drawing that it should have."""
    before, rest = PAGE.read_text().split(BEGIN)
    after = rest.split(END)[1]
    drawing = flowchart(json.loads(DEFINITION.read_text()))
    return f"{before}{BEGIN}\n```mermaid\n{drawing}\n```\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page())
