"""Rule 1, held means held: who knows the password wants the app to be asked in vain (``whoami:``)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route

from tests.rules.apps import (
    CASES,
    SECRET,
    STARLETTE_ROUTES,
    Case,
    checked,
    fields_of,
    starlette_signed,
    starsessions,
    token_for,
    user_of_bearer,
)
from tests.rules.asgi_client import App, Client
from tests.rules.conftest import Wrapped

ASKED = {"login_user": "whoami:/me#/user", "request_user": "whoami:/me#/user"}


async def test_a_login_below_a_mount_is_held(wrapped: Wrapped):
    """Starlette writes the mount into the scope's ``root_path``; the app is asked where it always stands."""
    app = Starlette(
        routes=[Mount("/auth", routes=STARLETTE_ROUTES[:1]), *STARLETTE_ROUTES],
        middleware=[Middleware(SessionMiddleware, secret_key=SECRET)],
    )
    site = wrapped(app, login="POST /auth/login, POST /login", **ASKED)
    answer = await site.login(site.client(), "/auth/login")
    assert answer.code == "mfa_required"
    await site.nobody_is_in()


async def test_a_login_in_a_mounted_app_is_held(wrapped: Wrapped):
    app = Starlette(routes=[Mount("/shop", app=starlette_signed())])
    site = wrapped(app, login="POST /shop/login", login_user="whoami:/shop/me#/user", request_user="user")
    client = site.client()
    answer = await site.login(client, "/shop/login")
    assert answer.code == "mfa_required"
    assert client.cookies == {}


async def test_a_browser_that_logs_in_below_a_mount_is_sent_to_the_challenge(wrapped: Wrapped):
    app = Starlette(
        routes=[Mount("/auth", routes=STARLETTE_ROUTES[:1]), *STARLETTE_ROUTES],
        middleware=[Middleware(SessionMiddleware, secret_key=SECRET)],
    )
    site = wrapped(app, login="POST /auth/login", login_user="session:user_id", request_user="whoami:/me#/user")
    answer = await site.login(site.client(), "/auth/login", headers=[("accept", "text/html")])
    assert answer.status == 303
    assert answer.header("location") == "/mfa/challenge"


class Fickle:
    """An app whose ``/me`` answers as it is told once somebody has logged in; its login sets a cookie."""

    def __init__(self, me: Callable[[Request], Any]) -> None:
        self.me = me

    @property
    def app(self) -> App:
        async def login(request: Request) -> Response:
            if checked(await fields_of(request)) is None:
                return JSONResponse({"error": "wrong"}, 401)
            response = JSONResponse({"ok": True})
            response.set_cookie("session", "a-session-of-alice")
            return response

        async def me(request: Request) -> Response:
            made = self.me(request)
            response: Response = await made if asyncio.iscoroutine(made) else made
            return response

        return Starlette(routes=[Route("/login", login, methods=["POST"]), Route("/me", me)])


async def _slow(request: Request) -> Response:
    await asyncio.sleep(3600)
    return JSONResponse({"user": "alice"})


def _fails(request: Request) -> Response:
    raise RuntimeError("no database")


ANSWERS_THAT_TELL_NOTHING: dict[str, Any] = {
    "too slow": _slow,
    "raises": _fails,
    "500": lambda _: PlainTextResponse("oh", 500),
    "503": lambda _: JSONResponse({"error": "later"}, 503),
    "429": lambda _: PlainTextResponse("slow down", 429),
    "405": lambda _: PlainTextResponse("no", 405),
    "200 that is no JSON": lambda _: PlainTextResponse("alice"),
    "200 that is broken JSON": lambda _: Response(b'{"user": "alice', media_type="application/json"),
    "a user who is a list": lambda _: JSONResponse({"user": ["alice"]}),
    "a user who is true": lambda _: JSONResponse({"user": True}),
}


@pytest.mark.parametrize("what", ANSWERS_THAT_TELL_NOTHING)
async def test_a_login_is_refused_where_the_app_cannot_be_asked(what: str, wrapped: Wrapped):
    """On any doubt the answer is an error, never the login."""
    site = wrapped(Fickle(ANSWERS_THAT_TELL_NOTHING[what]).app, engine_timeout=0.2, **ASKED)
    client = site.client()
    answer = await site.login(client)
    assert answer.status >= 500
    assert client.cookies == {}
    assert b"ok" not in answer.body


