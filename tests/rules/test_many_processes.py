"""Rules 1 to 4 on a real server: four processes of uvicorn, a Valkey and a PostgreSQL, and 48 callers at once.

Then engines hang, die and forget under the running server.
"""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pyotp
import pytest
from redis import Redis

from mfa_middleware.testing import VirtualAuthenticator
from tests.engines import PostgreSQL, Server, Valkey, free_port
from tests.examples.serving import environment, running
from tests.rules import orders
from tests.rules.conftest import KEY

pytestmark = pytest.mark.slow

CALLERS = 48
ROUNDS = 3
TOKENS = 10  # MFA_PENDING_LOGINS
BUDGET = 10  # MFA_USER_FAILURES
ATTEMPTS = 5  # MFA_TOKEN_ATTEMPTS
AWAY_SECONDS = 5  # no answer may take longer, whatever is away
ADMIN = "the-token-of-an-admin-for-tests-alone"
PROGRAM = """
import os
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from mfa_middleware import MFAMiddleware

async def login(request):
    name = (await request.json())["user"]
    return JSONResponse({"user_id": name, "access_token": f"the token of {name}"})

async def rest(request):
    return JSONResponse({"process": os.getpid()})

app = MFAMiddleware(Starlette(routes=[Route("/login", login, methods=["POST"]), Route("/rest", rest)]))
"""
numbers = itertools.count()


@dataclass(frozen=True)
class Engines:
    """The server's address, and what it stands on."""

    url: str
    valkey: Valkey
    postgresql: PostgreSQL


@dataclass(frozen=True)
class Person:
    """Somebody with an authenticator app and recovery codes."""

    name: str
    phone: VirtualAuthenticator
    codes: Sequence[str] = field(repr=False)

    @property
    def wrong(self) -> str:
        near = {self.phone.code(offset_steps=step) for step in range(-3, 4)}
        return next(code for code in ("000000", "111111", "222222", "333333") if code not in near)


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    folder, port = tmp_path_factory.mktemp("many"), free_port()
    (folder / "many_processes.py").write_text(PROGRAM)
    with Valkey() as valkey, PostgreSQL() as postgresql:
        variables = environment(
            folder,
            MFA_REDIS_URL=valkey.url,
            MFA_DATABASE_URL=postgresql.url,
            MFA_SECRET_KEY=KEY,
            MFA_ADMIN_TOKEN=ADMIN,
            MFA_LOGIN_USER="json:/user_id",
            MFA_REQUEST_USER="header:X-User",
        )
        subprocess.run([sys.executable, "-m", "mfa_middleware", "migrate"], check=True, env=variables, cwd=folder)
        command = ["uvicorn", "many_processes:app", "--workers", "4", "--port", str(port), "--log-level", "warning"]
        with running(command, folder, variables, port) as url:
            yield Engines(url, valkey, postgresql)


class Site:
    """The server, as its callers use it: each call on a connection of its own."""

    def __init__(self, url: str) -> None:
        limits = httpx2.Limits(max_connections=CALLERS, max_keepalive_connections=0)
        self.client = httpx2.AsyncClient(base_url=url, timeout=30, limits=limits)

    async def person(self) -> Person:
        """Somebody new, whose factors an admin has imported."""
        name, secret = f"user-{next(numbers)}", pyotp.random_base32()
        codes = [f"CODE-{name}-{number}" for number in range(3)]
        await self.imported(name, secret, recoveryCodes=codes)
        return Person(name, VirtualAuthenticator(secret), codes)

    async def imported(self, name: str, secret: str, **more: Any) -> str:
        """An authenticator that an admin has imported; its id."""
        body = {"factor": "totp", "secret": secret, **more}
        headers = {"Authorization": f"Bearer {ADMIN}"}
        answer = await self.client.post(f"/mfa/users/{name}/authenticators/import", json=body, headers=headers)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def login(self, name: str, **more: Any) -> httpx2.Response:
        return await self.client.post("/login", json={"user": name}, **more)

    async def token(self, person: Person) -> str:
        answer = await self.login(person.name)
        assert outcome(answer) == "mfa_required", answer.text
        return str(answer.json()["mfaToken"])

    async def tokens(self, person: Person, count: int = TOKENS) -> list[str]:
        return [await self.token(person) for _ in range(count)]

    async def verify(self, token: str, code: str, factor: str = "totp", **more: Any) -> httpx2.Response:
        body = {"mfaToken": token, "factor": factor, "code": code}
        return await self.client.post("/mfa/verify", json=body, **more)

    async def at_once(self, tokens: Sequence[str], code: str, factor: str = "totp") -> list[httpx2.Response]:
        """The same code from all callers, who share the tokens evenly."""
        calls = [self.verify(token, code, factor) for token in itertools.islice(itertools.cycle(tokens), CALLERS)]
        return await asyncio.gather(*calls)

    async def rest(self) -> httpx2.Response:
        return await self.client.get("/rest", timeout=AWAY_SECONDS)

    async def until_well(self, person: Person) -> str:
        """Log in until the engines are back; the mfaToken."""
        deadline = time.monotonic() + 30
        while outcome(answer := await self.login(person.name)) == "unavailable":
            assert time.monotonic() < deadline, "not well again"
            await asyncio.sleep(0.05)
        assert outcome(answer) == "mfa_required", answer.text
        return str(answer.json()["mfaToken"])


