"""Plugins are found, registered and mistrusted. The distributions are real ones, in a folder on the path."""

import inspect
import sys
from functools import partial
from pathlib import Path
from textwrap import dedent, indent
from unittest.mock import AsyncMock

import pytest

import mfa_recovery_code
import mfa_totp
from mfa_middleware import hookspecs
from mfa_middleware.errors import ConfigurationError, PluginError
from mfa_middleware.factor import BackupCodes, Challenging, Completing, Enrolment, Factor, Importing
from mfa_middleware.hookspecs import hookimpl
from mfa_middleware.models import Counter
from mfa_middleware.plugins import Plugins
from mfa_middleware.settings import Settings

BUNDLED = (mfa_totp, mfa_recovery_code)


class Smile:
    name = "smile"
    title = "A smile"
    amr = "face"

    async def enrol(self, enrolling):
        return Enrolment({}, {})

    async def check(self, state, answer):
        return Counter(1)


class Backup(Smile):
    name = "backup"

    def issue(self):
        return {}, []

    def adopt_codes(self, codes):
        return {}

    def left(self, state, spent):
        return 0


class Registers:
    """A plugin that registers what it is given."""

    def __init__(self, *factors, called="acme", dialects=(), selectors=(), listeners=()):
        self.__name__ = called
        self.given = factors, dialects, selectors, listeners

    @hookimpl
    def mfa_register_factors(self):
        return self.given[0]

    @hookimpl
    def mfa_register_dialects(self):
        return self.given[1]

    @hookimpl
    def mfa_register_selectors(self):
        return self.given[2]

    @hookimpl
    def mfa_register_event_listeners(self):
        return self.given[3]


class Named:
    def __init__(self, name: str) -> None:
        self.name = self.kind = name


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Puts a distribution with one module and one entry point on the path."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def install(distribution: str, module: str, source: str, *, entry_point: str = "") -> None:
        (tmp_path / f"{module}.py").write_text("from mfa_middleware import hookimpl\n" + dedent(source))
        info = tmp_path / f"{distribution.replace('-', '_')}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[mfa_middleware]\n{entry_point or module} = {module}\n")

    yield install
    for name in set(sys.modules) - before:
        del sys.modules[name]


def hook(body: str, *, name: str = "mfa_register_factors", mark: str = "@hookimpl", parameters: str = "settings"):
    return f"\n{mark}\ndef {name}({parameters}):\n{indent(dedent(body), '    ')}\n"


def load(*extra: object, **settings: object) -> Plugins:
    return Plugins.load(Settings(**settings), extra or BUNDLED)


def names(plugins: Plugins) -> list[str]:
    return list(plugins.factors)


# ------------------------------------------------------------------------------------------------------------ finding


def test_an_installed_plugin_is_found_with_its_distribution(install):
    install("acme-faces", "acme_faces", "import tests.test_plugins as t" + hook("return [t.Smile()]"))
    plugins = load()
    assert "smile" in names(plugins)
    found = next(one for one in plugins.installed if one.name == "acme_faces")
    assert (found.distribution, found.version) == ("acme-faces", "1.2")


def test_a_plugin_that_fails_to_import_stops_start_up_and_names_its_distribution(install):
    install("acme-broken", "acme_broken", "import a_module_that_nobody_has")
    with pytest.raises(PluginError, match="plugin acme_broken of acme-broken cannot be imported: ModuleNotFoundError"):
        load()


def test_two_plugins_of_one_name_stop_start_up_and_both_distributions_are_named(install):
    install("acme-one", "acme_twin_one", hook("return []"), entry_point="acme_twin")
    install("acme-two", "acme_twin_two", hook("return []"), entry_point="acme_twin")
    with pytest.raises(PluginError, match=r"acme_twin of acme-(one|two) and .* of acme-(one|two) have the same name"):
        load()


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (hook("return []", name="mfa_register_factor"), "unknown hook 'mfa_register_factor'"),
        (hook("return []", mark=""), "mfa_register_factors lacks @hookimpl"),
        (hook("return []", name="mfa_helper", mark=""), "mfa_helper lacks @hookimpl"),
        (hook("return []", parameters="setings"), "setings"),
        (hook("return []").replace("def", "async def"), "must be a plain function"),
        (hook("return None"), "returned nothing"),
        (hook("return 7"), "TypeError: 'int' object is not iterable"),
        (hook("raise OSError('no camera')"), "mfa_register_factors failed: OSError: no camera"),
        (hook("yield 1\nraise OSError('no camera')"), "mfa_register_factors failed: OSError: no camera"),
    ],
    ids=["misspelt", "no mark", "no hook", "argument", "async", "None", "no list", "raises", "raises late"],
)
def test_a_broken_plugin_stops_start_up_and_names_its_distribution(install, source: str, said: str):
    install("acme-flawed", "acme_flawed", source)
    with pytest.raises(PluginError, match=f"plugin acme_flawed of acme-flawed[^\n]*{said}"):
        load()


