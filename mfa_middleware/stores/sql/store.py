"""The authenticator store, once for all databases. An engine only knows how to run a statement, and a transaction.

A transaction is a generator: it yields each statement with its values, is sent the rows, and returns the result. So it
is written once, whether an engine drives it in one go or awaits each answer.
"""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Generator, Mapping, Sequence
from typing import Any, TypeVar

from mfa_middleware.errors import ConfigurationError, InvalidRequest
from mfa_middleware.models import Authenticator, Changes, Counter, Decide, Spend, UserFactors
from mfa_middleware.stores.protocols import LockPolicy
from mfa_middleware.stores.sql.schema import REVISION, authenticator
from mfa_middleware.stores.sql.statements import Statement, Statements, Value

Row = Sequence[Any]
Result = TypeVar("Result")
Step = tuple[Statement, Mapping[str, Value]]
Transaction = Generator[Step, Sequence[Row], Result]

_FIELDS = tuple(column.name for column in authenticator.c)
_UNSTORABLE = re.compile(r"[\0\ud800-\udfff]")


class SQLStore(ABC):
    """What all databases have in common; implements :class:`~mfa_middleware.stores.protocols.AuthenticatorStore`."""

    def __init__(self, statements: Statements) -> None:
        self._sql = statements

    @abstractmethod
    async def open(self) -> None: ...

    @abstractmethod
    async def close(self) -> None: ...

    @abstractmethod
    async def _run(self, statement: Statement, values: Mapping[str, Value]) -> Sequence[Row]:
        """Run one statement, which commits itself."""

    async def _read(self, statement: Statement, values: Mapping[str, Value]) -> Sequence[Row]:
        """Run one statement that changes nothing."""
        return await self._run(statement, values)

    @abstractmethod
    async def _transact(self, transaction: Transaction[Result]) -> Result:
        """Run a transaction; whatever it raises rolls it back."""

    async def load(self, user_id: str) -> UserFactors:
        return _user_factors(user_id, await self._read(self._sql.load, {"user_id": _storable(user_id)}))

    async def spend(self, spend: Spend, *, at: float, hard: int) -> bool:
        values: dict[str, Value] = {
            "id": _storable(spend.authenticator_id),
            "user_id": _storable(spend.user_id),
            "revision": spend.revision,
            "disabled_too": spend.disabled_too,
            "at": at,
            "hard": hard,
        }
        if isinstance(spend.proof, Counter):
            return bool(await self._run(self._sql.spend_counter, {**values, "value": spend.proof.value}))
        return bool(await self._run(self._sql.spend_once, {**values, "proof": spend.proof.digest}))

    async def fail(self, user_id: str, *, at: float, policy: LockPolicy) -> UserFactors:
        return await self._transact(self._fail(_storable(user_id), at, policy))

    async def forgive(self, user_id: str) -> None:
        await self._run(self._sql.forgive, {"user_id": _storable(user_id)})

    async def change(self, user_id: str, decide: Decide) -> UserFactors:
        return await self._transact(self._change(_storable(user_id), decide))

    async def scan(self, *, batch: int = 500) -> AsyncIterator[Sequence[Authenticator]]:
        after = ""
        while rows := await self._run(self._sql.scan, {"after": after, "batch": batch}):
            found = [_authenticator(row) for row in rows]
            yield found
            after = found[-1].id

    async def block_session(self, digest: bytes, until: float, *, at: float) -> bool:
        await self._run(self._sql.unblock_expired, {"at": at})
        return bool(await self._run(self._sql.block, {"digest": digest, "until": until, "at": at}))

    async def free_session(self, digest: bytes) -> None:
        await self._run(self._sql.free, {"digest": digest})

    async def session_blocked(self, digests: Sequence[bytes], at: float) -> frozenset[bytes]:
        if not digests:
            return frozenset()
        # Padded to a power of two: as many statements to prepare as a request has cookies would be its sender's choice.
        count = 1 << (len(digests) - 1).bit_length()
        padded = [*digests, *[digests[-1]] * (count - len(digests))]
        values: dict[str, Value] = {f"digest_{number}": digest for number, digest in enumerate(padded)}
        rows = await self._read(self._sql.blocked(count), {**values, "at": at})
        return frozenset(row[0] for row in rows)

    def _fail(self, user_id: str, at: float, policy: LockPolicy) -> Transaction[UserFactors]:
        ((failures, locked_until),) = yield self._sql.fail, {"user_id": user_id}
        if seconds := policy.lock_seconds(failures):
            locked_until = at + seconds
            yield self._sql.lock, {"user_id": user_id, "until": locked_until}
        return UserFactors(user_id, failures=failures, locked_until=float(locked_until))

    def _change(self, user_id: str, decide: Decide) -> Transaction[UserFactors]:
        asked: dict[str, Value] = {"user_id": user_id}
        yield self._sql.hold_user, asked
        yield self._sql.hold_authenticators, asked
        yield self._sql.expire, {**asked, "at": time.time()}
        before = _user_factors(user_id, (yield self._sql.load, asked))
        yield from self._write(user_id, decide(before))
        return before

    def _write(self, user_id: str, changes: Changes) -> Transaction[None]:
        for gone in changes.remove:
            if (yield self._sql.remove, {"id": gone, "user_id": user_id}):
                yield self._sql.remove_spent, {"id": gone}
        for one in changes.put:
            if one.user_id != user_id or not (yield self._sql.put, _values(one)):
                raise ValueError("an authenticator of another user was put")
        for row, digest in changes.spend:
            yield self._sql.put_spent, {"id": row, "proof": digest, "at": time.time()}
        if changes.forgive:
            yield self._sql.forgive, {"user_id": user_id}


def refuse_other_version(found: str | None) -> None:
    """Stop at tables that are missing (``None``) or that another release made.

    :raises ConfigurationError: naming both versions and the mend.
    """
    if found is None:
        raise ConfigurationError("MFA_DATABASE_URL: the database has no tables yet; run `mfa migrate`.")
    if found != REVISION:
        raise ConfigurationError(
            f"MFA_DATABASE_URL: the database's tables are of version {found}, this release needs {REVISION};"
            " run `mfa migrate` with the newest release that uses this database."
        )


def _user_factors(user_id: str, rows: Sequence[Row]) -> UserFactors:
    found = tuple(_authenticator(row) for row in rows if row[0] is not None)
    failures, locked_until = rows[0][-2:]
    return UserFactors(user_id, found, failures or 0, locked_until or 0.0)


def _authenticator(row: Row) -> Authenticator:
    """An authenticator of its columns, the number of its spent proofs, and when the last of them was spent."""
    # By position, as the columns stand: by name it would cost as much as the query.
    id_, user_id, factor, backup, label, enabled, state, pending, pending_until, revision, *more = row
    counter, created_at, last_used_at, spent, spent_at = more[:5]
    used_at = last_used_at if spent_at is None else max(spent_at, last_used_at or spent_at)
    # SQLite has no booleans.
    which = id_, user_id, factor, bool(backup), label, bool(enabled)
    return Authenticator(*which, state, pending, pending_until, revision, counter, created_at, used_at, spent)


def _values(one: Authenticator) -> Mapping[str, Value]:
    for text in (one.id, one.factor, one.label):
        _storable(text)
    return {name: getattr(one, name) for name in _FIELDS}


def _storable(text: str) -> str:
    """Refuse what not every database can keep: NUL (PostgreSQL), and halves of surrogate pairs."""
    if _UNSTORABLE.search(text):
        raise InvalidRequest("text with NUL or half a surrogate pair cannot be kept in the database")
    return text
