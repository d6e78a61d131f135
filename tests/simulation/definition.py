"""The real state machine, and what the Amazon States Language says of its choices and retries: for whoever walks it in virtual
time. What is not known here is refused, so that a new construct in the file is a failure and not a blind spot.
https://states-language.net/spec.html
"""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[2] / "statemachine" / "gate.asl.json"
FUNCTIONS = ("CheckTask", "AnswerStack", "LastResort", "AnnounceEnd")
FIELDS = {
    "Choice": {"Choices", "Default"},
    "Pass": {"InputPath", "Parameters", "Result", "ResultPath", "Next"},
    "Wait": {"Seconds", "SecondsPath", "Next"},
    "Task": {
        *("Resource", "Parameters", "OutputPath", "ResultPath", "Retry", "Catch", "Next"),
        *("TimeoutSeconds", "TimeoutSecondsPath"),
    },
    "Succeed": {"OutputPath"},
    "Fail": {"Error", "ErrorPath", "Cause", "CausePath"},
}
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "BooleanEquals": lambda value, other: isinstance(value, bool) and value == other,
    "IsString": lambda value, other: isinstance(value, str) is other,
    "StringEquals": lambda value, other: isinstance(value, str) and value == other,
    "StringGreaterThan": lambda value, other: isinstance(value, str) and value > other,
    "TimestampGreaterThanEqualsPath": lambda value, other: (
        datetime.fromisoformat(value) >= datetime.fromisoformat(other)
    ),
}

Data = dict[str, Any]
Look = Callable[[str], tuple[bool, Any]]
"""What a path leads to: whether there is something, and what."""


@cache
def definition() -> Data:
    """With function names for the ARNs that a deployment fills in."""
    text = FILE.read_text()
    for function in FUNCTIONS:
        text = text.replace(f"${{{function}FunctionArn}}", function)
    text = text.replace("${Partition}", "aws")
    machine: Data = json.loads(text)
    for name, state in machine["States"].items():
        unknown = state.keys() - FIELDS[state["Type"]] - {"Type", "Comment"}
        assert not unknown, f"{name}: {unknown} is not modelled"
    return machine


def follow(path: str, data: Any, context: Any) -> tuple[bool, Any]:
    """A JSONPath of member names, from the state's data or the context object."""
    head, *members = path.split(".")
    value = {"$": data, "$$": context}[head]
    for member in members:
        if not isinstance(value, Mapping) or member not in value:
            return False, None
        value = value[member]
    return True, value


def choose(state: Data, look: Look) -> str:
    """The state that a Choice goes on to."""
    return str(next((rule["Next"] for rule in state["Choices"] if _holds(rule, look)), state["Default"]))


def _holds(rule: Data, look: Look) -> bool:
    if "And" in rule:
        return all(_holds(part, look) for part in rule["And"])
    if "Or" in rule:
        return any(_holds(part, look) for part in rule["Or"])
    (operator,) = rule.keys() - {"Variable", "Next"}
    if operator == "IsPresent":
        return look(rule["Variable"])[0] is rule[operator]
    other = _there(rule[operator], look) if operator.endswith("Path") else rule[operator]
    return COMPARISONS[operator](_there(rule["Variable"], look), other)


def _there(path: str, look: Look) -> Any:
    found, value = look(path)
    assert found, f"States.Runtime: no {path}"
    return value


def pause(retrier: Data, retries: int, random: Callable[[], float]) -> float:
    """Seconds before the next attempt, after so many retries. `random` is from 0 to 1."""
    seconds: float = retrier["IntervalSeconds"] * retrier["BackoffRate"] ** retries
    seconds = min(seconds, retrier.get("MaxDelaySeconds", seconds))
    return seconds * random() if retrier.get("JitterStrategy") == "FULL" else seconds
