"""How long a server takes to start, and how much memory it has, beside the bare app's."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks import kernel, people
from benchmarks.contenders import ours, plain
from benchmarks.load import measure as load
from benchmarks.plots import Chart
from benchmarks.results import Figures, Spread, table
from benchmarks.serving import AppServer
from benchmarks.stage import Stage

NAME = "start_up"
TITLE = "Start-up and resident memory"
_FLOWS = 300


def measure(stage: Stage) -> Figures:
    """Each with new servers, in turn."""
    rows: dict[str, list[Figures]] = {}
    contenders = [
        plain(stage),
        ours(stage, "Valkey", "SQLite"),
        ours(stage, "Valkey", "PostgreSQL"),
        ours(stage, "memory", "SQLite"),
    ]
    first = 0
    for _, one in stage.turns("start-up", contenders):
        stage.forget()
        with AppServer(one.command, one.environment, cpus=stage.server_cpus) as server:
            fresh = kernel.resident(server.pids)
            cpu = kernel.cpu(server.pids)
            load(server, one.exchange, range(first, first + _FLOWS), 32)
            used = kernel.resident(server.pids)
        figures = {"seconds": server.seconds_to_start, "cpu": cpu, "fresh": fresh, "used": used}
        rows.setdefault(one.name, []).append(figures)
        first = (first + _FLOWS) % (people.USERS - _FLOWS)
    return {"rows": rows}


def render(figures: Figures) -> str:
    """The table."""
    rows = figures["rows"]
    bare = [row["used"] for row in next(iter(rows.values()))]
    lines = []
    for name, rounds in rows.items():
        spreads = [Spread.of(row[part] for row in rounds) for part in ("seconds", "cpu", "fresh", "used")]
        above = Spread.of(row["used"] - other for row, other in zip(rounds, bare, strict=True))
        lines.append((name, *spreads, above))
    heads = ("", "s until it listens", "CPU s", "MiB then", f"MiB after {_FLOWS} flows", "MiB above the plain app")
    return table(heads, lines)


def charts(figures: Figures) -> Iterable[Chart]:
    """None."""
    return ()