@pytest.fixture
async def site(engines: Engines) -> AsyncIterator[Site]:
    one = Site(engines.url)
    async with one.client:
        yield one


def outcome(answer: httpx2.Response) -> str:
    """``released``, or the code of the refusal."""
    document = answer.json()
    return "released" if "access_token" in document else str(document.get("code"))


def outcomes(answers: Sequence[httpx2.Response]) -> Counter[str]:
    return Counter(map(outcome, answers))


# ---------------------------------------------------------------------------------------------------------- at once


async def test_four_processes_answer(site: Site):
    """What follows is about all of them."""
    processes: set[int] = set()
    deadline = time.monotonic() + 30
    while len(processes) < 4:
        assert time.monotonic() < deadline
        answers = await asyncio.gather(*[site.rest() for _ in range(CALLERS)])
        processes |= {one.json()["process"] for one in answers}


async def test_one_token_and_one_right_code_from_all_release_one_login(site: Site):
    for _ in range(ROUNDS):
        person = await site.person()
        token = await site.token(person)
        answers = outcomes(await site.at_once([token], person.phone.code()))
        assert answers["released"] == 1, answers
        assert answers["invalid_code"] < ATTEMPTS
        assert answers.keys() <= {"released", "invalid_code", "token_invalid", "too_many_attempts"}
        assert outcome(await site.verify(token, person.phone.code(offset_steps=1))) in (
            "token_invalid",
            "too_many_attempts",  # the losers' answers were wrong ones
        )


async def test_one_step_on_many_tokens_releases_one_login(site: Site):
    for _ in range(ROUNDS):
        person = await site.person()
        answers = outcomes(await site.at_once(await site.tokens(person), person.phone.code()))
        assert answers["released"] == 1, answers
        assert answers.keys() <= {"released", "invalid_code", "token_invalid", "too_many_attempts"}


async def test_one_recovery_code_on_many_tokens_releases_one_login(site: Site):
    for _ in range(ROUNDS):
        person = await site.person()
        answers = outcomes(await site.at_once(await site.tokens(person), person.codes[0], "recovery_code"))
        assert answers["released"] == 1, answers
        assert answers.keys() <= {"released", "invalid_code", "token_invalid", "too_many_attempts"}


async def test_wrong_codes_over_many_tokens_are_looked_at_as_often_as_the_users_budget_allows(site: Site):
    for _ in range(ROUNDS):
        person = await site.person()
        tokens = await site.tokens(person)
        answers = await site.at_once(tokens, person.wrong)
        assert outcomes(answers) == {"invalid_code": BUDGET, "too_many_attempts": CALLERS - BUDGET}
        assert {one.status_code for one in answers} == {401, 429}
        right = await site.verify(await site.token(person), person.phone.code())
        assert (right.status_code, outcome(right)) == (429, "too_many_attempts")


