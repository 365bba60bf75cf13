"""Keys: a list of master keys, newest first; one purpose, one derived key (HKDF, RFC 5869).

What is sealed (AES-256-GCM) names the master key that sealed it, so that older ones still open what they sealed while
only the newest seals. The associated data binds a ciphertext to its place: moved elsewhere, it does not open.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mfa_middleware.errors import ConfigurationError, Misconfigured
from mfa_middleware.settings import split

KEY_BYTES = 32
_KEY_ID_BYTES = 6
_NONCE_BYTES = 12
_FEWEST_DISTINCT = 12  # 32 random bytes have fewer distinct values once in more than 10^14 keys


def new_key() -> str:
    """A new master key, as ``MFA_SECRET_KEY`` takes it: 32 random bytes in base64url."""
    return base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).decode().rstrip("=")


def parse_keys(text: str) -> tuple[bytes, ...]:
    """The master keys in a value of ``MFA_SECRET_KEY``.

    :raises ConfigurationError: for one that is no base64url, is too short, or is plainly not random.
    """
    return tuple(_parse_key(part) for part in split(text))


def _parse_key(text: str) -> bytes:
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise ConfigurationError("MFA_SECRET_KEY: a key is not in base64url; make one with `mfa keygen`.") from None
    if len(key) < KEY_BYTES or len(set(key)) < _FEWEST_DISTINCT:
        raise ConfigurationError("MFA_SECRET_KEY: a key is weaker than 32 random bytes; make one with `mfa keygen`.")
    return key


@dataclass(frozen=True, slots=True)
class _Derived:
    """What one master key is used for."""

    at_rest: AESGCM
    per_token: bytes
    signing: bytes


def _derive(master: bytes, purpose: bytes) -> bytes:
    info = b"mfa-middleware " + purpose
    return HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=None, info=info).derive(master)


class Keyring:
    """Seals, opens and tells signing keys. Holds no state but the keys."""

    def __init__(self, masters: Sequence[bytes]) -> None:
        if not masters:
            raise ConfigurationError("MFA_SECRET_KEY is missing; make a key with `mfa keygen`.")
        self._keys = {
            hashlib.sha256(b"mfa-middleware key id" + master).digest()[:_KEY_ID_BYTES]: _Derived(
                at_rest=AESGCM(_derive(master, b"at rest")),
                per_token=_derive(master, b"per token"),
                signing=_derive(master, b"signing"),
            )
            for master in masters
        }
        self._newest = next(iter(self._keys))
        #: The keys that sign and verify, by their ids, newest first.
        self.signing_keys: Mapping[str, bytes] = {key_id.hex(): key.signing for key_id, key in self._keys.items()}

    @property
    def newest(self) -> str:
        """The id of the key that seals and signs now."""
        return self._newest.hex()

    def seal(self, plaintext: bytes, *, bound_to: str) -> bytes:
        """Encrypt for keeping, bound to a place (a row and a column, say)."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        cipher = self._keys[self._newest].at_rest
        return self._newest + nonce + cipher.encrypt(nonce, plaintext, bound_to.encode())

    def open(self, sealed: bytes, *, bound_to: str) -> bytes:
        """Decrypt what :meth:`seal` made for the same place.

        :raises Misconfigured: when its key is not on the ring, or when it was changed or moved.
        """
        return self._open(sealed, bound_to, lambda key: key.at_rest)

    def seal_for_token(self, plaintext: bytes, *, secret: bytes, bound_to: str) -> bytes:
        """Encrypt so that our keys and the store do not suffice to open it: it takes the ``secret`` in the token."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        cipher = _token_cipher(self._keys[self._newest], secret)
        return self._newest + nonce + cipher.encrypt(nonce, plaintext, bound_to.encode())

    def open_for_token(self, sealed: bytes, *, secret: bytes, bound_to: str) -> bytes:
        """Decrypt what :meth:`seal_for_token` made with the same secret.

        :raises Misconfigured: as :meth:`open` does.
        """
        return self._open(sealed, bound_to, lambda key: _token_cipher(key, secret))

    def sealed_with_newest(self, sealed: bytes) -> bool:
        """Whether re-sealing would change the key."""
        return sealed.startswith(self._newest)

    def _open(self, sealed: bytes, bound_to: str, cipher_of: Callable[[_Derived], AESGCM]) -> bytes:
        key = self._keys.get(sealed[:_KEY_ID_BYTES])
        if key is None:
            raise Misconfigured("sealed under a key that MFA_SECRET_KEY no longer names")
        nonce = sealed[_KEY_ID_BYTES : _KEY_ID_BYTES + _NONCE_BYTES]
        try:
            return cipher_of(key).decrypt(nonce, sealed[_KEY_ID_BYTES + _NONCE_BYTES :], bound_to.encode())
        except (InvalidTag, ValueError) as error:
            raise Misconfigured("a sealed value was changed or moved: it does not open here") from error


def _token_cipher(key: _Derived, secret: bytes) -> AESGCM:
    # One block of HKDF-Expand: both inputs are uniformly random, so that no extraction is needed.
    return AESGCM(hmac.digest(key.per_token, b"held login" + secret, "sha256"))


def user_tag(user_id: str) -> str:
    """A user's id as it may stand in a Redis key or a token: a digest, safe in any syntax, the same under every key."""
    return _tag(b"user", user_id.encode())


def fingerprint(credential: str) -> str:
    """What a bearer token is remembered by. It does not lead back to the token."""
    return _tag(b"credential", credential.encode("utf-8", "surrogatepass"))


def token_digest(secret: bytes) -> str:
    """What an mfaToken is stored by. It does not lead back to the secret in the token."""
    return _tag(b"token", secret)


def _tag(kind: bytes, value: bytes) -> str:
    digest = hashlib.sha256(b"mfa-middleware " + kind + b"\0" + value).digest()[:18]
    return base64.urlsafe_b64encode(digest).decode()
