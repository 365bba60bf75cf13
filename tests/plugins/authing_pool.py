"""A user pool with REST and GraphQL that knows nothing of a second factor, wrapped with the dialect ``authing``."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
from graphql import build_schema, graphql
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mfa_middleware import MFAMiddleware, Settings
from mfa_middleware.testing import VirtualAuthenticator
from tests.world import Listener, Plugin, earlier_code

PASSWORD = "wonderland"
OWNER = "owner-of-the-pool-1"
LOGIN = (
    "mutation login($email: String, $MFACode: String) { login(email: $email, MFACode: $MFACode) { _id token email } }"
)
USUAL = {
    "dialect": "authing",
    "login": "POST /graphql, POST /graphql/v2, POST /api/v2/login, POST /plain, POST /cookies",
    "login_user": "whoami:/me#/id",
    "request_user": "whoami:/me#/id",
    "request_admin": "whoami:/me#/owner",
    "issuer": "Example",
    "database_url": "sqlite://",
}

_SCHEMA = build_schema("""
    type User {
        _id: String, id: String, email: String, nickname: String, photo: String, token: String, me: User
    }
    type Query { me: User, hello: String, list: [User], echo(text: String): String }
    type Mutation {
        login(email: String, MFACode: String): User, raw(email: String): String, echo(text: String): String
    }
""")


class Pool:
    """The app. Its tokens are random words, which nothing can tell from any other text."""

    def __init__(self) -> None:
        self.new_token: Callable[[str], str] = lambda email: "word" + secrets.token_hex(16)
        self.me: Callable[[str | None], dict[str, Any]] = lambda caller: {"id": caller, "email": caller}
        self.tokens: dict[str, str] = {}
        self.seen: list[bytes] = []
        paths = {"/api/v2/login": self._rest, "/plain": self._plain, "/cookies": self._cookies}
        self.app = Starlette(
            routes=[
                Route("/me", self._me),
                *(Route(path, each, methods=["POST"]) for path, each in paths.items()),
                *(
                    Route(path, self._graphql, methods=["GET", "POST"])
                    for path in ("/graphql", "/graphql/", "/graphql/v2")
                ),
            ]
        )

    def user(self, email: str) -> dict[str, Any]:
        """Sign a user in."""
        token = self.new_token(email)
        self.tokens[token] = email
        known = {"_id": email, "id": email, "email": email, "nickname": "Al", "photo": "https://x/al.png"}
        user: dict[str, Any] = {**known, "token": token, "password": "a digest"}
        user["me"] = user
        return user

    def _caller(self, request: Request) -> str | None:
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        return self.tokens.get(bearer or request.cookies.get("session", ""))

    async def _me(self, request: Request) -> Response:
        owner = request.headers.get("authorization") == f"Bearer {OWNER}"
        return JSONResponse({"id": self._caller(request), "owner": owner})

    async def _rest(self, request: Request) -> Response:
        user = self.user((await request.json())["email"]) | {"me": None}
        return JSONResponse({"code": 200, "message": "", "data": user}, headers={"set-cookie": "theme=dark"})

    async def _plain(self, request: Request) -> Response:
        return JSONResponse(self.user((await request.json())["email"]) | {"me": None})

    async def _cookies(self, request: Request) -> Response:
        token = self.user((await request.json())["email"])["token"]
        return Response(status_code=204, headers={"set-cookie": f"session={token}; HttpOnly"})

    async def _graphql(self, request: Request) -> Response:
        self.seen.append(await request.body())
        asked = await _asked(request)
        items = asked if isinstance(asked, list) else [asked]
        answers = [await self._one(request, item) for item in items]
        return JSONResponse(answers if isinstance(asked, list) else answers[0])

    async def _one(self, request: Request, item: Mapping[str, Any]) -> dict[str, Any]:
        caller = self._caller(request)
        root = {
            "hello": "world",
            "echo": lambda info, text=None: text,
            "list": [{"id": f"an-id-that-is-long-{number:04}"} for number in range(50)],
            "me": self.me(caller),
            "login": lambda info, email=None, **_: self.user(email),
            "raw": lambda info, email=None: self.user(email)["token"],
        }
        name = item.get("operationName")
        done = await graphql(_SCHEMA, item["query"], root, variable_values=item.get("variables"), operation_name=name)
        return {
            "data": done.data,
            **({"errors": [{"message": str(one)} for one in done.errors]} if done.errors else {}),
        }


async def _asked(request: Request) -> Any:
    """What a request asks: in JSON, in a form of uploads, or in its query string."""
    if request.method == "GET":
        return dict(request.query_params)
    if "multipart" in request.headers.get("content-type", ""):
        return json.loads(str((await request.form())["operations"]))
    return await request.json()


@dataclass
class Bound:
    """Somebody with a confirmed TOTP, and what is needed to go on."""

    email: str
    phone: VirtualAuthenticator
    recovery_code: str
    token: str


class World:
    """The wrapped pool, and what a client of it does."""

    def __init__(self, **given: object) -> None:
        self.pool = Pool()
        self.told = Listener()
        self.middleware = MFAMiddleware(
            self.pool.app, settings=Settings(**{**USUAL, **given}), plugins=[Plugin(listeners=(self.told,))]
        )
        transport = httpx2.ASGITransport(app=self.middleware)
        self.client = httpx2.AsyncClient(transport=transport, base_url="http://pool.test", timeout=10)

    async def close(self) -> None:
        await self.client.aclose()
        await self.middleware.mfa.close()

    async def call(
        self, method: str, path: str, json: object = None, *, token: str = "", **more: Any
    ) -> httpx2.Response:
        """One request, with a bearer as version 4 of the SDKs writes it; no cookie is kept."""
        headers = {**({"authorization": f"Bearer {token}"} if token else {}), **more.pop("headers", {})}
        answer = await self.client.request(method, path, json=json, headers=headers, **more)
        self.client.cookies.clear()
        return answer

    async def post(self, path: str, json: object, **more: Any) -> httpx2.Response:
        return await self.call("POST", path, json, **more)

    async def graphql(self, query: str, *, path: str = "/graphql", token: str = "", **variables: Any) -> Any:
        """What a GraphQL request is answered."""
        answer = await self.post(path, {"query": query, "variables": variables}, token=token)
        return answer.json()

    async def token_of(self, email: str) -> str:
        """Log in without a factor."""
        user = (await self.post("/api/v2/login", {"email": email})).json()
        assert user["code"] == 200
        return str(user["data"]["token"])

    async def mfa_token_of(self, email: str) -> str:
        """Log in, and be challenged."""
        challenge = (await self.post("/api/v2/login", {"email": email})).json()
        assert challenge["code"] == 1635
        return str(challenge["data"]["mfaToken"])

    async def bind(self, email: str = "alice@x.test") -> Bound:
        """Bind a TOTP. The code of this very moment is not used up by it."""
        token = await self.token_of(email)
        begun = (await self.post("/api/v2/mfa/totp/associate", {"authenticator_type": "totp"}, token=token)).json()
        phone = VirtualAuthenticator(begun["data"]["qrcode_uri"])
        body = {"authenticator_type": "totp", "totp": earlier_code(phone)}
        confirmed = await self.post("/api/v2/mfa/totp/associate/confirm", body, token=token)
        assert confirmed.json()["code"] == 200
        return Bound(email, phone, begun["data"]["recovery_code"], token)

    async def enable(self, email: str = "alice@x.test") -> tuple[str, Any]:
        """Enable by the old API; returns the token and what was answered."""
        token = await self.token_of(email)
        return token, (await self.graphql("mutation { changeMFA(enable: true) { _id shareKey } }", token=token))["data"]
