"""What a wrong code of ``totp`` is told apart by, and secrets whose letters must all be kept."""

from __future__ import annotations

import pytest

from mfa_middleware.errors import InvalidCode
from mfa_middleware.factor import Answer
from mfa_middleware.models import Purpose
from mfa_middleware.testing import VirtualAuthenticator
from mfa_totp.settings import TOTPSettings
from mfa_totp.totp import TOTP
from tests.world import NOON

FACTOR = TOTP(TOTPSettings())
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXX"
STATE = FACTOR.adopt(SECRET)
URI = f"otpauth://totp/alice?secret={SECRET}&issuer=Example"


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        (-21, "wrong code"),
        (-20, "a code of 20 steps ago"),
        (-3, "a code of 3 steps ago"),
        (3, "a code of 3 steps ahead"),
        (20, "a code of 20 steps ahead"),
        (21, "wrong code"),
    ],
)
async def test_a_code_of_a_phone_whose_clock_is_off_is_told_from_a_guess(clock, steps, reason):
    code = VirtualAuthenticator(URI).code(offset_steps=steps)
    with pytest.raises(InvalidCode) as refused:
        await FACTOR.check(STATE, Answer(code, NOON, Purpose.LOGIN))
    assert refused.value.reason == reason
    assert refused.value.clock_off is (reason != "wrong code")


def test_a_secret_keeps_all_its_letters_and_loses_its_padding():
    assert FACTOR.adopt(SECRET + "==")["secret"] == SECRET
    assert FACTOR.adopt(SECRET.lower())["secret"] == SECRET
    assert FACTOR.adopt("jbsw y3dp-ehpk 3pxp jbsw y3dp ehpk 3pxx")["secret"] == SECRET