async def test_wrong_codes_on_one_token_are_looked_at_as_often_as_it_allows(site: Site):
    for _ in range(ROUNDS):
        person = await site.person()
        token = await site.token(person)
        answers = await site.at_once([token], person.wrong)
        wrong = [one.json()["attemptsLeft"] for one in answers if outcome(one) == "invalid_code"]
        assert sorted(wrong) == list(range(ATTEMPTS))
        assert outcomes(answers).keys() <= {"invalid_code", "too_many_attempts", "token_invalid"}
        assert outcome(await site.verify(token, person.phone.code())) == "token_invalid"
        assert outcome(await site.verify(await site.token(person), person.phone.code())) == "released"


# ------------------------------------------------------------------------------------------------- changes of factors


class Owner:
    """Somebody who has proven a factor, and now changes factors."""

    def __init__(self, site: Site, person: Person) -> None:
        self.site = site
        self.person = person
        self.headers = {"X-User": person.name, "Authorization": f"Bearer {person.name}"}

    async def ask(self, method: str, path: str, **body: str) -> httpx2.Response:
        return await self.site.client.request(method, f"/mfa{path}", headers=self.headers, json=body or None)

    async def prove(self) -> None:
        token = (await self.ask("POST", "/step-up")).json()["mfaToken"]
        answer = await self.site.verify(token, self.person.phone.code(), headers=self.headers)
        assert answer.json() == {"verified": True}

    async def begin(self, path: str) -> tuple[str, VirtualAuthenticator]:
        """A pending authenticator or secret."""
        answer = await self.ask("POST", path, **({"factor": "totp"} if path == "/authenticators" else {}))
        assert answer.status_code == 201, answer.text
        return answer.json()["id"], VirtualAuthenticator(answer.json()["uri"])

    async def rows(self) -> list[str]:
        """The ids of the live ones."""
        found = await self.ask("GET", "/authenticators")
        return [one["id"] for one in found.json()["authenticators"]]

    async def works(self, factor: str, code: str) -> bool:
        return outcome(await self.site.verify(await self.site.token(self.person), code, factor)) == "released"


async def which(candidates: dict[str, Awaitable[bool]]) -> str:
    """The name of the only one that is true."""
    true = [name for name, one in candidates.items() if await one]
    assert len(true) == 1, true
    return true[0]


@pytest.mark.parametrize("first", range(2 * ROUNDS))
async def test_changes_at_once_leave_what_one_of_their_orders_explains(site: Site, engines: Engines, first: int):
    """Binding, confirming, refreshing, unbinding and regenerating against each other: answers and state agree."""
    owner = Owner(site, await site.person())
    old, second = owner.person, await site.imported(owner.person.name, pyotp.random_base32())
    (kept,) = set(await owner.rows()) - {second}
    await owner.prove()
    pending, phone = await owner.begin("/authenticators")
    _, renewed = await owner.begin(f"/authenticators/{kept}/refresh")
    start = orders.State(
        frozenset(
            [
                orders.Row(kept, live="old", pending="new"),
                orders.Row(second, live="old"),
                orders.Row(pending, pending="first"),
            ]
        ),
        "imported",
    )
    calls = [
        owner.ask("POST", f"/authenticators/{kept}/confirm", code=renewed.code()),
        owner.ask("POST", f"/authenticators/{pending}/confirm", code=phone.code()),
        owner.ask("POST", f"/authenticators/{second}/refresh"),
        owner.ask("DELETE", f"/authenticators/{second}"),
        owner.ask("DELETE", f"/authenticators/{pending}"),
        owner.ask("POST", "/authenticators", factor="totp"),
        owner.ask("POST", "/recovery-codes"),
        owner.ask("POST", "/recovery-codes"),
    ]
    answers = await in_that_order(calls, first)
    assert {one.status_code for one in answers} <= {200, 201, 204, 404}, [one.text for one in answers]
    sheets = {f"sheet {number}": answers[number].json()["recoveryCodes"][0] for number in (6, 7)}
    bound = answers[5].json()["id"]
    changes = [
        orders.confirm(kept, "new"),
        orders.confirm(pending, "first"),
        orders.refresh(second, "another"),
        orders.unbind(second),
        orders.unbind(pending),
        orders.bind(bound),
        *map(orders.regenerate, sheets),
    ]
    done = [orders.Done(one, answer.is_success) for one, answer in zip(changes, answers, strict=True)]

    secret = await which(
        {
            "old": owner.works("totp", old.phone.code(offset_steps=1)),
            "new": owner.works("totp", renewed.code(offset_steps=1)),
        }
    )
    sheet = await which({name: owner.works("recovery_code", code) for name, code in sheets.items()})
    names = {(kept, True): secret, (second, True): "old", (pending, True): "first", (kept, False): "new",
             (second, False): "another", (pending, False): "first", (bound, False): "its own"}  # fmt: skip
    end = orders.State(
        frozenset(
            orders.Row(row, names[row, True] if live else "", names[row, False] if waits else "")
            for row, live, waits in rows_of(engines.postgresql, owner.person.name)
        ),
        sheet,
    )
    assert orders.explained(start, done, end), (answers, end)


