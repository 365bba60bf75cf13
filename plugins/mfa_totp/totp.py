"""The factor ``totp``: codes that an authenticator app computes from a shared secret and the time (RFC 6238)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from functools import cached_property
from hmac import compare_digest

import pyotp
import pyotp.totp
import segno

from mfa_middleware.errors import InvalidCode
from mfa_middleware.factor import Answer, Enrolling, Enrolment, State
from mfa_middleware.models import Counter, Purpose
from mfa_totp.settings import TOTPSettings

_DIGESTS = {"SHA1": hashlib.sha1, "SHA256": hashlib.sha256, "SHA512": hashlib.sha512}
#: What people type or paste between the digits of a code: blank, no-break space, hyphen.
_BETWEEN = dict.fromkeys(map(ord, " \u00a0-"))
_CLOCKS_DIFFER = 20  # steps up to which a wrong code is told from one of a phone whose clock is off
#: Any mask gives a QR code that scans; trying all eight for the prettiest takes six times as long.
_MASK = 3
#: Letters of an issuer or account name that go into the URI, so that it always fits into a QR code.
_LONGEST_LABEL = 64


class TOTP:
    """Time-based one-time passwords. The state keeps all that a code is computed from."""

    name = "totp"
    title = "Authenticator app"
    hint = "Open your authenticator app and type the code that it shows."
    amr = "otp"  # RFC 8176 §2: "one-time password", and it names RFC 6238

    def __init__(self, settings: TOTPSettings) -> None:
        self._settings = settings

    async def enrol(self, enrolling: Enrolling) -> Enrolment:
        """A secret of 160 bits (RFC 4226 §4, R6), as base32, as a URI, and as a QR code of that URI."""
        secret = pyotp.random_base32()
        state = self._state(secret)
        uri = _clock(state).provisioning_uri(name=_label(enrolling.name), issuer_name=_label(enrolling.issuer))
        qr_code = await asyncio.to_thread(_qr_code, uri)
        return Enrolment(state, {"secret": secret, "uri": uri, "qrCode": qr_code})

    async def check(self, state: State, answer: Answer) -> Counter | None:
        """The time step of the right code, so that it and every earlier one is spent (RFC 6238 §5.2)."""
        step = _step(_clock(state), answer, self._settings.window)
        if answer.purpose is Purpose.CONFIRM and not self._settings.spend_on_confirm:
            return None
        return Counter(step)

    def adopt(self, secret: str) -> State:
        """State for a secret in base32, however it is spaced, cased or padded.

        Codes are computed as ``MFA_TOTP_ALGORITHM``, ``_DIGITS`` and ``_PERIOD`` say.
        """
        tidy = secret.translate(_BETWEEN).rstrip("=")
        try:
            bits = 8 * len(_decoded(tidy))
        except ValueError:
            raise ValueError("The secret is not base32 (letters and the digits 2 to 7).") from None
        if bits < self._settings.import_bits:
            raise ValueError(f"The secret has {bits} bits, but MFA_TOTP_IMPORT_BITS is {self._settings.import_bits}.")
        return self._state(tidy.upper())

    def _state(self, secret: str) -> dict[str, str | int]:
        chosen = self._settings
        return {
            "secret": secret,
            "algorithm": chosen.algorithm,
            "digits": chosen.digits,
            "period": chosen.period,
        }


class _Clock(pyotp.totp.TOTP):
    """pyotp's arithmetic without its floor of 112 bits: ``MFA_TOTP_IMPORT_BITS`` is ours."""

    def byte_secret(self) -> bytes:
        return self._bytes

    @cached_property
    def _bytes(self) -> bytes:
        return _decoded(self.secret)  # once for all steps of the window


def _clock(state: State) -> _Clock:
    return _Clock(
        state["secret"], digits=state["digits"], digest=_DIGESTS[state["algorithm"]], interval=state["period"]
    )


def _decoded(secret: str) -> bytes:
    return base64.b32decode(secret + "=" * (-len(secret) % 8), casefold=True)


def _step(clock: _Clock, answer: Answer, window: int) -> int:
    """The time step that the code belongs to.

    Should it belong to two steps of the window, the later one: with the earlier one the same code would be accepted
    again. All steps are looked at, which takes as long for a right code as for a wrong one.
    """
    code = _canonical(answer.code, clock.digits)
    now = clock.timecode(answer.at)
    steps = range(max(now - window, 0), now + window + 1)
    matching = [step for step in steps if compare_digest(clock.generate_otp(step), code)]
    if not matching:
        raise _wrong(clock, code, now)
    return matching[-1]


def _wrong(clock: _Clock, code: str, now: int) -> InvalidCode:
    """With a reason that tells a guess from a phone whose clock is off."""
    steps = range(-_CLOCKS_DIFFER, _CLOCKS_DIFFER + 1)
    off = next((step for step in steps if compare_digest(clock.generate_otp(max(now + step, 0)), code)), None)
    if off is None:
        return InvalidCode("wrong code")
    return InvalidCode(f"a code of {abs(off)} steps {'ago' if off < 0 else 'ahead'}", clock_off=True)


def _canonical(code: str, digits: int) -> str:
    """The code as digits only. Digits of other scripts, signs and exponents are no digits here."""
    code = code.translate(_BETWEEN)
    if len(code) != digits or not code.isascii() or not code.isdigit():
        raise InvalidCode(f"not a code of {digits} digits")
    return code


def _label(text: str) -> str:
    """A name as authenticator apps read it: a colon ends the issuer, however it is encoded (Key Uri Format)."""
    return text.replace(":", " ")[:_LONGEST_LABEL].strip()


def _qr_code(uri: str) -> str:
    """A ``data:`` URL of a PNG, on white for dark pages, and which apps without a browser can show, too."""
    code = segno.make_qr(uri, error="m", mask=_MASK, boost_error=False)
    return code.png_data_uri(scale=4)
