"""``uvicorn mfa_middleware.asgi:app`` with ``MFA_APP=package.module:attribute``: an app wrapped without any code."""

from __future__ import annotations

import logging

from mfa_middleware.errors import ConfigurationError
from mfa_middleware.loading import load_app
from mfa_middleware.mfa import MFA
from mfa_middleware.middleware import MFAMiddleware
from mfa_middleware.passage import App, Receive, Scope, Send
from mfa_middleware.settings import Settings

logger = logging.getLogger(__name__)


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError("no app to wrap")  # never called: the settings that name none stop start-up


def make_app() -> MFAMiddleware:
    """The app of ``MFA_APP``, wrapped. A name that cannot be imported stops start-up, as a bad setting does."""
    try:
        settings = Settings()
        app: App = load_app(settings.app)
    except ConfigurationError as error:
        return MFAMiddleware(_nothing, mfa=MFA.refusing(error))
    return MFAMiddleware(app, settings=settings)


app = make_app()
