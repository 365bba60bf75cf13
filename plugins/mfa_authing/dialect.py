"""The dialect ``authing``: challenges as Authing words them, and its API at Authing's own paths."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from mfa_authing.asked import Asked
from mfa_authing.envelope import CHALLENGE, answer, enveloped, graphql_error, told
from mfa_authing.held import document_of, is_graphql, operations_of, profile_of
from mfa_authing.settings import AuthingSettings
from mfa_middleware import MFA, ConfigurationError
from mfa_middleware.answering import GoOn, path_matcher
from mfa_middleware.dialects import WireAnswer
from mfa_middleware.dialects.native import Native, wants_html
from mfa_middleware.errors import Refusal
from mfa_middleware.held_login import HeldLogin
from mfa_middleware.loading import load
from mfa_middleware.models import Challenge, Purpose
from mfa_middleware.passage import READING, Receive, Scope, Send

if TYPE_CHECKING:
    from mfa_authing.pool import Pool

_REST = re.compile(
    r"/api/v2/(mfa/authenticator|mfa/totp/(associate(/confirm)?|verify|recovery|import)"
    r"|applications/mfa/totp/verify|users/.+/mfa-bound)",
    re.DOTALL,
)
TOTP = "totp"


class Authing:
    """Browsers that want pages get those of the sub-app, as in the native dialect."""

    name = "authing"

    def __init__(self, settings: AuthingSettings, *, in_use: bool = True, locale: str = "") -> None:
        self._settings = settings
        #: Whether a request may be for the app's GraphQL, however its path is spelt.
        self._is_graphql = path_matcher(settings.graphql)
        self._native = Native(locale)
        self._pools: Callable[[MFA, AuthingSettings], Pool] | None = _pools() if in_use else None
        self._pool: Pool | None = None

    def challenge(self, challenge: Challenge, scope: Scope, *, mount: str, held: HeldLogin) -> WireAnswer:
        """Code 1635 with the mfaToken; in GraphQL as an error."""
        if wants_html(scope):
            return self._native.challenge(challenge, scope, mount=mount, held=held)
        asked = scope.get(READING)
        enrols = challenge.purpose is Purpose.ENROLMENT
        if isinstance(asked, Asked) and not enrols:
            asked.challenge = challenge
        document = document_of(held)
        free = self._is_graphql(scope) or is_graphql(document)
        trusted = not free or (isinstance(asked, Asked) and asked.names_are_the_apps)
        data = {
            "mfaToken": challenge.mfa_token,
            **profile_of(document, names_are_the_apps=trusted),
            "totpMfaEnabled": not enrols and any(one.factor == TOTP for one in challenge.factors),
            "faceMfaEnabled": False,
            "applicationMfa": [{"mfaPolicy": "OTP", "status": 1, "sort": 0}],
        }
        envelope = enveloped(CHALLENGE, scope, data)
        if not self._is_graphql(scope):
            return answer(envelope)
        if isinstance(document, list):
            return answer([graphql_error(envelope, operations_of(one)) for one in document])
        return answer(graphql_error(envelope, operations_of(document)))

    def problem(self, error: Refusal, scope: Scope, *, trace_id: str) -> WireAnswer:
        """A refusal in an envelope; in GraphQL as an error."""
        if wants_html(scope):
            return self._native.problem(error, scope, trace_id=trace_id)
        refused = told(error, scope, trace_id=trace_id)
        document = graphql_error(refused.envelope) if self._is_graphql(scope) else refused.envelope
        return answer(document, *refused.headers, status=refused.status)

    def claims(self, scope: Scope) -> bool:
        """Whether it is one of Authing's MFA paths, or the app's GraphQL: what is asked there, its body tells."""
        if self._is_graphql(scope):
            return True
        path = _path(scope)
        return path.startswith("/api/v2/") and _REST.fullmatch(path) is not None

    def answer(self, mfa: MFA, scope: Scope, receive: Receive, send: Send, go_on: GoOn) -> Awaitable[None]:
        """Answer a request to Authing's API; what is none goes on to the app."""
        if self._pool is None:
            pools = self._pools or _pools()
            self._pool = pools(mfa, self._settings)
        if self._is_graphql(scope):
            return self._pool.graphql(scope, receive, send, go_on)
        return self._pool.rest(scope, receive, send)


def _pools() -> Callable[[MFA, AuthingSettings], Pool]:
    """What answers, imported where the dialect is in use."""
    try:
        made: Callable[[MFA, AuthingSettings], Pool] = load("mfa_authing.pool:Pool")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "graphql":
            raise
        raise ConfigurationError(
            "MFA_DIALECT: authing needs the extra authing; run pip install 'mfa-middleware[authing]'."
        ) from error
    return made


def _path(scope: Scope) -> str:
    """The request's path below ``root_path``."""
    path: str = scope["path"]
    root_path = scope.get("root_path", "")
    return path[len(root_path) :] if root_path and path.startswith(root_path) else path
