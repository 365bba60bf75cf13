"""scope["session"]: put back as it was while a login is held, replaced whole when it is released."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mfa_middleware.selectors import Place
from mfa_middleware.sessions import SessionBefore, replace_session, session_content, session_value

CONTENT = st.dictionaries(
    st.text(max_size=5), st.integers() | st.lists(st.text(max_size=5)) | st.dictionaries(st.text(max_size=5), st.none())
)


class Tracking(dict[str, Any]):
    """As Starlette's: who saves it holds the very object."""


def test_inside_is_where_a_session_stands():
    assert Place.of({"session": {}}) is Place.INSIDE
    assert Place.of({"user": None}) is Place.OUTSIDE
    assert Place.of({"type": "http"}) is Place.OUTSIDE


@given(CONTENT, CONTENT)
async def test_whatever_the_login_did_is_undone_in_the_very_object(before, after):
    session = Tracking(before)
    scope: dict[str, Any] = {"session": session}
    kept = SessionBefore(scope)
    session.clear()
    session.update(after)
    kept.put_back()
    assert scope["session"] is session
    assert session == before


async def test_a_nested_change_is_undone_and_does_not_leak_into_the_copy():
    session = Tracking(cart=["apple"], profile={"name": "nobody"})
    scope = {"session": session}
    kept = SessionBefore(scope)
    session["cart"].append("pear")
    session["profile"]["name"] = "alice"
    held = session_content(scope)
    kept.put_back()
    assert session == {"cart": ["apple"], "profile": {"name": "nobody"}}
    assert held == {"cart": ["apple", "pear"], "profile": {"name": "alice"}}


async def test_a_session_that_was_replaced_by_another_object_is_the_former_again():
    session = Tracking(user="nobody")
    scope: dict[str, Any] = {"session": session}
    kept = SessionBefore(scope)
    scope["session"] = {"user": "alice"}
    kept.put_back()
    assert scope["session"] is session
    assert session == {"user": "nobody"}


async def test_a_release_replaces_and_never_merges():
    """Merging would mix what two users have."""
    session = Tracking(user="bob", cart=["bob's"])
    scope: dict[str, Any] = {"session": session}
    held = {"user": "alice", "list": [1]}
    await replace_session(scope, held)
    assert scope["session"] is session
    assert session == held
    session["list"].append(2)
    assert held["list"] == [1]


async def test_a_release_makes_a_session_where_there_is_none():
    scope: dict[str, Any] = {}
    await replace_session(scope, {"user": "alice"})
    assert scope["session"] == {"user": "alice"}


def test_without_a_session_there_is_no_value_and_no_content():
    assert session_value({}, "user") is None
    assert session_content({}) is None
    assert session_value({"session": {"user": 1}}, "user") == 1
