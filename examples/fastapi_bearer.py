"""A FastAPI app that gives out access tokens (OAuth 2 password flow), and the second factor around it.

uvicorn examples.fastapi_bearer:app
"""

from __future__ import annotations

import os
import secrets
import time
from typing import Annotated

import jwt
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm

from mfa_middleware import MFAMiddleware, Settings

PASSWORDS = {"alice": "wonderland"}
JWT_KEY = os.environ.get("JWT_KEY") or secrets.token_hex()

app = FastAPI()
app.add_middleware(
    MFAMiddleware,
    settings=Settings(
        login="POST /token",
        login_user="jwt:/access_token#sub",
        request_user="bearer:sub",
        app_jwt_key=JWT_KEY,
    ),
)


def signed_in(token: Annotated[str, Depends(OAuth2PasswordBearer("token"))]) -> str:
    """The user whose token it is."""
    try:
        claims = jwt.decode(token, JWT_KEY, algorithms=["HS256"])
    except jwt.InvalidTokenError as error:
        raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"}) from error
    return str(claims["sub"])


@app.post("/token")
def token(form: Annotated[OAuth2PasswordRequestForm, Depends()]) -> dict[str, str]:
    """Give a token to whoever knows the password."""
    if (form.username, form.password) not in PASSWORDS.items():
        raise HTTPException(401, "wrong name or password", {"WWW-Authenticate": "Bearer"})
    claims = {"sub": form.username, "exp": int(time.time()) + 3600}
    return {"access_token": jwt.encode(claims, JWT_KEY), "token_type": "bearer"}


@app.get("/me")
def me(user: Annotated[str, Depends(signed_in)]) -> dict[str, str]:
    """Who is signed in."""
    return {"user": user}
