"""No framework: an app that names whom it signs in with a response header, which the middleware keeps to itself.

uvicorn examples.bare_asgi:app
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs

from mfa_middleware import MFAMiddleware, Settings

Message = MutableMapping[str, Any]
PASSWORDS = {"alice": "wonderland"}
sessions: dict[str, str] = {}


async def bare(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """``POST /login`` and ``GET /me``."""
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])  # the middleware hides that there is no lifespan
    if scope["path"] == "/login":
        form = parse_qs((await receive())["body"].decode())  # a small body: one message
        await login(form.get("username", [""])[0], form.get("password", [""])[0], send)
    else:
        await answer(200, {"user": user_of(scope)}, send)


async def login(name: str, password: str, send: Callable[[Message], Awaitable[None]]) -> None:
    """Start a session for whoever knows the password."""
    if (name, password) not in PASSWORDS.items():
        await answer(401, {"error": "wrong name or password"}, send)
        return
    session = secrets.token_hex()
    sessions[session] = name
    cookie = f"session={session}; HttpOnly; SameSite=Lax; Path=/".encode()
    await answer(200, {"user": name}, send, (b"set-cookie", cookie), (b"x-signed-in", name.encode()))


def user_of(scope: Message) -> str | None:
    """Who is signed in."""
    cookies = SimpleCookie(dict(scope["headers"]).get(b"cookie", b"").decode("latin-1"))
    return sessions.get(cookies["session"].value) if "session" in cookies else None


async def answer(
    status: int, body: object, send: Callable[[Message], Awaitable[None]], *headers: tuple[bytes, bytes]
) -> None:
    """Send JSON."""
    fields = [(b"content-type", b"application/json"), *headers]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})


app = MFAMiddleware(bare, settings=Settings(login_user="header:X-Signed-In", request_user="whoami:/me#/user"))
