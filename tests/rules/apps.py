"""Tiny apps that log in, one for each way in which frameworks keep who is signed in.

All know ``alice`` with ``wonderland``, and ``bob`` with ``builder``. ``POST /login`` (JSON or a form) answers 401 to a
wrong password; ``GET /me`` says who is signed in; ``GET /visit`` puts something in the anonymous session.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import django
import falcon
import falcon.asgi
import jwt
from blacksheep import Application as BlackSheep
from blacksheep import Request as BlackSheepRequest
from blacksheep import json as blacksheep_json
from blacksheep.server.routing import Router
from django.conf import settings as django_settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest
from django.http import JsonResponse as DjangoJson
from django.test.utils import override_settings
from django.urls import path as django_path
from django.urls import re_path as django_re_path
from fastapi import FastAPI
from fastapi import Request as FastRequest
from litestar import Litestar, get, post
from litestar import Request as LitestarRequest
from litestar import Response as LitestarResponse
from litestar.middleware.session.client_side import CookieBackendConfig
from litestar.middleware.session.server_side import ServerSideSessionConfig
from quart import Quart, jsonify
from quart import request as quart_request
from quart import session as quart_session
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starsessions import InMemoryStore, SessionAutoloadMiddleware
from starsessions import SessionMiddleware as StarSessions
from starsessions.session import load_session

from tests.rules.asgi_client import App

PASSWORDS = {"alice": "wonderland", "bob": "builder"}
RIGHT = {"username": "alice", "password": "wonderland"}
WRONG = {"username": "alice", "password": "looking-glass"}
SECRET = "a secret of the app, long enough"
Wrap = Callable[[App], App]


def checked(fields: Mapping[str, Any]) -> str | None:
    """The user whose password that is. As apps do, it forgives blanks and capitals in the name."""
    name = str(fields.get("username", "")).strip().lower()
    return name if name in PASSWORDS and PASSWORDS[name] == fields.get("password") else None


async def fields_of(request: Request) -> Mapping[str, Any]:
    """The credentials, from wherever this request has them."""
    kind = request.headers.get("content-type", "")
    if kind.startswith("application/json"):
        body = await request.json()
        return body if isinstance(body, dict) else {}
    if kind.startswith(("application/x-www-form-urlencoded", "multipart/form-data")):
        return dict(await request.form())
    return dict(request.query_params)


# --------------------------------------------------------------------------------------------------------- Starlette


async def _login(request: Request) -> Response:
    user = checked(await fields_of(request))
    if user is None:
        return JSONResponse({"error": "wrong"}, 401)
    await _loaded(request)
    request.session["user_id"] = user
    response = JSONResponse({"ok": True, "user": user})
    response.set_cookie("remember", secrets.token_hex(8), path="/app")
    return response


async def _loaded(request: Request) -> None:
    if "session_handler" in request.scope:
        await load_session(request)


async def _me(request: Request) -> Response:
    await _loaded(request)
    user = request.session.get("user_id")
    return JSONResponse({"user": user, "cart": request.session.get("cart")}, 200 if user else 401)


async def _visit(request: Request) -> Response:
    await _loaded(request)
    request.session["cart"] = {"items": ["tea"]}
    return PlainTextResponse("welcome")


async def _reset(request: Request) -> Response:
    """A password reset that signs in: a login at a path that nobody declared."""
    await _loaded(request)
    request.session["cart"] = {"items": ["poison"]}
    request.session["user_id"] = "alice"
    return RedirectResponse("/", 303)


METHODS = ["GET", "POST", "PUT", "HEAD", "OPTIONS", "PATCH", "DELETE"]
STARLETTE_ROUTES = [
    Route("/login", _login, methods=METHODS),
    Route("/me", _me),
    Route("/visit", _visit),
    Route("/reset", _reset, methods=["POST"]),
]


def starlette_signed(inside: Wrap | None = None) -> App:
    return Starlette(
        routes=STARLETTE_ROUTES, middleware=[Middleware(SessionMiddleware, secret_key=SECRET), *_inner(inside)]
    )


def starsessions(inside: Wrap | None = None) -> App:
    """Server-side; the session is not loaded until the view loads it."""
    sessions = Middleware(StarSessions, store=InMemoryStore(), lifetime=3600, cookie_https_only=False)
    return Starlette(routes=STARLETTE_ROUTES, middleware=[sessions, *_inner(inside)])


def starsessions_loaded(inside: Wrap | None = None) -> App:
    """Server-side; each request's session is loaded before our middleware sees it. Its cookie is always sent again."""
    sessions = Middleware(StarSessions, store=InMemoryStore(), lifetime=3600, rolling=True, cookie_https_only=False)
    return Starlette(
        routes=STARLETTE_ROUTES, middleware=[sessions, Middleware(SessionAutoloadMiddleware), *_inner(inside)]
    )


