"""Finds the plugins, lets them register, and stops start-up at the first thing that is wrong, naming whose it is.

The loop over entry points is ours: pluggy's skips a second plugin of the same name in silence, and lets a broken
import raise without a word about its distribution.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import cast

import pluggy

from mfa_middleware import hookspecs
from mfa_middleware.errors import ConfigurationError, PluginError
from mfa_middleware.factor import BackupCodes, Challenging, Completing, Factor
from mfa_middleware.hookspecs import PROJECT
from mfa_middleware.settings import Settings, join, split

_FACTOR_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Installed:
    """A plugin, and the distribution that brought it; both are empty for one that the app itself gave."""

    name: str
    distribution: str = ""
    version: str = ""

    def __str__(self) -> str:
        return f"plugin {self.name} of {self.distribution or 'the app'}"


@dataclass(frozen=True, slots=True)
class Plugins:
    """What the plugins of one ``MFA`` registered.

    ``factors`` are those in use, by name, in the order in which they are offered. Dialects go by their ``name``,
    selectors by their ``kind``.
    """

    installed: tuple[Installed, ...]
    factors: Mapping[str, Factor]
    dialects: Mapping[str, object]
    selectors: Mapping[str, object]
    listeners: tuple[object, ...]

    @classmethod
    def load(cls, settings: Settings, extra: Iterable[object] = ()) -> Plugins:
        """Find all installed plugins, and ``extra`` ones (modules or objects) that need no entry point.

        :raises PluginError: for a plugin that is broken, naming its distribution.
        :raises ConfigurationError: for settings that name no factor, or a variable that nothing reads.
        """
        shelf = _Shelf(settings)
        for entry_point in sorted(metadata.entry_points(group=PROJECT), key=lambda one: one.name):
            shelf.load(entry_point)
        for plugin in extra:
            shelf.take(plugin)
        loaded = cls(
            installed=tuple(shelf.installed.values()),
            factors=_in_use(_factors(shelf.registered("mfa_register_factors")), split(settings.factors)),
            dialects=_by("name", shelf.registered("mfa_register_dialects")),
            selectors=_by("kind", shelf.registered("mfa_register_selectors")),
            listeners=tuple(_listeners(shelf.registered("mfa_register_event_listeners"))),
        )
        settings.refuse_unknown()
        return loaded


class _Shelf:
    """The plugin manager of one ``MFA``, and which distribution each plugin on it came from."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self.installed: dict[str, Installed] = {}

    def load(self, entry_point: metadata.EntryPoint) -> None:
        """Import an installed plugin."""
        dist = entry_point.dist
        found = Installed(entry_point.name, dist.name if dist else "an unnamed one", dist.version if dist else "")
        if other := self.installed.get(found.name):
            raise PluginError(f"{found} and {other} have the same name; uninstall one of them.")
        try:
            plugin: object = entry_point.load()
        except Exception as error:  # a stranger's module may raise anything while it is imported
            raise PluginError(f"{found} cannot be imported: {_told(error)}; mend or uninstall it.") from error
        self._register(plugin, found)

    def take(self, plugin: object) -> None:
        """Add a plugin that the app gave; one that is installed as well counts once."""
        if not self._manager.is_registered(plugin):
            self._register(plugin, Installed(getattr(plugin, "__name__", type(plugin).__name__)))

    def _register(self, plugin: object, found: Installed) -> None:
        _refuse_unmarked(plugin, found)
        try:
            self._manager.register(plugin, name=found.name)
            self._manager.check_pending()
        except (pluggy.PluginValidationError, ValueError) as error:
            raise PluginError(f"{found} does not fit: {'; '.join(str(error).splitlines())}.") from error
        self.installed[found.name] = found

    def registered(self, hook: str) -> Iterator[tuple[Installed, object]]:
        """What each plugin gives for a hook. They are asked one by one, to know whose a thing is."""
        everyone = self._manager.get_plugins()
        for name, plugin in self._manager.list_name_plugin():
            found = self.installed[name]
            only = self._manager.subset_hook_caller(hook, everyone - {plugin})
            for one in _ask(only, self._settings, found) if only.get_hookimpls() else ():
                yield found, one


