"""The factor ``recovery_code``: codes on paper, each good for one login (look-up secrets, SP 800-63B §3.1.2)."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence

from mfa_middleware.errors import InvalidCode
from mfa_middleware.factor import Answer, Enrolling, Enrolment, State
from mfa_middleware.models import Once
from mfa_recovery_code.settings import RecoveryCodeSettings

#: Crockford's base32: no I, L, O (read as 1, 1, 0) and no U.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_GROUPS, _GROUP = 4, 4  # 16 letters of 5 bits: 80 bits
#: What people type or paste between the letters: blank, no-break space, hyphen.
_BETWEEN = dict.fromkeys(map(ord, " \u00a0-"))
_AS_MEANT = str.maketrans("ILO", "110")
_LENGTHS = range(6, 65)  # codes of other systems come in many lengths


class RecoveryCode:
    """Backup codes. The state has only their digests, under a key of its own."""

    name = "recovery_code"
    title = "Recovery code"
    hint = "Type one of the codes that you kept when you set up your second factor. Each works once."
    amr = "otp"  # RFC 8176 has no value for look-up secrets; "kba" is for questions, and each of these works once

    def __init__(self, settings: RecoveryCodeSettings) -> None:
        self._count = settings.count

    async def enrol(self, enrolling: Enrolling) -> Enrolment:
        """Never called: recovery codes come with a user's first authenticator."""
        raise NotImplementedError("Recovery codes cannot be bound on their own.")

    async def check(self, state: State, answer: Answer) -> Once:
        """The digest of a right code. A used one is right here as well: that it is spent, the engine knows."""
        try:
            digest = _digest(bytes.fromhex(state["key"]), answer.code)
        except ValueError as error:
            raise InvalidCode("not a recovery code") from error
        # All are compared, so that the time tells nothing of which one it was.
        if not sum(hmac.compare_digest(digest.hex(), kept) for kept in state["digests"]):
            raise InvalidCode("no such recovery code")
        return Once(digest)

    def issue(self) -> tuple[State, Sequence[str]]:
        codes = [_new_code() for _ in range(self._count)]
        return self.adopt_codes(codes), codes

    def adopt_codes(self, codes: Sequence[str]) -> State:
        """Keep codes of any look. Case, blanks and hyphens in them do not count, nor whether it is O or 0."""
        key = secrets.token_bytes(32)
        digests = [_digest(key, code).hex() for code in codes]
        if not digests or len(set(digests)) < len(digests):
            raise ValueError("There are no recovery codes, or two of them are the same.")
        return {"key": key.hex(), "digests": digests}

    def left(self, state: State, spent: int) -> int:
        return max(len(state["digests"]) - spent, 0)


def _new_code() -> str:
    groups = ("".join(secrets.choice(_ALPHABET) for _ in range(_GROUP)) for _ in range(_GROUPS))
    return "-".join(groups)


def _digest(key: bytes, code: str) -> bytes:
    return hmac.digest(key, _canonical(code).encode(), "sha256")


def _canonical(code: str) -> str:
    """The one form of a code that is digested.

    :raises ValueError: for what is no code; without it in the text.
    """
    code = code.translate(_BETWEEN)
    if len(code) not in _LENGTHS or not code.isascii() or not code.isprintable():
        raise ValueError("A recovery code has 6 to 64 letters or digits.")
    return code.upper().translate(_AS_MEANT)
