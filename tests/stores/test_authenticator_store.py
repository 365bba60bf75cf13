"""What every database must do for the store of authenticators."""

from __future__ import annotations

import asyncio
import gc
import threading
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.counts import watched_drivers
from mfa_middleware.errors import Forbidden, InvalidRequest, Unavailable
from mfa_middleware.models import Authenticator, Changes, Counter, Once, Proof, Spend, UserFactors
from mfa_middleware.stores.protocols import AuthenticatorStore, LockPolicy
from mfa_middleware.stores.sql import open_store
from tests.stores.databases import NOW, Watch, authenticator, putting, settings

HARD = LockPolicy().hard
PROOFS = [pytest.param(Counter(7), id="counter"), pytest.param(Once(b"digest"), id="once")]


async def spend(store: AuthenticatorStore, proof: Proof, *, at: float = NOW, hard: int = HARD, **of: Any) -> bool:
    asked = Spend("alice", "one", 1, proof)
    return await store.spend(replace(asked, **of), at=at, hard=hard)


async def fail(
    store: AuthenticatorStore, times: int, *, at: float = NOW, policy: LockPolicy | None = None
) -> UserFactors:
    for _ in range(times):
        after = await store.fail("alice", at=at, policy=policy or LockPolicy())
    return after


class TestLoad:
    async def test_of_an_unknown_user_nothing_is_known(self, store: AuthenticatorStore) -> None:
        assert await store.load("alice") == UserFactors("alice")

    async def test_what_was_put_comes_back_field_by_field(self, store: AuthenticatorStore) -> None:
        one = authenticator(
            label="Ælfred’s 手机 ' \" \\ %s $1 ?",
            state=bytes(range(256)),
            pending=b"\0",
            pending_until=NOW + 0.125,
            revision=2**31 - 1,
            counter=2**62,
            enabled=False,
            backup=True,
            last_used_at=NOW - 1.5,
        )
        await store.change("alice", putting(one))
        assert (await store.load("alice")).authenticators == (one,)

    async def test_fields_have_the_types_that_the_model_says(self, store: AuthenticatorStore) -> None:
        """SQLite has no booleans, and whole seconds are not integers."""
        await store.change("alice", putting(authenticator()))
        (one,) = (await store.load("alice")).authenticators
        assert (type(one.backup), type(one.enabled), type(one.created_at), type(one.state)) == (
            bool,
            bool,
            float,
            bytes,
        )

    async def test_authenticators_come_in_order_of_creation_then_of_id(self, store: AuthenticatorStore) -> None:
        late, early, beside = authenticator(id="a", created_at=NOW + 1), authenticator(id="c"), authenticator(id="b")
        await store.change("alice", putting(late, early, beside))
        assert [one.id for one in (await store.load("alice")).authenticators] == ["b", "c", "a"]

    async def test_another_users_are_not_among_them(self, store: AuthenticatorStore) -> None:
        await store.change("bob", putting(authenticator("bob")))
        await store.fail("bob", at=NOW, policy=LockPolicy())
        for name in ("alice", "Bob", "bob ", " bob", "BOB", ""):
            assert await store.load(name) == UserFactors(name)

    async def test_failures_are_told_of_who_has_no_authenticator(self, store: AuthenticatorStore) -> None:
        await fail(store, 10)
        assert await store.load("alice") == UserFactors("alice", failures=10, locked_until=NOW + 900)

    async def test_failures_are_told_beside_authenticators(self, store: AuthenticatorStore) -> None:
        await store.change("alice", putting(authenticator(id="a"), authenticator(id="b")))
        await fail(store, 1)
        loaded = await store.load("alice")
        assert (loaded.failures, loaded.locked_until, len(loaded.authenticators)) == (1, 0.0, 2)


