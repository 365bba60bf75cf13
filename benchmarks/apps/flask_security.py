"""Flask-Security-Too: login with name and password, then its ``tf-validate``. Run as a program, it fills up.

Passwords are kept in plain, for hashing is not compared here. How its secrets are kept is its default: each check
derives a key with 2^14 rounds.
"""

from __future__ import annotations

import os
import uuid
from functools import cache

from flask import Flask
from flask_security import Security, SQLAlchemyUserDatastore
from flask_security.models import fsqla_v3
from flask_sqlalchemy import SQLAlchemy
from passlib.totp import TOTP

from benchmarks.people import PASSWORD, USERS, email, secret

_KEYS = {"1": "a benchmark's key, of some length, for the secrets"}

app = Flask(__name__)
app.config.update(
    SECRET_KEY="a benchmark's",
    SECURITY_PASSWORD_SALT="a benchmark's",
    SQLALCHEMY_DATABASE_URI="sqlite:///" + os.environ["BENCH_FILE"],
    SECURITY_PASSWORD_HASH="plaintext",
    SECURITY_PASSWORD_SCHEMES=["plaintext"],
    SECURITY_PASSWORD_SINGLE_HASH=["plaintext"],
    SECURITY_DEPRECATED_PASSWORD_SCHEMES=[],
    SECURITY_EMAIL_VALIDATOR_ARGS={"check_deliverability": False},
    SECURITY_TWO_FACTOR=True,
    SECURITY_TWO_FACTOR_REQUIRED=True,
    SECURITY_TWO_FACTOR_ENABLED_METHODS=["authenticator"],
    SECURITY_TWO_FACTOR_ALWAYS_VALIDATE=True,
    SECURITY_TOTP_SECRETS=_KEYS,
    SECURITY_TOTP_ISSUER="benchmark",
    WTF_CSRF_ENABLED=False,
)
db = SQLAlchemy(app)
fsqla_v3.FsModels.set_db_info(db)


class Role(db.Model, fsqla_v3.FsRoleMixin):  # type: ignore[name-defined,misc]
    """(It wants one.)"""


class User(db.Model, fsqla_v3.FsUserMixin):  # type: ignore[name-defined,misc]
    """Who logs in."""


class WebAuthn(db.Model, fsqla_v3.FsWebAuthnMixin):  # type: ignore[name-defined,misc]
    """(It wants one.)"""


app.security = Security(app, SQLAlchemyUserDatastore(db, User, Role, WebAuthn))  # type: ignore[attr-defined]


@cache
def _sealed(key: bytes) -> str:
    """A secret as it keeps it; made once for all users who share it, for that is slow."""
    totp = TOTP.using(issuer="benchmark", secrets=_KEYS)
    text: str = totp(key=key, format="raw").to_json(encrypt=True)
    return text


def fill() -> None:
    """Make the tables and the users."""
    with app.app_context():
        db.create_all()
        rows = [
            {
                "email": email(one),
                "password": PASSWORD,
                "active": True,
                "fs_uniquifier": uuid.uuid4().hex,
                "fs_token_uniquifier": uuid.uuid4().hex,
                "tf_primary_method": "authenticator",
                "tf_totp_secret": _sealed(secret(one)),
            }
            for one in range(USERS)
        ]
        db.session.execute(db.insert(User), rows)
        db.session.commit()


if __name__ == "__main__":
    fill()
