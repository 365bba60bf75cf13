"""The verbs of the token store, each one script and one round trip.

All keys of a user share one hash tag, so that a script finds them on one node of a Cluster:

    mfa:{user}:t:<token>       hash: record, attempts, wrong, proven, prepared:<factor>, and requests that were counted
    mfa:{user}:pending         list: the user's tokens, oldest first, with some that are gone
    mfa:{user}:failures        hash: n, until
    mfa:{user}:proofs          sorted set: fingerprints by when they go stale
    mfa:{user}:sendings        set: requests that sent something lately
    mfa:{user}:taken:<token>   which request took a token, for a while
    mfa:{user}:r:<request>     which failure a request without a token was counted as, for a while
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar, cast

from redis import exceptions as redis_errors
from redis.asyncio import RedisCluster

from mfa_middleware.errors import ConfigurationError, Unavailable
from mfa_middleware.stores.protocols import Attempt, Gate, LockPolicy, TokenState
from mfa_middleware.stores.redis.connect import Client
from mfa_middleware.stores.redis.lane import Commands, Lane, Value
from mfa_middleware.stores.redis.scripts import VERBS, Script
from mfa_middleware.stores.redis.server import look, mend

Result = TypeVar("Result")

#: How long a request that was carried out is remembered, in ms: well over the time in which it is asked for again.
_MEMO_MS = 120_000
#: Redis is away or does not do what it must. An OSError is, among others, the time-out of asyncio.
_AWAY = (redis_errors.RedisError, redis_errors.RedisClusterException, OSError)
#: How often a call is asked again, if there is time: a connection that is many callers' may be lost for another's sake.
_MOST_LOST = 4
#: The connection or the answer was lost: whether the server did it is unknown.
_LOST = (redis_errors.ConnectionError, redis_errors.TimeoutError)


class RedisTokenStore:
    """A :class:`~mfa_middleware.stores.protocols.TokenStore`. ``timeout``, in seconds, bounds every call."""

    def __init__(self, client: Client, timeout: float) -> None:
        self._client = client
        self._timeout = timeout
        #: Half of the time is for one answer, so that a lost one can be asked for again in the other half.
        self._once = timeout / 2
        self._lanes: dict[asyncio.AbstractEventLoop, Lane] = {}
        self._closed = False
        self._pool = None if isinstance(client, RedisCluster) else client.connection_pool
        self._in_time = _InTime(client, timeout)
        self._scripts = {verb: Script(verb) for verb in VERBS}

    async def open(self) -> None:
        """Look at the server, and run a script that changes nothing, to see that its user may."""
        self._closed = False
        try:
            await self._ask(self._look)
            await self.proven("-", "-")
        except Unavailable as error:
            if (sentence := mend(error.__cause__)) is None:
                raise
            raise ConfigurationError(sentence) from error

    async def close(self) -> None:
        self._closed = True
        lanes, self._lanes = self._lanes, {}
        for loop, lane in lanes.items():
            if loop is asyncio.get_running_loop():
                await lane.close()
            elif loop.is_running():
                asyncio.run_coroutine_threadsafe(lane.close(), loop)
        await self._client.aclose()

    async def check(self) -> Sequence[str]:
        """What an operator should know of the server as it is."""
        return await self._ask(self._look)

    async def issue(
        self, user: str, token: str, record: bytes, *, ttl: int, pending: int, failures: int, locked_for: float
    ) -> None:
        keys = _token(user, token), *(_key(user, name) for name in ("pending", "failures", f"taken:{token}"))
        known = failures, _ms(locked_for)
        await self._run("issue", keys, token, record, _ms(ttl), pending, *known, _token(user, ""))

    async def read(self, user: str, token: str) -> TokenState | None:
        asked = "HMGET", _token(user, token), "record", "proven", "attempts"
        kept = await self._ask(lambda: self._commands.execute_command(*asked))
        record, proven, attempts = cast("list[bytes | None]", kept)
        return None if record is None else TokenState(record, proven is not None, int(attempts or 0))

    async def charge(
        self,
        user: str,
        token: str,
        *,
        request: str,
        factor: str,
        attempts: int,
        backup: bool,
        policy: LockPolicy,
    ) -> Attempt:
        keys = _token(user, token), _key(user, "failures")
        fields = f"r:{request}", f"prepared:{factor}"
        return _attempt(await self._run("charge", keys, *fields, attempts, *_policy(policy, backup)))

    async def charge_user(
        self, user: str, *, request: str, backup: bool, failures: int, locked_for: float, policy: LockPolicy
    ) -> Attempt:
        keys = _key(user, "failures"), _key(user, f"r:{request}")
        known = failures, _ms(locked_for)
        return _attempt(await self._run("charge_user", keys, *known, _MEMO_MS, *_policy(policy, backup)))

    async def found_wrong(self, user: str, token: str, *, attempts: int) -> None:
        await self._run("found_wrong", [_token(user, token)], f"w:{secrets.token_hex(8)}", attempts)

    async def take(
        self, user: str, token: str, *, request: str, proofs: Sequence[str], ttl: int, forgive: bool
    ) -> bool:
        names = f"taken:{token}", "failures", "proofs"
        keys = _token(user, token), *(_key(user, name) for name in names)
        return bool(await self._run("take", keys, request, _MEMO_MS, int(forgive), _ms(ttl), *proofs))

    async def count_sending(self, user: str, *, most: int, window: int) -> float:
        keys = [_key(user, "sendings")]
        waiting = await self._run("count_sending", keys, secrets.token_hex(8), most, _ms(window))
        return cast("int", waiting) / 1000

    async def prepare(self, user: str, token: str, factor: str, kept: bytes) -> bool:
        return bool(await self._run("note", [_token(user, token)], f"prepared:{factor}", kept))

    async def prove_token(self, user: str, token: str) -> bool:
        return bool(await self._run("note", [_token(user, token)], "proven", 1))

    async def prove(self, user: str, proofs: Sequence[str], *, ttl: int, forgive: bool) -> None:
        await self._run("prove", [_key(user, "proofs"), _key(user, "failures")], _ms(ttl), int(forgive), *proofs)

    async def proven(self, user: str, proof: str) -> bool:
        return bool(await self._run("proven", [_key(user, "proofs")], proof))

    async def forget(self, user: str, *, forgive: bool = False) -> None:
        keys = [_key(user, name) for name in ("pending", "proofs", "failures")]
        await self._run("forget", keys, _token(user, ""), int(forgive))

    @property
    def _commands(self) -> Commands:
        """A lane of the running event loop; a Cluster's client has a connection for each node, and chooses."""
        if self._pool is None:
            return self._in_time
        if self._closed:
            raise redis_errors.RedisError("closed")
        loop = asyncio.get_running_loop()
        lane = self._lanes.get(loop)
        if lane is None:
            for ended in [one for one in tuple(self._lanes) if one.is_closed()]:
                self._lanes.pop(ended, None)
            lane = self._lanes[loop] = Lane(self._pool, self._once)
        return lane

    async def _look(self) -> Sequence[str]:
        try:
            async with asyncio.timeout(self._once):
                return await look(self._client)
        finally:
            if self._pool is not None:  # the lane is what stays open
                await self._pool.disconnect(inuse_connections=False)

    async def _run(self, verb: str, keys: Sequence[str], *arguments: Value) -> object:
        until = asyncio.get_running_loop().time() + self._timeout
        return await self._ask(lambda: self._scripts[verb].run(self._commands, keys, arguments, until))

    async def _ask(self, call: Callable[[], Awaitable[Result]]) -> Result:
        """Ask, and again when the connection or the answer was lost: every verb knows a request that was done."""
        until = asyncio.get_running_loop().time() + self._timeout
        try:
            try:
                return await call()  # which times itself: a timer of ours for each call would cost as much as the call
            except (*_LOST, TimeoutError):
                return await self._ask_again(call, until)
        except _AWAY as error:
            raise Unavailable(f"redis: {type(error).__name__}") from error

    async def _ask_again(self, call: Callable[[], Awaitable[Result]], until: float) -> Result:
        async with asyncio.timeout_at(until):
            for _ in range(_MOST_LOST - 1):
                try:
                    return await call()
                except (*_LOST, TimeoutError):
                    continue
            return await call()


class _InTime:
    """A client whose every call, which may ask several servers, answers or fails within ``timeout`` seconds."""

    def __init__(self, client: Client, timeout: float) -> None:
        self._client = client
        self._timeout = timeout

    async def execute_command(self, *command: Value) -> object:
        async with asyncio.timeout(self._timeout):
            return await self._client.execute_command(*command)


def _key(user: str, name: str) -> str:
    return f"mfa:{{{user}}}:{name}"


def _token(user: str, token: str) -> str:
    return _key(user, f"t:{token}")


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _policy(policy: LockPolicy, backup: bool) -> tuple[int, ...]:
    return policy.budget, policy.seconds, policy.longest, policy.hard, int(backup)


def _attempt(reply: object) -> Attempt:
    gate, attempts, failures, wait, *held = cast("tuple[bytes, int, int, int, *tuple[bytes | None, ...]]", reply)
    record, prepared = held or (b"", None)
    return Attempt(Gate(gate.decode()), attempts, failures, wait / 1000, record or b"", prepared)
