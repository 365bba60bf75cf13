"""The store in PostgreSQL: URLs, and a server that refuses, goes away, hangs and comes back."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from sqlalchemy import make_url

from mfa_middleware.errors import ConfigurationError, Unavailable
from mfa_middleware.models import Changes, Counter, Once, Spend
from mfa_middleware.stores.protocols import AuthenticatorStore, LockPolicy
from mfa_middleware.stores.sql import migrate, open_store
from mfa_middleware.stores.sql.postgresql import POOL, connect_arguments
from tests.engines import PostgreSQL
from tests.other_loops import other_loops
from tests.stores.databases import NOW, authenticator, putting, settings

CALLS: dict[str, Callable[[AuthenticatorStore], Awaitable[object]]] = {
    "load": lambda store: store.load("alice"),
    "spend a counter": lambda store: store.spend(Spend("alice", "one", 1, Counter(1)), at=NOW, hard=100),
    "spend once": lambda store: store.spend(Spend("alice", "one", 1, Once(b"d")), at=NOW, hard=100),
    "fail": lambda store: store.fail("alice", at=NOW, policy=LockPolicy()),
    "forgive": lambda store: store.forgive("alice"),
    "change": lambda store: store.change("alice", putting(authenticator())),
    "scan": lambda store: anext(store.scan()),
    "block": lambda store: store.block_session(b"a", NOW, at=NOW),
    "free": lambda store: store.free_session(b"a"),
    "blocked": lambda store: store.session_blocked([b"a"], NOW),
}


@pytest.fixture
async def store(breakable: PostgreSQL, empty_database: str) -> AsyncIterator[AuthenticatorStore]:
    """A store on a server that the test may break, with one authenticator."""
    await migrate(settings(empty_database))
    store = open_store(settings(empty_database, engine_timeout=1))
    await store.open()
    await store.change("alice", putting(authenticator()))
    yield store
    breakable.resume()
    await store.close()


class TestAway:
    async def test_a_killed_server_is_unavailable_for_every_verb_and_found_again(
        self, breakable: PostgreSQL, store: AuthenticatorStore
    ) -> None:
        await asyncio.gather(*(store.load("alice") for _ in range(POOL)))
        breakable.kill()
        for call in CALLS.values():
            with pytest.raises(Unavailable) as raised:
                await call(store)
            assert raised.value.reason.startswith("database: ")
        breakable.start()
        assert (await store.load("alice")).authenticators == (authenticator(),)
        for call in CALLS.values():
            await call(store)

    async def test_a_server_that_was_restarted_costs_nobody_an_answer(
        self, breakable: PostgreSQL, store: AuthenticatorStore
    ) -> None:
        await asyncio.gather(*(store.load("alice") for _ in range(POOL)))
        breakable.restart()
        for _ in range(10):
            await asyncio.sleep(0)  # the loop, which stood still meanwhile, learns of the closed connections
        loaded = await asyncio.gather(*(store.load("alice") for _ in range(2 * POOL)))
        assert all(one.authenticators for one in loaded)

    @pytest.mark.slow
    async def test_a_hung_server_is_unavailable_for_every_verb_and_found_again(
        self, breakable: PostgreSQL, store: AuthenticatorStore
    ) -> None:
        await asyncio.gather(*(store.load("alice") for _ in range(POOL)))
        breakable.pause()
        async with asyncio.timeout(30):
            outcomes = await asyncio.gather(*(call(store) for call in CALLS.values()), return_exceptions=True)
            assert [getattr(outcome, "reason", outcome) for outcome in outcomes] == ["database: TimeoutError"] * len(
                CALLS
            )
            with pytest.raises(Unavailable):  # nor can it be connected to
                await store.load("alice")
        breakable.resume()
        assert (await store.load("alice")).authenticators

    async def test_it_can_be_closed_while_the_server_hangs(
        self, breakable: PostgreSQL, store: AuthenticatorStore
    ) -> None:
        breakable.pause()
        async with asyncio.timeout(30):
            await store.close()

    async def test_opening_one_that_is_away_is_unavailable(self, breakable: PostgreSQL) -> None:
        breakable.stop()
        for attempt in (open_store(settings(breakable.url)).open(), migrate(settings(breakable.url))):
            with pytest.raises(Unavailable):
                await attempt

    async def test_a_user_whose_row_is_locked_too_long_is_unavailable_and_nobody_else(
        self, store: AuthenticatorStore, empty_database: str
    ) -> None:
        """The transaction that waited is rolled back, and its connection is not handed on."""
        entered, gate = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        async def hold() -> None:
            """A transaction of another client's that stays open."""
            connection = await asyncpg.connect(**connect_arguments(make_url(empty_database)))
            async with connection.transaction():
                await connection.execute("SELECT 1 FROM mfa_user WHERE user_id = 'alice' FOR UPDATE")
                entered.set()
                await gate.wait()
            await connection.close()

        holding = loop.create_task(hold())
        await entered.wait()
        with pytest.raises(Unavailable):
            await store.change("alice", lambda _: Changes(remove=("one",)))
        await store.change("bob", putting(authenticator("bob", "bobs")))
        gate.set()
        await holding
        assert (await store.load("alice")).authenticators


