"""The selectors that read JWTs of the app: ``jwt:`` in a login response, ``bearer:`` in a request."""

from __future__ import annotations

import asyncio
from typing import Any, Self

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate

from mfa_middleware.errors import LoginNotHeld, Unavailable
from mfa_middleware.passage import Scope, reading_of
from mfa_middleware.response_body import bearer_tokens, header, is_graphql, is_jwt
from mfa_middleware.selectors.base import LoginExchange, Place, RequestExchange, Selector
from mfa_middleware.selectors.values import check_pointer, resolve_each
from mfa_middleware.settings import Settings, split
from mfa_middleware.tokens import is_mfa_token


def refuse_several_subjects(document: object) -> None:
    """Stop at a response with JWTs of several subjects in different objects: each is a login of its own.

    Those beside each other in one object (an access, a refresh, an identity token) may name their subject differently.

    :raises LoginNotHeld: then.
    """
    groups = _subjects(document)
    if len(groups) > 1 and len(frozenset[str]().union(*groups)) > 1:
        raise LoginNotHeld("the login's response has tokens of several users")


def _subjects(document: object) -> list[frozenset[str]]:
    """The subjects of the JWTs in each object that has some."""
    groups: list[frozenset[str]] = []
    unseen = [document]
    while unseen:  # no recursion: what parses may be nested as deeply as the stack allows
        one = unseen.pop()
        if isinstance(one, list):
            unseen += one
        elif isinstance(one, dict):
            unseen += one.values()
            own = frozenset(str(_subject(value)) for value in one.values() if isinstance(value, str) and is_jwt(value))
            groups += [own] if own else []
    return groups


def _subject(token: str) -> object:
    try:
        return jwt.decode(token, options={"verify_signature": False}).get("sub")
    except (jwt.InvalidTokenError, ValueError):
        return None


def bearer_of(scope: Scope) -> str | None:
    """The bearer token of a request (RFC 6750 §2.1)."""
    scheme, _, token = header(tuple(scope["headers"]), b"authorization").strip().partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


class Jwt(Selector):
    """``jwt:/pointer#claim``: a claim of the JWT in the response's body. The app just made it: it is not verified."""

    kind = "jwt"
    in_login = Place.ANYWHERE

    def __init__(self, pointer: str, claim: str) -> None:
        self.pointer = pointer
        self.claim = claim

    @classmethod
    def parse(cls, argument: str, settings: Settings) -> Self:
        pointer, _, claim = argument.partition("#")
        if not claim:
            raise ValueError("it must be a pointer and a claim, as in jwt:/access_token#sub")
        return cls(check_pointer(pointer), claim)

    async def of_login(self, login: LoginExchange) -> object:
        document = login.document
        # A client of GraphQL can give the token another name, or ask for several: then any JWT counts.
        every = [one for one in bearer_tokens(document) if is_jwt(one)]
        found = resolve_each(document, self.pointer)
        reading = reading_of(login.scope)
        chosen = is_graphql(document) if reading is None else not reading.is_plain
        tokens = [*found, *every] if chosen else found or every
        users = [user for token in tokens if (user := self._user(token)) is not None]
        if len({str(user) for user in users}) > 1:
            raise LoginNotHeld("the login's response has tokens of several users")
        return users[0] if users else None

    def _user(self, token: object) -> object:
        try:
            if isinstance(token, str):
                return jwt.decode(token, options={"verify_signature": False}).get(self.claim)
        except (jwt.InvalidTokenError, ValueError) as error:
            raise LoginNotHeld("there is no JWT where MFA_LOGIN_USER expects one") from error
        raise LoginNotHeld("there is no JWT where MFA_LOGIN_USER expects one")


class Bearer(Selector):
    """``bearer:claim``: a claim of the request's bearer token, verified with ``MFA_APP_JWT_*``."""

    kind = "bearer"
    in_request = Place.ANYWHERE

    def __init__(self, claim: str, settings: Settings) -> None:
        self.claim = claim
        self._key = _key_text(settings)
        self._jwks = jwt.PyJWKClient(self._key, timeout=settings.engine_timeout) if _is_url(self._key) else None
        self._algorithms = _algorithms(settings)
        self._audience = settings.app_jwt_audience or None
        self._issuer = settings.app_jwt_issuer or None

    @classmethod
    def parse(cls, argument: str, settings: Settings) -> Self:
        if not argument:
            raise ValueError("it must name a claim, as in bearer:sub")
        if not settings.app_jwt_key:
            raise ValueError("it needs MFA_APP_JWT_KEY, the key that verifies the app's tokens")
        return cls(argument, settings)

    async def of_request(self, request: RequestExchange) -> object:
        token = bearer_of(request.scope)
        if token is None or is_mfa_token(token):
            return None
        try:
            return (await self._verified(token)).get(self.claim)
        except (jwt.PyJWTError, TypeError, ValueError):  # also for a token that is made for another kind of key
            return None

    async def _verified(self, token: str) -> dict[str, Any]:
        claims: dict[str, Any] = jwt.decode(
            token,
            await self._key_for(token),
            algorithms=self._algorithms,
            audience=self._audience,
            issuer=self._issuer,
            options={"verify_aud": self._audience is not None},
        )
        return claims

    async def _key_for(self, token: str) -> Any:  # noqa: ANN401  PyJWT takes text, or a key object of any library
        if self._jwks is None:
            return self._key
        try:
            return (await asyncio.to_thread(self._jwks.get_signing_key_from_jwt, token)).key
        except jwt.PyJWKClientConnectionError as error:
            raise Unavailable("MFA_APP_JWT_KEY: the JWKS URL does not answer") from error
        except jwt.PyJWKClientError as error:
            raise jwt.InvalidTokenError("no key of the JWKS fits") from error


def _key_text(settings: Settings) -> str:
    """The key; in a PEM that came through an environment variable, an escaped n may stand for each line break."""
    key = settings.app_jwt_key
    return key.replace("\\n", "\n") if key.lstrip().startswith("-----BEGIN") else key


def _is_url(key: str) -> bool:
    return key.startswith(("https://", "http://"))


def _algorithms(settings: Settings) -> list[str]:
    """The algorithms allowed: those set, if they fit the kind of key (RFC 8725 §3.1), else what the key says."""
    key, chosen = _key_text(settings), list(split(settings.app_jwt_algorithms))
    asymmetric = key.lstrip().startswith("-----BEGIN") or _is_url(key)
    if any(name.lower() == "none" or name.startswith("HS") == asymmetric for name in chosen):
        raise ValueError("MFA_APP_JWT_ALGORITHMS do not fit the kind of MFA_APP_JWT_KEY")
    if chosen:
        return chosen
    if _is_url(key):
        return ["RS256", "PS256", "ES256", "ES384", "EdDSA"]
    return _algorithms_of_pem(key) if asymmetric else ["HS256"]


def _algorithms_of_pem(pem: str) -> list[str]:
    try:
        data = pem.encode()
        key = load_pem_x509_certificate(data).public_key() if b"CERTIFICATE" in data else load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError("MFA_APP_JWT_KEY is no public key in PEM") from error
    match key:
        case rsa.RSAPublicKey():
            return ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]
        case ec.EllipticCurvePublicKey():
            return ["ES256", "ES384", "ES512"]
        case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey():
            return ["EdDSA"]
        case _:
            raise ValueError("MFA_APP_JWT_KEY is a kind of key that signs no JWT")
