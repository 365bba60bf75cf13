"""The JSON API over ASGI: whatever is sent, the answer is the contract's; who may do what, by cookie and by bearer."""

from __future__ import annotations

import asyncio
import json
import re
import types
from typing import Annotated, Any, Union, get_args, get_origin

import httpx2
import pytest
from pydantic import BaseModel

from mfa_middleware import MFAMiddleware, Settings
from mfa_middleware.errors import Unavailable
from mfa_middleware.testing.virtual_authenticator import VirtualAuthenticator
from mfa_middleware.web.app import OPERATIONS
from tests.world import Client, LoginApp, earlier_code, enrol

ALICE = {"X-User": "alice"}
ADMIN = "an-admin-token-of-some-length"
TRACE = "0af7651916cd43dd8448eb211c80319c"


def name_of(operation):
    return f"{operation.method} {operation.path}"


EVERY = pytest.mark.parametrize("operation", OPERATIONS, ids=name_of)
WRITING = pytest.mark.parametrize("operation", [one for one in OPERATIONS if one.method != "GET"], ids=name_of)


def url(operation, **parts: str) -> str:
    path: str = operation.path.format(**{"id": "nobody-s", "userId": "alice", **parts})
    return "/mfa" + path


def good(model: type[BaseModel]) -> dict[str, object]:
    """A body that fits the model."""
    samples = {"factor": "totp", "code": "123456", "secret": "A" * 32, "label": "phone", "enabled": False}
    return {field.alias or name: samples[name] for name, field in model.model_fields.items() if name in samples}


def bodies(operation) -> dict[str, bytes]:
    """JSON bodies, each wrong in one way. Made from the operation's shape, so that a new one is covered."""
    fits = good(operation.body)
    wrong: dict[str, object] = {
        "an unknown field": {**fits, "isAdmin": True},
        "a field of snake case": {**fits, "mfa_tokens": "x"},
    }
    for name, field in operation.body.model_fields.items():
        alias = field.alias or name
        kinds = _plain_types(field.annotation)
        for what, value in _wrong_values(kinds).items():
            wrong[f"{alias} is {what}"] = {**fits, alias: value}
        if field.is_required():
            wrong[f"{alias} is missing"] = {key: value for key, value in fits.items() if key != alias}
            wrong[f"{alias} is null"] = {**fits, alias: None}
    raw = {
        "an array": b"[]",
        "a string": b'"x"',
        "null": b"null",
        "a number": b"1",
        "no JSON": b"{",
        "a word": b"totp",
        "no UTF-8": b'{"factor": "\xff"}',
        "UTF-16": '{"factor": "totp"}'.encode("utf-16"),
        "deep": b'{"factor": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
        "two documents": b"{}{}",
        "half a surrogate pair": b'{"factor": "\\ud800"}',
        "a long number": b'{"factor": ' + b"9" * 10_000 + b"}",
        "a comment": b"{/* */}",
        "a form": b"factor=totp&code=1",
        "NUL": b"\0",
    }
    return {what: json.dumps(value).encode() for what, value in wrong.items()} | raw