async def test_a_login_is_refused_where_the_app_raises_when_it_is_asked_and_its_error_stays_with_it(
    wrapped: Wrapped, caplog: pytest.LogCaptureFixture
):
    """A bare app, of which no framework makes an answer: its error may hold the token that it choked on."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/me":
            raise ValueError("no such session: a-session-of-alice")
        await login(scope, receive, send)

    login = Fickle(lambda _: Response()).app
    site = wrapped(app, **ASKED)
    client = site.client()
    answer = await site.login(client)
    assert (answer.error, answer.status, answer.code) == (None, 500, "login_not_held")
    assert client.cookies == {}
    assert site.told.names == ["login_not_held"]
    assert "a-session-of-alice" not in repr(answer.messages) + caplog.text + site.told.reasons


@pytest.mark.parametrize("status", [401, 403, 302])
async def test_an_app_that_knows_nobody_says_so_and_its_answer_passes(status: int, wrapped: Wrapped):
    site = wrapped(Fickle(lambda _: Response(status_code=status)).app, **ASKED)
    assert (await site.login(site.client())).json == {"ok": True}


async def test_who_uses_up_the_limit_of_whoami_is_not_let_in(wrapped: Wrapped):
    """An app that limits how often an address may ask: the attacker asks that often, and then logs in."""
    calls = 0

    async def limited(scope: Any, receive: Any, send: Any) -> None:
        nonlocal calls
        if scope["type"] == "http" and scope["path"] == "/me":
            calls += 1
            if calls > 3:
                await PlainTextResponse("slow down", 429)(scope, receive, send)
                return
        await inner(scope, receive, send)

    inner = starlette_signed()
    site = wrapped(limited, **ASKED)
    client = site.client()
    for _ in range(3):
        await client.get("/me")
    await site.login(client)
    assert client.cookies == {}


def _app_that_answers(login: Callable[[str], Response]) -> App:
    """Knows a bearer token and a session cookie alike; a bad token is 401, whatever the cookie."""

    async def at_login(request: Request) -> Response:
        user = checked(await fields_of(request))
        return JSONResponse({"error": "wrong"}, 401) if user is None else login(user)

    async def me(request: Request) -> Response:
        if "authorization" in request.headers:
            user = user_of_bearer(request.headers)
        else:
            user = "alice" if request.cookies.get("session") == "a-session-of-alice" else None
        return JSONResponse({"user": user}, 200 if user else 401)

    return Starlette(routes=[Route("/login", at_login, methods=["POST"]), Route("/me", me)])


def _cookie_and_other_token(user: str) -> Response:
    response = JSONResponse({"ok": True, "csrf": {"token": "no bearer token at all"}})
    response.set_cookie("session", "a-session-of-alice")
    return response


def _two_tokens(user: str) -> Response:
    return JSONResponse({"device": {"token": "no bearer token"}, "auth": {"access_token": token_for(user)}})


def _cookie_set_and_an_older_one_deleted(user: str) -> Response:
    response = JSONResponse({"ok": True})
    response.set_cookie("session", "a-session-of-alice")
    response.delete_cookie("session", path="/old")
    return response


def _token_in_another_place(user: str) -> Response:
    return JSONResponse({"data": [{"deep": {"access_token": token_for(user)}}]})


@pytest.mark.parametrize(
    "login",
    [
        _cookie_and_other_token,
        _two_tokens,
        _cookie_set_and_an_older_one_deleted,
        _token_in_another_place,
    ],
)
async def test_all_that_the_response_gives_is_tried(login: Callable[[str], Response], wrapped: Wrapped):
    """A cookie beside a ``token`` that is none, two tokens, a cookie for the new path and the end of the old one."""
    site = wrapped(_app_that_answers(login), **ASKED)
    answer = await site.login(site.client())
    assert answer.code == "mfa_required"


@pytest.mark.parametrize(
    "cookie",
    [
        'a="',
        'a="x',
        'a="; b=',
        "a=b; =; ;",
        "a=\\",
        "a={",
        'a="\\"; b="',
        "a=b,",
        "\x7f=1",
        "a=\xff",
        "$Path=/",
        "a=b; session",
    ],
)
@pytest.mark.parametrize("case", [one for one in CASES if one.login_user.startswith("whoami")], ids=str)
async def test_no_cookie_beside_makes_the_app_blind_to_the_new_session(case: Case, cookie: str, wrapped: Wrapped):
    """Each reads cookies in its own way; one that swallows the rest of the field would know nobody when asked."""
    site = wrapped(case)
    client = site.client()
    await site.login(client, raw_cookies=[cookie])
    await site.nobody_is_in()


async def test_a_setting_that_cannot_answer_inside_is_no_factor_that_is_quietly_off(wrapped: Wrapped):
    """``whoami:`` cannot be asked from inside of the session middleware; a login there must not pass."""
    site = wrapped(starlette_signed, inside=True, **ASKED)
    client = site.client()
    answer = await site.login(client)
    assert answer.status >= 500
    assert client.cookies == {}


async def test_a_user_set_further_out_does_not_make_the_session_one_of_ours(wrapped: Wrapped):
    """``scope["user"]`` says nothing of where the session stands: that one is further in, and kept by the server."""
    inner = starsessions()
    site = wrapped(inner, login_user="session:user_id", request_user="user")
    middleware = site.app

    async def authenticating(scope: Any, receive: Any, send: Any) -> None:
        await middleware({**scope, "user": None}, receive, send)

    site.app = authenticating
    client = site.client()
    await client.get("/visit")
    await site.login(client)
    assert await Client(inner, cookies=client.cookies).who() is None


async def test_a_token_that_the_client_had_before_is_refused_and_named(wrapped: Wrapped):
    """An app that signs an anonymous token in: the client knows it, so that holding the response holds nothing."""
    users: dict[str, str] = {}

    async def login(request: Request) -> Response:
        user = checked(await fields_of(request))
        token = request.headers.get("authorization", "Bearer ?")[7:]
        users[token] = str(user)
        return JSONResponse({"access_token": token})

    async def me(request: Request) -> Response:
        user = users.get(request.headers.get("authorization", "")[7:])
        return JSONResponse({"user": user}, 200 if user else 401)

    app = Starlette(routes=[Route("/login", login, methods=["POST"]), Route("/me", me)])
    site = wrapped(app, **ASKED)
    answer = await site.login(site.client(), bearer="an-anonymous-token")
    assert answer.code == "login_not_held"


class TestTheClientsOwnToken:
    """A path that takes logins and questions alike, as GraphQL does, for a client that is signed in already."""

    @staticmethod
    def app(users: dict[str, str]) -> App:
        """Gives a new token to who sends a password, and repeats the request's own to who does not."""

        async def both(request: Request) -> Response:
            user = checked(await fields_of(request))
            token = request.headers.get("authorization", "Bearer ?")[7:]
            if user is not None:
                token = f"token-{len(users)}-of-{user}"
                users[token] = user
            return JSONResponse({"data": {"user": {"token": token}}})

        async def me(request: Request) -> Response:
            token = request.headers.get("authorization", "")[7:]
            if token in users:
                return JSONResponse({"user": users[token]})
            return JSONResponse({"error": "who?"}, 400 if token else 401)

        return Starlette(routes=[Route("/login", both, methods=["POST"]), Route("/me", me)])

    async def test_an_answer_that_repeats_it_is_no_login(self, wrapped: Wrapped):
        site = wrapped(self.app({"the-token-of-alice": "alice"}), **ASKED)
        answer = await site.login(site.client(), bearer="the-token-of-alice", json={"question": "who am I?"})
        assert (answer.status, answer.json["data"]["user"]["token"]) == (200, "the-token-of-alice")

    @pytest.mark.parametrize("token", ["the-token-of-alice", "junk"])
    async def test_a_login_that_is_sent_with_it_is_challenged_all_the_same(self, token: str, wrapped: Wrapped):
        site = wrapped(self.app({"the-token-of-alice": "alice"}), **ASKED)
        answer = await site.login(site.client(), bearer=token)
        assert answer.code == "mfa_required"


async def test_no_content_type_of_the_attackers_choosing_hides_the_token(wrapped: Wrapped):
    """An app that answers in the form that ``Accept`` names: what is no JSON can give a token all the same."""

    async def login(request: Request) -> Response:
        user = checked(await fields_of(request))
        if user is None:
            return JSONResponse({"error": "wrong"}, 401)
        if "xml" in request.headers.get("accept", ""):
            return Response(f"<token>{token_for(user)}</token>", media_type="application/xml")
        return JSONResponse({"access_token": token_for(user)})

    app = Starlette(routes=[Route("/login", login, methods=["POST"])])
    site = wrapped(app, login_user="jwt:/access_token#sub", request_user="bearer:sub", app_jwt_key=SECRET)
    answer = await site.login(site.client(), headers=[("accept", "application/xml")])
    assert b"<token>" not in answer.body
