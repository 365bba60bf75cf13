"""The plain app, wrapped by this project. All of its settings are variables, as in production."""

from __future__ import annotations

from benchmarks.apps import plain
from mfa_middleware import MFAMiddleware

app = MFAMiddleware(plain.app)
