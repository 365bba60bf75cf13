"""Every statement of the store: built with SQLAlchemy Core, compiled once to a dialect's SQL text.

The engines give that text to the driver themselves, because SQLAlchemy's way of running it costs several times what
the statement does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Boolean,
    ClauseElement,
    ColumnElement,
    Dialect,
    Double,
    Integer,
    LargeBinary,
    Select,
    Table,
    Text,
    Update,
    and_,
    bindparam,
    delete,
    exists,
    func,
    not_,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.compiler import SQLCompiler

from mfa_middleware.stores.sql.schema import authenticator, blocked_session, spent, user, version

Value = str | bytes | float | bool | None
#: ``sqlite.insert`` or ``postgresql.insert``: both know ON CONFLICT, Core's own does not.
Insert = Callable[[Table], sqlite.Insert | postgresql.Insert]

_id: BindParameter[str] = bindparam("id", type_=Text())
_user_id: BindParameter[str] = bindparam("user_id", type_=Text())
_at: BindParameter[float] = bindparam("at", type_=Double())
_until: BindParameter[float] = bindparam("until", type_=Double())
_digest: BindParameter[bytes] = bindparam("digest", type_=LargeBinary())


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL text for a driver, and the names of its parameters in order of their place."""

    sql: str
    names: tuple[str, ...]
    constants: Mapping[str, Value]

    def arguments(self, values: Mapping[str, Value]) -> list[Value]:
        """The values in the order that the driver wants."""
        return [values[name] if name in values else self.constants[name] for name in self.names]


class Statements:
    """All statements, for one dialect."""

    def __init__(self, dialect: Dialect, insert: Insert) -> None:
        self._dialect = dialect
        self.version = self._compile(select(version.c.version_num))
        self.load = self._compile(_load())
        self.scan = self._compile(_scan())
        self.spend_counter = self._compile(_spend_counter())
        self.spend_once = self._compile(_spend_once(insert))
        self.fail = self._compile(_fail(insert))
        self.lock = self._compile(_at_user(update(user).values(locked_until=_until)))
        self.forgive = self._compile(_at_user(update(user).values(failures=0, locked_until=0.0)))
        self.hold_user = self._compile(_hold_user(insert))
        self.hold_authenticators = self._compile(_hold_authenticators())
        self.expire = self._compile(_expire())
        self.put = self._compile(_put(insert))
        self.put_spent = self._compile(_put_spent(insert))
        self.remove = self._compile(_remove())
        self.remove_spent = self._compile(delete(spent).where(spent.c.authenticator_id == _id))
        self.block = self._compile(_block(insert))
        self.free = self._compile(delete(blocked_session).where(blocked_session.c.digest == _digest))
        self.unblock_expired = self._compile(delete(blocked_session).where(blocked_session.c.until <= _at))
        self._blocked: dict[int, Statement] = {}

    def blocked(self, count: int) -> Statement:
        """Which of the digests ``digest_0`` to ``digest_<count - 1>`` are blocked."""
        if count not in self._blocked:
            digests = [bindparam(f"digest_{number}", type_=LargeBinary()) for number in range(count)]
            found = select(blocked_session.c.digest).where(
                or_(*(blocked_session.c.digest == digest for digest in digests)), blocked_session.c.until > _at
            )
            self._blocked[count] = self._compile(found)
        return self._blocked[count]

    def _compile(self, element: ClauseElement) -> Statement:
        return compiled(element, self._dialect)


def compiled(element: ClauseElement, dialect: Dialect) -> Statement:
    """A statement as that dialect's SQL text."""
    text = element.compile(dialect=dialect)
    if not isinstance(text, SQLCompiler):
        return Statement(str(text), (), {})
    constants = {name: value for name, value in text.params.items() if value is not None}
    return Statement(str(text), tuple(text.positiontup or ()), constants)


def _columns() -> Select[*tuple[object, ...]]:
    """An authenticator's columns, how many proofs it has spent, and when the last."""
    own = spent.c.authenticator_id == authenticator.c.id
    return select(
        *authenticator.c,
        select(func.count()).select_from(spent).where(own).correlate(authenticator).scalar_subquery(),
        select(func.max(spent.c.spent_at)).where(own).correlate(authenticator).scalar_subquery(),
    )


def _load() -> Select[*tuple[object, ...]]:
    """One row for each authenticator, or one without any: the user's failures must be told either way."""
    asked = select(_user_id.label("user_id")).subquery("asked")
    joined = asked.outerjoin(user, user.c.user_id == asked.c.user_id).outerjoin(
        authenticator, authenticator.c.user_id == asked.c.user_id
    )
    return (
        _columns()
        .add_columns(user.c.failures, user.c.locked_until)
        .select_from(joined)
        .order_by(authenticator.c.created_at, authenticator.c.id)
    )


