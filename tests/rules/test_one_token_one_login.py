"""Rules 2 and 12: an mfaToken works once and is no session; a page of another origin can neither answer nor release."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mfa_middleware.testing import VirtualAuthenticator
from tests.rules.apps import CASES, SECRET, Case, fastapi_bearer, starlette_signed
from tests.rules.asgi_client import Answer, Client
from tests.rules.conftest import KEY, NEW_PAGE, TOTP_SECRET, Site, Wrapped

BY_JWT = {"login_user": "jwt:/access_token#sub", "request_user": "bearer:sub", "app_jwt_key": SECRET}
BY_SESSION = {"login_user": "session:user_id", "request_user": "whoami:/me#/user"}


def answer_to(challenge: Answer, code: str = "") -> dict[str, str]:
    code = code or VirtualAuthenticator(TOTP_SECRET).code()
    return {"factor": "totp", "code": code, "mfaToken": challenge.json["mfaToken"]}


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_the_mfa_token_is_no_session_and_no_bearer_of_the_app(case: Case, wrapped: Wrapped):
    site = wrapped(case)
    challenge = await site.login(site.client())
    token = challenge.json["mfaToken"]
    site.client(bearers=[token])
    site.client(cookies={case.cookie or "session": token})
    await site.nobody_is_in()


async def test_the_mfa_token_fails_the_apps_own_check_though_the_secret_is_the_same(wrapped: Wrapped):
    """GHSA-5m69-7h2p-6qfw: a pending token under the app's own secret."""
    site = wrapped(fastapi_bearer(), **BY_JWT | {"app_jwt_key": KEY, "secret_key": KEY})
    client = site.client()
    challenge = await site.login(client)
    token = challenge.json["mfaToken"]
    for path in ("/mfa/authenticators", "/mfa/status"):
        assert (await client.get(path, bearer=token)).status == 401
    assert (await client.get("/me", bearer=token)).status == 401


async def test_the_token_of_a_login_binds_and_changes_nothing(wrapped: Wrapped):
    site = wrapped(fastapi_bearer(), **BY_JWT)
    client = site.client()
    token = (await site.login(client)).json["mfaToken"]
    for method, path in (("POST", "/mfa/authenticators"), ("POST", "/mfa/recovery-codes"), ("POST", "/mfa/step-up")):
        answer = await client.request(method, path, json={"factor": "totp"}, bearer=token)
        assert answer.status in (401, 422), path
    answer = await client.post("/mfa/release", json={}, bearer=token)
    assert answer.status in (401, 403)
    assert client.bearers == []


async def test_of_many_right_answers_at_once_exactly_one_gets_the_login(wrapped: Wrapped):
    site = wrapped(fastapi_bearer(), token_attempts=20, **BY_JWT)
    challenge = await site.login(site.client())
    clients = [site.client() for _ in range(8)]
    body = answer_to(challenge)
    answers = await asyncio.gather(*[one.post("/mfa/verify", json=body) for one in clients])
    assert sorted(one.status for one in answers)[:2] == [200, 401]
    assert sum(bool(one.bearers) for one in clients) == 1


async def test_an_answered_token_is_dead_and_its_code_is_spent(wrapped: Wrapped):
    site = wrapped(fastapi_bearer(), **BY_JWT)
    first, second = await site.login(site.client()), await site.login(site.client())
    assert (await site.verify(site.client(), first)).status == 200
    other = site.client()
    assert (await site.verify(other, first)).code == "token_invalid"
    assert (await other.post("/mfa/verify", json=answer_to(second))).code == "invalid_code"
    assert other.bearers == []


async def test_a_disconnect_before_the_challenge_leaves_the_login_held(wrapped: Wrapped):
    """The client is gone: what is sent to it is lost, and the login with it."""
    site = wrapped(starlette_signed(), **BY_SESSION)

    async def gone(message: Any) -> None:
        raise OSError("the client has left")

    sent: list[Any] = []
    client = Client(site.app)

    async def app_with_lost_client(scope: Any, receive: Any, send: Any) -> None:
        await site.app(scope, receive, gone)

    client.app = app_with_lost_client
    answer = await client.post("/login", json={"username": "alice", "password": "wonderland"})
    assert answer.messages == sent
    assert client.cookies == {}


