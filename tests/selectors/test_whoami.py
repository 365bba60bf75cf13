"""``whoami:`` asks the app itself, with what a client would have after the response."""

from __future__ import annotations

import asyncio
import json
from contextvars import ContextVar

import pytest

from mfa_middleware import LoginNotHeld, Misconfigured, Settings, Unavailable
from mfa_middleware.passage import PASSAGE, READING
from mfa_middleware.selectors import RequestExchange, RequestSelectors, parse_selectors
from mfa_middleware.selectors.base import ALREADY_HAD
from mfa_middleware.selectors.whoami import WhoAmI
from tests.selectors.exchanges import login_exchange, login_user

WHOAMI = "whoami:/me?full=1#/user/id"


class Me:
    """An app that says who sends a session's cookie or a bearer token."""

    def __init__(
        self, *, status: int = 200, body: bytes | None = None, hangs: bool = False, known: str = "NEW"
    ) -> None:
        self.status, self.body, self.hangs, self.known = status, body, hangs, known
        self.scopes: list[dict] = []

    async def __call__(self, scope, receive, send):
        self.scopes.append(scope)
        assert (await receive())["body"] == b""
        if self.hangs:
            await asyncio.Event().wait()
        headers = dict(scope["headers"])
        known = (
            f"session={self.known}".encode() in headers.get(b"cookie", b"")
            or headers.get(b"authorization") == b"Bearer T"
        )
        body = self.body if self.body is not None else json.dumps({"user": {"id": "alice" if known else None}}).encode()
        await send({"type": "http.response.start", "status": self.status, "headers": [(b"set-cookie", b"rolled=1")]})
        await send({"type": "http.response.body", "body": body})


SIGNED_IN = {"set-cookie": "session=NEW; Path=/"}


async def test_who_has_the_new_cookie_is_who_logs_in_and_what_the_app_sets_then_is_held_too():
    app = Me()
    exchange = login_exchange(b"ok", SIGNED_IN, app=app)
    assert await login_user(WHOAMI, exchange) == "alice"
    assert (b"set-cookie", b"rolled=1") in exchange.extra_cookies


async def test_who_has_the_new_bearer_is_who_logs_in():
    assert await login_user(WHOAMI, login_exchange({"data": {"access_token": "T"}}, app=Me())) == "alice"


async def test_a_failed_login_is_nobody_s():
    assert await login_user(WHOAMI, login_exchange(b"wrong password", app=Me())) is None


async def test_the_inner_request_is_a_clean_get_of_that_path():
    app = Me()
    request = {
        "cookie": "a=1",
        "range": "bytes=0-1",
        "if-none-match": "x",
        "accept-encoding": "gzip",
        "content-length": "5",
        "x-kept": "1",
        "host": "app.example",
    }
    await login_user(
        WHOAMI, login_exchange(b"ok", SIGNED_IN, request=request, app=app, extensions={"http.response.push": {}})
    )
    scope = app.scopes[0]
    assert (scope["method"], scope["path"], scope["query_string"], scope["extensions"]) == ("GET", "/me", b"full=1", {})
    headers = dict(scope["headers"])
    assert headers[b"cookie"] == b"a=1; session=NEW"
    assert headers[b"x-kept"] == b"1"
    assert not {b"range", b"if-none-match", b"accept-encoding", b"content-length"} & set(headers)


async def test_an_app_that_hangs_is_a_doubt():
    with pytest.raises(LoginNotHeld):
        await login_user(WHOAMI, login_exchange(b"ok", SIGNED_IN, app=Me(hangs=True)), engine_timeout=0.05)


@pytest.mark.parametrize("status", [404, 429, 500, 503])
async def test_an_app_that_does_not_say_is_a_doubt(status):
    with pytest.raises(LoginNotHeld):
        await login_user(WHOAMI, login_exchange(b"ok", SIGNED_IN, app=Me(status=status)))


@pytest.mark.parametrize("status", [401, 403, 302])
async def test_an_app_that_turns_the_client_away_says_nobody(status):
    assert await login_user(WHOAMI, login_exchange(b"ok", SIGNED_IN, app=Me(status=status))) is None


CANARY = "canary-4d1c"


async def fails(scope, receive, send):
    """An app that chokes on what it is asked with."""
    raise ValueError(f"no such token: {CANARY}")


