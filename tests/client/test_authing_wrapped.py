"""Authing's methods against the example user pool, wrapped with that dialect: synchronous and asynchronous."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from examples.authing_user_pool import VARIABLES
from examples.authing_user_pool.app import app, pool
from examples.authing_user_pool.pool import User
from mfa_middleware.client.authing import AsyncAuthingClient, AuthingClient, AuthingError, MFARequired, data_of
from mfa_middleware.testing import VirtualAuthenticator
from tests.client.conftest import WRONG, now
from tests.client.test_document import LOG_IN, Person
from tests.world import earlier_code

POOL = {name.removeprefix("MFA_").lower(): value for name, value in VARIABLES.items() if name != "MFA_APP"}


@dataclass
class Alice:
    """A user of the pool, and her program."""

    http: Any
    authing: Any
    user: User

    async def login(self) -> httpx2.Response:
        body = {"username": self.user.username, "password": self.user.password}
        return await now(self.http.post("/api/v2/ldap/verify-user", json=body))  # type: ignore[no-any-return]

    async def sign_in(self) -> None:
        """Without a second factor."""
        self.authing.bearer = data_of(await self.login())["token"]

    async def held(self) -> MFARequired:
        with pytest.raises(MFARequired) as held:
            data_of(await self.login())
        return held.value


@pytest.fixture
def make_alice(make_place, request):
    async def make(**settings: object) -> Alice:
        place = await make_place(app, **POOL | settings)
        place.http.headers.pop("X-User")
        kind = AuthingClient if isinstance(place.http, httpx2.Client) else AsyncAuthingClient
        user = pool.add(User(password="wonderland", username=request.node.name))
        return Alice(place.http, kind(place.http), user)

    return make


async def refused(call: Any, code: int) -> None:
    with pytest.raises(AuthingError) as error:
        await now(call())
    assert error.value.code == code


async def test_a_user_binds_and_logs_in_by_code_and_by_recovery_code(make_alice):
    alice = await make_alice()
    authing = alice.authing
    await alice.sign_in()
    assert await now(authing.get_mfa_authenticators()) == ()

    bound = await now(authing.assosicate_mfa_authenticator(authenticator_type="totp"))
    phone = VirtualAuthenticator(bound.qrcode_uri)
    assert bound.secret in bound.qrcode_uri
    assert bound.qrcode_data_url.startswith("data:image/png;base64,")
    await refused(lambda: authing.confirm_assosicate_mfa_authenticator(totp=WRONG), 400)
    assert await now(authing.confirm_assosicate_mfa_authenticator(totp=earlier_code(phone))) is None
    [one] = await now(authing.get_mfa_authenticators(type="totp"))
    assert (one.user_id, one.enable, one.authenticator_type) == (alice.user.id, True, "totp")
    assert (one.secret, one.recovery_code) == ("", "")

    authing.bearer = ""
    held = await alice.held()
    assert held.data["totpMfaEnabled"] is True
    await refused(lambda: authing.verify_totp_mfa(totp=WRONG, mfa_token=held.mfa_token), 6001)
    login = await now(authing.verify_totp_mfa(totp=phone.code(), mfa_token=held.mfa_token))
    assert login.user["id"] == alice.user.id
    await refused(lambda: authing.verify_totp_mfa(totp=phone.code(), mfa_token=held.mfa_token), 2021)

    token = (await alice.held()).mfa_token
    wrong = "0000-0000-0000-0000-0000-0000"
    await refused(lambda: authing.verify_totp_recovery_code(recovery_code=wrong, mfa_token=token), 6002)
    again = await now(authing.verify_totp_recovery_code(recovery_code=bound.recovery_code, mfa_token=token))
    assert again.recovery_code not in ("", bound.recovery_code)

    authing.bearer = again.token
    assert await now(authing.delete_mfa_authenticator()) is None
    assert await now(authing.get_mfa_authenticators()) == ()
    await alice.sign_in()


async def test_a_login_that_demands_a_binding_is_released_by_its_confirmation(make_alice):
    alice = await make_alice(enrolment="required")
    held = await alice.held()
    assert held.data["totpMfaEnabled"] is False
    bound = await now(alice.authing.assosicate_mfa_authenticator(mfa_token=held.mfa_token))
    code = VirtualAuthenticator(bound.qrcode_uri).code()
    login = await now(alice.authing.confirm_assosicate_mfa_authenticator(totp=code, mfa_token=held.mfa_token))
    assert (login.user["id"], bool(login.token)) == (alice.user.id, True)


async def test_a_user_is_locked(make_alice):
    alice = await make_alice(user_failures=1)
    await alice.sign_in()
    bound = await now(alice.authing.assosicate_mfa_authenticator())
    phone = VirtualAuthenticator(bound.qrcode_uri)
    await now(alice.authing.confirm_assosicate_mfa_authenticator(totp=earlier_code(phone)))
    alice.authing.bearer = ""
    for code, number in ((WRONG, 6001), (phone.code(), 2057)):
        token = (await alice.held()).mfa_token
        await refused(lambda code=code, token=token: alice.authing.verify_totp_mfa(code, token), number)


async def test_the_older_api(make_alice, monkeypatch):
    monkeypatch.setenv("MFA_AUTHING_LEGACY", "true")
    alice = await make_alice()
    await alice.sign_in()
    assert await now(alice.authing.query_mfa(user_id=alice.user.id)) is None
    on = await now(alice.authing.change_mfa(user_id=alice.user.id, enable=True, user_pool_id=pool.id))
    assert (on.user_id, on.user_pool_id, on.enable) == (alice.user.id, pool.id, True)
    await now(alice.authing.verify_totp_mfa(VirtualAuthenticator(on.share_key).code(), (await alice.held()).mfa_token))

    found = await now(alice.authing.query_mfa(_id=on.id, path="/graphql/v2"))
    assert (found.id, found.enable, found.share_key) == (on.id, True, None)
    anew = await now(alice.authing.change_mfa(_id=on.id, enable=True, refresh_key=True))
    assert anew.id == on.id
    assert anew.share_key not in (None, on.share_key)
    off = await now(alice.authing.change_mfa(_id=on.id, enable=False))
    assert (off.id, off.enable) == (on.id, False)

    alice.authing.bearer = ""
    await refused(lambda: alice.authing.query_mfa(user_id=alice.user.id), 2020)


@pytest.mark.parametrize("make_place", ["sync"], indirect=True)
async def test_the_document_s_program_logs_in(make_alice):
    alice = await make_alice()
    program = LOG_IN.replace('"alice"', repr(alice.user.username))
    names = {"httpx2": httpx2, "AuthingClient": AuthingClient, "MFARequired": MFARequired, "data_of": data_of}
    person = Person(first_step=-1)
    log_in = person.runs(program, "", **names)["log_in"]
    assert callable(log_in)
    first, second = log_in(alice.http), log_in(alice.http)
    for token in (first, second):
        me = alice.http.get("/api/v2/users/me", headers={"Authorization": token})
        assert data_of(me)["id"] == alice.user.id
