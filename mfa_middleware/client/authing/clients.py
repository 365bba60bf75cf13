"""The clients of an app that speaks Authing's API."""

from __future__ import annotations

from mfa_middleware.client.authing import operations
from mfa_middleware.client.calling import AsyncMethod, AsyncSender, Method, Sender


class AuthingClient(Sender):
    """A user at one app: ``bearer`` is the user's token, once there is one. It may be set later."""

    default_mount = ""

    get_mfa_authenticators = Method(operations.get_mfa_authenticators)
    assosicate_mfa_authenticator = Method(operations.assosicate_mfa_authenticator)
    confirm_assosicate_mfa_authenticator = Method(operations.confirm_assosicate_mfa_authenticator)
    delete_mfa_authenticator = Method(operations.delete_mfa_authenticator)
    verify_totp_mfa = Method(operations.verify_totp_mfa)
    verify_totp_recovery_code = Method(operations.verify_totp_recovery_code)
    query_mfa = Method(operations.query_mfa)
    change_mfa = Method(operations.change_mfa)


class AsyncAuthingClient(AsyncSender):
    """:class:`AuthingClient`, with an ``httpx2.AsyncClient``."""

    default_mount = ""

    get_mfa_authenticators = AsyncMethod(operations.get_mfa_authenticators)
    assosicate_mfa_authenticator = AsyncMethod(operations.assosicate_mfa_authenticator)
    confirm_assosicate_mfa_authenticator = AsyncMethod(operations.confirm_assosicate_mfa_authenticator)
    delete_mfa_authenticator = AsyncMethod(operations.delete_mfa_authenticator)
    verify_totp_mfa = AsyncMethod(operations.verify_totp_mfa)
    verify_totp_recovery_code = AsyncMethod(operations.verify_totp_recovery_code)
    query_mfa = AsyncMethod(operations.query_mfa)
    change_mfa = AsyncMethod(operations.change_mfa)