async def test_an_app_that_raises_is_a_doubt_and_of_its_error_the_kind_alone_is_told(caplog):
    with pytest.raises(LoginNotHeld) as refused:
        await login_user(WHOAMI, login_exchange(b"ok", SIGNED_IN, app=fails))
    assert "ValueError" in refused.value.reason
    assert CANARY not in refused.value.reason + caplog.text


async def test_an_app_that_raises_at_an_ordinary_request_is_misconfigured_and_its_text_is_not_told(caplog):
    with pytest.raises(Misconfigured) as refused:
        await asked(fails)
    assert "ValueError" in refused.value.reason
    assert CANARY not in refused.value.reason + caplog.text


async def test_a_token_that_the_app_raises_at_was_nobody_s_before():
    exchange = login_exchange(request={"authorization": "Bearer T"}, app=fails)
    await WhoAmI.parse("/me#/user/id", Settings()).look_before(exchange)
    assert exchange.bearer_before is None


async def test_what_is_no_json_is_a_doubt():
    with pytest.raises(LoginNotHeld):
        await login_user(WHOAMI, login_exchange(b"ok", SIGNED_IN, app=Me(body=b"<html>")))


async def test_an_answer_without_end_is_a_doubt():
    with pytest.raises(LoginNotHeld):
        await login_user(WHOAMI, login_exchange(b"ok", SIGNED_IN, app=Me(body=b" " * 2000)), held_response_limit=1024)


async def test_a_login_in_a_session_that_the_client_had_is_refused():
    app = Me(known="OLD")
    exchange = login_exchange(b"ok", request={"cookie": "session=OLD"}, app=app)
    with pytest.raises(LoginNotHeld) as refused:
        await login_user(WHOAMI, exchange)
    assert dict(app.scopes[-1]["headers"])[b"cookie"] == b"session=OLD"
    assert "MFA_SESSION_COOKIE" in refused.value.reason
    assert refused.value.reason == ALREADY_HAD


# ------------------------------------------------------------------------------------------------ whom the app is asked


class Known:
    """An app that knows some credentials: each ``Cookie`` field and each bearer token is somebody's."""

    def __init__(self, **people: object) -> None:
        self.people = people
        self.asked: list[tuple[str, str]] = []

    async def __call__(self, scope, receive, send):
        await receive()
        headers = dict(scope["headers"])
        cookie = headers.get(b"cookie", b"").decode().replace("=", "_").replace("; ", "_")
        token = headers.get(b"authorization", b"").decode().removeprefix("Bearer ").replace("-", "_")
        self.asked.append((cookie, token))
        user = self.people.get(token or cookie)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps({"user": {"id": user}}).encode()})


async def test_the_app_is_asked_with_each_token_and_with_the_cookies_alone_and_with_what_the_client_had():
    app = Known(T1="alice")
    exchange = login_exchange({"access_token": "T1", "token": "T2"}, {"set-cookie": "session=NEW"}, app=app)
    assert await login_user(WHOAMI, exchange) == "alice"
    assert app.asked == [("session_NEW", "T1"), ("session_NEW", "T2"), ("session_NEW", ""), ("", "")]


async def test_tokens_of_several_people_are_a_doubt_and_of_one_are_not():
    body = {"access_token": "T1", "token": "T2"}
    assert await login_user(WHOAMI, login_exchange(body, app=Known(T1=7, T2="7"))) == "7"
    with pytest.raises(LoginNotHeld) as refused:
        await login_user(WHOAMI, login_exchange(body, app=Known(T1="alice", T2="bob")))
    assert "several people" in refused.value.reason


async def test_eight_tokens_are_asked_about_and_nine_are_a_doubt():
    eight, nine = ([{"token": f"T{number}"} for number in range(many)] for many in (8, 9))
    assert await login_user(WHOAMI, login_exchange(eight, app=Known(T7="alice"))) == "alice"
    with pytest.raises(LoginNotHeld) as refused:
        await login_user(WHOAMI, login_exchange(nine, app=Known(T8="alice")))
    assert "more tokens" in refused.value.reason


LONG = "t0123456789_0123456789"


@pytest.mark.parametrize("expected", [True, False])
async def test_a_token_under_another_name_is_found_where_a_login_is_expected(expected):
    app = Known(**{LONG: "alice"})
    exchange = login_exchange({"code": 200, "data": {"mine": LONG}}, app=app)
    exchange.expected = expected
    assert await login_user(WHOAMI, exchange) == ("alice" if expected else None)


