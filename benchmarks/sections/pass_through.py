"""What a request that is no login costs more with a middleware around a bare ASGI app, in one process."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable, Mapping

from benchmarks.apps import passing
from benchmarks.enrolment import SECRET_KEY
from benchmarks.plots import Chart
from benchmarks.results import Figures, Spread, table
from benchmarks.stage import Stage
from mfa_middleware.passage import App, Message, Scope

NAME = "pass_through"
TITLE = "Pass-through, in one process"
_REQUESTS, _TIMES = 400, 12
_REQUEST_HEADERS = [(b"host", b"127.0.0.1:8000"), (b"user-agent", b"bench"), (b"accept", b"*/*")]
_BARE, _IN_SESSION = "bare app", "bare app, with a session in the scope"


def measure(stage: Stage) -> Figures:
    """All variants, in turn, many times a round."""
    os.environ["MFA_SECRET_KEY"] = SECRET_KEY
    os.environ["MFA_DATABASE_URL"] = stage.sqlite()
    os.environ["MFA_REDIS_URL"] = stage.valkey.url
    try:
        return {"rows": asyncio.run(_rounds(stage))}
    finally:
        for name in ("MFA_SECRET_KEY", "MFA_DATABASE_URL", "MFA_REDIS_URL"):
            del os.environ[name]


async def _rounds(stage: Stage) -> Mapping[str, list[float]]:
    apps: dict[str, App] = {
        _BARE: passing.plain(),
        "no-op middleware": passing.noop(),
        "ours, default settings": passing.ours(),
        "ours, no selector watches": passing.ours_unwatched(),
        _IN_SESSION: passing.in_session(),
        "ours, default settings, inside of a session middleware": passing.ours_in_session(),
        "Starlette's SessionMiddleware": passing.session(),
        "Starlette's BaseHTTPMiddleware": passing.base_http(),
    }
    for app in apps.values():
        await _timed(app, _REQUESTS)
    added: dict[str, list[float]] = {name: [] for name in apps}
    for _, _ in stage.turns("pass-through, in one process", [None]):
        times = [{name: await _timed(app, _REQUESTS) for name, app in apps.items()} for _ in range(_TIMES)]
        for name in apps:
            base = 0.0 if name in (_BARE, _IN_SESSION) else None
            other = _IN_SESSION if "session middleware" in name else _BARE
            differences = [taken[name] - (taken[other] if base is None else base) for taken in times]
            added[name].append(sorted(differences)[_TIMES // 2])
    return added


async def _timed(app: App, requests: int) -> float:
    """Microseconds of CPU for each request."""
    started = time.process_time()
    for _ in range(requests):
        await app(_scope(), _receive, _send)
    return (time.process_time() - started) / requests * 1e6


def _scope() -> Scope:
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
        "headers": _REQUEST_HEADERS,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
        "state": {},
    }


async def _receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _send(message: Message) -> None:
    """A server that throws away."""


def render(figures: Figures) -> str:
    """The table."""
    lines = [
        (name, Spread.of(added), "all of it" if name in (_BARE, _IN_SESSION) else "added")
        for name, added in figures["rows"].items()
    ]
    return "CPU of one `GET` that is no login, without any server.\n\n" + table(("", "µs", ""), lines)


def charts(figures: Figures) -> Iterable[Chart]:
    """None."""
    return ()
