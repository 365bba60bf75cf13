"""The user's operations of the JSON API. Each handler translates; the use-cases decide."""

from __future__ import annotations

from pydantic import BaseModel
from starlette.responses import RedirectResponse, Response

from mfa_middleware import binding, login, management, verification
from mfa_middleware.cookies import set_cookie_header
from mfa_middleware.dialects.native import is_secure, mfa_token_cookie
from mfa_middleware.errors import (
    CrossOrigin,
    EnrolmentRequired,
    InvalidCode,
    InvalidRequest,
    Misconfigured,
    NotFound,
    NotSignedIn,
    StepUpRequired,
    TokenInvalid,
    TooLarge,
    TooManyAttempts,
    Unavailable,
)
from mfa_middleware.passage import mark_nothing
from mfa_middleware.sessions import replace_session
from mfa_middleware.verification import Attempted, Proven
from mfa_middleware.web import schemas
from mfa_middleware.web.calls import ASSURANCE_COOKIE, Call
from mfa_middleware.web.operations import ModelResponse, Operation, RawResponse, no_content
from mfa_middleware.web.way_back import way_back

_ALWAYS = (Unavailable, Misconfigured)
_UNSAFE = (CrossOrigin, InvalidRequest, TooLarge, *_ALWAYS)
_CHANGE = (NotSignedIn, StepUpRequired, NotFound, *_UNSAFE)


async def verify(call: Call[schemas.Verify]) -> Response:
    """Answer a challenge."""
    attempted = Attempted(call.body.factor, call.body.code, call.body.authenticator_id)
    return await released(call, await verification.verify(call.core, call.token, attempted, call.trace))


async def release(call: Call[schemas.Empty]) -> Response:
    """Get the login that demanded a binding."""
    return await released(call, await verification.release(call.core, call.token, call.trace))


async def released(call: Call[BaseModel], proven: Proven) -> Response:
    """The held login, or that a step-up succeeded; with the proof as a cookie."""
    response = await _held(call, proven) if proven.held else _stepped_up(call)
    response.raw_headers += [assurance_cookie(call, proven), mfa_token_cookie(call.request.scope, "", max_age=0)]
    return response


async def _held(call: Call[BaseModel], proven: Proven) -> Response:
    held = proven.held
    assert held is not None  # noqa: S101  says it to the type checker alone
    scope = mark_nothing(call.request.scope)
    if held.session is not None:
        await replace_session(scope, held.session)
    return RawResponse(*held.release(accept_encoding=call.request.headers.get("accept-encoding", "")))


def _stepped_up(call: Call[BaseModel]) -> Response:
    if call.html:
        return RedirectResponse(call.mount + way_back(call.request), 303, {"cache-control": "no-store"})
    return ModelResponse(schemas.Verified())


def assurance_cookie(call: Call[BaseModel], proven: Proven) -> tuple[bytes, bytes]:
    """The cookie that says to the next requests of this browser that a factor was proven."""
    value = call.core.tokens.sign_assurance(proven.assurance)
    ttl = call.core.settings.step_up_ttl
    return set_cookie_header(ASSURANCE_COOKIE, value, max_age=ttl, secure=is_secure(call.request.scope))


async def challenge(call: Call[schemas.ChooseFactor]) -> Response:
    """Send or prepare what a factor needs."""
    shown = await verification.prepare(call.core, call.token, call.body.factor, call.trace)
    return ModelResponse(schemas.Challenged.model_validate({**shown, "factor": call.body.factor}))


async def list_authenticators(call: Call[schemas.Empty]) -> Response:
    """The caller's live authenticators."""
    caller = await call.caller()
    return ModelResponse(schemas.Authenticators.of(await management.overview(call.core, caller.user_id)))


async def bind(call: Call[schemas.Bind]) -> Response:
    """Make a pending authenticator."""
    begun = await binding.bind(call.core, await call.binder(), call.body.factor, call.body.label, call.trace)
    return ModelResponse(schemas.Pending.of(begun), 201, leave_out_none=True)


async def confirm(call: Call[schemas.Confirm]) -> Response:
    """Make a pending authenticator live."""
    caller = await call.binder()
    row = call.request.path_params["id"]
    confirmed = await binding.confirm(call.core, caller, row, call.body.code, call.trace)
    shape = schemas.ConfirmedShape(
        id=confirmed.id, factor=confirmed.factor, recovery_codes=list(confirmed.recovery_codes)
    )
    response = ModelResponse(shape)
    if caller.enrolment is None:
        response.raw_headers.append(assurance_cookie(call, Proven(confirmed.assurance)))
    return response


