"""User ids, and pointers into JSON (RFC 6901)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfa_middleware import LoginNotHeld
from mfa_middleware.selectors.values import check_pointer, is_true, resolve, user_id

RFC = {
    "foo": ["bar", "baz"],
    "": 0,
    "a/b": 1,
    "c%d": 2,
    "e^f": 3,
    "g|h": 4,
    "i\\j": 5,
    'k"l': 6,
    " ": 7,
    "m~n": 8,
    "~1": 9,
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.parametrize(
    ("pointer", "found"),
    [
        ("", RFC),
        ("/foo", ["bar", "baz"]),
        ("/foo/0", "bar"),
        ("/", 0),
        ("/a~1b", 1),
        ("/c%d", 2),
        ("/e^f", 3),
        ("/g|h", 4),
        ("/i\\j", 5),
        ('/k"l', 6),
        ("/ ", 7),
        ("/m~0n", 8),
        ("/~01", 9),
        ("/nothing", None),
        ("/foo/2", None),
        ("/foo/-", None),
        ("/foo/-1", None),
        ("/foo/x", None),
        ("/foo/\u0660", None),
        ("/a~1b/x", None),
    ],
)
def test_a_pointer_leads_where_the_rfc_says_or_nowhere(pointer, found):
    assert resolve(RFC, check_pointer(pointer)) == found


def test_an_index_has_no_leading_zeros():
    assert resolve(RFC, "/foo/01") is None


def test_what_is_no_pointer_is_refused():
    with pytest.raises(ValueError, match="slash"):
        check_pointer("foo")


@given(JSON, st.text())
def test_any_pointer_leads_somewhere_or_nowhere_and_nothing_is_raised(document, text):
    try:
        pointer = check_pointer(text)
    except ValueError:
        return
    resolve(document, pointer)


@given(JSON)
def test_anything_is_a_user_nobody_or_a_doubt(value):
    try:
        found = user_id(value)
    except LoginNotHeld:
        return
    assert found is None or (0 < len(found) <= 255)


@pytest.mark.parametrize(
    ("value", "user"),
    [("alice", "alice"), (1, "1"), ("1", "1"), (0, "0"), (-5, "-5"), (None, None), ("", None), (" alice", " alice")],
    ids=repr,
)
def test_who_it_is(value, user):
    assert user_id(value) == user


@pytest.mark.parametrize("value", [True, False, 1.0, [], ["alice"], {}, b"alice", "a" * 256, "a\0b", "\ud800"])
def test_what_is_no_user_id_is_a_doubt(value):
    with pytest.raises(LoginNotHeld):
        user_id(value)


def test_the_longest_user_ids():
    assert user_id("a" * 255) == "a" * 255
    assert user_id(2**512 - 1) == str(2**512 - 1)


@pytest.mark.parametrize("power", [512, 1024, 20_000])
def test_an_integer_too_long_for_a_user_id_is_a_doubt(power):
    with pytest.raises(LoginNotHeld):
        user_id(2**power)


@pytest.mark.parametrize("value", [True, "true", "True", "1"], ids=repr)
def test_what_is_true(value):
    assert is_true(value)


@pytest.mark.parametrize("value", [False, None, "", "false", "0", "yes", "admin", 2, [True], {}, "true "], ids=repr)
def test_what_is_not_true(value):
    assert not is_true(value)
