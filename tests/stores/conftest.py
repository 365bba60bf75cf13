"""Databases to test on. A PostgreSQL is started once; its tables are emptied before each test that uses them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import make_url

from mfa_middleware.stores.protocols import AuthenticatorStore
from mfa_middleware.stores.sql import migrate, open_store
from mfa_middleware.stores.sql.postgresql import connect_arguments
from mfa_middleware.stores.sql.schema import metadata
from tests.engines import TEST_DATABASE_URL, EngineMissing, PostgreSQL
from tests.stores.databases import settings


@pytest.fixture(scope="session")
def server() -> Iterator[PostgreSQL]:
    """A PostgreSQL of our own."""
    try:
        postgresql = PostgreSQL()
    except EngineMissing as missing:
        pytest.skip(str(missing))
    with postgresql:
        yield postgresql


@pytest.fixture
def breakable(server: PostgreSQL) -> Iterator[PostgreSQL]:
    """The same, for a test that kills or hangs it."""
    yield server
    server.resume()
    server.start()


@pytest.fixture
def empty_database(server: PostgreSQL) -> str:
    """The URL of a database without tables."""
    name = f"mfa_{uuid4().hex}"
    server.sql(f"CREATE DATABASE {name}")
    return server.database_url(name)


@pytest.fixture(scope="session")
def migrated(request: pytest.FixtureRequest) -> str:
    """The URL of a PostgreSQL database with tables."""
    url = TEST_DATABASE_URL or request.getfixturevalue("server").url
    asyncio.run(migrate(settings(url)))
    return str(url)


@pytest.fixture
def postgresql_url(migrated: str) -> str:
    """The URL of a PostgreSQL database with empty tables."""
    asyncio.run(_truncate(migrated))
    return migrated


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/mfa.sqlite3"
    return str(request.getfixturevalue("postgresql_url"))


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[AuthenticatorStore]:
    """A store on it, open."""
    store = open_store(settings(database_url))
    await store.open()
    yield store
    await store.close()


async def _truncate(url: str) -> None:
    connection = await asyncpg.connect(**connect_arguments(make_url(url)), command_timeout=60)
    await connection.execute(f"TRUNCATE {', '.join(metadata.tables)}")
    await connection.close()
