"""The kinds of value that a property can have."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from tests.unit.strategies import any_json, any_text

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


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        pytest.param(WORD, "abc", "abc", id="a text of the form"),
        pytest.param(WORD, "abcde", "abcde", id="a text of the greatest length"),
        pytest.param(COUNT, 1, 1, id="the least number"),
        pytest.param(COUNT, 3600, 3600, id="the greatest number"),
        pytest.param(COUNT, "3600", 3600, id="a number as CloudFormation sends it"),
        pytest.param(COUNT, "0005", 5, id="a number with noughts before it"),
        pytest.param(COUNT, 60.0, 60, id="a whole number as JSON may have it"),
        pytest.param(CHOICE, "CONTINUE", "CONTINUE", id="one of the words"),
        pytest.param(WORDS, ["a"], ("a",), id="the shortest list"),
        pytest.param(WORDS, ["a", "b", "c"], ("a", "b", "c"), id="the longest list"),
        pytest.param(MARK, "", "", id="an empty mark"),
        pytest.param(MARK, "a b\n5", "a b\n5", id="any characters, up to the greatest length"),
        pytest.param(MARK, 12345, 12345, id="a number"),
        pytest.param(MARK, True, True, id="a boolean"),
        pytest.param(MARK, ["ab", "cde"], ["ab", "cde"], id="a list of the greatest length"),
        pytest.param(MARK, [], [], id="an empty list"),
    ],
)
def test_a_value_is_taken_in_its_own_type(kind: Kind, value: Any, expected: Any) -> None:
    parsed = kind.parse(value)

    assert parsed == expected
    assert type(parsed) is type(expected)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        pytest.param(WORD, "", id="an empty text"),
        pytest.param(WORD, "abcdef", id="a text too long by one"),
        pytest.param(WORD, "abc\n", id="a newline at the end"),
        pytest.param(WORD, "abC", id="a character outside the form"),
        pytest.param(WORD, ["a"], id="a list for a text"),
        pytest.param(WORD, None, id="nothing for a text"),
        pytest.param(WORD, b"abc", id="bytes for a text"),
        pytest.param(MARK, "abcdef", id="a mark too long by one"),
        pytest.param(MARK, 123456, id="a number too long by one"),
        pytest.param(MARK, ["ab", "cdef"], id="a list too long by one in all"),
        pytest.param(MARK, None, id="nothing for a mark"),
        pytest.param(MARK, ["a", None], id="a list with nothing in it"),
        pytest.param(MARK, [["a"]], id="a list in a list"),
        pytest.param(MARK, {"a": "b"}, id="an object for a mark"),
        pytest.param(MARK, 10**5000, id="a number that Python writes no text of"),
        pytest.param(COUNT, 0, id="below the least"),
        pytest.param(COUNT, 3601, id="above the greatest"),
        pytest.param(COUNT, "3601", id="above the greatest as text"),
        pytest.param(COUNT, "-1", id="a negative number as text"),
        pytest.param(COUNT, "+1", id="a plus sign"),
        pytest.param(COUNT, "1.0", id="a decimal point"),
        pytest.param(COUNT, "1e3", id="an exponent"),
        pytest.param(COUNT, "1_000", id="an underscore, which int() takes"),
        pytest.param(COUNT, " 1", id="a blank, which int() takes"),
        pytest.param(COUNT, "1\n", id="a newline after a number"),
        pytest.param(COUNT, "٣٦", id="digits that are not ASCII, which int() takes"),
        pytest.param(COUNT, "9" * 5000, id="more digits than int() takes"),
        pytest.param(COUNT, True, id="true for 1"),
        pytest.param(COUNT, "true", id="true as text"),
        pytest.param(COUNT, 1.5, id="no whole number"),
        pytest.param(COUNT, float("nan"), id="not a number"),
        pytest.param(COUNT, float("inf"), id="infinity"),
        pytest.param(COUNT, [5], id="a list for a number"),
        pytest.param(COUNT, None, id="nothing for a number"),
        pytest.param(CHOICE, "fail", id="the wrong case"),
        pytest.param(CHOICE, "FAIL ", id="a blank at the end"),
        pytest.param(CHOICE, ["FAIL"], id="a list for a choice"),
        pytest.param(CHOICE, True, id="a boolean for a choice"),
    ],
)
def test_a_value_of_another_kind_is_refused(kind: Kind, value: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the sentence is made of `allowed`
        kind.parse(value)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        pytest.param(WORD, "a word", id="text"),
        pytest.param(COUNT, "a whole number from 1 to 3600", id="integer"),
        pytest.param(CHOICE, "FAIL or CONTINUE", id="one of"),
        pytest.param(
            ScalarOrList(1024),
            "a text, number or boolean, or a list of them, of at most 1,024 characters in all",
            id="scalar or list",
        ),
    ],
)
def test_a_kind_says_what_it_allows(kind: Kind, expected: str) -> None:
    assert kind.allowed == expected


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        pytest.param(WORD, {"type": "string", "pattern": "^[a-z]+$", "maxLength": 5}, id="text"),
        pytest.param(
            COUNT,
            {
                "anyOf": [
                    {"type": "integer", "minimum": 1, "maximum": 3600},
                    {"type": "string", "pattern": "^[0-9]{1,9}$"},
                ]
            },
            id="integer",
        ),
        pytest.param(CHOICE, {"enum": ["FAIL", "CONTINUE"]}, id="one of"),
        pytest.param(
            WORDS,
            {"type": "array", "items": WORD.schema(), "minItems": 1, "maxItems": 3, "uniqueItems": True},
            id="list",
        ),
        pytest.param(
            MARK,
            {
                "anyOf": [
                    {"type": ["string", "number", "boolean"], "maxLength": 5},
                    {"type": "array", "items": {"type": ["string", "number", "boolean"], "maxLength": 5}},
                ]
            },
            id="scalar or list",
        ),
    ],
)
def test_a_kind_is_said_as_json_schema(kind: Kind, expected: dict[str, Any]) -> None:
    assert kind.schema() == expected


def test_a_refusal_names_the_property_the_value_and_what_is_allowed() -> None:
    with pytest.raises(InvalidRequest) as refusal:
        parse_all(PROPERTIES, {"HowMany": "4000"}, "property")

    assert str(refusal.value) == "HowMany: '4000' is not allowed: it must be a whole number from 1 to 3600."


def test_a_url_in_the_wrong_place_is_not_repeated() -> None:
    """It may be a credential."""
    with pytest.raises(InvalidRequest) as refusal:
        parse_all(PROPERTIES, {"Word": "https://bucket/?X-Amz-Signature=c0ffee"}, "property")

    assert str(refusal.value) == "Word: the value (a URL, not shown) is not allowed: it must be a word."


@pytest.mark.parametrize(("length", "mark"), [(SHOWN_CHARACTERS, ""), (SHOWN_CHARACTERS + 1, "…")])
def test_a_value_is_shown_as_far_as_a_sentence_has_room_for_it(length: int, mark: str) -> None:
    value = "X" * (length - 2)  # and two quotation marks

    with pytest.raises(InvalidRequest) as refusal:
        parse_all(PROPERTIES, {"Word": value}, "property")

    assert str(refusal.value) == f"Word: {repr(value)[:SHOWN_CHARACTERS]}{mark} is not allowed: it must be a word."


def test_a_refused_credential_is_not_repeated() -> None:
    handle = Property("WaitConditionHandle", Text(r"https://\S+", "a URL", 40), "A handle.", secret=True)

    with pytest.raises(InvalidRequest) as refusal:
        parse_all([handle], {"WaitConditionHandle": "http://bucket/?X-Amz-Signature=c0ffee"}, "property")

    assert "WaitConditionHandle" in str(refusal.value)
    assert "it must be a URL" in str(refusal.value)
    assert "c0ffee" not in str(refusal.value)
    assert refusal.value.__cause__ is None


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("x" * 100_000, id="a long text"),
        pytest.param({"a": "😀" * 10_000}, id="a large object"),
    ],
)
def test_a_refusal_stays_a_sentence_however_large_the_value(value: Any) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        parse_all(PROPERTIES, {"Word": value}, "property")

    assert len(str(refusal.value)) < 250
    assert str(refusal.value).endswith("… is not allowed: it must be a word.")


def test_a_long_list_is_not_repeated_but_counted() -> None:
    with pytest.raises(InvalidRequest) as refusal:
        parse_all(PROPERTIES, {"Word": ["x"] * 10_000}, "property")

    assert str(refusal.value) == "Word: a list of 10000 values is not allowed: it must be a word."


def test_a_refusal_shows_a_newline_and_half_a_character_as_what_they_are() -> None:
    with pytest.raises(InvalidRequest) as refusal:
        parse_all(PROPERTIES, {"Word": "a\n\ud800"}, "property")

    assert r"'a\n\ud800'" in str(refusal.value)


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        pytest.param("HowMnay", "HowMany", id="letters swapped"),
        pytest.param("OnFail", "OnFailure", id="cut short"),
        pytest.param("howmany", "HowMany", id="the wrong case"),
    ],
)
def test_a_misspelt_name_is_refused_with_the_name_that_was_probably_meant(misspelt: str, meant: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        parse_all(PROPERTIES, {misspelt: "1"}, "property")

    assert str(refusal.value) == (
        f"'{misspelt}' is not a known property. Did you mean {meant}? Known are: Word, HowMany, OnFailure."
    )


def test_a_name_like_no_other_is_refused_with_the_names_that_are_known() -> None:
    with pytest.raises(InvalidRequest) as refusal:
        parse_all(PROPERTIES, {"zzz": "1"}, "input member")

    assert str(refusal.value) == "'zzz' is not a known input member. Known are: Word, HowMany, OnFailure."


@pytest.mark.parametrize("name", [5, None, True, 1.5, ("Word",), b"Word"], ids=repr)
def test_a_name_that_is_no_text_is_refused(name: Any) -> None:
    with pytest.raises(InvalidRequest, match="is not a known property"):
        parse_all(PROPERTIES, {name: "abc"}, "property")


@pytest.mark.parametrize("given_", [None, [], "Word", 5, True, [["Word", "abc"]]], ids=repr)
def test_properties_that_are_no_object_are_refused(given_: Any) -> None:
    with pytest.raises(InvalidRequest, match="must be an object"):
        parse_all(PROPERTIES, given_, "property")


def test_only_what_is_given_is_parsed() -> None:
    assert parse_all(PROPERTIES, {"HowMany": "5"}, "property") == {"HowMany": 5}
    assert parse_all(PROPERTIES, {}, "property") == {}


@given(
    given_=st.dictionaries(st.sampled_from([p.name for p in PROPERTIES]) | any_text, any_json, max_size=3) | any_json
)
def test_whatever_json_is_given_it_is_taken_or_refused(given_: Any) -> None:
    try:
        parsed = parse_all(PROPERTIES, given_, "property")
    except InvalidRequest as refusal:
        str(refusal).encode()  # it goes to CloudFormation in UTF-8
    else:
        assert parsed.keys() == {name for name, value in given_.items() if value is not None}
