"""A cross-origin page can change nothing; origins of the setting may, and read the answers."""

from __future__ import annotations

import pytest

from mfa_middleware import MFA, CrossOrigin, MFAMiddleware, Settings
from mfa_middleware.keyring import new_key
from mfa_middleware.web.app import OPERATIONS
from mfa_middleware.web.origin import Origins
from tests.rules.asgi_client import exchange, http_scope
from tests.world import LoginApp, enrol

ALICE = {"X-User": "alice"}
FRIEND = "https://friend.example"
HERE = "http://app.example"

#: Sec-Fetch-Site, Origin, whether it passes without MFA_ORIGINS.
TABLE = [
    (None, None, True),
    (None, HERE, True),
    (None, HERE.upper(), True),
    (None, "https://app.example", True),  # behind a proxy that ends TLS
    (None, "null", False),
    (None, "https://evil.example", False),
    (None, "http://app.example.evil.example", False),
    (None, "http://evil.example/app.example", False),
    (None, "http://evil.example#app.example", False),
    (None, "http://app.example@evil.example", False),
    (None, "http://app.example:8080", False),
    (None, "http://[::1", False),
    (None, "http://[", False),
    (None, "//", False),
    (None, "\xff", False),
    (None, FRIEND, False),
    ("same-origin", HERE, True),
    ("same-origin", None, True),
    ("SAME-ORIGIN", None, True),
    ("none", None, True),
    ("same-site", HERE, False),
    ("same-site", None, False),
    ("cross-site", None, False),
    ("cross-site", "null", False),
    ("cross-site", HERE, False),
    ("cross-site", "https://evil.example", False),
    ("", "https://evil.example", False),
    ("nonsense", None, False),
    ("same-origin, cross-site", None, False),
]


def headers(site, origin):
    return {
        name: value.encode("latin-1")
        for name, value in (("sec-fetch-site", site), ("origin", origin))
        if value is not None
    }


@pytest.fixture
def client(app_factory, clock):
    return app_factory()


@pytest.mark.parametrize(("site", "origin", "passes"), TABLE, ids=ascii)
async def test_a_change_from_there_passes_or_is_refused(client, site, origin, passes):
    response = await client.post(
        "/mfa/authenticators", json={"factor": "totp"}, headers={**ALICE, **headers(site, origin)}
    )
    assert response.status_code == (201 if passes else 403)
    if not passes:
        assert response.json()["code"] == "cross_origin"
        assert (await client.mfa.parts.core.authenticator_store.load("alice")).authenticators == ()
    assert "access-control-allow-origin" not in response.headers


async def test_every_operation_that_changes_something_is_guarded(client):
    for operation in OPERATIONS:
        url = "/mfa" + operation.path.format(id="x", userId="x")
        response = await client.request(operation.method, url, headers={**ALICE, "origin": "https://evil.example"})
        refused = response.status_code == 403 and response.json()["code"] == "cross_origin"
        assert refused is (operation.method != "GET")


async def test_the_refusal_comes_before_the_body_is_looked_at(client):
    response = await client.post(
        "/mfa/verify", content=b"junk", headers={"origin": "null", "content-type": "text/plain"}
    )
    assert response.status_code == 403


async def test_a_get_changes_nothing(client):
    alice = await enrol(client.mfa)
    before = await client.mfa.parts.core.authenticator_store.load("alice")
    for operation in OPERATIONS:
        for method in ("GET", "HEAD", "OPTIONS"):
            url = "/mfa" + operation.path.format(id=alice.id, userId="alice")
            await client.request(
                method, url, headers={**ALICE, "X-HTTP-Method-Override": "DELETE"}, params={"_method": "DELETE"}
            )
    assert await client.mfa.parts.core.authenticator_store.load("alice") == before


# ---------------------------------------------------------------------------------------------------------- MFA_ORIGINS


@pytest.fixture
def friendly(app_factory, clock):
    return app_factory(origins=f"{FRIEND}, https://other.example")


async def test_an_origin_of_the_setting_may_call_and_read(friendly):
    response = await friendly.post(
        "/mfa/authenticators",
        json={"factor": "totp"},
        headers={**ALICE, "origin": FRIEND, "sec-fetch-site": "cross-site"},
    )
    assert response.status_code == 201
    assert response.headers["access-control-allow-origin"] == FRIEND
    assert response.headers["access-control-allow-credentials"] == "true"
    assert "origin" in response.headers["vary"].lower()


