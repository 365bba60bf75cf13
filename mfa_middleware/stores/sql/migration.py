"""Bringing a database's tables to the newest version, with Alembic.

Imported only where it is needed: Alembic is slow to import, and a server that finds its tables well needs none of it.
"""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import URL, Connection, NullPool, create_engine

from mfa_middleware.errors import ConfigurationError


def configuration(connection: Connection) -> Config:
    """Alembic's configuration: the migrations of this package, on that connection."""
    config = Config()
    config.set_main_option("script_location", "mfa_middleware.stores.sql:migrations")
    config.attributes["connection"] = connection
    return config


def upgrade(connection: Connection) -> None:
    """Run the migrations that the database has not had; the caller commits.

    :raises ConfigurationError: when the tables are of a version that this release does not know.
    """
    try:
        command.upgrade(configuration(connection), "head")
    except CommandError as error:
        raise ConfigurationError(
            "MFA_DATABASE_URL: the database's tables are of a version that this release does not know;"
            " install the release that made them, or a newer one."
        ) from error


def upgrade_sqlite(url: URL) -> None:
    """Bring a SQLite file up to date, while no other process writes to it."""
    engine = create_engine(url, poolclass=NullPool, connect_args={"isolation_level": None})
    with engine.begin() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        upgrade(connection)
