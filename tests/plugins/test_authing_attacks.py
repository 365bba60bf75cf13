"""The dialect ``authing``: what must not be possible."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mfa_authing.dialect import Authing
from mfa_authing.settings import AuthingSettings
from mfa_middleware import MFAMiddleware, Settings, Unavailable
from mfa_middleware.answering import Answering
from mfa_middleware.testing import VirtualAuthenticator
from tests.plugins.authing_pool import LOGIN, OWNER, World
from tests.plugins.conftest import MakeWorld
from tests.world import earlier_code

ALICE = "alice@x.test"
SENSITIVE = ("/api/v2/mfa/totp/associate", "/api/v2/mfa/totp/associate/confirm", "/api/v2/mfa/totp/verify",
             "/api/v2/mfa/totp/recovery", "/api/v2/mfa/totp/import")  # fmt: skip


def leaks(world: World, text: str) -> list[str]:
    """The app's tokens that stand in a text."""
    return [one for one in world.pool.tokens if one in text]


@pytest.mark.parametrize(
    "document",
    [
        LOGIN,
        "mutation($email: String) { login(email: $email) { nickname: token } }",
        "mutation($email: String) { login(email: $email) { email: token phone: token photo: token } }",
        "mutation($email: String) { login(email: $email) { ...f } } fragment f on User { username: token }",
        "mutation($email: String) { nickname: raw(email: $email) }",
        "mutation($email: String) { data: login(email: $email) { avatar: token } }",
    ],
)
@pytest.mark.parametrize("as_batch", [False, True])
async def test_a_challenge_tells_no_token_whatever_its_client_calls_it(world: World, document: str, as_batch: bool):
    """The tokens are plain words here: nothing but the name under which it stands tells one from a nickname."""
    await world.bind()
    body = {"query": document, "variables": {"email": ALICE}}
    answer = await world.post("/graphql", [body] if as_batch else body)
    assert "1635" in answer.text
    assert leaks(world, answer.text) == []
    assert leaks(world, str(answer.headers)) == []


@pytest.mark.parametrize("path", ["/graphql/", "//graphql", "/GRAPHQL", "/%67raphql"])
async def test_nor_at_another_spelling_of_the_path(world: World, path: str):
    """Whatever the router: nothing is told of a response that GraphQL may have made, unless its request was read."""
    await world.bind()
    body = {"query": 'mutation { login(email: "alice@x.test") { nickname: token } }'}
    world.middleware.app = _anywhere(world)
    answer = await world.client.post(httpx2.URL("http://pool.test" + path), json=body)
    assert "1635" in answer.text
    assert leaks(world, answer.text) == []