def test_what_a_plugin_says_of_its_configuration_passes_as_it_is(install):
    source = "from mfa_middleware.errors import ConfigurationError\n" + hook(
        "raise ConfigurationError('pip install x')"
    )
    install("acme-extra", "acme_extra", source)
    with pytest.raises(ConfigurationError, match=r"^pip install x$") as caught:
        load()
    assert type(caught.value) is ConfigurationError


def test_a_plugin_that_is_installed_and_given_counts_once(install):
    install("acme-faces", "acme_twice", "import tests.test_plugins as t" + hook("return [t.Smile()]"))
    plugins = load(__import__("acme_twice"))
    assert [one.name for one in plugins.installed].count("acme_twice") == 1


# -------------------------------------------------------------------------------------------------------- registering


@pytest.mark.parametrize(
    "register",
    [
        lambda called: Registers(Smile(), called=called),
        lambda called: Registers(called=called, dialects=[Named("smile")]),
        lambda called: Registers(called=called, selectors=[Named("smile")]),
    ],
    ids=["factor", "dialect", "selector"],
)
def test_a_name_registered_twice_is_refused(register):
    with pytest.raises(PluginError, match="plugin two of the app: 'smile' is registered already, by plugin one"):
        load(register("one"), register("two"), *BUNDLED)


def test_what_is_no_factor_in_use_registers_as_well():
    async def ear(event): ...

    morse, marker = Named("morse"), Named("marker")
    plugins = load(Registers(dialects=[morse], selectors=[marker], listeners=[ear]), *BUNDLED)
    assert (plugins.dialects["morse"], plugins.selectors) == (morse, {"marker": marker})
    assert plugins.listeners == (ear,)


@pytest.mark.parametrize(
    ("flaws", "said"),
    [
        ({"name": "Smile"}, "needs a name of small letters"),
        ({"name": "a-b"}, "needs a name of small letters"),
        ({"name": "1st"}, "needs a name of small letters"),
        ({"name": ""}, "needs a name of small letters"),
        ({"name": None}, "needs a name of small letters"),
        ({"title": " "}, "needs a title"),
        ({"title": None}, "needs a title"),
        ({"amr": ""}, "needs a amr"),
        ({"check": lambda self, state, answer: None}, "needs `async def check`"),
        ({"check": None}, "needs `async def check`"),
        ({"enrol": lambda self, enrolling: None}, "needs `async def enrol`"),
        ({"challenge": lambda self, state: None}, "needs `async def challenge`"),
        ({"complete": lambda self, state, answer: (state, None)}, "needs `async def complete`"),
    ],
)
def test_what_is_no_factor_is_refused(flaws: dict[str, object], said: str):
    with pytest.raises(PluginError, match=f"plugin acme of the app: the factor .*{said}"):
        load(Registers(type("Flawed", (Smile,), flaws)()), *BUNDLED)


def test_a_class_is_no_factor():
    with pytest.raises(PluginError, match="the factor 'smile' is a class; register an instance"):
        load(Registers(Smile), *BUNDLED)


def test_a_dialect_needs_a_name():
    with pytest.raises(PluginError, match="plugin acme of the app: it registers a object that has no name"):
        load(Registers(dialects=[object()]), *BUNDLED)


# --------------------------------------------------------------------------------------------------------------- in use


def test_the_bundled_factors_are_in_use_with_the_backup_last():
    assert names(load(mfa_recovery_code, mfa_totp)) == ["totp", "recovery_code"]


def test_mfa_factors_gives_the_order():
    assert names(load(factors="recovery_code, totp")) == ["recovery_code", "totp"]
    assert names(load(Registers(Smile()), *BUNDLED, factors="smile,totp")) == ["smile", "totp"]


