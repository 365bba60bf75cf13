"""One call of the API: its request, read within bounds, and who makes it."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request

from mfa_middleware.callers import Caller
from mfa_middleware.cookies import cookie_value
from mfa_middleware.core import Core
from mfa_middleware.dialects.native import mfa_token_cookie_name, wants_html
from mfa_middleware.errors import Forbidden, InvalidRequest, NotSignedIn, TokenInvalid, TooLarge
from mfa_middleware.keyring import fingerprint
from mfa_middleware.login import look_at
from mfa_middleware.models import Purpose
from mfa_middleware.passage import PASSAGE, Message, Passage
from mfa_middleware.selectors import RequestExchange, RequestSelectors
from mfa_middleware.selectors.bearer import bearer_of
from mfa_middleware.selectors.values import is_true
from mfa_middleware.settings import split
from mfa_middleware.tokens import is_mfa_token
from mfa_middleware.translations import marked

LARGEST_BODY = 65_536
ASSURANCE_COOKIE = "mfa_assurance"
Shape = TypeVar("Shape", bound=BaseModel)
Shape_co = TypeVar("Shape_co", bound=BaseModel, covariant=True)
_NO_TOKEN = marked("The request carries no mfaToken. Send it as the field mfaToken, or as a bearer token.")
_NO_ADMIN = marked("This takes an admin's token.")
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


@dataclass(frozen=True, slots=True)
class Desk:
    """What the sub-app works with: the use-cases' core, and the selectors that say who asks."""

    core: Core
    users: RequestSelectors
    names: RequestSelectors
    admins: RequestSelectors


@dataclass(frozen=True, slots=True)
class Call(Generic[Shape_co]):
    """A request to one operation, with its validated body and its trace id."""

    desk: Desk
    request: Request
    body: Shape_co
    trace: str

    @property
    def core(self) -> Core:
        """The use-cases' core."""
        return self.desk.core

    @property
    def html(self) -> bool:
        """Whether a page is wanted."""
        return wants_html(self.request.scope)

    @property
    def mount(self) -> str:
        """The path of the sub-app, as clients see it."""
        return str(self.request.scope.get("root_path", ""))

    @property
    def explicit_token(self) -> str | None:
        """The mfaToken in the body, else in the Authorization field (if that is one: the app's own may stand there)."""
        in_body: str | None = getattr(self.body, "mfa_token", None)
        bearer = bearer_of(self.request.scope)
        return in_body or (bearer if bearer and is_mfa_token(bearer) else None)

    @property
    def token(self) -> str:
        """The mfaToken: explicit, or the browser's cookie.

        :raises TokenInvalid: when there is none.
        """
        found = self.explicit_token or self.cookie_token
        if not found:
            raise TokenInvalid("no mfaToken in the request", None if self.html else _NO_TOKEN)
        return found

    @property
    def cookie_token(self) -> str | None:
        """The mfaToken in the browser's cookie."""
        return cookie_value(self.request.scope["headers"], mfa_token_cookie_name(self.request.scope))

    @property
    def exchange(self) -> RequestExchange:
        """The request as selectors see it."""
        passage = self.request.scope.get(PASSAGE)
        return RequestExchange(self.request.scope, passage if isinstance(passage, Passage) else None)

    async def caller(self) -> Caller:
        """Who is signed in.

        :raises NotSignedIn: when nobody is.
        """
        user_id = await self.desk.users.user(self.exchange)
        if user_id is None:
            raise NotSignedIn("MFA_REQUEST_USER answers nobody")
        name = await self._name() or user_id
        bearer = bearer_of(self.request.scope)
        cookie = cookie_value(self.request.scope["headers"], ASSURANCE_COOKIE)
        assurance = self.core.tokens.assurance_id(cookie, user_id) if cookie else None
        return Caller(
            user_id,
            name=name,
            issuer=self._issuer,
            proof=fingerprint(bearer) if bearer else None,
            cookie=fingerprint(assurance) if assurance else None,
        )

    async def binder(self) -> Caller:
        """Who binds a factor: the user of an enrolment's mfaToken, or who is signed in.

        A token in the body or the Authorization field comes first, one in the cookie last.
        """
        if self.explicit_token:
            return await self._enrolling(self.explicit_token)
        try:
            return await self.caller()
        except NotSignedIn:
            if self.cookie_token is None:
                raise
            return await self._enrolling(self.cookie_token)

    async def holder(self) -> str | None:
        """Whose the explicit mfaToken is, of whatever purpose; None without one. Its password was right, and no more.

        :raises TokenInvalid: for a dead one.
        """
        if not self.explicit_token:
            return None
        _, record, _ = await look_at(self.core, self.explicit_token)
        return record.user_id

    async def _enrolling(self, text: str) -> Caller:
        token, record, _ = await look_at(self.core, text)
        if token.purpose is not Purpose.ENROLMENT:
            raise TokenInvalid("no token of an enrolment")
        return Caller(record.user_id, name=record.user_id, issuer=self._issuer, enrolment=token)

    async def require_admin(self) -> None:
        """Let admins pass: by one of ``MFA_ADMIN_TOKEN``, or by the selector ``MFA_REQUEST_ADMIN``.

        :raises NotSignedIn: for nobody.
        :raises Forbidden: for somebody who is no admin.
        """
        bearer = bearer_of(self.request.scope)
        tokens = split(self.core.settings.admin_token)
        matches = [hmac.compare_digest(bearer.encode(), token.encode()) for token in tokens] if bearer else []
        if any(matches):
            return
        if self.desk.admins:
            if any(is_true(value) for value in await self.desk.admins.values(self.exchange)):
                return
            if await self.desk.users.user(self.exchange) is not None:
                raise Forbidden("MFA_REQUEST_ADMIN does not answer true")
        raise NotSignedIn("no admin's token", _NO_ADMIN)

    async def _name(self) -> str | None:
        if not self.desk.names:
            return None
        values = await self.desk.names.values(self.exchange)
        return next((str(value)[:200] for value in values if value), None)

    @property
    def _issuer(self) -> str:
        try:
            host = self.request.url.hostname
        except ValueError:  # neither the field Host nor the query need be well formed
            host = None
        return self.core.settings.issuer or host or "mfa"