class TestOpening:
    async def refusal(self, url: str) -> str:
        store = open_store(settings(url))
        with pytest.raises(ConfigurationError) as raised:
            await store.open()
        await store.close()
        return str(raised.value)

    async def test_without_tables_it_names_the_command(self, empty_database: str) -> None:
        assert "`mfa migrate`" in await self.refusal(empty_database)

    async def test_tables_of_another_version_name_both_and_the_command(
        self, server: PostgreSQL, empty_database: str
    ) -> None:
        await migrate(settings(empty_database))
        server.sql("UPDATE mfa_version SET version_num = '0000'", database=str(make_url(empty_database).database))
        refusal = await self.refusal(empty_database)
        assert "0000" in refusal
        assert "`mfa migrate`" in refusal

    async def test_a_version_table_without_a_row_is_a_database_without_tables(
        self, server: PostgreSQL, empty_database: str
    ) -> None:
        await migrate(settings(empty_database))
        server.sql("DELETE FROM mfa_version", database=str(make_url(empty_database).database))
        assert "`mfa migrate`" in await self.refusal(empty_database)

    @pytest.mark.parametrize(
        "change",
        [{"password": "hunter2"}, {"username": "nobody"}, {"database": "missing"}],
        ids=lambda change: next(iter(change)),
    )
    async def test_a_server_that_refuses_is_a_wrong_setting_and_no_secret_is_told(
        self, server: PostgreSQL, change: dict[str, Any]
    ) -> None:
        url = make_url(server.url).set(**change).render_as_string(hide_password=False)
        refusal = await self.refusal(url)
        assert "MFA_DATABASE_URL" in refusal
        assert "hunter2" not in refusal
        assert server.password not in refusal
        with pytest.raises(ConfigurationError):
            await migrate(settings(url))

    async def test_it_works_over_a_unix_socket(self, server: PostgreSQL) -> None:
        await migrate(settings(server.unix_url))
        store = open_store(settings(server.unix_url))
        await store.open()
        await store.close()

    async def test_without_the_driver_the_extra_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "asyncpg", None)
        monkeypatch.delitem(sys.modules, "mfa_middleware.stores.sql.postgresql")
        with pytest.raises(ConfigurationError, match=r"mfa-middleware\[postgres\]"):
            open_store(settings("postgresql://host/database"))


class TestURLs:
    def arguments(self, url: str) -> dict[str, object]:
        return connect_arguments(make_url(url))

    @pytest.mark.parametrize("driver", ["postgresql", "postgresql+asyncpg"])
    def test_they_mean_what_they_mean_in_sqlalchemy(self, driver: str) -> None:
        assert self.arguments(f"{driver}://me:p%40ss@db.example:5433/mfa") == {
            "host": "db.example", "port": 5433, "user": "me", "password": "p@ss", "database": "mfa",
        }  # fmt: skip

    def test_a_host_in_the_query_is_a_folder_of_sockets(self) -> None:
        assert self.arguments("postgresql:///mfa?host=/run/postgresql")["host"] == "/run/postgresql"

    def test_several_hosts_are_tried_in_turn(self) -> None:
        found = self.arguments("postgresql:///mfa?host=a:1&host=b:2&target_session_attrs=read-write")
        assert (found["host"], found["port"]) == (["a", "b"], [1, 2])

    def test_libpqs_word_for_tls_is_understood(self) -> None:
        assert self.arguments("postgresql://host/mfa?sslmode=require")["ssl"] == "require"

    def test_numbers_are_numbers(self) -> None:
        assert self.arguments("postgresql://host/mfa?statement_cache_size=0")["statement_cache_size"] == 0

    @pytest.mark.parametrize(
        "url",
        [
            "postgresql://host/mfa?colour=blue",
            "postgresql://host/mfa?statement_cache_size=few",
            "postgresql:///mfa?host=a:1&host=b",
            "postgresql://host:port/mfa",
        ],
    )
    def test_what_cannot_be_meant_stops_with_a_sentence(self, url: str) -> None:
        with pytest.raises(ConfigurationError, match="MFA_DATABASE_URL"):
            open_store(settings(url))

    async def test_a_tls_mode_that_is_none_stops_with_a_sentence(self, server: PostgreSQL) -> None:
        store = open_store(settings(f"{server.url}?sslmode=perhaps"))
        with pytest.raises(ConfigurationError, match="MFA_DATABASE_URL"):
            await store.open()

    def test_a_password_is_not_told_when_the_url_does_not_parse(self) -> None:
        with pytest.raises(ConfigurationError) as raised:
            open_store(settings("postgresql://me:hunter2@host:port/mfa"))
        assert "hunter2" not in str(raised.value)
        assert raised.value.__suppress_context__


async def test_each_of_several_loops_has_connections_and_closing_ends_them_all(
    server: PostgreSQL, empty_database: str
) -> None:
    await migrate(settings(empty_database))
    store = open_store(settings(empty_database))
    watching = await asyncpg.connect(empty_database)

    async def count() -> int:
        found = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        return int(await watching.fetchval(found))

    with other_loops(2) as loops:
        for number in range(10):
            await loops[number % 2].run(store.load("alice"))
        assert await count() == 2
        await loops[0].run(store.close())
        async with asyncio.timeout(10):
            while await count():
                await asyncio.sleep(0.01)
    await watching.close()
