"""The page for a request that was refused: what happened, in a sentence, and a link that leads on."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from mfa_middleware.dialects.native import STATUS
from mfa_middleware.errors import (
    CrossOrigin,
    InvalidRequest,
    NotFound,
    NotSignedIn,
    Refusal,
    TokenInvalid,
    TooManyAttempts,
    Unavailable,
)
from mfa_middleware.web.calls import Call
from mfa_middleware.web.pages.looks import Looks
from mfa_middleware.web.way_back import way_back

_MINUTE, _HOUR = 60, 3600


def refusal_page(looks: Looks, call: Call[Any], error: Refusal) -> Response:
    """That page. Never a dead end."""
    title, text = _words(error)
    href, link = _link(looks, call, error)
    response = looks.page(
        call, "refused.html", STATUS[type(error)], heading=title, text=text, href=href, link=link, trace=call.trace
    )
    if isinstance(error, TooManyAttempts | Unavailable):
        response.headers["retry-after"] = str(error.retry_after)
    return response


def _words(error: Refusal) -> tuple[str, str]:
    match error:
        case TokenInvalid() if str(error) != TokenInvalid.message:
            return "Please log in again", str(error)
        case TokenInvalid():
            return "Please log in again", "This login has expired, or it was finished already."
        case NotSignedIn():
            return "You are not signed in", "Sign in to see your second factors."
        case TooManyAttempts():
            return "Too many attempts", f"Nothing is accepted for now. Try again in {in_words(error.retry_after)}."
        case Unavailable():
            return "Not available right now", f"Nothing was changed. Try again in {in_words(error.retry_after)}."
        case CrossOrigin():
            return "Nothing was changed", "This request was sent by a page of another site."
        case NotFound():
            return "There is nothing here", "It was removed or finished already, or it has expired."
        case InvalidRequest(errors=[(_, detail), *_]):
            return "That did not work", f"{str(error).rstrip('.')}: {detail}."
        case _:
            return "That did not work", str(error)


def _link(looks: Looks, call: Call[Any], error: Refusal) -> tuple[str, str]:
    stepping_up = "next" in call.request.query_params
    match error:
        case TokenInvalid() if stepping_up:
            return call.mount + way_back(call.request), "Go back"
        case TokenInvalid() | NotSignedIn():
            return looks.login_path(call), "Log in"
        case TooManyAttempts() | Unavailable() if call.cookie_token:
            query = f"?next={way_back(call.request)}" if stepping_up else ""
            return f"{call.mount}/challenge{query}", "Try again"
        case _:
            return f"{call.mount}/", "Your second factors"


def in_words(seconds: int) -> str:
    """A time to wait, rounded up: ``45 seconds``, ``15 minutes``, ``2 hours``."""
    for size, word in ((_HOUR, "hour"), (_MINUTE, "minute"), (1, "second")):
        if seconds > size or size == 1:
            count = -(-seconds // size)
            return f"{count} {word}{'' if count == 1 else 's'}"
    return ""