@pytest.mark.parametrize("expected", [True, False])
@pytest.mark.parametrize("batch", [True, False])
async def test_and_in_every_answer_of_graphql_whatever_else_is_called_a_token(expected, batch):
    app = Known(**{LONG: "alice"})
    answer = {"data": {"login": {"token": "a decoy", "access_token": "another", "t": LONG}}}
    exchange = login_exchange([answer] if batch else answer, app=app)
    exchange.expected = expected
    assert await login_user(WHOAMI, exchange) == "alice"


class Read:
    """A request in which the client chose the names that begin with an x."""

    is_plain = False
    changes = True

    def may_have_chosen(self, name):
        return name.startswith("x")


@pytest.mark.parametrize("decoys", [0, 31, 32])
async def test_all_is_tried_that_stands_under_a_name_of_the_client_s_choice_or_the_login_is_refused(decoys):
    app = Known(**{LONG: "alice"})
    texts = {f"x{number}": f"{LONG}_{number}" for number in range(decoys)}
    exchange = login_exchange({"data": {**texts, "x": LONG}}, app=app)
    exchange.scope[READING] = Read()
    if decoys < 32:
        assert await login_user(WHOAMI, exchange) == "alice"
    else:
        with pytest.raises(LoginNotHeld) as refused:
            await login_user(WHOAMI, exchange)
        assert "more tokens than can be asked about" in refused.value.reason


@pytest.mark.parametrize("token", ["0123abcd-0123-4567-89ab-0123456789ab", "12|abcdefghijklmnop", "a" * 15 + "1"])
async def test_under_a_name_of_the_client_s_choice_a_token_may_look_like_an_id(token):
    for name, user in (("x", "alice"), ("id", None)):
        exchange = login_exchange({"data": {name: token}}, app=Known(**{token.replace("-", "_"): "alice"}))
        exchange.scope[READING] = Read()
        assert await login_user(WHOAMI, exchange) == user


async def test_of_the_app_s_own_names_those_of_tokens_are_tried_first():
    app = Known(**{LONG: "alice"})
    texts = {f"id{number}": f"{LONG}_{number}" for number in range(50)}
    exchange = login_exchange({"data": {**texts, "sessionKey": LONG}}, app=app)
    exchange.scope[READING] = Read()
    assert await login_user(WHOAMI, exchange) == "alice"
    assert len([token for _, token in app.asked if token]) == 8


async def test_of_texts_that_look_like_tokens_eight_are_tried_where_no_token_is_named():
    app = Known()
    exchange = login_exchange([f"{LONG}_{number}" for number in range(20)], app=app)
    exchange.expected = True
    assert await login_user(WHOAMI, exchange) is None
    assert len([token for _, token in app.asked if token]) == 8
    named = Known(T="alice", **{LONG: "bob"})
    exchange = login_exchange({"token": "T", "text": LONG}, app=named)
    exchange.expected = True
    assert await login_user(WHOAMI, exchange) == "alice"


async def test_of_many_texts_those_whose_name_tells_of_a_token_are_tried_first():
    many = {f"text{number}": f"{LONG}_{number}" for number in range(20)}
    app = Known(**{"z" + LONG: "alice"})
    exchange = login_exchange({**many, "sessionId": "z" + LONG}, app=app)
    exchange.expected = True
    assert await login_user(WHOAMI, exchange) == "alice"
    assert app.asked[0] == ("", "z" + LONG)


async def test_a_token_without_the_word_bearer_is_the_request_s_own():
    app = Known(T="alice")
    exchange = login_exchange({"token": "T"}, request={"authorization": "T"}, app=app)
    selector = WhoAmI.parse("/me#/user/id", Settings())
    await selector.look_before(exchange)
    assert exchange.bearer_before == "alice"
    assert await selector.of_login(exchange) is None


async def test_by_all_that_a_request_carries():
    app = Known(session_OLD="alice", T="bob")
    exchange = login_exchange(request={"cookie": "session=OLD", "authorization": "Bearer T"}, app=app)
    assert await WhoAmI.parse("/me#/user/id", Settings()).by_all(exchange) == "bob"
    assert app.asked == [("session_OLD", "T")]


async def test_where_the_response_gives_nothing_the_app_is_asked_of_a_session_alone():
    app = Known(session_OLD="alice")
    assert await login_user(WHOAMI, login_exchange(b"", request={"cookie": "other=1"}, app=app)) is None
    assert app.asked == []
    with pytest.raises(LoginNotHeld):
        await login_user(WHOAMI, login_exchange(b"", request={"cookie": "session=OLD"}, app=app))


