"""Pass-through behind a real server: short answers, a stream of 10 MB, messages of a WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from benchmarks import kernel
from benchmarks.apps.passing import STREAM
from benchmarks.enrolment import SECRET_KEY
from benchmarks.load import measure as load
from benchmarks.plots import Chart
from benchmarks.results import Figures, Spread, table
from benchmarks.serving import AppServer, uvicorn
from benchmarks.stage import Stage
from benchmarks.web_socket import all_converse
from benchmarks.wire import Exchange, request

NAME = "streaming"
TITLE = "Pass-through, behind uvicorn"
_REQUESTS, _STREAMS, _SOCKETS, _MESSAGES = 2000, 24, 8, 250
_APPS = {
    "bare app": "plain",
    "no-op middleware": "noop",
    "ours, default settings": "ours",
    "ours, no selector watches": "ours_unwatched",
    "Starlette's SessionMiddleware": "session",
    "Starlette's BaseHTTPMiddleware": "base_http",
}


def measure(stage: Stage) -> Figures:
    """All variants, in turn."""
    rows: dict[str, list[Figures]] = {name: [] for name in _APPS}
    environment = {
        "MFA_SECRET_KEY": SECRET_KEY,
        "MFA_DATABASE_URL": stage.sqlite(),
        "MFA_REDIS_URL": stage.valkey.url,
    }
    for _, (name, app) in stage.turns("pass-through, behind uvicorn", list(_APPS.items())):
        command = (*uvicorn(f"benchmarks.apps.passing:{app}"), "--factory")
        with AppServer(command, environment, cpus=stage.server_cpus) as server:
            load(server, _short, range(_REQUESTS // 10), 8)
            rows[name].append(
                {
                    "short": load(server, _short, range(_REQUESTS), 8).cpu * 1e3,
                    "stream": load(server, _long, range(_STREAMS), 2).cpu,
                    "message": _messages(server),
                }
            )
    return {"rows": rows}


def _short(_: int) -> Exchange:
    answer = yield request("GET", "/articles/42")
    assert answer.body == b"hello"


def _long(_: int) -> Exchange:
    answer = yield request("GET", "/stream")
    assert len(answer.body) == STREAM


def _messages(server: AppServer) -> float:
    """Microseconds of CPU for each message and its answer."""
    pids = server.pids
    before = kernel.cpu(pids)
    asyncio.run(all_converse(server.port, _SOCKETS, _MESSAGES))
    return (kernel.cpu(pids) - before) / (_SOCKETS * _MESSAGES) * 1e6


def render(figures: Figures) -> str:
    """The table."""
    rows: Mapping[str, list[Figures]] = figures["rows"]
    lines = [
        (name, *(Spread.of(row[part] for row in rounds) for part in ("short", "stream", "message")))
        for name, rounds in rows.items()
    ]
    heads = ("server CPU, all of it", "a request, µs", "10 MB in 64 KiB chunks, ms", "a WebSocket message, µs")
    return table(heads, lines)


def charts(figures: Figures) -> Iterable[Chart]:
    """None."""
    return ()
