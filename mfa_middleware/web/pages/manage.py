"""The pages on which somebody who is signed in looks after the factors."""

from __future__ import annotations

from typing import Any, Literal

from starlette.responses import Response

from mfa_middleware import management
from mfa_middleware.callers import has_proven
from mfa_middleware.core import Core
from mfa_middleware.errors import NotFound, Refusal
from mfa_middleware.translations import marked
from mfa_middleware.web import schemas
from mfa_middleware.web.calls import Call
from mfa_middleware.web.pages.binding import bindable
from mfa_middleware.web.pages.looks import Looks, see_other

_UNPROCESSABLE = 422
#: What the overview says of what has just been done; named by its query, since it follows on a redirection.
_DONE = {
    "renamed": marked("The name was changed."),
    "disabled": marked("It is disabled: no login asks for it."),
    "enabled": marked("It is enabled: logins ask for it again."),
    "removed": marked("It was removed."),
    "bound": marked("It is set up. You can use it from now on."),
    "finished": marked(
        "That was finished already, or it has expired. If you did not keep your recovery codes, make new ones."
    ),
}


class Edit(schemas.Body):
    """A form on the page of one authenticator."""

    label: schemas.Label | None = None
    enabled: Literal["yes", "no"] | None = None


class ManagementPages:
    """``/``, ``/add``, ``/edit/{id}`` and ``/codes``."""

    def __init__(self, looks: Looks) -> None:
        self._looks = looks

    async def overview(self, call: Call[Any]) -> Response:
        """``GET /``: the second factors of whoever is signed in."""
        caller = await call.caller()
        found = await management.overview(call.core, caller.user_id)
        return self._looks.page(
            call,
            "overview.html",
            name=caller.name,
            required=call.core.settings.enrolment == "required",
            authenticators=[schemas.AuthenticatorShape.of(one) for one in found.authenticators],
            titles=_titles(call.core),
            factors=bindable(call.core),
            done=_DONE.get(call.request.query_params.get("done", ""), ""),
            has_codes=call.core.backup is not None,
            codes_left=found.recovery_codes_left,
        )

    async def add(self, call: Call[Any]) -> Response:
        """``GET /add``: choose a further factor."""
        caller = await call.caller()
        found = await management.overview(call.core, caller.user_id)
        if not found.authenticators:
            return see_other(call, "/")
        proven = await has_proven(call.core, caller)
        number = len(found.authenticators) + 1
        return self._looks.page(call, "add.html", factors=bindable(call.core), number=number, proven=proven)

    async def edit(self, call: Call[Any]) -> Response:
        """``GET /edit/{id}``: one authenticator, and what can be done with it."""
        return await self._edit_page(call)

    async def edit_again(self, call: Call[Any], error: Refusal) -> Response:
        """After a change that was refused."""
        return await self._edit_page(call, error, _UNPROCESSABLE)

    async def change(self, call: Call[Edit]) -> Response:
        """``POST /edit/{id}``: rename, disable or enable."""
        caller = await call.caller()
        row, label = call.request.path_params["id"], call.body.label
        enabled = None if call.body.enabled is None else call.body.enabled == "yes"
        await management.change(call.core, caller, row, enabled=enabled, label=label, trace=call.trace)
        done = {None: "renamed", True: "enabled", False: "disabled"}[enabled]
        return see_other(call, f"/?done={done}")

    async def remove(self, call: Call[schemas.Empty]) -> Response:
        """``POST /edit/{id}/remove``."""
        await management.unbind(call.core, await call.caller(), call.request.path_params["id"], call.trace)
        return see_other(call, "/?done=removed")

    async def codes(self, call: Call[Any]) -> Response:
        """``GET /codes``: how many recovery codes are left, and the way to new ones."""
        caller = await call.caller()
        found = await management.overview(call.core, caller.user_id)
        if not found.authenticators or call.core.backup is None:
            return see_other(call, "/")
        proven = await has_proven(call.core, caller)
        return self._looks.page(call, "recovery.html", left=found.recovery_codes_left, proven=proven)

    async def regenerate(self, call: Call[schemas.Empty]) -> Response:
        """``POST /recovery-codes``."""
        codes = await management.regenerate_codes(call.core, await call.caller(), call.trace)
        return self._looks.page(call, "codes.html", 201, codes=codes, enrolling=False, first=False)

    async def _edit_page(self, call: Call[Any], error: Refusal | None = None, status: int = 200) -> Response:
        caller = await call.caller()
        found = await management.overview(call.core, caller.user_id)
        row = next((one for one in found.authenticators if one.id == call.request.path_params["id"]), None)
        if row is None:
            raise NotFound("the user has no such live authenticator")
        return self._looks.page(
            call,
            "edit.html",
            status,
            one=schemas.AuthenticatorShape.of(row),
            titles=_titles(call.core),
            required=call.core.settings.enrolment == "required",
            last=len(found.authenticators) == 1,
            in_use=row.factor in call.core.factors,
            proven=await has_proven(call.core, caller),
            error=error,
        )


def _titles(core: Core) -> dict[str, str]:
    return {name: factor.title for name, factor in core.factors.items()}
