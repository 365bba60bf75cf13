"""The store in a SQLite file."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, make_url

from mfa_middleware.errors import ConfigurationError, Unavailable
from mfa_middleware.models import Counter, Spend, UserFactors
from mfa_middleware.stores.sql import migrate, open_store
from mfa_middleware.stores.sql.schema import REVISION
from mfa_middleware.stores.sql.sqlite import SQLiteStore
from tests.stores.databases import NOW, authenticator, putting, settings


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mfa.sqlite3"


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite:///{path}"


async def open_and_close(url: str) -> None:
    store = open_store(settings(url))
    await store.open()
    await store.close()


class TestOpening:
    async def test_a_new_file_and_its_companions_are_their_owners_alone(self, path: Path, url: str) -> None:
        store = open_store(settings(url))
        await store.open()
        await store.change("alice", putting(authenticator()))
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
        assert modes == dict.fromkeys(["mfa.sqlite3", "mfa.sqlite3-wal", "mfa.sqlite3-shm"], 0o600)
        await store.close()

    async def test_the_mode_of_a_file_that_is_there_is_left_alone(self, path: Path, url: str) -> None:
        path.touch()
        path.chmod(0o640)
        await open_and_close(url)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640

    async def test_what_was_written_is_there_after_opening_it_again(self, url: str) -> None:
        store = open_store(settings(url))
        for _ in range(2):
            await store.open()
            before = await store.change("alice", putting(authenticator()))
            await store.close()
        assert before.authenticators == (authenticator(),)

    @pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite+aiosqlite://"])
    async def test_it_can_be_in_memory(self, url: str) -> None:
        store = open_store(settings(url))
        await store.open()
        await store.change("alice", putting(authenticator()))
        assert (await store.load("alice")).authenticators == (authenticator(),)
        await store.close()

    async def test_a_uri_of_sqlites_own_is_understood(self, path: Path) -> None:
        await open_and_close(f"sqlite:///file:{path}?uri=true&mode=rwc")
        assert path.exists()

    def test_neither_alembic_nor_a_driver_of_another_database_is_imported(self, url: str) -> None:
        """Alembic would take more than half of the start-up."""
        program = (
            "import asyncio, sys; from mfa_middleware.settings import Settings;"
            "from mfa_middleware.stores.sql import open_store;"
            f"asyncio.run(open_store(Settings(database_url={url!r})).open());"
            "print(*{'alembic', 'asyncpg', 'sqlalchemy.orm', 'sqlite3'} & sys.modules.keys())"
        )
        done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
        assert done.stdout.split() == ["sqlite3"]


class TestUnusable:
    async def refusal(self, url: str) -> str:
        store = open_store(settings(url))
        with pytest.raises(ConfigurationError) as raised:
            await store.open()
        await store.close()
        return str(raised.value)

    async def test_a_folder_that_is_missing(self, tmp_path: Path) -> None:
        assert "MFA_DATABASE_URL" in await self.refusal(f"sqlite:///{tmp_path}/missing/mfa.sqlite3")

    async def test_a_folder_instead_of_a_file(self, tmp_path: Path) -> None:
        assert "MFA_DATABASE_URL" in await self.refusal(f"sqlite:///{tmp_path}")

    async def test_a_file_that_is_no_database(self, path: Path, url: str) -> None:
        path.write_text("Dear diary, " * 100)
        assert "SQLITE_NOTADB" in await self.refusal(url)
        assert path.read_text().startswith("Dear diary")

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
    async def test_a_folder_that_may_not_be_written(self, tmp_path: Path, url: str) -> None:
        tmp_path.chmod(0o500)
        assert "MFA_DATABASE_URL" in await self.refusal(url)

    async def test_a_file_that_may_only_be_read(self, path: Path, url: str) -> None:
        await open_and_close(url)
        assert "MFA_DATABASE_URL" in await self.refusal(f"sqlite:///file:{path}?uri=true&mode=ro")

    async def test_a_url_with_a_host(self) -> None:
        assert "sqlite:///file" in await self.refusal("sqlite://somewhere/mfa.sqlite3")

    async def test_tables_of_a_newer_release(self, path: Path, url: str) -> None:
        await open_and_close(url)
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE mfa_version SET version_num = '9999'")
        connection.close()
        assert "release" in await self.refusal(url)

    async def test_a_file_that_another_process_keeps_locked_is_away(self, path: Path, url: str) -> None:
        await open_and_close(url)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        store = open_store(settings(url, engine_timeout=0.2))
        with pytest.raises(Unavailable):
            await store.open()
        other.close()
        await store.open()
        await store.close()


class TestUpgrade:
    async def test_a_file_of_an_older_release_is_brought_up_to_date(self, path: Path, url: str) -> None:
        asked: list[URL] = []

        def upgrade(url: URL) -> None:
            asked.append(url)
            set_version(REVISION)

        def set_version(revision: str) -> None:
            connection = sqlite3.connect(path, isolation_level=None)
            connection.execute("UPDATE mfa_version SET version_num = ?", [revision])
            connection.close()

        await open_and_close(url)
        set_version("0000")
        store = SQLiteStore(make_url(url), timeout=1, upgrade=upgrade)
        await store.open()
        await store.close()
        assert asked == [make_url(url)]

    async def test_migrating_makes_the_tables_and_twice_does_no_harm(self, url: str) -> None:
        assert [await migrate(settings(url)) for _ in range(2)] == [REVISION, REVISION]
        await open_and_close(url)


class TestTrouble:
    async def test_a_file_that_another_process_keeps_locked_can_be_read_and_not_written(
        self, path: Path, url: str
    ) -> None:
        store = open_store(settings(url, engine_timeout=0.2))
        await store.open()
        await store.change("alice", putting(authenticator()))
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        spend = Spend("alice", "one", 1, Counter(1))
        assert (await store.load("alice")).authenticators
        with pytest.raises(Unavailable):
            await store.spend(spend, at=NOW, hard=100)
        with pytest.raises(Unavailable):
            await store.change("alice", putting())
        other.close()
        assert await store.spend(spend, at=NOW, hard=100)
        await store.close()

    async def test_a_full_disk_is_unavailable_and_changes_nothing(
        self, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connections: list[sqlite3.Connection] = []
        connect = sqlite3.connect

        def kept(*arguments: Any, **options: Any) -> sqlite3.Connection:
            connections.append(connect(*arguments, **options))
            return connections[-1]

        monkeypatch.setattr(sqlite3, "connect", kept)
        store = open_store(settings(url))
        await store.open()
        await store.change("alice", putting(authenticator()))
        connections[0].execute("PRAGMA max_page_count = 1")
        large = authenticator(state=b"x" * 1_000_000)
        with pytest.raises(Unavailable) as raised:
            await store.change("alice", putting(large))
        assert raised.value.reason == "database: SQLITE_FULL"
        assert (await store.load("alice")).authenticators == (authenticator(),)
        connections[0].execute("PRAGMA max_page_count = 100000")
        await store.change("alice", putting(large))
        await store.close()

    async def test_a_closed_store_is_unavailable(self, url: str) -> None:
        store = open_store(settings(url))
        with pytest.raises(Unavailable):
            await store.load("alice")
        await store.open()
        await store.close()
        await store.close()
        with pytest.raises(Unavailable):
            await store.load("alice")

    async def test_a_disk_that_hangs_is_unavailable(self, url: str) -> None:
        """The caller is not kept waiting; what hangs goes on by itself."""
        store = open_store(settings(url, engine_timeout=0.2))
        assert isinstance(store, SQLiteStore)
        await store.open()
        assert store._writer is not None
        gate = threading.Event()
        store._writer._thread.submit(gate.wait, 30)  # where the disk is waited for
        with pytest.raises(Unavailable) as raised:
            await store.change("alice", putting())
        assert raised.value.reason == "database: TimeoutError"
        assert await store.load("alice") == UserFactors("alice")  # who only reads need not wait
        gate.set()
        await store.change("alice", putting())
        await store.close()


def test_loops_in_several_threads_can_use_one_store(url: str) -> None:
    store = open_store(settings(url))
    asyncio.run(store.open())
    names = [f"user-{number}" for number in range(4)]

    def bind(name: str) -> None:
        asyncio.run(store.change(name, putting(authenticator(name, id=name))))

    threads = [threading.Thread(target=bind, args=[name]) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    async def scan() -> list[str]:
        found = [one.user_id async for batch in store.scan() for one in batch]
        await store.close()
        return found

    assert asyncio.run(scan()) == names


@pytest.mark.parametrize("vfs", ["unix-dotfile", "unix-none"])
async def test_where_there_can_be_no_write_ahead_log_start_up_stops(path: Path, vfs: str) -> None:
    """Readers would then hold up writers, and a commit could be refused."""
    store = open_store(settings(f"sqlite:///file:{path}?uri=true&vfs={vfs}"))
    with pytest.raises(ConfigurationError, match="write-ahead log"):
        await store.open()
