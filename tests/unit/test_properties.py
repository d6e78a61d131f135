"""The kinds of value that a property can have."""

import json
from pathlib import Path
from typing import Any

import pytest

from license_conversion.errors import InvalidRequest
from license_conversion.properties import (
    SHOWN_CHARACTERS,
    Integer,
    Kind,
    ListOf,
    OneOf,
    Property,
    ScalarOrList,
    Text,
    parse_all,
)
from license_conversion.request import EXECUTION_INPUT

WORD = Text(r"[a-z]+", "a word", 5)
COUNT = Integer(1, 3600)
CHOICE = OneOf(("FAIL", "CONTINUE"))
MARK = ScalarOrList(5)
WORDS = ListOf(WORD, 3)
PROPERTIES = (
    Property("Word", WORD, "A word."),
    Property("HowMany", COUNT, "A count."),
    Property("OnFailure", CHOICE, "A choice."),
)


def refusal(given_: Any, *, properties: tuple[Property, ...] = PROPERTIES, what: str = "property") -> str:
    with pytest.raises(InvalidRequest) as refused:
        parse_all(properties, given_, what)
    assert refused.value.__cause__ is None
    return str(refused.value)


TAKEN: list[tuple[Kind, Any, Any]] = [
    (WORD, "abcde", "abcde"),
    (COUNT, 1, 1),
    (COUNT, 3600, 3600),
    (COUNT, "3600", 3600),  # as CloudFormation sends it
    (COUNT, "0005", 5),
    (COUNT, 60.0, 60),  # a whole number as JSON may have it
    (CHOICE, "CONTINUE", "CONTINUE"),
    (WORDS, ["a"], ("a",)),
    (WORDS, ["a", "b", "c"], ("a", "b", "c")),
    (MARK, "", ""),
    (MARK, "a b\n5", "a b\n5"),
    (MARK, 12345, 12345),
    (MARK, True, True),
    (MARK, ["ab", "cde"], ["ab", "cde"]),
    (MARK, [], []),
]
REFUSED: list[tuple[Kind, list[Any]]] = [
    (WORD, ["", "abcdef", "abc\n", "abC", ["a"], None, b"abc"]),
    (CHOICE, ["fail", "FAIL ", ["FAIL"], True]),
    (MARK, ["abcdef", 123456, ["ab", "cdef"], None, ["a", None], [["a"]], {"a": "b"}]),
    (COUNT, [0, 3601, "3601", "-1", "+1", "1.0", "1e3", "1\n", "true", 1.5, float("nan"), float("inf"), [5], None]),
    (COUNT, [True, "1_000", " 1", "٣٦"]),  # int() takes them
]


@pytest.mark.parametrize(("kind", "value", "expected"), TAKEN)
def test_a_value_is_taken_in_its_own_type(kind: Kind, value: Any, expected: Any) -> None:
    parsed = kind.parse(value)

    assert parsed == expected
    assert type(parsed) is type(expected)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *((kind, value) for kind, values in REFUSED for value in values),
        pytest.param(MARK, 10**5000, id="a number that Python writes no text of"),
        pytest.param(COUNT, "9" * 5000, id="more digits than int() takes"),
    ],
)
def test_a_value_of_another_kind_is_refused(kind: Kind, value: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the sentence is made of `allowed`
        kind.parse(value)


@pytest.mark.parametrize("one", EXECUTION_INPUT, ids=lambda one: one.name)
def test_a_kind_is_said_as_the_json_schema_that_is_published(one: Property) -> None:
    page = Path(__file__).parents[2] / "schemas" / "execution-input.schema.json"
    *published, null = json.loads(page.read_text())["properties"][one.name]["anyOf"]

    said = one.kind.schema()

    assert (said.get("anyOf", [said]), null) == (published, {"type": "null"})


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param("4000", "'4000'", id="as it is"),
        pytest.param("a\n\ud800", r"'a\n\ud800'", id="a newline and half a character as what they are"),
        pytest.param("X" * (SHOWN_CHARACTERS - 2), f"'{'X' * (SHOWN_CHARACTERS - 2)}'", id="as far as there is room"),
        pytest.param("X" * (SHOWN_CHARACTERS - 1), f"'{'X' * (SHOWN_CHARACTERS - 1)}…", id="and no further"),
        pytest.param({"a": "😀" * 10_000}, f"{{'a': '{'😀' * (SHOWN_CHARACTERS - 7)}…", id="a large object"),
        pytest.param(["x"] * 10_000, "a list of 10000 values", id="how long a list is"),
        pytest.param("https://bucket/?X-Amz-Signature=c0ffee", "the value (a URL, not shown)", id="no credential"),
    ],
)
def test_a_refusal_names_the_property_what_there_is_room_for_of_the_value_and_what_is_allowed(
    value: Any, shown: str
) -> None:
    assert refusal({"HowMany": value}) == f"HowMany: {shown} is not allowed: it must be a whole number from 1 to 3600."


def test_a_refused_credential_is_not_repeated() -> None:
    handle = Property("Handle", Text(r"https://\S+", "a URL", 40), "A handle.", secret=True)

    said = refusal({"Handle": "not-a-url-but-c0ffee"}, properties=(handle,))

    assert said == "Handle: the value (a credential, not shown) is not allowed: it must be a URL."


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [("HowMnay", "HowMany"), ("OnFail", "OnFailure"), ("howmany", "HowMany")],
    ids=["letters swapped", "cut short", "the wrong case"],
)
def test_a_misspelt_name_is_refused_with_the_name_that_was_probably_meant(misspelt: str, meant: str) -> None:
    assert refusal({misspelt: "1"}) == (
        f"'{misspelt}' is not a known property. Did you mean {meant}? Known are: Word, HowMany, OnFailure."
    )


@pytest.mark.parametrize("name", ["zzz", 5, None, True, 1.5, ("Word",)], ids=repr)
def test_a_name_like_no_other_is_refused_with_the_names_that_are_known(name: Any) -> None:
    said = refusal({name: "abc"}, what="input member")

    assert said.endswith(" is not a known input member. Known are: Word, HowMany, OnFailure.")


@pytest.mark.parametrize(
    ("given_", "shown"), [(None, "null"), ([], "[]"), ("Word", "'Word'"), (5, "5"), ([["Word"]], "[['Word']]")]
)
def test_properties_that_are_no_object_are_refused(given_: Any, shown: str) -> None:
    assert refusal(given_) == f"The property list {shown} is not allowed: it must be an object."
