"""The users of all contenders, the codes that their apps show, and their rows in our tables."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
import sqlite3
import struct
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

import asyncpg

from mfa_middleware import MFA, Settings
from mfa_middleware.core import Core
from mfa_middleware.factor import BackupCodes, Importing
from mfa_middleware.keyring import new_key
from mfa_middleware.stores.sql.schema import authenticator

#: Users of every contender.
USERS = 16_000
PASSWORD = "correct horse"
#: One key for all servers of a run.
SECRET_KEY = new_key()
_SECRETS = 200  # different ones: some contenders take long to make one
_CODES = 10
_COLUMNS = tuple(column.name for column in authenticator.c)
Row = tuple[object, ...]


def name(number: int) -> str:
    """A user's name."""
    return f"user{number}"


def email(number: int) -> str:
    """A user's name where that is an address."""
    return f"{name(number)}@benchmark.example.com"


def secret(number: int) -> bytes:
    """The 20 bytes that a user's authenticator app shares with the server."""
    return hashlib.sha1(b"mfa-middleware benchmark %d" % (number % _SECRETS)).digest()


def base32(number: int) -> str:
    """The same as people type it."""
    return base64.b32encode(secret(number)).decode()


def key_of(text: str) -> bytes:
    """The bytes of a secret that was shown."""
    return base64.b32decode(text)


def code(number: int, *, as_text: bool = False) -> str:
    """What a user's app shows now. ``as_text``: of a server whose key is the secret's hexadecimal text."""
    return _code(number % _SECRETS, int(time.time() // 30), as_text)


def code_of(key: bytes, step: int) -> str:
    """The code of a key in a time step (RFC 6238), computed here: the driver shall cost little."""
    digest = hmac.digest(key, struct.pack(">Q", step), "sha1")
    (number,) = struct.unpack_from(">I", digest, digest[19] & 15)
    return f"{(number & 0x7FFFFFFF) % 1_000_000:06}"


@lru_cache(maxsize=4 * _SECRETS)
def _code(number: int, step: int, as_text: bool) -> str:
    key = secret(number)
    return code_of(key.hex().encode() if as_text else key, step)


def wrong(number: int) -> str:
    """A code that is none of those near now."""
    step = int(time.time() // 30)
    near = {_code(number % _SECRETS, one, False) for one in range(step - 2, step + 4)}
    return next(
        one for one in ("000000", "111111", "222222", "333333", "444444", "555555", "666666") if one not in near
    )


def recovery_codes(number: int) -> Sequence[str]:
    """A user's recovery codes."""
    return [f"{name(number)}-PAPER-{which}" for which in range(_CODES)]


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
