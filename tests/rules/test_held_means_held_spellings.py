"""Rule 1, held means held: who knows the password looks for a spelling of the request that is not seen as a login."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfa_middleware.paths import login_matcher
from tests.rules.apps import (
    CASES,
    RIGHT,
    Case,
    blacksheep_bearer,
    django_signed,
    falcon_bearer,
    fastapi_bearer,
    litestar_signed,
    quart_signed,
    starlette_signed,
)
from tests.rules.asgi_client import App, Client
from tests.rules.conftest import Wrapped

PATHS = [
    "/login/",
    "//login",
    "//login//",
    "/%6cogin",
    "/%256cogin",
    "/login%2f",
    "/%2flogin",
    "/login%00",
    "/login%0a",
    "/login%20",
    "/LOGIN",
    "/Login",
    "/./login",
    "/login/.",
    "/x/../login",
    "/login/../login",
    "/login/x/..",
    "/login;a=b",
    "/login%3fa=b",
    "/login%23a",
    "/login?next=/login",
    "\\login",
    "http://app.test/login",
    "HTTP://app.test//login",
    "http://app.test:80/login",
    "//app.test/login",
]
METHODS = ["post", "Post", "GET", "HEAD", "PUT", "OPTIONS", "PATCH", "QUERY", "DELETE"]
ONE_EACH = [
    one
    for one in CASES
    if str(one)
    in {
        "starlette-signed-outside-whoami",
        "starlette-signed-inside-session",
        "starsessions-inside-session",
        "fastapi-bearer-outside-jwt",
        "starlette-header-outside-header",
        "litestar-server-outside-session",
        "quart-signed-outside-whoami",
        "django-signed-outside-whoami",
        "falcon-bearer-outside-jwt",
        "blacksheep-bearer-outside-whoami",
    }
]
# What one handler at /login answers too. Without these the attacks below would be none.
ANSWERED = [
    (litestar_signed, "/login/"),
    (litestar_signed, "//login"),
    (litestar_signed, "/%6cogin"),
    (litestar_signed, "/login%2f"),
    (quart_signed, "/%6cogin"),
    (quart_signed, "http://app.test/login"),
    (starlette_signed, "/%6cogin"),
    (fastapi_bearer, "/%6cogin"),
    (falcon_bearer, "/login/"),
    (falcon_bearer, "/%6cogin"),
    (django_signed, "/%6cogin"),
    (django_signed, "/login"),
]


@pytest.mark.parametrize(("build", "path"), ANSWERED)
async def test_a_bare_app_logs_in_at_that_spelling(build: Any, path: str):
    client = Client(build())
    assert (await client.post(path, json=RIGHT)).status == 200
    assert await client.who() == "alice"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("case", ONE_EACH, ids=str)
async def test_no_spelling_of_the_path_is_a_way_round(case: Case, path: str, wrapped: Wrapped):
    site = wrapped(case)
    for root_path in ("", "/root"):
        for prefix in ("", root_path):
            client = site.client(root_path=root_path)
            await site.login(client, prefix + path)
    await site.nobody_is_in()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", ONE_EACH, ids=str)
async def test_no_method_is_a_way_round(case: Case, method: str, wrapped: Wrapped):
    """A fresh client, so that no session stands there before; the credentials in the body and in the query."""
    site = wrapped(case)
    for path in ("/login", "/login?username=alice&password=wonderland"):
        await site.login(site.client(), path, method)
        await site.client().request(method, path)
    await site.nobody_is_in()


@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD", "OPTIONS", "PATCH"])
@pytest.mark.parametrize("case", [one for one in CASES if one.naive_falls and one.name != "litestar-server"], ids=str)
async def test_with_every_method_declared_a_known_session_stays_anonymous(case: Case, method: str, wrapped: Wrapped):
    site = wrapped(case, login="* /login")
    client = site.client()
    await client.get("/visit")
    await site.login(client, "/login?username=alice&password=wonderland", method)
    await site.nobody_is_in()


@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD"])
@pytest.mark.parametrize("case", [one for one in CASES if one.naive_falls and not one.inside], ids=str)
async def test_a_login_by_an_undeclared_method_into_a_known_session_is_refused_and_named(
    case: Case, method: str, wrapped: Wrapped
):
    """It comes too late for the session (declare the method); nothing of the response leaves all the same."""
    if case.name == "litestar-server":
        pytest.skip("its handler takes POST alone")
    site = wrapped(case)
    client = site.client()
    await client.get("/visit")
    before = dict(client.cookies)
    answer = await client.request(method, "/login?username=alice&password=wonderland")
    assert answer.code == "login_not_held"
    assert client.cookies == before
    assert "MFA_LOGIN" in site.told.reasons


@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
async def test_no_header_that_overrides_the_method_is_a_way_round(header: str, method: str, wrapped: Wrapped):
    """An app that goes by such a header, whatever the method: the login's own, and that by which we ask it."""
    app = _overriding(starlette_signed(), header.lower().encode())
    site = wrapped(app, login_user="whoami:/me#/user", request_user="whoami:/me#/user")
    for wanted in ("POST", "PUT", "DELETE"):
        client = site.client()
        await site.login(client, method=method, headers=[(header, wanted)])
    await site.nobody_is_in()


