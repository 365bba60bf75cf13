"""Everything that this package raises, as one tree.

    MFAError
    ├── ConfigurationError         stops start-up: one sentence that says what is wrong and how to mend it
    │   └── PluginError            … in a plugin; names its distribution
    └── Refusal                    an answer to a request; its ``code`` is stable and part of the HTTP API
        ├── EnrolmentRequired      mfa_enrolment_required
        ├── InvalidCode            invalid_code
        ├── TokenInvalid           token_invalid
        ├── NotSignedIn            not_signed_in
        ├── StepUpRequired         step_up_required
        ├── CrossOrigin            cross_origin
        ├── Forbidden              forbidden
        ├── NotFound               not_found
        ├── InvalidRequest         invalid_request
        ├── TooLarge               too_large
        ├── TooManyAttempts        too_many_attempts
        ├── Misconfigured          misconfigured
        ├── LoginNotHeld           login_not_held
        └── Unavailable            unavailable

A refusal has two faces: ``str(error)`` is for the client, ``reason`` is for the log and the event and never leaves
the server. Neither may contain a secret, a code or a token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class MFAError(Exception):
    """Base of all errors of this package."""


class ConfigurationError(MFAError):
    """A setting, a key, a store or a plugin that cannot work. Its text names the culprit and the mend."""


class PluginError(ConfigurationError):
    """A plugin that fails to import, registers a name twice, or implements a hook that does not exist."""


class Refusal(MFAError):
    """A request that is answered with an error. ``reason`` says why, inward only."""

    code: ClassVar[str]
    message: ClassVar[str]

    def __init__(self, reason: str, message: str | None = None) -> None:
        super().__init__(message or self.message)
        self.reason = reason


class EnrolmentRequired(Refusal):
    """The login is released only once its user has bound a factor."""

    code = "mfa_enrolment_required"
    message = "Bind a second factor first."


class InvalidCode(Refusal):
    """The answer is wrong, used up, or not this user's; the client cannot tell which.

    ``clock_off``: it would be right at another time. Told only to who was just shown the secret: to a guesser it
    would be a way to find codes of the future.
    """

    code = "invalid_code"
    message = "That code is not right."

    def __init__(self, reason: str, *, attempts_left: int | None = None, clock_off: bool = False) -> None:
        super().__init__(reason)
        self.attempts_left = attempts_left
        self.clock_off = clock_off


class TokenInvalid(Refusal):
    """The mfaToken is unknown, used, expired, or made for something else."""

    code = "token_invalid"
    message = "This mfaToken is unknown, used or expired. Log in again."


class NotSignedIn(Refusal):
    """Nobody is signed in."""

    code = "not_signed_in"
    message = "Sign in first."


class StepUpRequired(Refusal):
    """Who has a factor changes factors only after proving one."""

    code = "step_up_required"
    message = "Prove a second factor first."


class CrossOrigin(Refusal):
    """A page of another origin asked for a change."""

    code = "cross_origin"
    message = "Pages of this origin may not do that."


class Forbidden(Refusal):
    """The caller is known and may not."""

    code = "forbidden"
    message = "You may not do that."


class NotFound(Refusal):
    """No such thing, or not the caller's."""

    code = "not_found"
    message = "There is no such thing here."


class InvalidRequest(Refusal):
    """The request does not parse. ``errors`` names each field and what is wrong with it."""

    code = "invalid_request"
    message = "The request is not valid."

    def __init__(self, reason: str, errors: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(reason)
        self.errors = tuple(errors)


class TooLarge(Refusal):
    """The request's body is larger than this API reads."""

    code = "too_large"
    message = "The request is too large."


class TooManyAttempts(Refusal):
    """Right and wrong answers alike are refused for ``retry_after`` seconds."""

    code = "too_many_attempts"
    message = "Too many attempts. Try again later."

    def __init__(self, reason: str, *, retry_after: float) -> None:
        super().__init__(reason)
        self.retry_after = max(1, round(retry_after))


class Misconfigured(Refusal):
    """A setting that can never work where the middleware stands."""

    code = "misconfigured"
    message = "The second factor is not set up correctly on this server."


class LoginNotHeld(Refusal):
    """The login could not be held safely, and so was not let through."""

    code = "login_not_held"
    message = "This login could not be protected, so it was refused."


class Unavailable(Refusal):
    """Redis, the database or a plugin did not answer in time."""

    code = "unavailable"
    message = "The second factor is not available right now. Try again."

    def __init__(self, reason: str, *, retry_after: float = 1) -> None:
        super().__init__(reason)
        self.retry_after = max(1, round(retry_after))
