"""JSONata as Step Functions evaluates it, with jsonata-python in place of AWS's engine: for our own interpreter of the state
machine and for LocalStack's, whose own engine is a Java program.
https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html

jsonata-python distinguishes null from what is missing only while it evaluates: null is an object of its own, and None is missing.
"""

import json
import time
from collections.abc import Callable
from functools import cache
from random import random as real_random
from typing import Any

from jsonata.functions import Functions
from jsonata.jsonata import Jsonata
from jsonata.utils import Utils

OPEN, CLOSE = "{%", "%}"


class QueryEvaluationError(Exception):
    """What fails a state with States.QueryEvaluationError; AWS's sentence on it."""


class Surroundings:
    """What expressions are evaluated in: the variables, `$states`, a clock (seconds since 1970) and a source of randomness."""

    def __init__(self, timestamp: Callable[[], float] = time.time, random: Callable[[], float] = real_random) -> None:
        self.values: dict[str, Any] = {}
        """Each variable as JSON has it, `states` among them."""
        self._changed: set[str] = set()
        self._timestamp = timestamp
        functions = Jsonata.Frame(Jsonata.static_frame)
        ours = {"millis": self._millis, "now": self._now, "random": random, "parse": _parse, "eval": _eval}
        for name, function in ours.items():
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
        return round(self._timestamp() * 1_000_000) // 1000

    def _now(self, picture: str | None = None, timezone: str | None = None) -> Any:
        return Functions.datetime_from_millis(self._millis(), picture, timezone)


class Expression:
    """A string between `{%` and `%}`. Parsing takes longer than evaluating: see `expression`."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._jsonata = Jsonata(text)

    def evaluate(self, surroundings: Surroundings) -> Any:
        """JSON, which is not changed. Raises QueryEvaluationError, for a result that is undefined too."""
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
        """As a Condition."""
        holds = self.evaluate(surroundings)
        if not isinstance(holds, bool):
            raise QueryEvaluationError(f"The JSONata expression '{self.text}' returned no boolean.")
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
