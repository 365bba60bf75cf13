"""The stores, opened for a command. Unlike a server, a command claims nothing for itself alone."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from mfa_middleware.core import Core
from mfa_middleware.errors import ConfigurationError, InvalidRequest, LoginNotHeld
from mfa_middleware.keys import database_file
from mfa_middleware.mfa import MFA
from mfa_middleware.selectors import user_id
from mfa_middleware.settings import Settings


def existing() -> Settings:
    """The settings, for a command about users whom a server knows: it makes no database.

    :raises ConfigurationError: when the SQLite file is not there.
    """
    settings = Settings()
    file = database_file(settings)
    if file is not None and not file.exists():
        raise ConfigurationError(
            f"MFA_DATABASE_URL: {file} is not there; run this in the server's folder, or name the file that it uses."
        )
    return settings


@asynccontextmanager
async def both_stores(settings: Settings | None = None) -> AsyncGenerator[MFA]:
    """Redis and the database."""
    mfa = MFA(settings)
    try:
        await mfa.open(alone=False)
        yield mfa
    finally:
        await mfa.close()


@asynccontextmanager
async def database(mfa: MFA) -> AsyncGenerator[Core]:
    """The database alone: what only reads or writes there works while Redis is away."""
    core = mfa.parts.core
    try:
        await core.authenticator_store.open()
        yield core
    finally:
        await core.authenticator_store.close()


def known_user(text: object) -> str:
    """A user's id that can be one.

    :raises InvalidRequest: for one that no app can have given.
    """
    try:
        found = user_id(text)
    except LoginNotHeld as error:
        reason = "is no user's id: too long, or with characters that cannot be kept"
        raise InvalidRequest("not a user's id", [("user", reason)]) from error
    if found is None:
        raise InvalidRequest("not a user's id", [("user", "is empty")])
    return found