class TestSpend:
    @pytest.mark.parametrize(("value", "spends"), [(8, True), (7, False), (6, False), (0, False), (2**62, True)])
    async def test_a_counter_spends_itself_and_all_before_it(
        self, store: AuthenticatorStore, value: int, spends: bool
    ) -> None:
        await store.change("alice", putting(authenticator()))
        assert await spend(store, Counter(7))
        assert await spend(store, Counter(value)) is spends

    async def test_the_first_counter_may_be_zero(self, store: AuthenticatorStore) -> None:
        await store.change("alice", putting(authenticator()))
        assert await spend(store, Counter(0))
        assert not await spend(store, Counter(0))

    async def test_a_digest_spends_itself_alone(self, store: AuthenticatorStore) -> None:
        await store.change("alice", putting(authenticator()))
        assert [await spend(store, Once(digest)) for digest in (b"b", b"b", b"a", b"c", b"a")] == [
            True, False, True, True, False,
        ]  # fmt: skip
        (one,) = (await store.load("alice")).authenticators
        assert one.spent == 3

    async def test_one_digest_can_be_spent_at_two_authenticators(self, store: AuthenticatorStore) -> None:
        await store.change("alice", putting(authenticator(), authenticator(id="two")))
        assert await spend(store, Once(b"digest"))
        assert await spend(store, Once(b"digest"), authenticator_id="two")

    @pytest.mark.parametrize("proof", PROOFS)
    async def test_of_many_at_once_exactly_one_spends(self, store: AuthenticatorStore, proof: Proof) -> None:
        await store.change("alice", putting(authenticator()))
        answers = await asyncio.gather(*(spend(store, proof) for _ in range(30)))
        assert answers.count(True) == 1

    @pytest.mark.parametrize("proof", PROOFS)
    @pytest.mark.parametrize(
        "row",
        [
            pytest.param({"user_id": "bob"}, id="another user's"),
            pytest.param({"id": "two"}, id="gone"),
            pytest.param({"revision": 2}, id="another secret by now"),
            pytest.param({"revision": 0}, id="an older secret"),
            pytest.param({"state": None, "pending": b"p", "pending_until": 9e9}, id="pending"),
            pytest.param({"enabled": False}, id="disabled"),
        ],
    )
    async def test_nothing_is_spent_at_an_authenticator_that_is(
        self, store: AuthenticatorStore, proof: Proof, row: dict[str, Any]
    ) -> None:
        one = authenticator(**{"user_id": "alice", "id": "one"} | row)
        await store.change(one.user_id, putting(one))
        assert not await spend(store, proof)
        assert (await store.load(one.user_id)).authenticators == (one,)

    @pytest.mark.parametrize("proof", PROOFS)
    async def test_a_disabled_authenticator_spends_where_that_is_asked_for(
        self, store: AuthenticatorStore, proof: Proof
    ) -> None:
        await store.change("alice", putting(authenticator(enabled=False)))
        assert await spend(store, proof, disabled_too=True)
        assert not await spend(store, proof, disabled_too=True)

    @pytest.mark.parametrize("proof", PROOFS)
    @pytest.mark.parametrize("backup", [False, True])
    @pytest.mark.parametrize(("later", "spends"), [(0.0, False), (899.9, False), (900.0, True)])
    async def test_a_timed_lock_refuses_every_proof_until_it_is_over(
        self, store: AuthenticatorStore, proof: Proof, backup: bool, later: float, spends: bool
    ) -> None:
        await store.change("alice", putting(authenticator(backup=backup)))
        await fail(store, 10)
        assert await spend(store, proof, at=NOW + later) is spends

    @pytest.mark.parametrize("proof", PROOFS)
    @pytest.mark.parametrize(
        ("failures", "backup", "spends"), [(2, False, True), (3, False, False), (3, True, True), (4, True, True)]
    )
    async def test_from_the_hard_limit_on_only_a_backup_spends(
        self, store: AuthenticatorStore, proof: Proof, failures: int, backup: bool, spends: bool
    ) -> None:
        await store.change("alice", putting(authenticator(backup=backup)))
        await fail(store, failures)
        assert await spend(store, proof, hard=3) is spends

    @pytest.mark.parametrize("proof", PROOFS)
    async def test_another_users_lock_does_not_matter(self, store: AuthenticatorStore, proof: Proof) -> None:
        await fail(store, 10)
        await store.change("bob", putting(authenticator("bob")))
        assert await spend(store, proof, user_id="bob")

    @pytest.mark.parametrize("proof", PROOFS)
    async def test_spending_is_the_last_use(self, store: AuthenticatorStore, proof: Proof) -> None:
        await store.change("alice", putting(authenticator(last_used_at=NOW - 5)))
        await spend(store, proof, at=NOW + 5)
        await spend(store, proof, at=NOW + 9)
        (one,) = (await store.load("alice")).authenticators
        assert one.last_used_at == NOW + 5

    async def test_a_proof_stays_spent_when_its_row_is_written_again(self, store: AuthenticatorStore) -> None:
        """Also with a newer revision: sealing under a new key changes the state and not the codes."""
        await store.change("alice", putting(authenticator()))
        await spend(store, Once(b"digest"))
        await store.change("alice", lambda was: Changes(put=(replace(was.authenticators[0], revision=2),)))
        assert not await spend(store, Once(b"digest"), revision=2)
        assert (await store.load("alice")).authenticators[0].spent == 1

    async def test_a_number_that_no_database_can_keep_is_an_error_and_no_answer(
        self, store: AuthenticatorStore
    ) -> None:
        await store.change("alice", putting(authenticator()))
        with pytest.raises(Unavailable):
            await spend(store, Counter(2**64))


