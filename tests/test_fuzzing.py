"""Whatever bytes come in: they are read, or refused by an error of ours; and what was written is read again."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import jwt
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from starlette.requests import Request

from mfa_authing.documents import asked_by_get, asked_by_post
from mfa_middleware import MFA, LoginNotHeld, MFAMiddleware, Misconfigured, Settings, verification
from mfa_middleware.cookies import CookieNames, cookie_pairs, merged_cookies, set_cookie_header, set_cookies
from mfa_middleware.core import Core
from mfa_middleware.errors import InvalidRequest, TooLarge
from mfa_middleware.held_login import HeldLogin
from mfa_middleware.login_request import is_excepted
from mfa_middleware.models import Assurance, Purpose
from mfa_middleware.records import Candidate, TokenRecord
from mfa_middleware.response_body import RawHeaders
from mfa_middleware.stores.protocols import Attempt, Gate
from mfa_middleware.tokens import MFA_TOKEN_TYPE, Tokens
from mfa_middleware.web import schemas
from mfa_middleware.web.calls import read_call
from tests.selectors.exchanges import login_exchange, login_user
from tests.world import LoginApp

#: Those of CI are always the same; at one's desk they are few, and others each time.
examples = settings(
    max_examples=100 if os.environ.get("CI") else 30,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)


def documents(*names: str) -> st.SearchStrategy[bytes]:
    """Bytes of any kind, many of them JSON objects that have some of these names; cut off or not, nested or not."""
    objects = st.dictionaries(st.sampled_from(names) | st.text(max_size=5), JSON, max_size=6)
    texts = (objects | JSON | st.lists(objects, max_size=3)).map(json.dumps)
    nested = st.integers(1, 1200).map(lambda depth: '{"user": "alice", "x": ' + "[" * depth + "]" * depth + "}")
    whole = (texts | nested).flatmap(lambda text: st.sampled_from(["utf-8", "utf-16", "latin-1"]).map(text.encode))
    return st.binary(max_size=200) | whole | st.tuples(whole, st.integers(0, 200)).map(lambda cut: cut[0][: cut[1]])


def joined(*words: str, by: str) -> st.SearchStrategy[str]:
    """Texts of these words, mixed with any others."""
    return st.lists(st.sampled_from(words) | st.text(max_size=4), max_size=14).map(by.join)


FIELDS = (b"cookie", b"Set-Cookie", b"authorization", b"x-user", b"origin", b"accept")
RAW_HEADERS: st.SearchStrategy[RawHeaders] = st.lists(
    st.tuples(st.sampled_from(FIELDS), st.binary(max_size=60)), max_size=6
).map(tuple)
CONTENT_TYPES = st.sampled_from(
    [
        b"application/json",
        b"application/x-www-form-urlencoded",
        b"multipart/form-data; boundary=B",
        b"multipart/form-data",
        b"APPLICATION/JSON; charset=utf-16",
        b"application/json; charset=nonsense",
        b"application/x-www-form-urlencoded; charset=nonsense",
    ]
) | st.binary(max_size=30)


# -------------------------------------------------------------------------------------------------- bodies of the API

BODIES = (schemas.Verify, schemas.Bind, schemas.Confirm, schemas.Change, schemas.Import, schemas.Empty)
NAMES = ("factor", "code", "authenticatorId", "mfaToken", "label", "enabled", "secret", "recoveryCodes")
FORMS = joined(*NAMES, "=", "&", "%", "%00", "+", "totp", by="").map(str.encode)
PARTS = joined(
    "--B", "--B--", "\r\n", "\r\n\r\n", "Content-Disposition: form-data; name=factor", 'name="code"', "filename=x",
    "Content-Type: text/plain; charset=nonsense", "totp", by="",
).map(str.encode)  # fmt: skip


async def read(shape: Any, content_type: bytes, body: bytes, method: str = "POST") -> Any:
    """What the API reads in a request; the desk is not asked."""
    messages = iter([{"type": "http.request", "body": body, "more_body": False}, {"type": "http.disconnect"}])

    async def receive() -> Any:
        return next(messages)

    scope = {"type": "http", "method": method, "path": "/", "headers": [(b"content-type", content_type)]}
    desk: Any = None
    return (await read_call(desk, Request(scope, receive), shape, "")).body


@examples
@given(
    st.sampled_from(BODIES),
    CONTENT_TYPES,
    documents(*NAMES) | FORMS | PARTS,
    st.sampled_from(["POST", "PATCH", "DELETE"]),
)
@example(schemas.Verify, b"application/json", b"[" * 60_000, "POST")
@example(schemas.Verify, b"application/json", b'{"code": ' + b"9" * 60_000 + b"}", "POST")
@example(schemas.Empty, b"application/x-www-form-urlencoded", b"a=1&" * 16_000, "POST")
async def test_any_body_is_read_or_is_an_invalid_request(shape, content_type, body, method):
    try:
        assert isinstance(await read(shape, content_type, body, method), shape)
    except (InvalidRequest, TooLarge):
        pass


PRINTABLE = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=30)


@examples
@given(PRINTABLE, PRINTABLE)
async def test_a_body_says_the_same_as_json_and_as_a_form(code, mfa_token):
    fields = {"factor": "totp", "code": code, "mfaToken": mfa_token}
    plain = await read(schemas.Verify, b"application/json", json.dumps(fields).encode())
    form = await read(schemas.Verify, b"application/x-www-form-urlencoded", urlencode(fields).encode())
    parts = "".join(
        f'--B\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n' for name, text in fields.items()
    )
    multipart = await read(schemas.Verify, b"multipart/form-data; boundary=B", f"{parts}--B--\r\n".encode())
    assert plain == form == multipart
    assert (plain.code, plain.mfa_token) == (code, mfa_token)


# -------------------------------------------------------------------------------------------------------- the sub-app


@pytest.fixture(scope="module")
def asked() -> Iterator[Any]:
    """Asks a wrapped app for a path below the mount; gives the status."""
    given_settings = Settings(
        database_url="sqlite://", login_user="json:/user_id", request_user="header:X-User", engine_timeout=30
    )
    middleware = MFAMiddleware(LoginApp(), settings=given_settings)

    async def ask(scope: dict[str, Any], body: bytes) -> int:
        messages = [{"type": "http.request", "body": body, "more_body": False}, {"type": "http.disconnect"}]
        sent: list[Any] = []

        async def receive() -> Any:
            return messages.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        await middleware(scope, receive, send)
        assert sent[-1].get("more_body", False) is False
        return int(sent[0]["status"])

    with asyncio.Runner() as runner:
        yield lambda scope, body: runner.run(ask(scope, body))
        runner.run(middleware.mfa.close())


@examples
@given(
    st.sampled_from(["GET", "POST", "PATCH", "DELETE", "OPTIONS", "HEAD"]),
    joined("/", "authenticators", "verify", "users", "alice", "import", "challenge", "confirm", "%2F", "..", by=""),
    st.binary(max_size=40),
    RAW_HEADERS,
    CONTENT_TYPES,
    documents(*NAMES) | FORMS,
    st.just(b"app.example") | st.binary(max_size=10),
)
@example("GET", "authenticators", b"", ((b"x-user", b"alice"),), b"", b"", b"[")
@example("GET", "authenticators", b"\xb7", ((b"x-user", b"alice"),), b"", b"", b"app.example")
def test_no_request_below_the_mount_is_answered_by_a_bug(asked, method, path, query, fields, content_type, body, host):
    """From HTTP servers come paths without half a surrogate pair, and fields without line breaks."""
    path = "/mfa/" + path.encode("utf-8", "replace").decode()
    headers = [
        (name.lower(), bytes(byte for byte in value if byte not in b"\r\n\0"))
        for name, value in [*fields, (b"content-type", content_type), (b"host", host)]
    ]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("app.example", 80),
    }
    assert asked(scope, body) < 500


# ------------------------------------------------------------------------------------------------- MFA_LOGIN_EXCEPT

EXCEPTION = (("grant_type", "refresh_token"),)


async def excepted(content_type: bytes, chunks: list[bytes]) -> tuple[bool, bytes]:
    """Whether it is no login, and what the app gets of the body."""
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages[-1]["more_body"] = False

    async def receive() -> Any:
        return messages.pop(0)

    found, again = await is_excepted(EXCEPTION, {"headers": [(b"Content-Type", content_type)]}, receive)
    body, more = b"", True
    while more:
        message = await again()
        body, more = body + message["body"], bool(message["more_body"])
    return found, body


@examples
@given(
    CONTENT_TYPES,
    documents("grant_type", "username") | joined("grant_type=refresh_token", "a=b", "&", ";", by="").map(str.encode),
    st.integers(1, 64),
)
async def test_any_body_is_excepted_or_not_and_reaches_the_app_whole(content_type, body, size):
    chunks = [body[start : start + size] for start in range(0, len(body), size)] or [b""]
    assert (await excepted(content_type, chunks))[1] == body


@examples
@given(
    st.dictionaries(st.text(max_size=8).filter(lambda name: name != "grant_type"), st.text(max_size=8), max_size=4),
    st.lists(st.sampled_from(["refresh_token", "password", ""]), max_size=3),
)
async def test_one_such_field_alone_makes_it_no_login(others, grants):
    fields = [*others.items(), *(("grant_type", grant) for grant in grants)]
    document = "{" + ", ".join(f"{json.dumps(name)}: {json.dumps(text)}" for name, text in fields) + "}"
    once = grants == ["refresh_token"]
    assert (await excepted(b"application/json", [document.encode()]))[0] is once
    form = urlencode([(name, text) for name, text in fields]).encode()
    assert (await excepted(b"application/x-www-form-urlencoded", [form]))[0] is once


# ------------------------------------------------------------------------------------------------------------ cookies


@examples
@given(st.lists(st.tuples(st.sampled_from([b"cookie", b"Set-Cookie"]), st.binary()), max_size=5))
def test_any_cookie_field_is_read(headers):
    names = CookieNames(("session",))
    assert not names.within(names.without(headers))
    changes = set_cookies(headers)
    merged = [(b"cookie", merged_cookies(headers, changes))]
    assert all(isinstance(text, str) for pair in cookie_pairs(merged) for text in pair)


@examples
@given(st.text(st.characters(codec="ascii", categories=["L", "N"], include_characters="-_."), min_size=1))
def test_a_cookie_of_ours_is_read_as_it_was_set(value):
    field = set_cookie_header("mfa_token", value, max_age=5, secure=True)
    assert set_cookies([field]) == [("mfa_token", value)]
    assert cookie_pairs([(b"cookie", merged_cookies([], set_cookies([field])))]) == [("mfa_token", value)]


# ---------------------------------------------------------------------------------------------------------- selectors


@examples
@given(
    st.sampled_from(
        ["json:/user", "json:", "jwt:/user#sub", "json:/user, jwt:/token#sub", "header:x-user, json:/0/user"]
    ),
    documents("user", "token", "access_token", "data"),
    RAW_HEADERS,
    st.sampled_from([b"application/json", b"text/html"]),
    st.sampled_from([b"", b"gzip", b"br", b"deflate, gzip"]),
    st.booleans(),
)  # fmt: skip
@example("json:/user", b'{"user": "alice", "x": ' + b"[" * 800 + b"]" * 800 + b"}", (), b"application/json", b"", True)
async def test_any_response_is_somebody_s_login_or_nobody_s_or_a_doubt(
    text, body, fields, content_type, coding, expected
):
    exchange = login_exchange(body)
    exchange.headers = (*fields, (b"content-type", content_type), (b"content-encoding", coding))
    exchange.expected = expected
    try:
        found = await login_user(text, exchange)
    except LoginNotHeld:
        return
    assert found is None or 0 < len(found) <= 255


@examples
@given(st.dictionaries(st.sampled_from(["sub", "name"]), JSON | st.just("alice")), st.binary(max_size=20))
async def test_any_jwt_in_a_response_is_somebody_s_or_nobody_s_or_a_doubt(claims, junk):
    token = jwt.encode({}, "k" * 32).split(".")
    whole = ".".join([token[0], jwt.utils.base64url_encode(json.dumps(claims).encode() + junk).decode(), token[2]])
    try:
        found = await login_user("jwt:/token#sub", login_exchange({"token": whole, "other": [whole]}))
    except LoginNotHeld:
        return
    assert found is None or not junk.strip()


@examples
@given(documents("user"), st.sampled_from([200, 204, 302, 401, 404, 500]), RAW_HEADERS)
async def test_any_answer_to_whoami_is_somebody_or_nobody_or_a_doubt(body, status, fields):
    async def app(scope, receive, send):
        await receive()
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": body})

    exchange = login_exchange(b"ok", {"set-cookie": "session=NEW"}, app=app)
    try:
        found = await login_user("whoami:/me#/user", exchange, engine_timeout=30)
    except LoginNotHeld:
        return
    assert found is None or status == 200


# ------------------------------------------------------------------------------------------- what lies in the engines

HELD = st.builds(
    HeldLogin,
    st.integers(100, 599),
    st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=20)), max_size=4).map(tuple),
    st.binary(max_size=100),
    st.text(max_size=20),
    st.none() | st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
    st.lists(st.binary(max_size=8), max_size=2).map(tuple),
)
CANDIDATE = st.builds(
    Candidate, st.text(max_size=5), st.text(max_size=5), st.text(max_size=5), st.integers(), st.binary(max_size=20)
)
RECORD = st.builds(
    TokenRecord,
    st.text(max_size=20),
    st.lists(CANDIDATE, max_size=3).map(tuple),
    st.none() | HELD,
    st.lists(st.text(max_size=20), max_size=2).map(tuple),
)


@examples
@given(RECORD)
def test_a_token_s_record_is_read_as_it_was_kept(record):
    assert TokenRecord.decode(record.encode()) == record


class StoreOfJunk:
    """A token store in which anything may lie."""

    def __init__(self, record: bytes) -> None:
        self.record = record

    async def charge(self, user: str, token: str, **given: object) -> Attempt:
        return Attempt(Gate.OPEN, 1, 1, 0, self.record)


@pytest.fixture(scope="module")
def core() -> Core:
    return MFA(Settings(database_url="sqlite://", secret_key="MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY")).parts.core


@examples
@given(RECORD, st.binary(max_size=60), st.sampled_from(["junk", "key", "flipped", "moved", "rest"]))
async def test_a_record_that_was_changed_or_moved_releases_nothing(core, record, junk, how):
    text, token = core.tokens.issue("alice", Purpose.LOGIN)
    _, other = core.tokens.issue("alice", Purpose.LOGIN)
    sealed = core.keyring.seal_for_token(record.encode(), secret=token.secret, bound_to=token.place)
    changed = {
        "junk": junk,
        "key": bytes.fromhex(core.keyring.newest) + junk,
        "flipped": sealed[:-1] + bytes([sealed[-1] ^ 1]),
        "moved": core.keyring.seal_for_token(record.encode(), secret=token.secret, bound_to=other.place),
        "rest": core.keyring.seal(record.encode(), bound_to=token.place),
    }[how]
    broken = replace(core, token_store=StoreOfJunk(changed))
    with pytest.raises(Misconfigured):
        await verification.verify(broken, text, verification.Attempted("totp", "000000"), "")


# ------------------------------------------------------------------------------------------------- the assurance cookie


@examples
@given(
    st.dictionaries(st.sampled_from(["iss", "aud", "sub", "iat", "exp", "nbf", "jti", "auth_time"]), JSON, min_size=1)
)
def test_any_claims_under_our_own_key_assure_of_an_id_or_of_nothing(core, changed):
    tokens: Tokens = core.tokens
    good = tokens.sign_assurance(Assurance("alice", 1_800_000_000, "otp"))
    header = jwt.get_unverified_header(good)
    claims = {**jwt.decode(good, options={"verify_signature": False}), **changed}
    key = core.keyring.signing_keys[header["kid"]]
    forged = jwt.api_jws.encode(json.dumps(claims).encode(), key, headers=header)
    found = tokens.assurance_id(forged, "alice")
    assert found is None or isinstance(found, str)
    assert tokens.assurance_id(forged, "bob") is None
    assert header["typ"] != MFA_TOKEN_TYPE


# ------------------------------------------------------------------------------------------------------------ GraphQL

QUERY = joined(
    "{", "}", "(", ")", "[", "]", ":", "...", "on", "$a", "@skip", "query", "mutation", "subscription", "fragment",
    "F", "User", "login", "MFACode", '"000000"', "queryMFA", "changeMfa", "mfaToken", "token", "1", '"""', "#", by=" ",
)  # fmt: skip
CIRCLES = "fragment F on Q {...G} fragment G on Q {...F queryMFA} query {...F}"