def _anywhere(world: World) -> Any:
    """The pool behind a router that takes all spellings of its path for one."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        path = "/graphql" if "graphql" in scope["path"].lower() else scope["path"]
        await world.pool.app({**scope, "path": path}, receive, send)

    return app


PLAIN = 'mutation { login(email: "alice@x.test") { token } }'
RENAMING = 'mutation { login(email: "alice@x.test") { nickname: token } }'


@pytest.mark.parametrize(
    ("content", "params"),
    [
        (json.dumps({"query": PLAIN}), {"query": RENAMING}),
        (json.dumps({"query": RENAMING})[:-1] + ", " + json.dumps({"query": PLAIN})[1:], {}),
        (json.dumps({"query": PLAIN, "documentId": "kept by the server"}), {}),
        (json.dumps({"query": PLAIN, "extensions": {"persistedQuery": {"sha256Hash": "x"}}}), {}),
    ],
    ids=["in the URL", "twice", "kept by the server", "by its hash"],
)
async def test_nor_where_the_app_may_read_another_document_than_we(
    world: World, content: str, params: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    await world.bind()
    renamed = world.pool.user

    async def reads_the_other(request: Request) -> Response:
        return JSONResponse({"data": {"login": {"nickname": renamed(ALICE)["token"]}}})

    app = Starlette(routes=[Route("/graphql", reads_the_other, methods=["POST"]), *world.pool.app.routes])
    monkeypatch.setattr(world.middleware, "app", app)
    headers = {"content-type": "application/json"}
    answer = await world.client.post("/graphql", content=content, params=params, headers=headers)
    assert "1635" in answer.text
    assert leaks(world, answer.text) == []


async def test_nor_in_an_envelope_of_graphql(world: World, monkeypatch: pytest.MonkeyPatch):
    await world.bind()

    async def enveloped(request: Request) -> Response:
        return JSONResponse({"code": 200, "data": {"nickname": world.pool.user(ALICE)["token"]}})

    app = Starlette(routes=[Route("/graphql", enveloped, methods=["POST"]), *world.pool.app.routes])
    monkeypatch.setattr(world.middleware, "app", app)
    answer = await world.post("/graphql", {"query": 'mutation { nickname: raw(email: "alice@x.test") }'})
    assert "1635" in answer.text
    assert leaks(world, answer.text) == []


async def test_a_large_login_by_graphql_is_challenged_and_tells_nothing(world: World):
    await world.bind()
    document = 'mutation { login(email: "alice@x.test") { nickname: token } }' + " " * 70_000
    answer = await world.post("/graphql", {"query": document})
    data = answer.json()["errors"][0]["message"]["data"]
    assert (data["nickname"], data["email"]) == (None, None)
    assert leaks(world, answer.text) == []


async def test_what_must_not_be_shown_again_is_not(world: World):
    token = await world.token_of(ALICE)
    begun = (await world.post("/api/v2/mfa/totp/associate", {}, token=token)).json()["data"]
    code = VirtualAuthenticator(begun["secret"]).code()
    answers = [await world.post("/api/v2/mfa/totp/associate/confirm", {"totp": code}, token=token)]
    answers += [
        await world.call("GET", "/api/v2/mfa/authenticator", token=one)
        for one in (token, await world.mfa_token_of(ALICE))
    ]
    answers += [await world.call("GET", path, token=token) for path in ("/mfa/authenticators", "/mfa/status")]
    for answer in answers:
        assert answer.status_code == 200
        assert begun["secret"] not in answer.text
        assert begun["recovery_code"] not in answer.text
    assert answers[1].json()["data"][0]["secret"] == answers[1].json()["data"][0]["recoveryCode"] == ""


async def test_the_switch_shows_both_to_the_user_and_to_no_mfa_token(make_world: MakeWorld):
    """Who holds an mfaToken has proven a password, and with the secret would have proven the rest."""
    world = make_world(authing_reveal_secrets=True, authing_legacy=True)
    alice = await world.bind()
    [one] = (await world.call("GET", "/api/v2/mfa/authenticator", token=alice.token)).json()["data"]
    assert len(one["secret"]) == 32
    assert one["recoveryCode"] == alice.recovery_code
    found = await world.graphql("{ queryMFA { shareKey } }", token=alice.token)
    assert found["data"]["queryMFA"]["shareKey"] == one["secret"]
    token = await world.mfa_token_of(ALICE)
    for more in ({}, {"headers": {"cookie": f"mfa_token={token}"}}):
        [same] = (await world.call("GET", "/api/v2/mfa/authenticator", token=token, **more)).json()["data"]
        assert (same["secret"], same["recoveryCode"]) == ("", "")


async def test_an_mfa_token_of_a_login_changes_no_factor(world: World):
    alice = await world.bind()
    token = await world.mfa_token_of(ALICE)
    for method, path, body in (
        ("POST", "/api/v2/mfa/totp/associate", {}),
        ("POST", "/api/v2/mfa/totp/associate/confirm", {"totp": alice.phone.code()}),
        ("DELETE", "/api/v2/mfa/totp/associate", None),
    ):
        assert (await world.call(method, path, body, token=token)).json()["code"] in (2020, 2021)
    await world.mfa_token_of(ALICE)


async def test_wrong_codes_have_one_budget_however_they_come(make_world: MakeWorld):
    world = make_world(user_failures=3)
    alice = await world.bind()
    for path, body in (
        ("/api/v2/mfa/totp/verify", {"totp": "000000"}),
        ("/api/v2/mfa/totp/recovery", {"recoveryCode": "0000-0000-0000-0000-0000-0000"}),
        ("/api/v2/applications/mfa/totp/verify", {"totp": 1}),
    ):
        assert (await world.post(path, body, token=await world.mfa_token_of(ALICE))).json()["code"] in (6001, 6002)
    token = await world.mfa_token_of(ALICE)
    locked = await world.post("/api/v2/mfa/totp/verify", {"totp": alice.phone.code()}, token=token)
    assert (locked.json()["code"], int(locked.headers["retry-after"]) > 0) == (2057, True)


@pytest.mark.parametrize("path", SENSITIVE)
@pytest.mark.parametrize("field", [{"origin": "https://evil.test"}, {"sec-fetch-site": "cross-site"}])
async def test_a_page_of_another_origin_can_do_nothing(world: World, path: str, field: dict[str, str]):
    token = await world.token_of(ALICE)
    answer = await world.post(path, {"totp": "000000"}, token=token, headers=field)
    assert (answer.status_code, answer.json()["code"]) == (403, 403)
    assert answer.headers["cache-control"] == "no-store"
    assert "refused" in world.told.names


async def test_nor_by_graphql(make_world: MakeWorld):
    world = make_world(authing_legacy=True)
    token = await world.token_of(ALICE)
    body = {"query": "mutation { changeMFA(enable: true) { _id } }"}
    answer = await world.post("/graphql", body, token=token, headers={"origin": "https://evil.test"})
    assert answer.json()["errors"][0]["message"]["data"]["error"] == "cross_origin"
    assert await world.token_of(ALICE)


async def test_a_page_of_a_named_origin_may_send_what_the_sdk_sends(make_world: MakeWorld):
    world = make_world(origins="https://app.test")
    asks = {"origin": "https://app.test", "access-control-request-method": "POST"}
    answer = await world.call("OPTIONS", "/api/v2/mfa/totp/associate", headers=asks)
    assert {"authorization", "x-authing-lang", "x-authing-sdk-version"} <= set(
        answer.headers["access-control-allow-headers"].split(", ")
    )
    token = await world.token_of(ALICE)
    answer = await world.post("/api/v2/mfa/totp/associate", {}, token=token, headers={"origin": "https://app.test"})
    assert (answer.json()["code"], answer.headers["access-control-allow-origin"]) == (200, "https://app.test")


async def test_while_an_engine_is_away_all_is_503_in_an_envelope(world: World, monkeypatch: pytest.MonkeyPatch):
    alice = await world.bind()
    token = await world.mfa_token_of(ALICE)
    store = world.middleware.mfa.parts.core.token_store

    async def away(*_: object, **__: object) -> None:
        raise Unavailable("Redis is away")

    for verb in ("read", "charge", "issue"):
        monkeypatch.setattr(type(store), verb, away)
    answers = [
        await world.post("/api/v2/mfa/totp/verify", {"totp": alice.phone.code()}, token=token),
        await world.call("GET", "/api/v2/mfa/authenticator", token=token),
        await world.post("/api/v2/login", {"email": ALICE}),
    ]
    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (503, 503)
        assert answer.headers["retry-after"]
        assert leaks(world, answer.text) == []
    by_graphql = await world.post("/graphql", {"query": LOGIN, "variables": {"email": ALICE}})
    assert (by_graphql.status_code, by_graphql.json()["errors"][0]["message"]["code"]) == (503, 503)


async def test_an_engine_that_was_never_there_is_503_too_and_the_app_goes_on(make_world: MakeWorld):
    world = make_world(
        redis_url="redis://127.0.0.1:1/0", secret_key="d" * 4 + "bcefghijklmnopqrstuvwxyz0123456789ABCDEF"
    )
    answer = await world.call("GET", "/api/v2/mfa/authenticator", token="x")
    assert (answer.status_code, answer.json()["code"]) == (503, 503)
    assert (await world.graphql("{ hello }")) == {"data": {"hello": "world"}}


@pytest.mark.parametrize("body", ["[]", "{", '"x"', '{"totp": {"a": 1}}', '{"totp": "' + "0" * 70_000 + '"}'])
async def test_junk_is_an_envelope(world: World, body: str):
    headers = {"content-type": "application/json"}
    answer = await world.client.post("/api/v2/mfa/totp/verify", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) in ((200, 400), (200, 413))
    assert set(answer.json()) == {"code", "message", "data"}


async def test_a_method_or_path_that_there_is_not_is_an_envelope_or_the_app_s(world: World):
    answer = await world.call("GET", "/api/v2/mfa/totp/verify")
    assert (answer.status_code, answer.json()["code"]) == (405, 405)
    assert set(answer.headers["allow"].split(", ")) == {"POST", "OPTIONS"}
    assert (await world.call("GET", "/api/v2/mfa/face/verify")).text == "Not Found"


async def test_no_owner_is_told_more_than_a_user(make_world: MakeWorld):
    world = make_world(authing_legacy=True)
    await world.enable()
    found = (await world.graphql(f'{{ queryMFA(userId: "{ALICE}") {{ shareKey }} }}', token=OWNER))["data"]
    assert found == {"queryMFA": {"shareKey": None}}


# ---------------------------------------------------------------------------------------------------- where it stands


async def _login(request: Request) -> Response:
    request.session["user_id"] = (await request.json())["email"]
    return JSONResponse({"code": 200, "message": "", "data": {"id": ALICE, "email": ALICE}})


async def _who(request: Request) -> Response:
    return JSONResponse({"user": request.session.get("user_id")})


async def test_inside_of_the_session_middleware_the_session_is_the_released_login_s():
    app = Starlette(routes=[Route("/api/v2/login", _login, methods=["POST"]), Route("/who", _who)])
    app.add_middleware(
        MFAMiddleware, settings=Settings(dialect="authing", database_url="sqlite://", login="POST /api/v2/login")
    )
    app.add_middleware(SessionMiddleware, secret_key="s" * 32)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://pool.test") as client:
        await client.post("/api/v2/login", json={"email": ALICE})
        begun = (await client.post("/api/v2/mfa/totp/associate", json={})).json()["data"]
        phone = VirtualAuthenticator(begun["qrcode_uri"])
        await client.post("/api/v2/mfa/totp/associate/confirm", json={"totp": earlier_code(phone)})
        client.cookies.clear()
        challenge = (await client.post("/api/v2/login", json={"email": ALICE})).json()
        assert challenge["code"] == 1635
        assert (await client.get("/who")).json() == {"user": None}
        headers = {"authorization": challenge["data"]["mfaToken"]}
        released = await client.post("/api/v2/mfa/totp/verify", json={"totp": phone.code()}, headers=headers)
        assert released.json()["data"]["email"] == ALICE
        assert (await client.get("/who")).json() == {"user": ALICE}


async def test_below_a_root_path_it_stands_there(world: World):
    transport = httpx2.ASGITransport(app=world.middleware, root_path="/base")
    async with httpx2.AsyncClient(transport=transport, base_url="http://pool.test") as client:
        for path in ("/base/api/v2/mfa/authenticator", "/api/v2/mfa/authenticator"):
            assert (await client.get(path)).json()["code"] == 2020


def test_without_its_extra_it_stops_start_up_and_names_it(monkeypatch: pytest.MonkeyPatch):
    def missing(name: str) -> Any:
        raise ModuleNotFoundError("No module named 'graphql'", name="graphql")

    monkeypatch.setattr("mfa_authing.dialect.load", missing)
    assert isinstance(Authing(AuthingSettings(), in_use=False), Answering)
    with pytest.raises(Exception, match=r"needs the extra authing; run pip install 'mfa-middleware\[authing\]'"):
        Authing(AuthingSettings())


def test_a_bad_path_of_graphql_stops_start_up():
    with pytest.raises(Exception, match="must be paths like /graphql"):
        MFAMiddleware(Starlette(), settings=Settings(dialect="authing", authing_graphql_paths="graphql")).mfa.parts  # noqa: B018


async def test_events_tell_no_secret(make_world: MakeWorld):
    world = make_world(authing_legacy=True)
    alice = await world.bind()
    await world.post("/api/v2/mfa/totp/verify", {"totp": "000000"}, token=await world.mfa_token_of(ALICE))
    await world.graphql('{ queryMFA(userId: "bob") { _id } }', token=alice.token)
    told = json.dumps([repr(one) for one in world.told.events])
    assert {"failed", "refused"} <= set(world.told.names)
    assert leaks(world, told) == []
    assert alice.recovery_code not in told
