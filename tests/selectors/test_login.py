"""Whose login a response is: each selector of MFA_LOGIN_USER, and all together. A doubt is never nobody."""

from __future__ import annotations

import gzip

import jwt
import pytest

from mfa_middleware import ConfigurationError, LoginNotHeld, Settings, mark_login
from mfa_middleware.passage import READING
from mfa_middleware.selectors import parse_selectors
from mfa_middleware.sessions import SessionBefore
from tests.selectors.exchanges import login_exchange, login_user

KEY = "k" * 32


async def test_json_reads_the_body():
    assert await login_user("json:/user/id", login_exchange({"user": {"id": 7}})) == "7"
    assert await login_user("json:", login_exchange("alice")) == "alice"
    assert await login_user("json:/0/id", login_exchange([{"id": "alice"}])) == "alice"


class Read:
    """What a dialect read of a request: that its client may have chosen each name in the answer."""

    def __init__(self, *, is_plain, changes=False):
        self.is_plain, self.changes = is_plain, changes

    def may_have_chosen(self, name):
        return True


@pytest.mark.parametrize(
    ("body", "changes", "refused"),
    [
        ({"data": {"login": {"id": "nobody"}}}, False, True),
        ({"data": {"x": {"token": "t"}}}, False, True),
        ({"data": {"x": "a-text-that-is-long-1"}}, True, True),
        ({"data": {"x": "a-text-that-is-long-1"}}, False, False),
        ({"data": {"x": "short"}}, True, False),
    ],
)
async def test_json_trusts_a_client_s_choice_of_names_only_where_it_gave_none(body, changes, refused):
    for is_plain in (True, False):
        exchange = login_exchange(body)
        exchange.expected = False
        exchange.scope[READING] = Read(is_plain=is_plain, changes=changes)
        if refused and not is_plain:
            with pytest.raises(LoginNotHeld):
                await login_user("json:/data/login/id", exchange)
        else:
            found = await login_user("json:/data/login/id", exchange)
            assert found == ("nobody" if "login" in body["data"] else None)


async def test_jwt_reads_all_tokens_where_the_client_may_have_chosen_names():
    """Those of one object as well: a login that answers the bare token may be asked for twice."""
    mine, other = (jwt.encode({"uid": one}, KEY) for one in ("bob", "alice"))
    for answer in ({"login": mine, "y": other}, {"login": {"token": mine}, "y": {"token": other}}):
        pointer = "jwt:/data/login#uid" if answer["login"] == mine else "jwt:/data/login/token#uid"
        with pytest.raises(LoginNotHeld):
            await login_user(pointer, login_exchange({"data": answer}))
        exchange = login_exchange({"code": 200, "data": answer})
        assert await login_user(pointer, exchange) == "bob"
        exchange.scope[READING] = Read(is_plain=False)
        with pytest.raises(LoginNotHeld):
            await login_user(pointer, exchange)


@pytest.mark.parametrize(
    "body", [{}, {"user": None}, {"user": ""}, [], None, "x", b"", b"<html>", b"user=alice"], ids=repr
)
async def test_where_no_user_stands_nobody_logs_in(body):
    assert await login_user("json:/user", login_exchange(body)) is None


@pytest.mark.parametrize("user", [True, 1.5, ["alice"], {"id": 1}, "a" * 256, "a\0"])
async def test_a_user_that_is_none_is_a_doubt(user):
    with pytest.raises(LoginNotHeld):
        await login_user("json:/user", login_exchange({"user": user}))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"user": "alice", "echo": ' + b"[" * 5000 + b"]" * 5000 + b"}", id="nested deeply"),
        pytest.param(b'{"user": "alice", "echo": ' + b"9" * 5000 + b"}", id="a number of many digits"),
        pytest.param(b'{"user": "alice", "echo": "\xff"}', id="a byte that is no UTF-8"),
    ],
)
async def test_json_that_we_cannot_read_is_a_doubt_and_not_nobody(body):
    """What the app echoes is the attacker's choice, and must not hide who was signed in."""
    with pytest.raises(LoginNotHeld):
        await login_user("json:/user", login_exchange(body, {"content-type": "application/json"}))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
async def test_json_is_read_in_any_unicode_encoding(encoding):
    assert await login_user("json:/user", login_exchange('{"user": "alice"}'.encode(encoding))) == "alice"


async def test_a_packed_body_is_read_and_one_that_hides_is_a_doubt():
    packed = gzip.compress(b'{"user": "alice"}')
    assert await login_user("json:/user", login_exchange(packed, {"content-encoding": "gzip"})) == "alice"
    for coding in ("br", "gzip, gzip", "x"):
        with pytest.raises(LoginNotHeld):
            await login_user("json:/user", login_exchange(packed, {"content-encoding": coding}))