def test_what_no_order_explains_is_found():
    """An unbinding that was answered as done, and a confirmation that was too, and both are still to be seen."""
    start = orders.State(frozenset([orders.Row("one", live="old", pending="new")]), "")
    done = [orders.Done(orders.confirm("one", "new"), True), orders.Done(orders.unbind("one"), True)]
    assert orders.explained(start, done, orders.State(frozenset(), ""))
    assert not orders.explained(start, done, orders.State(frozenset([orders.Row("one", live="new")]), ""))
    assert not orders.explained(start, [done[0], done[0]], orders.State(frozenset([orders.Row("one", "new")]), ""))


async def in_that_order(calls: Sequence[Awaitable[httpx2.Response]], first: int) -> list[httpx2.Response]:
    """All at once, another one first each time; the answers stand as the calls do."""
    turned = [*calls[first:], *calls[:first]]
    answers = await asyncio.gather(*turned)
    return [*answers[len(calls) - first :], *answers[: len(calls) - first]]


def rows_of(postgresql: PostgreSQL, user: str) -> list[tuple[str, bool, bool]]:
    """Of each authenticator its id, whether it is live, and whether something is pending."""
    columns = "id, state IS NOT NULL, pending IS NOT NULL"
    table = postgresql.sql(f"SELECT {columns} FROM mfa_authenticator WHERE user_id = '{user}' AND NOT backup")
    return [(row, live == "t", waits == "t") for row, live, waits in (line.split("|") for line in table.split())]


async def test_of_many_first_bindings_that_are_confirmed_at_once_one_goes_live(site: Site, engines: Engines):
    """And its recovery codes are the only ones."""
    for _ in range(ROUNDS):
        owner = Owner(site, Person(f"user-{next(numbers)}", VirtualAuthenticator(pyotp.random_base32()), ()))
        begun = [await owner.begin("/authenticators") for _ in range(2)]
        calls = [owner.ask("POST", f"/authenticators/{row}/confirm", code=app.code()) for row, app in begun * 4]
        answers = await asyncio.gather(*calls)
        codes = [one.json()["recoveryCodes"] for one in answers if one.status_code == 200]
        assert [len(one) for one in codes] == [10]
        assert {one.status_code for one in answers} <= {200, 403, 404}
        assert len(rows_of(engines.postgresql, owner.person.name)) == 1
        assert await owner.works("recovery_code", codes[0][0])


# ------------------------------------------------------------------------------------------------- engines that fail


@dataclass(frozen=True)
class Before:
    """What was there before an engine failed: a login held, a code spent, a token used."""

    person: Person
    held: str
    spent: str
    used: str


async def before(site: Site) -> Before:
    person = await site.person()
    used, held, spent = await site.token(person), await site.token(person), person.phone.code()
    assert outcome(await site.verify(used, spent)) == "released"
    return Before(person, held, spent, used)