class TestFail:
    async def test_each_failure_counts_one(self, store: AuthenticatorStore) -> None:
        assert [(await fail(store, 1)).failures for _ in range(3)] == [1, 2, 3]

    async def test_all_of_many_at_once_are_counted(self, store: AuthenticatorStore) -> None:
        await asyncio.gather(*(store.fail("alice", at=NOW, policy=LockPolicy()) for _ in range(25)))
        assert (await store.load("alice")).failures == 25

    async def test_each_budget_locks_twice_as_long_as_the_one_before(self, store: AuthenticatorStore) -> None:
        policy = LockPolicy(budget=2, seconds=60, longest=200)
        locks = [(await fail(store, 1, at=NOW + number, policy=policy)).locked_until for number in range(8)]
        ends = [NOW + 1 + 60, NOW + 3 + 120, NOW + 5 + 200, NOW + 7 + 200]
        assert locks == [0.0, ends[0], ends[0], ends[1], ends[1], ends[2], ends[2], ends[3]]

    async def test_what_it_tells_is_what_is_kept(self, store: AuthenticatorStore) -> None:
        assert await fail(store, 10) == await store.load("alice")

    async def test_forgiving_ends_failures_and_lock_of_that_user_alone(self, store: AuthenticatorStore) -> None:
        await store.change("alice", putting(authenticator()))
        await fail(store, 10)
        await store.fail("bob", at=NOW, policy=LockPolicy())
        await store.forgive("alice")
        assert await store.load("alice") == UserFactors("alice", (authenticator(),))
        assert (await store.load("bob")).failures == 1

    async def test_who_has_not_failed_can_be_forgiven(self, store: AuthenticatorStore) -> None:
        await store.forgive("alice")
        assert await store.load("alice") == UserFactors("alice")


