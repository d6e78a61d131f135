"""What a template, a caller or a service might send: anything that JSON can say."""

from typing import Any

from hypothesis import strategies as st

any_text = st.text(st.characters(), max_size=60)
"""Lone surrogates too: `"\\ud800"` is valid JSON."""

scalars = st.none() | st.booleans() | st.integers() | st.floats() | any_text

any_json: st.SearchStrategy[Any] = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4), max_leaves=8
)
