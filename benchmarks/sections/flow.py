"""The complete flow: a login held, a TOTP code verified, the login released."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks import people
from benchmarks.contenders import FLOOR, Contender, everybody, quick
from benchmarks.load import measure as load
from benchmarks.plots import Bars
from benchmarks.results import Figures, Spread, ratio, table
from benchmarks.serving import AppServer
from benchmarks.stage import Stage

NAME = "flow"
TITLE = "The complete flow"
_WARM, _MANY, _ALONE = 150, 1200, 120
_CALLERS = 32


def measure(stage: Stage) -> Figures:
    """All contenders, in turn."""
    return _measure(stage, everybody(stage))


def measure_quickly(stage: Stage) -> Figures:
    """Ours and the floor."""
    return _measure(stage, quick(stage))


def _measure(stage: Stage, contenders: Iterable[Contender]) -> Figures:
    rows: dict[str, list[Figures]] = {}
    for number, one in stage.turns("the complete flow", list(contenders)):
        stage.forget()
        cpus = stage.server_cpus if one.workers == 1 else frozenset[int]()
        with AppServer(one.command, one.environment, cpus=cpus) as server:
            warm, many, alone = _numbers(number, one.share)
            load(server, one.exchange, warm, _CALLERS)
            at_once = load(server, one.exchange, many, _CALLERS)
            by_itself = load(server, one.exchange, alone, 1)
        rows.setdefault(one.name, []).append({"many": at_once.as_dict(), "alone": by_itself.as_dict()})
    return {"rows": rows, "callers": _CALLERS, "flows": _MANY}


def _numbers(turn: int, share: float) -> tuple[range, range, range]:
    """Users for each part of a turn: nobody twice, until all have had their turn."""
    sizes = [max(20, round(size * share)) for size in (_WARM, _MANY, _ALONE)]
    first = turn * (_WARM + _MANY + _ALONE) % (people.USERS - _WARM - _MANY - _ALONE)
    ends = [first + sum(sizes[: index + 1]) for index in range(3)]
    return range(first, ends[0]), range(ends[0], ends[1]), range(ends[1], ends[2])


def figures_of(rows: Sequence[Figures], part: str, name: str) -> list[float]:
    """One figure of all rounds."""
    return [row[part][name] for row in rows]


def render(figures: Figures) -> str:
    """The table."""
    rows, callers = figures["rows"], figures["callers"]
    floor = figures_of(rows[FLOOR], "many", "cpu")
    lines = []
    for name, rounds in rows.items():
        cpu = figures_of(rounds, "many", "cpu")
        cells = [Spread.of(figures_of(rounds, "many", part)) for part in ("per_second", "p50", "p99")]
        alone = [Spread.of(figures_of(rounds, "alone", part)) for part in ("cpu", "p50")]
        lines.append((name, f"**{Spread.of(cpu)}**", ratio(cpu, floor), *cells, *alone))
    heads = (
        "", "CPU ms a flow", "× floor", "flows/s", "p50 ms", "p99 ms", "1 caller: CPU ms", "1 caller: p50 ms",
    )  # fmt: skip
    return f"At {callers} callers, and at one.\n\n" + table(heads, lines)


def charts(figures: Figures) -> Iterable[Bars]:
    """CPU of all contenders."""
    values = {name: Spread.of(figures_of(rows, "many", "cpu")) for name, rows in figures["rows"].items()}
    yield Bars("flow", "Server CPU of one complete flow, ms (32 callers; logarithmic)", values, logarithmic=True)
