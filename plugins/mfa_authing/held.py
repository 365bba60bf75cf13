"""What a held login's body tells: whose it is for the challenge, and the whole of it for the release.

Before the factor is proven only a few named fields may be told, and only where the app has named them. A GraphQL client
chooses the names of what it is answered: ``nickname: token`` must not bring the token out.
"""

from __future__ import annotations

from collections.abc import Mapping

from mfa_middleware.errors import LoginNotHeld
from mfa_middleware.held_login import HeldLogin
from mfa_middleware.response_body import bearer_tokens, is_jwt, json_body

#: What a challenge tells of a user, by the names under which apps give it.
PROFILE: Mapping[str, tuple[str, ...]] = {
    "nickname": ("nickname",),
    "email": ("email",),
    "username": ("username",),
    "avatar": ("avatar", "photo", "picture"),
    "phone": ("phone",),
}
#: No client may choose these names for something else.
NAMES = frozenset(name for names in PROFILE.values() for name in names)
_LONGEST = 500
_ENVELOPE = frozenset({"code", "message", "statusCode"})


def document_of(held: HeldLogin) -> object:
    """The held body as JSON; None when it is none."""
    try:
        return json_body(held.headers, held.body)
    except LoginNotHeld:
        return None


def is_graphql(document: object) -> bool:
    """Whether a GraphQL server may have answered so: then clients have chosen names in it."""
    if isinstance(document, list):
        return True
    return isinstance(document, dict) and ("data" in document or "errors" in document) and not _ENVELOPE & set(document)


def user_of(document: object) -> Mapping[str, object]:
    """The object that stands for the user in a login's answer: of GraphQL, in an envelope, or plain."""
    if isinstance(document, list):
        return next((user for one in document if isinstance(one, dict) and (user := user_of(one))), {})
    if not isinstance(document, dict):
        return {}
    data = document.get("data")
    if is_graphql(document):
        fields = data.values() if isinstance(data, dict) else ()
        return next((one for one in fields if isinstance(one, dict)), {})
    return data if isinstance(data, dict) and _ENVELOPE & set(document) else document


def operations_of(document: object) -> tuple[str, ...]:
    """The names of what a GraphQL response answers."""
    data = document.get("data") if isinstance(document, dict) else None
    return tuple(str(name) for name in data) if isinstance(data, dict) else ()


def profile_of(document: object, *, names_are_the_apps: bool) -> dict[str, str | None]:
    """The few fields of a user that a challenge may tell, with None for what is not known."""
    user = user_of(document) if names_are_the_apps else {}
    secret = {value for value in (*bearer_tokens(document), user.get("token")) if isinstance(value, str)}
    found: dict[str, str | None] = {}
    for name, spellings in PROFILE.items():
        texts = (value for spelling in spellings if isinstance(value := user.get(spelling), str) and value)
        found[name] = next((one for one in texts if _is_harmless(one, secret)), None)
    return found


def _is_harmless(text: str, secret: set[str]) -> bool:
    return len(text) <= _LONGEST and text not in secret and not is_jwt(text)


def released_user(held: HeldLogin, user_pool_id: str) -> Mapping[str, object]:
    """The user that a released login gives, with ``token``."""
    document = document_of(held)
    user = dict(user_of(document))
    tokens = bearer_tokens(document)
    if tokens and not user.get("token"):
        user["token"] = tokens[0]
    if user_pool_id:
        user["userPoolId"] = user_pool_id
    return user