def _by(word: str, registered: Iterable[tuple[Installed, object]]) -> dict[str, object]:
    """Things by the word that tells them apart."""
    owners: dict[str, Installed] = {}
    things: dict[str, object] = {}
    for found, thing in registered:
        name = getattr(thing, word, None)
        if not isinstance(name, str) or not name:
            raise PluginError(f"{found}: it registers a {type(thing).__name__} that has no {word}.")
        if other := owners.get(name):
            raise PluginError(f"{found}: {name!r} is registered already, by {other}; uninstall one of them.")
        owners[name], things[name] = found, thing
    return things


def _factors(registered: Iterable[tuple[Installed, object]]) -> dict[str, Factor]:
    """Things that have been found to be factors, by name."""
    pairs = list(registered)
    for found, thing in pairs:
        if flaw := _flaw(thing):
            raise PluginError(f"{found}: the factor {getattr(thing, 'name', thing)!r} {flaw}.")
    return cast(dict[str, Factor], _by("name", pairs))


def _listeners(registered: Iterable[tuple[Installed, object]]) -> Iterator[object]:
    for found, one in registered:
        if not inspect.iscoroutinefunction(one) and not inspect.iscoroutinefunction(type(one).__call__):
            raise PluginError(f"{found}: the event listener {one!r} must be an `async def` that takes the event.")
        yield one


def _refuse_unmarked(plugin: object, found: Installed) -> None:
    """Stop at what pluggy passes over: the factor behind a function without the mark would quietly be off."""
    for name in dir(plugin):
        hook = inspect.getattr_static(plugin, name)
        if not name.startswith("mfa_") or not inspect.isroutine(hook):
            continue
        if not hasattr(hook, f"{PROJECT}_impl"):
            raise PluginError(f"{found}: {name} lacks @hookimpl; add it, or rename a function that is no hook.")
        if inspect.iscoroutinefunction(hook):
            raise PluginError(f"{found}: {name} must be a plain function; hooks only register.")


def _ask(hook: pluggy.HookCaller, settings: Settings, found: Installed) -> list[object]:
    try:
        answers: list[Iterable[object]] = hook(settings=settings)
        things = [one for answer in answers for one in answer]
    except ConfigurationError:
        raise
    except Exception as error:  # a stranger's code may raise anything
        raise PluginError(f"{found}: {hook.name} failed: {_told(error)}; mend or uninstall it.") from error
    if not answers:  # pluggy drops a None
        raise PluginError(f"{found}: {hook.name} returned nothing; return a list, if need be an empty one.")
    return things


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".rstrip(".: ")


def _flaw(factor: object) -> str | None:
    """What keeps an object from being a factor, or None."""
    name = getattr(factor, "name", None)
    if not isinstance(name, str) or not _FACTOR_NAME.fullmatch(name):
        return "needs a name of small letters, digits and underscores"
    if isinstance(factor, type):
        return "is a class; register an instance"
    for word in ("title", "amr"):
        text = getattr(factor, word, None)
        if not isinstance(text, str) or not text.strip():
            return f"needs a {word}, a string that is not empty"
    for method in _asynchronous(factor):
        if not inspect.iscoroutinefunction(getattr(factor, method, None)):
            return f"needs `async def {method}`"
    return None


def _asynchronous(factor: object) -> Sequence[str]:
    methods = ["check"]
    if not isinstance(factor, BackupCodes):
        methods.append("enrol")
    if isinstance(factor, Challenging):
        methods.append("challenge")
    if isinstance(factor, Completing):
        methods.append("complete")
    return methods


def _in_use(factors: Mapping[str, Factor], wanted: Sequence[str]) -> dict[str, Factor]:
    """Those that ``MFA_FACTORS`` names, in its order; without it all of them, backups last."""
    for name in wanted:
        if name not in factors:
            raise ConfigurationError(f"MFA_FACTORS names {name!r}, which is not installed; there is: {join(factors)}.")
    chosen = {name: factors[name] for name in wanted or sorted(factors, key=lambda one: _is_backup(factors[one]))}
    backups = [name for name, factor in chosen.items() if _is_backup(factor)]
    if len(backups) > 1:
        raise ConfigurationError(f"Only one backup factor can be in use, not {join(backups)}; choose by MFA_FACTORS.")
    if len(backups) == len(chosen):
        raise ConfigurationError(f"No factor is in use that is more than a backup; there is: {join(factors)}.")
    return chosen


def _is_backup(factor: Factor) -> bool:
    return isinstance(factor, BackupCodes)
