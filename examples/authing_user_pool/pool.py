"""The users of the pool, their passwords and their tokens."""

from __future__ import annotations

import base64
import hmac
import os
import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property

import jwt
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_TOKEN_SECONDS = 14 * 24 * 3600
_IDENTIFIERS = ("username", "email", "phone")


class Refused(Exception):
    """What the pool answers instead, with Authing's number for it."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass
class User:
    """One user; has at least one of username, email and phone."""

    password: str
    username: str | None = None
    email: str | None = None
    phone: str | None = None
    nickname: str | None = None
    id: str = field(default_factory=lambda: secrets.token_hex(12))
    created_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))


@dataclass(frozen=True)
class Caller:
    """Who sent a request: a user, the pool's owner, or nobody."""

    user: User | None = None
    is_owner: bool = False
    token: str | None = None


class UserPool:
    """The users, in memory."""

    def __init__(self) -> None:
        self.id = os.environ.get("AUTHING_USERPOOL_ID") or secrets.token_hex(12)
        self._secret = os.environ.get("AUTHING_USERPOOL_SECRET") or secrets.token_hex(16)
        self._jwt_key = secrets.token_bytes(32)
        self._users: dict[str, User] = {}

    @cached_property
    def _rsa_key(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(65537, 2048)

    @property
    def public_key(self) -> str:
        """What passwords are encrypted with on their way, as PEM."""
        return self._rsa_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def opened(self, encrypted: str) -> str:
        """The password that was encrypted with the public key."""
        try:
            # The SDK's encryption leaves out zeros at the beginning: one password in 256 comes a byte short.
            block = base64.b64decode(encrypted).rjust(self._rsa_key.key_size // 8, b"\0")
            return self._rsa_key.decrypt(block, padding.PKCS1v15()).decode()
        except ValueError as error:
            raise Refused(2333, "账号或密码错误") from error

    def add(self, user: User) -> User:
        """Take in a new user."""
        named = [name for name in _IDENTIFIERS if getattr(user, name)]
        if not named or any(self._find(name, getattr(user, name)) for name in named):
            raise Refused(2026, "用户已存在")
        self._users[user.id] = user
        return user

    def get(self, user_id: str) -> User:
        """The user of that id."""
        if user_id not in self._users:
            raise Refused(2004, "用户不存在")
        return self._users[user_id]

    def login(self, password: str, **identifier: str | None) -> User:
        """The user whom the identifier (username, email or phone) names and whose password it is."""
        found = [self._find(name, value) for name, value in identifier.items() if value]
        if len(found) != 1 or not found[0] or not hmac.compare_digest(found[0].password.encode(), password.encode()):
            raise Refused(2333, "账号或密码错误")
        return found[0]

    def token_for(self, user: User) -> str:
        """A new token of that user."""
        return self._signed({"sub": user.id, "data": {"id": user.id, "userPoolId": self.id}})

    def owner_token(self, pool_id: str, secret: str) -> str:
        """A new token of the pool's owner, for whoever knows the secret."""
        if pool_id != self.id or not hmac.compare_digest(secret.encode(), self._secret.encode()):
            raise Refused(2205, "用户池 ID 或密钥错误")
        return self._signed({"data": {"type": "userPool", "userPoolId": self.id}})

    def caller(self, authorization: str) -> Caller:
        """Whose token stands in that header field, with or without the word ``Bearer``."""
        token = authorization.removeprefix("Bearer ").strip()
        try:
            claims = jwt.decode(token, self._jwt_key, algorithms=["HS256"])
        except jwt.InvalidTokenError:
            return Caller()
        return Caller(self._users.get(claims.get("sub", "")), "sub" not in claims, token)

    def _find(self, name: str, value: str | None) -> User | None:
        return next((user for user in self._users.values() if value and getattr(user, name) == value), None)

    def _signed(self, claims: dict[str, object]) -> str:
        now = int(time.time())
        return jwt.encode(
            claims | {"iat": now, "exp": now + _TOKEN_SECONDS, "jti": secrets.token_hex(8)}, self._jwt_key
        )
