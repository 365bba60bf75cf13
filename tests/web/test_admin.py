"""The admin API: by token or by selector, never for nobody; on users of any name."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from mfa_middleware.testing.virtual_authenticator import VirtualAuthenticator
from mfa_middleware.web import admin
from tests.world import enrol, login, outcomes

TOKEN, OTHER = "an-admin-token-of-some-length", "another-token-of-some-length"
BY_TOKEN = {"authorization": f"Bearer {TOKEN}"}
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


@pytest.fixture
def client(app_factory, clock):
    return app_factory(admin_token=f"{TOKEN}, {OTHER}")


def path(user_id: str, rest: str = "/authenticators") -> str:
    return f"/mfa/users/{quote(user_id, safe='')}{rest}"


async def call(client, method, url, **options):
    options.setdefault("headers", BY_TOKEN)
    response = await client.request(method, url, **options)
    assert response.headers["cache-control"] == "no-store"
    return response


async def test_each_token_of_the_setting_is_an_admin_s(client):
    for token in (TOKEN, OTHER):
        assert (
            await call(client, "GET", path("alice"), headers={"authorization": f"bearer {token}"})
        ).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-User": "alice"},
        {"X-User": "alice", "authorization": "Bearer "},
        {"authorization": "Bearer " + TOKEN[:-1]},
        {"authorization": f"Bearer {TOKEN},{OTHER}"},
        {"authorization": "Bearer ,"},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": TOKEN},
        {"cookie": f"session={TOKEN}; mfa_token={TOKEN}; mfa_assurance={TOKEN}"},
        {"authorization": b"Bearer \xff\xfe"},
    ],
    ids=str,
)
async def test_nobody_else_is(client, headers):
    for operation in admin.OPERATIONS:
        url = "/mfa" + operation.path.format(userId="alice", id="x")
        body = {"json": {"factor": "totp", "secret": SECRET}} if operation.path.endswith("import") else {}
        response = await call(client, operation.method, url, headers=headers, **body)
        assert (response.status_code, response.json()["code"]) == (401, "not_signed_in")
    assert not (await client.mfa.overview("alice")).authenticators


async def test_an_empty_setting_makes_nobody_an_admin(app_factory):
    client = app_factory(admin_token="")
    for headers in ({}, {"authorization": "Bearer "}, {"authorization": "Bearer x"}):
        assert (await call(client, "GET", path("alice"), headers=headers)).status_code == 401


async def test_a_selector_tells_admins_from_others(app_factory):
    client = app_factory(request_admin="header:X-Admin")
    for value, status in (
        ("true", 200),
        ("1", 200),
        ("TRUE", 200),
        ("false", 403),
        ("yes", 403),
        ("alice", 403),
        ("", 403),
    ):
        response = await call(client, "GET", path("bob"), headers={"X-User": "alice", "X-Admin": value})
        assert response.status_code == status
        assert status == 200 or response.json()["code"] == "forbidden"
    assert (await call(client, "GET", path("bob"), headers={"X-Admin": "false"})).json()["code"] == "not_signed_in"


async def test_a_cross_origin_page_of_an_admin_changes_nothing(app_factory, clock):
    client = app_factory(request_admin="header:X-Admin")
    await enrol(client.mfa)
    headers = {"X-User": "root", "X-Admin": "true", "origin": "https://evil.example"}
    response = await call(client, "DELETE", path("alice"), headers=headers)
    assert (response.status_code, response.json()["code"]) == (403, "cross_origin")
    assert (await client.mfa.status("alice")).enabled


async def test_an_admin_sees_changes_removes_and_resets(client):
    alice = await enrol(client.mfa)
    one = path("alice", f"/authenticators/{alice.id}")
    (listed,) = (await call(client, "GET", path("alice"))).json()["authenticators"]
    assert set(listed) == {"id", "factor", "label", "enabled", "createdAt", "lastUsedAt"}
    changed = await call(client, "PATCH", one, json={"enabled": False, "label": "old"})
    assert (changed.json()["enabled"], changed.json()["label"]) == (False, "old")
    assert (await call(client, "DELETE", one)).status_code == 204
    assert (await call(client, "DELETE", one)).status_code == 404
    await enrol(client.mfa)
    assert (await call(client, "DELETE", path("alice"))).status_code == 204
    assert (await call(client, "GET", path("alice"))).json() == {"authenticators": [], "recoveryCodesLeft": 0}


async def test_an_admin_imports(client):
    body = {"factor": "totp", "secret": SECRET, "label": "phone", "recoveryCodes": ["abcd-efgh"]}
    imported = await call(client, "POST", path("alice", "/authenticators/import"), json=body)
    assert (imported.status_code, imported.json()["enabled"]) == (201, True)
    assert SECRET not in imported.text
    token = (await login(client.mfa)).mfa_token
    await client.mfa.verify(token, "totp", VirtualAuthenticator(SECRET).code())


async def test_an_import_that_cannot_be_used_names_the_field_and_not_its_value(client):
    body = {"factor": "totp", "secret": "CANARY!", "recoveryCodes": []}
    refused = await call(client, "POST", path("alice", "/authenticators/import"), json=body)
    assert (refused.status_code, [one["field"] for one in refused.json()["errors"]]) == (422, ["secret"])
    assert "CANARY" not in refused.text


async def test_an_import_knows_no_rate(client):
    for _ in range(25):
        response = await call(
            client, "POST", path("alice", "/authenticators/import"), json={"factor": "totp", "secret": SECRET}
        )
        assert response.status_code == 201


async def test_an_admin_ends_a_lock(client):
    alice = await enrol(client.mfa)
    for _ in range(10):
        await outcomes(client.mfa.verify((await login(client.mfa)).mfa_token, "totp", alice.wrong))
    assert (await call(client, "DELETE", path("alice", "/lockout"))).status_code == 204
    await client.mfa.verify((await login(client.mfa)).mfa_token, "totp", alice.code)


NAMES = [
    "a/b",
    "/",
    "//",
    "a/authenticators/import",
    "a/authenticators",
    "a b",
    "日本",
    "😀",
    "a%2Fb",
    "a?b#c",
    "-",
    "a" * 255,
    "'",
    "{x}",
]


@pytest.mark.parametrize("user_id", NAMES)
async def test_a_user_of_any_name_is_seen_imported_changed_and_reset(client, user_id):
    bystander = await enrol(client.mfa, "a")
    imported = await call(
        client, "POST", path(user_id, "/authenticators/import"), json={"factor": "totp", "secret": SECRET}
    )
    row = imported.json()["id"]
    assert [one.id for one in (await client.mfa.overview(user_id)).authenticators] == [row]
    assert [one["id"] for one in (await call(client, "GET", path(user_id))).json()["authenticators"]] == [row]
    await call(client, "PATCH", path(user_id, f"/authenticators/{row}"), json={"enabled": False})
    assert not (await client.mfa.status(user_id)).enabled
    assert (await call(client, "DELETE", path(user_id, "/lockout"))).status_code == 204
    assert (await call(client, "DELETE", path(user_id))).status_code == 204
    assert not (await client.mfa.overview(user_id)).authenticators
    assert [one.id for one in (await client.mfa.overview("a")).authenticators] == [bystander.id]


@pytest.mark.parametrize("user_id", ["a\0b", "\0", "a" * 256, ""], ids=["NUL inside", "NUL", "too long", "empty"])
async def test_a_name_that_nobody_can_have_is_refused(client, user_id):
    for operation in admin.OPERATIONS:
        url = "/mfa" + operation.path.format(userId=quote(user_id, safe=""), id="x")
        body = {"json": {"factor": "totp", "secret": SECRET}} if operation.path.endswith("import") else {}
        response = await call(client, operation.method, url, **body)
        assert (response.status_code, response.json()["code"]) == (422, "invalid_request")


async def test_a_name_with_a_line_break_is_a_user_too(client):
    assert (await call(client, "GET", path("a\nb"))).status_code == 200


@pytest.mark.parametrize("row", ["%00", "%F0%9F%98%80", "x" * 5000, "..%2F..", "%25", "'"])
async def test_an_authenticator_of_any_name_is_not_there(client, row):
    for method, body in (("PATCH", {"enabled": True}), ("DELETE", None)):
        response = await call(client, method, path("alice", f"/authenticators/{row}"), json=body)
        assert response.status_code == 404
        assert response.json()["code"] == "not_found"