async def test_it_may_read_errors_too(friendly):
    for path in ("/mfa/verify", "/mfa/step-up"):
        response = await friendly.post(path, json={"junk": 1}, headers={"origin": FRIEND})
        assert response.status_code in (401, 422)
        assert response.headers["access-control-allow-origin"] == FRIEND


async def test_it_may_read_the_challenge_and_the_released_login(friendly):
    alice = await enrol(friendly.mfa)
    challenge = await friendly.post("/login", headers={"origin": FRIEND})
    assert challenge.headers.get_list("access-control-allow-origin") == [FRIEND]
    answer = {"factor": "totp", "code": alice.code, "mfaToken": challenge.json()["mfaToken"]}
    released = await friendly.post("/mfa/verify", json=answer, headers={"origin": FRIEND})
    assert released.headers.get_list("access-control-allow-origin") == [FRIEND]


async def test_a_stranger_may_not_read_the_challenge(friendly):
    await enrol(friendly.mfa)
    for origin in ("https://evil.example", FRIEND + ".evil.example", "null", "http://friend.example", FRIEND + ":444"):
        response = await friendly.post("/login", headers={"origin": origin})
        assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: f"{one.method} {one.path}")
async def test_a_preflight_is_answered_to_friends_alone(friendly, operation):
    url = "/mfa" + operation.path.format(id="x", userId="x")
    asked = {"access-control-request-method": operation.method, "access-control-request-headers": "content-type"}
    friend = await friendly.options(url, headers={**asked, "origin": FRIEND})
    assert friend.status_code == 204
    assert operation.method in friend.headers["access-control-allow-methods"]
    assert "authorization" in friend.headers["access-control-allow-headers"]
    stranger = await friendly.options(url, headers={**asked, "origin": "https://evil.example"})
    assert not [name for name in stranger.headers if name.startswith("access-control")]


@pytest.mark.parametrize("path", ["/mfa/nothing", "/mfa/openapi.json"])
async def test_it_may_read_what_is_answered_beside_the_operations(friendly, path):
    assert (await friendly.get(path, headers={"origin": FRIEND})).headers["access-control-allow-origin"] == FRIEND


def test_no_origin_of_a_setting_can_be_null_or_any():
    origins = Origins(Settings(origins="https://a.example"))
    for origin in (b"null", b"*", b"", b"https://A.example.evil"):
        scope = {"method": "POST", "headers": [(b"origin", origin), (b"sec-fetch-site", b"cross-site")]}
        with pytest.raises(CrossOrigin):
            origins.check(scope)
        assert origins.fields(scope) == ()


AWAY = {"redis_url": "redis://127.0.0.1:1/0", "engine_timeout": 1, "secret_key": new_key()}


@pytest.mark.parametrize("path", ["/mfa/verify", "/anything"])
async def test_the_answer_for_an_engine_that_is_away_can_be_read_there_too(settings, path):
    wrapped = MFAMiddleware(LoginApp(), settings=settings(**AWAY, origins=FRIEND, session_mode="gate"))
    fields = [(b"origin", FRIEND.encode()), (b"cookie", b"session=had")]
    answer = await exchange(wrapped, http_scope("POST", path, fields))
    assert answer.status == 503
    assert (b"access-control-allow-origin", FRIEND.encode()) in answer.headers
    await wrapped.mfa.close()


async def test_what_is_not_set_up_answers_pages_without_knowing_their_origins():
    answer = await exchange(MFA(Settings(secret_key="bad")).app, http_scope("POST", "/verify", [(b"origin", b"x")]))
    assert answer.status == 503


@pytest.mark.parametrize("key", ["bad", ""])
async def test_a_web_socket_to_the_sub_app_is_closed(settings, key):
    mfa = MFA(settings(secret_key=key))
    answer = await exchange(mfa.app, http_scope("GET", "/verify") | {"type": "websocket"})
    assert [message["type"] for message in answer.messages] == ["websocket.close"]
    await mfa.close()


async def test_a_root_path_that_begins_like_the_mount_hides_no_sub_app(settings):
    wrapped = MFAMiddleware(LoginApp(), settings=settings())
    answer = await exchange(wrapped, http_scope("GET", "/mfa/openapi.json", root_path="/m"))
    assert answer.status == 200
    await wrapped.mfa.close()
