"""What a login that is held takes of Valkey's memory and of the server's."""

from __future__ import annotations

from collections.abc import Iterable

from redis import Redis

from benchmarks import flows, kernel, people
from benchmarks.load import measure as load
from benchmarks.plots import Chart, Lines
from benchmarks.results import Figures, Spread, table
from benchmarks.serving import AppServer, uvicorn
from benchmarks.stage import Stage

NAME = "memory"
TITLE = "Memory of held logins"
_PADDINGS = {0: 2000, 1_000: 1000, 16_000: 500, 128_000: 200, 1_000_000: 100}
_CALLERS = 8


def measure(stage: Stage) -> Figures:
    """Hold logins of each length, on one server for each round."""
    database = stage.people(stage.sqlite(), range(max(_PADDINGS.values())))
    environment = stage.ours(stage.valkey.url, database, MFA_HELD_RESPONSE_LIMIT="2000000")
    rows: dict[str, list[Figures]] = {str(padding): [] for padding in _PADDINGS}
    for _, _ in stage.turns("memory of held logins", [None]):
        with AppServer(uvicorn("benchmarks.apps.ours:app"), environment, cpus=stage.server_cpus) as server:
            load(server, flows.held(0), range(people.USERS // 100), _CALLERS)
            for padding, count in _PADDINGS.items():
                stage.forget()
                before = _used(stage), kernel.resident(server.pids)
                load(server, flows.held(padding), range(count), _CALLERS)
                engine, own = _used(stage) - before[0], kernel.resident(server.pids) - before[1]
                rows[str(padding)].append({"engine": engine / count, "server": own, "held": count})
    return {"rows": rows}


def _used(stage: Stage) -> float:
    """Bytes that Valkey uses."""
    with Redis(port=stage.valkey.port) as client:
        return float(client.info("memory")["used_memory"])


def render(figures: Figures) -> str:
    """The table."""
    lines = [
        (f"{int(padding):,}", rounds[0]["held"], _spread(rounds, "engine"), _spread(rounds, "server"))
        for padding, rounds in figures["rows"].items()
    ]
    return (
        "A login stays in Valkey until it is released or its token expires (`MFA_TOKEN_TTL`); the server keeps nothing "
        "of it. What its memory grows by is buffers, once, however many logins are held. The app's own session is in "
        "the same Valkey and counts here, some 150 bytes.\n\n"
        + table(
            ("bytes more in the app's answer", "held", "Valkey, bytes a login", "server, MiB more after all"), lines
        )
    )


def _spread(rounds: Iterable[Figures], part: str) -> Spread:
    return Spread.of(row[part] for row in rounds)


def charts(figures: Figures) -> Iterable[Chart]:
    """Bytes by length."""
    points = [
        (float(padding) + 60, Spread.of(row["engine"] for row in rounds)) for padding, rounds in figures["rows"].items()
    ]
    yield Lines("memory", "Valkey's memory of one held login, bytes", "bytes of the app's answer", {"Valkey": points})
