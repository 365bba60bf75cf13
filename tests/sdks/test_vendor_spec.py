"""The vendor's own ``MfaAuthenticationClient.spec.js``, as it lies in authing-js-sdk 4.23.55, one test after the other.

What it asserts, each time for a user who has just registered and logged in by e-mail:

1. ``getMfaAuthenticators`` gives an empty list;
2. ``assosicateMfaAuthenticator`` gives ``authenticator_type`` ``totp`` and four texts: ``secret``, ``qrcode_uri``,
   ``qrcode_data_url``, ``recovery_code``;
3. ``deleteMfaAuthenticator`` takes back a binding that was not confirmed;
4. ``confirmAssosicateMfaAuthenticator`` takes otplib's code for that secret;
5. then ``loginByEmail``, called with a client that still carries that user's token, throws ``code`` 1635 with
   ``data.mfaToken``, and ``verifyTotpMfa`` gives a user with an ``id``;
6. the same with ``verifyTotpRecoveryCode`` and the code of the association.

In 5 the code that confirmed the binding logs in, too. That is what ``MFA_TOTP_SPEND_ON_CONFIRM=false`` is for; nothing
else needs to be set, and secrets need not be revealed.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.sdks.conftest import POOL_ID, SECRET, Wrapped
from tests.sdks.installing import Sdks, own_environment

pytestmark = pytest.mark.slow

SPEC = "build/main/lib/authentication/MfaAuthenticationClient.spec.js"
_SECONDS = 60


@pytest.fixture(scope="module")
def pool(wrapped: Wrapped) -> Iterator[str]:
    with wrapped(MFA_TOTP_SPEND_ON_CONFIRM="false") as url:
        yield url


def spec_folder(sdks: Sdks, folder: Path) -> Path:
    """A copy of the package where ``ava`` looks at it: in ``node_modules`` it does not."""
    shutil.copytree(sdks.node_modules / "authing-js-sdk/build/main", folder / "build/main")
    shutil.copy(Path(__file__).parent / "pool_key.cjs", folder)
    (folder / "node_modules").symlink_to(sdks.node_modules)
    ava = {"files": [SPEC], "require": ["./pool_key.cjs"]}
    (folder / "package.json").write_text(json.dumps({"private": True, "ava": ava}))
    return folder


def test_the_vendor_s_own_tests_pass(sdks: Sdks, pool: str, tmp_path: Path):
    public_key = httpx2.get(f"{pool}/api/v2/.well-known", timeout=20).json()["data"]["publicKey"]
    env = own_environment(
        AUTHING_APP_HOST=pool,
        AUTHING_HOST=pool,
        AUTHING_APP_ID="example",
        AUTHING_USERPOOL_ID=POOL_ID,
        AUTHING_USERPOOL_SECRET=SECRET,
        AUTHING_PUBLIC_KEY=public_key,
    )
    folder = spec_folder(sdks, tmp_path)
    command = ["node", "node_modules/ava/entrypoints/cli.mjs", "--serial", "--tap", "--timeout=30s"]
    ran = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=_SECONDS, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert len(re.findall(r"^ok ", ran.stdout, re.MULTILINE)) == 6
