"""Draws a state machine as a Mermaid flowchart, for docs/state-machine.md (scripts/write_reference.py)."""

from collections.abc import Mapping
from typing import Any

SHAPES = {"Choice": "{{{}}}", "Task": "[[{}]]", "Wait": "[/{}/]", "Pass": "[{}]", "Succeed": "([{}])", "Fail": "([{}])"}


def flowchart(definition: Mapping[str, Any]) -> str:
    """Its states in the file's order, then the ways from each. The Comment of a Choice's rule is the label of its way."""
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
