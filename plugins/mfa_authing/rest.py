"""The operations of Authing's REST API."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from starlette.responses import Response

from mfa_authing.envelope import BOUND, DONE, UNBOUND, VERIFIED, Said, answer, enveloped
from mfa_authing.held import released_user
from mfa_authing.settings import AuthingSettings
from mfa_authing.shapes import Associate, Body, Confirm, Empty, Import, Recover, Verify
from mfa_authing.users import TOTP, Revealed, described, factors_of, live_totps, pending_totp
from mfa_middleware import MFA, InvalidRequest, NotFound, Unavailable
from mfa_middleware.web.public import (
    Call,
    Caller,
    Handler,
    ImportedSecret,
    Operation,
    Proven,
    RawResponse,
    assurance_cookie,
    released,
)

logger = logging.getLogger(__name__)
REST = "anyone"
CONFIRM = "/api/v2/mfa/totp/associate/confirm"
RECOVERY = "/api/v2/mfa/totp/recovery"


class Rest:
    """Each handler translates; the use-cases decide."""

    def __init__(self, mfa: MFA, settings: AuthingSettings) -> None:
        self._mfa = mfa
        self._user_pool_id = settings.user_pool_id
        self._revealed = Revealed(mfa, settings)

    async def authenticators(self, call: Call[Empty]) -> Response:
        """``getMfaAuthenticators``. Who has but an mfaToken has proven no factor, and is shown no secret."""
        holder = await call.holder()
        user = await factors_of(self._mfa, holder or (await call.caller()).user_id)
        kind = call.request.query_params.get("type") or TOTP
        found = []
        for row in live_totps(user) if kind.lower() in (TOTP, "otp") else ():
            secret, code = "", ""
            if holder is None:
                secret, code = await self._revealed.secret(row), await self._revealed.recovery_code(user)
            found.append({**described(row), "secret": secret, "recoveryCode": code})
        return _say(call, DONE, found)

    async def associate(self, call: Call[Associate]) -> Response:
        """``assosicateMfaAuthenticator``. A user has one TOTP: the live one gets a new secret, once it is confirmed."""
        _require_totp(call.body.authenticator_type)
        caller = await call.binder()
        live = live_totps(await factors_of(self._mfa, caller.user_id))
        if live:
            begun = await self._mfa.refresh(caller, live[0].id, call.trace)
        else:
            begun = await self._mfa.bind(caller, TOTP, None, call.trace)
        data = {
            "authenticator_type": TOTP,
            "secret": begun.shown["secret"],
            "qrcode_uri": begun.shown["uri"],
            "qrcode_data_url": begun.shown["qrCode"],
            "recovery_code": next(iter(begun.recovery_codes), ""),
        }
        return _say(call, DONE, data)

    async def confirm(self, call: Call[Confirm]) -> Response:
        """``confirmAssosicateMfaAuthenticator``; of a login that demanded it, the login's user."""
        _require_totp(call.body.authenticator_type)
        caller = await call.binder()
        pending = pending_totp(await factors_of(self._mfa, caller.user_id))
        if pending is None:
            raise NotFound("no TOTP is pending")
        confirmed = await self._mfa.confirm(caller, pending.id, call.body.totp, call.trace)
        if caller.enrolment is not None:
            return await self.released(call, await self._mfa.release(call.token, call.trace), BOUND)
        return _say(call, BOUND, None, assurance_cookie(call, Proven(confirmed.assurance)))

    async def delete(self, call: Call[Empty]) -> Response:
        """``deleteMfaAuthenticator``: what is pending, and what is live."""
        caller = await call.caller()
        await self._unbind(caller, call.trace)
        return _say(call, UNBOUND, True)

    async def _unbind(self, caller: Caller, trace: str, *, but: str | None = None) -> None:
        user = await factors_of(self._mfa, caller.user_id)
        pending = [one.id for one in user.authenticators if one.factor == TOTP and not one.live]
        # The live ones last: with the last of them its proof goes.
        for row in (*pending, *(one.id for one in live_totps(user))):
            if row != but:
                await self._mfa.unbind(caller, row, trace)

    async def verify(self, call: Call[Verify]) -> Response:
        """``verifyTotpMfa``."""
        proven = await self._mfa.verify(call.token, TOTP, call.body.totp, trace=call.trace)
        return await self.released(call, proven, VERIFIED)

    async def recover(self, call: Call[Recover]) -> Response:
        """``verifyTotpRecoveryCode``: the code is used up, and another takes its place."""
        backup = call.core.backup
        if backup is None:
            raise NotFound("no factor with recovery codes is in use")
        proven = await self._mfa.verify(call.token, backup[0], call.body.recovery_code, trace=call.trace)
        codes = await self._next_codes(proven, call.trace)
        return await self.released(call, proven, VERIFIED, recoveryCode=next(iter(codes), None))

    async def _next_codes(self, proven: Proven, trace: str) -> Sequence[str]:
        """New codes once the last is used; none when they cannot be made now: the login goes through all the same."""
        user_id = proven.assurance.user_id
        try:
            if (await self._mfa.overview(user_id)).recovery_codes_left:
                return ()
            return await self._mfa.regenerate_codes(Caller(user_id, assured=True), trace)
        except (NotFound, Unavailable) as error:
            logger.warning("a used recovery code was not replaced: %s; trace %s", error.reason, trace)
            return ()

    async def released(self, call: Call[Body], proven: Proven, said: Said, **beside: object) -> Response:
        """The held login's user in an envelope, with its cookies."""
        response = await released(call, proven)
        cookies = [pair for pair in response.raw_headers if pair[0].lower() == b"set-cookie"]
        user = None if proven.held is None else released_user(proven.held, self._user_pool_id)
        return _say(call, said, user, *cookies, **beside)

    async def status(self, call: Call[Empty]) -> Response:
        """``mfa.getStatus`` of the management client."""
        await call.require_admin()
        user = await factors_of(self._mfa, _user_id(call))
        return _say(call, DONE, {"OTP": any(one.gates for one in live_totps(user)), "FACE": False})

    async def unassociate(self, call: Call[Empty]) -> Response:
        """``mfa.unAssociateMfa`` of the management client."""
        await call.require_admin()
        user_id = _user_id(call)
        if (call.request.query_params.get("type") or "OTP").upper() in ("OTP", "TOTP"):
            await self._unbind(Caller(user_id, admin=True), call.trace)
        return _say(call, UNBOUND, True)

    async def import_totp(self, call: Call[Import]) -> Response:
        """``mfa.importTotp`` of the management client. It takes the place of what the user had."""
        await call.require_admin()
        admin = Caller(call.body.user_id, admin=True)
        codes: Sequence[str] = (call.body.recovery_code,) if call.body.recovery_code else ()
        imported = ImportedSecret(TOTP, call.body.secret, None, codes)
        row = await self._mfa.import_secret(admin.user_id, imported, call.trace)
        await self._unbind(admin, call.trace, but=row.id)
        if not codes and call.core.backup is not None:
            codes = await self._mfa.regenerate_codes(admin, call.trace)
        shown = {"secret": call.body.secret, "recoveryCode": next(iter(codes), "")}
        return _say(call, DONE, {**described(row), **shown})

    @property
    def operations(self) -> Sequence[Operation]:
        """All of them, by method and path."""
        return (
            _operation("GET", "/api/v2/mfa/authenticator", self.authenticators, Empty),
            _operation("POST", "/api/v2/mfa/totp/associate", self.associate, Associate),
            _operation("DELETE", "/api/v2/mfa/totp/associate", self.delete, Empty),
            _operation("POST", CONFIRM, self.confirm, Confirm),
            _operation("POST", "/api/v2/mfa/totp/verify", self.verify, Verify),
            _operation("POST", "/api/v2/applications/mfa/totp/verify", self.verify, Verify),
            _operation("POST", RECOVERY, self.recover, Recover),
            _operation("GET", "/api/v2/users/{userId}/mfa-bound", self.status, Empty),
            _operation("DELETE", "/api/v2/users/{userId}/mfa-bound", self.unassociate, Empty),
            _operation("POST", "/api/v2/mfa/totp/import", self.import_totp, Import),
        )


def _operation(method: str, path: str, handler: Handler, body: type[Body]) -> Operation:
    return Operation(method, path, (handler.__doc__ or "").strip(), handler, 200, body, None, REST)


def _say(call: Call[Body], said: Said, data: object, *headers: tuple[bytes, bytes], **beside: object) -> Response:
    return RawResponse.of(answer(enveloped(said, call.request.scope, data, **beside), *headers))


def _require_totp(kind: str) -> None:
    if kind.lower() not in (TOTP, "otp"):
        raise InvalidRequest("not a TOTP", [("authenticatorType", "only totp can be bound here")])


def _user_id(call: Call[Body]) -> str:
    user_id = str(call.request.path_params["user_id"])
    if not user_id or len(user_id) > 255:
        raise InvalidRequest("an unusable user id", [("userId", "is empty or too long")])
    return user_id
