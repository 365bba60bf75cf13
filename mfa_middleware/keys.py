"""Where the master keys come from: ``MFA_SECRET_KEY``, or, with embedded stores alone, a file beside the database."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path

from mfa_middleware.errors import ConfigurationError
from mfa_middleware.keyring import new_key, parse_keys
from mfa_middleware.settings import Settings

logger = logging.getLogger(__name__)


def database_file(settings: Settings) -> Path | None:
    """The SQLite file of ``MFA_DATABASE_URL``; None for a server, or for a database in memory."""
    scheme, _, path = settings.database_url.partition(":///")
    if not scheme.startswith("sqlite") or not path or path.startswith(":memory:"):
        return None
    file = Path(path.partition("?")[0])
    if not file.name:
        raise ConfigurationError("MFA_DATABASE_URL names a folder and no file; set it to sqlite:///mfa.sqlite3, say.")
    return file


def is_embedded(settings: Settings) -> bool:
    """Whether both stores live in this process and beside it."""
    return settings.redis_url.startswith("memory://") and settings.database_url.startswith("sqlite")


def find_keys(settings: Settings) -> tuple[bytes, ...]:
    """The master keys, newest first.

    :raises ConfigurationError: when there is none and none may be made, or one is no good.
    """
    if settings.secret_key:
        return parse_keys(settings.secret_key)
    if not is_embedded(settings):
        raise ConfigurationError(
            "MFA_SECRET_KEY is missing: with a Redis or database server all processes must share one; "
            "make one with `mfa keygen`."
        )
    file = database_file(settings)
    if file is None:
        logger.warning("MFA_SECRET_KEY is not set: using a key that is lost when this process ends")
        return parse_keys(new_key())
    return parse_keys(_kept_key(key_file(file)))


def key_file(database: Path) -> Path:
    """Where the key is kept that is made for an embedded database."""
    return database.with_name(database.name + ".key")


def _kept_key(file: Path) -> str:
    """The key in that file, made if it is not there. Of several processes that start at once, one makes it for all."""
    try:
        if not file.exists():
            _make_key(file)
        return file.read_text().strip()
    except OSError as error:
        raise ConfigurationError(f"MFA_SECRET_KEY is not set, and no key can be kept in {file}: {error}.") from error


def _make_key(file: Path) -> None:
    fresh = file.with_name(f"{file.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as opened:
        opened.write(new_key())
    with contextlib.suppress(FileExistsError):
        os.link(fresh, file)
    fresh.unlink()
    logger.warning("MFA_SECRET_KEY is not set: made a key and keep it in %s; for production, set one", file)
