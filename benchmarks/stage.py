"""What a run stands on: engines of its own, a folder, a progress bar; and settings for ours."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

from redis import Redis
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import enrolment, people
from benchmarks.serving import processors
from mfa_middleware import Settings
from mfa_middleware.stores import sql
from tests.engines import PostgreSQL, Valkey

Item = TypeVar("Item")


class Stage:
    """One run: ``rounds`` of each measurement, in turn."""

    def __init__(self, rounds: int, valkey: Valkey, folder: Path, progress: Progress) -> None:
        self.rounds = rounds
        self.valkey = valkey
        self.folder = folder
        self._progress = progress
        self._stack = ExitStack()
        self._postgresql: PostgreSQL | None = None
        self._databases = 0
        self.server_cpus, self.other_cpus = processors()

    @property
    def postgresql(self) -> PostgreSQL:
        """Started when it is first wanted."""
        if self._postgresql is None:
            self._postgresql = self._stack.enter_context(PostgreSQL())
        return self._postgresql

    def close(self) -> None:
        """Stop what was started."""
        self._stack.close()

    def sqlite(self) -> str:
        """The URL of a new SQLite file."""
        self._databases += 1
        return f"sqlite:///{self.folder}/{self._databases}.sqlite3"

    def postgres(self) -> str:
        """The URL of a new PostgreSQL database with our tables."""
        self._databases += 1
        name = f"bench{self._databases}"
        self.postgresql.sql(f"CREATE DATABASE {name}")
        url = self.postgresql.database_url(name)
        asyncio.run(sql.migrate(Settings(database_url=url)))
        return url

    def people(self, database_url: str, numbers: range = range(people.USERS), *, apps: int = 1) -> str:
        """Enrol users in a database; returns its URL."""
        asyncio.run(enrolment.enrol(database_url, numbers, apps=apps))
        return database_url

    def ours(self, redis_url: str, database_url: str, **more: str) -> Mapping[str, str]:
        """The environment of a server of ours."""
        return {
            "BENCH_REDIS_URL": self.valkey.url,
            "MFA_REDIS_URL": redis_url,
            "MFA_DATABASE_URL": database_url,
            "MFA_SECRET_KEY": enrolment.SECRET_KEY,
            "MFA_LOGIN_USER": "json:/user",
            "MFA_REQUEST_USER": "whoami:/me#/user",
            "MFA_ENGINE_TIMEOUT": "20",  # whoever else uses this machine shall not end the run
            **more,
        }

    def forget(self) -> None:
        """Empty Valkey."""
        with Redis(port=self.valkey.port) as client:
            client.flushall()

    def turns(self, what: str, items: Iterable[Item]) -> Iterator[tuple[int, Item]]:
        """Each item once a round, with the number of the round; the bar moves on with each."""
        listed = list(items)
        task = self._progress.add_task(what, total=self.rounds * len(listed))
        for number in range(self.rounds):
            for item in listed:
                yield number, item
                self._progress.advance(task)

    def note(self, text: str) -> None:
        """Say something beside the bar."""
        self._progress.console.print(text, highlight=False)


@contextmanager
def opened(rounds: int) -> Iterator[Stage]:
    """A stage with its engines, on processors that the servers under load leave free."""
    progress = Progress(
        TextColumn("{task.description:32}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        console=Console(stderr=True),
    )  # fmt: skip
    before = os.sched_getaffinity(0)
    _, others = processors()
    os.sched_setaffinity(0, others)
    folder: AbstractContextManager[str] = tempfile.TemporaryDirectory(prefix="mfa-bench-")
    try:
        with progress, Valkey() as valkey, folder as path:
            stage = Stage(rounds, valkey, Path(path), progress)
            try:
                yield stage
            finally:
                stage.close()
    finally:
        os.sched_setaffinity(0, before)