class TestChange:
    async def test_it_is_decided_on_what_is_there_and_returns_that(self, store: AuthenticatorStore) -> None:
        await store.change("alice", putting(authenticator()))
        await fail(store, 1)
        watch = Watch()
        returned = await store.change("alice", watch)
        assert [returned] == watch.seen == [UserFactors("alice", (authenticator(),), failures=1)]

    async def test_a_refusal_changes_nothing_and_is_passed_on(self, store: AuthenticatorStore) -> None:
        refusal = Forbidden("because")

        def refuse(_: UserFactors) -> Changes:
            raise refusal

        await store.change("alice", putting(authenticator(state=None, pending=b"p", pending_until=9e9)))
        before = await store.load("alice")
        with pytest.raises(Forbidden) as raised:
            await store.change("alice", refuse)
        assert raised.value is refusal
        assert await store.load("alice") == before
        await store.change("alice", putting(authenticator()))  # and no lock was left behind

    async def test_it_is_written_as_a_whole_or_not_at_all(self, store: AuthenticatorStore) -> None:
        await store.change("alice", putting(authenticator()))
        before = await store.load("alice")
        too_large = authenticator(id="three", counter=2**64)
        with pytest.raises(Unavailable):
            await store.change(
                "alice", lambda _: Changes(put=(authenticator(id="two"), too_large), remove=("one",), forgive=True)
            )
        assert await store.load("alice") == before

    async def test_a_row_that_is_put_again_is_replaced(self, store: AuthenticatorStore) -> None:
        await store.change("alice", putting(authenticator(), authenticator(id="two")))
        renewed = authenticator(label="new", state=b"new", revision=2, counter=-1, pending=b"p", enabled=False)
        await store.change("alice", putting(renewed))
        assert (await store.load("alice")).authenticators == (renewed, authenticator(id="two"))

    async def test_spent_is_never_written(self, store: AuthenticatorStore) -> None:
        await store.change("alice", putting(authenticator(spent=5)))
        assert (await store.load("alice")).authenticators == (authenticator(),)

    async def test_with_a_row_go_its_spent_proofs(self, store: AuthenticatorStore) -> None:
        await store.change("alice", putting(authenticator(), authenticator(id="two")))
        await spend(store, Once(b"digest"))
        await spend(store, Once(b"digest"), authenticator_id="two")
        await store.change("alice", lambda _: Changes(remove=("one",)))
        await store.change("alice", putting(authenticator()))
        assert [one.spent for one in (await store.load("alice")).authenticators] == [0, 1]

    async def test_another_users_row_cannot_be_removed(self, store: AuthenticatorStore) -> None:
        await store.change("alice", putting(authenticator()))
        await spend(store, Once(b"digest"))
        before = await store.load("alice")
        await store.change("bob", lambda _: Changes(remove=("one",)))
        assert await store.load("alice") == before

    @pytest.mark.parametrize("owner", ["alice", "bob"])
    async def test_another_users_row_cannot_be_put(self, store: AuthenticatorStore, owner: str) -> None:
        await store.change("alice", putting(authenticator()))
        with pytest.raises(ValueError, match="another user"):
            await store.change("bob", putting(authenticator(owner, label="stolen")))
        assert (await store.load("alice")).authenticators == (authenticator(),)

    async def test_it_can_forgive(self, store: AuthenticatorStore) -> None:
        await fail(store, 10)
        returned = await store.change("alice", lambda _: Changes(put=(authenticator(),), forgive=True))
        assert returned.failures == 10
        assert await store.load("alice") == UserFactors("alice", (authenticator(),))

    async def test_pending_ones_that_have_expired_go_on_the_way(self, store: AuthenticatorStore) -> None:
        expired = authenticator(id="a", state=None, pending=b"p", pending_until=1.0)
        waiting = authenticator(id="b", state=None, pending=b"p", pending_until=9e9)
        refreshing = authenticator(id="c", pending=b"p", pending_until=1.0)
        await store.change("alice", putting(expired, waiting, refreshing))
        seen = await store.change("alice", lambda _: Changes())
        assert seen.authenticators == (waiting, refreshing)
        assert await store.load("alice") == seen

    async def test_two_at_once_never_overlap(self, store: AuthenticatorStore) -> None:
        """Each reads what the one before wrote; nothing is lost."""

        def longer(was: UserFactors) -> Changes:
            return Changes(put=(authenticator(label=f"{was.authenticators[0].label}+"),))

        await store.change("alice", putting(authenticator(label="")))
        await asyncio.gather(*(store.change("alice", longer) for _ in range(20)))
        assert (await store.load("alice")).authenticators[0].label == "+" * 20

    async def test_two_first_ones_at_once_never_overlap(self, store: AuthenticatorStore) -> None:
        """There is no row yet to lock."""

        def first(was: UserFactors) -> Changes:
            return Changes() if was.authenticators else Changes(put=(authenticator(id=f"{id(was)}"),))

        await asyncio.gather(*(store.change("alice", first) for _ in range(8)))
        assert len((await store.load("alice")).authenticators) == 1


