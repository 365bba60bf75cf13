"""The dialect ``native``: JSON in camelCase, errors as problem documents (RFC 9457), pages for browsers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from http import HTTPStatus

from mfa_middleware.cookies import set_cookie_header
from mfa_middleware.dialects import WireAnswer
from mfa_middleware.errors import (
    CrossOrigin,
    EnrolmentRequired,
    Forbidden,
    InvalidCode,
    InvalidRequest,
    LoginNotHeld,
    Misconfigured,
    NotFound,
    NotSignedIn,
    Refusal,
    StepUpRequired,
    TokenInvalid,
    TooLarge,
    TooManyAttempts,
    Unavailable,
)
from mfa_middleware.held_login import HeldLogin
from mfa_middleware.models import Challenge, FactorChoice, Purpose
from mfa_middleware.passage import Scope
from mfa_middleware.response_body import header
from mfa_middleware.translations import language_of, marked, translated

STATUS: Mapping[type[Refusal], int] = {
    InvalidCode: 401,
    TokenInvalid: 401,
    NotSignedIn: 401,
    EnrolmentRequired: 403,
    StepUpRequired: 403,
    CrossOrigin: 403,
    Forbidden: 403,
    NotFound: 404,
    TooLarge: 413,
    InvalidRequest: 422,
    TooManyAttempts: 429,
    LoginNotHeld: 500,
    Misconfigured: 500,
    Unavailable: 503,
}
_MFA_REQUIRED = ("mfa_required", marked("Prove a second factor to finish logging in."))
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode  # json.dumps would make one each time
_ENROLMENT_REQUIRED = ("mfa_enrolment_required", EnrolmentRequired.message)


class Native:
    """The dialect that is there without any plugin. ``locale`` wins over the language that a request asks for."""

    name = "native"

    def __init__(self, locale: str = "") -> None:
        self._locale = locale

    def challenge(self, challenge: Challenge, scope: Scope, *, mount: str, held: HeldLogin) -> WireAnswer:
        """401 with the mfaToken and the ways to answer; for a browser 303 to the page that asks."""
        if wants_html(scope):
            page = "enrol" if challenge.purpose is Purpose.ENROLMENT else "challenge"
            cookie = mfa_token_cookie(scope, challenge.mfa_token, max_age=challenge.expires_in)
            return _answer(303, b"", (b"location", f"{mount}/{page}".encode()), cookie)
        code, title = _ENROLMENT_REQUIRED if challenge.purpose is Purpose.ENROLMENT else _MFA_REQUIRED
        document = {
            "type": "about:blank",
            "title": translated(title, language_in(scope, self._locale)),
            "status": 401,
            "code": code,
            "mfaToken": challenge.mfa_token,
            "expiresIn": challenge.expires_in,
            "factors": [factor_document(one) for one in challenge.factors],
        }
        # RFC 9470 §3: the credentials were right, and more is asked for.
        asks = b'Bearer realm="mfa", error="insufficient_user_authentication"'
        return _answer(401, _json(document), _PROBLEM, (b"www-authenticate", asks))

    def problem(self, error: Refusal, scope: Scope, *, trace_id: str) -> WireAnswer:
        """A problem document with a stable code, or for a browser the same in words. The reason stays inside."""
        language = language_in(scope, self._locale)
        answer = problem(error, trace_id=trace_id, language=language)
        if not wants_html(scope):
            return answer
        headers = tuple(pair for pair in answer.headers if pair[0] not in (b"content-type", b"content-length"))
        heading, text = (escape(translated(one, language)) for one in (_LOGIN, str(error)))
        body = _PAGE.format(language=language, heading=heading, text=text, trace=trace_id).encode()
        length = (b"content-length", b"%d" % len(body))
        return WireAnswer(answer.status, ((b"content-type", b"text/html; charset=utf-8"), *headers, length), body)


_PROBLEM = (b"content-type", b"application/problem+json")
_LOGIN = marked("Log in")
_PAGE = (
    '<!doctype html><html lang="{language}"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    '<meta name="color-scheme" content="light dark"><title>{heading}</title><h1>{heading}</h1><p>{text}</p>'
    "<p><small>{trace}</small></p>"
)


def status_of(error: Refusal) -> int:
    """The status of a refusal; of a plugin's own kind, that of the kind which it is one of."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def problem(error: Refusal, *, trace_id: str, status: int | None = None, language: str = "en") -> WireAnswer:
    """A refusal as a problem document (RFC 9457 §3), in one of our languages; its ``code`` is the same in all."""
    status = status or status_of(error)
    document: dict[str, object] = {
        "type": "about:blank",
        "title": translated(HTTPStatus(status).phrase, language),
        "status": status,
        "code": error.code,
        "detail": translated(str(error), language),
        "traceId": trace_id,
    }
    headers = [_PROBLEM]
    match error:
        case InvalidCode(attempts_left=int(left)):
            document["attemptsLeft"] = left
        case InvalidRequest(errors=errors):
            document["errors"] = [{"field": name, "detail": text} for name, text in errors]
        case TooManyAttempts() | Unavailable():
            headers.append((b"retry-after", b"%d" % error.retry_after))
        case _:
            pass
    if status == HTTPStatus.UNAUTHORIZED:
        headers.append((b"www-authenticate", b'Bearer realm="mfa"'))
    return _answer(status, _json(document), *headers)


def factor_document(choice: FactorChoice) -> dict[str, str]:
    """One way to answer, as clients are told of it."""
    return {"factor": choice.factor, "authenticatorId": choice.authenticator_id, "label": choice.label}


def wants_html(scope: Scope) -> bool:
    """Whether the request's ``Accept`` names ``text/html``, as that of a browser's navigation does."""
    return "text/html" in header(tuple(scope["headers"]), b"accept").lower()


def language_in(scope: Scope, locale: str = "") -> str:
    """The language of the answer to a request: ``MFA_LOCALE``, else the one that it asks for."""
    return locale or language_of(header(tuple(scope["headers"]), b"accept-language"))


def is_secure(scope: Scope) -> bool:
    """Whether the request came over HTTPS, as far as the server knows."""
    return str(scope.get("scheme", "http")) in ("https", "wss")


def mfa_token_cookie_name(scope: Scope) -> str:
    """The name of the browser's cookie with the mfaToken (the prefix is RFC 6265bis §4.1.3.2)."""
    return "__Host-mfa_token" if is_secure(scope) else "mfa_token"


def mfa_token_cookie(scope: Scope, value: str, *, max_age: int) -> tuple[bytes, bytes]:
    """A Set-Cookie field for the mfaToken; ``max_age`` 0 ends it."""
    return set_cookie_header(mfa_token_cookie_name(scope), value, max_age=max_age, secure=is_secure(scope))


def _json(document: Mapping[str, object]) -> bytes:
    return _encode(document).encode()


def _answer(status: int, body: bytes, *headers: tuple[bytes, bytes]) -> WireAnswer:
    fixed = ((b"cache-control", b"no-store"), (b"content-length", b"%d" % len(body)))
    return WireAnswer(status, (*headers, *fixed), body)
