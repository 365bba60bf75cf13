"""The stores, opened for a command. Unlike a server, a command claims nothing for itself alone."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from mfa_middleware.core import Core
from mfa_middleware.errors import InvalidRequest, LoginNotHeld
from mfa_middleware.mfa import MFA
from mfa_middleware.selectors import user_id
from mfa_middleware.settings import Settings


@asynccontextmanager
async def both_stores() -> AsyncGenerator[MFA]:
    """Redis and the database."""
    mfa = MFA(Settings())
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
