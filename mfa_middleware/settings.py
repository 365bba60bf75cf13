"""The settings: one field, one environment variable (``MFA_`` and the field's name), one sentence when wrong.

A plugin has its own settings: ``settings.section(Model, "totp")`` reads the variables ``MFA_TOTP_*``. What no field
and no plugin reads is unknown, and stops start-up (:meth:`Settings.refuse_unknown`).
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, Field, PrivateAttr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from mfa_middleware.errors import ConfigurationError

PREFIX = "MFA_"
#: What Kubernetes puts in the environment of every pod beside a service called "mfa".
_INJECTED = re.compile(r"MFA_(SERVICE_.*|PORT(_.*)?)$")

Section = TypeVar("Section", bound=BaseModel)


def split(value: str) -> tuple[str, ...]:
    """The parts of a comma-separated value, without blanks and empty parts."""
    return tuple(part for part in (piece.strip() for piece in value.split(",")) if part)


def _mount(value: str) -> str:
    if not re.fullmatch(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9_.~-]+)+", value):
        raise ValueError("must be a path like /mfa, without a slash at its end")
    return value


def _origins(value: str) -> str:
    for origin in split(value):
        if not re.fullmatch(r"https?://[^/\s,]+", origin):
            raise ValueError("must be origins like https://app.example.com, comma-separated, without a path")
    return value


def _admin_tokens(value: str) -> str:
    if any(len(token) < 20 for token in split(value)):
        raise ValueError("holds a token of fewer than 20 characters: use a longer random one")
    return value


def _redis_url(value: str) -> str:
    if not re.match(r"(memory|rediss?|unix|redis\+sentinel|redis\+cluster)://", value):
        raise ValueError(
            "must begin with memory://, redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://"
        )
    return value


def _database_url(value: str) -> str:
    if not re.match(r"(sqlite(\+aiosqlite)?|postgresql(\+asyncpg)?)://", value):
        raise ValueError("must begin with sqlite:// or postgresql://")
    return value


def _folder(value: str) -> str:
    if value and not Path(value).is_dir():
        raise ValueError("there is no such folder")
    return value


def _logo(value: str) -> str:
    # No blank, semicolon or comma: the origin of the logo goes into the pages' Content-Security-Policy.
    if value and not re.fullmatch(r"(https?://[A-Za-z0-9.:\[\]-]+)?/(?!/)[^\s;,\"'<>\\]*", value):
        raise ValueError("must be a path like /static/logo.svg, or such a path on an https:// origin")
    return value


def _cookie_names(value: str) -> str:
    for name in split(value):
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
            raise ValueError("must be cookie names, comma-separated")
    return value


class Settings(BaseSettings):
    """All settings of the core. Arguments win over the environment.

    :raises ConfigurationError: with one sentence for each value that is wrong; never with the value of a secret.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", hide_input_in_errors=True, env_ignore_empty=True
    )

    app: str = Field(default="", description="the import string (package.module:attribute) of the app to wrap")
    secret_key: str = Field(default="", repr=False, description="keys made by `mfa keygen`, newest first")
    redis_url: Annotated[str, AfterValidator(_redis_url)] = Field(
        default="memory://", repr=False, description="a Redis or Valkey URL, or memory://"
    )
    database_url: Annotated[str, AfterValidator(_database_url)] = Field(
        default="sqlite:///mfa.sqlite3", repr=False, description="a SQLAlchemy URL for sqlite or postgresql"
    )
    engine_timeout: float = Field(default=2, gt=0, le=60, description="seconds after which an engine counts as away")
    mount: Annotated[str, AfterValidator(_mount)] = Field(default="/mfa", description="the path of the sub-app")
    origins: Annotated[str, AfterValidator(_origins)] = Field(
        default="", description="further origins that may call the sub-app, comma-separated"
    )
    login: str = Field(default="POST /login", description="requests that may be logins: METHOD /path, comma-separated")
    login_except: str = Field(default="", description="body fields as name=value that make such a request no login")
    login_user: str = Field(default="mark, session:user_id", description="selectors for the user of a login")
    session_cookie: Annotated[str, AfterValidator(_cookie_names)] = Field(
        default="session, sessionid", description="names of the app's session cookies, comma-separated"
    )
    report: bool = Field(default=False, description="watch undeclared paths for logins and report them as events")
    session_mode: Literal["strip", "gate"] = Field(default="strip", description="strip or gate")
    session_max_age: int = Field(default=1_209_600, ge=60, description="seconds that the app's sessions can live")
    request_user: str = Field(default="session:user_id, user", description="selectors for the user of a request")
    request_name: str = Field(default="", description="a selector for the account name shown in authenticator apps")
    request_admin: str = Field(default="", description="a selector that answers true for admins")
    admin_token: Annotated[str, AfterValidator(_admin_tokens)] = Field(
        default="", repr=False, description="bearer tokens for the admin API, comma-separated"
    )
    app_jwt_key: str = Field(default="", repr=False, description="a PEM, a shared secret or a JWKS URL")
    app_jwt_algorithms: str = Field(default="", description="algorithms of the app's JWTs, comma-separated")
    app_jwt_audience: str = Field(default="", description="the audience that the app's JWTs must name")
    app_jwt_issuer: str = Field(default="", description="the issuer that the app's JWTs must name")
    dialect: str = Field(default="native", min_length=1, description="native, or what a plugin registers")
    factors: str = Field(default="", description="names of the factors in use, in the order in which they are offered")
    enrolment: Literal["optional", "required"] = Field(default="optional", description="optional or required")
    issuer: str = Field(default="", max_length=100, description="the name that authenticator apps show")
    token_ttl: int = Field(default=300, ge=10, le=86_400, description="seconds that an mfaToken lives")
    token_attempts: int = Field(default=5, ge=1, le=100, description="answers that an mfaToken allows")
    user_failures: int = Field(default=10, ge=1, le=100, description="consecutive wrong answers that lock a user")
    lockout: int = Field(default=900, ge=1, le=86_400, description="seconds of a user's first lock")
    pending_logins: int = Field(default=10, ge=1, le=1000, description="mfaTokens that one user can have at a time")
    step_up_ttl: int = Field(default=600, ge=10, le=86_400, description="seconds that a proven factor stays fresh")
    held_response_limit: int = Field(
        default=1_048_576, ge=1024, le=64 * 1_048_576, description="bytes of the largest login response held"
    )
    templates: Annotated[str, AfterValidator(_folder)] = Field(
        default="", description="a folder whose files replace the pages' templates"
    )
    brand_name: str = Field(default="", max_length=100, description="the name that the pages show")
    brand_logo: Annotated[str, AfterValidator(_logo)] = Field(
        default="", max_length=2000, description="the URL or path of the logo that the pages show"
    )
    brand_color: Annotated[
        str,
        Field(pattern=r"^(#[0-9a-fA-F]{6})?$", description="the pages' accent colour, as #1a73e8"),
    ] = ""
    locale: Literal["", "en", "zh-Hans", "zh-Hant", "ja"] = Field(
        default="", description="the language of pages and messages: en, zh-Hans, zh-Hant or ja"
    )

    _plugin_values: dict[str, str] = PrivateAttr(default_factory=dict[str, str])
    _read: set[str] = PrivateAttr(default_factory=set[str])

    def __init__(self, **values: Any) -> None:  # noqa: ANN401  the fields, and those of plugins
        fields = type(self).model_fields
        own = {name: value for name, value in values.items() if name in fields}
        try:
            super().__init__(**own)
        except ValidationError as error:
            raise ConfigurationError(_sentences(error, PREFIX, fields)) from None
        surplus = {
            name[len(PREFIX) :].lower(): value
            for name, value in os.environ.items()
            if name.upper().startswith(PREFIX)
            and not _INJECTED.match(name.upper())
            and name[len(PREFIX) :].lower() not in fields
        }
        surplus |= {name: str(value) for name, value in values.items() if name not in fields}
        self._plugin_values.update(surplus)

    def section(self, model: type[Section], plugin: str) -> Section:
        """A plugin's own settings: the variables ``MFA_<PLUGIN>_<FIELD>``, validated by its pydantic model.

        :raises ConfigurationError: for a value that does not fit.
        """
        prefix = plugin.lower() + "_"
        names = {prefix + name: name for name in model.model_fields}
        self._read.update(names)
        values = {names[name]: value for name, value in self._plugin_values.items() if name in names and value != ""}
        try:
            return model(**values)
        except ValidationError as error:
            raise ConfigurationError(_sentences(error, PREFIX + prefix.upper(), model.model_fields)) from None

    def refuse_unknown(self) -> None:
        """Stop at a variable that nothing reads. To be called once all plugins have read theirs.

        :raises ConfigurationError: naming the variable, and the nearest that exists.
        """
        known = {*type(self).model_fields, *self._read}
        for name in sorted(self._plugin_values.keys() - self._read):
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" did you mean {PREFIX}{near[0].upper()}?" if near else " remove it."
            raise ConfigurationError(f"{PREFIX}{name.upper()} is no setting of mfa-middleware or its plugins;{hint}")


def _sentences(error: ValidationError, prefix: str, fields: Mapping[str, Any]) -> str:
    """One sentence for each wrong value, built without the value: it may be a secret."""
    found = error.errors(include_input=False)
    # A validator of the whole model has no place.
    return " ".join(_sentence(str((*one["loc"], "*")[0]), one["msg"], prefix, fields) for one in found)


def _sentence(name: str, message: str, prefix: str, fields: Mapping[str, Any]) -> str:
    message = message.removeprefix("Value error, ").rstrip(".")
    text = f"{prefix}{name.upper()}: {message[:1].lower()}{message[1:]}"
    description = getattr(fields.get(name), "description", None)
    return f"{text}; set it to {description}." if description else f"{text}."


def join(names: Iterable[str]) -> str:
    """Names for a sentence: ``a, b, c``, or ``none``."""
    return ", ".join(names) or "none"
