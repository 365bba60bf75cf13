"""Processes of tests: forked from one that has imported everything once, and has neither threads nor connections."""

from __future__ import annotations

import multiprocessing

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(
    [
        "tests.rules.steps",
        "tests.stores.racing",
        "mfa_middleware.stores.redis.connect",
        "mfa_middleware.stores.sql.postgresql",
        "mfa_middleware.stores.sql.sqlite",
        "mfa_middleware.web.app",
        "mfa_recovery_code",
        "mfa_totp",
    ]
)
