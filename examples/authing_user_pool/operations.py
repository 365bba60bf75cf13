"""What the SDKs ask the pool for by GraphQL: version 4 of them, and the older names of 3.22."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import jwt

from examples.authing_user_pool.graphql import Json, Operation
from examples.authing_user_pool.pool import Caller, Refused, User, UserPool

_NAMES = ("username", "email", "phone")


def operations(pool: UserPool, caller: Caller) -> Mapping[str, Operation]:
    """The operations, for one caller."""
    one = _Operations(pool, caller)
    return {
        "accessToken": one.access_token,
        "createUser": one.create_user,
        "getClientWhenSdkInit": one.first_request,
        "login": one.login,
        "loginByEmail": one.login_by,
        "loginByPhonePassword": one.login_by,
        "loginByUsername": one.login_by,
        "register": one.register,
        "registerByEmail": one.register_by,
        "registerByUsername": one.register_by,
        "user": one.user,
    }


def profile(pool: UserPool, user: User, token: str | None = None) -> Json:
    """A user as the SDKs want one: ``_id`` is how version 3 calls the id."""
    expires = jwt.decode(token, options={"verify_signature": False})["exp"] if token else None
    return {
        "id": user.id,
        "_id": user.id,
        "arn": f"arn:cn:authing:{pool.id}:user:{user.id}",
        "userPoolId": pool.id,
        "username": user.username,
        "email": user.email,
        "phone": user.phone,
        "nickname": user.nickname,
        "preferredUsername": user.email or user.username or user.phone,
        "createdAt": user.created_at,
        "updatedAt": user.created_at,
        "status": "Activated",
        "isRoot": False,
        "blocked": False,
        "isDeleted": False,
        "token": token,
        "tokenExpiredAt": datetime.fromtimestamp(expires, UTC).isoformat() if expires else None,
    }


class _Operations:
    def __init__(self, pool: UserPool, caller: Caller) -> None:
        self._pool = pool
        self._caller = caller

    def access_token(self, arguments: Json) -> Json:
        """The owner's token, for a management client of version 4."""
        return {"accessToken": self._pool.owner_token(arguments["userPoolId"], arguments["secret"])}

    def first_request(self, arguments: Json) -> Json:
        """The owner's token, which version 3 asks for when it is constructed."""
        token = self._pool.owner_token(arguments["clientId"], arguments["secret"])
        return {"accessToken": token, "clientInfo": {"_id": self._pool.id, "name": "example"}}

    def create_user(self, arguments: Json) -> Json:
        """A new user, made by the owner."""
        if not self._caller.is_owner:
            raise Refused(2020, "尚未登录")
        return profile(self._pool, self._new(arguments["userInfo"]))

    def register_by(self, arguments: Json) -> Json:
        """A new user, who is signed in if that is asked for."""
        given = arguments["input"]
        user = self._new({**(given.get("profile") or {}), **given})
        wants_token = given.get("forceLogin") or given.get("generateToken")
        return profile(self._pool, user, self._pool.token_for(user) if wants_token else None)

    def register(self, arguments: Json) -> Json:
        """The same as version 3 asks for it."""
        return self.register_by({"input": arguments["userInfo"]})

    def login_by(self, arguments: Json) -> Json:
        """Sign a user in."""
        given = arguments["input"]
        user = self._pool.login(self._pool.opened(given["password"]), **{name: given.get(name) for name in _NAMES})
        return profile(self._pool, user, self._pool.token_for(user))

    def login(self, arguments: Json) -> Json:
        """The same as version 3 asks for it."""
        return self.login_by({"input": arguments})

    def user(self, arguments: Json) -> Json:
        """A user's profile, for that user and the owner."""
        me = self._caller.user
        if me and arguments.get("id") in (None, me.id):
            return profile(self._pool, me, self._caller.token)  # clients keep it as it comes: null would log them out
        if not self._caller.is_owner or not arguments.get("id"):
            raise Refused(2020, "尚未登录")
        return profile(self._pool, self._pool.get(arguments["id"]))

    def _new(self, given: Json) -> User:
        password = self._pool.opened(given["password"])
        names: Json = {name: given.get(name) or None for name in (*_NAMES, "nickname")}
        return self._pool.add(User(password, **names))
