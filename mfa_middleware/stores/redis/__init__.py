"""Short-lived state in Redis or Valkey: mfaTokens with the logins that they hold, attempts, locks, fresh proofs.

The rooms of it:

    demotion  what a server answers that is no primary any more
    wire      connections that write without waiting
    lane      one of them for all calls
    sentinel  the primary, as Sentinels name it
    connect   a URL → a client
    server    whether the server behind it can be used
    scripts   the Lua scripts: one atomic step, and one round trip, for each verb
    store     the verbs
    memory    the same in this process, for development
"""

from __future__ import annotations

import importlib

from mfa_middleware.settings import Settings
from mfa_middleware.stores.protocols import TokenStore
from mfa_middleware.stores.redis.connect import connect
from mfa_middleware.stores.redis.store import RedisTokenStore


def open_store(settings: Settings) -> TokenStore:
    """Make the store that ``MFA_REDIS_URL`` names. It connects to nothing yet: ``open`` does, or the first verb.

    :raises ConfigurationError: for a URL that does not parse.
    """
    if settings.redis_url.startswith("memory://"):
        return _memory_store(settings.engine_timeout)
    return RedisTokenStore(connect(settings.redis_url, settings.engine_timeout), settings.engine_timeout)


def _memory_store(timeout: float) -> TokenStore:
    # fakeredis and its Lua are loaded only where they serve: not beside a real server.
    store: TokenStore = importlib.import_module(f"{__name__}.memory").MemoryTokenStore(timeout)
    return store
