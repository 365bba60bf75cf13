"""What a selector is, and what it may look at."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Flag, auto

from mfa_middleware.cookies import CookieNames, canonical_value, cookie_pairs, set_cookies
from mfa_middleware.passage import Passage, Scope
from mfa_middleware.response_body import RawHeaders, json_body
from mfa_middleware.sessions import SessionBefore
from mfa_middleware.settings import Settings


class Place(Flag):
    """Where the middleware stands: outside of the app, or inside of its session middleware."""

    NOWHERE = 0
    OUTSIDE = auto()
    INSIDE = auto()
    ANYWHERE = OUTSIDE | INSIDE

    @classmethod
    def of(cls, scope: Scope) -> Place:
        """Where we stand in a request of that scope: inside, where a session middleware has been."""
        return INSIDE if "session" in scope else OUTSIDE


# Looking a member up in its enum costs; these two are asked for on every request.
OUTSIDE = Place.OUTSIDE
INSIDE = Place.INSIDE

#: Why a login in a session that the client knows already is refused.
ALREADY_HAD = (
    "the login is in a session that the client had before: "
    "the cookie's name is missing in MFA_SESSION_COOKIE, or the request in MFA_LOGIN"
)


@dataclass(slots=True)
class LoginExchange:
    """A request and the app's response to it, or the response's start alone (then ``body`` is None).

    ``scope`` is the request's as it reached the app, and ``place`` where we stand. ``session_before`` is there where
    it could be seen. ``expected`` says that its method is declared as well as its path, ``gated`` that
    its session cookies are blocked until the login is released.
    """

    scope: Scope
    place: Place
    passage: Passage
    declared: bool
    session_cookies: CookieNames
    session_before: SessionBefore | None = None
    gated: bool = False
    expected: bool = False
    #: What ``whoami:`` answered before the login, by the request's session cookies and by its bearer token.
    before: object = None
    bearer_before: object = None
    status: int = 0
    headers: RawHeaders = ()
    body: bytes | None = None
    extra_cookies: RawHeaders = ()  #: Set-Cookie fields that asking the app brought up
    _parsed: tuple[bytes | None, object] | None = field(default=None, repr=False)

    @property
    def document(self) -> object:
        """The body as JSON, parsed once for all who look at it: a long one takes milliseconds. See :func:`json_body`.

        :raises LoginNotHeld: as that does.
        """
        if self._parsed is None or self._parsed[0] is not self.body:
            self._parsed = self.body, json_body(self.headers, self.body or b"")
        return self._parsed[1]

    @property
    def renewed_names(self) -> frozenset[str]:
        """The session cookies that the response sets to a value that the client did not have."""
        had = {(name, canonical_value(value)) for name, value in cookie_pairs(self.scope["headers"])}
        return frozenset(
            name
            for name, value in set_cookies(self.headers)
            if value is not None and self.session_cookies.match(name) and (name, canonical_value(value)) not in had
        )

    @property
    def gives_session(self) -> bool:
        """Whether the response starts a session whose id the client did not have."""
        return bool(self.renewed_names)

    @property
    def exposed_headers(self) -> RawHeaders:
        """The request's header fields, without the session cookies where those are blocked."""
        headers = self.scope["headers"]
        return tuple(self.session_cookies.without(headers) if self.gated else headers)


@dataclass(slots=True)
class RequestExchange:
    """An ordinary request, with the passage by which the app below us can be asked (None: we stand around no app)."""

    scope: Scope
    passage: Passage | None


class Selector:
    """One selector. A plugin's kind subclasses this and overrides what it can answer.

    ``watches`` says that it can tell a login by the start of any response, so that it is asked on every path; the
    others need the whole body, and are asked on declared paths alone. A kind's ``parse`` makes one from its argument.
    """

    kind: str = ""
    watches: bool = False
    in_login: Place = Place.NOWHERE
    in_request: Place = Place.NOWHERE

    @classmethod
    def parse(cls, argument: str, settings: Settings) -> Selector:
        """The selector for ``kind:argument``.

        :raises ValueError: in plain words, for an argument that cannot work.
        """
        raise NotImplementedError

    def can_answer(self, request: RequestExchange) -> bool:
        """Whether it can ever answer for such a request, where we stand."""
        return bool(self.in_request & Place.of(request.scope))

    def notices(self, login: LoginExchange) -> bool:
        """Whether the response's start looks like a login. Only asked where ``watches``."""
        return False

    async def of_login(self, login: LoginExchange) -> object:
        """The user whom the response signs in; None for nobody."""
        return None

    async def of_request(self, request: RequestExchange) -> object:
        """The user who sent the request; None for nobody."""
        return None


SelectorKind = type[Selector]
