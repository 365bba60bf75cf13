"""What the client raises, as one tree. The leaves are the stable codes of the HTTP API.

    MFAError
    └── ClientError
        ├── UnexpectedAnswer         no answer of mfa-middleware: a proxy's page, another app, another path
        └── Refused                  a problem document; also for a code that this client does not know
            ├── EnrolmentRequired    mfa_enrolment_required
            ├── InvalidCode          invalid_code; ``attempts_left``
            ├── TokenInvalid         token_invalid
            ├── NotSignedIn          not_signed_in
            ├── StepUpRequired       step_up_required
            ├── CrossOrigin          cross_origin
            ├── Forbidden            forbidden
            ├── NotFound             not_found
            ├── InvalidRequest       invalid_request; ``errors``
            ├── TooLarge             too_large
            ├── TooManyAttempts      too_many_attempts; ``retry_after``
            ├── Misconfigured        misconfigured
            ├── LoginNotHeld         login_not_held
            └── Unavailable          unavailable; ``retry_after``

The names are those of the server's tree, the classes are not: a server that calls another one by this client must not
take the other's refusal for its own. What the network does is raised by httpx2, as its ``TransportError``.
"""

from __future__ import annotations

from typing import ClassVar

import httpx2

from mfa_middleware.client.results import FieldError, Problem
from mfa_middleware.errors import MFAError


class ClientError(MFAError):
    """Base of all that the client raises. ``status`` is the HTTP status."""

    status: int


class UnexpectedAnswer(ClientError):
    """An answer that mfa-middleware does not give. Its text names no more of it than status and content type."""

    def __init__(self, response: httpx2.Response) -> None:
        super().__init__(response)
        self.response = response
        self.status = response.status_code

    def __str__(self) -> str:
        kind = self.response.headers.get("content-type", "no content type")
        return f"{self.status} ({kind}) is no answer of mfa-middleware. Are base_url and mount right?"


class Refused(ClientError):
    """A refusal. ``code`` is stable, ``str()`` is for people, ``trace_id`` stands in the server's log as well."""

    by_code: ClassVar[dict[str, type[Refused]]] = {}

    def __init_subclass__(cls, *, code: str = "") -> None:
        super().__init_subclass__()
        if code:
            cls.by_code[code] = cls

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.status = problem.status
        self.code = problem.code
        self.trace_id = problem.trace_id
        self._detail = problem.detail or problem.title

    def __str__(self) -> str:
        return f"{self.code}: {self._detail}"


class EnrolmentRequired(Refused, code="mfa_enrolment_required"):
    """The login is released only once its user has bound a factor."""


class InvalidCode(Refused, code="invalid_code"):
    """The answer is wrong or used up. ``attempts_left`` are those of the mfaToken; None at a confirmation."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.attempts_left: int | None = problem.attempts_left


class TokenInvalid(Refused, code="token_invalid"):
    """The mfaToken is unknown, used or expired: log in again."""


class NotSignedIn(Refused, code="not_signed_in"):
    """Nobody is signed in: the bearer token or the session cookie is missing or too old."""


class StepUpRequired(Refused, code="step_up_required"):
    """Prove a factor first, by ``step_up`` and ``verify``."""


class CrossOrigin(Refused, code="cross_origin"):
    """The request names an origin that may not do that. This client names none by itself."""


class Forbidden(Refused, code="forbidden"):
    """The caller is no admin."""


class NotFound(Refused, code="not_found"):
    """No such thing, or not the caller's."""


class InvalidRequest(Refused, code="invalid_request"):
    """What was sent does not fit. ``errors`` names each field and what is wrong with it."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.errors: tuple[FieldError, ...] = problem.errors


class TooLarge(Refused, code="too_large"):
    """More than the API reads."""


class _Later(Refused):
    """Worth another try after ``retry_after`` seconds."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.retry_after: int = problem.retry_after


class TooManyAttempts(_Later, code="too_many_attempts"):
    """Right and wrong answers alike are refused for ``retry_after`` seconds."""


class Misconfigured(Refused, code="misconfigured"):
    """A setting of the server cannot work; its log says which."""


class LoginNotHeld(Refused, code="login_not_held"):
    """The login could not be held safely, and so was not let through; the server's log says why."""


class Unavailable(_Later, code="unavailable"):
    """Redis, the database or a factor is away; again in ``retry_after`` seconds."""
