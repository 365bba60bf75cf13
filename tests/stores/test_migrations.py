"""The migrations lead to what ``schema.py`` says, on both databases, however they are run."""

from __future__ import annotations

import multiprocessing
import sqlite3
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool, create_engine, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from mfa_middleware.errors import ConfigurationError
from mfa_middleware.stores.sql import migrate, open_store
from mfa_middleware.stores.sql.migration import configuration, upgrade, upgrade_sqlite
from mfa_middleware.stores.sql.postgresql import connect_arguments
from mfa_middleware.stores.sql.schema import REVISION, VERSION_TABLE, metadata
from tests.engines import PostgreSQL
from tests.stores import racing
from tests.stores.databases import settings


def differences(connection: Connection) -> list[Any]:
    options = {"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": True}
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))


def on_sqlite(path: Path, work: Any) -> Any:
    with create_engine(f"sqlite:///{path}", poolclass=NullPool).begin() as connection:
        return work(connection)


async def on_postgresql(url: str, work: Any) -> Any:
    arguments = connect_arguments(make_url(url))
    engine = create_async_engine("postgresql+asyncpg://", poolclass=NullPool, connect_args=arguments)
    async with engine.begin() as connection:
        return await connection.run_sync(work)


def described(path: Path) -> list[tuple[str, str, str]]:
    """All that a SQLite file says of its tables, without blanks and quotes."""
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT type, name, coalesce(sql, '') FROM sqlite_master ORDER BY type, name").fetchall()
    rows += connection.execute("SELECT 'version', version_num, '' FROM mfa_version").fetchall()
    connection.close()
    return [(kind, name, " ".join(sql.replace('"', "").split())) for kind, name, sql in rows]


def test_the_newest_revision_is_the_one_that_start_up_looks_for(tmp_path: Path) -> None:
    heads = on_sqlite(
        tmp_path / "any", lambda connection: ScriptDirectory.from_config(configuration(connection)).get_heads()
    )
    assert heads == [REVISION]


def test_on_sqlite_they_lead_to_the_schema(tmp_path: Path) -> None:
    on_sqlite(tmp_path / "migrated", upgrade)
    assert on_sqlite(tmp_path / "migrated", differences) == []


async def test_on_postgresql_they_lead_to_the_schema(empty_database: str) -> None:
    assert await migrate(settings(empty_database)) == REVISION
    assert await on_postgresql(empty_database, differences) == []


async def test_a_difference_would_be_seen(empty_database: str) -> None:
    await migrate(settings(empty_database))
    drop = text("ALTER TABLE mfa_spent ALTER spent_at TYPE text")
    await on_postgresql(empty_database, lambda connection: connection.execute(drop))
    assert await on_postgresql(empty_database, differences) != []


async def test_what_start_up_makes_without_alembic_is_what_alembic_makes(tmp_path: Path) -> None:
    store = open_store(settings(f"sqlite:///{tmp_path}/opened"))
    await store.open()
    await store.close()
    upgrade_sqlite(make_url(f"sqlite:///{tmp_path}/migrated"))
    assert described(tmp_path / "opened") == described(tmp_path / "migrated")


async def test_a_file_that_alembic_made_opens(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/migrated"
    upgrade_sqlite(make_url(url))
    upgrade_sqlite(make_url(url))
    store = open_store(settings(url))
    await store.open()
    await store.close()


def test_a_sqlite_upgrade_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "migrated"

    def half(connection: Connection) -> None:
        upgrade(connection)
        raise RuntimeError("power cut")

    monkeypatch.setattr("mfa_middleware.stores.sql.migration.upgrade", half)
    with pytest.raises(RuntimeError, match="power cut"):
        upgrade_sqlite(make_url(f"sqlite:///{path}"))
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []
    connection.close()


@pytest.mark.slow
def test_upgrades_at_once_wait_for_each_other(empty_database: str) -> None:
    """As when several new servers start, each of which migrates first."""
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as processes:
        assert list(processes.map(racing.upgrade, [empty_database] * 4)) == [REVISION] * 4


async def test_upgrading_twice_does_no_harm(empty_database: str) -> None:
    assert [await migrate(settings(empty_database)) for _ in range(2)] == [REVISION] * 2


async def test_tables_of_an_unknown_release_are_refused(server: PostgreSQL, empty_database: str) -> None:
    await migrate(settings(empty_database))
    server.sql("UPDATE mfa_version SET version_num = '9999'", database=str(make_url(empty_database).database))
    with pytest.raises(ConfigurationError, match="release"):
        await migrate(settings(empty_database))


async def test_the_way_back_leaves_no_table(empty_database: str) -> None:
    await migrate(settings(empty_database))
    await on_postgresql(empty_database, lambda connection: command.downgrade(configuration(connection), "base"))
    left = text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    found = await on_postgresql(empty_database, lambda connection: connection.execute(left).scalars().all())
    assert found == [VERSION_TABLE]
