"""The users' rows in our tables."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

import asyncpg

from benchmarks.people import base32, name, recovery_codes
from mfa_middleware import MFA, Settings
from mfa_middleware.core import Core
from mfa_middleware.factor import BackupCodes, Importing
from mfa_middleware.keyring import new_key
from mfa_middleware.stores.sql.schema import authenticator

#: One key for all servers of a run.
SECRET_KEY = new_key()
_COLUMNS = tuple(column.name for column in authenticator.c)
Row = tuple[object, ...]


async def enrol(database_url: str, numbers: range, *, apps: int = 1) -> None:
    """Give each of these users ``apps`` authenticator apps, and recovery codes, in one go."""
    mfa = MFA(Settings(database_url=database_url, secret_key=SECRET_KEY))
    await mfa.open(alone=False)  # SQLite's tables are made by it
    await mfa.close()
    await write(database_url, _all_rows(numbers, apps))


@lru_cache(maxsize=2)
def _all_rows(numbers: range, apps: int) -> Sequence[Row]:
    core = MFA(Settings(secret_key=SECRET_KEY)).parts.core
    return [row for number in numbers for row in _rows(core, number, apps)]


def _rows(core: Core, number: int, apps: int) -> Iterator[Row]:
    totp, backup = core.factors["totp"], core.factors["recovery_code"]
    assert isinstance(totp, Importing)
    assert isinstance(backup, BackupCodes)
    user, now = name(number), time.time()
    states = [("totp", totp.adopt(base32(number + which)), False) for which in reversed(range(apps))]
    states.append(("recovery_code", backup.adopt_codes(recovery_codes(number)), True))
    for which, (factor, state, is_backup) in enumerate(states):
        row_id = f"{user}-{which}"
        sealed = core.seal_state(state, user_id=user, authenticator_id=row_id)
        yield (row_id, user, factor, is_backup, "", True, sealed, None, 0.0, 1, -1, now + which, None)


def strangers(count: int) -> Iterator[Row]:
    """Rows of users who never log in: a table has mostly those."""
    state = secrets.token_bytes(130)
    for number in range(count):
        yield (f"stranger{number}-0", f"stranger{number}", "totp", False, "", True, state, None, 0.0, 1, -1, 0.0, None)


async def write(database_url: str, rows: Iterable[Row]) -> None:
    """Put rows into the table of authenticators, past the store: it would make a transaction for each."""
    if database_url.startswith("sqlite"):
        await asyncio.to_thread(_write_sqlite, database_url.removeprefix("sqlite:///"), rows)
        return
    connection = await asyncpg.connect(database_url)
    try:
        await connection.copy_records_to_table(authenticator.name, records=rows, columns=_COLUMNS)
        await connection.execute(f"ANALYZE {authenticator.name}")
    finally:
        await connection.close()


def _write_sqlite(file: str, rows: Iterable[Row]) -> None:
    connection = sqlite3.connect(file)
    try:
        places = ", ".join("?" * len(_COLUMNS))
        connection.executemany(f"INSERT INTO {authenticator.name} ({', '.join(_COLUMNS)}) VALUES ({places})", rows)
        connection.commit()
    finally:
        connection.close()
