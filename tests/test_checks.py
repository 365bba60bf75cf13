"""What ``mfa check`` finds: all that start-up refuses, in the same words, and what start-up cannot see."""

from pathlib import Path
from typing import Any

import pytest

from mfa_middleware import MFA, Settings
from mfa_middleware.checks import Finding, Level, check
from mfa_middleware.errors import ConfigurationError, Unavailable
from mfa_middleware.keyring import new_key
from mfa_middleware.management import ImportedSecret, import_secret
from mfa_middleware.selectors import Place
from tests.engines import EngineMissing, Valkey, free_port

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
CANARY = "canary-that-nobody-may-see"


def texts(findings: list[Finding], level: Level) -> list[str]:
    return [one.text for one in findings if one.level is level]


@pytest.fixture
def look(tmp_path: Path):
    """Checks settings with a key and a database of the test's own, as if the middleware stood inside."""

    async def run(place: Place | None = Place.INSIDE, **given: Any) -> list[Finding]:
        usual = {"secret_key": new_key(), "database_url": f"sqlite:///{tmp_path}/mfa.sqlite3"}
        return list(await check(Settings(**usual | given), place=place))

    return run


@pytest.fixture
def errors(look):
    async def run(place: Place | None = Place.INSIDE, **given: Any) -> list[str]:
        return texts(await look(place, **given), Level.ERROR)

    return run


@pytest.fixture
def warnings(look):
    async def run(place: Place | None = Place.INSIDE, **given: Any) -> list[str]:
        return texts(await look(place, **given), Level.WARNING)

    return run


# ------------------------------------------------------------------------------------------------ what start-up refuses

_REFUSED: list[dict[str, Any]] = [
    {"secret_key": "short"},
    {"secret_key": "A" * 43},
    {"redis_url": "redis://127.0.0.1:1/0", "secret_key": ""},
    {"redis_url": "redis+sentinel://host"},
    {"database_url": "sqlite:////no/such/folder/mfa.sqlite3"},
    {"database_url": "sqlite:////no/such/folder/mfa.sqlite3", "secret_key": ""},
    {"database_url": "sqlite:///"},
    {"login": "/login"},
    {"login_except": "grant_type"},
    {"login_user": "sesion:user_id"},
    {"login_user": "user"},
    {"login_user": "json:/id", "login": ","},
    {"request_user": "json:/user"},
    {"request_user": "bearer:sub"},
    {"request_name": "whoami:me"},
    {"request_admin": "session:"},
    {"dialect": "klingon"},
    {"factors": "smile"},
    {"factors": "recovery_code"},
    {"tokn_ttl": "3"},
    {"totp_digits": "9"},
]


@pytest.mark.parametrize("given", _REFUSED, ids=lambda given: ", ".join(f"{one}={given[one]}" for one in given))
async def test_what_start_up_refuses_is_an_error_in_the_same_words(errors, tmp_path: Path, given: dict[str, Any]):
    usual = {"secret_key": new_key(), "database_url": f"sqlite:///{tmp_path}/other.sqlite3"}
    mfa = MFA(Settings(**usual | given))
    try:
        await mfa.open()
        sentence = ""
    except ConfigurationError as refusal:
        sentence = str(refusal)
    finally:
        await mfa.close()
    found = await errors(**given)
    assert sentence in found if sentence else found == []


