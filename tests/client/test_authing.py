"""Authing's methods: what each sends, and what it makes of the dialect's answers. Without a server."""

from __future__ import annotations

import json
from urllib.parse import parse_qsl

import httpx2
import pytest

from mfa_middleware import client
from mfa_middleware.client.authing import (
    AsyncAuthingClient,
    AuthingClient,
    AuthingError,
    LoggedIn,
    MFARequired,
    UserMFA,
    data_of,
)
from tests.client.test_answers import STRANGE, Canned, sent

USER = {"id": "1", "username": "alice", "token": "the-app-s-token"}
TIMES = {"createdAt": "2026-01-01T00:00:00.000Z", "updatedAt": "2026-01-01T00:00:00.000Z"}
ROW = {"id": "a", **TIMES, "userId": "1", "enable": True, "authenticatorType": "totp", "secret": "", "recoveryCode": ""}
ASSOCIATION = {
    "authenticator_type": "totp",
    "secret": "SECRET-ONE",
    "qrcode_uri": "otpauth://totp/SECRET-ONE",
    "qrcode_data_url": "data:image/png;base64,U0VDUkVU",
    "recovery_code": "aaaa-bbbb-cccc-dddd-eeee-ffff",
}
LEGACY = {"_id": "m", "userId": "1", "userPoolId": "p", "shareKey": "SECRET-TWO", "enable": True}
CHALLENGE = {"mfaToken": "the-mfa-token", "username": "alice", "totpMfaEnabled": True}


def envelope(data: object = None, code: int = 200, status: int = 200, **more: object) -> httpx2.Response:
    return httpx2.Response(status, json={"code": code, "message": "as it went", "data": data, **more})


def graphql(name: str, data: object) -> httpx2.Response:
    return httpx2.Response(200, json={"data": {name: data}})


def told(code: int, data: object = None) -> httpx2.Response:
    """An error by GraphQL: its message is an object."""
    message = {"code": code, "message": "as it went", "data": data}
    return httpx2.Response(200, json={"errors": [{"message": message}], "data": {"login": None}})


def asking(answer: httpx2.Response) -> tuple[Canned, AuthingClient]:
    http = Canned(answer)
    return http, AuthingClient(http, bearer="alice-s")


def body(http: Canned) -> object:
    return json.loads(sent(http).content)


def line(http: Canned) -> tuple[str, str, str]:
    one = sent(http)
    return one.method, one.url.path, one.headers["authorization"]


def test_get_mfa_authenticators():
    http, authing = asking(envelope([ROW]))
    [one] = authing.get_mfa_authenticators(type="totp")
    assert (one.id, one.user_id, one.enable, one.secret, one.authenticator_type) == ("a", "1", True, "", "totp")
    assert line(http) == ("GET", "/api/v2/mfa/authenticator", "Bearer alice-s")
    assert dict(parse_qsl(sent(http).url.query.decode())) == {"type": "totp", "source": "SELF"}
    authing.get_mfa_authenticators(mfa_token="the-mfa-token")
    assert sent(http).headers["authorization"] == "Bearer the-mfa-token"


def test_assosicate_mfa_authenticator():
    http, authing = asking(envelope(ASSOCIATION))
    one = authing.assosicate_mfa_authenticator(authenticator_type="totp", source="APPLICATION")
    assert {name: getattr(one, name) for name in ASSOCIATION} == ASSOCIATION
    assert line(http) == ("POST", "/api/v2/mfa/totp/associate", "Bearer alice-s")
    assert body(http) == {"authenticator_type": "totp", "source": "APPLICATION"}


def test_confirm_assosicate_mfa_authenticator():
    http, authing = asking(envelope())
    assert authing.confirm_assosicate_mfa_authenticator(totp="123456") is None
    assert line(http) == ("POST", "/api/v2/mfa/totp/associate/confirm", "Bearer alice-s")
    assert body(http) == {"authenticator_type": "totp", "totp": "123456", "source": "SELF"}

    http, authing = asking(envelope(USER))
    released = authing.confirm_assosicate_mfa_authenticator(totp="123456", mfa_token="the-mfa-token")
    assert released == LoggedIn(USER)
    assert sent(http).headers["authorization"] == "Bearer the-mfa-token"

    _, authing = asking(envelope(code=400, status=400))
    with pytest.raises(AuthingError) as wrong:
        authing.confirm_assosicate_mfa_authenticator(totp="000000")
    assert (wrong.value.code, wrong.value.status) == (400, 400)


def test_delete_mfa_authenticator():
    http, authing = asking(envelope())
    assert authing.delete_mfa_authenticator() is None
    assert line(http) == ("DELETE", "/api/v2/mfa/totp/associate", "Bearer alice-s")
    assert sent(http).content == b""


def test_verify_totp_mfa():
    http, authing = asking(envelope(USER))
    login = authing.verify_totp_mfa(totp="123456", mfa_token="the-mfa-token")
    assert (login.user, login.token, login.recovery_code) == (USER, "the-app-s-token", "")
    assert line(http) == ("POST", "/api/v2/mfa/totp/verify", "Bearer the-mfa-token")
    assert body(http) == {"totp": "123456"}


def test_verify_totp_recovery_code():
    http, authing = asking(envelope(USER, recoveryCode="the-new-one"))
    login = authing.verify_totp_recovery_code(recovery_code="the-old-one", mfa_token="the-mfa-token")
    assert (login.token, login.recovery_code) == ("the-app-s-token", "the-new-one")
    assert line(http) == ("POST", "/api/v2/mfa/totp/recovery", "Bearer the-mfa-token")
    assert body(http) == {"recoveryCode": "the-old-one"}


