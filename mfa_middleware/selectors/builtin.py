"""The selectors that only look: ``mark``, ``header:``, ``json:``, ``session:`` and ``user``."""

from __future__ import annotations

import re
from typing import Self

from mfa_middleware.errors import LoginNotHeld, Misconfigured
from mfa_middleware.passage import Reading, reading_of
from mfa_middleware.response_body import bearer_tokens, header, token_like
from mfa_middleware.selectors.base import OUTSIDE, LoginExchange, Place, RequestExchange, Selector
from mfa_middleware.selectors.values import check_pointer, resolve_each
from mfa_middleware.sessions import session_value
from mfa_middleware.settings import Settings


class Mark(Selector):
    """``mark``: what the app said itself with ``mark_login``."""

    kind = "mark"
    watches = True
    in_login = Place.ANYWHERE

    @classmethod
    def parse(cls, argument: str, settings: Settings) -> Self:
        if argument:
            raise ValueError("mark takes no argument")
        return cls()

    def notices(self, login: LoginExchange) -> bool:
        return login.passage.user is not None

    async def of_login(self, login: LoginExchange) -> object:
        return login.passage.user


class Header(Selector):
    """``header:NAME``: a header field; in a response set by the app, in a request by a trusted proxy alone."""

    kind = "header"
    watches = True
    in_login = Place.ANYWHERE
    in_request = Place.ANYWHERE

    def __init__(self, name: str) -> None:
        self.name = name.lower().encode("latin-1")

    @classmethod
    def parse(cls, argument: str, settings: Settings) -> Self:
        if not re.fullmatch(r"[A-Za-z0-9-]+", argument):
            raise ValueError("it must be a header field's name, as in header:X-User")
        return cls(argument)

    def notices(self, login: LoginExchange) -> bool:
        return any(name.lower() == self.name for name, _ in login.headers)

    async def of_login(self, login: LoginExchange) -> object:
        values = {value for name, value in login.headers if name.lower() == self.name}
        if len(values) > 1:
            raise LoginNotHeld("the login's response names several users in one header field")
        text = values.pop().decode("latin-1").strip() if values else ""
        if not text.isascii() or text.startswith("=?"):
            raise LoginNotHeld("header: names a user with characters that no header field can carry plainly")
        return text or None

    async def of_request(self, request: RequestExchange) -> object:
        return header(tuple(request.scope["headers"]), self.name).strip() or None


class Json(Selector):
    """``json:/pointer``: a value in the response's JSON body."""

    kind = "json"
    in_login = Place.ANYWHERE

    def __init__(self, pointer: str) -> None:
        self.pointer = pointer

    @classmethod
    def parse(cls, argument: str, settings: Settings) -> Self:
        return cls(check_pointer(argument))

    async def of_login(self, login: LoginExchange) -> object:
        document = login.document
        found = resolve_each(document, self.pointer)
        if len({str(value) for value in found}) > 1:
            raise LoginNotHeld("the login's response names several users")
        reading = reading_of(login.scope)
        if reading is not None and not reading.is_plain and (found or _may_give_token(document, reading)):
            raise LoginNotHeld("the client may have chosen what stands where json: reads; use whoami: or jwt:")
        return found[0] if found else None


def _may_give_token(document: object, reading: Reading) -> bool:
    return bool(bearer_tokens(document) or (reading.changes and token_like(document)))


class Session(Selector):
    """``session:key``: a value of ``scope["session"]``.

    Inside of the session middleware a login is a change of it, on whatever path. From outside it shows what the app's
    own middleware left there.
    """

    kind = "session"
    watches = True
    in_login = Place.ANYWHERE
    in_request = Place.INSIDE

    def __init__(self, key: str) -> None:
        self.key = key

    @classmethod
    def parse(cls, argument: str, settings: Settings) -> Self:
        if not argument:
            raise ValueError("it must name a key of the session, as in session:user_id")
        return cls(argument)

    def notices(self, login: LoginExchange) -> bool:
        if login.place is OUTSIDE and not login.declared:
            return False
        return self._signed_in(login) is not None

    async def of_login(self, login: LoginExchange) -> object:
        return self._signed_in(login)

    def _signed_in(self, login: LoginExchange) -> object:
        """Who stands there now and did not before."""
        now = session_value(login.scope, self.key)
        before = None if login.session_before is None else login.session_before.content.get(self.key)
        return None if before is not None and str(before) == str(now) else now

    async def of_request(self, request: RequestExchange) -> object:
        handler = request.scope.get("session_handler")
        if handler is not None:
            await handler.load()  # starsessions: nobody else may have asked for it
        return session_value(request.scope, self.key)


class User(Selector):
    """``user`` or ``user:attribute``: ``scope["user"]``, as an authentication middleware sets it."""

    kind = "user"
    in_request = Place.INSIDE

    def __init__(self, attribute: str) -> None:
        self.attribute = attribute

    @classmethod
    def parse(cls, argument: str, settings: Settings) -> Self:
        if argument and not argument.isidentifier():
            raise ValueError("it must be an attribute of scope['user'], as in user:id")
        return cls(argument or "identity")

    def can_answer(self, request: RequestExchange) -> bool:
        return "user" in request.scope

    async def of_request(self, request: RequestExchange) -> object:
        user = request.scope.get("user")
        if user is None or not getattr(user, "is_authenticated", True):
            return None
        try:
            value = getattr(user, self.attribute, None)
        except NotImplementedError as error:  # Starlette's BaseUser leaves it to its subclasses
            raise Misconfigured(
                f"user: {type(user).__name__} has no {self.attribute}; name another attribute, as in user:display_name"
            ) from error
        return None if callable(value) else value
