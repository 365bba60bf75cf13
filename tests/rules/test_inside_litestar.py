"""Inside of Litestar, in its route handlers' place: it routes first, so that the sub-app is mounted by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest
from litestar import Litestar, Request, asgi, get, post
from litestar.middleware.session.client_side import CookieBackendConfig
from litestar.middleware.session.server_side import ServerSideSessionConfig

from mfa_middleware import MFA, MFAMiddleware, Settings
from mfa_middleware.management import ImportedSecret
from mfa_middleware.passage import App
from mfa_middleware.testing import VirtualAuthenticator
from tests.rules.conftest import TOTP_SECRET

CHOSEN = "0123456789abcdef0123456789abcdef"


def _app(mfa: MFA, sessions: Any) -> Litestar:
    @post("/magic")
    async def magic(request: Request[Any, Any, Any]) -> dict[str, str]:
        request.set_session({"user_id": "alice", "fresh": True})
        return {"ok": "alice"}

    @get("/me")
    async def me(request: Request[Any, Any, Any]) -> dict[str, Any]:
        return {"user": request.session.get("user_id"), "cart": request.session.get("cart")}

    @post("/visit")
    async def visit(request: Request[Any, Any, Any]) -> dict[str, str]:
        request.session["cart"] = ["tea"]
        return {}

    @asgi("/mfa", is_mount=True, copy_scope=False)
    async def sub_app(scope: Any, receive: Any, send: Any) -> None:
        below = scope["path"].removeprefix("/mfa").strip("/")
        inner = {**scope, "root_path": "/mfa", "path": f"/mfa/{below}"}
        await mfa.app(inner, receive, send)

    around = [sessions.middleware, lambda app: MFAMiddleware(app, mfa=mfa)]
    return Litestar([magic, me, visit, sub_app], middleware=around, logging_config=None)


@pytest.mark.parametrize(
    "sessions", [ServerSideSessionConfig(), CookieBackendConfig(secret=b"0" * 32)], ids=["server-side", "in a cookie"]
)
@pytest.mark.parametrize("known", [{}, {"session": CHOSEN}], ids=["anonymous", "chosen"])
async def test_a_login_that_nobody_declared_is_held_put_back_and_released(
    sessions: Any, known: dict[str, str], tmp_path: Path
):
    mfa = MFA(Settings(database_url=f"sqlite:///{tmp_path}/mfa.sqlite3"))
    await mfa.import_secret("alice", ImportedSecret("totp", TOTP_SECRET))
    app: App = _app(mfa, sessions)
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://app", cookies=known) as client:
        await client.post("/visit")
        held = await client.post("/magic")
        assert held.json()["code"] == "mfa_required"
        assert (await client.get("/me")).json() == {"user": None, "cart": ["tea"]}
        code = VirtualAuthenticator(TOTP_SECRET).code()
        answer = {"mfaToken": held.json()["mfaToken"], "factor": "totp", "code": code}
        released = await client.post("/mfa/verify", json=answer)
        assert released.json() == {"ok": "alice"}
        assert (await client.get("/me")).json() == {"user": "alice", "cart": None}
        status = await client.get("/mfa/status")
        assert status.json()["enabled"] is True
    await mfa.close()
