"""What else users do: a code from paper, a wrong code, binding a first factor, the page that asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from benchmarks import flows, people
from benchmarks.load import measure as load
from benchmarks.plots import Chart
from benchmarks.results import Figures, Spread, table
from benchmarks.serving import AppServer, uvicorn
from benchmarks.stage import Stage
from benchmarks.wire import Exchange

NAME = "steps"
TITLE = "A recovery code, a wrong code, binding, the challenge page"
_WARM, _COUNT, _CALLERS, _COOKIES = 40, 400, 32, 40
_ENROLLED = people.USERS * 3 // 4
_PAGE = "the challenge page"
_KINDS = {
    "login and TOTP code": flows.ours,
    "login and recovery code": flows.recovery_code,
    "login and wrong code": flows.wrong_code,
    "login, bind a first factor, confirm it": flows.binding,
    _PAGE: flows.page([]),
}


def measure(stage: Stage) -> Figures:
    """All of them on one server, each round on a new one."""
    environment = stage.ours(stage.valkey.url, stage.people(stage.sqlite(), range(_ENROLLED)))
    rows: dict[str, list[Figures]] = {kind: [] for kind in _KINDS}
    size = _WARM + _COUNT
    for turn, _ in stage.turns("other steps", [None]):
        stage.forget()
        with AppServer(uvicorn("benchmarks.apps.ours:app"), environment, cpus=stage.server_cpus) as server:
            for place, (kind, known) in enumerate(_KINDS.items()):
                first = (turn * len(_KINDS) + place) * size % (_ENROLLED - size)
                if known is flows.binding:
                    first = _ENROLLED + turn * size % (people.USERS - _ENROLLED - size)
                exchange = _with_cookies(server, first) if kind == _PAGE else known
                load(server, exchange, range(first, first + _WARM), _CALLERS)
                cost = load(server, exchange, range(first + _WARM, first + size), _CALLERS)
                rows[kind].append(cost.as_dict())
    return {"rows": rows}


def _with_cookies(server: AppServer, first: int) -> Callable[[int], Exchange]:
    """The page for browsers that were sent to it."""
    cookies: list[str] = []
    load(server, flows.to_the_page(cookies), range(first, first + _COOKIES), _CALLERS)
    return flows.page(cookies)


def render(figures: Figures) -> str:
    """The table."""
    lines = [
        (kind, *(Spread.of(row[name] for row in rounds) for name in ("cpu", "per_second", "p50", "p99")))
        for kind, rounds in figures["rows"].items()
    ]
    return "On Valkey and SQLite, one worker, 32 callers.\n\n" + table(
        ("", "CPU ms", "a second", "p50 ms", "p99 ms"), lines
    )


def charts(figures: Figures) -> Iterable[Chart]:
    """None."""
    return ()