class TestSpendDuringChange:
    """What is spent while a change is under way waits for it, and is judged by what the change left."""

    @pytest.mark.parametrize("proof", PROOFS)
    @pytest.mark.parametrize(
        ("changes", "spends"),
        [
            pytest.param(Changes(put=(authenticator(label="new"),)), True, id="renamed"),
            pytest.param(Changes(put=(authenticator(revision=2),)), False, id="renewed"),
            pytest.param(Changes(put=(authenticator(enabled=False),)), False, id="disabled"),
            pytest.param(Changes(remove=("one",)), False, id="removed"),
        ],
    )
    async def test_authenticator_is(
        self, store: AuthenticatorStore, database_url: str, proof: Proof, changes: Changes, spends: bool
    ) -> None:
        await store.change("alice", putting(authenticator()))
        answers: list[bool] = []

        ready, begin = threading.Event(), threading.Event()

        async def spend_elsewhere() -> None:
            other = open_store(settings(database_url))
            await other.open()
            ready.set()
            begin.wait(10)
            answers.append(await spend(other, proof))
            await other.close()

        def decide(_: UserFactors) -> Changes:
            begin.set()
            thread.join(0.2)  # it would be over by now if it did not wait
            return changes

        thread = threading.Thread(target=lambda: asyncio.run(spend_elsewhere()))
        thread.start()
        ready.wait(10)
        await store.change("alice", decide)
        thread.join()
        assert answers == [spends]
        assert not await spend(store, proof)


class TestScan:
    @staticmethod
    async def scanned(store: AuthenticatorStore, batch: int) -> list[list[Authenticator]]:
        return [list(found) async for found in store.scan(batch=batch)]

    async def test_an_empty_database_has_nothing(self, store: AuthenticatorStore) -> None:
        assert await self.scanned(store, 10) == []

    @pytest.mark.parametrize(("batch", "sizes"), [(1, [1] * 6), (4, [4, 2]), (6, [6]), (500, [6])])
    async def test_everybodys_come_once_in_batches(
        self, store: AuthenticatorStore, batch: int, sizes: list[int]
    ) -> None:
        users = [f"user-{number % 3}" for number in range(6)]
        everybody = [authenticator(user, f"id-{number}") for number, user in enumerate(users)]
        for one in reversed(everybody):
            await store.change(one.user_id, putting(one))
        found = await self.scanned(store, batch)
        assert [len(one) for one in found] == sizes
        assert [one for batch in found for one in batch] == everybody

    async def test_pending_ones_and_counts_of_spent_proofs_are_among_it(self, store: AuthenticatorStore) -> None:
        pending = authenticator(id="two", state=None, pending=b"p", pending_until=9e9)
        await store.change("alice", putting(authenticator(), pending))
        await spend(store, Once(b"digest"), at=NOW + 1)
        assert await self.scanned(store, 9) == [[authenticator(spent=1, last_used_at=NOW + 1), pending]]


