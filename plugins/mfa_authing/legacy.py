"""``queryMFA`` and ``changeMFA`` (``MFA_AUTHING_LEGACY``): the API before there were confirmations.

A user may ask and change, the pool's owner may ask, nobody else may anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from graphql import (
    GraphQLArgument,
    GraphQLBoolean,
    GraphQLField,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    GraphQLString,
)
from pydantic import BaseModel

from mfa_authing.settings import AuthingSettings
from mfa_authing.users import TOTP, Revealed, factors_of, live_totps, owner_of, public_id
from mfa_middleware import MFA, Forbidden, InvalidRequest, NotFound, NotSignedIn
from mfa_middleware.models import Authenticator
from mfa_middleware.response_body import header
from mfa_middleware.web.public import Call, Caller

_LONGEST_USER_ID = 255
Document = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Target:
    """Whose TOTP is meant, and which, if it was said."""

    user_id: str
    row: str | None = None


class Legacy:
    """Both operations, under their names of both generations."""

    def __init__(self, mfa: MFA, settings: AuthingSettings) -> None:
        self._mfa = mfa
        self._user_pool_id = settings.user_pool_id
        self._revealed = Revealed(mfa, settings)

    async def query(self, call: Call[BaseModel], arguments: Document) -> Document | None:
        """What is known of a user's TOTP; None when there is none.

        :raises Forbidden: for who is neither that user nor the pool's owner.
        """
        caller = await _caller(call)
        target = _target(arguments, caller)
        if caller is None or target.user_id != caller.user_id:
            await _require_owner(call, caller)
        row = await self._row(target)
        return None if row is None else await self._described(call, row, arguments)

    async def change(self, call: Call[BaseModel], arguments: Document) -> Document | None:
        """Enable, disable, or make a new secret, which is in force at once and shown this once.

        :raises Forbidden: for everybody but the user.
        :raises StepUpRequired: for who has a live authenticator and has not proven one lately.
        """
        caller = await _caller(call)
        if caller is None:
            await call.require_admin()
            raise Forbidden("the owner is no user")
        target = _target(arguments, caller)
        if target.user_id != caller.user_id:
            raise Forbidden("the TOTP of another user")
        row, secret = await self._row(target), None
        enable, anew = arguments.get("enable"), bool(arguments.get("refreshKey") or arguments.get("refresh"))
        if row is None and target.row is not None:
            raise NotFound("the user has no such TOTP")
        if row is not None and enable is not None and enable != row.enabled:
            await self._mfa.change(caller, row.id, enabled=bool(enable), trace=call.trace)
        if (row is None and enable) or (row is not None and anew):  # last: a failure after it would swallow the secret
            begun = await self._mfa.put_in_force(caller, TOTP, row.id if row else None, call.trace)
            secret = begun.shown["secret"]
        row = await self._row(target)
        return None if row is None else await self._described(call, row, arguments, secret)

    async def _row(self, target: Target) -> Authenticator | None:
        rows = live_totps(await factors_of(self._mfa, target.user_id))
        return next((one for one in rows if target.row in (None, one.id)), None)

    async def _described(
        self, call: Call[BaseModel], row: Authenticator, arguments: Document, secret: str | None = None
    ) -> Document:
        shown = secret or await self._revealed.secret(row) or None
        pool = self._user_pool_id or str(
            arguments.get("userPoolId") or header(tuple(call.request.scope["headers"]), b"x-authing-userpool-id")
        )
        name = public_id(row)
        return {
            "_id": name,
            "id": name,
            "userId": row.user_id,
            "userPoolId": pool,
            "shareKey": shown,
            "secret": shown,
            "enable": row.enabled,
        }


async def _caller(call: Call[BaseModel]) -> Caller | None:
    try:
        return await call.caller()
    except NotSignedIn:
        return None


async def _require_owner(call: Call[BaseModel], caller: Caller | None) -> None:
    try:
        await call.require_admin()
    except NotSignedIn as error:
        if caller is None:
            raise
        raise Forbidden("neither the user nor the owner") from error


def _target(arguments: Document, caller: Caller | None) -> Target:
    """Whom the arguments name; the caller where they name nobody.

    :raises InvalidRequest: when they name two.
    """
    by_id = str(arguments.get("_id") or arguments.get("id") or "")
    user_id = str(arguments.get("userId") or "")
    if by_id:
        owner, row = owner_of(by_id) or ("", "")
        if len(owner) > _LONGEST_USER_ID or not owner or user_id not in ("", owner):
            raise InvalidRequest("an unusable _id", [("_id", "is none, or another user's")])
        return Target(owner, row)
    if len(user_id) > _LONGEST_USER_ID:
        raise InvalidRequest("an unusable user id", [("userId", "is too long")])
    if not user_id and caller is None:
        raise NotSignedIn("nobody is named and nobody is signed in")
    return Target(user_id or cast("Caller", caller).user_id)


def make_schema() -> GraphQLSchema:
    """The types of both generations. A request's :class:`Resolving` is its context."""
    types = {name: _type(name) for name in ("MFA", "Mfa")}
    text, flag = GraphQLArgument(GraphQLString), GraphQLArgument(GraphQLBoolean)
    asked = {"userPoolId": text, "userId": text}

    def operations(verb: str, changing: Mapping[str, GraphQLArgument]) -> dict[str, GraphQLField]:
        old = {**asked, "_id": text, **{name: one for name, one in changing.items() if name != "refresh"}}
        new = {**asked, "id": text, **{name: one for name, one in changing.items() if name != "refreshKey"}}
        return {
            f"{verb}MFA": GraphQLField(types["MFA"], old, resolve=_resolve),
            f"{verb}Mfa": GraphQLField(types["Mfa"], new, resolve=_resolve),
        }

    return GraphQLSchema(
        query=GraphQLObjectType("Query", operations("query", {})),
        mutation=GraphQLObjectType(
            "Mutation", operations("change", {"enable": flag, "refreshKey": flag, "refresh": flag})
        ),
    )


def _type(name: str) -> GraphQLObjectType:
    texts = {one: GraphQLField(GraphQLString) for one in ("_id", "id", "userId", "userPoolId", "shareKey", "secret")}
    return GraphQLObjectType(name, {**texts, "enable": GraphQLField(GraphQLNonNull(GraphQLBoolean))})


async def _resolve(_: object, info: GraphQLResolveInfo[Any], **arguments: Any) -> Document | None:  # noqa: ANN401  GraphQL's
    legacy, call = cast("tuple[Legacy, Call[BaseModel]]", info.context)
    handler = legacy.query if info.field_name.startswith("query") else legacy.change
    return await handler(call, arguments)
