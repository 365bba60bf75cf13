"""Rule 1, held means held: who knows the password wants to be signed in by a session that is there already."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starsessions.session import get_session_handler, load_session, regenerate_session_id

from tests.rules.apps import CASES, WITH_COOKIE, WRONG, Case, starlette_signed, starsessions, starsessions_loaded
from tests.rules.asgi_client import Answer, App, Client, http_scope
from tests.rules.conftest import Site, Wrapped
from tests.rules.naive import naive_holder

CHOSEN = "0123456789abcdef0123456789abcdef"


async def _prepared(client: Client, case: Case, how: str) -> str:
    """A session cookie that the attacker knows before the login."""
    if how == "chosen":
        client.cookies[case.cookie] = CHOSEN
        return CHOSEN
    await client.get("/visit")
    return client.cookies.get(case.cookie) or client.cookies[f"{case.cookie}-0"]


@pytest.mark.parametrize("how", ["anonymous", "chosen"])
@pytest.mark.parametrize("case", WITH_COOKIE, ids=str)
async def test_the_attack_beats_a_naive_holder_where_the_session_is_kept_by_the_server(case: Case, how: str):
    app = naive_holder(case.build())
    client = Client(app)
    await _prepared(client, case, how)
    answer = await Site(app, case).login(client)
    assert answer.status == 401
    assert (await client.who() == "alice") == (how in case.naive_falls)


@pytest.mark.parametrize("how", ["anonymous", "chosen"])
@pytest.mark.parametrize("case", WITH_COOKIE, ids=str)
async def test_a_session_known_before_the_login_stays_anonymous(case: Case, how: str, wrapped: Wrapped):
    site = wrapped(case)
    client = site.client()
    known = await _prepared(client, case, how)
    answer = await site.login(client)
    assert answer.code == "mfa_required"
    other = site.client(cookies={case.cookie: known})
    assert await other.who() is None
    await site.nobody_is_in()


SPELLINGS: dict[str, Callable[[str, str], list[str]]] = {
    "twice": lambda name, value: [f"{name}={value}; {name}={value}"],
    "twice, the second another": lambda name, value: [f"{name}={value}; {name}=other"],
    "twice, the first another": lambda name, value: [f"{name}=other; {name}={value}"],
    "in two fields": lambda name, value: [f"{name}={value}", f"{name}={value}"],
    "in the second field": lambda name, value: ["a=b", f"{name}={value}"],
    "quoted": lambda name, value: [f'{name}="{value}"'],
    "blank before equals": lambda name, value: [f"{name} ={value}"],
    "tab before equals": lambda name, value: [f"{name}\t={value}"],
    "blank after equals": lambda name, value: [f"{name}= {value}"],
    "tab before": lambda name, value: [f"\t{name}={value}"],
    "no-break space before": lambda name, value: [f"\xa0{name}={value}"],
    "vertical tab after": lambda name, value: [f"{name}\x0b={value}"],
    "next line after": lambda name, value: [f"{name}\x85={value}"],
    "$Version": lambda name, value: [f"$Version=1; {name}={value}"],
    "$Version and comma": lambda name, value: [f"$Version=1, {name}={value}"],
    "leading semicolon": lambda name, value: [f";{name}={value}"],
    "many semicolons": lambda name, value: [f"; ;;{name}={value};;"],
    "after a comma": lambda name, value: [f"a=b, {name}={value}"],
    "after an open quote": lambda name, value: [f'a="b; {name}={value}'],
    "inside of quotes": lambda name, value: [f'a="; {name}={value}; "'],
    "without a blank": lambda name, value: [f"a=b;{name}={value};c=d"],
    "percent": lambda name, value: [f"%{ord(name[0]):02x}{name[1:]}={value}"],
    "capitals": lambda name, value: [f"{name.upper()}={value}"],
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("case", [one for one in WITH_COOKIE if one.naive_falls], ids=str)
async def test_no_spelling_of_the_cookie_brings_the_known_session_to_the_login(
    case: Case, spelling: str, wrapped: Wrapped
):
    site = wrapped(case)
    client = site.client()
    known = await _prepared(client, case, "anonymous")
    answer = await site.login(client, raw_cookies=SPELLINGS[spelling](case.cookie, known))
    assert answer.code in ("mfa_required", "login_not_held")
    site.client(cookies={case.cookie: known})
    await site.nobody_is_in()


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_the_challenge_holds_nothing_of_the_app(case: Case, wrapped: Wrapped):
    """No cookie of the app, no token, no location, no header field of its own."""
    site = wrapped(case)
    client = site.client()
    answer = await site.login(client)
    assert answer.code == "mfa_required"
    assert answer.header("location") is None
    names = {name for name, _ in answer.headers}
    assert names <= {b"content-type", b"www-authenticate", b"cache-control", b"content-length", b"vary"}
    assert b"alice" not in answer.body
    assert client.bearers == []
    await site.nobody_is_in()


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_a_right_code_gives_the_login_and_nobody_else_is_in(case: Case, wrapped: Wrapped):
    """The attacks mean something only where the honest way works."""
    site = wrapped(case)
    client, other = site.client(), site.client()
    await client.get("/visit")
    await other.get("/visit")
    challenge = await site.login(client)
    assert await client.who() is None
    released = await site.verify(client, challenge)
    assert released.status in (200, 204, 302), released.body
    assert await client.who() == "alice"
    assert await other.who() is None


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_a_wrong_password_is_answered_byte_for_byte_as_by_the_bare_app(case: Case, wrapped: Wrapped):
    site = wrapped(case)
    how = {"form": WRONG} if case.body == "form" else {"json": WRONG}
    ours = await site.client().post("/login", **how)
    bare = await Client(case.build()).post("/login", **how)
    assert bare.status in (200, 401)
    assert _without_random_ids(ours) == _without_random_ids(bare)


def _without_random_ids(answer: Answer) -> bytes:
    return re.sub(rb"session=[0-9a-f]{32,64};", b"session=RANDOM;", repr(answer.messages).encode())


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("name", [" alice", "ALICE", "Alice "])
async def test_the_user_is_whom_the_app_signed_in_and_not_the_text_that_was_submitted(
    case: Case, name: str, wrapped: Wrapped
):
    site = wrapped(case)
    client = site.client()
    fields = {"username": name, "password": "wonderland"}
    answer = await client.post("/login", **{case.body: fields})
    assert answer.code == "mfa_required"
    await site.nobody_is_in()


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_who_has_no_factor_logs_in_as_before(case: Case, wrapped: Wrapped):
    site = wrapped(case)
    client = site.client()
    fields = {"username": "bob", "password": "builder"}
    await client.get("/visit")
    answer = await client.post("/login", **{case.body: fields})
    assert answer.status in (200, 204, 302)
    assert await client.who() == "bob"


@pytest.mark.parametrize("case", [one for one in WITH_COOKIE if one.inside], ids=str)
async def test_a_user_without_a_factor_who_logs_in_as_another_stays_who_he_was(case: Case, wrapped: Wrapped):
    site = wrapped(case)
    client = site.client()
    await client.post("/login", json={"username": "bob", "password": "builder"})
    answer = await site.login(client)
    assert answer.code == "mfa_required"
    assert await client.who() == "bob"
    await site.verify(client, answer)
    assert await client.who() == "alice"


@pytest.mark.parametrize("case", [one for one in WITH_COOKIE if one.inside], ids=str)
async def test_inside_a_login_at_an_undeclared_path_is_held_and_the_session_put_back(case: Case, wrapped: Wrapped):
    site = wrapped(case)
    client = site.client()
    await client.get("/visit")
    answer = await client.post("/reset")
    assert answer.code == "mfa_required"
    await site.nobody_is_in()
    assert (await client.get("/me")).json["cart"] == {"items": ["tea"]}
    other = site.client()
    await other.get("/visit")
    released = await site.verify(other, answer)
    assert released.status == 303
    assert (await other.get("/me")).json == {"user": "alice", "cart": {"items": ["poison"]}}
    assert await client.who() is None


async def _sign_in_anew(request: Request) -> None:
    """As careful apps do: nothing of the anonymous session stays, and the id is another."""
    request.session.clear()
    request.session["user_id"] = "alice"
    if "session_handler" in request.scope:
        regenerate_session_id(request)


async def _sign_in_by_another_dict(request: Request) -> None:
    request.scope["session"] = {"user_id": "alice"}


async def _sign_in_deeply(request: Request) -> None:
    request.session["cart"]["items"].append("poison")
    request.session["user_id"] = "alice"


async def _sign_in_and_save(request: Request) -> None:
    request.session["user_id"] = "alice"
    if "session_handler" in request.scope:
        await get_session_handler(request).save(3600)


@pytest.mark.parametrize(
    ("build", "sign_in"),
    [
        (build, sign_in)
        for build in (starlette_signed, starsessions, starsessions_loaded)
        for sign_in in (_sign_in_anew, _sign_in_by_another_dict, _sign_in_deeply, _sign_in_and_save)
    ],
)
@pytest.mark.parametrize("path", ["/login", "/magic"])
async def test_inside_however_the_app_signs_in_the_session_is_put_back(
    build: Any, sign_in: Any, path: str, wrapped: Wrapped
):
    if sign_in is _sign_in_by_another_dict and build is starlette_signed:
        pytest.skip("Starlette 1.10 itself fails on a plain dict")

    def signing_in(middleware: Any) -> Any:
        inner: Any = None

        async def endpoint(scope: Any, receive: Any, send: Any) -> None:
            if scope["path"] != path:
                await inner(scope, receive, send)
                return
            request = Request(scope, receive)
            if "session_handler" in scope:
                await load_session(request)
            await sign_in(request)
            await Response("welcome")(scope, receive, send)

        def around(app: App) -> Any:
            nonlocal inner
            inner = app
            return middleware(endpoint)

        return build(around)

    site = wrapped(signing_in, inside=True, login_user="session:user_id")
    client = site.client()
    await client.get("/visit")
    known = dict(client.cookies)
    answer = await site.login(client, path)
    assert answer.code in ("mfa_required", "login_not_held")
    assert (await client.get("/me")).json == {"user": None, "cart": {"items": ["tea"]}}
    other = site.client(cookies=known)
    assert await other.who() is None
    if answer.code == "mfa_required":
        await site.verify(client, answer)
        assert await client.who() == "alice"
        assert await site.client(cookies=known).who() is None or build is starlette_signed


async def test_outside_a_session_further_in_is_seen_though_a_middleware_copies_the_scope(wrapped: Wrapped):
    """``session:`` from outside reads what the app left in the scope; one that works on a copy leaves nothing."""
    inner = starlette_signed()

    async def copying(scope: Any, receive: Any, send: Any) -> None:
        await inner(dict(scope), receive, send)

    site = wrapped(copying, login_user="session:user_id", request_user="whoami:/me#/user")
    client = site.client()
    answer = await site.login(client)
    assert answer.code in ("mfa_required", "login_not_held", "misconfigured")
    assert client.cookies == {}


@pytest.mark.parametrize(("signs_in", "kept"), [(True, {"cart": ["tea"]}), (False, {"cart": ["tea"], "seen": 1})])
async def test_inside_an_app_that_raises_leaves_a_session_without_the_login_and_with_all_else(
    signs_in: bool, kept: dict[str, Any], wrapped: Wrapped
):
    """An error may be answered between us and the session middleware, which saves what stands there then."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["session"]["seen"] = 1
        if signs_in:
            scope["session"]["user_id"] = "alice"
        raise RuntimeError("broken")

    site = wrapped(app, login_user="session:user_id")
    session = {"cart": ["tea"]}
    scope = {**http_scope("GET", "/anywhere"), "session": session}
    with pytest.raises(RuntimeError):
        await site.app(scope, None, None)
    assert session == kept