class TestBlockedSessions:
    async def test_a_blocked_session_is_told_apart(self, store: AuthenticatorStore) -> None:
        await store.block_session(b"b", NOW + 10, at=NOW)
        asked = [b"a", b"b", b"c", b"d", b"e"]
        assert await store.session_blocked(asked, NOW) == {b"b"}
        assert await store.session_blocked([b"b"], NOW) == {b"b"}
        assert await store.session_blocked([b"a"], NOW) == frozenset()
        assert await store.session_blocked([], NOW) == frozenset()

    async def test_a_block_ends_by_itself(self, store: AuthenticatorStore) -> None:
        await store.block_session(b"a", NOW + 10, at=NOW)
        assert await store.session_blocked([b"a"], NOW + 9.9) == {b"a"}
        assert await store.session_blocked([b"a"], NOW + 10) == frozenset()

    async def test_a_block_can_be_ended(self, store: AuthenticatorStore) -> None:
        await store.block_session(b"a", NOW + 10, at=NOW)
        await store.block_session(b"b", NOW + 10, at=NOW)
        await store.free_session(b"a")
        assert await store.session_blocked([b"a", b"b"], NOW) == {b"b"}

    async def test_of_many_at_once_exactly_one_blocks(self, store: AuthenticatorStore) -> None:
        """Else a second login with the same session, one that fails, would free what the first one must hold."""
        answers = await asyncio.gather(*(store.block_session(b"a", NOW + 10, at=NOW) for _ in range(20)))
        assert answers.count(True) == 1

    async def test_a_second_block_does_not_change_the_first(self, store: AuthenticatorStore) -> None:
        await store.block_session(b"a", NOW + 10, at=NOW)
        assert not await store.block_session(b"a", NOW + 1, at=NOW)
        assert await store.session_blocked([b"a"], NOW + 5) == {b"a"}

    async def test_a_session_can_be_blocked_again_when_it_is_free_or_the_block_is_over(
        self, store: AuthenticatorStore
    ) -> None:
        await store.block_session(b"a", NOW + 10, at=NOW)
        assert await store.block_session(b"a", NOW + 20, at=NOW + 10)
        await store.free_session(b"a")
        assert await store.block_session(b"a", NOW + 20, at=NOW + 10)


class TestTexts:
    @pytest.mark.parametrize("text", ["nul\0", "half \ud83d", "\udc00"])
    async def test_what_not_every_database_can_keep_is_an_invalid_request(
        self, store: AuthenticatorStore, text: str
    ) -> None:
        with pytest.raises(InvalidRequest):
            await store.load(text)
        with pytest.raises(InvalidRequest):
            await store.fail(text, at=NOW, policy=LockPolicy())
        with pytest.raises(InvalidRequest):
            await store.change(text, putting())
        with pytest.raises(InvalidRequest):
            await store.change("alice", putting(authenticator(label=text)))

    async def test_a_user_id_is_never_read_as_sql(self, store: AuthenticatorStore) -> None:
        name = "'; DROP TABLE mfa_user; -- %s ? $1 :id"
        await store.change(name, putting(authenticator(name)))
        assert (await store.load(name)).authenticators == (authenticator(name),)


class TestStatements:
    """A login may cost two: one to look, one to spend."""

    @pytest.mark.parametrize("proof", PROOFS)
    async def test_looking_is_one_and_spending_is_one(self, database_url: str, proof: Proof) -> None:
        with watched_drivers() as seen:
            store = open_store(settings(database_url))
            await store.open()
            await store.change("alice", putting(authenticator()))
            seen.clear()
            await store.load("alice")
            assert len(seen) == 1
            assert await spend(store, proof)
            assert len(seen) == 2
            await store.session_blocked([b"a", b"b", b"c"], NOW)
            assert len(seen) == 3
            await store.close()


class TestEventLoops:
    # Connections to PostgreSQL die with their loop, whenever the garbage collector comes by, and say so.
    @pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
    def test_successive_loops_can_use_one_store(self, database_url: str) -> None:
        """Starlette's TestClient makes a loop for each request when it is no context manager."""
        store = open_store(settings(database_url))

        async def use() -> None:
            await store.load("alice")
            await store.change("alice", putting(authenticator()))
            await store.close()

        asyncio.run(store.open())
        asyncio.run(store.load("alice"))
        asyncio.run(use())
        gc.collect()

    async def test_more_calls_than_connections_wait_for_each_other(self, store: AuthenticatorStore) -> None:
        await store.change("alice", putting(authenticator()))
        loaded = await asyncio.gather(*(store.load("alice") for _ in range(100)))
        assert {one.authenticators for one in loaded} == {(authenticator(),)}

    async def test_a_cancelled_call_leaves_the_store_usable(self, store: AuthenticatorStore) -> None:
        """A client that hangs up, at whatever moment."""
        threads = threading.active_count()
        for steps in range(12):
            call = asyncio.create_task(store.change("alice", putting(authenticator())))
            for _ in range(steps):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.wait([call])
        await store.change("alice", putting(authenticator(label="after")))
        assert (await store.load("alice")).authenticators[0].label == "after"
        assert threading.active_count() <= threads + 1
