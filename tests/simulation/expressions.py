"""JSONata as Step Functions evaluates it, with jsonata-python in place of AWS's engine: for our own interpreter of the state
machine and for LocalStack's, whose own engine is a Java program.
https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html

jsonata-python distinguishes null from what is missing only while it evaluates: null is an object of its own, and None is missing.
"""

import json
import re
import time
from collections.abc import Callable, Mapping
from functools import cache
from random import random as real_random
from typing import Any

from jsonata.functions import Functions
from jsonata.jsonata import Jsonata
from jsonata.utils import Utils

OPEN, CLOSE = "{%", "%}"
MOST_REMEMBERED = 10_000
MISSING = object()
FACT = re.compile(r"\$([A-Za-z]\w*)((?:\.[A-Za-z]\w*)*)")

Fact = tuple[str, ...]
"""The name of a variable, and of the members that lead from it."""


class QueryEvaluationError(Exception):
    """What fails a state with States.QueryEvaluationError; AWS's sentence on it."""


class Surroundings:
    """What expressions are evaluated in: the variables, `$states`, a clock (seconds since 1970) and a source of randomness."""

    def __init__(self, timestamp: Callable[[], float] = time.time, random: Callable[[], float] = real_random) -> None:
        self.asked_clock_or_chance = False
        """Whether an expression has. The caller takes it back first."""
        self.values: dict[str, Any] = {}
        """Each variable as JSON has it, `states` among them."""
        self._changed: set[str] = set()
        self._timestamp, self._random = timestamp, random
        functions = Jsonata.Frame(Jsonata.static_frame)
        for name, function in {
            "millis": self._millis,
            "now": self._now,
            "random": self._next_random,
            "parse": _parse,
            "eval": _eval,
        }.items():
            functions.bind(name, Jsonata.JLambda(function))
        self._variables = Jsonata.Frame(functions)

    def bind(self, name: str, value: Any) -> None:
        """The value is not changed any more afterwards."""
        self.values[name] = value
        self._changed.add(name)

    def frame(self) -> Any:
        """One for each evaluation: what an expression assigns is gone with it."""
        while self._changed:
            name = self._changed.pop()
            self._variables.bind(name, _bound(self.values[name]))
        return Jsonata.Frame(self._variables)

    def _millis(self) -> int:
        self.asked_clock_or_chance = True
        return round(self._timestamp() * 1_000_000) // 1000

    def _now(self, picture: str | None = None, timezone: str | None = None) -> Any:
        return Functions.datetime_from_millis(self._millis(), picture, timezone)

    def _next_random(self) -> float:
        self.asked_clock_or_chance = True
        return self._random()


class Expression:
    """A string between `{%` and `%}`. Parsing takes longer than evaluating: see `expression`."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._jsonata = Jsonata(text)
        self.facts = tuple({_fact(found) for found in FACT.finditer(text)})
        """What it reads: the value of each decides its result, unless it calls a function that is volatile."""
        found = FACT.fullmatch(text)
        self._path = _fact(found) if found else ()
        """Of an expression that is nothing more: looked up in objects it is what it is in JSONata."""
        self._remembered: dict[tuple[Any, ...], Any] = {}

    def evaluate(self, surroundings: Surroundings) -> Any:
        """JSON, which is not changed. Raises QueryEvaluationError, for a result that is undefined too."""
        found: Any = surroundings.values if self._path else None
        for member in self._path:
            found = found.get(member, MISSING) if isinstance(found, dict) else MISSING
        if self._path and found is not MISSING:
            return found
        try:
            result = self._jsonata.eval(self._jsonata.ast, None, surroundings.frame())
        except Exception as error:
            raise QueryEvaluationError(f"The JSONata expression '{self.text}' threw an error: {error}") from error
        if result is None:
            raise QueryEvaluationError(f"The JSONata expression '{self.text}' returned nothing (undefined).")
        try:
            return _plain(result)
        except TypeError as error:
            raise QueryEvaluationError(
                f"The JSONata expression '{self.text}' returned an unsupported result type."
            ) from error

    def holds(self, surroundings: Surroundings) -> bool:
        """As a Condition. What it was for the same facts, it is again, if no clock and no chance was asked: evaluating takes a
        hundred times longer than remembering.
        """
        facts = tuple([_value_of(fact, surroundings.values) for fact in self.facts])
        if facts in self._remembered:
            return self._remembered[facts]  # type: ignore[no-any-return]
        surroundings.asked_clock_or_chance = False
        holds = self.evaluate(surroundings)
        if not isinstance(holds, bool):
            raise QueryEvaluationError(f"The JSONata expression '{self.text}' returned no boolean.")
        if not surroundings.asked_clock_or_chance:
            if len(self._remembered) >= MOST_REMEMBERED:
                self._remembered.clear()
            self._remembered[facts] = holds
        return holds


@cache
def expression(text: str) -> Expression:
    """Of the text between the marks."""
    return Expression(text)


def compiled(template: Any) -> Any:
    """A field of a state with an Expression for each string that is one."""
    if isinstance(template, str) and template.startswith(OPEN) and template.endswith(CLOSE):
        return expression(template[len(OPEN) : -len(CLOSE)].strip())
    if isinstance(template, dict):
        return {name: compiled(part) for name, part in template.items()}
    return [compiled(part) for part in template] if isinstance(template, list) else template


def filled(template: Any, surroundings: Surroundings) -> Any:
    """What `compiled` made, with each Expression's result in its place."""
    if isinstance(template, Expression):
        return template.evaluate(surroundings)
    if isinstance(template, dict):
        return {name: filled(part, surroundings) for name, part in template.items()}
    return [filled(part, surroundings) for part in template] if isinstance(template, list) else template


def _parse(text: str | None) -> Any:
    return None if text is None else _bound(json.loads(text))


def _eval(*_: object) -> None:
    raise ValueError("Step Functions has no $eval")


def _bound(value: Any) -> Any:
    """JSON as jsonata-python knows it."""
    if value is None:
        return Utils.NULL_VALUE
    if isinstance(value, dict):
        return {name: _bound(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_bound(member) for member in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _plain(value: Any) -> Any:
    """JSON of what jsonata-python gives. TypeError: there is none of it."""
    if value is None or value is Utils.NULL_VALUE:
        return None
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_plain(member) for member in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str | bool | int | float):
        return value
    raise TypeError(type(value))


def _fact(found: re.Match[str]) -> Fact:
    return found[1], *found[2].split(".")[1:]


def _value_of(fact: Fact, values: Mapping[str, Any]) -> Any:
    found: Any = values
    depth = 0
    for member in fact:
        if not isinstance(found, dict):
            break  # a list, whose members JSONata would go through: all of it decides
        if member not in found:
            return ()
        found = found[member]
        depth += 1
    # 1 and true are equal, and have one hash, in Python.
    return depth, type(found), json.dumps(found) if isinstance(found, dict | list) else found