def _inner(wrap: Wrap | None) -> list[Middleware]:
    return [] if wrap is None else [Middleware(wrap)]  # a function is a factory as well


# ----------------------------------------------------------------------------------------------------------- FastAPI


def fastapi_signed(inside: Wrap | None = None) -> App:
    app = FastAPI()

    @app.api_route("/login", methods=METHODS)
    async def login(request: FastRequest):
        return await _login(request)

    @app.get("/me")
    async def me(request: FastRequest):
        return await _me(request)

    @app.get("/visit")
    async def visit(request: FastRequest):
        return await _visit(request)

    @app.post("/reset")
    async def reset(request: FastRequest):
        return await _reset(request)

    if inside is not None:
        app.add_middleware(inside)
    app.add_middleware(SessionMiddleware, secret_key=SECRET)
    return app


def token_for(user: str) -> str:
    return jwt.encode({"sub": user, "exp": int(time.time()) + 3600}, SECRET, "HS256")


def user_of_bearer(headers: Mapping[str, str]) -> str | None:
    try:
        return str(jwt.decode(headers.get("authorization", "")[7:], SECRET, ["HS256"])["sub"])
    except jwt.InvalidTokenError:
        return None


async def _me_by_bearer(request: Request) -> Response:
    user = user_of_bearer(request.headers)
    return JSONResponse({"user": user}, 200 if user else 401)


def fastapi_bearer(inside: Wrap | None = None) -> App:
    """A token in the JSON body."""
    app = FastAPI()

    @app.api_route("/login", methods=METHODS)
    async def login(request: FastRequest):
        user = checked(await fields_of(request))
        if user is None:
            return JSONResponse({"detail": "wrong"}, 401)
        return {"access_token": token_for(user), "token_type": "bearer", "user": user}

    @app.get("/me")
    async def me(request: FastRequest):
        return await _me_by_bearer(request)

    return app


def starlette_header(inside: Wrap | None = None) -> App:
    """A token in a header field of the response, and no body."""

    async def login(request: Request) -> Response:
        user = checked(await fields_of(request))
        if user is None:
            return Response(status_code=401)
        return Response(status_code=204, headers={"Authorization": f"Bearer {token_for(user)}", "X-User": user})

    routes = [Route("/login", login, methods=METHODS), Route("/me", _me_by_bearer)]
    return Starlette(routes=routes)


def starlette_form(inside: Wrap | None = None) -> App:
    """An HTML form that answers by a redirect; sessions are kept by the server, under whatever id the client says."""
    sessions: dict[str, dict[str, Any]] = {}

    def session(request: Request, response: Response) -> dict[str, Any]:
        name = request.cookies.get("session") or secrets.token_hex(16)
        response.set_cookie("session", name)
        return sessions.setdefault(name, {})

    async def login(request: Request) -> Response:
        user = checked(await fields_of(request))
        if user is None:
            return Response("<form>wrong</form>", 200, media_type="text/html")
        response = RedirectResponse("welcome", 302)
        session(request, response)["user_id"] = user
        return response

    async def me(request: Request) -> Response:
        user = sessions.get(request.cookies.get("session", ""), {}).get("user_id")
        return JSONResponse({"user": user}, 200 if user else 401)

    async def visit(request: Request) -> Response:
        response = PlainTextResponse("welcome")
        session(request, response)["cart"] = 1
        return response

    routes = [Route("/login", login, methods=METHODS), Route("/me", me), Route("/visit", visit)]
    return Starlette(routes=routes)


# ---------------------------------------------------------------------------------------------------------- Litestar


