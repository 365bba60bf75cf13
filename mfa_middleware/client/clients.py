"""The clients of the HTTP API: the operations as methods, sent at once or awaited."""

from __future__ import annotations

from mfa_middleware.client import operations
from mfa_middleware.client.calling import AsyncMethod, AsyncSender, Method, Sender


class MFAClient(Sender):
    """A user's second factor at one app. The user's cookies are those of ``http``: one httpx2 client for one user."""

    verify = Method(operations.verify)
    release = Method(operations.release)
    prepare = Method(operations.prepare)
    authenticators = Method(operations.authenticators)
    bind = Method(operations.bind)
    confirm = Method(operations.confirm)
    change = Method(operations.change)
    refresh = Method(operations.refresh)
    unbind = Method(operations.unbind)
    regenerate_codes = Method(operations.regenerate_codes)
    step_up = Method(operations.step_up)
    status = Method(operations.status)


class AsyncMFAClient(AsyncSender):
    """:class:`MFAClient`, with an ``httpx2.AsyncClient``."""

    verify = AsyncMethod(operations.verify)
    release = AsyncMethod(operations.release)
    prepare = AsyncMethod(operations.prepare)
    authenticators = AsyncMethod(operations.authenticators)
    bind = AsyncMethod(operations.bind)
    confirm = AsyncMethod(operations.confirm)
    change = AsyncMethod(operations.change)
    refresh = AsyncMethod(operations.refresh)
    unbind = AsyncMethod(operations.unbind)
    regenerate_codes = AsyncMethod(operations.regenerate_codes)
    step_up = AsyncMethod(operations.step_up)
    status = AsyncMethod(operations.status)


class MFAAdminClient(Sender):
    """Any user's second factor, for an admin: ``bearer`` is one of ``MFA_ADMIN_TOKEN``, or an admin's token."""

    authenticators = Method(operations.authenticators_of)
    change = Method(operations.change_of)
    unbind = Method(operations.unbind_of)
    reset = Method(operations.reset)
    import_secret = Method(operations.import_secret)
    unlock = Method(operations.unlock)


class AsyncMFAAdminClient(AsyncSender):
    """:class:`MFAAdminClient`, with an ``httpx2.AsyncClient``."""

    authenticators = AsyncMethod(operations.authenticators_of)
    change = AsyncMethod(operations.change_of)
    unbind = AsyncMethod(operations.unbind_of)
    reset = AsyncMethod(operations.reset)
    import_secret = AsyncMethod(operations.import_secret)
    unlock = AsyncMethod(operations.unlock)
