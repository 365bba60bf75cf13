"""The pages that bind a factor: choose, scan, confirm, keep the recovery codes.

For somebody who is signed in, and for somebody who must bind a factor before the login is released.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from starlette.responses import Response

from mfa_middleware import binding
from mfa_middleware.callers import Caller
from mfa_middleware.core import Core
from mfa_middleware.errors import Refusal, TokenInvalid
from mfa_middleware.login import look_at
from mfa_middleware.models import Binding, Purpose
from mfa_middleware.verification import Proven
from mfa_middleware.web import schemas
from mfa_middleware.web.api import assurance_cookie
from mfa_middleware.web.calls import Call
from mfa_middleware.web.pages.challenge import inputmode
from mfa_middleware.web.pages.looks import Looks, see_other

_UNPROCESSABLE = 422


def bindable(core: Core) -> list[tuple[str, str]]:
    """Name and title of each factor that a user can bind."""
    return [(name, factor.title) for name, factor in core.factors.items() if not core.is_backup(name)]


class BindingPages:
    """``/enrol``, and the pages in place of the API's answers to binding and confirming.

    What stands below ``/enrol`` acts on the mfaToken of the demanded binding alone, never on a session that the
    browser may still have of somebody else.
    """

    def __init__(self, looks: Looks) -> None:
        self._looks = looks

    async def enrol(self, call: Call[Any]) -> Response:
        """``GET /enrol``: choose a factor; or, once one is confirmed, go on to the login."""
        token, _, confirmed = await look_at(call.core, call.token)
        if token.purpose is not Purpose.ENROLMENT:
            return see_other(call, "/challenge")
        if confirmed:
            has_codes = call.core.backup is not None
            return self._looks.page(call, "codes.html", enrolling=True, codes=(), has_codes=has_codes)
        return self._looks.page(
            call, "enrol.html", factors=bindable(call.core), back=self._looks.login_path(call), error=None
        )

    async def begin_enrolment(self, call: Call[schemas.Bind]) -> Response:
        """``POST /enrol``."""
        return await self._begin(call, await _enrolling(call))

    async def confirm_enrolment(self, call: Call[schemas.Confirm]) -> Response:
        """``POST /enrol/{id}/confirm``."""
        return await self._confirm(call, await _enrolling(call))

    async def begin(self, call: Call[schemas.Bind]) -> Response:
        """``POST /authenticators``."""
        return await self._begin(call, await call.binder())

    async def confirm(self, call: Call[schemas.Confirm]) -> Response:
        """``POST /authenticators/{id}/confirm``."""
        return await self._confirm(call, await call.binder())

    async def refresh(self, call: Call[schemas.Empty]) -> Response:
        """``POST /authenticators/{id}/refresh``."""
        row = call.request.path_params["id"]
        begun = await binding.refresh(call.core, await call.caller(), row, call.trace)
        return self._tell(call, begun, refreshing=True)

    async def again(self, call: Call[Any], error: Refusal) -> Response:
        """After a code that was refused: ask for it again. The secret has been told, and is not told twice."""
        factor = call.request.query_params.get("factor", "")
        return self._ask(call, call.request.path_params["id"], _UNPROCESSABLE, factor, error=error)

    async def _begin(self, call: Call[schemas.Bind], caller: Caller) -> Response:
        begun = await binding.bind(call.core, caller, call.body.factor, call.body.label, call.trace)
        return self._tell(call, begun)

    def _tell(self, call: Call[Any], begun: Binding, *, refreshing: bool = False) -> Response:
        """The secret, this once."""
        return self._ask(call, begun.id, 201, begun.factor, shown=begun.shown, refreshing=refreshing)

    def _ask(self, call: Call[Any], row: str, status: int, factor: str, **values: object) -> Response:
        known: dict[str, object] = {
            "shown": {},
            "error": None,
            "refreshing": False,
            "factor": factor,
            "enrolling": _is_enrolment(call),
            "inputmode": inputmode(call.core, factor) if factor in call.core.factors else "text",
        }
        return self._looks.page(call, "bind.html", status, id=row, **{**known, **values})

    async def _confirm(self, call: Call[schemas.Confirm], caller: Caller) -> Response:
        row = call.request.path_params["id"]
        confirmed = await binding.confirm(call.core, caller, row, call.body.code, call.trace)
        codes, enrolling = confirmed.recovery_codes, caller.enrolment is not None
        if not codes:
            response = see_other(call, "/enrol" if enrolling else "/?done=bound")
        else:
            response = self._looks.page(call, "codes.html", codes=codes, enrolling=enrolling, first=True)
        if enrolling:
            return response
        response.raw_headers.append(assurance_cookie(call, Proven(confirmed.assurance)))
        return response


def _is_enrolment(call: Call[Any]) -> bool:
    return str(call.request.scope["path"]).startswith(f"{call.mount}/enrol")


async def _enrolling(call: Call[Any]) -> Caller:
    """Whose login demands a binding, by the mfaToken alone.

    :raises TokenInvalid: without one.
    """
    caller = await replace(call, body=schemas.Empty(mfa_token=call.token)).binder()
    if caller.enrolment is None:
        raise TokenInvalid("no token of an enrolment")
    return caller
