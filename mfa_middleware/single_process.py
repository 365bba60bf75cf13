"""Embedded stores serve one server process: a second one on the same database file is refused."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from mfa_middleware.errors import ConfigurationError
from mfa_middleware.keys import database_file
from mfa_middleware.settings import Settings


class SingleProcess:
    """A lock beside the database file. It ends with the process, however that ends."""

    def __init__(self) -> None:
        self._descriptor: int | None = None

    def claim(self, settings: Settings) -> None:
        """Be the only server on these embedded stores. With a Redis there may be many.

        :raises ConfigurationError: when another server is there already.
        """
        file = database_file(settings)
        if file is None or not settings.redis_url.startswith("memory://") or self._descriptor is not None:
            return
        self._descriptor = _lock(file.with_name(file.name + ".lock"))

    def give_up(self) -> None:
        """Let another server in."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _lock(file: Path) -> int:
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigurationError(f"MFA_DATABASE_URL: {file} cannot be made: {error}.") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise ConfigurationError(
            "MFA_REDIS_URL is memory://, which serves one process, and another server is on the same database file: "
            "run one worker, wrap the app once, or set MFA_REDIS_URL."
        ) from error
    except OSError as error:
        os.close(descriptor)
        raise ConfigurationError(f"MFA_DATABASE_URL: {file} cannot be locked ({error}); use a local disk.") from error
    return descriptor