async def refresh(call: Call[schemas.Empty]) -> Response:
    """Make a new secret for a live authenticator, pending."""
    row = call.request.path_params["id"]
    begun = await binding.refresh(call.core, await call.caller(), row, call.trace)
    return ModelResponse(schemas.Pending.of(begun), 201, leave_out_none=True)


async def change(call: Call[schemas.Change]) -> Response:
    """Enable, disable or relabel."""
    one = await management.change(
        call.core,
        await call.caller(),
        call.request.path_params["id"],
        enabled=call.body.enabled,
        label=call.body.label,
        trace=call.trace,
    )
    return ModelResponse(schemas.AuthenticatorShape.of(one))


async def unbind(call: Call[schemas.Empty]) -> Response:
    """Remove an authenticator."""
    await management.unbind(call.core, await call.caller(), call.request.path_params["id"], call.trace)
    return no_content()


async def regenerate(call: Call[schemas.Empty]) -> Response:
    """Issue new recovery codes."""
    codes = await management.regenerate_codes(call.core, await call.caller(), call.trace)
    return ModelResponse(schemas.RecoveryCodes(recovery_codes=list(codes)), 201)


async def step_up(call: Call[schemas.Empty]) -> Response:
    """Ask for a factor without a login."""
    caller = await call.caller()
    challenge = await login.begin_step_up(call.core, caller.user_id, caller.proofs, call.trace)
    factors = [
        schemas.FactorChoiceShape(factor=one.factor, authenticator_id=one.authenticator_id, label=one.label)
        for one in challenge.factors
    ]
    shape = schemas.StepUp(mfa_token=challenge.mfa_token, expires_in=challenge.expires_in, factors=factors)
    return ModelResponse(shape)


async def status(call: Call[schemas.Empty]) -> Response:
    """What the caller's logins need."""
    caller = await call.caller()
    found = await management.status(call.core, caller.user_id)
    return ModelResponse(
        schemas.StatusShape(enabled=found.enabled, required=found.required, factors=list(found.factors))
    )


OPERATIONS = (
    Operation(
        "POST", "/verify", "Answer a challenge; gives the held login, or that a step-up succeeded",
        verify, 200, schemas.Verify, schemas.Verified, "token", (InvalidCode, TokenInvalid, TooManyAttempts, *_UNSAFE),
    ),
    Operation(
        "POST", "/release", "Get the held login once the binding that it demanded is confirmed",
        release, 200, schemas.Empty, None, "token", (TokenInvalid, EnrolmentRequired, *_UNSAFE),
    ),
    Operation(
        "POST", "/challenge", "Let a factor send or prepare what its user needs to answer",
        challenge, 200, schemas.ChooseFactor, schemas.Challenged, "token", (TokenInvalid, TooManyAttempts, *_UNSAFE),
    ),
    Operation(
        "GET", "/authenticators", "The caller's live authenticators",
        list_authenticators, 200, schemas.Empty, schemas.Authenticators, "user", (NotSignedIn, *_ALWAYS),
    ),
    Operation(
        "POST", "/authenticators", "Bind a factor: make a pending authenticator",
        bind, 201, schemas.Bind, schemas.Pending, "binder",
        (NotSignedIn, TokenInvalid, StepUpRequired, TooManyAttempts, *_UNSAFE),
    ),
    Operation(
        "POST", "/authenticators/{id}/confirm", "Make a pending authenticator live by a right answer",
        confirm, 200, schemas.Confirm, schemas.ConfirmedShape, "binder",
        (InvalidCode, TooManyAttempts, TokenInvalid, *_CHANGE), invalid_code_status=422,
    ),
    Operation(
        "PATCH", "/authenticators/{id}", "Enable, disable or relabel an authenticator",
        change, 200, schemas.Change, schemas.AuthenticatorShape, "user", _CHANGE,
    ),
    Operation(
        "DELETE", "/authenticators/{id}", "Remove an authenticator",
        unbind, 204, schemas.Empty, None, "user", _CHANGE,
    ),
    Operation(
        "POST", "/authenticators/{id}/refresh", "Make a new, pending secret; the old one lives until it is confirmed",
        refresh, 201, schemas.Empty, schemas.Pending, "user", (TooManyAttempts, *_CHANGE),
    ),
    Operation(
        "POST", "/recovery-codes", "Issue new recovery codes; the former ones are void",
        regenerate, 201, schemas.Empty, schemas.RecoveryCodes, "user", _CHANGE,
    ),
    Operation(
        "POST", "/step-up", "Ask for a factor without a login",
        step_up, 200, schemas.Empty, schemas.StepUp, "user", (NotSignedIn, NotFound, *_UNSAFE),
    ),
    Operation(
        "GET", "/status", "What the caller's logins need",
        status, 200, schemas.Empty, schemas.StatusShape, "user", (NotSignedIn, *_ALWAYS),
    ),
)  # fmt: skip