def test_query_mfa():
    http, authing = asking(graphql("queryMFA", LEGACY))
    assert authing.query_mfa(user_id="1", user_pool_id="p") == UserMFA(
        "m", "1", "p", enable=True, share_key="SECRET-TWO"
    )
    assert line(http) == ("POST", "/graphql", "Bearer alice-s")
    asked = body(http)
    assert isinstance(asked, dict)
    assert asked["variables"] == {"_id": None, "userId": "1", "userPoolId": "p"}
    assert asking(graphql("queryMFA", None))[1].query_mfa(_id="m") is None


def test_change_mfa():
    http, authing = asking(graphql("changeMFA", {**LEGACY, "shareKey": None, "enable": False}))
    changed = authing.change_mfa(user_id="1", enable=False, path="/graphql/v2")
    assert changed == UserMFA("m", "1", "p", enable=False)
    asked = body(http)
    assert isinstance(asked, dict)
    assert asked["variables"] == {
        "_id": None,
        "userId": "1",
        "userPoolId": None,
        "enable": False,
        "refreshKey": False,
    }
    assert sent(http).url.path == "/graphql/v2"


async def test_the_asynchronous_client_has_the_same_methods():
    def methods(kind: type) -> dict[str, object]:
        return {name: one._describe for name, one in vars(kind).items() if hasattr(one, "_describe")}

    assert methods(AuthingClient) == methods(AsyncAuthingClient)
    assert len(methods(AuthingClient)) == 8
    transport = httpx2.MockTransport(lambda request: envelope(USER))
    async with httpx2.AsyncClient(transport=transport, base_url="http://app.example") as http:
        login = await AsyncAuthingClient(http).verify_totp_mfa(totp="123456", mfa_token="the-mfa-token")
        assert login.token == "the-app-s-token"


# ---------------------------------------------------------------------------------------------------- logins, errors


@pytest.mark.parametrize("answer", [envelope(CHALLENGE, code=1635), told(1635, CHALLENGE)], ids=["REST", "GraphQL"])
def test_a_held_login_gives_its_token(answer):
    with pytest.raises(MFARequired) as held:
        data_of(answer)
    assert isinstance(held.value, client.ClientError)
    assert (held.value.code, held.value.mfa_token, held.value.data) == (1635, "the-mfa-token", CHALLENGE)
    assert "the-mfa-token" not in f"{held.value!r} {held.value}"


def test_another_login_is_the_app_s_own():
    assert data_of(envelope(USER)) == USER
    assert data_of(graphql("login", USER)) == {"login": USER}


@pytest.mark.parametrize("answer", [envelope(code=2333), told(2333)], ids=["REST", "GraphQL"])
def test_a_wrong_password_is_an_error(answer):
    with pytest.raises(AuthingError, match="2333: as it went") as wrong:
        data_of(answer)
    assert not isinstance(wrong.value, MFARequired)


def test_an_error_of_an_app_s_graphql_may_be_a_text():
    with pytest.raises(AuthingError, match="no such field") as wrong:
        data_of(httpx2.Response(400, json={"errors": [{"message": "no such field"}]}))
    assert (wrong.value.code, wrong.value.status) == (0, 400)


@pytest.mark.parametrize("code", [6001, 6002, 2021, 2057])
def test_each_refusal_has_its_number(code):
    _, authing = asking(envelope(code=code))
    with pytest.raises(AuthingError) as refused:
        authing.verify_totp_mfa(totp="000000", mfa_token="the-mfa-token")
    assert (refused.value.code, refused.value.message, refused.value.data) == (code, "as it went", None)


@pytest.mark.parametrize("answer", STRANGE.values(), ids=STRANGE)
def test_what_is_no_envelope_is_said_to_be_none(answer):
    _, authing = asking(answer)
    for call in (
        authing.delete_mfa_authenticator,
        authing.get_mfa_authenticators,
        authing.assosicate_mfa_authenticator,
        lambda: authing.confirm_assosicate_mfa_authenticator("123456"),
        lambda: authing.verify_totp_mfa("123456", "the-mfa-token"),
        lambda: authing.query_mfa(user_id="1"),
        lambda: data_of(answer),
    ):
        with pytest.raises(client.UnexpectedAnswer) as caught:
            call()
        assert "the-secret" not in repr(caught.value)


def test_an_envelope_that_holds_something_else_is_none_either():
    _, authing = asking(envelope({"secret": "SECRET-ONE"}))
    with pytest.raises(client.UnexpectedAnswer) as caught:
        authing.assosicate_mfa_authenticator()
    assert "SECRET-ONE" not in f"{caught.value!r} {caught.value}"
    assert caught.value.__suppress_context__


def test_no_result_shows_a_secret_a_code_or_a_token():
    results = [
        asking(envelope([{**ROW, "secret": "SECRET-ONE", "recoveryCode": "aaaa"}]))[1].get_mfa_authenticators(),
        asking(envelope(ASSOCIATION))[1].assosicate_mfa_authenticator(),
        asking(envelope(USER, recoveryCode="aaaa"))[1].verify_totp_mfa("1", "2"),
        asking(graphql("queryMFA", LEGACY))[1].query_mfa(user_id="1"),
    ]
    shown = repr(results)
    assert [one for one in ("SECRET", "aaaa", "the-app-s-token", "otpauth", "U0VDUkVU") if one in shown] == []