def _plain_types(annotation: Any) -> set[Any]:
    if get_origin(annotation) is Annotated:
        return _plain_types(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return set().union(*(_plain_types(one) for one in get_args(annotation)))
    return {get_origin(annotation) or annotation}


def _wrong_values(kinds: set[Any]) -> dict[str, object]:
    values: dict[str, object] = {"an object": {"a": 1}, "a list of lists": [[1]], "a fraction": 1.5, "minus one": -1}
    if bool not in kinds:
        values |= {"true": True, "a number": 123456}
    if list not in kinds:
        values |= {"a list": ["totp"], "an empty list": []}
    if str not in kinds:
        values |= {"a word": "perhaps", "an empty text": ""}
    else:
        values |= {"too long": "x" * 5000}
    return values


def checked(response):
    """What is true of every answer."""
    assert response.headers.get("cache-control") == "no-store"
    assert response.status_code < 500
    if response.status_code >= 400:
        problem = response.json()
        assert response.headers["content-type"] == "application/problem+json"
        assert problem["status"] == response.status_code
        assert re.fullmatch("[a-z_]+", problem["code"])
        assert "mfaToken" in problem or re.fullmatch("[0-9a-f]{32}", problem["traceId"])
    if response.status_code == 401:
        assert response.headers["www-authenticate"]
    return response


@pytest.fixture
def client(app_factory, clock):
    return app_factory(admin_token=ADMIN)


@pytest.fixture(scope="module")
def shared():
    """One wrapped app for all that is refused anyway."""
    settings = Settings(database_url="sqlite://", request_user="header:X-User", login_user="mark", admin_token=ADMIN)
    middleware = MFAMiddleware(LoginApp(), settings=settings)
    yield middleware
    asyncio.run(middleware.mfa.close())


@pytest.fixture
async def visitor(shared):
    async with Client(shared) as client:
        yield client


def signed_in(operation) -> dict[str, str]:
    return {**ALICE, "authorization": f"Bearer {ADMIN}"} if operation.access == "admin" else ALICE


# ------------------------------------------------------------------------------------------------------ every operation


@EVERY
async def test_nobody_is_refused(visitor, operation):
    body = {"json": good(operation.body)} if operation.method in ("POST", "PATCH") else {}
    response = checked(await visitor.request(operation.method, url(operation), **body))
    assert response.status_code == 401
    assert response.json()["code"] == ("token_invalid" if operation.access == "token" else "not_signed_in")


@WRITING
async def test_a_body_that_does_not_fit_is_refused(visitor, operation):
    for what, body in bodies(operation).items():
        headers = {**signed_in(operation), "content-type": "application/json"}
        response = checked(await visitor.request(operation.method, url(operation), content=body, headers=headers))
        assert (what, response.status_code, response.json()["code"]) == (what, 422, "invalid_request")
        assert all(set(one) == {"field", "detail"} for one in response.json()["errors"])


KINDS = {
    "text/plain": ("text/plain", b'{"factor": "totp"}'),
    "no content type": ("", b'{"factor": "totp"}'),
    "xml": ("application/xml", b"<x/>"),
    "a form with a field twice": (
        "application/x-www-form-urlencoded",
        b"factor=totp&code=1&code=2&mfaToken=a&mfaToken=b",
    ),
    "a form with an unknown field": (
        "application/x-www-form-urlencoded",
        b"factor=totp&code=1&secret=1&label=1&admin=1",
    ),
    "a form with NUL": ("application/x-www-form-urlencoded", b"factor=%00&code=%00&unknown=1"),
    "a form that is none": ("application/x-www-form-urlencoded", b"\xff\xfe%zz&;=&="),
    "an unknown charset": ("application/x-www-form-urlencoded; charset=x", b"unknown=%ff"),
}


@WRITING
async def test_another_kind_of_body_is_refused(visitor, operation):
    for kind, (content_type, body) in KINDS.items():
        headers = {**signed_in(operation), **({"content-type": content_type} if content_type else {})}
        response = checked(await visitor.request(operation.method, url(operation), content=body, headers=headers))
        assert (kind, response.status_code, response.json()["code"]) == (kind, 422, "invalid_request")


MULTIPART = "multipart/form-data; boundary=b"
BROKEN_FORMS = {
    "a file": (MULTIPART, b'--b\r\nContent-Disposition: form-data; name="code"; filename="x"\r\n\r\n1\r\n--b--\r\n'),
    "no end": (MULTIPART, b'--b\r\nContent-Disposition: form-data; name="mfaToken"\r\n\r\n1'),
    "no name": (MULTIPART, b"--b\r\nContent-Disposition: form-data\r\n\r\n1\r\n--b--\r\n"),
    "another boundary": (MULTIPART, b'--c\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n--c--\r\n'),
    "no boundary": ("multipart/form-data", b"--b--"),
    "junk": (MULTIPART, b"\0\xff"),
    "many parts": (MULTIPART, b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n' * 50 + b"--b--\r\n"),
    "many fields": ("application/x-www-form-urlencoded", b"&".join(b"f%d=1" % n for n in range(5000))),
}
#: What Starlette's parser does not refuse by itself reads as a form without fields: it must not fit anything required.
READ_AS_EMPTY = ("no end",)


@pytest.mark.parametrize("kind", [kind for kind in BROKEN_FORMS if kind not in READ_AS_EMPTY])
async def test_a_form_that_does_not_parse_is_refused(visitor, kind):
    for operation in OPERATIONS:
        if operation.method == "POST":
            content_type, body = BROKEN_FORMS[kind]
            headers = {**signed_in(operation), "content-type": content_type}
            response = await visitor.request(operation.method, url(operation), content=body, headers=headers)
            assert (checked(response).status_code, response.json()["code"]) == (422, "invalid_request")


@pytest.mark.parametrize("kind", BROKEN_FORMS)
async def test_a_form_is_taken_by_post_alone(visitor, kind):
    for operation in OPERATIONS:
        if operation.method in ("PATCH", "DELETE"):
            content_type, body = BROKEN_FORMS[kind]
            headers = {**signed_in(operation), "content-type": content_type}
            response = await visitor.request(operation.method, url(operation), content=body, headers=headers)
            assert (checked(response).status_code, response.json()["code"]) == (422, "invalid_request")


@pytest.mark.parametrize("kind", READ_AS_EMPTY)
async def test_a_form_that_ends_too_soon_has_no_fields(visitor, kind):
    content_type, body = BROKEN_FORMS[kind]
    response = checked(await visitor.post("/mfa/verify", content=body, headers={"content-type": content_type}))
    assert response.status_code == 422


async def without_end():
    for _ in range(10_000):
        yield b" " * 4096
    raise AssertionError("all of it was read")


@WRITING
@pytest.mark.parametrize("body", [b" " * 65_537, without_end], ids=["with its length", "without end"])
async def test_a_body_over_64_kib_is_refused_before_it_is_read_whole(visitor, operation, body):
    headers = {**signed_in(operation), "content-type": "application/json"}
    content = body() if callable(body) else body
    response = checked(await visitor.request(operation.method, url(operation), content=content, headers=headers))
    assert (response.status_code, response.json()["code"]) == (413, "too_large")


@WRITING
async def test_a_client_that_leaves_amid_its_body_breaks_nothing(visitor, operation):
    sent: list = []
    messages = iter([{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}])

    async def receive():
        return next(messages)

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": operation.method,
        "path": url(operation),
        "headers": [(b"content-type", b"application/json")],
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "http_version": "1.1",
    }
    await visitor.middleware(scope, receive, send)
    assert sent[0]["status"] in (401, 422)


@EVERY
async def test_other_methods_are_405_and_all_that_are_there_are_named(visitor, operation):
    response = checked(await visitor.request("PUT", url(operation)))
    assert response.status_code == 405
    allowed = set(response.headers["allow"].split(", "))
    there = {one.method for one in OPERATIONS if one.path == operation.path}
    assert there <= allowed <= there | {"OPTIONS", "HEAD", "GET"}  # a page may stand there too


@EVERY
async def test_what_stands_behind_an_operation_s_path_changes_nothing(visitor, operation):
    for path in ("/", "//", "/x", "%00"):
        response = await visitor.request(operation.method, url(operation) + path, headers=signed_in(operation))
        assert 300 <= response.status_code < 500


@pytest.mark.parametrize("path", ["/mfa/verify/", "/mfa/authenticators/"])
async def test_a_trailing_slash_is_no_redirect_to_a_url_made_from_host(client, path):
    """CVE-2026-48710: a path rebuilt from Host."""
    response = await client.post(path, headers={"host": "evil.example"}, json={})
    assert "evil.example" not in response.headers.get("location", "")
    checked(response)


@EVERY
async def test_a_lost_engine_is_503_with_retry_after(client, operation, monkeypatch):
    core = await client.mfa.open()
    token = core.tokens.issue("alice", "login" if operation.path != "/release" else "enrolment")[0]

    async def away(*given, **named):
        raise Unavailable("the engine: a secret reason")

    for store, verbs in (
        (core.token_store, ("charge", "charge_user", "read", "issue", "prove", "proven", "forget")),
        (core.authenticator_store, ("load", "change", "forgive")),
    ):
        for verb in verbs:
            monkeypatch.setattr(store, verb, away)
    body = good(operation.body) | ({"mfaToken": token} if operation.access == "token" else {})
    options = {"json": body} if operation.method in ("POST", "PATCH") else {}
    response = await client.request(operation.method, url(operation), headers=signed_in(operation), **options)
    assert (response.status_code, response.json()["code"]) == (503, "unavailable")
    assert response.headers["retry-after"] == "1"
    assert "secret reason" not in response.text


@EVERY
async def test_a_bug_is_a_500_that_tells_nothing(client, operation, monkeypatch, caplog):
    core = await client.mfa.open()
    token = core.tokens.issue("alice", "login" if operation.path != "/release" else "enrolment")[0]

    async def breaks(*given, **named):
        raise ZeroDivisionError("CANARY")

    for store, verbs in (
        (core.token_store, ("charge", "read")),
        (core.authenticator_store, ("load", "change", "forgive")),
    ):
        for verb in verbs:
            monkeypatch.setattr(store, verb, breaks)
    body = good(operation.body) | ({"mfaToken": token} if operation.access == "token" else {})
    options = {"json": body} if operation.method in ("POST", "PATCH") else {}
    response = await client.request(operation.method, url(operation), headers=signed_in(operation), **options)
    assert (response.status_code, response.json()["code"]) == (500, "misconfigured")
    assert "CANARY" not in response.text
    assert response.json()["traceId"] in caplog.text


# ------------------------------------------------------------------------------------------------------------ the trace


@pytest.mark.parametrize(
    ("field", "taken"),
    [
        (f"00-{TRACE}-b7ad6b7169203331-01", True),
        (f"00-{TRACE.upper()}-b7ad6b7169203331-01", False),
        (f"00-{TRACE}-b7ad6b7169203331", False),
        (f"ff-{TRACE}-b7ad6b7169203331-01", False),
        ("junk", False),
        (f"00-{TRACE}-b7ad6b7169203331-01, 00-{TRACE}-b7ad6b7169203331-01", False),
        ("00-" + "0" * 32 + "-b7ad6b7169203331-01", False),
    ],
)
async def test_the_trace_id_is_the_request_s_if_it_has_a_good_one(client, field, taken):
    problem = checked(await client.get("/mfa/status", headers={"traceparent": field})).json()
    assert (problem["traceId"] in field) is taken


# -------------------------------------------------------------------------------------------------- the way of a login


async def test_a_login_is_held_and_released(client):
    alice = await enrol(client.mfa)
    challenge = checked(await client.post("/login"))
    assert challenge.status_code == 401
    document = challenge.json()
    assert document["code"] == "mfa_required"
    assert document["expiresIn"] == 300
    assert [one["factor"] for one in document["factors"]] == ["totp", "recovery_code"]
    assert "set-cookie" not in challenge.headers
    answer = {"factor": "totp", "code": alice.code, "mfaToken": document["mfaToken"]}
    released = await client.post("/mfa/verify", json=answer)
    assert released.json() == {"user_id": "alice", "access_token": "the-app-s-token"}
    cookies = released.headers.get_list("set-cookie")
    assert cookies[0] == "session=signed-in; HttpOnly; Path=/"
    assert cookies[1].startswith("mfa_assurance=")
    assert cookies[2].startswith('mfa_token=""; ')
    assert released.headers["cache-control"] == "no-store"


async def challenged(client):
    return (await client.post("/login")).json()["mfaToken"]


@pytest.mark.parametrize("way", ["body", "form", "multipart", "bearer", "cookie"])
async def test_the_token_travels_in_each_of_its_ways(client, way):
    alice = await enrol(client.mfa)
    token = await challenged(client)
    answer = {"factor": "totp", "code": alice.code}
    ways: dict[str, Any] = {
        "body": {"json": {**answer, "mfaToken": token}},
        "form": {"data": {**answer, "mfaToken": token}},
        "multipart": {
            "content": "".join(
                f'--b\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'
                for k, v in {**answer, "mfaToken": token}.items()
            )
            + "--b--\r\n",
            "headers": {"content-type": "multipart/form-data; boundary=b"},
        },
        "bearer": {"json": answer, "headers": {"authorization": f"bearer  {token}"}},
        "cookie": {"json": answer, "headers": {"cookie": f"mfa_token={token}"}},
    }
    assert (await client.post("/mfa/verify", **ways[way])).status_code == 200


async def test_over_https_the_cookie_has_the_host_prefix(client):
    alice = await enrol(client.mfa)
    token = await challenged(client)
    answer = {"factor": "totp", "code": alice.code}
    plain = await client.post("https://app.example/mfa/verify", json=answer, headers={"cookie": f"mfa_token={token}"})
    assert plain.json()["code"] == "token_invalid"
    released = await client.post(
        "https://app.example/mfa/verify", json=answer, headers={"cookie": f"__Host-mfa_token={token}"}
    )
    assert released.status_code == 200
    assert all("Secure" in one for one in released.headers.get_list("set-cookie")[1:])


async def test_a_token_in_the_body_comes_before_the_others_and_the_app_s_bearer_is_none(client):
    alice = await enrol(client.mfa)
    token = await challenged(client)
    answer = {"factor": "totp", "code": alice.code}
    headers = {"authorization": "Bearer the-app-s-own", "cookie": "mfa_token=junk"}
    assert (await client.post("/mfa/verify", json={**answer, "mfaToken": "junk"}, headers=headers)).status_code == 401
    released = await client.post("/mfa/verify", json={**answer, "mfaToken": token}, headers=headers)
    assert released.status_code == 200


async def test_a_wrong_code_is_401_with_the_attempts_left_and_over_the_limit_429(app_factory, clock):
    client = app_factory(user_failures=4)
    alice = await enrol(client.mfa)
    token = await challenged(client)
    answer = {"factor": "totp", "code": alice.wrong, "mfaToken": token}
    problem = checked(await client.post("/mfa/verify", json=answer)).json()
    assert (problem["code"], problem["attemptsLeft"]) == ("invalid_code", 4)
    for _ in range(3):
        await client.post("/mfa/verify", json=answer)
    locked = checked(await client.post("/mfa/verify", json={**answer, "code": alice.code}))
    assert (locked.status_code, locked.json()["code"]) == (429, "too_many_attempts")
    assert locked.headers["retry-after"] == "900"
    assert "attemptsLeft" not in locked.json()


async def test_an_mfa_token_is_no_session(client):
    await enrol(client.mfa)
    token = await challenged(client)
    for headers in ({"authorization": f"Bearer {token}"}, {"cookie": f"session={token}; mfa_assurance={token}"}):
        for path in ("/mfa/status", "/mfa/authenticators"):
            assert (await client.get(path, headers=headers)).json()["code"] == "not_signed_in"
        assert (await client.post("/mfa/step-up", headers=headers)).json()["code"] == "not_signed_in"


async def test_a_token_of_another_purpose_binds_nothing(client):
    await enrol(client.mfa)
    login_token = await challenged(client)
    step_up = (await client.post("/mfa/step-up", headers=ALICE)).json()["mfaToken"]
    for token in (login_token, step_up, "junk"):
        for path, body in (
            ("/mfa/authenticators", {"factor": "totp"}),
            ("/mfa/authenticators/x/confirm", {"code": "1"}),
        ):
            response = checked(await client.post(path, json={**body, "mfaToken": token}))
            assert (response.status_code, response.json()["code"]) == (401, "token_invalid")
    assert len((await client.mfa.overview("alice")).authenticators) == 1


async def test_a_user_who_must_bind_first_binds_confirms_and_is_released(app_factory, clock):
    client = app_factory(enrolment="required")
    challenge = checked(await client.post("/login"))
    assert (challenge.status_code, challenge.json()["code"]) == (401, "mfa_enrolment_required")
    bearer = {"authorization": f"Bearer {challenge.json()['mfaToken']}"}
    early = checked(await client.post("/mfa/release", headers=bearer))
    assert (early.status_code, early.json()["code"]) == (403, "mfa_enrolment_required")
    pending = checked(await client.post("/mfa/authenticators", json={"factor": "totp"}, headers=bearer)).json()
    code = VirtualAuthenticator(pending["uri"]).code()
    confirmed = await client.post(f"/mfa/authenticators/{pending['id']}/confirm", json={"code": code}, headers=bearer)
    assert len(confirmed.json()["recoveryCodes"]) == 10
    assert "set-cookie" not in confirmed.headers
    assert (await client.post("/mfa/release", headers=bearer)).json()["user_id"] == "alice"
    assert (await client.post("/mfa/release", headers=bearer)).json()["code"] == "token_invalid"


# ---------------------------------------------------------------------------------------------------------- binding


async def test_binding_and_listing_look_as_the_contract_says(client):
    bound = checked(await client.post("/mfa/authenticators", json={"factor": "totp", "label": "phone"}, headers=ALICE))
    assert bound.status_code == 201
    pending = bound.json()
    assert set(pending) == {"id", "factor", "status", "secret", "uri", "qrCode", "expiresIn"}
    assert pending["status"] == "pending"
    assert pending["qrCode"].startswith("data:image/png;base64,")
    confirm = f"/mfa/authenticators/{pending['id']}/confirm"
    wrong = checked(await client.post(confirm, json={"code": "x"}, headers=ALICE))
    assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid_code")
    confirmed = checked(
        await client.post(confirm, json={"code": VirtualAuthenticator(pending["uri"]).code()}, headers=ALICE)
    )
    assert set(confirmed.json()) == {"id", "factor", "enabled", "recoveryCodes"}
    listed = checked(await client.get("/mfa/authenticators", headers=ALICE))
    assert listed.json() == {
        "authenticators": [
            {
                "id": pending["id"],
                "factor": "totp",
                "label": "phone",
                "enabled": True,
                "createdAt": "2027-01-15T08:00:00Z",
                "lastUsedAt": listed.json()["authenticators"][0]["lastUsedAt"],
            }
        ],
        "recoveryCodesLeft": 10,
    }
    assert (await client.get("/mfa/status", headers=ALICE)).json() == {
        "enabled": True,
        "required": False,
        "factors": ["totp"],
    }


async def test_a_live_secret_is_never_told_again(client):
    pending = (await client.post("/mfa/authenticators", json={"factor": "totp"}, headers=ALICE)).json()
    code = earlier_code(VirtualAuthenticator(pending["uri"]))
    confirm = f"/mfa/authenticators/{pending['id']}/confirm"
    confirmed = await client.post(confirm, json={"code": code}, headers=ALICE)
    proof = {**ALICE, "cookie": confirmed.headers["set-cookie"].partition(";")[0]}
    one = f"/mfa/authenticators/{pending['id']}"
    told = ""
    for method, path, body in (
        ("GET", "/mfa/authenticators", None),
        ("GET", one, None),
        ("GET", "/mfa/status", None),
        ("POST", confirm, {"code": code}),
        ("PATCH", one, {"label": "x"}),
        ("POST", one + "/refresh", None),
        ("POST", "/mfa/step-up", None),
        ("POST", "/login", None),
        ("GET", "/mfa/openapi.json", None),
        ("DELETE", one, None),
    ):
        response = await client.request(method, path, json=body, headers=proof)
        told += response.text + str(response.headers)
    assert pending["secret"] not in told
    assert not any(code in told for code in confirmed.json()["recoveryCodes"])


CHANGES = {
    "bind": ("POST", "/authenticators", {"factor": "totp"}),
    "refresh": ("POST", "/authenticators/{id}/refresh", {}),
    "disable": ("PATCH", "/authenticators/{id}", {"enabled": False}),
    "unbind": ("DELETE", "/authenticators/{id}", None),
    "new codes": ("POST", "/recovery-codes", {}),
}


async def change(client, alice, name, **headers):
    method, path, body = CHANGES[name]
    return checked(
        await client.request(method, "/mfa" + path.format(id=alice.id), json=body, headers={**ALICE, **headers})
    )


async def assurance(client, person):
    headers = {"X-User": person.user_id}
    token = (await client.post("/mfa/step-up", headers=headers)).json()["mfaToken"]
    verified = await client.post("/mfa/verify", json={"factor": "totp", "code": person.code, "mfaToken": token})
    assert verified.json() == {"verified": True}
    return verified.headers.get_list("set-cookie")[0].partition(";")[0].partition("=")[2]


@pytest.mark.parametrize("name", CHANGES)
async def test_a_change_takes_the_cookie_of_a_proof(client, clock, name):
    alice = await enrol(client.mfa)
    assert (await change(client, alice, name)).json()["code"] == "step_up_required"
    value = await assurance(client, alice)
    clock.shift(599)
    assert (await change(client, alice, name, cookie=f"a=b; mfa_assurance={value}")).status_code < 300


@pytest.mark.parametrize("name", CHANGES)
async def test_another_user_s_an_expired_and_a_tampered_cookie_prove_nothing(client, clock, name):
    alice, bob = await enrol(client.mfa, "alice"), await enrol(client.mfa, "bob")
    own, foreign = await assurance(client, alice), await assurance(client, bob)
    payload = own.split(".")[1]
    for value in (foreign, own.replace(payload, foreign.split(".")[1]), own[:-6] + "AAAAAA", "", "x", payload):
        assert (await change(client, alice, name, cookie=f"mfa_assurance={value}")).status_code == 403
    clock.shift(600)
    assert (await change(client, alice, name, cookie=f"mfa_assurance={own}")).status_code == 403


@pytest.mark.parametrize("name", CHANGES)
async def test_a_client_that_sends_nothing_but_its_token_needs_to_know_nothing_of_proofs(client, name):
    alice = await enrol(client.mfa)
    bearer = {"authorization": "Bearer the-app-s-token"}
    assert (await change(client, alice, name, **bearer)).status_code == 403
    answer = {"factor": "totp", "code": alice.code, "mfaToken": await challenged(client)}
    await client.post("/mfa/verify", json=answer)
    assert (await change(client, alice, name, authorization="Bearer another")).status_code == 403
    assert (await change(client, alice, name, **bearer)).status_code < 300


async def test_the_cookie_is_for_scripts_and_other_sites_out_of_reach(client):
    alice = await enrol(client.mfa)
    token = (await client.post("/mfa/step-up", headers=ALICE)).json()["mfaToken"]
    verified = await client.post("/mfa/verify", json={"factor": "totp", "code": alice.code, "mfaToken": token})
    for cookie in verified.headers.get_list("set-cookie"):
        assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))


