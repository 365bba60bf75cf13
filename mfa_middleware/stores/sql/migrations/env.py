"""Alembic's entry: runs the migrations on the connection that :mod:`mfa_middleware.stores.sql.migration` made."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, func, select

from mfa_middleware.stores.sql.schema import VERSION_TABLE, metadata

#: Any number of our own: two upgrades at once wait for each other.
_LOCK = 0x6D6661

connection: Connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=connection.dialect.name == "sqlite",
)
if connection.dialect.name == "postgresql":
    connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
with context.begin_transaction():
    context.run_migrations()
