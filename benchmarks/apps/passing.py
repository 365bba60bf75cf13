"""The apps that requests only pass through, bare and with one middleware around. They are made by name.

``/`` answers a few bytes, ``/stream`` 10 MB in chunks of 64 KiB; a WebSocket is told what it says.
"""

from __future__ import annotations

from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import Response

from mfa_middleware import MFAMiddleware, Settings
from mfa_middleware.passage import App, Receive, Scope, Send

STREAM = 10_000_000
_CHUNK = b"x" * 65_536
_HEADERS = [(b"content-type", b"text/plain"), (b"content-length", b"5")]
_STREAM_HEADERS = [(b"content-type", b"application/octet-stream"), (b"content-length", b"%d" % STREAM)]
SESSION = {"user_id": "alice", "csrf": "x" * 32, "cart": [{"id": number, "count": 1} for number in range(5)]}


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    """The app: no framework, so that only the middleware is seen."""
    if scope["type"] == "http":
        if scope["path"] == "/stream":
            await _stream(send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await send({"type": "http.response.body", "body": b"hello"})
    elif scope["type"] == "websocket":
        await _echo(receive, send)
    else:
        await _lifespan(receive, send)


async def _stream(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS})
    left = STREAM
    while left:
        chunk = _CHUNK[:left]
        left -= len(chunk)
        await send({"type": "http.response.body", "body": chunk, "more_body": left > 0})


async def _echo(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


class Noop:
    """The least that a middleware can do."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


class InSession:
    """Puts a session into the scope, as a session middleware around would."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["session"] = SESSION
        await self.app(scope, receive, send)


class _Base(BaseHTTPMiddleware):
    """The least that Starlette's convenient base can do."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)


def noop() -> App:
    return Noop(bare)


def plain() -> App:
    return bare


def session() -> App:
    return SessionMiddleware(bare, secret_key="a benchmark's")


def base_http() -> App:
    return _Base(bare)


def ours() -> App:
    """With default settings: ``mark`` and ``session:`` watch every response."""
    return MFAMiddleware(bare)


def ours_unwatched() -> App:
    """With a selector that reads the answers of declared logins alone."""
    return MFAMiddleware(bare, settings=Settings(login_user="json:/user"))


def ours_in_session() -> App:
    return InSession(MFAMiddleware(bare))


def in_session() -> App:
    return InSession(bare)
