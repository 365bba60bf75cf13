"""The database engine of state: authenticators, spent proofs, failures and blocked sessions.

Which driver is imported depends on ``MFA_DATABASE_URL``; that happens here, when a store is made, and nowhere else.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from mfa_middleware.errors import ConfigurationError
from mfa_middleware.settings import Settings
from mfa_middleware.stores.protocols import AuthenticatorStore
from mfa_middleware.stores.sql.schema import REVISION

__all__ = ["migrate", "open_store"]

#: What the extra ``postgres`` installs.
_EXTRA = {"asyncpg", "greenlet"}


def open_store(settings: Settings) -> AuthenticatorStore:
    """The store that ``MFA_DATABASE_URL`` names. It is connected by its ``open()``.

    :raises ConfigurationError: when the URL cannot be meant, or its driver is not installed.
    """
    url = _url(settings)
    if url.get_backend_name() == "sqlite":
        store: AuthenticatorStore = _door("sqlite").SQLiteStore(
            url, timeout=settings.engine_timeout, upgrade=lambda url: _door("migration").upgrade_sqlite(url)
        )
    else:
        store = _door("postgresql").PostgreSQLStore(url, timeout=settings.engine_timeout)
    return store


async def migrate(settings: Settings) -> str:
    """Bring the database's tables to this release's version, which is returned. Doing it twice does no harm.

    :raises ConfigurationError: when the database refuses, or a newer release made its tables.
    :raises Unavailable: when it is away.
    """
    url = _url(settings)
    if url.get_backend_name() == "postgresql":
        await _door("migration_postgresql").upgrade_postgresql(url, connect_seconds=settings.engine_timeout)
    store = open_store(settings)
    await store.open()
    await store.close()
    return REVISION


def _url(settings: Settings) -> URL:
    try:
        return make_url(settings.database_url)
    except (ArgumentError, ValueError):
        # Without the cause, whose text may hold the password.
        raise ConfigurationError(
            "MFA_DATABASE_URL: it does not parse; percent-encode what is special in its user and password."
        ) from None


def _door(name: str) -> ModuleType:
    """Import a module of this package that not every set-up needs."""
    try:
        return importlib.import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA:
            raise
        raise ConfigurationError("MFA_DATABASE_URL: PostgreSQL needs the extra mfa-middleware[postgres].") from error