async def test_a_disconnect_while_verifying_releases_once_at_most(wrapped: Wrapped):
    site = wrapped(fastapi_bearer(), **BY_JWT)
    challenge = await site.login(site.client())

    async def lost(scope: Any, receive: Any, send: Any) -> None:
        async def gone(message: Any) -> None:
            raise OSError("the client has left")

        await site.app(scope, receive, gone)

    await Client(lost).post("/mfa/verify", json=answer_to(challenge))
    again = site.client()
    await again.post("/mfa/verify", json=answer_to(challenge))
    assert again.bearers == []


CROSS = [
    [("origin", "https://evil.test")],
    [("origin", "null")],
    [("origin", "http://app.test.evil.test")],
    [("origin", "https://app.test@evil.test")],
    [("sec-fetch-site", "cross-site")],
    [("sec-fetch-site", "same-site")],
    [("sec-fetch-site", "cross-site"), ("origin", "http://app.test")],
    [("sec-fetch-site", "nonsense")],
]


@pytest.mark.parametrize("headers", CROSS, ids=str)
@pytest.mark.parametrize("how", ["json", "form", "text"])
async def test_a_page_of_another_origin_cannot_answer(headers: Any, how: str, wrapped: Wrapped):
    site = wrapped(starlette_signed(), **BY_SESSION)
    client = site.client()
    challenge = await site.login(client, headers=[("accept", "application/json")])
    body = answer_to(challenge)
    match how:
        case "json" | "form":
            answer = await client.post("/mfa/verify", headers=headers, **{how: body})
        case _:
            answer = await client.post("/mfa/verify", headers=[*headers, ("content-type", "text/plain")], content=b"{}")
    assert (answer.status, answer.code) == (403, "cross_origin")
    assert client.cookies == {}
    assert (await client.post("/mfa/verify", json=body, headers=[("origin", "http://app.test")])).status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "PATCH"])
async def test_no_other_method_answers_or_releases(method: str, wrapped: Wrapped):
    site = wrapped(starlette_signed(), **BY_SESSION)
    client = site.client()
    challenge = await site.login(client)
    body = answer_to(challenge)
    query = "&".join(f"{name}={value}" for name, value in body.items())
    for path in ("/mfa/verify", "/mfa/release"):
        await client.request(method, f"{path}?{query}", json=body)
    await site.nobody_is_in()


@pytest.mark.parametrize("origin", ["https://spa.test", "https://evil.test", None])
async def test_a_challenge_can_be_read_by_the_origins_that_are_set_and_by_no_other(
    origin: str | None, wrapped: Wrapped
):
    site = wrapped(starlette_signed(), origins="https://spa.test", **BY_SESSION)
    challenge = await site.login(site.client(), headers=[("origin", origin)] if origin else [])
    assert challenge.code == ("cross_origin" if origin == "https://evil.test" else "mfa_required")
    allowed = challenge.header("access-control-allow-origin")
    assert allowed == (origin if origin == "https://spa.test" else None)
    assert (challenge.header("access-control-allow-credentials") == "true") == (allowed is not None)


async def test_the_released_login_has_the_cors_fields_of_the_request_that_proved_the_factor(wrapped: Wrapped):
    site = wrapped(starlette_signed(), origins="https://spa.test", **BY_SESSION)
    client = site.client()
    released = await site.verify(client, await site.login(client), headers=[("origin", "https://spa.test")])
    assert released.header("access-control-allow-origin") == "https://spa.test"


async def test_a_browser_gets_the_page_and_a_cookie_that_is_no_login(wrapped: Wrapped):
    site = wrapped(starlette_signed(), **BY_SESSION)
    client = site.client()
    answer = await site.login(client, headers=[("accept", NEW_PAGE)])
    assert (answer.status, answer.header("location")) == (303, "/mfa/challenge")
    assert set(client.cookies) == {"mfa_token"}
    cookie = answer.header("set-cookie") or ""
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert await client.who() is None
    other: Site = wrapped(starlette_signed(), **BY_SESSION)
    secure = other.client(scheme="https")
    await other.login(secure, headers=[("accept", NEW_PAGE)])
    assert set(secure.cookies) == {"__Host-mfa_token"}
