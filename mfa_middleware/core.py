"""What the use-cases work with: settings, keys, tokens, factors, the two stores, events."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from mfa_middleware.errors import InvalidRequest, Misconfigured, Unavailable
from mfa_middleware.events import Events
from mfa_middleware.factor import BackupCodes, Factor, State
from mfa_middleware.keyring import Keyring
from mfa_middleware.settings import Settings
from mfa_middleware.stores.protocols import AuthenticatorStore, LockPolicy, TokenStore
from mfa_middleware.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Core:
    """All that a use-case needs, put together once at start-up."""

    settings: Settings
    keyring: Keyring
    tokens: Tokens
    factors: Mapping[str, Factor]
    token_store: TokenStore
    authenticator_store: AuthenticatorStore
    events: Events
    policy: LockPolicy
    _backups: frozenset[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # Found once: to ask an object for a protocol costs, and every request does.
        backups = frozenset(name for name, one in self.factors.items() if isinstance(one, BackupCodes))
        object.__setattr__(self, "_backups", backups)

    def factor(self, name: str) -> Factor:
        """The factor of that name.

        :raises InvalidRequest: when none is in use under it.
        """
        try:
            return self.factors[name]
        except KeyError:
            raise InvalidRequest("no such factor", [("factor", "no factor of that name is in use")]) from None

    @property
    def backup(self) -> tuple[str, BackupCodes] | None:
        """The factor whose codes are issued with a user's first authenticator, with its name."""
        return next(((name, one) for name, one in self.factors.items() if isinstance(one, BackupCodes)), None)

    def is_backup(self, name: str) -> bool:
        """Whether the factor of that name is a mere backup."""
        return name in self._backups

    def seal_state(self, state: State, *, user_id: str, authenticator_id: str) -> bytes:
        """A factor's state as the database keeps it, bound to its row.

        :raises Unavailable: when the factor made a state that is no JSON object.
        """
        return self.keyring.seal(encoded(state), bound_to=_row(user_id, authenticator_id))

    def open_state(self, sealed: bytes, *, user_id: str, authenticator_id: str) -> State:
        """A factor's state again.

        :raises Misconfigured: when it does not open here.
        """
        state: object = json.loads(self.keyring.open(sealed, bound_to=_row(user_id, authenticator_id)))
        if not isinstance(state, dict):
            raise Misconfigured("a sealed state is no JSON object")
        return state


def encoded(state: State) -> bytes:
    """What a factor wants to be kept, as JSON.

    :raises Unavailable: when it is no JSON object.
    """
    try:
        return json.dumps(dict(state), allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise Unavailable(f"a factor wants to keep what is no JSON object: {type(error).__name__}") from error


def _row(user_id: str, authenticator_id: str) -> str:
    return json.dumps(["authenticator", user_id, authenticator_id])


def lock_left(locked_until: float) -> float:
    """Seconds until a lock ends; 0 when it has."""
    return max(0.0, locked_until - time.time())
