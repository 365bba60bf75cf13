"""The client against a wrapped app: every operation of the HTTP API, synchronous and asynchronous."""

from __future__ import annotations

from datetime import UTC, datetime
from inspect import signature

import pytest

from mfa_middleware import client
from mfa_middleware.client import challenge_of, operations
from mfa_middleware.client.calling import Operation
from mfa_middleware.factor import Prepared, State
from mfa_middleware.testing import VirtualAuthenticator
from mfa_middleware.web.app import OPERATIONS
from tests.client.conftest import WRONG, now
from tests.world import NOON, LoginApp, Plugin, Word, earlier_code

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


async def enrol(place):
    """Bind an authenticator app; the code of now is still unused."""
    pending = await now(place.mfa.bind("totp", label="my phone"))
    phone = VirtualAuthenticator(pending.uri)
    confirmed = await now(place.mfa.confirm(pending.id, earlier_code(phone)))
    return phone, confirmed


def strangers_bearer(place):
    """The same user by another token, with which nothing was proven."""
    place.http.cookies.clear()
    return type(place.mfa)(place.http, bearer="another-token-of-alice-s")


# -------------------------------------------------------------------------------------------------------------- logins


async def test_a_login_without_a_second_factor_is_the_app_s_own(place):
    assert challenge_of(await place.login()) is None
    assert challenge_of(await now(place.http.get("/anything"))) is None


async def test_a_login_is_held_and_released_by_the_right_code(place):
    phone, _ = await enrol(place)
    challenge = await place.held()
    assert not challenge.must_bind
    assert challenge.expires_in == 300
    assert [(one.factor, one.label) for one in challenge.factors] == [
        ("totp", "my phone"),
        ("recovery_code", "Recovery code"),
    ]
    with pytest.raises(client.InvalidCode) as wrong:
        await now(place.mfa.verify(challenge, WRONG))
    assert (wrong.value.attempts_left, wrong.value.status) == (4, 401)

    released = await now(place.mfa.verify(challenge, phone.code()))
    assert released.json() == {"user_id": "alice", "access_token": "the-app-s-token"}
    assert place.http.cookies["session"] == "signed-in"
    with pytest.raises(client.TokenInvalid):
        await now(place.mfa.verify(challenge, phone.code(offset_steps=1)))


async def test_a_challenge_may_be_answered_by_another_factor(place):
    _, confirmed = await enrol(place)
    challenge = await place.held()
    chosen = challenge.factors[1]
    code = confirmed.recovery_codes[0]
    released = await now(
        place.mfa.verify(challenge, code, factor=chosen.factor, authenticator_id=chosen.authenticator_id)
    )
    assert released.json()["user_id"] == "alice"


async def test_a_login_whose_user_must_bind_first_is_released_after_it(make_place):
    place = await make_place(enrolment="required")
    challenge = await place.held()
    assert challenge.must_bind
    with pytest.raises(client.EnrolmentRequired):
        await now(place.mfa.release(challenge))
    pending = await now(place.mfa.bind("totp", challenge=challenge))
    code = VirtualAuthenticator(pending.secret).code()
    await now(place.mfa.confirm(pending.id, code, challenge=challenge))
    assert (await now(place.mfa.release(challenge))).json()["access_token"] == "the-app-s-token"


async def redirecting(scope, receive, send):
    """An app whose login answers with a redirection, as those with pages do."""
    assert scope["type"] == "http"
    headers = [(b"location", b"home"), (b"x-signed-in", b"alice"), (b"set-cookie", b"session=signed-in")]
    await send({"type": "http.response.start", "status": 302, "headers": headers})
    await send({"type": "http.response.body"})


async def test_a_released_redirection_is_given_and_not_followed(make_place):
    place = await make_place(redirecting, login_user="header:X-Signed-In")
    phone, _ = await enrol(place)
    place.http.follow_redirects = True
    challenge = await place.held()
    released = await now(place.mfa.verify(challenge, phone.code()))
    assert (released.status_code, str(released.next_request.url)) == (302, "http://app.example/home")


async def test_a_login_that_was_refused_is_told(make_place):
    place = await make_place(LoginApp({"user_id": "alice", "more": "x" * 2000}), held_response_limit=1024)
    with pytest.raises(client.LoginNotHeld):
        await place.held()


