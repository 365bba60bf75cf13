"""How long one request ever keeps the event loop from all others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx2

from benchmarks import enrolment, people
from benchmarks.plots import Chart
from benchmarks.results import Figures, Spread, table
from benchmarks.stage import Stage
from mfa_middleware import MFAMiddleware, Settings
from mfa_middleware.passage import App, Receive, Scope, Send

NAME = "blocking"
TITLE = "How long the event loop is blocked"
_TIMES, _USERS = 12, 4000
_LARGE = 1_000_000
Answer = Mapping[str, Any]


class Monitor:
    """Times every callback that the loop runs; keeps the longest, in milliseconds."""

    def __init__(self) -> None:
        self.longest = 0.0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """While this is open."""
        run = asyncio.Handle._run  # noqa: SLF001  a loop tells of nothing shorter than 1 ms by itself

        def timed(handle: asyncio.Handle) -> None:
            started = time.perf_counter()
            run(handle)
            self.longest = max(self.longest, (time.perf_counter() - started) * 1e3)

        asyncio.Handle._run = timed  # type: ignore[method-assign,assignment]  # noqa: SLF001
        try:
            yield
        finally:
            asyncio.Handle._run = run  # type: ignore[method-assign]  # noqa: SLF001

    async def of(self, work: Awaitable[Answer]) -> tuple[float, Answer]:
        """The longest callback while that is done, and what came of it."""
        await asyncio.sleep(0)
        self.longest = 0.0
        answer = await asyncio.ensure_future(work)  # a task of its own: its callbacks end before we go on
        return self.longest, answer


def login_app(padding: int = 0) -> App:
    """Signs in whoever is named in the header X-Name, and knows them again by Authorization."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        given = dict(scope["headers"])
        name = (given.get(b"x-name") or given.get(b"authorization", b"").removeprefix(b"Bearer ")).decode()
        body = b'{"user":"%s","padding":"%s"}' % (name.encode(), b"x" * padding)
        headers = [(b"content-type", b"application/json"), (b"set-cookie", b"session=signed-in; HttpOnly")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


def measure(stage: Stage) -> Figures:
    """Each kind of request, in turn. On asyncio's own loop: uvloop's handles cannot be watched."""
    return {"rows": asyncio.run(_rounds(stage, stage.people(stage.sqlite(), range(_USERS))))}


async def _rounds(stage: Stage, database_url: str) -> Mapping[str, list[float]]:
    settings = Settings(
        redis_url=stage.valkey.url,
        database_url=database_url,
        secret_key=enrolment.SECRET_KEY,
        login_user="json:/user",
        request_user="whoami:/me#/user",
        held_response_limit=2_000_000,
    )
    rows: dict[str, list[float]] = {}
    numbers, newcomers = iter(range(_USERS)), iter(range(_USERS, 2 * _USERS))
    for padding, kinds in ((0, _kinds(numbers, newcomers)), (_LARGE, {"login of 1 MB, and its code": _flow(numbers)})):
        wrapped = MFAMiddleware(login_app(padding), settings=settings)
        transport = httpx2.ASGITransport(wrapped)
        async with httpx2.AsyncClient(transport=transport, base_url="http://app") as client:
            for _, (kind, work) in stage.turns("blocking of the loop", list(kinds.items())):
                rows.setdefault(kind, []).append(await _longest(client, work))
        await wrapped.mfa.close()
    return rows


async def _longest(
    client: httpx2.AsyncClient, work: Callable[[httpx2.AsyncClient, Monitor], Awaitable[float]]
) -> float:
    """The median over some times: what other programs do to this one is no blocking by a request."""
    monitor = Monitor()
    with monitor.watching():
        await work(client, monitor)
        found = sorted([await work(client, monitor) for _ in range(_TIMES)])
    return found[_TIMES // 2]


Work = Callable[[httpx2.AsyncClient, Monitor], Awaitable[float]]


def _flow(numbers: Iterator[int]) -> Work:
    async def work(client: httpx2.AsyncClient, monitor: Monitor) -> float:
        number = next(numbers)
        first, held = await monitor.of(_post(client, "/login", {}, {"x-name": people.name(number)}))
        answer = {"mfaToken": held["mfaToken"], "factor": "totp", "code": people.code(number)}
        second, _ = await monitor.of(_post(client, "/mfa/verify", answer))
        return max(first, second)

    return work


def _kinds(numbers: Iterator[int], newcomers: Iterator[int]) -> Mapping[str, Work]:
    async def recovery(client: httpx2.AsyncClient, monitor: Monitor) -> float:
        number = next(numbers)
        held = await _post(client, "/login", {}, {"x-name": people.name(number)})
        code = people.recovery_codes(number)[0]
        answer = {"mfaToken": held["mfaToken"], "factor": "recovery_code", "code": code}
        return (await monitor.of(_post(client, "/mfa/verify", answer)))[0]

    async def bind(client: httpx2.AsyncClient, monitor: Monitor) -> float:
        user = {"authorization": f"Bearer {people.name(next(newcomers))}"}
        longest, _ = await monitor.of(_post(client, "/mfa/authenticators", {"factor": "totp"}, user))
        return longest

    async def confirm(client: httpx2.AsyncClient, monitor: Monitor) -> float:
        user = {"authorization": f"Bearer {people.name(next(newcomers))}"}
        begun = await _post(client, "/mfa/authenticators", {"factor": "totp"}, user)
        code = people.code_of(people.key_of(begun["secret"]), int(time.time() // 30))
        longest, _ = await monitor.of(_post(client, f"/mfa/authenticators/{begun['id']}/confirm", {"code": code}, user))
        return longest

    async def page(client: httpx2.AsyncClient, monitor: Monitor) -> float:
        fields = {"x-name": people.name(next(numbers)), "accept": "text/html"}
        sent = await client.post("/login", headers=fields)
        cookie = sent.headers["set-cookie"].partition(";")[0]
        longest, _ = await monitor.of(_page(client, cookie))
        return longest

    return {
        "login, and its TOTP code": _flow(numbers),
        "recovery code": recovery,
        "bind (secret, QR code)": bind,
        "confirm (ten recovery codes made)": confirm,
        "the challenge page": page,
    }


async def _post(
    client: httpx2.AsyncClient, path: str, document: Mapping[str, str], fields: Mapping[str, str] | None = None
) -> Answer:
    client.cookies.clear()
    response = await client.post(path, json=document, headers=dict(fields or {}))
    assert response.status_code < 300 or path == "/login", response.text
    answer: Answer = response.json()
    return answer


async def _page(client: httpx2.AsyncClient, cookie: str) -> Answer:
    client.cookies.clear()
    response = await client.get("/mfa/challenge", headers={"cookie": cookie, "accept": "text/html"})
    assert response.status_code == 200, response.text
    return {}


def render(figures: Figures) -> str:
    """The table."""
    lines = [(kind, Spread.of(longest)) for kind, longest in figures["rows"].items()]
    return (
        "The longest callback of the event loop while a request was served (asyncio's own loop; client, app and "
        "middleware in one process, so an upper bound).\n\n" + table(("", "ms"), lines)
    )


def charts(figures: Figures) -> Iterable[Chart]:
    """None."""
    return ()