@post(["/login"], status_code=200)
async def _litestar_login(request: LitestarRequest) -> LitestarResponse:
    kind = request.content_type[0]
    user = checked(await (request.json() if kind == "application/json" else request.form()))
    if user is None:
        return LitestarResponse({"error": "wrong"}, status_code=401)
    request.session["user_id"] = user
    return LitestarResponse({"ok": True}, status_code=200)


@get("/me")
async def _litestar_me(request: LitestarRequest) -> LitestarResponse:
    user = request.session.get("user_id")
    return LitestarResponse({"user": user}, status_code=200 if user else 401)


@get("/visit")
async def _litestar_visit(request: LitestarRequest) -> str:
    request.session["cart"] = ["tea"]
    return "welcome"


def litestar_signed(inside: Wrap | None = None) -> App:
    return _litestar(CookieBackendConfig(secret=b"0123456789abcdef").middleware)


def litestar_server(inside: Wrap | None = None) -> App:
    return _litestar(ServerSideSessionConfig().middleware)


def _litestar(sessions: Any) -> App:
    return Litestar([_litestar_login, _litestar_me, _litestar_visit], middleware=[sessions], openapi_config=None)


# ------------------------------------------------------------------------------------------------------------- Quart


def quart_signed(inside: Wrap | None = None) -> App:
    app = Quart("tests.rules.quart")
    app.secret_key = SECRET

    @app.route("/login", methods=["GET", "POST", "PUT"])
    async def login():
        form = await quart_request.form
        user = checked(await quart_request.get_json() if quart_request.is_json else form or quart_request.args)
        if user is None:
            return jsonify(error="wrong"), 401
        quart_session["user_id"] = user
        return jsonify(ok=True)

    @app.route("/me")
    async def me():
        user = quart_session.get("user_id")
        return jsonify(user=user), 200 if user else 401

    @app.route("/visit")
    async def visit():
        quart_session["cart"] = ["tea"]
        return "welcome"

    return app


# ------------------------------------------------------------------------------------------------------------ Django


def _django_login(request: HttpRequest) -> DjangoJson:
    """Written by hand, without ``cycle_key``, and without a guard on the method."""
    body = json.loads(request.body) if request.content_type == "application/json" else None
    user = checked(body or request.POST or request.GET)
    if user is None:
        return DjangoJson({"error": "wrong"}, status=401)
    request.session["user_id"] = user
    return DjangoJson({"ok": True})


def _django_me(request: HttpRequest) -> DjangoJson:
    user = request.session.get("user_id")
    return DjangoJson({"user": user}, status=200 if user else 401)


def _django_visit(request: HttpRequest) -> DjangoJson:
    request.session["cart"] = ["tea"]
    return DjangoJson({})


urlpatterns = [
    django_path("login", _django_login),
    django_re_path(r"(?i)^any-case/login$", _django_login),
    django_path("me", _django_me),
    django_path("visit", _django_visit),
]


def _configure_django() -> None:
    if not django_settings.configured:
        django_settings.configure(
            SECRET_KEY=SECRET,
            ALLOWED_HOSTS=["*"],
            INSTALLED_APPS=["django.contrib.sessions"],
            MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
            LOGGING_CONFIG=None,
        )
        django.setup()


def _django(engine: str) -> App:
    _configure_django()
    with override_settings(
        SESSION_ENGINE=f"django.contrib.sessions.backends.{engine}",
        ROOT_URLCONF=__name__,
        MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
    ):
        app: App = get_asgi_application()

    async def with_urls(scope: Any, receive: Any, send: Any) -> None:
        with override_settings(ROOT_URLCONF=__name__):
            await app(scope, receive, send)

    return with_urls


def django_signed(inside: Wrap | None = None) -> App:
    return _django("signed_cookies")


def django_cache(inside: Wrap | None = None) -> App:
    return _django("cache")


# ---------------------------------------------------------------------------------------- Falcon, BlackSheep, nothing


def falcon_bearer(inside: Wrap | None = None) -> App:
    class Login:
        async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
            user = checked(await req.get_media())
            resp.status = 200 if user else 401
            resp.media = {"data": {"token": token_for(user)}} if user else {"error": "wrong"}

    class Me:
        async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
            user = user_of_bearer({"authorization": req.get_header("authorization") or ""})
            resp.status, resp.media = (200 if user else 401), {"user": user}

    app = falcon.asgi.App()
    app.req_options.strip_url_path_trailing_slash = True
    app.add_route("/login", Login())
    app.add_route("/me", Me())
    return app


