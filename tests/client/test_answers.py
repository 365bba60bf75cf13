"""Whatever answers, the client gives what was promised or an error of its tree; how it sends. Without a server."""

from __future__ import annotations

import asyncio
import json
import pickle
from typing import Any, assert_type

import httpx2
import pytest

from mfa_middleware import client, errors
from mfa_middleware.client import AsyncMFAClient, Challenge, FactorChoice, MFAAdminClient, MFAClient, challenge_of
from mfa_middleware.client.calling import segment
from mfa_middleware.dialects.native import problem

CHALLENGE = Challenge("the-token", 300, (FactorChoice("totp", "1", "my phone"),))
TRACE = "0af7651916cd43dd8448eb211c80319c"
PROBLEM = {"content-type": "application/problem+json"}
HTML = httpx2.Response(502, html="<h1>Bad Gateway</h1>")
REFUSALS = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.Refusal)][1:]
GIVEN: dict[Any, dict[str, Any]] = {
    errors.InvalidCode: {"attempts_left": 3},
    errors.InvalidRequest: {"errors": [("code", "is too long")]},
    errors.TooManyAttempts: {"retry_after": 42},
    errors.Unavailable: {"retry_after": 42},
}


class Canned(httpx2.Client):
    """A server that always answers so, and keeps the requests."""

    def __init__(self, response: httpx2.Response, base_url: str = "http://app.example", auth: Any = None) -> None:
        self.requests: list[httpx2.Request] = []
        super().__init__(transport=httpx2.MockTransport(self._answer), base_url=base_url, auth=auth)
        self._response = response

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        one = self._response
        return httpx2.Response(one.status_code, headers=one.headers, content=one.content)


def document(
    code: str, status: int = 400, *, kind: str = "application/problem+json", **more: object
) -> httpx2.Response:
    return httpx2.Response(status, content=json.dumps({"code": code, **more}), headers={"content-type": kind})


def refused(error: errors.Refusal) -> httpx2.Response:
    """As the server says it."""
    answer = problem(error, trace_id=TRACE)
    return httpx2.Response(answer.status, headers=list(answer.headers), content=answer.body)


# ------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("kind", REFUSALS, ids=lambda kind: kind.__name__)
def test_each_refusal_of_the_server_has_an_error_with_its_evidence(kind):
    mfa = MFAClient(Canned(refused(kind("the reason", **GIVEN.get(kind, {})))))
    with pytest.raises(getattr(client, kind.__name__)) as caught:
        mfa.status()
    error = caught.value
    assert isinstance(error, client.Refused)
    assert isinstance(error, errors.MFAError)
    assert (error.code, error.trace_id, str(error)) == (kind.code, TRACE, f"{kind.code}: {kind.message}")
    assert error.status >= 400
    match error:
        case client.InvalidCode():
            assert error.attempts_left == 3
        case client.InvalidRequest():
            assert error.errors == (client.FieldError("code", "is too long"),)
        case client.TooManyAttempts() | client.Unavailable():
            assert error.retry_after == 42


def test_no_error_is_for_a_code_that_the_server_has_not():
    assert set(client.Refused.by_code) == {kind.code for kind in REFUSALS}


def test_an_error_survives_a_process_boundary():
    with pytest.raises(client.TooManyAttempts) as caught:
        MFAClient(Canned(refused(errors.TooManyAttempts("", retry_after=42)))).status()
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), again.retry_after, str(again)) == (client.TooManyAttempts, 42, str(caught.value))


def test_a_code_that_is_not_known_is_a_refusal_all_the_same():
    with pytest.raises(client.Refused) as caught:
        MFAClient(Canned(document("of_tomorrow", 409, detail="Not yet."))).status()
    assert type(caught.value) is client.Refused
    assert (caught.value.code, caught.value.status, str(caught.value)) == ("of_tomorrow", 409, "of_tomorrow: Not yet.")