async def test_a_value_that_does_not_parse_is_an_error_in_the_same_words(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MFA_TOKEN_TTL", "soon")
    with pytest.raises(ConfigurationError) as refused:
        Settings()
    assert [(one.level, one.text) for one in await check()] == [(Level.ERROR, str(refused.value))]


async def test_several_mistakes_are_all_told_at_once(errors):
    found = await errors(secret_key="short", login="/login", login_except="x", database_url="sqlite:////no/where/x")
    assert [one.replace(":", " ").split()[0] for one in found] == [
        "MFA_SECRET_KEY",
        "MFA_LOGIN",
        "MFA_LOGIN_EXCEPT",
        "MFA_DATABASE_URL",
        "MFA_DATABASE_URL",
    ]


async def test_no_finding_has_a_secret(look):
    findings = await look(
        redis_url=f"redis://mfa:{CANARY}@127.0.0.1:{free_port()}/0",
        database_url=f"postgresql://mfa:{CANARY}@127.0.0.1:{free_port()}/mfa",
        admin_token=CANARY,
        app_jwt_key=CANARY,
        app="tests.test_checks:nothing",
        secret_key=CANARY,
    )
    assert len(texts(findings, Level.ERROR)) == 4
    assert CANARY not in repr(findings)


# ---------------------------------------------------------------------------------------------- looking changes nothing


async def test_the_embedded_defaults_in_an_empty_folder_are_well_and_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    findings = list(await check(Settings(), place=Place.INSIDE))
    assert texts(findings, Level.ERROR) == []
    assert "MFA_DATABASE_URL: mfa.sqlite3 is not there yet; start-up makes it." in texts(findings, Level.OK)
    assert list(tmp_path.iterdir()) == []


async def test_a_database_that_is_there_is_opened_beside_its_running_server(look, settings):
    mfa = MFA(settings())
    await mfa.open()
    findings = await look(database_url=mfa.parts.settings.database_url)
    await mfa.close()
    assert any("database answers, and its tables are of version" in one for one in texts(findings, Level.OK))


# ------------------------------------------------------------------------------------------------------------- the keys


async def test_a_kept_key_that_others_can_read_is_an_error(errors, tmp_path: Path):
    file = tmp_path / "mfa.sqlite3.key"
    file.write_text(new_key())
    file.chmod(0o640)
    (found,) = await errors(secret_key="")
    assert found.startswith(f"{file} holds the key and has the mode 0640")
    file.chmod(0o600)
    assert await errors(secret_key="") == []


async def test_a_key_that_is_lost_with_the_process_is_told_of(warnings):
    found = await warnings(secret_key="", database_url="sqlite://")
    assert any("both are lost when the process ends" in one for one in found)


async def test_older_keys_are_counted(look):
    findings = await look(secret_key=",".join(new_key() for _ in range(3)))
    assert "MFA_SECRET_KEY: the first key seals and signs, 2 older ones still open." in texts(findings, Level.OK)


async def test_a_key_that_does_not_open_what_the_database_has_is_an_error(errors, make_mfa, tmp_path):
    mfa = await make_mfa(database_url=f"sqlite:///{tmp_path}/mfa.sqlite3")
    core = mfa.parts.core
    await import_secret(core, "alice", ImportedSecret("totp", SECRET), "trace")
    url = mfa.parts.settings.database_url
    assert await errors(secret_key="", database_url=url) == []
    (found,) = await errors(secret_key=new_key(), database_url=url)
    assert found.startswith("MFA_SECRET_KEY: 1 of the first 1 secrets in the database do not open")


async def test_authenticators_of_a_factor_that_is_not_in_use_are_told_of(warnings, make_mfa, tmp_path):
    mfa = await make_mfa(database_url=f"sqlite:///{tmp_path}/mfa.sqlite3")
    core = mfa.parts.core
    codes = ["first-code", "second-code"]
    await import_secret(core, "alice", ImportedSecret("totp", SECRET, recovery_codes=codes), "trace")
    found = await warnings(secret_key="", database_url=mfa.parts.settings.database_url, factors="totp")
    assert any(
        "1 of the first 2 authenticators are of the factor recovery_code, which is not in use" in x for x in found
    )
    assert any("No factor with recovery codes is in use" in one for one in found)


# ---------------------------------------------------------------------------------------------------------- the engines


async def test_an_engine_that_is_away_is_an_error_with_the_variable_and_the_mend(errors):
    redis, database = await errors(
        redis_url=f"redis://127.0.0.1:{free_port()}/0",
        database_url=f"postgresql://mfa@127.0.0.1:{free_port()}/mfa",
    )
    assert redis.startswith("MFA_REDIS_URL: Redis does not answer (redis: ConnectionError); start it")
    assert database.startswith("MFA_DATABASE_URL: The database does not answer (database: ConnectionRefusedError)")


async def test_a_redis_is_looked_at_as_it_is(look):
    try:
        valkey = Valkey()
    except EngineMissing as missing:
        pytest.skip(str(missing))
    with valkey:
        findings = await look(redis_url=valkey.url)
    assert texts(findings, Level.ERROR) == []
    assert any("Redis writes nothing to disk" in one for one in texts(findings, Level.WARNING))


async def test_a_redis_that_throws_keys_away_is_an_error_as_at_start_up(errors):
    try:
        valkey = Valkey("--maxmemory-policy", "allkeys-lru")
    except EngineMissing as missing:
        pytest.skip(str(missing))
    with valkey:
        (found,) = await errors(redis_url=valkey.url)
    assert "maxmemory-policy noeviction" in found


async def test_what_only_start_up_itself_refuses_is_told_as_well(
    errors, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    async def refuse(self, *, alone: bool = True) -> None:
        raise ConfigurationError("No, for a new reason; mend it.")

    (tmp_path / "mfa.sqlite3").touch()
    monkeypatch.setattr(MFA, "open", refuse)
    assert await errors() == ["No, for a new reason; mend it."]


async def test_an_engine_that_goes_away_in_between_is_told_of(errors, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    async def fail(self, *, alone: bool = True) -> None:
        raise Unavailable("redis: gone")

    (tmp_path / "mfa.sqlite3").touch()
    monkeypatch.setattr(MFA, "open", fail)
    assert await errors() == ["Start-up fails: redis: gone; try again."]


# ------------------------------------------------------------------------------------------------------ the wrapped app


@pytest.mark.parametrize(
    ("source", "name", "said"),
    [
        ("", "acme_shop", "MFA_APP must be an import string"),
        ("", ":app", "MFA_APP must be an import string"),
        ("", ".acme_shop:app", "MFA_APP must be an import string"),
        ("", "acme_shop:", "MFA_APP must be an import string"),
        ("", "acme_shop:app", "MFA_APP: acme_shop:app: module 'acme_shop' has no attribute 'app'."),
        ("", "acme_nowhere:app", "MFA_APP: acme_nowhere:app does not import: No module named 'acme_nowhere'."),
        ("app = 7", "acme_shop:app", "MFA_APP: acme_shop:app is a int and no ASGI app"),
        (f"raise ValueError('{CANARY}')", "acme_shop:app", "importing acme_shop:app fails with ValueError"),
        ("raise SystemExit(3)", "acme_shop:app", "importing acme_shop:app fails with SystemExit"),
    ],
)
async def test_an_app_that_cannot_be_wrapped_is_an_error(
    errors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, name: str, said: str
):
    _install(monkeypatch, tmp_path, source)
    (found,) = await errors(app=name)
    assert said in found
    assert CANARY not in found


async def test_an_app_that_is_named_is_wrapped_from_outside(errors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    _install(monkeypatch, tmp_path, "async def app(scope, receive, send): ...")
    (found,) = await errors(None, app="acme_shop:app")
    assert found.startswith(
        "From outside of the session middleware, none of the selectors of MFA_REQUEST_USER can ever"
    )
    assert await errors(Place.INSIDE, app="acme_shop:app") == []


def _install(monkeypatch: pytest.MonkeyPatch, folder: Path, source: str) -> None:
    (folder / "acme_shop.py").write_text(source)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(__import__("sys").modules, "acme_shop", raising=False)


# ------------------------------------------------------------------------------------- what can be seen, and from where

_OUTSIDE = "From outside of the session middleware, "
_INSIDE = "Inside of the session middleware, "
_BEARER: dict[str, Any] = {"request_user": "bearer:sub", "app_jwt_key": "k" * 40}


@pytest.mark.parametrize(
    ("place", "given", "said"),
    [
        (
            Place.OUTSIDE,
            {},
            _OUTSIDE + "none of the selectors of MFA_REQUEST_USER can ever answer; use whoami: or bearer:",
        ),
        (Place.INSIDE, {"request_user": "whoami:/me#/id"}, _INSIDE + "none of the selectors of MFA_REQUEST_USER"),
        (
            Place.OUTSIDE,
            _BEARER | {"request_name": "user:email"},
            _OUTSIDE + "none of the selectors of MFA_REQUEST_NAME",
        ),
        (
            Place.OUTSIDE,
            _BEARER | {"request_admin": "user:admin"},
            _OUTSIDE + "none of the selectors of MFA_REQUEST_ADMIN",
        ),
        (Place.INSIDE, {"login_user": "whoami:/me#/id"}, _INSIDE + "none of the selectors of MFA_LOGIN_USER can ever"),
        (Place.INSIDE, {"login_user": ","}, "MFA_LOGIN_USER names no selector"),
        (
            Place.OUTSIDE,
            _BEARER | {"login_user": "session:id", "login": ","},
            _OUTSIDE + "session in MFA_LOGIN_USER is",
        ),
    ],
)
async def test_what_can_never_answer_is_an_error_where_the_place_is_known(errors, warnings, place, given, said):
    (found,) = await errors(place, **given)
    assert found.startswith(said)
    if given.get("login_user") != ",":
        assert any(one.startswith(said) for one in await warnings(None, **given))


async def test_where_the_place_is_not_known_what_answers_in_one_is_no_error(errors):
    assert await errors(None) == []


@pytest.mark.parametrize(
    ("place", "given", "said"),
    [
        (
            Place.INSIDE,
            {"login_user": "json:/user_id"},
            _INSIDE + "a login is only seen at POST /login; declare each other",
        ),
        (Place.OUTSIDE, _BEARER | {"login_user": "session:user_id"}, _OUTSIDE + "a login is only seen at POST /login"),
        (
            Place.INSIDE,
            {"login_user": "mark, json:/id", "login": ","},
            "json in MFA_LOGIN_USER is asked on the requests",
        ),
        (Place.INSIDE, {"login": "* /**"}, "MFA_LOGIN: * /** declares every path"),
        (
            Place.OUTSIDE,
            _BEARER | {"login": "* /login"},
            "`*` in MFA_LOGIN takes the session cookie out of GET requests",
        ),
        (Place.INSIDE, {"request_user": "header:X-User"}, "MFA_REQUEST_USER: header: is believed, whoever sends it"),
        (Place.INSIDE, {"request_admin": "header:X-Admin"}, "MFA_REQUEST_ADMIN: header: is believed, whoever sends it"),
        (Place.INSIDE, {"app_jwt_key": "k" * 40}, "MFA_APP_JWT_KEY is not used"),
        (Place.INSIDE, {"login_user": "session:uid"}, "MFA_LOGIN_USER looks at session:uid, and MFA_REQUEST_USER at"),
    ],
)
async def test_what_works_only_in_part_is_a_warning(look, place, given, said):
    findings = await look(place, **given)
    assert texts(findings, Level.ERROR) == []
    assert any(said in one for one in texts(findings, Level.WARNING))


async def test_from_outside_it_is_said_that_each_login_must_be_declared(look):
    findings = await look(Place.OUTSIDE, **_BEARER, login="POST /login, GET /magic/*")
    said = (
        "a login elsewhere than at POST /login, GET /magic/* is only seen if the app tells of it (mark); declare each"
    )
    assert any(said in one for one in texts(findings, Level.OK))


@pytest.mark.parametrize("user", ["mark, whoami:/me#/id", "whoami:/me#/id"])
async def test_where_logins_are_not_seen_the_report_of_them_is_named(look, user: str):
    given = _BEARER | {"login_user": user}
    told = {
        report: " ".join(one.text for one in await look(Place.OUTSIDE, **given, report=report)) for report in (0, 1)
    }
    assert "MFA_REPORT=true would tell of others" in told[0]
    assert "MFA_REPORT tells of others by the event login_not_declared, and holds none." in told[1]


async def test_inside_the_session_tells_of_logins_on_every_path(look):
    assert any("logins are seen on every path (mark, session)" in one for one in texts(await look(), Level.OK))


async def test_production_settings_that_are_right_have_nothing_but_ok(look, tmp_path: Path):
    try:
        valkey = Valkey("--appendonly", "yes")
    except EngineMissing as missing:
        pytest.skip(str(missing))
    with valkey:
        findings = await look(Place.OUTSIDE, redis_url=valkey.url, **_BEARER)
    assert {one.level for one in findings} == {Level.OK}
