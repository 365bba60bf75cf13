"""A user pool that Authing's own SDKs can talk to, and that knows nothing of a second factor.

It imitates what the SDKs need of Authing to register and to log in: GraphQL at ``/graphql`` and ``/graphql/v2``, the
LDAP login at ``/api/v2/ldap/verify-user``, ``/api/v2/users/me`` and the public key under which passwords travel. Its
users live as long as the process. ``AUTHING_USERPOOL_ID`` and ``AUTHING_USERPOOL_SECRET`` say what its owner signs in
with; each is made up where it is missing, so without them nobody is the owner.

The second factor around it, with the dialect that these SDKs understand::

    export MFA_APP=examples.authing_user_pool:app
    export MFA_DIALECT=authing
    export MFA_LOGIN="POST /graphql, POST /graphql/v2, POST /api/v2/ldap/verify-user"
    export MFA_LOGIN_USER="whoami:/api/v2/users/me#/data/id"
    export MFA_REQUEST_USER="whoami:/api/v2/users/me#/data/id"
    export MFA_REQUEST_NAME="whoami:/api/v2/users/me#/data/preferredUsername"
    export MFA_REQUEST_ADMIN="whoami:/api/v2/users/me#/data/isRoot"
    uvicorn mfa_middleware.asgi:app

``whoami:`` asks the pool itself whose the tokens in an answer are, so a client of GraphQL may call them what it likes.
"""

from __future__ import annotations

from typing import Final

from examples.authing_user_pool.app import app

__all__ = ["VARIABLES", "app"]

_WHO = "whoami:/api/v2/users/me#/data"

#: The variables above.
VARIABLES: Final = {
    "MFA_APP": "examples.authing_user_pool:app",
    "MFA_DIALECT": "authing",
    "MFA_LOGIN": "POST /graphql, POST /graphql/v2, POST /api/v2/ldap/verify-user",
    "MFA_LOGIN_USER": f"{_WHO}/id",
    "MFA_REQUEST_USER": f"{_WHO}/id",
    "MFA_REQUEST_NAME": f"{_WHO}/preferredUsername",
    "MFA_REQUEST_ADMIN": f"{_WHO}/isRoot",
}
