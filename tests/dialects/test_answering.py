"""A dialect with an API of its own, as a stranger writes one."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from mfa_middleware import MFA, MFAMiddleware, Settings, hookimpl
from mfa_middleware.answering import Answering, GoOn
from mfa_middleware.dialects import WireAnswer
from mfa_middleware.dialects.native import Native
from mfa_middleware.held_login import HeldLogin
from mfa_middleware.management import ImportedSecret
from mfa_middleware.models import Challenge
from mfa_middleware.passage import Receive, Scope, Send


class Morse(Native):
    """Answers ``/morse`` itself, and lets ``/maybe`` go on, with its body."""

    name = "morse"

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.remembered: list[object] = []

    def claims(self, scope: Scope) -> bool:
        self.asked.append(scope["path"])
        return str(scope["path"]).startswith(("/morse", "/maybe"))

    async def answer(self, mfa: MFA, scope: Scope, receive: Receive, send: Send, go_on: GoOn) -> None:
        if scope["path"] == "/morse":
            status = await mfa.status("alice")
            await WireAnswer(200, (), b"-" if status.enabled else b".").send(send)
            return
        read = [await receive()]
        scope["morse"] = read[0]["body"]

        async def again() -> Any:
            return read.pop() if read else await receive()

        await go_on(again, send)

    def challenge(self, challenge: Challenge, scope: Scope, *, mount: str, held: HeldLogin) -> WireAnswer:
        self.remembered += [scope.get("morse"), mount, json.loads(held.body)["user_id"]]
        return super().challenge(challenge, scope, mount=mount, held=held)


class Plugin:
    __name__ = "a stranger's"

    def __init__(self, dialect: Morse) -> None:
        self._dialect = dialect

    @hookimpl
    def mfa_register_dialects(self, settings: Settings) -> Iterable[object]:
        return [self._dialect]


async def _login(request: Request) -> Response:
    return JSONResponse({**await request.json(), "access_token": "a-token-of-the-app"})


async def _other(request: Request) -> Response:
    return JSONResponse({"keys": sorted(one for one in request.scope if str(one).startswith("mfa"))})


def site() -> Starlette:
    return Starlette(
        routes=[
            Route("/maybe", _login, methods=["POST"]),
            Route("/maybe/other", _other, methods=["POST"]),
            Route("/x", _other),
        ]
    )


Wrap = Callable[..., tuple[Morse, MFAMiddleware, httpx2.AsyncClient]]


@pytest.fixture
async def wrap() -> AsyncIterator[Wrap]:
    made: list[tuple[MFAMiddleware, httpx2.AsyncClient]] = []

    def wrap(dialect: str = "morse", *, by_hand: bool = False) -> tuple[Morse, MFAMiddleware, httpx2.AsyncClient]:
        morse, app = Morse(), site()
        settings = Settings(dialect=dialect, database_url="sqlite://", login="POST /maybe", login_user="json:/user_id")
        mfa = MFA(settings, plugins=[Plugin(morse)])
        if by_hand:
            app.router.routes.append(Mount("/second", app=mfa.app))
            middleware = MFAMiddleware(app, mfa=mfa)
        else:
            middleware = MFAMiddleware(app, settings=settings, plugins=[Plugin(morse)])
        transport = httpx2.ASGITransport(app=middleware)
        made.append((middleware, httpx2.AsyncClient(transport=transport, base_url="http://app.test")))
        return morse, *made[-1]

    yield wrap
    for middleware, client in made:
        await client.aclose()
        await middleware.mfa.close()


@pytest.mark.parametrize("by_hand", [False, True])
async def test_it_answers_what_is_its_own_and_the_rest_goes_on_as_it_came(wrap: Wrap, by_hand: bool):
    morse, middleware, client = wrap(by_hand=by_hand)
    assert isinstance(morse, Answering)
    assert (await client.get("/morse")).text == "."
    assert (await client.post("/maybe", json={"user_id": "alice"})).json()["access_token"]
    await middleware.mfa.import_secret("alice", ImportedSecret("totp", "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"))
    assert (await client.get("/morse")).text == "-"
    challenge = await client.post("/maybe", json={"user_id": "alice"})
    assert challenge.json()["code"] == "mfa_required"
    assert morse.remembered == [b'{"user_id":"alice"}', "/mfa", "alice"]


async def test_a_request_that_went_on_has_nothing_of_it_in_its_scope_but_what_the_dialect_wrote(wrap: Wrap):
    _, _, client = wrap()
    assert (await client.post("/maybe/other", json={})).json() == {"keys": []}
    assert (await client.get("/x")).json() == {"keys": []}


async def test_it_is_not_asked_about_the_sub_app_twice_and_not_at_all_when_it_is_not_in_use(wrap: Wrap):
    morse, _, client = wrap()
    await client.get("/mfa/status")
    assert morse.asked == ["/mfa/status"]
    unused, _, client = wrap("native")
    assert (await client.get("/morse")).status_code == 404
    assert unused.asked == []


async def test_what_the_app_raises_comes_through(wrap: Wrap):
    morse, middleware, client = wrap()

    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("the app's own")

    middleware.app = broken
    with pytest.raises(RuntimeError, match="the app's own"):
        await client.post("/maybe/other", json={})
    assert morse.asked
