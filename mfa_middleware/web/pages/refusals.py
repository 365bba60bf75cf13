"""The page for a request that was refused: what happened, in a sentence, and a link that leads on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

from mfa_middleware.dialects.native import status_of
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
from mfa_middleware.translations import marked
from mfa_middleware.web.calls import Call
from mfa_middleware.web.pages.looks import Looks
from mfa_middleware.web.way_back import way_back

_WORDS: Mapping[type[Refusal], tuple[str, str]] = {
    TokenInvalid: (marked("Start again"), marked("This has expired, or it was finished already.")),
    NotSignedIn: (marked("You are not signed in"), marked("Sign in to see your second factors.")),
    TooManyAttempts: (marked("Too many attempts"), marked("Nothing is accepted for now.")),
    Unavailable: (marked("Not available right now"), marked("Nothing was changed.")),
    CrossOrigin: (marked("Nothing was changed"), marked("This request was sent by a page of another site.")),
    NotFound: (marked("There is nothing here"), marked("It was removed or finished already, or it has expired.")),
}
_OTHERWISE = marked("That did not work")
_EXPECTED = (TokenInvalid, NotSignedIn, NotFound, TooManyAttempts)  # they need nobody's help
Links = Sequence[tuple[str, str]]


def refusal_page(looks: Looks, call: Call[Any], error: Refusal, signed_in: str = "") -> Response:
    """That page. Never a dead end. ``signed_in`` is the name of who is signed in, where that helps to go on."""
    heading, text = _words(error)
    response = looks.page(
        call,
        "refused.html",
        status_of(error),
        heading=heading,
        text=text,
        wait=_wait(error),
        signed_in=signed_in,
        links=_links(looks, call, error, signed_in),
        trace="" if isinstance(error, _EXPECTED) else call.trace,
    )
    if wait := _wait(error):
        response.headers["retry-after"] = str(wait)
    return response


async def name_of_signed_in(call: Call[Any]) -> str:
    """Who is signed in; empty for nobody, or where it cannot be told."""
    try:
        return (await call.caller()).name
    except Refusal:
        return ""


def _wait(error: Refusal) -> int:
    return error.retry_after if isinstance(error, TooManyAttempts | Unavailable) else 0


def _words(error: Refusal) -> tuple[str, str]:
    heading, text = _WORDS.get(type(error), (_OTHERWISE, error.message))
    if isinstance(error, InvalidRequest) and error.errors:
        text = "; ".join(f"{name}: {detail}" for name, detail in error.errors)
    elif str(error) != error.message:  # it has words of its own
        text = str(error)
    return heading, text


def _links(looks: Looks, call: Call[Any], error: Refusal, signed_in: str) -> Links:
    stepping_up = "next" in call.request.query_params
    back = (call.mount + way_back(call.request), marked("Go back"))
    log_in = (looks.login_path(call), marked("Log in"))
    match error:
        case TokenInvalid() | TooManyAttempts() if stepping_up:
            return [back]
        case TokenInvalid() if signed_in:
            return [(looks.home(call), marked("Go on")), log_in]
        case TokenInvalid() | NotSignedIn():
            return [log_in]
        case TooManyAttempts() if call.cookie_token and error.retry_after >= call.core.settings.token_ttl:
            return [(looks.login_path(call), marked("Back to the login"))]
        case TooManyAttempts() | Unavailable() if call.cookie_token:
            query = f"?next={way_back(call.request)}" if stepping_up else ""
            return [(f"{call.mount}/challenge{query}", marked("Try again"))]
        case _:
            return [(f"{call.mount}/", marked("Your second factors"))]
