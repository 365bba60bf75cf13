"""What a server answers that has become a replica.

After a fail-over the address of the primary leads elsewhere, but what was connected stays with the old one, and would
be answered READONLY for ever: such a connection is given up. In a Cluster such a server answers MOVED.
"""

from __future__ import annotations

from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import MasterDownError, ReadOnlyError, ResponseError


class NotPrimary(LostConnection):
    """The server may not write, so it did nothing: it can be asked again over a new connection."""


def demoted(error: ResponseError) -> bool:
    """Whether it is a replica that answers so."""
    # Redis 6.2 wraps what a command in a script was answered.
    return isinstance(error, ReadOnlyError | MasterDownError) or "-READONLY" in str(error)