class Sent(Word):
    """A factor that must send something first."""

    async def challenge(self, state: State) -> Prepared:
        return Prepared({"sentTo": "a…@example.com"}, kept={})


async def test_a_factor_that_sends_something_is_asked_to(make_place):
    place = await make_place(None, Plugin(Sent()))
    pending = await now(place.mfa.bind("word"))
    await now(place.mfa.confirm(pending.id, "sesame"))
    prepared = await now(place.mfa.prepare(await place.held(), "word"))
    assert (prepared.factor, prepared.shown) == ("word", {"sentTo": "a…@example.com"})


# ------------------------------------------------------------------------------------------------- one's own factors


async def test_who_has_none_is_told_so(place):
    assert await now(place.mfa.status()) == client.Status(enabled=False, required=False, factors=())
    assert await now(place.mfa.authenticators()) == client.Authenticators((), 0)


async def test_a_binding_shows_the_secret_and_then_recovery_codes(place):
    pending = await now(place.mfa.bind("totp"))
    assert pending.uri.startswith("otpauth://")
    assert pending.secret in pending.uri
    assert pending.qr_code.startswith("data:image/")
    assert pending.expires_in > 0
    with pytest.raises(client.InvalidCode) as wrong:
        await now(place.mfa.confirm(pending.id, WRONG))
    assert (wrong.value.attempts_left, wrong.value.status) == (None, 422)
    confirmed = await now(place.mfa.confirm(pending.id, VirtualAuthenticator(pending.uri).code()))
    assert (confirmed.id, confirmed.factor, confirmed.enabled) == (pending.id, "totp", True)
    assert len(confirmed.recovery_codes) == 10


async def test_factors_are_listed_changed_and_removed(place):
    _, confirmed = await enrol(place)
    listed = await now(place.mfa.authenticators())
    assert listed.recovery_codes_left == 10
    at = datetime.fromtimestamp(NOON, UTC)
    assert listed.authenticators == (
        client.Authenticator(confirmed.id, "totp", "my phone", enabled=True, created_at=at, last_used_at=None),
    )
    status = await now(place.mfa.status())
    assert (status.enabled, status.factors[0]) == (True, "totp")

    assert (await now(place.mfa.change(confirmed.id, label="a tablet"))).label == "a tablet"
    assert not (await now(place.mfa.change(confirmed.id, enabled=False))).enabled
    assert challenge_of(await place.login()) is None

    assert await now(place.mfa.unbind(confirmed.id)) is None
    assert (await now(place.mfa.authenticators())).authenticators == ()
    with pytest.raises(client.NotFound):
        await now(place.mfa.unbind(confirmed.id))


async def test_a_secret_is_refreshed(place):
    _, confirmed = await enrol(place)
    pending = await now(place.mfa.refresh(confirmed.id))
    again = await now(place.mfa.confirm(pending.id, VirtualAuthenticator(pending.uri).code()))
    assert (again.id, again.recovery_codes) == (confirmed.id, ())


async def test_recovery_codes_are_made_anew(place):
    _, confirmed = await enrol(place)
    anew = await now(place.mfa.regenerate_codes())
    assert len(anew.recovery_codes) == 10
    assert not set(anew.recovery_codes) & set(confirmed.recovery_codes)


async def test_a_change_without_a_fresh_proof_asks_for_a_step_up(place):
    phone, confirmed = await enrol(place)
    alone = strangers_bearer(place)
    with pytest.raises(client.StepUpRequired):
        await now(alone.unbind(confirmed.id))
    challenge = await now(alone.step_up())
    assert not challenge.must_bind
    proven = await now(alone.verify(challenge, phone.code()))
    assert proven.json() == {"verified": True}
    place.http.cookies.clear()  # the token alone says it
    await now(alone.unbind(confirmed.id))


async def test_the_proof_is_kept_among_the_cookies_of_who_has_no_token(place):
    _, confirmed = await enrol(place)
    by_cookie = type(place.mfa)(place.http)
    assert (await now(by_cookie.change(confirmed.id, label="a tablet"))).label == "a tablet"


# ------------------------------------------------------------------------------------------------------------- admins


