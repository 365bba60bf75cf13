"""Whether the selectors can see who logs in, and who calls, from where the middleware stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from mfa_middleware.checks.finding import Finding, error, ok, warning
from mfa_middleware.parts import Parts
from mfa_middleware.paths import parse_patterns
from mfa_middleware.selectors import Place, RequestSelectors, Selector
from mfa_middleware.selectors.choice import other_session_key
from mfa_middleware.settings import join

_ANY_PATH = "/some/path/that/nobody/declares"
_WORDS = {Place.OUTSIDE: "From outside of the session middleware", Place.INSIDE: "Inside of the session middleware"}
_ABLE = {Place.OUTSIDE: "whoami: or bearer:", Place.INSIDE: "session:, user or bearer:"}
_OTHER = {Place.OUTSIDE: "inside", Place.INSIDE: "outside"}


def everywhere(parts: Parts) -> Iterator[Finding]:
    """What is as it is wherever the middleware stands."""
    settings = parts.settings
    if parts.login_methods(_ANY_PATH, ""):
        yield warning(
            f"MFA_LOGIN: {settings.login} declares every path, so that every response is read whole before it leaves "
            "and streams end; declare the login's paths."
        )
    asked = {"MFA_REQUEST_USER": parts.request_user, "MFA_REQUEST_ADMIN": parts.request_admin}
    for variable, selectors in asked.items():
        if "header" in _kinds(selectors.usable(Place.ANYWHERE)):
            yield warning(
                f"{variable}: header: is believed, whoever sends it; let only the proxy that sets it reach this server."
            )
    login, request = parts.login_user.usable(Place.ANYWHERE), parts.request_user.usable(Place.ANYWHERE)
    if sentence := other_session_key(login, request):
        yield warning(sentence)
    everyone = (parts.request_user, parts.request_name, parts.request_admin)
    if settings.app_jwt_key and not any("bearer" in _kinds(one.usable(Place.ANYWHERE)) for one in everyone):
        yield warning("MFA_APP_JWT_KEY is not used: name bearer:sub, say, in MFA_REQUEST_USER, or remove it.")
    if not settings.admin_token and not parts.request_admin:
        yield ok("The admin API is off; MFA_ADMIN_TOKEN or MFA_REQUEST_ADMIN would switch it on.")


def at_place(parts: Parts, place: Place | None) -> Iterator[Finding]:
    """What can be seen from that place, or from each, where it is not known."""
    places = [place] if place else [Place.OUTSIDE, Place.INSIDE]
    never = error if place else warning
    for one in places:
        yield from _logins(parts, one, never)
        yield from _requests(parts, one, never)


def _logins(parts: Parts, place: Place, never: Callable[[str], Finding]) -> Iterator[Finding]:
    usable = parts.login_user.usable(place)
    if not parts.login_user.usable(Place.ANYWHERE):
        yield error("MFA_LOGIN_USER names no selector, so no login is ever held; remove it, or name one.")
    elif not usable:
        yield never(
            f"{_WORDS[place]}, none of the selectors of MFA_LOGIN_USER can ever answer, so no login is held; "
            f"name others, or put the middleware {_OTHER[place]}."
        )
    else:
        yield from _coverage(parts, place, usable, never)


def _coverage(
    parts: Parts, place: Place, usable: Sequence[Selector], never: Callable[[str], Finding]
) -> Iterator[Finding]:
    declared = parse_patterns(parts.settings.login)
    bound = [one for one in usable if not _sees_every_path(one, place)]
    if bound and not declared:
        level = never if len(bound) == len(usable) else warning
        yield level(
            f"{_WORDS[place]}, {_named(bound)} in MFA_LOGIN_USER is asked on the requests of MFA_LOGIN alone, and that "
            "declares none; declare the login as METHOD /path."
        )
    elif len(bound) == len(usable):
        yield warning(
            f"{_WORDS[place]}, a login is only seen at {parts.settings.login}; declare each other one in MFA_LOGIN "
            f"(password reset, magic link, OAuth callback), or have the app call mark_login{_or_inside(place)}."
            f"{_report(parts, place)}"
        )
    elif place is Place.OUTSIDE:
        yield ok(
            f"{_WORDS[place]}, a login elsewhere than at {parts.settings.login} is only seen if the app tells of it "
            f"({_named(one for one in usable if one not in bound)}); declare each other one in MFA_LOGIN "
            f"(password reset, magic link, OAuth callback).{_report(parts, place)}"
        )
    else:
        yield ok(
            f"{_WORDS[place]}, logins are seen on every path ({_named(one for one in usable if one not in bound)})."
        )
    if place is Place.OUTSIDE and parts.settings.session_mode == "strip" and any(one.method == "*" for one in declared):
        yield warning(
            f"{_WORDS[place]}, `*` in MFA_LOGIN takes the session cookie out of GET requests too, so that a login form "
            "loses what the app keeps in the session (its CSRF token, say); name the methods."
        )


def _requests(parts: Parts, place: Place, never: Callable[[str], Finding]) -> Iterator[Finding]:
    yield from _request("MFA_REQUEST_USER", parts.request_user, place, never)
    if parts.request_name:
        yield from _request("MFA_REQUEST_NAME", parts.request_name, place, never)
    if parts.request_admin:
        yield from _request("MFA_REQUEST_ADMIN", parts.request_admin, place, never)


def _request(
    variable: str, selectors: RequestSelectors, place: Place, never: Callable[[str], Finding]
) -> Iterator[Finding]:
    usable = selectors.usable(place)
    if usable:
        yield ok(f"{_WORDS[place]}, {variable} is answered by {_named(usable)}.")
    else:
        yield never(
            f"{_WORDS[place]}, none of the selectors of {variable} can ever answer; use {_ABLE[place]}, "
            f"or put the middleware {_OTHER[place]}."
        )


def _sees_every_path(selector: Selector, place: Place) -> bool:
    """Whether it is asked on paths that ``MFA_LOGIN`` does not declare, too."""
    return selector.watches and not (selector.kind == "session" and place is Place.OUTSIDE)


def _or_inside(place: Place) -> str:
    return ", or put the middleware inside" if place is Place.OUTSIDE else ", or add session:"


def _report(parts: Parts, place: Place) -> str:
    """How to learn of the logins that are not seen."""
    if place is not Place.OUTSIDE:
        return ""
    if parts.settings.report:
        return " MFA_REPORT tells of others by the event login_not_declared, and holds none."
    return " MFA_REPORT=true would tell of others when they happen."


def _kinds(selectors: Sequence[Selector]) -> set[str]:
    return {one.kind for one in selectors}


def _named(selectors: Iterator[Selector] | Sequence[Selector]) -> str:
    return join(dict.fromkeys(one.kind for one in selectors))