def _overriding(app: App, header: bytes) -> App:
    async def override(scope: Any, receive: Any, send: Any) -> None:
        method = dict(scope["headers"]).get(header)
        await app({**scope, "method": method.decode()} if method else scope, receive, send)

    return override


async def test_letters_that_a_router_folds_to_ascii_are_no_way_round(wrapped: Wrapped):
    """Python's case-insensitive patterns, and so Django's, take a dotless i for an i."""
    case = next(one for one in CASES if one.name == "django-signed")
    bare = Client(django_signed())
    assert (await bare.post("/any-case/log%C4%B1n", json=RIGHT)).status == 200
    site = wrapped(case, login="POST /any-case/login")
    for path in ("/any-case/login", "/ANY-CASE/LOGIN", "/any-case/log%C4%B1n", "/any-ca%C5%BFe/login"):
        await site.login(site.client(), path)
    await site.nobody_is_in()


@pytest.mark.parametrize("name", ["litestar-server-outside-session", "quart-signed-outside-whoami"])
async def test_a_root_path_run_together_with_the_login_is_no_way_round(name: str, wrapped: Wrapped):
    """Litestar and Quart read ``/rootlogin`` as ``/login`` under the ``root_path`` ``/root``."""
    site = wrapped(next(one for one in CASES if str(one) == name))
    await site.login(site.client(root_path="/root"), "/rootlogin")
    await site.nobody_is_in()


_SEGMENT = st.lists(
    st.sampled_from(["login", "Login", "%6cogin", "log%69n", "%256cogin", "", ".", "..", "x", "%2e", "%2e%2e", "me"]),
    min_size=1,
    max_size=4,
)
_JOINTS = st.sampled_from(["/", "//", "%2f", "\\", "/%2e/", ";/", "%5c", "/%20"])
_ENDS = st.sampled_from(["", "/", "%2f", "//", "%00", "%0a", "%20", ";a", "%3b", "?a", "%3f", "#", "%23", ".", "/."])
_STARTS = st.sampled_from(["/", "//", "/%2f", "http://app.test/", "http://app.test//", "/./", "\\", "/%09"])
_ROUTERS = {
    "starlette": starlette_signed,
    "fastapi": fastapi_bearer,
    "litestar": litestar_signed,
    "quart": quart_signed,
    "django": django_signed,
    "falcon": falcon_bearer,
    "blacksheep": blacksheep_bearer,
}
_matches = login_matcher("POST /login")
_built: dict[str, App] = {}


@pytest.mark.parametrize("name", _ROUTERS)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(start=_STARTS, segments=_SEGMENT, joint=_JOINTS, end=_ENDS, root_path=st.sampled_from(["", "/root", "/login"]))
async def test_what_a_router_takes_for_the_login_the_middleware_takes_for_it(
    name: str, start: str, segments: list[str], joint: str, end: str, root_path: str
):
    app = _built.setdefault(name, _ROUTERS[name]())
    path = start + joint.join(segments) + end
    client = Client(app, root_path=root_path)
    seen: list[tuple[str, str]] = []

    async def spy(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope["path"], scope["root_path"]))
        await app(scope, receive, send)

    client.app = spy
    answer = await client.post(path, json=RIGHT)
    logged_in = answer.status == 200 and (b"ok" in answer.body or bool(client.bearers))
    assert not logged_in or _matches(*seen[0]), f"{path!r} under {root_path!r}"
