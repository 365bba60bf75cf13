"""The app without any second factor: a login with name and password, a session in Redis, and who is signed in.

Everybody's flow begins with such a login; ours and the floor are wrapped around this very one.
"""

from __future__ import annotations

import os
import secrets

from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from benchmarks.people import PASSWORD, USERS, name

_SECONDS = 3600
_passwords = {name(number): PASSWORD for number in range(USERS)}
_sessions: Redis = Redis.from_url(os.environ["BENCH_REDIS_URL"], decode_responses=True)


async def login(request: Request) -> JSONResponse:
    """Name and password as JSON; a session cookie. The answer is as long as the caller wants it."""
    given = await request.json()
    user = given["username"]
    if _passwords.get(user) != given["password"]:
        return JSONResponse({"error": "wrong name or password"}, 403)
    session = secrets.token_urlsafe(32)
    await _sessions.set(f"session:{session}", user, ex=_SECONDS)
    padding = "x" * given.get("padding", 0)
    response = JSONResponse({"user": user, "greeting": f"Welcome back, {user}!{padding}"})
    response.set_cookie("session", session, httponly=True, samesite="lax")
    return response


async def me(request: Request) -> JSONResponse:
    """Who is signed in."""
    user = await _sessions.get(f"session:{request.cookies.get('session', '')}")
    return JSONResponse({"user": user}) if user else JSONResponse({"error": "nobody"}, 401)


app = Starlette(routes=[Route("/login", login, methods=["POST"]), Route("/me", me)])