@pytest.mark.parametrize(
    "after", ["", "soon", "Wed, 21 Oct 2026 07:28:00 GMT", "-1", "1.5", "9" * 5000], ids=lambda text: text[:20]
)
def test_what_says_when_to_come_back_may_be_anything(after):
    answer = document("unavailable", 503)
    answer.headers["retry-after"] = after
    with pytest.raises(client.Unavailable) as caught:
        MFAClient(Canned(answer)).status()
    assert caught.value.retry_after == 1


STRANGE = {
    "a proxy's page": HTML,
    "a page": httpx2.Response(200, html="<h1>Welcome</h1>"),
    "nothing": httpx2.Response(200),
    "a redirection": httpx2.Response(302, headers={"location": "/login"}),
    "another app": httpx2.Response(404, json={"detail": "Not Found"}),
    "a list": httpx2.Response(200, json=[]),
    "another shape": httpx2.Response(200, json={"factors": "the-secret"}),
    "no UTF-8": httpx2.Response(200, content=b"\xff"),
    "no problem document": httpx2.Response(404, json={"code": "not_found"}),
    "a problem of another shape": document("not_found", 404, detail=["the-secret"]),
    "a problem without a code": httpx2.Response(500, content=b"{}", headers=PROBLEM),
    "a problem that is no JSON": httpx2.Response(500, content=b"{", headers=PROBLEM),
}


@pytest.mark.parametrize("answer", STRANGE.values(), ids=STRANGE)
def test_what_is_no_answer_of_the_server_is_said_to_be_none(answer):
    mfa, admin = MFAClient(Canned(answer)), MFAAdminClient(Canned(answer))
    calls = (mfa.status, mfa.authenticators, mfa.step_up, lambda: mfa.bind("totp"), lambda: mfa.unbind("1"))
    answering = (
        lambda: mfa.verify(CHALLENGE, "1"),
        lambda: mfa.release(CHALLENGE),
        lambda: mfa.prepare(CHALLENGE, "f"),
    )
    for call in (*calls, *answering, lambda: admin.reset("alice")):
        with pytest.raises(client.UnexpectedAnswer) as caught:
            call()
        assert (caught.value.status, caught.value.response.content) == (answer.status_code, answer.content)
        assert str(answer.status_code) in str(caught.value)
        assert "the-secret" not in f"{caught.value} {caught.value!r}"
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_field_that_is_new_does_no_harm():
    body = {"enabled": True, "required": False, "factors": ["totp"], "since": 1}
    status = MFAClient(Canned(httpx2.Response(200, json=body))).status()
    assert status == client.Status(enabled=True, required=False, factors=("totp",))


def test_a_released_login_is_known_by_its_proof_and_may_be_any_answer():
    """An app may answer a login with 403 and a problem of its own, and sign the user in all the same."""
    own = document("token_invalid", 403)
    own.headers["set-cookie"] = "mfa_assurance=x"
    assert MFAClient(Canned(own)).verify(CHALLENGE, "123456").json() == {"code": "token_invalid"}
    with pytest.raises(client.TokenInvalid):
        MFAClient(Canned(document("token_invalid", 403))).verify(CHALLENGE, "123456")


# ------------------------------------------------------------------------------------------------------------- logins


OWN = {
    "a proxy's page": HTML,
    "no problem document": httpx2.Response(401, json={"code": "mfa_required"}),
    "another shape": httpx2.Response(401, json={"detail": "wrong password"}),
    "its own code": document("wrong_password", 401),
    "without a trace id": document("unavailable", 503),
    "what no login is refused with": document("not_found", 404, traceId=TRACE),
}


@pytest.mark.parametrize("answer", OWN.values(), ids=OWN)
def test_an_answer_of_the_app_s_own_is_no_challenge(answer):
    assert challenge_of(answer) is None


@pytest.mark.parametrize("kind", [errors.LoginNotHeld, errors.Misconfigured, errors.Unavailable, errors.CrossOrigin])
def test_a_login_that_was_neither_held_nor_let_through_is_an_error(kind):
    with pytest.raises(getattr(client, kind.__name__)):
        challenge_of(refused(kind("the reason")))