@pytest.mark.parametrize("value", ["false", "off", "1", 0])
async def test_what_is_no_boolean_enables_and_disables_nothing(client, value):
    alice = await enrol(client.mfa)
    headers = {**ALICE, "cookie": f"mfa_assurance={await assurance(client, alice)}"}
    response = await client.patch(f"/mfa/authenticators/{alice.id}", json={"enabled": value}, headers=headers)
    assert response.status_code == 422


async def test_two_users_in_one_request_are_misconfigured(app_factory):
    client = app_factory(request_user="header:X-User, header:X-Other")
    response = await client.get("/mfa/status", headers={**ALICE, "X-Other": "bob"})
    assert (response.status_code, response.json()["code"]) == (500, "misconfigured")


async def test_a_selector_that_can_never_answer_here_is_misconfigured(app_factory):
    client = app_factory(request_user="session:user_id")
    response = await client.get("/mfa/status")
    assert (response.status_code, response.json()["code"]) == (500, "misconfigured")


async def test_below_a_root_path_everything_is_where_it_was(app_factory, clock):
    client = app_factory()
    await enrol(client.mfa)
    transport = httpx2.ASGITransport(app=client.middleware, root_path="/app")
    async with httpx2.AsyncClient(transport=transport, base_url="http://x") as below:
        for path in ("/mfa/status", "/app/mfa/status"):
            assert (await below.get(path, headers=ALICE)).json()["enabled"] is True


async def test_the_app_s_other_answers_pass_untouched(app_factory):
    app = LoginApp()
    client = app_factory(app)
    assert (await client.get("/other")).headers.raw == [
        (b"content-type", b"application/json"),
        (b"set-cookie", b"session=signed-in; HttpOnly"),
    ]
    assert app.calls == 1
