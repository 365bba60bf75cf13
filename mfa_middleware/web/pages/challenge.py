"""The page that asks for a second factor, at a login and at a step-up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from mfa_middleware import login, verification
from mfa_middleware.core import Core
from mfa_middleware.dialects.native import mfa_token_cookie, status_of
from mfa_middleware.errors import InvalidCode, Refusal, TokenInvalid
from mfa_middleware.factor import Challenging
from mfa_middleware.login import look_at
from mfa_middleware.models import Purpose
from mfa_middleware.records import TokenRecord
from mfa_middleware.translations import marked
from mfa_middleware.web import api, schemas
from mfa_middleware.web.calls import Call
from mfa_middleware.web.pages.looks import Looks, see_other
from mfa_middleware.web.way_back import way_back

_LAST = marked("That code is not right, and it was the last attempt.")


@dataclass(frozen=True, slots=True)
class Choice:
    """A factor that the user may answer with. ``hint`` says where its code comes from, where the factor has one.

    ``sends``: it must send something first.
    """

    factor: str
    title: str
    hint: str
    inputmode: str
    sends: bool

    @classmethod
    def of(cls, core: Core, name: str) -> Choice:
        """The factor of that name, as the page shows it."""
        factor = core.factor(name)
        hint = str(getattr(factor, "hint", ""))
        return cls(name, factor.title, hint, inputmode(core, name), isinstance(factor, Challenging))


def inputmode(core: Core, name: str) -> str:
    """The keyboard that a phone shows: digits, but letters for a backup factor or one that says ``numeric = False``."""
    return "numeric" if getattr(core.factor(name), "numeric", not core.is_backup(name)) else "text"


class ChallengePages:
    """``/challenge`` and what follows on it."""

    def __init__(self, looks: Looks) -> None:
        self._looks = looks

    async def show(self, call: Call[Any]) -> Response:
        """``GET /challenge``, for the login or step-up of the browser's cookie."""
        return await self._page(call)

    async def send(self, call: Call[schemas.ChooseFactor]) -> Response:
        """``POST /challenge``: let the factor send what is to be answered, and ask for it."""
        shown = await verification.prepare(call.core, call.token, call.body.factor, call.trace)
        return await self._page(call, factor=call.body.factor, sent=shown)

    async def verify(self, call: Call[schemas.Verify]) -> Response:
        """``POST /verify``, but not where a login in another tab has taken this one's place in the cookie."""
        query, mark = call.request.query_params, _mark(call)
        if query.get("login", mark) != mark:
            back = {"next": way_back(call.request)} if "next" in query else {}
            return see_other(call, f"/challenge?{urlencode({'other': 'yes', **back})}")
        return await api.verify(call)

    async def again(self, call: Call[Any], error: Refusal) -> Response:
        """After an answer that was refused: the page, with what was wrong.

        :raises TokenInvalid: when no attempt is left.
        """
        left = error.attempts_left if isinstance(error, InvalidCode) else None
        if left == 0:
            raise TokenInvalid("its last attempt was wrong", _LAST)
        return await self._page(call, status=status_of(error), error=error, left=left)

    async def _page(self, call: Call[Any], *, factor: str = "", status: int = 200, **values: object) -> Response:
        token, record, _ = await look_at(call.core, call.token)
        if token.purpose is Purpose.ENROLMENT:
            return see_other(call, "/enrol")
        choices = _choices(call.core, record)
        wanted = factor or call.request.query_params.get("factor", "")
        chosen = next((one for one in choices if one.factor == wanted), choices[0])
        step_up = token.purpose is Purpose.STEP_UP
        shown: Mapping[str, object] = {"error": None, "left": None, "sent": None, **values}
        return self._looks.page(
            call,
            "challenge.html",
            status,
            chosen=chosen,
            others=[one for one in choices if one != chosen],
            step_up=step_up,
            login=_mark(call),
            other="other" in call.request.query_params,
            query={"next": way_back(call.request)} if step_up else {},
            back=call.mount + way_back(call.request) if step_up else self._looks.login_path(call),
            **shown,
        )


def _mark(call: Call[Any]) -> str:
    """What tells the login of a page from another one in the same browser."""
    return call.core.tokens.read(call.token).digest[:8]


def _choices(core: Core, record: TokenRecord) -> list[Choice]:
    """Each factor once: an answer is tried on all authenticators of its factor."""
    names = dict.fromkeys(one.factor for one in record.candidates if one.factor in core.factors)
    if not names:
        raise TokenInvalid("none of its factors is in use any more")
    return [Choice.of(core, name) for name in names]


async def step_up(call: Call[Any], back: str) -> Response:
    """Begin a step-up for the browser's user, and ask; it comes back to that page of ours."""
    caller = await call.caller()
    challenge = await login.begin_step_up(call.core, caller.user_id, caller.proofs, call.trace)
    response = see_other(call, f"/challenge?next={back}")
    cookie = mfa_token_cookie(call.request.scope, challenge.mfa_token, max_age=challenge.expires_in)
    response.raw_headers.append(cookie)
    return response
