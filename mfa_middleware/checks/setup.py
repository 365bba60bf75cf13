"""The wrapped app, the keys and the plugins."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mfa_middleware.checks.finding import Finding, error, ok, warning
from mfa_middleware.errors import ConfigurationError
from mfa_middleware.keyring import new_key, parse_keys
from mfa_middleware.keys import database_file, find_keys, is_embedded
from mfa_middleware.keys import key_file as kept_beside
from mfa_middleware.loading import load_app
from mfa_middleware.login_request import parse_exceptions
from mfa_middleware.parts import Parts
from mfa_middleware.paths import parse_patterns
from mfa_middleware.plugins import Plugins
from mfa_middleware.settings import Settings, join
from mfa_middleware.single_process import SingleProcess

_FOR_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def app(settings: Settings) -> Iterator[Finding]:
    """Whether the app that is to be wrapped can be imported. Doing so runs its module."""
    if not settings.app:
        return
    try:
        found = load_app(settings.app)
    except ConfigurationError as refusal:
        yield error(str(refusal))
    except (Exception, SystemExit) as failure:  # noqa: BLE001  the app's own module may do anything while it is imported
        # Without the text, which may tell a secret of the app's settings.
        yield error(
            f"MFA_APP: importing {settings.app} fails with {type(failure).__name__}; start the app alone to see why."
        )
    else:
        if callable(found):
            yield ok(f"MFA_APP: {settings.app} is there; mfa_middleware.asgi:app wraps it from outside.")
        else:
            yield error(f"MFA_APP: {settings.app} is a {type(found).__name__} and no ASGI app; name the app.")


def keys(settings: Settings) -> Iterator[Finding]:
    """Where the keys come from. Whether they are any good is told by :func:`refusals`."""
    if settings.secret_key:
        yield from _named_keys(settings.secret_key)
    elif is_embedded(settings):
        file = key_file(settings)
        yield from _kept_key(file) if file else [_lost_key()]


def _named_keys(text: str) -> Iterator[Finding]:
    try:
        count = len(parse_keys(text))
    except ConfigurationError:
        return
    if count:
        older = f", {count - 1} older one{'s' * (count > 2)} still open{'s' * (count == 2)}" if count > 1 else ""
        yield ok(f"MFA_SECRET_KEY: the first key seals and signs{older}.")


def _kept_key(file: Path) -> Iterator[Finding]:
    if not file.exists():
        yield warning(
            f"MFA_SECRET_KEY is not set: start-up makes a key in {file}; for production, set one (`mfa keygen`)."
        )
        return
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & _FOR_OTHERS:
        yield error(
            f"{file} holds the key and has the mode {mode:04o}, which lets others read it; run `chmod 600 {file}`."
        )
    yield warning(f"MFA_SECRET_KEY is not set: the key is in {file}; for production, set it in the environment.")


def _lost_key() -> Finding:
    return warning("MFA_SECRET_KEY is not set, and the database is in memory: both are lost when the process ends.")


def key_file(settings: Settings) -> Path | None:
    """Where start-up keeps a key of its own making."""
    file = database_file(settings)
    return kept_beside(file) if file else None


def will_be_made(file: Path | None) -> bool:
    """Whether start-up would make that file, so that looking must not."""
    return file is not None and not file.exists() and os.access(file.parent, os.W_OK | os.X_OK)


def with_some_key(settings: Settings) -> Settings:
    """The same settings, with a key for this once where start-up would make one."""
    file = key_file(settings)
    if not settings.secret_key and is_embedded(settings) and (file is None or will_be_made(file)):
        return settings.model_copy(update={"secret_key": new_key()})
    return settings


def refusals(settings: Settings) -> tuple[Sequence[Finding], Parts | None]:
    """What start-up refuses before it asks an engine: each part is tried alone, to find more than the first."""
    tried: Sequence[Callable[[], object]] = (
        lambda: Plugins.load(settings),
        lambda: find_keys(settings),
        lambda: parse_patterns(settings.login),
        lambda: parse_exceptions(settings.login_except),
        lambda: _lock(settings),
    )
    found = [sentence for one in tried if (sentence := _refusal(one))]
    try:
        return [error(one) for one in found], Parts(settings)
    except ConfigurationError as refusal:
        return [error(one) for one in [*found, str(refusal)]], None


def _lock(settings: Settings) -> None:
    """Where the database's folder is missing, start-up stops at the lock; elsewhere a server may have it, and may."""
    file = database_file(settings)
    if file is not None and not file.parent.is_dir():
        SingleProcess().claim(settings)


def _refusal(attempt: Callable[[], object]) -> str | None:
    try:
        attempt()
    except ConfigurationError as refusal:
        return str(refusal)
    return None


def plugins(parts: Parts) -> Iterator[Finding]:
    """What is installed and in use."""
    installed = (f"{one.name} ({one.distribution or 'the app'} {one.version})" for one in parts.plugins.installed)
    yield ok(f"Plugins: {join(installed)}.")
    yield ok(f"Factors in use, in the order in which they are offered: {join(parts.core.factors)}.")
    if parts.core.backup is None:
        yield warning(
            "No factor with recovery codes is in use: who loses the other factor needs an admin; see MFA_FACTORS."
        )
    yield ok(f"MFA_DIALECT: {parts.dialect.name}.")
