"""Django's own: `application`, unwrapped."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "examples.django_auth.settings")

application = get_asgi_application()
