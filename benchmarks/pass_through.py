"""What a request that is no login costs more with the middleware around a bare ASGI app, in-process.

    python -m benchmarks.pass_through [--rounds 60] [--requests 400]

Each round times every variant in turn; "added" is the median over the rounds of (variant - bare) within one round, in
microseconds of CPU, with its quartiles. Only differences within one run mean anything.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from mfa_middleware import MFAMiddleware, Settings
from mfa_middleware.passage import App, Message, Receive, Scope, Send

BODY = b"hello"
HEADERS = [(b"content-type", b"text/plain"), (b"content-length", b"5")]
REQUEST_HEADERS = [(b"host", b"127.0.0.1:8000"), (b"user-agent", b"bench"), (b"accept", b"*/*")]
SESSION = {"user_id": "alice", "csrf": "x" * 32, "cart": [{"id": number, "count": 1} for number in range(5)]}


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    """The app: one start, one body."""
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})


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


def variants(folder: Path) -> Mapping[str, App]:
    """The apps that are compared."""
    default = Settings(database_url=f"sqlite:///{folder}/default.sqlite3")
    unwatched = Settings(database_url=f"sqlite:///{folder}/unwatched.sqlite3", login_user="json:/user")
    inside = Settings(database_url=f"sqlite:///{folder}/inside.sqlite3")
    return {
        "bare": bare,
        "no-op middleware": Noop(bare),
        "default settings": MFAMiddleware(bare, settings=default),
        "no selector watches": MFAMiddleware(bare, settings=unwatched),
        "bare, with a session": InSession(bare),
        "default settings, inside of a session": InSession(MFAMiddleware(bare, settings=inside)),
    }


def scope() -> Scope:
    """A fresh request."""
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/articles/42",
        "raw_path": b"/articles/42",
        "query_string": b"",
        "root_path": "",
        "headers": REQUEST_HEADERS,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
        "state": {},
    }


async def receive() -> Message:
    """No body."""
    return {"type": "http.request", "body": b"", "more_body": False}


async def send(message: Message) -> None:
    """A server that throws away."""


async def timed(app: App, requests: int) -> float:
    """Microseconds of CPU for each request."""
    started = time.process_time()
    for _ in range(requests):
        await app(scope(), receive, send)
    return (time.process_time() - started) / requests * 1e6


async def main(rounds: int, requests: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        apps = variants(Path(folder))
        for app in apps.values():
            await timed(app, 200)
        taken: dict[str, list[float]] = {name: [] for name in apps}
        for _ in range(rounds):
            for name, app in apps.items():
                taken[name].append(await timed(app, requests))
    print(f"{'':40}{'median us':>10}{'added us':>10}{'quartiles':>16}")
    for name, figures in taken.items():
        base = taken["bare, with a session" if "session" in name else "bare"]
        low, middle, high = statistics.quantiles([one - other for one, other in zip(figures, base, strict=True)], n=4)
        print(f"{name:40}{statistics.median(figures):10.2f}{middle:10.2f}{low:8.2f}{high:8.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--requests", type=int, default=400)
    arguments = parser.parse_args()
    asyncio.run(main(arguments.rounds, arguments.requests))
