"""Settings: one variable for each field, and a sentence with the mend for each that is wrong."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, Field, model_validator

from mfa_middleware import ConfigurationError, Settings
from mfa_middleware.settings import join, split

DEFAULTS = {
    "APP": "",
    "SECRET_KEY": "",
    "REDIS_URL": "memory://",
    "DATABASE_URL": "sqlite:///mfa.sqlite3",
    "ENGINE_TIMEOUT": 2,
    "MOUNT": "/mfa",
    "ORIGINS": "",
    "LOGIN": "POST /login",
    "LOGIN_EXCEPT": "",
    "LOGIN_USER": "mark, session:user_id",
    "SESSION_COOKIE": "session, sessionid",
    "SESSION_MODE": "strip",
    "SESSION_MAX_AGE": 1209600,
    "REQUEST_USER": "session:user_id, user",
    "REQUEST_NAME": "",
    "REQUEST_ADMIN": "",
    "ADMIN_TOKEN": "",
    "APP_JWT_KEY": "",
    "APP_JWT_ALGORITHMS": "",
    "APP_JWT_AUDIENCE": "",
    "APP_JWT_ISSUER": "",
    "DIALECT": "native",
    "FACTORS": "",
    "ENROLMENT": "optional",
    "TOKEN_TTL": 300,
    "TOKEN_ATTEMPTS": 5,
    "USER_FAILURES": 10,
    "LOCKOUT": 900,
    "PENDING_LOGINS": 10,
    "STEP_UP_TTL": 600,
    "HELD_RESPONSE_LIMIT": 1048576,
}


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    import os

    for name in list(os.environ):
        if name.upper().startswith("MFA_"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize("name", DEFAULTS)
def test_the_defaults_are_those_of_the_contract(name):
    assert getattr(Settings(), name.lower()) == DEFAULTS[name]


def test_every_field_is_read_from_its_variable_and_an_argument_wins(monkeypatch):
    monkeypatch.setenv("MFA_TOKEN_TTL", "60")
    assert Settings().token_ttl == 60
    assert Settings(token_ttl=90).token_ttl == 90
    monkeypatch.setenv("MFA_TOKEN_TTL", "")
    assert Settings().token_ttl == 300


WRONG = {
    "REDIS_URL": "http://x",
    "DATABASE_URL": "mysql://u:CANARY@h/x",
    "ENGINE_TIMEOUT": "0",
    "MOUNT": "mfa",
    "ORIGINS": "app.example.com",
    "SESSION_COOKIE": "a b",
    "SESSION_MODE": "open",
    "SESSION_MAX_AGE": "-1",
    "ADMIN_TOKEN": "CANARY",
    "ENROLMENT": "maybe",
    "ISSUER": "x" * 101,
    "TOKEN_TTL": "soon",
    "TOKEN_ATTEMPTS": "0",
    "USER_FAILURES": "0",
    "LOCKOUT": "0",
    "PENDING_LOGINS": "0",
    "STEP_UP_TTL": "1",
    "HELD_RESPONSE_LIMIT": "1",
    "LOCALE": "klingon",
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_value_is_one_sentence_that_names_the_variable_and_not_the_value(monkeypatch, name):
    monkeypatch.setenv(f"MFA_{name}", WRONG[name])
    with pytest.raises(ConfigurationError) as refused:
        Settings()
    text = str(refused.value)
    assert text.startswith(f"MFA_{name}: ")
    assert "; set it to " in text
    assert text.endswith(".")
    assert "CANARY" not in text
    assert refused.value.__cause__ is None


@pytest.mark.parametrize("mount", ["/", "", "/mfa/", "//mfa", "/m fa", "/mfa?x", "/../mfa#", "/é"])
def test_a_mount_that_is_no_plain_path_is_refused(mount):
    with pytest.raises(ConfigurationError):
        Settings(mount=mount)


@pytest.mark.parametrize("mount", ["/..", "/a/../b", "/."])
def test_a_mount_of_dots_is_refused(mount):
    with pytest.raises(ConfigurationError):
        Settings(mount=mount)


@pytest.mark.parametrize(
    "origin", ["*", "null", "https://a.example/", "https://a.example/x", "//a.example", "https://", "ftp://a.example"]
)
def test_what_is_no_origin_is_refused(origin):
    with pytest.raises(ConfigurationError):
        Settings(origins=origin)


def test_settings_do_not_change():
    with pytest.raises(Exception, match="frozen"):
        Settings().token_ttl = 1


def test_no_secret_is_in_the_repr():
    settings = Settings(
        secret_key="CANARY",
        redis_url="redis://:CANARY@h",
        database_url="postgresql://u:CANARY@h/d",
        admin_token="CANARY" * 4,
        app_jwt_key="CANARY",
        totp_secret="CANARY",
    )
    assert "CANARY" not in repr(settings) + str(settings)


# -------------------------------------------------------------------------------------------------- what nobody reads


class Smile(BaseModel):
    width: int = Field(default=3, ge=1, description="how wide to smile")


def test_a_plugin_reads_its_own_variables(monkeypatch):
    monkeypatch.setenv("MFA_SMILE_WIDTH", "7")
    settings = Settings()
    assert settings.section(Smile, "smile").width == 7
    settings.refuse_unknown()


def test_a_plugin_s_wrong_value_names_its_variable_and_not_the_value(monkeypatch):
    monkeypatch.setenv("MFA_SMILE_WIDTH", "CANARY")
    with pytest.raises(ConfigurationError, match=r"^MFA_SMILE_WIDTH: ") as refused:
        Settings().section(Smile, "smile")
    assert "how wide to smile" in str(refused.value)
    assert "CANARY" not in str(refused.value)


class Grin(Smile):
    teeth: int = 0

    @model_validator(mode="after")
    def _fits(self) -> Grin:
        if self.teeth > self.width:
            raise ValueError("No more teeth than the smile is wide.")
        return self


def test_what_does_not_fit_together_in_a_plugin_s_settings_is_one_sentence_too(monkeypatch):
    monkeypatch.setenv("MFA_GRIN_TEETH", "32")
    with pytest.raises(ConfigurationError) as refused:
        Settings().section(Grin, "grin")
    assert str(refused.value) == "MFA_GRIN_*: no more teeth than the smile is wide."


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("MFA_TOKEN_TLL", "MFA_TOKEN_TTL"), ("mfa_redis_ulr", "MFA_REDIS_URL"), ("MFA_SMILE_WIDHT", "MFA_SMILE_WIDTH")],
)
def test_an_unknown_variable_is_refused_and_the_nearest_is_named(monkeypatch, name, nearest):
    monkeypatch.setenv(name, "CANARY")
    settings = Settings()
    settings.section(Smile, "smile")
    with pytest.raises(ConfigurationError, match=nearest) as refused:
        settings.refuse_unknown()
    assert name.upper() in str(refused.value)
    assert "CANARY" not in str(refused.value)


@pytest.mark.parametrize(
    "name", ["MFA_SERVICE_HOST", "MFA_SERVICE_PORT_HTTP", "MFA_PORT", "MFA_PORT_80_TCP_ADDR", "MFAX", "XMFA_TOKEN"]
)
def test_what_kubernetes_injects_and_what_is_not_ours_is_no_matter(monkeypatch, name):
    monkeypatch.setenv(name, "x")
    Settings().refuse_unknown()


def test_an_unknown_argument_is_refused_as_a_variable_is():
    with pytest.raises(ConfigurationError, match="MFA_TOKEN_TTL"):
        Settings(token_tll=1).refuse_unknown()


def test_parts_are_split_and_joined():
    assert split(" a, b ,,c ,") == ("a", "b", "c")
    assert split("") == ()
    assert join(["a", "b"]) == "a, b"
    assert join([]) == "none"
