"""The admin's operations: the same use-cases on any user, without a proof."""

from __future__ import annotations

from starlette.responses import Response

from mfa_middleware import management
from mfa_middleware.callers import Caller
from mfa_middleware.errors import (
    CrossOrigin,
    Forbidden,
    InvalidRequest,
    LoginNotHeld,
    Misconfigured,
    NotFound,
    NotSignedIn,
    TooLarge,
    Unavailable,
)
from mfa_middleware.management import ImportedSecret
from mfa_middleware.selectors import user_id
from mfa_middleware.web import schemas
from mfa_middleware.web.calls import Call
from mfa_middleware.web.operations import Handler, ModelResponse, Operation, no_content

_READ = (NotSignedIn, Forbidden, InvalidRequest, Unavailable, Misconfigured)
_CHANGE = (*_READ, NotFound, CrossOrigin, TooLarge)


def _user(call: Call[schemas.Body]) -> str:
    try:
        found = user_id(call.request.path_params["user_id"])
    except LoginNotHeld as error:
        raise InvalidRequest(
            "an unusable user id", [("userId", "is too long or has characters that cannot be kept")]
        ) from error
    if found is None:
        raise InvalidRequest("an empty user id", [("userId", "is empty")])
    return found


def _admin(call: Call[schemas.Body]) -> Caller:
    return Caller(_user(call), admin=True)


def admins_only(handler: Handler) -> Handler:
    """The handler, for admins."""

    async def guarded(call: Call[schemas.Body]) -> Response:
        await call.require_admin()
        return await handler(call)

    return guarded


async def list_authenticators(call: Call[schemas.Empty]) -> Response:
    """A user's live authenticators."""
    return ModelResponse(schemas.Authenticators.of(await management.overview(call.core, _user(call))))


async def change(call: Call[schemas.Change]) -> Response:
    """Enable, disable or relabel."""
    one = await management.change(
        call.core,
        _admin(call),
        call.request.path_params["id"],
        enabled=call.body.enabled,
        label=call.body.label,
        trace=call.trace,
    )
    return ModelResponse(schemas.AuthenticatorShape.of(one))


async def unbind(call: Call[schemas.Empty]) -> Response:
    """Remove one authenticator."""
    await management.unbind(call.core, _admin(call), call.request.path_params["id"], call.trace)
    return no_content()


async def reset(call: Call[schemas.Empty]) -> Response:
    """Remove all of them."""
    await management.reset(call.core, _user(call), call.trace)
    return no_content()


async def import_secret(call: Call[schemas.Import]) -> Response:
    """Bring an authenticator from another system."""
    body = call.body
    imported = ImportedSecret(body.factor, body.secret, body.label, tuple(body.recovery_codes))
    one = await management.import_secret(call.core, _user(call), imported, call.trace)
    return ModelResponse(schemas.AuthenticatorShape.of(one), 201)


async def unlock(call: Call[schemas.Empty]) -> Response:
    """End a lock."""
    await management.unlock(call.core, _user(call), call.trace)
    return no_content()


OPERATIONS = (
    # First: what stands below a user goes by the longest id that fits.
    Operation(
        "DELETE", "/users/{userId}/lockout", "End a user's lock",
        admins_only(unlock), 204, schemas.Empty, None, "admin", _CHANGE,
    ),
    Operation(
        "GET", "/users/{userId}/authenticators", "A user's live authenticators",
        admins_only(list_authenticators), 200, schemas.Empty, schemas.Authenticators, "admin", _READ,
    ),
    Operation(
        "DELETE", "/users/{userId}/authenticators", "Reset: remove all of a user's authenticators",
        admins_only(reset), 204, schemas.Empty, None, "admin", _CHANGE,
    ),
    Operation(
        "POST", "/users/{userId}/authenticators/import", "Import a secret of another system, live at once",
        admins_only(import_secret), 201, schemas.Import, schemas.AuthenticatorShape, "admin", _CHANGE,
    ),
    Operation(
        "PATCH", "/users/{userId}/authenticators/{id}", "Enable, disable or relabel a user's authenticator",
        admins_only(change), 200, schemas.Change, schemas.AuthenticatorShape, "admin", _CHANGE,
    ),
    Operation(
        "DELETE", "/users/{userId}/authenticators/{id}", "Remove one of a user's authenticators",
        admins_only(unbind), 204, schemas.Empty, None, "admin", _CHANGE,
    ),
)  # fmt: skip
