"""The two signed tokens: the mfaToken, and the cookie that says that a browser proved a factor.

Both are JWTs (RFC 7519) under the best current practices of RFC 8725: a fixed algorithm, an explicit ``typ``
(§3.11), every claim required, and a key of our own that no app token is signed with. Junk is refused here, before any
store is asked.
"""

from __future__ import annotations

import base64
import binascii
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
from jwt.algorithms import HMACAlgorithm

from mfa_middleware.errors import TokenInvalid
from mfa_middleware.keyring import Keyring, token_digest, user_tag
from mfa_middleware.models import Assurance, Purpose

MFA_TOKEN_TYPE = "mfa+jwt"
_ASSURANCE_TYPE = "mfa-assurance+jwt"
_ISSUER = "mfa-middleware"
_ALGORITHM = "HS256"
_LONGEST = 1024  # characters; ours have about 420
_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class MfaToken:
    """A token that verifies: whose (a tag), what for, under which digest it is stored, and the secret that opens it."""

    user: str
    purpose: Purpose
    secret: bytes = field(repr=False)
    digest: str = field(init=False)  #: its name in the store

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", token_digest(self.secret))

    @property
    def place(self) -> str:
        """What its record is bound to."""
        return f"token {self.user} {self.purpose} {self.digest}"


class Tokens:
    """Issues and reads both tokens. ``ttl`` is in seconds."""

    def __init__(self, keyring: Keyring, *, ttl: int, assurance_ttl: int) -> None:
        self._keyring = keyring
        self._ttl = ttl
        self._assurance_ttl = assurance_ttl

    def issue(self, user_id: str, purpose: Purpose) -> tuple[str, MfaToken]:
        """A new mfaToken as text, and as :meth:`read` will see it."""
        token = MfaToken(user_tag(user_id), purpose, secrets.token_bytes(_SECRET_BYTES))
        jti = base64.urlsafe_b64encode(token.secret).decode()
        return self._sign(MFA_TOKEN_TYPE, token.user, self._ttl, {"jti": jti, "purpose": str(purpose)}), token

    def read(self, text: str) -> MfaToken:
        """The mfaToken in that text.

        :raises TokenInvalid: for anything that this keyring did not sign as an mfaToken, or that has expired.
        """
        claims = self._verify(MFA_TOKEN_TYPE, text, required=("jti", "purpose"))
        try:
            secret = base64.b64decode(claims["jti"], altchars=b"-_", validate=True)
            return MfaToken(claims["sub"], Purpose(claims["purpose"]), secret)
        except (binascii.Error, TypeError, ValueError) as error:
            raise TokenInvalid("claims of another shape") from error

    def sign_assurance(self, assurance: Assurance) -> str:
        """The value of the cookie ``mfa_assurance``."""
        claims = {"auth_time": int(assurance.at), "amr": [assurance.amr], "jti": assurance.id}
        return self._sign(_ASSURANCE_TYPE, user_tag(assurance.user_id), self._assurance_ttl, claims)

    def assurance_id(self, text: str, user_id: str) -> str | None:
        """The id of the proof that such a cookie tells of; None for a bad one, or another user's. Never raises.

        Whether that proof is still kept is for the token store to say: a reset destroys it.
        """
        try:
            claims = self._verify(_ASSURANCE_TYPE, text, required=("auth_time", "jti"))
        except TokenInvalid:
            return None
        return str(claims["jti"]) if claims["sub"] == user_tag(user_id) else None

    def _sign(self, kind: str, subject: str, ttl: int, claims: Mapping[str, Any]) -> str:
        now = int(time.time())
        key_id = self._keyring.newest
        return _JWT.encode(
            {"iss": _ISSUER, "aud": kind, "sub": subject, "iat": now, "exp": now + ttl, **claims},
            self._keyring.signing_keys[key_id],
            algorithm=_ALGORITHM,
            headers={"typ": kind, "kid": key_id},
        )

    def _verify(self, kind: str, text: str, required: tuple[str, ...]) -> dict[str, Any]:
        _refuse_long(text)
        for key_id, key in self._keyring.signing_keys.items():
            try:
                verified = _JWT.decode_complete(
                    text,
                    key,
                    algorithms=[_ALGORITHM],
                    audience=kind,
                    issuer=_ISSUER,
                    options={
                        "require": ["iss", "aud", "sub", "iat", "exp", *required],
                        "strict_aud": True,
                        "verify_iat": False,  # a node whose clock is ahead issues tokens of the future
                    },
                )
            except jwt.InvalidSignatureError:
                continue
            except (jwt.InvalidTokenError, ValueError, RecursionError) as error:
                raise TokenInvalid(f"refused: {type(error).__name__}") from error
            if (verified["header"].get("typ"), verified["header"].get("kid")) != (kind, key_id):
                raise TokenInvalid("a token of another kind")
            claims: dict[str, Any] = verified["payload"]
            return claims
        raise TokenInvalid("a token of another key")


class _DerivedKey(HMACAlgorithm):
    """HS256 under a key that was derived here: it need not be asked whether it is somebody's public key."""

    def prepare_key(self, key: str | bytes) -> bytes:
        return key.encode() if isinstance(key, str) else key


class _DerivedKeys(jwt.PyJWT):
    """PyJWT for such keys alone. To ask would cost as much as all else that it does."""

    def __init__(self) -> None:
        super().__init__()
        self._jws = jwt.PyJWS(algorithms=[])
        self._jws.register_algorithm(_ALGORITHM, _DerivedKey(HMACAlgorithm.SHA256))


_JWT = _DerivedKeys()


def is_mfa_token(text: str) -> bool:
    """Whether that bearer token says that it is an mfaToken. Says nothing about whether it is a good one."""
    try:
        return _header(text).get("typ") == MFA_TOKEN_TYPE
    except TokenInvalid:
        return False


def _header(text: str) -> Mapping[str, Any]:
    _refuse_long(text)
    try:
        return jwt.get_unverified_header(text)
    except (jwt.InvalidTokenError, ValueError, RecursionError) as error:
        raise TokenInvalid("not a JWT") from error


def _refuse_long(text: str) -> None:
    if len(text) > _LONGEST:
        raise TokenInvalid("too long for a token of ours")