async def test_an_admin_sees_and_changes_any_user_s_factors(place):
    imported = await now(
        place.admin.import_secret("alice", "totp", SECRET, label="old", recovery_codes=["abcd-efgh-ijkl-mnop-qrst"])
    )
    assert (imported.factor, imported.label, imported.enabled) == ("totp", "old", True)
    listed = await now(place.admin.authenticators("alice"))
    assert (listed.authenticators, listed.recovery_codes_left) == ((imported,), 1)
    assert not (await now(place.admin.change("alice", imported.id, enabled=False))).enabled
    assert (await now(place.admin.change("alice", imported.id, enabled=True, label="new"))).label == "new"
    assert await now(place.admin.unbind("alice", imported.id)) is None
    assert (await now(place.admin.authenticators("alice"))).authenticators == ()


async def test_an_admin_resets_and_unlocks(make_place):
    place = await make_place(user_failures=1)
    phone, _ = await enrol(place)
    challenge = await place.held()
    with pytest.raises(client.InvalidCode):
        await now(place.mfa.verify(challenge, WRONG))
    with pytest.raises(client.TooManyAttempts) as locked:
        await now(place.mfa.verify(await place.held(), phone.code()))
    assert locked.value.retry_after == 900

    assert await now(place.admin.unlock("alice")) is None
    await now(place.mfa.verify(await place.held(), phone.code()))
    assert await now(place.admin.reset("alice")) is None
    assert challenge_of(await place.login()) is None


@pytest.mark.parametrize("user_id", [7, "a/b", "a b?c#d%2F", "ünï", "..a"])
async def test_a_user_s_id_may_be_any_text(place, user_id):
    await now(place.admin.import_secret(user_id, "totp", SECRET))
    assert len((await now(place.admin.authenticators(user_id))).authenticators) == 1
    assert (await now(place.admin.authenticators("alice"))).authenticators == ()


async def test_who_is_no_admin_is_refused(place):
    nobody = type(place.admin)(place.http, bearer="the-admin-token-of-another-app")
    with pytest.raises(client.NotSignedIn):
        await now(nobody.reset("alice"))


# --------------------------------------------------------------------------------------------------------- everything


def described() -> set[str]:
    """All operations that the clients have, as the server names them."""
    some = {"challenge": client.Challenge("t", 1, ()), "factor": "f", "authenticator_id": "{id}", "user_id": "{userId}"}
    some |= {"code": "c", "secret": "s"}
    found = set()
    for kind in (client.MFAClient, client.MFAAdminClient):
        for method in vars(kind).values():
            if describe := getattr(method, "_describe", None):
                given = {name: some[name] for name in signature(describe).parameters if name in some}
                one: Operation[object] = describe(**given)
                found.add(f"{one.method} {one.path.replace('%7B', '{').replace('%7D', '}')}")
    return found


def test_the_clients_have_each_operation_of_the_server():
    assert described() == {f"{one.method} {one.path}" for one in OPERATIONS}


@pytest.mark.parametrize("name", ["MFAClient", "MFAAdminClient"])
def test_both_clients_have_the_same_methods(name):
    def methods(kind: type) -> dict[str, object]:
        return {name: one._describe for name, one in vars(kind).items() if hasattr(one, "_describe")}

    assert methods(getattr(client, name)) == methods(getattr(client, f"Async{name}")) != {}


async def test_no_result_shows_a_secret_a_code_or_a_token(place):
    pending = await now(place.mfa.bind("totp"))
    code = earlier_code(VirtualAuthenticator(pending.uri))
    confirmed = await now(place.mfa.confirm(pending.id, code))
    challenge = await place.held()
    anew = await now(place.mfa.regenerate_codes())
    described_one = operations.verify(challenge, code)
    results = [pending, confirmed, challenge, anew, described_one, place.mfa]
    secrets = [pending.secret, pending.uri, code, challenge.mfa_token, anew.recovery_codes[0]]
    secrets += [*confirmed.recovery_codes, "alice-s-own-token"]
    assert [one for one in secrets if one in repr(results)] == []
    with pytest.raises(client.InvalidRequest) as refused:
        await now(place.mfa.verify(challenge, code * 1000))
    assert [one for one in secrets if one in f"{refused.value!r} {refused.value}"] == []
    assert [one.field for one in refused.value.errors] == ["code"]