def _scan() -> Select[*tuple[object, ...]]:
    after: BindParameter[str] = bindparam("after", type_=Text())
    batch: BindParameter[int] = bindparam("batch", type_=Integer())
    return _columns().where(authenticator.c.id > after).order_by(authenticator.c.id).limit(batch)


def _spendable() -> ColumnElement[bool]:
    """What must hold of an authenticator at the moment of spending."""
    hard: BindParameter[int] = bindparam("hard", type_=Integer())
    locked = exists().where(
        user.c.user_id == _user_id,
        or_(user.c.locked_until > _at, and_(user.c.failures >= hard, not_(authenticator.c.backup))),
    )
    return and_(
        authenticator.c.id == _id,
        authenticator.c.user_id == _user_id,
        authenticator.c.revision == bindparam("revision", type_=Integer()),
        authenticator.c.state.is_not(None),
        or_(authenticator.c.enabled, bindparam("disabled_too", type_=Boolean())),
        not_(locked.correlate(authenticator)),
    )


def _spend_counter() -> ClauseElement:
    value: BindParameter[int] = bindparam("value", type_=BigInteger())
    return (
        update(authenticator)
        .where(_spendable(), authenticator.c.counter < value)
        .values(counter=value, last_used_at=_at)
        .returning(authenticator.c.id)
    )


def _spend_once(insert: Insert) -> ClauseElement:
    """The shared row lock makes it wait for a change under way, and look again after it. SQLite needs none."""
    proof: BindParameter[bytes] = bindparam("proof", type_=LargeBinary())
    chosen = select(authenticator.c.id, proof, _at).where(_spendable()).with_for_update(read=True)
    return (
        insert(spent)
        .from_select([spent.c.authenticator_id, spent.c.proof, spent.c.spent_at], chosen)
        .on_conflict_do_nothing()
        .returning(spent.c.authenticator_id)
    )


def _fail(insert: Insert) -> ClauseElement:
    return (
        insert(user)
        .values(user_id=_user_id, failures=1, locked_until=0.0)
        .on_conflict_do_update(index_elements=[user.c.user_id], set_={"failures": user.c.failures + 1})
        .returning(user.c.failures, user.c.locked_until)
    )


def _at_user(statement: Update) -> Update:
    return statement.where(user.c.user_id == _user_id)


def _hold_user(insert: Insert) -> ClauseElement:
    """Lock the user's row, which may have to be made first: a change of another process waits here."""
    made = insert(user).values(user_id=_user_id, failures=0, locked_until=0.0)
    return made.on_conflict_do_update(index_elements=[user.c.user_id], set_={"user_id": made.excluded.user_id})


def _hold_authenticators() -> ClauseElement:
    """Lock the user's authenticators: a proof spent meanwhile would be lost under the row that is put."""
    return select(authenticator.c.id).where(authenticator.c.user_id == _user_id).with_for_update()


def _expire() -> ClauseElement:
    return delete(authenticator).where(
        authenticator.c.user_id == _user_id, authenticator.c.state.is_(None), authenticator.c.pending_until <= _at
    )


def _put(insert: Insert) -> ClauseElement:
    made = insert(authenticator).values({column: bindparam(column.name) for column in authenticator.c})
    return made.on_conflict_do_update(
        index_elements=[authenticator.c.id],
        set_={column.name: made.excluded[column.name] for column in authenticator.c if column.name != "id"},
        where=authenticator.c.user_id == made.excluded.user_id,
    ).returning(authenticator.c.id)


def _put_spent(insert: Insert) -> ClauseElement:
    proof: BindParameter[bytes] = bindparam("proof", type_=LargeBinary())
    return insert(spent).values(authenticator_id=_id, proof=proof, spent_at=_at).on_conflict_do_nothing()


def _remove() -> ClauseElement:
    return (
        delete(authenticator)
        .where(authenticator.c.id == _id, authenticator.c.user_id == _user_id)
        .returning(authenticator.c.id)
    )


def _block(insert: Insert) -> ClauseElement:
    """Only an expired block is replaced, so that exactly one caller holds it."""
    made = insert(blocked_session).values(digest=_digest, until=_until)
    return made.on_conflict_do_update(
        index_elements=[blocked_session.c.digest],
        set_={"until": made.excluded.until},
        where=blocked_session.c.until <= _at,
    ).returning(blocked_session.c.digest)