def test_a_factor_that_is_not_installed_is_named_beside_those_that_are():
    with pytest.raises(ConfigurationError, match=r"MFA_FACTORS names 'topt', .* there is: .*totp"):
        load(factors="topt")


def test_backups_alone_protect_nobody():
    with pytest.raises(ConfigurationError, match="No factor is in use that is more than a backup"):
        load(factors="recovery_code")


def test_only_one_backup_can_be_in_use():
    both = (Registers(Backup()), *BUNDLED)
    with pytest.raises(ConfigurationError, match=r"Only one backup factor can be in use, not (backup|recovery_code), "):
        load(*both)
    assert names(load(*both, factors="totp,backup")) == ["totp", "backup"]


# ------------------------------------------------------------------------------------------------------------- settings


def test_a_variable_that_no_plugin_reads_stops_start_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MFA_TOTP_DIGIT", "8")
    with pytest.raises(ConfigurationError, match=r"MFA_TOTP_DIGIT .* did you mean MFA_TOTP_DIGITS\?"):
        load()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MFA_TOTP_ALGORITHM", "MD5"),
        ("MFA_TOTP_DIGITS", "5"),
        ("MFA_TOTP_DIGITS", "9"),
        ("MFA_TOTP_PERIOD", "14"),
        ("MFA_TOTP_PERIOD", "121"),
        ("MFA_TOTP_WINDOW", "-1"),
        ("MFA_TOTP_WINDOW", "11"),
        ("MFA_TOTP_SPEND_ON_CONFIRM", "perhaps"),
        ("MFA_TOTP_IMPORT_BITS", "79"),
        ("MFA_RECOVERY_CODE_COUNT", "0"),
        ("MFA_RECOVERY_CODE_COUNT", "51"),
    ],
)
def test_a_plugins_variable_that_does_not_fit_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str):
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=f"^{variable}: .*; set it to "):
        load()


def test_every_plugin_reads_its_own_variables(monkeypatch: pytest.MonkeyPatch):
    for variable, value in {
        "MFA_TOTP_ALGORITHM": "SHA512",
        "MFA_TOTP_DIGITS": "8",
        "MFA_TOTP_PERIOD": "60",
        "MFA_TOTP_IMPORT_BITS": "80",
    }.items():
        monkeypatch.setenv(variable, value)
    totp = load().factors["totp"]
    assert isinstance(totp, Importing)
    assert totp.adopt("A" * 16) == {"secret": "A" * 16, "algorithm": "SHA512", "digits": 8, "period": 60}


# ----------------------------------------------------------------------------------------------------------------- docs


def test_the_docs_name_every_hook_as_it_is():
    page = (Path(__file__).parents[1] / "docs" / "plugins.md").read_text()
    hooks = [name for name in vars(hookspecs) if name.startswith("mfa_")]
    assert len(hooks) == 4
    assert [name for name in hooks if f"| `{name}(settings)` |" not in page] == []


@pytest.mark.parametrize(
    "protocol", [Factor, Challenging, Completing, Importing, BackupCodes], ids=lambda one: one.__name__
)
def test_the_docs_give_the_signatures_as_they_are(protocol: type):
    page = (Path(__file__).parents[1] / "docs" / "plugins.md").read_text()
    methods = [one for name, one in vars(protocol).items() if inspect.isfunction(one) and not name.startswith("_")]
    signatures = [f"def {one.__name__}{inspect.signature(one)}".replace("'", "") for one in methods]
    assert signatures
    assert [signature for signature in signatures if signature not in page] == []


class Listens:
    async def __call__(self, event): ...


async def hears(event): ...


@pytest.mark.parametrize(
    "listener", [Listens(), hears, partial(hears), AsyncMock()], ids=lambda one: type(one).__name__
)
def test_a_listener_is_anything_that_is_called_and_awaited(listener):
    assert load(Registers(listeners=[listener]), *BUNDLED).listeners == (listener,)


@pytest.mark.parametrize("listener", [lambda event: None, print, object(), Listens], ids=range(4))
def test_a_listener_that_cannot_be_awaited_stops_start_up(listener):
    with pytest.raises(PluginError, match=r"event listener .* must be an `async def`"):
        load(Registers(listeners=[listener]), *BUNDLED)
