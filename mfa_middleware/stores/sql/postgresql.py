"""PostgreSQL: a pool of asyncpg's. What is one statement is one round trip, and commits itself.

Everything that can go wrong with the server is :class:`~mfa_middleware.errors.Unavailable`. Connections are made when
they are needed, so a server that comes back is found without a restart.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol, cast

import asyncpg
from sqlalchemy import URL
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.exc import ArgumentError

from mfa_middleware.errors import ConfigurationError, Unavailable
from mfa_middleware.stores.sql.statements import Statement, Statements, Value
from mfa_middleware.stores.sql.store import Result, Row, SQLStore, Transaction, refuse_other_version

#: Connections of one process.
POOL = 10

_DIALECT: Any = PGDialect_asyncpg()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves this dialect untyped
_FAILURES = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
#: What is said of the server or the way to it, and not of a statement: connections made before are no good any more.
#: A server that can only be read was the primary once.
_SERVER_LOST = (OSError, TimeoutError, asyncpg.PostgresConnectionError, asyncpg.ReadOnlySQLTransactionError)
#: Classes of SQLSTATE that mean "not with this user, password or database", and not "not now".
_REFUSED = ("28", "3D", "42501")
#: Options that a URL gives as text. Without prepared statements (``statement_cache_size=0``) any PgBouncer will do.
_NUMBERS = {"timeout": float, "command_timeout": float, "statement_cache_size": int}
#: What SQLAlchemy's URLs can carry for SQLAlchemy itself.
_NOT_ASYNCPG = ("prepared_statement_cache_size", "prepared_statement_name_func", "async_fallback")


class Connection(Protocol):
    """What is used of asyncpg's connection, which has no types."""

    async def execute(self, query: str, /) -> str: ...

    async def fetch(self, query: str, /, *arguments: Value) -> Sequence[Row]: ...

    def terminate(self) -> None: ...


class Pool(Protocol):
    """What is used of asyncpg's pool."""

    async def acquire(self) -> Connection: ...

    async def release(self, connection: Connection, /) -> None: ...

    async def expire_connections(self) -> None: ...

    async def close(self) -> None: ...

    def terminate(self) -> None: ...


class PostgreSQLStore(SQLStore):
    """The store in PostgreSQL. Its tables are made by ``mfa migrate``."""

    def __init__(self, url: URL, *, timeout: float) -> None:
        super().__init__(Statements(_DIALECT, insert))
        self._arguments = connect_arguments(url)
        self._timeout = timeout
        self._pools: dict[asyncio.AbstractEventLoop, Pool] = {}

    async def open(self) -> None:
        try:
            refuse_other_version(await self._version())
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        pools, self._pools = self._pools, {}
        for loop, pool in pools.items():
            if loop is asyncio.get_running_loop():
                await self._close(pool)
            elif loop.is_running():
                asyncio.run_coroutine_threadsafe(self._close(pool), loop)

    async def _close(self, pool: Pool) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await pool.close()
        except _FAILURES:
            pool.terminate()

    async def _version(self) -> str | None:
        try:
            rows = await self._run(self._sql.version, {})
        except Unavailable as error:
            if isinstance(error.__cause__, asyncpg.UndefinedTableError):
                return None
            raise refused(error.__cause__) or error from error.__cause__
        return str(rows[0][0]) if rows else None

    async def _run(self, statement: Statement, values: Mapping[str, Value]) -> Sequence[Row]:
        async with self._connection() as connection:
            return await connection.fetch(statement.sql, *statement.arguments(values))

    async def _transact(self, transaction: Transaction[Result]) -> Result:
        async with self._connection() as connection:
            await connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
            try:
                result = await _steps(connection, transaction)
            except Exception:
                await connection.execute("ROLLBACK")
                raise
            await connection.execute("COMMIT")
            return result

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        """A connection for one piece of work; the time-out is for all of it."""
        pool = await self._pool_here()
        connection: Connection | None = None
        try:
            async with asyncio.timeout(self._timeout):
                connection = await pool.acquire()
                try:
                    yield connection
                except asyncio.CancelledError:
                    # Else asyncpg waits for the server's word that it stopped: too long, if the server hangs.
                    connection.terminate()
                    raise
                finally:
                    await pool.release(connection)
        except _FAILURES as error:
            if connection is not None and isinstance(error, _SERVER_LOST):
                # The idle ones have not noticed, and would fail one caller each.
                await pool.expire_connections()
            raise Unavailable(f"database: {type(error).__name__}") from error

    async def _pool_here(self) -> Pool:
        """The pool of the running event loop: connections cannot go from one to another."""
        loop = asyncio.get_running_loop()
        pool = self._pools.get(loop)
        if pool is None:
            for ended in [one for one in tuple(self._pools) if one.is_closed()]:
                self._pools.pop(ended, None)
            arguments = {"timeout": self._timeout, **self._arguments}
            made = await asyncpg.create_pool(**arguments, min_size=0, max_size=POOL, reset=_keep)
            pool = self._pools.setdefault(loop, cast("Pool", made))
        return pool


def connect_arguments(url: URL) -> dict[str, Any]:
    """What asyncpg is to be given for a SQLAlchemy URL; libpq's ``sslmode`` is understood as well.

    :raises ConfigurationError: for an option that asyncpg does not know, or a number that is none.
    """
    try:
        _, found = _DIALECT.create_connect_args(url)
        found |= {name: kind(found[name]) for name, kind in _NUMBERS.items() if name in found}
    except (ArgumentError, ValueError) as error:
        raise ConfigurationError("MFA_DATABASE_URL: a host, a port or a number in it does not parse.") from error
    if "sslmode" in found:
        found["ssl"] = found.pop("sslmode")
    arguments = {name: value for name, value in found.items() if name not in _NOT_ASYNCPG}
    known = inspect.signature(asyncpg.connect).parameters
    for name in arguments.keys() - known.keys():
        raise ConfigurationError(f"MFA_DATABASE_URL: {name} is no option of a connection to PostgreSQL; remove it.")
    return arguments


def refused(error: BaseException | None) -> ConfigurationError | None:
    """What to tell when PostgreSQL will not let us in however often we ask; None for any other error."""
    state = getattr(error, "sqlstate", None) or ""
    if not state.startswith(_REFUSED) and not isinstance(error, asyncpg.exceptions.ClientConfigurationError):
        return None
    return ConfigurationError(
        f"MFA_DATABASE_URL: PostgreSQL cannot be used with it ({type(error).__name__});"
        " mend the user, the password, the database's name, the user's rights or the options."
    )


async def _steps(connection: Connection, transaction: Transaction[Result]) -> Result:
    try:
        statement, values = next(transaction)
        while True:
            rows = await connection.fetch(statement.sql, *statement.arguments(values))
            statement, values = transaction.send(rows)
    except StopIteration as end:
        result: Result = end.value
        return result


async def _keep(_: Connection) -> None:
    """Give a connection back as it is: nothing here changes a session's state, and the pool rolls back by itself."""
