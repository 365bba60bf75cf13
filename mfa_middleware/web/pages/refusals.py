"""The page for a request that was refused: what happened, in a sentence, and a link that leads on."""

from __future__ import annotations

from collections.abc import Mapping
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
_WORDS: Mapping[type[Refusal], tuple[str, str]] = {
    TokenInvalid: ("Start again", "This has expired, or it was finished already."),
    NotSignedIn: ("You are not signed in", "Sign in to see your second factors."),
    TooManyAttempts: ("Too many attempts", "Nothing is accepted for now."),
    Unavailable: ("Not available right now", "Nothing was changed."),
    CrossOrigin: ("Nothing was changed", "This request was sent by a page of another site."),
    NotFound: ("There is nothing here", "It was removed or finished already, or it has expired."),
}


def refusal_page(looks: Looks, call: Call[Any], error: Refusal) -> Response:
    """That page. Never a dead end."""
    heading, text = _words(error)
    href, link = _link(looks, call, error)
    response = looks.page(
        call, "refused.html", STATUS[type(error)], heading=heading, text=text, href=href, link=link, trace=call.trace
    )
    if isinstance(error, TooManyAttempts | Unavailable):
        response.headers["retry-after"] = str(error.retry_after)
    return response


def _words(error: Refusal) -> tuple[str, str]:
    heading, text = _WORDS.get(type(error), ("That did not work", str(error)))
    if isinstance(error, TooManyAttempts | Unavailable):
        text += f" Try again in {in_words(error.retry_after)}."
    elif isinstance(error, InvalidRequest) and error.errors:
        text = "; ".join(f"{name}: {detail}" for name, detail in error.errors)
    elif str(error) != error.message:  # it has words of its own
        text = str(error)
    return heading, text


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
