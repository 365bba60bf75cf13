"""The tables, as SQLAlchemy Core has them. ``migrations/`` must lead to the same; a test compares the two."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Double, Integer, LargeBinary, MetaData, String, Table, Text

#: The newest revision in ``migrations/``, known here so that start-up need not import Alembic.
REVISION = "0001"

VERSION_TABLE = "mfa_version"

metadata = MetaData()

#: Consecutive failures and the lock. Its row is also what :meth:`AuthenticatorStore.change` locks.
user = Table(
    "mfa_user",
    metadata,
    Column("user_id", Text, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("locked_until", Double, nullable=False),
)

#: One row for each authenticator; the columns are the fields of :class:`~mfa_middleware.models.Authenticator`.
authenticator = Table(
    "mfa_authenticator",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user_id", Text, nullable=False, index=True),
    Column("factor", Text, nullable=False),
    Column("backup", Boolean, nullable=False),
    Column("label", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("state", LargeBinary),
    Column("pending", LargeBinary),
    Column("pending_until", Double, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("counter", BigInteger, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("last_used_at", Double),
)

#: Once-only proofs that are spent. They live as long as their authenticator.
spent = Table(
    "mfa_spent",
    metadata,
    Column("authenticator_id", Text, primary_key=True),
    Column("proof", LargeBinary, primary_key=True),
    Column("spent_at", Double, nullable=False),
)

#: The app's sessions that nobody may use until the login that they belong to is released.
blocked_session = Table(
    "mfa_blocked_session",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("until", Double, nullable=False, index=True),
)

#: Alembic's own table, here to be read, and written where SQLite's tables are made without Alembic.
version = Table(
    VERSION_TABLE,
    MetaData(),
    Column("version_num", String(32), primary_key=True, nullable=False),
)
version.primary_key.name = f"{VERSION_TABLE}_pkc"
