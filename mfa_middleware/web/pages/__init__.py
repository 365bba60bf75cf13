"""The pages, for browsers. They work without JavaScript.

A page is an operation like those of the API, so that the cross-origin rules, the bounds on bodies and the handling of
errors stand in front of it and behind it just the same. Where the API has an operation already, a page takes the
place of its answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from starlette.responses import Response

from mfa_middleware.errors import (
    EnrolmentRequired,
    InvalidCode,
    InvalidRequest,
    NotFound,
    Refusal,
    StepUpRequired,
    TokenInvalid,
)
from mfa_middleware.web import api, schemas
from mfa_middleware.web.calls import Call, Desk
from mfa_middleware.web.operations import Handler, Operation
from mfa_middleware.web.pages.binding import BindingPages
from mfa_middleware.web.pages.challenge import ChallengePages, step_up
from mfa_middleware.web.pages.looks import Looks, see_other
from mfa_middleware.web.pages.manage import Edit, ManagementPages
from mfa_middleware.web.pages.refusals import name_of_signed_in, refusal_page
from mfa_middleware.web.way_back import way_back

Again = Callable[[Call[Any], Refusal], Awaitable[Response]]

#: The page with the form of an operation: where a browser comes back to after a step-up.
_FORMS = {
    "/authenticators": "/add",
    "/authenticators/{id}/refresh": "/edit/{id}",
    "/edit/{id}": "/edit/{id}",
    "/edit/{id}/remove": "/edit/{id}",
    "/recovery-codes": "/codes",
}


class Pages:
    """``operations`` are pages of their own; ``handlers`` take the place of the API's for who wants a page."""

    def __init__(self, desk: Desk) -> None:
        self._looks = looks = Looks(desk.core.settings)
        challenge, binding, manage = ChallengePages(looks), BindingPages(looks), ManagementPages(looks)
        self.operations: Sequence[Operation] = (
            _page("GET", "/", manage.overview),
            _page("GET", "/challenge", challenge.show),
            _page("GET", "/enrol", binding.enrol),
            _page("POST", "/enrol", binding.begin_enrolment, schemas.Bind),
            _page("POST", "/enrol/{id}/confirm", binding.confirm_enrolment, schemas.Confirm),
            _page("GET", "/add", manage.add),
            _page("GET", "/edit/{id}", manage.edit),
            _page("POST", "/edit/{id}", manage.change, Edit),
            _page("POST", "/edit/{id}/remove", manage.remove),
            _page("GET", "/codes", manage.codes),
            _page("GET", "/static/{name}", looks.static),
        )
        self.handlers: Mapping[Handler, Handler] = {
            api.verify: challenge.verify,
            api.challenge: challenge.send,
            api.list_authenticators: manage.overview,
            api.bind: binding.begin,
            api.confirm: binding.confirm,
            api.refresh: binding.refresh,
            api.regenerate: manage.regenerate,
            api.step_up: _step_up,
        }
        self._again: Mapping[str, Again] = {
            "/verify": challenge.again,
            "/authenticators/{id}/confirm": binding.again,
            "/enrol/{id}/confirm": binding.again,
            "/edit/{id}": manage.edit_again,
        }

    async def refused(self, call: Call[Any], one: Operation, error: Refusal) -> Response:
        """The page that says what went wrong, with a way on."""
        try:
            return await self._way_on(call, one, error) or await self._refusal(call, error)
        except Refusal as worse:
            return await self._refusal(call, worse)

    async def _refusal(self, call: Call[Any], error: Refusal) -> Response:
        signed_in = await name_of_signed_in(call) if isinstance(error, TokenInvalid) else ""
        return refusal_page(self._looks, call, error, signed_in)

    async def _way_on(self, call: Call[Any], one: Operation, error: Refusal) -> Response | None:
        enrolling = one.path.startswith("/enrol")
        match error:
            case InvalidCode() | InvalidRequest() if one.method == "POST" and one.path in self._again:
                return await self._again[one.path](call, error)
            case StepUpRequired() if enrolling:
                raise TokenInvalid("the user has bound a factor by now")
            case StepUpRequired():
                place = _FORMS.get(one.path, "/").format_map(call.request.path_params)
                return await step_up(call, place)
            case EnrolmentRequired():
                return see_other(call, "/enrol")
            case NotFound() if enrolling:  # a form sent twice, most likely: show how things stand
                return see_other(call, "/enrol")
            case NotFound() if one.path.endswith("/confirm"):
                await call.caller()
                return see_other(call, "/?done=finished")
            case _:
                return None

    def no_such_page(self, call: Call[Any], error: Refusal, status: int) -> Response:
        """404 and 405. A GET of what only takes a POST is a form's address, loaded again."""
        if call.request.scope["path"] == call.mount:
            return see_other(call, "/")
        if status == 405:
            return see_other(call, "/challenge" if call.cookie_token else "/")
        return refusal_page(self._looks, call, error)


async def _step_up(call: Call[schemas.Empty]) -> Response:
    """``POST /step-up``."""
    return await step_up(call, way_back(call.request))


def _page(method: str, path: str, handler: Handler, body: type[BaseModel] = schemas.Empty) -> Operation:
    return Operation(method, path, "", handler, 200, body, None, "page")
