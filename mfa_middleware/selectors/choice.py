"""A setting's selectors, parsed, and asked together: where several answer, they must agree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus

from mfa_middleware.cookies import cookie_pairs, set_cookies
from mfa_middleware.errors import ConfigurationError, LoginNotHeld, Misconfigured
from mfa_middleware.passage import Scope
from mfa_middleware.response_body import bearer_tokens, decoded_body
from mfa_middleware.selectors.base import (
    ALREADY_HAD,
    LoginExchange,
    Place,
    RequestExchange,
    Selector,
    SelectorKind,
)
from mfa_middleware.selectors.bearer import Bearer, Jwt, bearer_of, refuse_several_subjects
from mfa_middleware.selectors.builtin import Header, Json, Mark, Session, User
from mfa_middleware.selectors.values import user_id
from mfa_middleware.selectors.whoami import WhoAmI
from mfa_middleware.sessions import session_value
from mfa_middleware.settings import Settings, join, split

BUILTIN: Mapping[str, SelectorKind] = {
    kind.kind: kind for kind in (Mark, Header, Json, Jwt, Session, User, Bearer, WhoAmI)
}
_SHORTEST_SESSION_ID = 16
_WHERE = {
    place: f"{word} of the session middleware; choose others, or put the middleware in the other place"
    for place, word in ((Place.INSIDE, "inside"), (Place.OUTSIDE, "outside"))
}


def parse_selectors(
    variable: str, text: str, settings: Settings, kinds: Mapping[str, SelectorKind] = BUILTIN
) -> tuple[Selector, ...]:
    """The selectors in the value of a setting.

    :raises ConfigurationError: naming the variable, the selector and the mend.
    """
    selectors = tuple(_parse(variable, one, settings, kinds) for one in split(text))
    if not selectors and variable in ("MFA_LOGIN_USER", "MFA_REQUEST_USER"):
        raise ConfigurationError(f"{variable} names no selector; leave it out, or name one.")
    return selectors


def _parse(variable: str, text: str, settings: Settings, kinds: Mapping[str, SelectorKind]) -> Selector:
    kind, _, argument = text.partition(":")
    if kind not in kinds:
        raise ConfigurationError(f"{variable}: there is no selector {kind!r}; there are {join(sorted(kinds))}.")
    try:
        selector = kinds[kind].parse(argument, settings)
    except ValueError as error:
        raise ConfigurationError(f"{variable}: {text}: {error}.") from error
    wanted = selector.in_login if variable == "MFA_LOGIN_USER" else selector.in_request
    if wanted is Place.NOWHERE:
        where = "a login response" if variable == "MFA_LOGIN_USER" else "a request"
        raise ConfigurationError(f"{variable}: {text} cannot answer for {where}; choose another selector.")
    return selector


class LoginSelectors:
    """The selectors of ``MFA_LOGIN_USER``: whether a response is a login, and whose."""

    def __init__(self, selectors: Sequence[Selector]) -> None:
        self._all = tuple(selectors)
        places = Place.OUTSIDE, Place.INSIDE, Place.ANYWHERE
        self._usable = {place: tuple(one for one in selectors if one.in_login & place) for place in places}
        self.watchers = tuple(one for one in selectors if one.watches)
        self.marks = any(one.kind == "mark" for one in selectors)
        self._mark_works = False
        self.fields = frozenset(one.name for one in selectors if isinstance(one, Header))
        self._session = next((one for one in selectors if isinstance(one, Session)), None)
        self.sees_session = self._session is not None
        self.asks = next((one for one in selectors if isinstance(one, WhoAmI)), None)

    def usable(self, place: Place) -> Sequence[Selector]:
        """Those that can answer at that place."""
        return self._usable[place]

    def needs_body(self, place: Place) -> bool:
        """Whether any that can answer at that place must see the whole response."""
        return any(not one.watches for one in self.usable(place))

    def without_fields(self, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """Header fields without those of ``header:``, which are between the app and the middleware alone."""
        return [pair for pair in headers if pair[0].lower() not in self.fields]

    def session_value(self, scope: Scope) -> object:
        """What ``session:`` reads in that scope now, whether or not it is a login."""
        return None if self._session is None else session_value(scope, self._session.key)

    def _refuse_unread(self, login: LoginExchange, asked: Sequence[Selector]) -> None:
        """Stop where only selectors that read JSON could tell, and found nobody, and a token may be given all the same.

        :raises LoginNotHeld: for a success that is no JSON, and for JSON with a JWT in another place.
        """
        if not login.expected or {one.kind for one in asked} - {"mark", "json", "jwt"}:
            return
        document = login.document
        if bearer_tokens(document):
            raise LoginNotHeld("the response to a login's request has a token, and no user where MFA_LOGIN_USER looks")
        if document is not None:
            return
        plain = decoded_body(login.headers, login.body or b"") or b""
        success = login.status < HTTPStatus.MULTIPLE_CHOICES and bool(plain.strip())
        if success or login.gives_session:
            raise LoginNotHeld(
                "the response to a login's request is no JSON, and MFA_LOGIN_USER reads nothing else; "
                "add whoami:, session: or header:"
            )

    def refuse_blindness(self, login: LoginExchange) -> None:
        """Stop where none of the selectors can ever see a login, and the second factor would quietly be off.

        That is so where they cannot answer in this place, and where ``session:`` stands outside of an app that leaves
        no session in the scope; unless the app marks its logins.

        :raises Misconfigured: then; in the latter case once the app starts a session of its own.
        """
        if self._mark_works or all(one.kind == "mark" for one in self._all):
            return
        usable = [one for one in self.usable(login.place) if one.kind != "mark"]
        if not usable:
            raise Misconfigured(f"MFA_LOGIN_USER: none of its selectors can answer {_WHERE[login.place]}")
        blind = usable == [self._session] and login.place is Place.OUTSIDE and "session" not in login.scope
        if blind and login.gives_session:
            raise Misconfigured(
                "MFA_LOGIN_USER: session: sees nothing of this app's session from outside, and the app never called "
                "mark_login; use whoami:, json:, jwt: or header:, or stand inside of the session middleware"
            )

    def notice(self, login: LoginExchange) -> bool:
        """Whether the start of the response looks like a login."""
        if login.passage.marked and login.passage.user is None:
            return False
        for one in self.watchers:  # noqa: SIM110  this runs on every response, and a generator costs half as much again
            if one.notices(login):
                return True
        return False

    async def user(self, login: LoginExchange) -> str | None:
        """The user whom the response signs in; None when it is no login.

        :raises LoginNotHeld: when that cannot be told, or when the login could be used without the response.
        """
        if login.passage.marked:
            if login.passage.user is None:
                return None
            self._mark_works = True
        asked = [one for one in self.usable(login.place) if one.watches or login.declared]
        found = {user_id(await one.of_login(login)) for one in asked} - {None}
        if len(found) > 1:
            raise LoginNotHeld("the selectors of MFA_LOGIN_USER found different users in one response")
        user = found.pop() if found else None
        if user is None:
            self._refuse_unread(login, asked)
            return None
        if login.body is not None:
            refuse_several_subjects(login.document)
        if login.place is Place.OUTSIDE:
            _refuse_known_session(login)
        return user


def _refuse_known_session(login: LoginExchange) -> None:
    """From outside: a login whose session the client knows already cannot be held by holding the response."""
    if login.gives_session:
        return
    tokens = set(bearer_tokens(login.document))
    known = bearer_of(login.scope)
    if tokens - {known}:
        return
    if known in tokens:
        raise LoginNotHeld("the login's bearer token is one that the client had before")
    exposed = login.exposed_headers
    had = set(cookie_pairs(exposed))
    sent_again = any(
        value is not None and len(value) >= _SHORTEST_SESSION_ID and (name, value.strip('"')) in had
        for name, value in set_cookies(login.headers)
    )
    if sent_again or login.session_cookies.within(exposed):
        raise LoginNotHeld(ALREADY_HAD)


class RequestSelectors:
    """The selectors of a ``MFA_REQUEST_*`` setting: who sends a request, by what name, or whether an admin."""

    def __init__(self, variable: str, selectors: Sequence[Selector]) -> None:
        self._variable = variable
        self._all = tuple(selectors)

    def __bool__(self) -> bool:
        return bool(self._all)

    def usable(self, place: Place) -> Sequence[Selector]:
        """Those that can answer at that place."""
        return tuple(one for one in self._all if one.in_request & place)

    async def values(self, request: RequestExchange) -> Sequence[object]:
        """What they answer.

        :raises Misconfigured: when none of them can ever answer where we stand, or none answers and one cannot.
        """
        usable = [one for one in self._all if one.can_answer(request)]
        if not usable:
            where = _WHERE[Place.of(request.scope)]
            raise Misconfigured(f"{self._variable}: none of its selectors can answer {where}")
        values: list[object] = []
        trouble: Misconfigured | None = None
        for one in usable:
            try:
                values.append(await one.of_request(request))
            except Misconfigured as error:
                trouble = error
        if trouble is not None and all(value is None for value in values):
            raise trouble
        return values

    async def bearer(self, request: RequestExchange) -> str | None:
        """The user whose bearer token the request carries, if ``bearer:`` is among these."""
        for one in self._all:
            if isinstance(one, Bearer) and (value := await one.of_request(request)) is not None:
                return user_id(value)
        return None

    async def user(self, request: RequestExchange) -> str | None:
        """The user who sent the request; None for nobody.

        :raises Misconfigured: when that cannot be told.
        """
        try:
            found = {user_id(value) for value in await self.values(request)} - {None}
        except LoginNotHeld as error:
            raise Misconfigured(f"{self._variable}: {error.reason}") from error
        if len(found) > 1:
            raise Misconfigured(f"{self._variable}: its selectors found different users in one request")
        return found.pop() if found else None


def other_session_key(login: Sequence[Selector], request: Sequence[Selector]) -> str | None:
    """What is to be told where both settings look into the session, and not at the same key; else None."""
    keys = [{one.key for one in selectors if isinstance(one, Session)} for selectors in (login, request)]
    if not all(keys) or keys[0] == keys[1]:
        return None
    named = [", ".join(f"session:{key}" for key in sorted(each)) for each in keys]
    return (
        f"MFA_LOGIN_USER looks at {named[0]}, and MFA_REQUEST_USER at {named[1]}: whoever the app keeps under the "
        "latter alone binds a factor, and is never asked for it; name the same key in both."
    )


def selector_kinds(registered: Iterable[SelectorKind]) -> Mapping[str, SelectorKind]:
    """The kinds there are: the built-in ones and those of plugins.

    :raises ConfigurationError: when a plugin takes a name that exists.
    """
    kinds = dict(BUILTIN)
    for kind in registered:
        if kind.kind in kinds:
            raise ConfigurationError(f"the selector {kind.kind!r} is registered twice; remove one of the plugins.")
        kinds[kind.kind] = kind
    return kinds
