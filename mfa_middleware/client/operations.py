"""The operations of the HTTP API (dialect ``native``): each function describes one, and sends nothing."""

from __future__ import annotations

from collections.abc import Sequence

import httpx2

from mfa_middleware.client import answers, results
from mfa_middleware.client.calling import Operation, segment

_AUTHENTICATOR = answers.result(results.Authenticator)
_AUTHENTICATORS = answers.result(results.Authenticators)
_CHALLENGE = answers.result(results.Challenge)
_CONFIRMED = answers.result(results.Confirmed)
_PENDING = answers.result(results.Pending)
_RECOVERY_CODES = answers.result(results.RecoveryCodes)
_STATUS = answers.result(results.Status)


def verify(
    challenge: results.Challenge, code: str, *, factor: str = "", authenticator_id: str | None = None
) -> Operation[httpx2.Response]:
    """Answer a challenge, by its first factor if none is named.

    Gives the app's own login answer, whatever its status; after a step-up the server's ``{"verified": true}``.

    :raises InvalidCode: for a wrong code; the challenge allows ``attempts_left`` more.
    :raises TokenInvalid: for a challenge that was answered, or is too old.
    """
    body = {
        "mfaToken": challenge.mfa_token,
        "factor": factor or challenge.factors[0].factor,
        "code": code,
        "authenticatorId": authenticator_id,
    }
    return Operation("POST", "/verify", answers.released, body)


def release(challenge: results.Challenge) -> Operation[httpx2.Response]:
    """Get the app's own login answer, once the binding that it demanded is confirmed.

    :raises EnrolmentRequired: when it is not.
    """
    return Operation("POST", "/release", answers.released, {"mfaToken": challenge.mfa_token})


def prepare(challenge: results.Challenge, factor: str) -> Operation[results.Prepared]:
    """Let a factor send or prepare what its user needs to answer."""
    body = {"mfaToken": challenge.mfa_token, "factor": factor}
    return Operation("POST", "/challenge", answers.prepared, body)


def authenticators() -> Operation[results.Authenticators]:
    """The caller's live authenticators."""
    return Operation("GET", "/authenticators", _AUTHENTICATORS)


def bind(
    factor: str, *, label: str | None = None, challenge: results.Challenge | None = None
) -> Operation[results.Pending]:
    """Make a pending authenticator: of the caller, or of the user whose login must bind one first (``challenge``)."""
    body = {"mfaToken": _token(challenge), "factor": factor, "label": label}
    return Operation("POST", "/authenticators", _PENDING, body)


def confirm(
    authenticator_id: str, code: str, *, challenge: results.Challenge | None = None
) -> Operation[results.Confirmed]:
    """Make a pending authenticator live.

    :raises InvalidCode: for a wrong code.
    """
    path = f"/authenticators/{segment(authenticator_id)}/confirm"
    body = {"mfaToken": _token(challenge), "code": code}
    return Operation("POST", path, _CONFIRMED, body)


def change(
    authenticator_id: str, *, enabled: bool | None = None, label: str | None = None
) -> Operation[results.Authenticator]:
    """Enable, disable or relabel an authenticator."""
    path = f"/authenticators/{segment(authenticator_id)}"
    body = {"enabled": enabled, "label": label}
    return Operation("PATCH", path, _AUTHENTICATOR, body)


def refresh(authenticator_id: str) -> Operation[results.Pending]:
    """Make a new secret, pending; the old one lives until the new one is confirmed."""
    path = f"/authenticators/{segment(authenticator_id)}/refresh"
    return Operation("POST", path, _PENDING)


def unbind(authenticator_id: str) -> Operation[None]:
    """Remove an authenticator."""
    return Operation("DELETE", f"/authenticators/{segment(authenticator_id)}", answers.nothing)


def regenerate_codes() -> Operation[results.RecoveryCodes]:
    """Issue new recovery codes; the former ones are void."""
    return Operation("POST", "/recovery-codes", _RECOVERY_CODES)


def step_up() -> Operation[results.Challenge]:
    """Ask for a factor without a login; answer it by ``verify``, and factors may be changed for some minutes."""
    return Operation("POST", "/step-up", _CHALLENGE)


def status() -> Operation[results.Status]:
    """What the caller's logins need."""
    return Operation("GET", "/status", _STATUS)


# ------------------------------------------------------------------------------------------------------ of any user


def authenticators_of(user_id: str | int) -> Operation[results.Authenticators]:
    """A user's live authenticators."""
    return Operation("GET", f"{_user(user_id)}/authenticators", _AUTHENTICATORS)


def change_of(
    user_id: str | int, authenticator_id: str, *, enabled: bool | None = None, label: str | None = None
) -> Operation[results.Authenticator]:
    """Enable, disable or relabel a user's authenticator."""
    path = f"{_user(user_id)}/authenticators/{segment(authenticator_id)}"
    body = {"enabled": enabled, "label": label}
    return Operation("PATCH", path, _AUTHENTICATOR, body)


def unbind_of(user_id: str | int, authenticator_id: str) -> Operation[None]:
    """Remove one of a user's authenticators."""
    return Operation("DELETE", f"{_user(user_id)}/authenticators/{segment(authenticator_id)}", answers.nothing)


def reset(user_id: str | int) -> Operation[None]:
    """Remove all of a user's authenticators."""
    return Operation("DELETE", f"{_user(user_id)}/authenticators", answers.nothing)


def import_secret(
    user_id: str | int, factor: str, secret: str, *, label: str | None = None, recovery_codes: Sequence[str] = ()
) -> Operation[results.Authenticator]:
    """Bring an authenticator from another system, live at once; with those recovery codes and no others."""
    path = f"{_user(user_id)}/authenticators/import"
    body = {"factor": factor, "secret": secret, "label": label, "recoveryCodes": list(recovery_codes)}
    return Operation("POST", path, _AUTHENTICATOR, body)


def unlock(user_id: str | int) -> Operation[None]:
    """End a user's lock."""
    return Operation("DELETE", f"{_user(user_id)}/lockout", answers.nothing)


def _user(user_id: str | int) -> str:
    return f"/users/{segment(user_id)}"


def _token(challenge: results.Challenge | None) -> str | None:
    return None if challenge is None else challenge.mfa_token
