"""The kinds of value that a property can have. Each `parse`s a value to its own type, or raises a ValueError whose text, if it
has any, says what is wrong; says what is `allowed`, as the end of the sentence "it must be"; and has its JSON `schema`.

CloudFormation sends every scalar as a string, Step Functions sends JSON: both forms of a number are taken.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from license_conversion.errors import InvalidRequest

SHOWN_CHARACTERS = 100
"""How much of a refused value a message repeats, so that the message stays a sentence."""
NEAR = 0.65
"""How much of a name, from 0 to 1, has to be right for a hint at the known one."""


@dataclass(frozen=True)
class Text:
    """A string of a form."""

    pattern: str
    allowed: str
    max_length: int

    def parse(self, value: Any) -> str:
        if isinstance(value, str) and len(value) <= self.max_length and re.fullmatch(self.pattern, value):
            return value
        raise ValueError

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{self.pattern}$", "maxLength": self.max_length}


TASK_ID = Text(r"lct-[A-Za-z0-9]+", "a task id of the form lct-… (letters and digits, at most 50 characters)", 50)


def is_task_id(value: Any) -> bool:
    """Whether this has the form of a task's id: only License Manager knows more."""
    try:
        return bool(TASK_ID.parse(value))
    except ValueError:
        return False


@dataclass(frozen=True)
class Integer:
    """A whole number in a range, also as the string of its digits."""

    minimum: int
    maximum: int

    @property
    def allowed(self) -> str:
        return f"a whole number from {self.minimum} to {self.maximum}"

    def parse(self, value: Any) -> int:
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value):
            value = int(value)
        if isinstance(value, float) and value.is_integer():  # JSON and its schemas know no difference
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and self.minimum <= value <= self.maximum:
            return value
        raise ValueError

    def schema(self) -> dict[str, Any]:
        return {
            "anyOf": [
                {"type": "integer", "minimum": self.minimum, "maximum": self.maximum},
                {"type": "string", "pattern": "^[0-9]{1,9}$"},
            ]
        }


@dataclass(frozen=True)
class ListOf:
    """A list of 1 to `most` different values of one kind."""

    kind: Text
    most: int

    @property
    def allowed(self) -> str:
        return f"a list of 1 to {self.most} different values, each {self.kind.allowed}"

    def parse(self, value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not 1 <= len(value) <= self.most:
            raise ValueError
        places: dict[str, int] = {}
        for place, one in enumerate(value, start=1):
            try:
                text = self.kind.parse(one)
            except ValueError:
                raise ValueError(f"value {place} is {_shown(one)}") from None
            if places.setdefault(text, place) != place:
                raise ValueError(f"value {place} is the same as value {places[text]}, {_shown(one)}")
        return tuple(places)

    def schema(self) -> dict[str, Any]:
        return {
            "type": "array",
            "items": self.kind.schema(),
            "minItems": 1,
            "maxItems": self.most,
            "uniqueItems": True,
        }


@dataclass(frozen=True)
class OneOf:
    """One value out of a few."""

    values: tuple[str, ...]

    @property
    def allowed(self) -> str:
        return " or ".join(self.values)

    def parse(self, value: Any) -> str:
        if isinstance(value, str) and value in self.values:
            return value
        raise ValueError

    def schema(self) -> dict[str, Any]:
        return {"enum": list(self.values)}


@dataclass(frozen=True)
class ScalarOrList:
    """A text, number or boolean, or a list of them: `most` characters in all."""

    most: int

    @property
    def allowed(self) -> str:
        return f"a text, number or boolean, or a list of them, of at most {self.most:,} characters in all"

    def parse(self, value: Any) -> Any:
        values = value if isinstance(value, list) else [value]
        if not all(isinstance(one, str | int | float) for one in values):
            raise ValueError
        if sum(len(str(one)) for one in values) > self.most:
            raise ValueError
        return value

    def schema(self) -> dict[str, Any]:
        """It cannot say the length of a list's values together."""
        scalar = {"type": ["string", "number", "boolean"], "maxLength": self.most}
        return {"anyOf": [scalar, {"type": "array", "items": scalar}]}


Kind = Text | Integer | ListOf | OneOf | ScalarOrList


@dataclass(frozen=True)
class Property:
    """One property: its name, kind and meaning. The reference page and the JSON Schemas are written from these."""

    name: str
    kind: Kind
    meaning: str
    default: str = ""
    secret: bool = False

    def parse(self, value: Any) -> Any:
        """The value in its own type; InvalidRequest names the property, the value and what is allowed."""
        try:
            return self.kind.parse(value)
        except ValueError as error:
            shown = "the value (a credential, not shown)" if self.secret and value else _shown(value)
            why = f", {error}" if str(error) else ""
            raise InvalidRequest(f"{self.name}: {shown} is not allowed{why}: it must be {self.kind.allowed}.") from None


def parse_all(properties: Sequence[Property], given: Any, what: str) -> Mapping[str, Any]:
    """Every given value in its own type, by property name.

    `what` is what `given` is called in a message ("property", "input member"). Raises InvalidRequest for the first
    thing that is wrong; for a name that is not known it says which one was probably meant.
    """
    if not isinstance(given, Mapping):
        raise InvalidRequest(f"The {what} list {_shown(given)} is not allowed: it must be an object.")
    known = {p.name: p for p in properties}
    parsed = {}
    for name, value in given.items():
        if name not in known:
            meant = get_close_matches(str(name), known, n=1, cutoff=NEAR)
            hint = f" Did you mean {meant[0]}?" if meant else ""
            raise InvalidRequest(f"{_shown(name)} is not a known {what}.{hint} Known are: {', '.join(known)}.")
        if value is not None:  # an optional member that is null is as good as absent
            parsed[name] = known[name].parse(value)
    return parsed


def _shown(value: Any) -> str:
    """The value for a message. A URL in the wrong property may still be a credential."""
    if value is None:
        return "null"
    text = f"a list of {len(value)} values" if isinstance(value, list) and len(value) > 1 else repr(value)
    if "://" in text:
        return "the value (a URL, not shown)"
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"
