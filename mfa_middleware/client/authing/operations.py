"""Authing's methods: each function describes one, and sends nothing.

Names, parameters and their order are those of Authing's own Python SDK, its spelling included. ``mfa_token`` stands in
the place of the user's token where a login is held.
"""

from __future__ import annotations

from mfa_middleware.client.authing import answers, results
from mfa_middleware.client.calling import Operation

_AUTHENTICATORS = answers.data(tuple[results.MFAAuthenticator, ...])
_ASSOCIATION = answers.data(results.Association)
_QUERIED = answers.graphql("queryMFA")
_CHANGED = answers.graphql("changeMFA")
_ASSOCIATE = "/api/v2/mfa/totp/associate"
_FIELDS = "{ _id userId userPoolId enable shareKey }"
_QUERY = (
    "query ($_id: String, $userId: String, $userPoolId: String) "
    "{ queryMFA(_id: $_id, userId: $userId, userPoolId: $userPoolId) " + _FIELDS + " }"
)
_CHANGE = (
    "mutation ($_id: String, $userId: String, $userPoolId: String, $enable: Boolean!, $refreshKey: Boolean) "
    "{ changeMFA(_id: $_id, userId: $userId, userPoolId: $userPoolId, enable: $enable, refreshKey: $refreshKey) "
    + _FIELDS
    + " }"
)


def get_mfa_authenticators(
    mfa_token: str = "",
    type: str = "totp",  # noqa: A002  their name for it
    source: str = "SELF",
) -> Operation[tuple[results.MFAAuthenticator, ...]]:
    """The authenticators that are bound."""
    query = {"type": type, "source": source}
    return Operation("GET", "/api/v2/mfa/authenticator", _AUTHENTICATORS, query=query, bearer=mfa_token)


def assosicate_mfa_authenticator(
    mfa_token: str = "", authenticator_type: str = "totp", source: str = "SELF"
) -> Operation[results.Association]:
    """Make a pending authenticator."""
    body = {"authenticator_type": authenticator_type, "source": source}
    return Operation("POST", _ASSOCIATE, _ASSOCIATION, body, bearer=mfa_token)


def confirm_assosicate_mfa_authenticator(
    totp: str, authenticator_type: str = "totp", source: str = "SELF", mfa_token: str = ""
) -> Operation[results.LoggedIn | None]:
    """Make a pending authenticator live; gives the login that demanded it, if one did."""
    body = {"authenticator_type": authenticator_type, "totp": totp, "source": source}
    return Operation("POST", f"{_ASSOCIATE}/confirm", answers.confirmed, body, bearer=mfa_token)


def delete_mfa_authenticator() -> Operation[None]:
    """Remove the authenticator, a pending one too; a live one needs a fresh proof."""
    return Operation("DELETE", _ASSOCIATE, answers.done)


def verify_totp_mfa(totp: str, mfa_token: str) -> Operation[results.LoggedIn]:
    """Finish a held login with a code."""
    body = {"totp": totp}
    return Operation("POST", "/api/v2/mfa/totp/verify", answers.logged_in, body, bearer=mfa_token)


def verify_totp_recovery_code(recovery_code: str, mfa_token: str) -> Operation[results.LoggedIn]:
    """Finish a held login with the recovery code, which a new one replaces."""
    body = {"recoveryCode": recovery_code}
    return Operation("POST", "/api/v2/mfa/totp/recovery", answers.logged_in, body, bearer=mfa_token)


def query_mfa(
    *, user_id: str | None = None, _id: str | None = None, user_pool_id: str | None = None, path: str = "/graphql"
) -> Operation[results.UserMFA | None]:
    """Whether a user's logins need a second factor; None for who never had one. By ``user_id`` or ``_id``."""
    variables = {"_id": _id, "userId": user_id, "userPoolId": user_pool_id}
    return Operation("POST", path, _QUERIED, {"query": _QUERY, "variables": variables})


def change_mfa(
    *,
    enable: bool,
    refresh_key: bool = False,
    user_id: str | None = None,
    _id: str | None = None,
    user_pool_id: str | None = None,
    path: str = "/graphql",
) -> Operation[results.UserMFA | None]:
    """Turn one's own second factor on or off, at once; ``refresh_key`` makes a new secret."""
    variables = {
        "_id": _id,
        "userId": user_id,
        "userPoolId": user_pool_id,
        "enable": enable,
        "refreshKey": refresh_key,
    }
    return Operation("POST", path, _CHANGED, {"query": _CHANGE, "variables": variables})
