"""What a dialect has that answers for itself: an API outside of ``MFA_MOUNT``, at paths that its clients know."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol, runtime_checkable

from mfa_middleware.mfa import MFA
from mfa_middleware.passage import Receive, Scope, Send
from mfa_middleware.paths import login_matcher

#: The ordinary way of that request: by the detection of logins to the wrapped app.
GoOn = Callable[[Receive, Send], Awaitable[None]]


def path_matcher(paths: Iterable[str]) -> Callable[[Scope], bool]:
    """Whether a request's path may be one of ``paths`` for the app, as generously as those of ``MFA_LOGIN`` match.

    It is cheap enough to be asked on every request.
    """
    methods = login_matcher(", ".join(f"* {path}" for path in paths))
    return lambda scope: bool(methods(scope["path"], scope.get("root_path", "")))


@runtime_checkable
class Answering(Protocol):
    """A dialect with an API of its own, for clients that were written for another system.

    It is made of what stands in ``mfa_middleware.web.public``, which sees to origins, bounds, trace ids and events.
    """

    def claims(self, scope: Scope) -> bool:
        """Whether a request may be for that API, by its path. It is asked on every request: it must be cheap."""
        ...

    def answer(self, mfa: MFA, scope: Scope, receive: Receive, send: Send, go_on: GoOn) -> Awaitable[None]:
        """Answer a request that was claimed, or let it ``go_on`` to the app, with all that was read of it.

        ``go_on`` sends on the very ``scope``: what a dialect writes there, its :meth:`Dialect.challenge` sees again,
        and what it leaves as ``READING`` (:mod:`mfa_middleware.passage`) the selectors heed.
        """
        ...
