"""A Litestar app with server-side sessions, and the second factor around it: it is asked who is signed in.

uvicorn examples.litestar_app:app
"""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Litestar, Request, get, post
from litestar.enums import RequestEncodingType
from litestar.exceptions import NotAuthorizedException
from litestar.middleware.session.server_side import ServerSideSessionConfig
from litestar.params import Body

from mfa_middleware import MFAMiddleware, Settings

PASSWORDS = {"alice": "wonderland"}
Form = Annotated[dict[str, str], Body(media_type=RequestEncodingType.URL_ENCODED)]


@post("/login", status_code=200)
async def login(request: Request[Any, Any, Any], data: Form) -> dict[str, str]:
    """Sign in whoever knows the password."""
    name, password = data.get("username", ""), data.get("password", "")
    if (name, password) not in PASSWORDS.items():
        raise NotAuthorizedException("wrong name or password")
    request.session["user_id"] = name
    return {"user": name}


@get("/me")
async def me(request: Request[Any, Any, Any]) -> dict[str, str | None]:
    """Who is signed in."""
    return {"user": request.session.get("user_id")}


litestar = Litestar([login, me], middleware=[ServerSideSessionConfig().middleware])
app = MFAMiddleware(litestar, settings=Settings(login_user="whoami:/me#/user", request_user="whoami:/me#/user"))
