"""Upgrading PostgreSQL: Alembic is synchronous, the driver is not, and SQLAlchemy's greenlets join them."""

from __future__ import annotations

from sqlalchemy import URL, NullPool
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from mfa_middleware.errors import Unavailable
from mfa_middleware.stores.sql.migration import upgrade
from mfa_middleware.stores.sql.postgresql import connect_arguments, refused


async def upgrade_postgresql(url: URL, *, connect_seconds: float) -> None:
    """Bring PostgreSQL up to date; how long that takes is not bounded.

    :raises ConfigurationError: when it refuses the user, the password or the database.
    :raises Unavailable: when it is away.
    """
    arguments = {"timeout": connect_seconds, **connect_arguments(url)}
    engine = create_async_engine("postgresql+asyncpg://", poolclass=NullPool, connect_args=arguments)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(upgrade)
    except (DBAPIError, OSError, TimeoutError) as error:
        cause = error.orig.__cause__ or error if isinstance(error, DBAPIError) and error.orig else error
        raise refused(cause) or Unavailable(f"database: {type(cause).__name__}") from cause