def looked_at(asking: object) -> list[object]:
    """All that is made of a GraphQL request."""
    return [getattr(asking, name) for name, one in vars(type(asking)).items() if isinstance(one, property)]


@examples
@given(
    documents("query", "variables", "operationName", "extensions")
    | st.tuples(QUERY, JSON, JSON).map(
        lambda three: json.dumps(
            {"query": three[0], "variables": three[1], "operationName": three[2]}
        ).encode()
    ),
    st.binary(max_size=10),
)  # fmt: skip
@example(json.dumps({"query": CIRCLES}).encode(), b"")
@example(json.dumps({"query": "{queryMFA" * 900 + "}" * 900}).encode(), b"")
@example(json.dumps({"query": "mutation {login(MFACode: " + "[" * 900 + "]" * 900 + ") {id}}"}).encode(), b"")
def test_any_graphql_by_post_is_looked_at_and_nothing_is_raised(body, query):
    for asking in asked_by_post({"query_string": query, "headers": [(b"content-type", b"application/json")]}, body):
        looked_at(asking)


@examples
@given(st.binary(max_size=60) | st.tuples(QUERY, JSON.map(json.dumps)).map(
    lambda two: urlencode({"query": two[0], "variables": two[1]}).encode()
))  # fmt: skip
def test_any_graphql_by_get_is_looked_at_and_nothing_is_raised(query):
    for asking in asked_by_get({"query_string": query, "headers": []}):
        looked_at(asking)
