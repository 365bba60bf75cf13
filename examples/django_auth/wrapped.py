"""The same with the second factor around it. Environment variables alone do it, too: see the README."""

from __future__ import annotations

from examples.django_auth.asgi import application as django
from mfa_middleware import MFAMiddleware, Settings

application = MFAMiddleware(
    django,
    settings=Settings(
        login="POST /login/",
        login_user="whoami:/whoami#/user",
        request_user="whoami:/whoami#/user",
        request_name="whoami:/whoami#/name",
    ),
)