async def nothing_leaves(site: Site, was: Before) -> None:
    """While an engine is away: no login of who has a factor, no release; the rest of the app goes on."""
    calls = [
        *[site.login(was.person.name, timeout=AWAY_SECONDS) for _ in range(TOKENS // 2 - 1)],  # held ones must not die
        *[site.verify(was.held, was.person.codes[0], "recovery_code", timeout=AWAY_SECONDS) for _ in range(2)],
    ]
    answers, rest = await asyncio.gather(asyncio.gather(*calls), asyncio.gather(*[site.rest() for _ in range(8)]))
    assert {(one.status_code, outcome(one)) for one in answers} == {(503, "unavailable")}
    assert all("retry-after" in one.headers for one in answers)
    assert {one.status_code for one in rest} == {200}


async def well_again(site: Site, was: Before) -> None:
    """Without a restart of the server; what was used up stays so, and a new code serves."""
    token = await site.until_well(was.person)
    assert outcome(await site.verify(was.used, was.person.codes[1], "recovery_code")) == "token_invalid"
    assert outcome(await site.verify(token, was.spent)) == "invalid_code"
    assert outcome(await site.verify(token, was.person.codes[1], "recovery_code")) == "released"
    assert outcome(await site.verify(await site.token(was.person), was.person.codes[1], "recovery_code")) == (
        "invalid_code"
    )


async def test_while_valkey_hangs_no_login_leaves_and_a_held_one_lives_on(site: Site, engines: Engines):
    was = await before(site)
    engines.valkey.pause()
    try:
        await nothing_leaves(site, was)
        assert outcome(await site.login("who has no factor", timeout=AWAY_SECONDS)) == "released"
    finally:
        engines.valkey.resume()
    await well_again(site, was)
    assert outcome(await site.verify(was.held, was.person.codes[2], "recovery_code")) == "released"


async def test_when_valkey_was_killed_what_it_held_is_lost_and_stays_so(site: Site, engines: Engines):
    was = await before(site)
    engines.valkey.kill()
    try:
        await nothing_leaves(site, was)
    finally:
        engines.valkey.start()
    await well_again(site, was)
    assert outcome(await site.verify(was.held, was.person.codes[2], "recovery_code")) == "token_invalid"


async def test_when_valkey_was_emptied_what_it_held_is_lost_and_stays_so(site: Site, engines: Engines):
    was = await before(site)
    with Redis.from_url(engines.valkey.url) as raw:
        raw.flushall()
    assert outcome(await site.verify(was.held, was.person.codes[2], "recovery_code")) == "token_invalid"
    await well_again(site, was)


async def test_an_emptied_valkey_gives_no_new_guesses(site: Site, engines: Engines):
    """The database keeps the failures: the budget of a user is that of before and after together."""
    person = await site.person()
    before = outcomes([await site.verify(token, person.wrong) for token in await site.tokens(person, BUDGET - 1)])
    with Redis.from_url(engines.valkey.url) as raw:
        raw.flushall()
    tokens = await site.tokens(person)
    after = outcomes(await site.at_once(tokens, person.wrong))
    assert before == {"invalid_code": BUDGET - 1}
    assert after == {"invalid_code": 1, "too_many_attempts": CALLERS - 1}


FAULTS: dict[str, tuple[Callable[[Server], object], Callable[[Server], object]]] = {
    "hung": (Server.pause, Server.resume),
    "killed": (Server.kill, Server.start),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_while_postgresql_is_away_no_login_leaves(site: Site, engines: Engines, fault: str):
    """Not that of who has no factor either: nobody can tell."""
    fail, mend = FAULTS[fault]
    was = await before(site)
    fail(engines.postgresql)
    try:
        await nothing_leaves(site, was)
        assert outcome(await site.login("who has no factor", timeout=AWAY_SECONDS)) == "unavailable"
    finally:
        mend(engines.postgresql)
    await well_again(site, was)
    assert outcome(await site.verify(was.held, was.person.codes[2], "recovery_code")) == "released"


@pytest.mark.parametrize("engine", ["valkey", "postgresql"])
async def test_a_crash_in_the_midst_of_many_right_answers_releases_one_login_at_most(
    site: Site, engines: Engines, engine: str
):
    """Whatever the moment at which the engine goes."""
    server: Server = getattr(engines, engine)
    for _ in range(2 * ROUNDS):
        person = await site.person()
        tokens, code = await site.tokens(person), person.phone.code()
        answers, _ = await asyncio.gather(site.at_once(tokens, code), asyncio.to_thread(crash, server))
        answers.append(await site.verify(await site.until_well(person), code))
        assert outcomes(answers)["released"] <= 1


def crash(server: Server) -> None:
    server.kill()
    server.start()
