"""The pool's HTTP."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from examples.authing_user_pool.graphql import answer
from examples.authing_user_pool.operations import operations, profile
from examples.authing_user_pool.pool import Caller, Refused, UserPool

pool = UserPool()


def envelope(data: object = None, code: int = 200, message: str = "") -> Response:
    """Authing's answers by REST: HTTP says 200, and ``code`` how it went."""
    return JSONResponse({"code": code, "message": message, "data": data})


async def graphql(request: Request) -> Response:
    """One operation."""
    asked = await request.json()
    if not isinstance(asked, dict):
        return JSONResponse({"errors": [{"message": {"code": 400, "message": "one operation at a time"}}]}, 400)
    return JSONResponse(answer(asked, operations(pool, caller_of(request))))


async def ldap_login(request: Request) -> Response:
    """Sign in whoever knows the password, which this endpoint takes in plain text."""
    asked = await request.json()
    try:
        user = pool.login(str(asked.get("password")), username=str(asked.get("username")))
    except Refused as refused:
        return envelope(None, refused.code, refused.message)
    return envelope(profile(pool, user, pool.token_for(user)), message="登录成功")


async def me(request: Request) -> Response:
    """Who is signed in."""
    caller = caller_of(request)
    if caller.is_owner:
        return envelope({"isRoot": True, "userPoolId": pool.id})
    if caller.user is None:
        return envelope(None, 2020, "尚未登录")
    return envelope(profile(pool, caller.user, caller.token))


async def well_known(request: Request) -> Response:
    """What a client needs to know before it sends a password."""
    return envelope({"publicKey": pool.public_key, "userPoolId": pool.id})


def caller_of(request: Request) -> Caller:
    """Who sent a request."""
    return pool.caller(request.headers.get("authorization", ""))


app = Starlette(
    routes=[
        Route("/graphql", graphql, methods=["POST"]),
        Route("/graphql/v2", graphql, methods=["POST"]),
        Route("/api/v2/ldap/verify-user", ldap_login, methods=["POST"]),
        Route("/api/v2/users/me", me),
        Route("/api/v2/.well-known", well_known),
    ]
)