def blacksheep_bearer(inside: Wrap | None = None) -> App:
    app = BlackSheep(router=Router())  # the default one is shared by all apps of a process

    @app.router.post("/login")
    async def login(request: BlackSheepRequest):
        form = await request.form() if request.declares_content_type(b"application/x-www-form-urlencoded") else None
        user = checked(form if form is not None else await request.json())
        if user is None:
            return blacksheep_json({"error": "wrong"}, 401)
        return blacksheep_json({"access_token": token_for(user)})

    @app.router.get("/me")
    async def me(request: BlackSheepRequest):
        header = request.get_first_header(b"authorization") or b""
        user = user_of_bearer({"authorization": header.decode()})
        return blacksheep_json({"user": user}, 200 if user else 401)

    started = False

    async def start_first(scope: Any, receive: Any, send: Any) -> None:
        nonlocal started
        if not started:
            await app.start()
            started = True
        await app(scope, receive, send)

    return start_first


# --------------------------------------------------------------------------------------------------------- the table


@dataclass(frozen=True)
class Case:
    """An app, and how the middleware is set around it. ``naive_falls``: to which attacks a naive holder falls."""

    name: str
    build: Callable[..., App]
    login_user: str
    request_user: str
    inside: bool = False
    cookie: str = ""
    body: str = "json"
    naive_falls: frozenset[str] = frozenset()
    more: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.name}-{'inside' if self.inside else 'outside'}-{self.login_user.partition(':')[0]}"


ASKS = ("whoami:/me#/user", "whoami:/me#/user")
BEARER = {"app_jwt_key": SECRET}
BOTH = frozenset({"anonymous", "chosen"})
ANONYMOUS = frozenset({"anonymous"})
IN_SESSION = ("session:user_id", "session:user_id")

CASES = [
    Case("starlette-signed", starlette_signed, *ASKS, cookie="session"),
    Case("starlette-signed", starlette_signed, *IN_SESSION, inside=True, cookie="session"),
    Case("starlette-signed", starlette_signed, "session:user_id", ASKS[1], cookie="session"),
    Case("starsessions", starsessions, *ASKS, cookie="session", naive_falls=BOTH),
    Case("starsessions", starsessions, *IN_SESSION, inside=True, cookie="session", naive_falls=BOTH),
    Case("starsessions", starsessions, "session:user_id", ASKS[1], cookie="session", naive_falls=BOTH),
    Case("starsessions-loaded", starsessions_loaded, *ASKS, cookie="session", naive_falls=BOTH),
    Case("starsessions-loaded", starsessions_loaded, *IN_SESSION, inside=True, cookie="session", naive_falls=BOTH),
    Case("fastapi-signed", fastapi_signed, *ASKS, cookie="session"),
    Case("fastapi-signed", fastapi_signed, *IN_SESSION, inside=True, cookie="session"),
    Case("fastapi-bearer", fastapi_bearer, *ASKS),
    Case("fastapi-bearer", fastapi_bearer, "jwt:/access_token#sub", "bearer:sub", more=BEARER),
    Case("fastapi-bearer", fastapi_bearer, "json:/user", "bearer:sub", more=BEARER),
    Case("starlette-header", starlette_header, "header:X-User", "bearer:sub", more=BEARER),
    Case("starlette-form", starlette_form, *ASKS, cookie="session", body="form", naive_falls=BOTH),
    Case("litestar-signed", litestar_signed, *ASKS, cookie="session"),
    Case("litestar-server", litestar_server, *ASKS, cookie="session", naive_falls=BOTH),
    Case("litestar-server", litestar_server, "session:user_id", ASKS[1], cookie="session", naive_falls=BOTH),
    Case("quart-signed", quart_signed, *ASKS, cookie="session"),
    Case("django-signed", django_signed, *ASKS, cookie="sessionid"),
    Case("django-cache", django_cache, *ASKS, cookie="sessionid", naive_falls=ANONYMOUS),
    Case("falcon-bearer", falcon_bearer, *ASKS),
    Case("falcon-bearer", falcon_bearer, "jwt:/data/token#sub", "bearer:sub", more=BEARER),
    Case("blacksheep-bearer", blacksheep_bearer, *ASKS),
]
WITH_COOKIE = [one for one in CASES if one.cookie]