async def read_call(desk: Desk, request: Request, shape: type[Shape], trace: str) -> Call[Shape]:
    """The call in a request, with the trace id that its logs and events shall carry.

    :raises TooLarge: for a body over 64 KiB.
    :raises InvalidRequest: for one that does not parse or does not fit.
    """
    reading = shape.model_fields.keys() and request.method not in ("GET", "HEAD")
    body = await _parsed(request, shape) if reading else shape()
    return Call(desk, request, body, trace)


async def _parsed(request: Request, shape: type[Shape]) -> Shape:
    data = await _bounded_body(request)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if not data and not kind:
            return shape.model_validate({})
        if kind in _FORMS and request.method == "POST":
            return shape.model_validate(await _form(request, data))
        if kind == "application/json":
            return shape.model_validate_json(data or b"{}")
    except ValidationError as error:
        raise InvalidRequest("the body does not fit", _field_errors(error)) from None
    raise InvalidRequest("unknown content type", [("", "send application/json, or a form by POST")])


async def _bounded_body(request: Request) -> bytes:
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > LARGEST_BODY:
                raise TooLarge(f"a body of more than {LARGEST_BODY} bytes")
            chunks.append(chunk)
    except ClientDisconnect:
        raise InvalidRequest("the client left") from None
    return b"".join(chunks)


async def _form(request: Request, data: bytes) -> Mapping[str, str]:
    async def receive() -> Message:
        return {"type": "http.request", "body": data, "more_body": False}

    try:
        form = await Request(request.scope, receive).form(max_files=0, max_fields=20)
    except (MultiPartException, HTTPException, ValueError) as error:
        raise InvalidRequest("a form that does not parse", [("", "the form does not parse")]) from error
    pairs: Sequence[tuple[str, Any]] = form.multi_items()
    if len({name for name, _ in pairs}) < len(pairs):
        raise InvalidRequest("a form field twice", [("", "a field stands there twice")])
    return {name: value for name, value in pairs if isinstance(value, str)}


def _field_errors(error: ValidationError) -> list[tuple[str, str]]:
    """Without what was given: it may be a code."""
    return [
        (".".join(str(part) for part in one["loc"]), one["msg"].removeprefix("Value error, "))
        for one in error.errors(include_input=False, include_url=False, include_context=False)
    ]
