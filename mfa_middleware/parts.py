"""What settings and plugins make, put together once and without touching an engine."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, cast

from mfa_middleware.cookies import CookieNames
from mfa_middleware.core import Core
from mfa_middleware.dialects import Dialect
from mfa_middleware.dialects.native import Native
from mfa_middleware.errors import ConfigurationError
from mfa_middleware.events import EventListener, Events
from mfa_middleware.gate import SessionGate
from mfa_middleware.keyring import Keyring
from mfa_middleware.keys import find_keys
from mfa_middleware.loading import load
from mfa_middleware.login_request import parse_exceptions
from mfa_middleware.paths import login_matcher, parse_patterns
from mfa_middleware.plugins import Plugins
from mfa_middleware.selectors import LoginSelectors, Place, RequestSelectors, parse_selectors
from mfa_middleware.selectors.base import SelectorKind
from mfa_middleware.selectors.choice import other_session_key, selector_kinds
from mfa_middleware.settings import Settings, join, split
from mfa_middleware.stores.protocols import AuthenticatorStore, LockPolicy, TokenStore
from mfa_middleware.tokens import Tokens
from mfa_middleware.web.origin import Origins

if TYPE_CHECKING:
    from mfa_middleware.web.calls import Desk

logger = logging.getLogger(__name__)
_MOST_HINTS = 20


class Hints:
    """What the log says once for each path, and not on every request."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def stripped(self, path: str, status: int) -> None:
        """A login was refused, perhaps for want of the session that was taken out of it."""
        if path in self._told or len(self._told) >= _MOST_HINTS:
            return
        self._told.add(path)
        logger.warning(
            "%r answered %d to a request whose session cookie was taken out (MFA_SESSION_MODE=strip). If the app keeps "
            "a CSRF token or an OAuth state in its session, put the middleware inside of the session middleware, or "
            "set MFA_SESSION_MODE=gate.",
            path,
            status,
        )


class Parts:
    """All that settings and plugins make: put together without touching an engine.

    :raises ConfigurationError: for whatever cannot work, with the mend.
    """

    def __init__(self, settings: Settings, plugins: Iterable[object] = ()) -> None:
        self.plugins = Plugins.load(settings, plugins)
        kinds = selector_kinds(cast("Iterable[SelectorKind]", self.plugins.selectors.values()))
        self.settings = settings
        self.login_except = parse_exceptions(settings.login_except)
        self.login_methods = login_matcher(settings.login)
        self.login_user = LoginSelectors(parse_selectors("MFA_LOGIN_USER", settings.login_user, settings, kinds))
        if not self.login_user.watchers and not parse_patterns(settings.login):
            raise ConfigurationError("MFA_LOGIN declares no path, and none of MFA_LOGIN_USER sees logins elsewhere.")
        self.request_user = self._request("MFA_REQUEST_USER", settings.request_user, kinds)
        self.request_name = self._request("MFA_REQUEST_NAME", settings.request_name, kinds)
        self.request_admin = self._request("MFA_REQUEST_ADMIN", settings.request_admin, kinds)
        if sentence := other_session_key(
            self.login_user.usable(Place.ANYWHERE), self.request_user.usable(Place.ANYWHERE)
        ):
            logger.warning("%s", sentence)
        self.session_cookies = CookieNames(split(settings.session_cookie))
        self.dialect = self._dialect()
        keyring = Keyring(find_keys(settings))
        self.core = Core(
            settings=settings,
            keyring=keyring,
            tokens=Tokens(keyring, ttl=settings.token_ttl, assurance_ttl=settings.step_up_ttl),
            factors=self.plugins.factors,
            token_store=cast("TokenStore", load("mfa_middleware.stores.redis:open_store")(settings)),
            authenticator_store=cast("AuthenticatorStore", load("mfa_middleware.stores.sql:open_store")(settings)),
            events=Events(cast("Sequence[EventListener]", self.plugins.listeners)),
            policy=LockPolicy(settings.user_failures, settings.lockout),
        )
        self.hints = Hints()
        self.origins = Origins(settings)
        gate = SessionGate(self.core.authenticator_store, self.session_cookies, max_age=settings.session_max_age)
        self.gate = gate if settings.session_mode == "gate" else None

    def _request(self, variable: str, text: str, kinds: Mapping[str, SelectorKind]) -> RequestSelectors:
        return RequestSelectors(variable, parse_selectors(variable, text, self.settings, kinds))

    def _dialect(self) -> Dialect:
        dialects = {"native": Native(self.settings.locale), **cast("Mapping[str, Dialect]", self.plugins.dialects)}
        found = dialects.get(self.settings.dialect)
        if found is None:
            raise ConfigurationError(
                f"MFA_DIALECT: there is no dialect {self.settings.dialect!r}; there are {join(dialects)}."
            )
        return found

    @property
    def desk(self) -> Desk:
        """What the sub-app works with."""
        desk: Desk = load("mfa_middleware.web.calls:Desk")(
            self.core, self.request_user, self.request_name, self.request_admin
        )
        return desk