def test_a_challenge_without_what_it_needs_is_no_answer_of_the_server():
    with pytest.raises(client.UnexpectedAnswer):
        challenge_of(document("mfa_required", 401))


# ------------------------------------------------------------------------------------------------------------ sending


def sent(http: Canned) -> httpx2.Request:
    return http.requests[-1]


VERIFIED = httpx2.Response(200, json={"verified": True}, headers={"set-cookie": "mfa_assurance=x"})


def test_only_what_was_given_is_sent():
    http = Canned(VERIFIED)
    MFAClient(http).verify(CHALLENGE, "123456")
    assert json.loads(sent(http).content) == {"mfaToken": "the-token", "factor": "totp", "code": "123456"}
    assert sent(http).headers["accept"] == "application/json"
    assert "authorization" not in sent(http).headers
    MFAClient(http).verify(CHALLENGE, "x", factor="other", authenticator_id="2")
    assert json.loads(sent(http).content) == {
        "mfaToken": "the-token",
        "factor": "other",
        "code": "x",
        "authenticatorId": "2",
    }


@pytest.mark.parametrize(
    ("base", "mount", "url"),
    [
        ("http://app.example", "/mfa", "http://app.example/mfa/verify"),
        ("http://app.example/below/", "/second/factor/", "http://app.example/below/second/factor/verify"),
        ("http://app.example", "", "http://app.example/verify"),
        ("", "https://auth.example/mfa", "https://auth.example/mfa/verify"),
    ],
)
def test_the_api_may_stand_anywhere(base, mount, url):
    http = Canned(VERIFIED, base_url=base)
    MFAClient(http, mount=mount).verify(CHALLENGE, "123456")
    assert str(sent(http).url) == url


def test_a_bearer_token_goes_before_what_the_http_client_sends_by_itself():
    http = Canned(VERIFIED, auth=("alice", "wonderland"))
    MFAClient(http).verify(CHALLENGE, "123456")
    assert sent(http).headers["authorization"].startswith("Basic ")
    MFAClient(http, bearer="a-token").verify(CHALLENGE, "123456")
    assert sent(http).headers["authorization"] == "Bearer a-token"


@pytest.mark.parametrize("text", ["", ".", ".."])
def test_an_id_that_would_name_another_path_is_refused_before_it_is_sent(text):
    """A reset, say, where one authenticator was to be removed."""
    http = Canned(httpx2.Response(204))
    with pytest.raises(ValueError, match="cannot stand in a path"):
        MFAAdminClient(http).unbind("alice", text)
    with pytest.raises(ValueError, match="cannot stand in a path"):
        MFAAdminClient(http).reset(text)
    assert http.requests == []
    assert segment("a/../b?#") == "a%2F..%2Fb%3F%23"


def test_what_the_network_does_is_raised_as_it_is():
    def refuse(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused", request=request)

    with httpx2.Client(transport=httpx2.MockTransport(refuse), base_url="http://app.example") as http:
        with pytest.raises(httpx2.TransportError):
            MFAClient(http).status()


def test_the_types_are_those_of_the_operations():
    """A type checker says so; here it runs as well."""

    async def awaited() -> None:
        async with httpx2.AsyncClient(transport=httpx2.MockTransport(lambda _: VERIFIED), base_url="http://a") as http:
            mfa = AsyncMFAClient(http)
            assert_type(await mfa.verify(CHALLENGE, "123456", factor="totp"), httpx2.Response)

    http = Canned(VERIFIED)
    assert_type(MFAClient(http).verify(CHALLENGE, "123456"), httpx2.Response)
    asyncio.run(awaited())
    with pytest.raises(TypeError):
        MFAClient(http).verify(CHALLENGE)  # type: ignore[call-arg]


def test_help_tells_of_each_method():
    assert "Answer a challenge" in (MFAClient(Canned(HTML)).verify.__doc__ or "")
