"""Session mode ``gate`` on every framework with cookies: what ``strip`` holds, and what it cannot leave whole."""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import quote

import pytest

from mfa_middleware import MFA
from mfa_middleware.gate import _digest
from tests.rules.apps import WITH_COOKIE, WRONG, Case
from tests.rules.conftest import Wrapped

OUTSIDE = [case for case in WITH_COOKIE if not case.inside]
CHOSEN = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize("how", ["anonymous", "chosen"])
@pytest.mark.parametrize("case", OUTSIDE, ids=str)
async def test_a_session_known_before_a_gated_login_stays_anonymous(case: Case, how: str, wrapped: Wrapped):
    site = wrapped(case, session_mode="gate")
    client = site.client()
    if how == "chosen":
        client.cookies[case.cookie] = CHOSEN
    else:
        await client.get("/visit")
    known = dict(client.cookies)
    answer = await site.login(client)
    assert answer.code == "mfa_required"
    site.client(cookies=known)
    site.client(cookies={name: quote(value).replace("a", "%61") for name, value in known.items()})
    await site.nobody_is_in()


@pytest.mark.parametrize("case", OUTSIDE, ids=str)
async def test_a_gated_login_is_released_to_who_proves_the_factor(case: Case, wrapped: Wrapped):
    """And the session that the browser had before, if the app went on with it, is the signed-in one."""
    site = wrapped(case, session_mode="gate")
    client = site.client()
    await client.get("/visit")
    challenge = await site.login(client)
    assert await client.who() is None
    await site.verify(client, challenge)
    assert await client.who() == "alice"


@pytest.mark.parametrize("case", OUTSIDE, ids=str)
async def test_a_wrong_password_costs_nobody_the_session(case: Case, wrapped: Wrapped):
    site = wrapped(case, session_mode="gate")
    client = site.client()
    await client.get("/visit")
    before = dict(client.cookies)
    wrong: dict[str, Any] = {"form": WRONG} if case.body == "form" else {"json": WRONG}
    await site.login(client, **wrong)
    assert site.told.names == []
    mfa: MFA = cast("Any", site.app).mfa
    fields = [(b"cookie", f"{name}={value}".encode()) for name, value in before.items()]
    digests = [_digest(value) for _, value in mfa.parts.session_cookies.pairs(fields)]
    assert digests
    assert await mfa.parts.core.authenticator_store.session_blocked(digests, 0.0) == frozenset()


@pytest.mark.parametrize("case", OUTSIDE, ids=str)
async def test_the_page_of_the_login_is_no_login_for_who_is_in(case: Case, wrapped: Wrapped):
    """A signed-in user who looks at the login's path again is not asked for a factor."""
    site = wrapped(case, session_mode="gate")
    client = site.client()
    await site.verify(client, await site.login(client))
    for path in ("/login", "/me", "/visit"):
        answer = await client.get(path)
        assert answer.code != "mfa_required"
        assert answer.status < 500
    assert await client.who() == "alice"