async def test_who_was_there_before_the_login_does_not_log_in():
    app = Known(session_OLD="alice", T="bob")
    exchange = login_exchange({"user": 1}, request={"cookie": "session=OLD"}, app=app)
    selector = WhoAmI.parse("/me#/user/id", Settings())
    await selector.look_before(exchange)
    assert (exchange.before, exchange.bearer_before) == ("alice", None)
    assert app.asked == [("session_OLD", "")]
    assert await selector.of_login(exchange) is None
    exchange.body = b'{"token": "T"}'
    assert await selector.of_login(exchange) == "bob"


async def test_the_client_is_looked_at_before_by_its_session_and_by_its_token_apart():
    app = Known(session_OLD="alice", T="bob")
    exchange = login_exchange(request={"cookie": "session=OLD", "authorization": "Bearer T"}, app=app)
    await WhoAmI.parse("/me#/user/id", Settings()).look_before(exchange)
    assert app.asked == [("session_OLD", ""), ("", "T")]
    assert (exchange.before, exchange.bearer_before) == ("alice", "bob")


async def test_without_a_session_or_a_token_nobody_is_looked_at_before():
    app = Known()
    exchange = login_exchange(request={"cookie": "other=1", "authorization": "Basic T"}, app=app)
    await WhoAmI.parse("/me#/user/id", Settings()).look_before(exchange)
    assert app.asked == []
    assert (exchange.before, exchange.bearer_before) == (None, None)


@pytest.mark.parametrize(("given", "user"), [("T", None), ("T2", "alice"), ("T3", "bob")])
async def test_an_answer_that_repeats_the_request_s_own_token_signs_nobody_in(given, user):
    app = Known(T="alice", T2="alice", T3="bob")
    exchange = login_exchange({"token": given}, request={"authorization": "Bearer T"}, app=app)
    selector = WhoAmI.parse("/me#/user/id", Settings())
    await selector.look_before(exchange)
    assert await selector.of_login(exchange) == user


async def test_a_token_that_was_nobody_s_before_and_is_somebody_s_now_is_a_login():
    app = Known()
    exchange = login_exchange({"token": "T"}, request={"authorization": "Bearer T"}, app=app)
    selector = WhoAmI.parse("/me#/user/id", Settings())
    await selector.look_before(exchange)
    app.people["T"] = "alice"
    assert await selector.of_login(exchange) == "alice"


async def test_before_a_login_an_app_that_does_not_say_is_a_doubt_but_of_a_token_it_chokes_on():
    selector = WhoAmI.parse("/me#/user/id", Settings())
    with pytest.raises(LoginNotHeld) as refused:
        await selector.look_before(login_exchange(request={"cookie": "session=OLD"}, app=Me(status=500)))
    assert "/me answers whoami: with 500" in refused.value.reason
    exchange = login_exchange(request={"authorization": "Bearer T"}, app=Me(status=500))
    await selector.look_before(exchange)
    assert exchange.bearer_before is None


async def test_what_asking_brought_is_held_once_and_what_was_brought_before_stays():
    exchange = login_exchange(b"ok", app=Me())
    exchange.headers = ((b"set-cookie", b"session=NEW"), (b"set-cookie", b"rolled=1"))
    exchange.extra_cookies = ((b"set-cookie", b"earlier=1"),)
    assert await login_user(WHOAMI, exchange) == "alice"
    assert exchange.extra_cookies == ((b"set-cookie", b"earlier=1"),)


async def test_a_packed_answer_to_the_login_is_read():
    assert await login_user(WHOAMI, login_exchange(b"", SIGNED_IN, app=Me())) == "alice"


# ---------------------------------------------------------------------------------------------------- ordinary requests


async def asked(app, text: str = WHOAMI, *, place: str = "outside", **given: object):
    """Whom ``whoami:`` finds in a request that has a cookie and a bearer token."""
    exchange = login_exchange(
        request={"Cookie": "session=NEW", "Authorization": "Bearer T", "x-other": "cookie"}, app=app
    )
    scope = {**exchange.scope, **({"session": {}} if place == "inside" else {})}
    exchange.passage.scope = scope
    selectors = RequestSelectors("MFA_REQUEST_USER", parse_selectors("MFA_REQUEST_USER", text, Settings(**given)))
    return await selectors.user(RequestExchange(scope, exchange.passage))


async def test_a_request_is_asked_about_with_its_own_credentials():
    app = Me()
    assert await asked(app) == "alice"
    fields = app.scopes[0]["headers"]
    assert [value for name, value in fields if name.lower() == b"cookie"] == [b"session=NEW"]
    assert [value for name, value in fields if name.lower() == b"authorization"] == [b"Bearer T"]