async def test_jwt_reads_a_claim_of_the_token_in_the_body():
    token = jwt.encode({"sub": "alice", "exp": 1}, KEY)  # expired or not: the app has just made it
    assert await login_user("jwt:/access_token#sub", login_exchange({"access_token": token})) == "alice"
    assert await login_user("jwt:/access_token#email", login_exchange({"access_token": token})) is None
    assert await login_user("jwt:/access_token#sub", login_exchange({"error": "wrong"})) is None


@pytest.mark.parametrize("token", ["opaque", "a.b.c", 5, ["x"], {"x": 1}, "e30.e30"], ids=str)
async def test_where_a_jwt_should_stand_anything_else_is_a_doubt(token):
    with pytest.raises(LoginNotHeld):
        await login_user("jwt:/access_token#sub", login_exchange({"access_token": token}))


async def test_header_reads_a_field_and_two_users_are_a_doubt():
    assert await login_user("header:X-User", login_exchange(b"", {"x-USER": " alice "}, declared=False)) == "alice"
    assert await login_user("header:X-User", login_exchange(b"")) is None
    exchange = login_exchange(b"")
    exchange.headers = ((b"x-user", b"alice"), (b"X-User", b"bob"))
    with pytest.raises(LoginNotHeld):
        await login_user("header:X-User", exchange)


@pytest.mark.parametrize("value", ["caf\xe9", "=?utf-8?B?YWxpY2U=?="])
async def test_a_user_that_no_field_can_carry_plainly_is_a_doubt(value):
    with pytest.raises(LoginNotHeld, match="protected"):
        await login_user("header:X-User", login_exchange(b"", {"x-user": value}))


async def test_mark_is_the_app_s_word():
    exchange = login_exchange({"user": "bob"})
    mark_login(exchange.scope, 7)
    assert await login_user("mark", exchange) == "7"


async def test_a_mark_of_nobody_is_no_login_whatever_else_it_looks_like():
    exchange = login_exchange({"user": "bob"})
    mark_login(exchange.scope, None)
    assert await login_user("mark, json:/user", exchange) is None


def test_a_mark_without_a_middleware_or_too_late_raises():
    with pytest.raises(LoginNotHeld, match="mark_login"):
        mark_login({"type": "http"}, "alice")
    exchange = login_exchange()
    exchange.passage.started = True
    with pytest.raises(LoginNotHeld, match="already started"):
        mark_login(exchange.scope, "alice")
    mark_login(exchange.scope, None)


@pytest.mark.parametrize(
    ("before", "now", "user"),
    [
        ({}, {"u": 1}, "1"),
        ({"u": 1}, {"u": 2}, "2"),
        ({"u": 1}, {"u": 1}, None),
        ({"u": "1"}, {"u": 1}, None),
        ({"u": 1}, {}, None),
        ({"a": 1}, {"a": 2}, None),
    ],
)
async def test_session_is_a_login_when_it_changes(before, now, user):
    exchange = login_exchange(session=dict(before), declared=False)
    exchange.session_before = SessionBefore(exchange.scope)
    exchange.scope["session"].clear()
    exchange.scope["session"].update(now)
    assert await login_user("session:u", exchange) == user


async def test_selectors_that_answer_must_agree():
    body = {"user": 7, "id": "7", "other": "bob", "nobody": None}
    assert await login_user("json:/user, json:/id, json:/nobody", login_exchange(body)) == "7"
    with pytest.raises(LoginNotHeld):
        await login_user("json:/user, json:/other", login_exchange(body))


async def test_off_the_declared_paths_a_body_is_not_read():
    assert await login_user("json:/user", login_exchange({"user": "alice"}, declared=False)) is None


@pytest.mark.parametrize(
    "text",
    [
        "magic",
        "json:user",
        "jwt:/x",
        "jwt:x#sub",
        "header:",
        "header:X User",
        "session:",
        "session",
        "mark:x",
        "user",
        "bearer:sub",
        "whoami:me",
        "whoami:",
        ":",
        "json :/x",
    ],
)
def test_what_is_no_selector_of_a_login_stops_start_up_and_is_named(text):
    with pytest.raises(ConfigurationError, match="MFA_LOGIN_USER"):
        parse_selectors("MFA_LOGIN_USER", text, Settings())


@pytest.mark.parametrize("text", ["json:/x", "jwt:/x#sub", "mark", "user:a-b", "bearer:", "bearer:sub", "header:é"])
def test_what_is_no_selector_of_a_request_stops_start_up_and_is_named(text):
    with pytest.raises(ConfigurationError, match="MFA_REQUEST_USER"):
        parse_selectors("MFA_REQUEST_USER", text, Settings())
