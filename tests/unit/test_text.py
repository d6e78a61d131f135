"""Text that has to fit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from license_conversion.text import MARK, shorten, size
from tests.unit.strategies import any_text

awkward_text = st.text(st.sampled_from('ab"\\\n\x00é€😀\ud800'), max_size=80) | any_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", 0), ("abc", 3), ('"\\', 4), ("\n", 2), ("\x00", 6), ("é€😀", 2 + 3 + 4), ("half: \ud800", 7)],
    ids=ascii,
)
def test_a_text_is_measured_in_the_bytes_that_it_takes_in_a_response(text: str, expected: int) -> None:
    assert size(text) == expected


@given(text=awkward_text, limit=st.integers(-10, 200))
def test_a_shortened_text_never_exceeds_its_limit_and_one_that_just_fits_is_left_alone(text: str, limit: int) -> None:
    assert size(shorten(text, limit)) <= max(0, limit)
    assert shorten(text, size(text)) == text


@given(text=awkward_text, limit=st.integers(0, 200))
def test_a_shortened_text_is_the_longest_beginning_that_fits_and_a_mark(text: str, limit: int) -> None:
    shortened = shorten(text, limit)

    if shortened not in (text, ""):
        kept = len(shortened) - len(MARK)
        assert shortened == text[:kept] + MARK
        assert size(text[: kept + 1] + MARK) > limit


@pytest.mark.parametrize("limit", range(size(MARK), size(MARK) + 9))
def test_a_four_byte_character_is_kept_whole_or_not_at_all(limit: int) -> None:
    shortened = shorten("😀" * 10, limit)

    assert shortened == "😀" * ((limit - size(MARK)) // 4) + MARK
