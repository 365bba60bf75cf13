"""``{"code", "message", "data"}``: the codes, their messages in two languages, and the answers made of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mfa_middleware.dialects import WireAnswer
from mfa_middleware.errors import (
    CrossOrigin,
    EnrolmentRequired,
    Forbidden,
    InvalidCode,
    InvalidRequest,
    LoginNotHeld,
    Misconfigured,
    NotFound,
    NotSignedIn,
    Refusal,
    StepUpRequired,
    TokenInvalid,
    TooLarge,
    TooManyAttempts,
    Unavailable,
)
from mfa_middleware.passage import Scope
from mfa_middleware.response_body import RawHeaders, header

MFA_REQUIRED = 1635
WRONG_TOTP = 6001
WRONG_RECOVERY_CODE = 6002
_OK = 200


@dataclass(frozen=True, slots=True)
class Said:
    """What stands in an envelope as ``code`` and ``message``, the latter in both languages."""

    code: int
    chinese: str
    english: str

    def message(self, scope: Scope) -> str:
        """In the language that the request asks for with ``x-authing-lang``; else in Chinese."""
        asked = header(tuple(scope["headers"]), b"x-authing-lang").strip().lower()
        return self.english if asked.startswith("en") else self.chinese


CHALLENGE = Said(MFA_REQUIRED, "请输入二次认证安全码", "Enter the code of your second factor.")
DONE = Said(_OK, "操作成功", "Done.")
VERIFIED = Said(_OK, "二次认证成功", "The second factor is proven.")
BOUND = Said(_OK, "TOTP MFA 绑定成功", "The TOTP is bound.")
UNBOUND = Said(_OK, "TOTP MFA 解绑成功", "The TOTP is unbound.")

_REFUSALS: Mapping[type[Refusal], Said] = {
    InvalidCode: Said(WRONG_TOTP, "安全码错误", "That code is not right."),
    TokenInvalid: Said(2021, "登录信息已过期，请重新登录", "This mfaToken is unknown, used or expired. Log in again."),
    TooManyAttempts: Said(2057, "尝试次数过多，请稍后再试", "Too many attempts. Try again later."),
    NotSignedIn: Said(2020, "尚未登录，无访问权限", "Sign in first."),
    EnrolmentRequired: Said(403, "请先绑定二次认证", "Bind a second factor first."),
    StepUpRequired: Said(403, "请先完成二次认证", "Prove a second factor first."),
    CrossOrigin: Said(403, "不允许跨域请求", "Pages of this origin may not do that."),
    Forbidden: Said(403, "无访问权限", "You may not do that."),
    NotFound: Said(404, "未找到", "There is no such thing here."),
    InvalidRequest: Said(400, "请求参数错误", "The request is not valid."),
    TooLarge: Said(413, "请求内容过大", "The request is too large."),
    Misconfigured: Said(500, "服务器二次认证配置错误", "The second factor is not set up correctly on this server."),
    LoginNotHeld: Said(500, "无法保护此次登录，已拒绝", "This login could not be protected, so it was refused."),
    Unavailable: Said(503, "二次认证暂不可用，请稍后再试", "The second factor is not available right now. Try again."),
}
#: HTTP says 200 of all others.
_STATUS: Mapping[type[Refusal], int] = {CrossOrigin: 403, Unavailable: 503}


@dataclass(frozen=True, slots=True)
class Told:
    """A refusal, as it is told: HTTP's status, the envelope, and what goes beside it."""

    status: int
    envelope: Mapping[str, object]
    headers: RawHeaders


def told(error: Refusal, scope: Scope, *, trace_id: str, code: int | None = None, status: int | None = None) -> Told:
    """A refusal in that language. ``data`` names it by our own stable word, for what Authing has no number for."""
    kind = next((one for one in type(error).__mro__ if one in _REFUSALS), Misconfigured)
    said = _REFUSALS[kind]
    data: dict[str, object] = {"error": error.code, "traceId": trace_id}
    headers: RawHeaders = ()
    match error:
        case InvalidCode(attempts_left=int(left)):
            data["attemptsLeft"] = left
        case InvalidRequest(errors=errors):
            data["errors"] = [{"field": name, "detail": text} for name, text in errors]
        case TooManyAttempts() | Unavailable():
            data["retryAfter"] = error.retry_after
            headers = ((b"retry-after", b"%d" % error.retry_after),)
        case _:
            pass
    envelope = {"code": code or said.code, "message": said.message(scope), "data": data}
    return Told(status or _STATUS.get(kind, _OK), envelope, headers)


def enveloped(said: Said, scope: Scope, data: object, **beside: object) -> Mapping[str, object]:
    """An envelope."""
    return {"code": said.code, "message": said.message(scope), "data": data, **beside}


def graphql_error(envelope: Mapping[str, object], operations: Sequence[str] = ()) -> Mapping[str, object]:
    """The same for GraphQL, where ``message`` is an object: the SDKs read it so."""
    return {"errors": [{"message": envelope}], "data": dict.fromkeys(operations) or None}


def answer(document: object, *headers: tuple[bytes, bytes], status: int = _OK) -> WireAnswer:
    """A document as a response that nobody may store."""
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    fixed = (
        (b"content-type", b"application/json; charset=utf-8"),
        (b"cache-control", b"no-store"),
        (b"content-length", b"%d" % len(body)),
    )
    return WireAnswer(status, (*fixed, *headers), body)
