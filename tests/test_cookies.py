"""Cookie headers, read as generously as any framework reads them."""

from __future__ import annotations

from http.cookies import SimpleCookie

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfa_middleware.cookies import (
    CookieNames,
    cookie_pairs,
    cookie_value,
    merged_cookies,
    set_cookie_header,
    set_cookies,
)

NAMES = CookieNames(("session", "sessionid"))

#: Spellings that Starlette, Django, Litestar or Quart read as the session's cookie.
SPELLINGS = [
    "session=ID",
    "session =ID",
    "session\t=ID",
    "$Version=1; session=ID",
    ";session=ID",
    "a=b;session=ID",
    "a=b; session=ID; c=d",
    'session="ID"',
    "session=",
    "Session=ID",
    "SESSION=ID",
    "sessionid=ID",
    "session-0=I; session-1=D",
    "a=b, session=ID",
    " session = ID ",
    "session=ID; session=ID2",
    "%73ession=ID",
    '"a; session=ID"',
    "session",
    "a=b;;session=ID",
    "$Path=/; session=ID; $Domain=x",
]
OTHERS = ["mysession=ID", "session_id=ID", "sessions=ID", "xsession=1", "csrftoken=x", "sessionid2=x", "session.x=1"]


@pytest.mark.parametrize("field", SPELLINGS)
def test_the_session_cookie_is_seen_and_taken_out_however_it_is_spelt(field):
    headers = [(b"Cookie", field.encode("latin-1")), (b"x", b"session=kept")]
    assert NAMES.within(headers)
    stripped = NAMES.without(headers)
    assert not NAMES.within(stripped)
    assert (b"x", b"session=kept") in stripped
    jar: SimpleCookie = SimpleCookie()
    for name, value in stripped:
        if name == b"cookie":
            jar.load(value.decode("latin-1"))
    assert not {"session", "sessionid"} & set(jar)


@pytest.mark.parametrize("field", OTHERS)
def test_other_cookies_stay(field):
    headers = [(b"cookie", field.encode())]
    assert not NAMES.within(headers)
    assert NAMES.without(headers) == headers


def test_of_two_cookie_fields_both_are_looked_at():
    headers = [(b"cookie", b"a=1; session=x"), (b"accept", b"*/*"), (b"COOKIE", b"session=y; b=2")]
    assert NAMES.without(headers) == [(b"accept", b"*/*"), (b"cookie", b"a=1; b=2")]


def test_without_names_nothing_is_a_session_cookie():
    none = CookieNames(())
    assert not none.within([(b"cookie", b"session=x; =y; z")])
    assert not none.match("")


@given(st.binary())
def test_whatever_a_client_sends_the_cookie_is_gone_afterwards(field):
    for crafted in (field, field + b"; session=x", b"session=x;" + field, field + b"session=" + field):
        stripped = NAMES.without([(b"cookie", crafted)])
        assert not NAMES.within(stripped)
        assert all(name.lower() not in ("session", "sessionid") for name, _ in cookie_pairs(stripped))


def test_pairs_are_stripped_of_blanks_and_quotes():
    headers = [(b"cookie", b' a = "1" ;b=2'), (b"Cookie", b"c=3=4")]
    assert cookie_pairs(headers) == [("a", "1"), ("b", "2"), ("c", "3=4")]
    assert cookie_value(headers, "c") == "3=4"
    assert cookie_value(headers, "d") is None


@pytest.mark.parametrize(
    ("field", "found"),
    [
        (b"a=1", {"a": "1"}),
        (b"a=1; Max-Age=10", {"a": "1"}),
        (b"a=1; Max-Age=0", {"a": None}),
        (b"a=1; max-age = -1; Path=/", {"a": None}),
        (b"a=", {"a": None}),
        (b'a=""; Path=/', {"a": None}),
        (b" a = 1 ; HttpOnly", {"a": "1"}),
        (b"a=1; Max-Age=00", {"a": "1"}),
    ],
)
def test_what_a_response_sets_and_deletes(field, found):
    assert dict(set_cookies([(b"Set-Cookie", field), (b"x", b"b=1")])) == found


def test_cookies_after_a_response_are_what_a_client_would_send():
    headers = [(b"cookie", b"a=1; b=2"), (b"cookie", b"c=3")]
    assert merged_cookies(headers, [("a", "9"), ("b", None), ("d", "4")]) == b"c=3; a=9; d=4"


def test_our_cookies_are_out_of_the_reach_of_scripts_and_other_sites():
    name, value = set_cookie_header("mfa", "v", max_age=60, secure=True)
    assert name == b"set-cookie"
    assert set(value.decode().split("; ")) == {"mfa=v", "HttpOnly", "Max-Age=60", "Path=/", "SameSite=Lax", "Secure"}
    assert b"Secure" not in set_cookie_header("mfa", "v", max_age=0, secure=False)[1]


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: b=c", "a;b", 'a"b', "é", "a\0b"])
def test_no_value_breaks_out_of_a_cookie(value):
    try:
        _, field = set_cookie_header("mfa", value, max_age=60, secure=False)
    except ValueError:
        return
    assert not {0, 10, 13} & set(field)
    assert field.decode("latin-1").count(";") == 4
