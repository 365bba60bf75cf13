"""Several processes on one database: whatever they do at once, the outcome is that of one after another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from mfa_middleware.models import UserFactors
from mfa_middleware.stores.protocols import AuthenticatorStore
from mfa_middleware.stores.sql import open_store
from tests.stores import racing
from tests.stores.databases import authenticator, putting, settings

pytestmark = pytest.mark.slow

Returned = TypeVar("Returned")
ALL = racing.PROCESSES * racing.ROUNDS


@pytest.fixture
def alice(database_url: str) -> Callable[[], UserFactors]:
    """Make alice's authenticator; the value loads her."""

    async def visit(new: bool) -> UserFactors:
        store: AuthenticatorStore = open_store(settings(database_url))
        await store.open()
        if new:
            await store.change("alice", putting(authenticator(label="")))
        found = await store.load("alice")
        await store.close()
        return found

    asyncio.run(visit(new=True))
    return lambda: asyncio.run(visit(new=False))


@pytest.mark.parametrize("turn", [racing.spend_counter, racing.spend_once, racing.block])
def test_exactly_one_process_wins_each_round(
    database_url: str, alice: Callable[[], UserFactors], turn: racing.Turn
) -> None:
    rounds = racing.race(turn, database_url)
    assert [answers.count(True) for answers in rounds] == [1] * racing.ROUNDS


def test_every_failure_is_counted_once(database_url: str) -> None:
    rounds = racing.race(racing.fail, database_url)
    assert sorted(failures for answers in rounds for failures in answers) == list(range(1, ALL + 1))


def test_no_change_is_lost(database_url: str, alice: Callable[[], UserFactors]) -> None:
    racing.race(racing.lengthen, database_url)
    assert alice().authenticators[0].label == "+" * ALL


def test_only_one_process_binds_the_first_authenticator(database_url: str) -> None:
    rounds = racing.race(racing.bind_first, database_url)
    assert [sorted(found) for found in rounds] == [[0, 1, 1, 1]] * racing.ROUNDS


def test_a_change_of_the_row_takes_back_no_spent_step(database_url: str, alice: Callable[[], UserFactors]) -> None:
    rounds = racing.race(racing.spend_or_rename, database_url)
    assert [answers[0] for answers in rounds] == [True] * racing.ROUNDS
    assert alice().authenticators[0].counter == racing.ROUNDS - 1


def test_once_the_secret_is_renewed_no_proof_of_the_old_one_spends(
    database_url: str, alice: Callable[[], UserFactors]
) -> None:
    """And each that was told True is there."""
    rounds = racing.race(racing.spend_or_renew, database_url)
    assert [answers[0] for answers in rounds] == [False] * racing.ROUNDS
    assert alice().authenticators[0].spent == sum(answers.count(True) for answers in rounds)


def test_all_processes_can_open_a_new_file_at_once(tmp_path: Path) -> None:
    """Each makes the tables if they are not there; ``fail`` then writes."""
    rounds = racing.race(racing.fail, f"sqlite:///{tmp_path}/new.sqlite3")
    assert max(rounds[-1]) == ALL
