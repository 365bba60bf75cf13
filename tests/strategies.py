"""What Hypothesis makes up for several tests."""

from __future__ import annotations

from hypothesis import strategies as st

#: Any JSON document that is read as it was written.
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
