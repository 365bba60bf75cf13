"""``mfa plugins``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata

import pluggy
import typer
from rich.table import Table

from mfa_middleware import hookspecs
from mfa_middleware.cli.terminal import FAILED, note, out, plain, run
from mfa_middleware.errors import ConfigurationError
from mfa_middleware.hookspecs import PROJECT
from mfa_middleware.plugins import Plugins
from mfa_middleware.settings import Settings, split

#: Each hook with what it registers, and the attribute by which that goes.
_HOOKS = {
    "mfa_register_factors": ("factor", "name"),
    "mfa_register_dialects": ("dialect", "name"),
    "mfa_register_selectors": ("selector", "kind"),
    "mfa_register_event_listeners": ("listener", ""),
}


@dataclass(frozen=True, slots=True)
class Registered:
    """One thing that a plugin registers."""

    kind: str
    name: str
    in_use: bool


def plugins() -> None:
    """List the installed plugins: where each comes from, what it registers, and whether that is in use."""
    run(_list())


async def _list() -> None:
    settings = Settings()
    table = Table("plugin", "distribution", "version", "registers", "in use")
    for entry_point in sorted(metadata.entry_points(group=PROJECT), key=lambda one: one.name):
        dist = entry_point.dist
        head = (entry_point.name, dist.name if dist else "", dist.version if dist else "")
        for row in _rows(entry_point, settings):
            table.add_row(*map(plain, (*head, *row)))
    out.print(table)
    try:
        Plugins.load(settings)
    except ConfigurationError as error:
        note(f"mfa: {error}", "red")
        raise typer.Exit(FAILED) from None


def _rows(entry_point: metadata.EntryPoint, settings: Settings) -> Sequence[tuple[str, str]]:
    try:
        found = list(_registered(entry_point, settings))
    except Exception as error:  # noqa: BLE001  a stranger's module may raise anything; what it says is told below the table
        return [(f"broken: {type(error).__name__}", "no")]
    return [(f"{one.kind} {one.name}", "yes" if one.in_use else "no") for one in found] or [("nothing", "no")]


def _registered(entry_point: metadata.EntryPoint, settings: Settings) -> Iterator[Registered]:
    """What that plugin alone registers: a broken neighbour must not hide it."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(entry_point.load())
    for hook, (kind, word) in _HOOKS.items():
        answers: Iterable[Iterable[object]] = getattr(manager.hook, hook)(settings=settings)
        for thing in (one for answer in answers for one in answer):
            name = str(getattr(thing, word)) if word else type(thing).__name__
            yield Registered(kind, name, _in_use(kind, name, settings))


def _in_use(kind: str, name: str, settings: Settings) -> bool:
    match kind:
        case "factor":
            return not settings.factors or name in split(settings.factors)
        case "dialect":
            return name == settings.dialect
        case "selector":
            named = (settings.login_user, settings.request_user, settings.request_name, settings.request_admin)
            return any(one.partition(":")[0] == name for text in named for one in split(text))
        case _:
            return True
