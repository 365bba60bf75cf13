"""The users of all contenders, and the codes that their apps show.

The apps of all contenders import this, so it imports nothing of ours: that would be in their memory and their CPU.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct
import time
from collections.abc import Sequence
from functools import lru_cache

#: Users of every contender.
USERS = 16_000
PASSWORD = "correct horse"
_SECRETS = 200  # different ones: some contenders take long to make one
_CODES = 10


def name(number: int) -> str:
    """A user's name."""
    return f"user{number}"


def email(number: int) -> str:
    """A user's name where that is an address."""
    return f"{name(number)}@benchmark.example.com"


def secret(number: int) -> bytes:
    """The 20 bytes that a user's authenticator app shares with the server."""
    return hashlib.sha1(b"mfa-middleware benchmark %d" % (number % _SECRETS)).digest()


def base32(number: int) -> str:
    """The same as people type it."""
    return base64.b32encode(secret(number)).decode()


def key_of(text: str) -> bytes:
    """The bytes of a secret that was shown."""
    return base64.b32decode(text)


def code(number: int, *, as_text: bool = False) -> str:
    """What a user's app shows now. ``as_text``: of a server whose key is the secret's hexadecimal text."""
    return _code(number % _SECRETS, int(time.time() // 30), as_text)


def code_of(key: bytes, step: int) -> str:
    """The code of a key in a time step (RFC 6238), computed here: the driver shall cost little."""
    digest = hmac.digest(key, struct.pack(">Q", step), "sha1")
    (number,) = struct.unpack_from(">I", digest, digest[19] & 15)
    return f"{(number & 0x7FFFFFFF) % 1_000_000:06}"


@lru_cache(maxsize=4 * _SECRETS)
def _code(number: int, step: int, as_text: bool) -> str:
    key = secret(number)
    return code_of(key.hex().encode() if as_text else key, step)


def wrong(number: int) -> str:
    """A code that is none of those near now."""
    step = int(time.time() // 30)
    near = {_code(number % _SECRETS, one, False) for one in range(step - 2, step + 4)}
    return next(
        one for one in ("000000", "111111", "222222", "333333", "444444", "555555", "666666") if one not in near
    )


def recovery_codes(number: int) -> Sequence[str]:
    """A user's recovery codes."""
    return [f"{name(number)}-PAPER-{which}" for which in range(_CODES)]
