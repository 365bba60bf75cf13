"""``MFA``: the whole as an object. It opens the stores, and its methods are the use-cases."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import cast

from mfa_middleware import binding, login, management, verification
from mfa_middleware.callers import Caller
from mfa_middleware.core import Core
from mfa_middleware.dialects import Dialect
from mfa_middleware.dialects.native import problem
from mfa_middleware.errors import ConfigurationError, Refusal, Unavailable
from mfa_middleware.events import Refused, trace_id
from mfa_middleware.held_login import HeldLogin
from mfa_middleware.loading import load
from mfa_middleware.management import ImportedSecret, Overview, Status
from mfa_middleware.models import Authenticator, Binding, Challenge, Confirmed
from mfa_middleware.parts import Parts
from mfa_middleware.passage import App, Receive, Scope, Send
from mfa_middleware.settings import Settings
from mfa_middleware.single_process import SingleProcess
from mfa_middleware.verification import Attempted, Proven

_PAUSE = 0.005  # seconds


class MFA:
    """The second factor of one app. Opens at start-up or at first use; every method may be called by the app itself.

    ``trace`` is an id of yours that logs and events shall carry (a new one when it is left out).
    """

    def __init__(self, settings: Settings | None = None, *, plugins: Iterable[object] = ()) -> None:
        self._settings = settings
        self._plugins = tuple(plugins)
        self._parts: Parts | None = None
        self._refusal: ConfigurationError | None = None
        self._web: App | None = None
        self._opened = False
        self._begun = False  #: whether there may be something to close, opened or not
        self._making = threading.Lock()
        self._opening = threading.Lock()
        self._single_process = SingleProcess()
        self.app = _SubApp(self)

    @classmethod
    def refusing(cls, error: ConfigurationError) -> MFA:
        """One that cannot work, and says why at start-up."""
        mfa = cls()
        mfa._refusal = error
        return mfa

    @property
    def parts(self) -> Parts:
        """What settings and plugins make.

        :raises ConfigurationError: for settings that cannot work; the same one each time.
        """
        if self._parts is not None:
            return self._parts
        with self._making:  # two threads would make two, of which one is opened and the other used
            if self._refusal is not None:
                raise self._refusal
            if self._parts is None:
                try:
                    self._parts = Parts(self._settings or Settings(), self._plugins)
                except ConfigurationError as error:
                    self._refusal = error
                    raise
            return self._parts

    @property
    def opened(self) -> bool:
        """Whether the engines have been looked at and found fit."""
        return self._opened

    async def open(self, *, alone: bool = True) -> Core:
        """Open the stores, once. With ``alone``, as a server: make the sub-app, be the only one on embedded stores.

        :raises ConfigurationError: for settings or engines that cannot work.
        :raises Unavailable: when an engine is away; the next call tries again.
        """
        core = self.parts.core
        if self._opened:
            return core
        async with self._turn():
            if not self._opened:
                self._begun = True
                if alone:
                    self.web()  # a broken template stops start-up
                    self._single_process.claim(self.parts.settings)
                await core.authenticator_store.open()
                await core.token_store.open()
                self._opened = True
        return core

    async def close(self) -> None:
        """Close the stores. They may be opened again. Where nothing is open it is done at once."""
        if self._parts is None or not self._begun:
            return
        async with self._turn():
            self._opened = self._begun = False
            await self._parts.core.token_store.close()
            await self._parts.core.authenticator_store.close()
            self._single_process.give_up()

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """One at a time opens or closes, of all event loops: a lock of asyncio's belongs to one of them."""
        while not self._opening.acquire(blocking=False):  # noqa: ASYNC110  an event belongs to one loop as well
            await asyncio.sleep(_PAUSE)
        try:
            yield
        finally:
            self._opening.release()

    def web(self) -> App:
        """The app below ``MFA_MOUNT``."""
        if self._web is None:
            self._web = cast("App", load("mfa_middleware.web.app:make_app")(self.parts.desk))
        return self._web

    async def begin_login(self, user_id: str, held: HeldLogin, trace: str = "") -> Challenge | None:
        """Hold a login; None when its user needs no second factor. See :func:`login.begin_login`."""
        return await login.begin_login(await self.open(), user_id, held, trace or trace_id())

    async def begin_step_up(self, user_id: str, proofs: Sequence[str] = (), trace: str = "") -> Challenge:
        """Ask a signed-in user for a factor. See :func:`login.begin_step_up`."""
        return await login.begin_step_up(await self.open(), user_id, proofs, trace or trace_id())

    async def prepare(self, mfa_token: str, factor: str, trace: str = "") -> Mapping[str, str]:
        """Let a factor send what its user needs to answer. See :func:`verification.prepare`."""
        return await verification.prepare(await self.open(), mfa_token, factor, trace or trace_id())

    async def verify(
        self, mfa_token: str, factor: str, code: str, authenticator_id: str | None = None, trace: str = ""
    ) -> Proven:
        """Answer a challenge. See :func:`verification.verify`."""
        attempted = Attempted(factor, code, authenticator_id)
        return await verification.verify(await self.open(), mfa_token, attempted, trace or trace_id())

    async def release(self, mfa_token: str, trace: str = "") -> Proven:
        """Release a login that demanded a binding. See :func:`verification.release`."""
        return await verification.release(await self.open(), mfa_token, trace or trace_id())

    async def bind(self, caller: Caller, factor: str, label: str | None = None, trace: str = "") -> Binding:
        """Make a pending authenticator. See :func:`binding.bind`."""
        return await binding.bind(await self.open(), caller, factor, label, trace or trace_id())

    async def refresh(self, caller: Caller, authenticator_id: str, trace: str = "") -> Binding:
        """Make a new secret for an authenticator, pending. See :func:`binding.refresh`."""
        return await binding.refresh(await self.open(), caller, authenticator_id, trace or trace_id())

    async def confirm(self, caller: Caller, authenticator_id: str, code: str, trace: str = "") -> Confirmed:
        """Make a pending authenticator live. See :func:`binding.confirm`."""
        return await binding.confirm(await self.open(), caller, authenticator_id, code, trace or trace_id())

    async def put_in_force(
        self, caller: Caller, factor: str, authenticator_id: str | None = None, trace: str = ""
    ) -> Binding:
        """Make an authenticator or its new secret live unconfirmed. See :func:`binding.put_in_force`."""
        return await binding.put_in_force(await self.open(), caller, factor, authenticator_id, trace or trace_id())

    async def overview(self, user_id: str) -> Overview:
        """A user's live authenticators. See :func:`management.overview`."""
        return await management.overview(await self.open(), user_id)

    async def status(self, user_id: str) -> Status:
        """What a user's logins need. See :func:`management.status`."""
        return await management.status(await self.open(), user_id)

    async def change(
        self,
        caller: Caller,
        authenticator_id: str,
        *,
        enabled: bool | None = None,
        label: str | None = None,
        trace: str = "",
    ) -> Authenticator:
        """Enable, disable or relabel. See :func:`management.change`."""
        core = await self.open()
        return await management.change(
            core, caller, authenticator_id, enabled=enabled, label=label, trace=trace or trace_id()
        )

    async def unbind(self, caller: Caller, authenticator_id: str, trace: str = "") -> None:
        """Remove an authenticator. See :func:`management.unbind`."""
        await management.unbind(await self.open(), caller, authenticator_id, trace or trace_id())

    async def regenerate_codes(self, caller: Caller, trace: str = "") -> tuple[str, ...]:
        """Issue new recovery codes. See :func:`management.regenerate_codes`."""
        return await management.regenerate_codes(await self.open(), caller, trace or trace_id())

    async def reset(self, user_id: str, trace: str = "") -> None:
        """Remove all of a user's authenticators. See :func:`management.reset`."""
        await management.reset(await self.open(), user_id, trace or trace_id())

    async def unlock(self, user_id: str, trace: str = "") -> None:
        """End a user's lock. See :func:`management.unlock`."""
        await management.unlock(await self.open(), user_id, trace or trace_id())

    async def import_secret(self, user_id: str, imported: ImportedSecret, trace: str = "") -> Authenticator:
        """Bring an authenticator from another system. See :func:`management.import_secret`."""
        return await management.import_secret(await self.open(), user_id, imported, trace or trace_id())


class _SubApp:
    """``mfa.app``: the sub-app, to be mounted by the middleware or by hand. Opens the stores at first use."""

    def __init__(self, mfa: MFA) -> None:
        self._mfa = mfa

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":  # of which it has none
            await send({"type": "websocket.close", "code": 1000})
            return
        try:
            await self._mfa.open()
            app = self._mfa.web()
        except ConfigurationError as error:
            await refuse(Unavailable(f"not set up: {error}", retry_after=60), scope, send, parts=None)
        except Unavailable as error:
            await refuse(error, scope, send, parts=self._mfa.parts)
        else:
            await app(scope, receive, send)


async def refuse(
    error: Refusal, scope: Scope, send: Send, *, parts: Parts | None, dialect: Dialect | None = None
) -> None:
    """Answer a request that did not come as far as to a use-case; told in an event, if there is who hears it."""
    trace = trace_id(scope["headers"])
    answer = dialect.problem(error, scope, trace_id=trace) if dialect else problem(error, trace_id=trace)
    if parts is None:
        await answer.send(send)
        return
    refused = Refused(user_id=None, trace_id=trace, code=error.code, reason=error.reason)
    await parts.core.events.emit(refused)
    await answer.send(send, *parts.origins.fields(scope))