async def test_an_app_that_hangs_makes_a_request_wait_no_longer_than_an_engine():
    with pytest.raises(Unavailable):
        async with asyncio.timeout(5):
            await asked(Me(hangs=True), engine_timeout=0.05)


async def test_an_app_that_does_not_say_is_misconfigured_with_its_reason():
    with pytest.raises(Misconfigured) as refused:
        await asked(Me(status=404))
    assert refused.value.reason.startswith("/me?full=1 answers whoami: with 404")


async def test_inside_it_can_never_answer():
    with pytest.raises(Misconfigured) as refused:
        await asked(Me(), place="inside")
    assert "inside of the session middleware" in refused.value.reason


async def test_without_a_middleware_there_is_no_app_to_ask():
    (selector,) = parse_selectors("MFA_REQUEST_USER", WHOAMI, Settings())
    request = RequestExchange({"type": "http", "headers": []}, None)
    assert selector.can_answer(request)
    with pytest.raises(Misconfigured) as refused:
        await selector.of_request(request)
    assert "cannot ask" in refused.value.reason


# ---------------------------------------------------------------------------------------------------- the inner request


class Inner:
    """An app that keeps what it is asked with, and waits for its client to leave."""

    def __init__(self) -> None:
        self.messages: list[dict] = []
        self.scope: dict = {}

    async def __call__(self, scope, receive, send):
        self.scope = scope
        self.messages.append(await receive())
        leaving = asyncio.create_task(receive())
        for _ in range(3):
            await asyncio.sleep(0)
        assert not leaving.done()
        CURRENT.set("inner")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b'{"user": {"id": "alice"}}'})
        self.messages.append(await leaving)


CURRENT: ContextVar[str] = ContextVar("CURRENT", default="none")


async def test_the_inner_app_gets_an_empty_body_and_then_waits_until_it_has_answered():
    app = Inner()
    await asked(app)
    assert app.messages == [{"type": "http.request", "body": b"", "more_body": False}, {"type": "http.disconnect"}]


async def test_the_inner_request_has_a_context_of_its_own():
    CURRENT.set("outer")

    class Reads(Inner):
        async def __call__(self, scope, receive, send):
            assert CURRENT.get() == "none"
            await super().__call__(scope, receive, send)

    assert await asked(Reads()) == "alice"
    assert CURRENT.get() == "outer"


@pytest.mark.parametrize(
    ("root_path", "path", "full"),
    [
        ("", "/login", "/caf\xe9/me"),
        ("/app", "/app/login", "/app/caf\xe9/me"),
        ("/app", "/login", "/caf\xe9/me"),
        (None, "/login", "/caf\xe9/me"),
    ],
)
async def test_the_inner_path_stands_below_the_root_path_where_the_outer_one_does(root_path, path, full):
    app = Inner()
    exchange = login_exchange(b"ok", SIGNED_IN, app=app, root_path=root_path, path=path, state={"a": 1})
    if root_path is None:
        del exchange.scope["root_path"]
    with pytest.raises(LoginNotHeld):  # this app knows everybody
        await login_user("whoami:/caf%C3%A9/me?next=/x%3Fy?z#/user/id", exchange)
    scope = app.scope
    assert (scope["path"], scope["raw_path"]) == (full, full.replace("\xe9", "%C3%A9").encode())
    assert scope["query_string"] == b"next=/x%3Fy?z"
    assert scope["state"] == {"a": 1}
    assert PASSAGE not in scope


async def test_it_asks_for_json_with_no_credentials_but_those_given():
    app = Inner()
    exchange = login_exchange(
        b"ok", app=app, request={"Accept": "text/html", "Authorization": "Basic x", "TE": "trailers"}
    )
    with pytest.raises(LoginNotHeld):
        await login_user(WHOAMI, exchange)
    assert app.scope["headers"] == [(b"accept", b"application/json")]


def test_a_pointer_may_have_a_hash():
    selector = WhoAmI.parse("/me#/a#b", Settings(engine_timeout=1, held_response_limit=2048))
    assert (selector.path, selector.pointer, selector.timeout, selector.limit) == ("/me", "/a#b", 1, 2048)


async def test_an_answer_that_does_not_end_is_a_doubt():
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b'{"user": {"id": "alice"}}', "more_body": True})

    with pytest.raises(Misconfigured):
        await asked(app)
