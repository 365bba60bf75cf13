"""The SDKs, and the example user pool, wrapped by environment variables alone and served by uvicorn."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from examples.authing_user_pool import VARIABLES
from tests.examples.serving import served
from tests.sdks.clients import Client, javascript, python
from tests.sdks.installing import Sdks, SdksMissing, installed

POOL_ID = "59f86b4832eb28071bdd9214"
SECRET = "what the owner of the pool signs in with"
Wrapped = Callable[..., AbstractContextManager[str]]


@pytest.fixture(scope="session")
def sdks() -> Sdks:
    """The SDKs. Whoever cannot install them need not test with them, but for CI."""
    try:
        return installed()
    except SdksMissing as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))


@pytest.fixture(scope="package")
def wrapped(sdks: Sdks, tmp_path_factory: pytest.TempPathFactory) -> Wrapped:
    """Serves the pool, wrapped, with further variables; gives its URL."""

    @contextmanager
    def serve(**variables: str) -> Iterator[str]:
        folder: Path = tmp_path_factory.mktemp("pool")
        patient = {"MFA_ENGINE_TIMEOUT": "20"}  # on a machine that is busy with other tests
        owner = {"AUTHING_USERPOOL_ID": POOL_ID, "AUTHING_USERPOOL_SECRET": SECRET}
        with served("mfa_middleware.asgi:app", folder, **VARIABLES, **patient, **owner, **variables) as url:
            yield url.replace("localhost", "127.0.0.1")  # where Node asks for an address of version 6 first

    return serve


@pytest.fixture(scope="package")
def legacy_pool(wrapped: Wrapped) -> Iterator[str]:
    """The pool as near to the original as it gets."""
    with wrapped(MFA_AUTHING_LEGACY="true", MFA_AUTHING_REVEAL_SECRETS="true") as url:
        yield url


class Clients:
    """Starts clients of one pool; they end with the test."""

    def __init__(self, sdks: Sdks, url: str, stack: ExitStack) -> None:
        self.url = url
        self._sdks = sdks
        self._stack = stack

    def sdk4(self, **options: object) -> Client:
        """One of authing-js-sdk 4."""
        return self._stack.enter_context(javascript(self._sdks, "sdk4.cjs", self._options(options)))

    def sdk3(self) -> Client:
        """One of authing-js-sdk 3.22.3."""
        return self._stack.enter_context(javascript(self._sdks, "sdk3.cjs", self._options({"secret": SECRET})))

    def python(self) -> Client:
        """One of the Python SDK."""
        return self._stack.enter_context(python(self._sdks, self._options({})))

    def _options(self, options: dict[str, object]) -> dict[str, object]:
        return {"host": self.url, "userPoolId": POOL_ID, **options}


@pytest.fixture
def clients(sdks: Sdks, pool: str) -> Iterator[Clients]:
    """Clients of the pool that the module's fixture ``pool`` names."""
    with ExitStack() as stack:
        yield Clients(sdks, pool, stack)
