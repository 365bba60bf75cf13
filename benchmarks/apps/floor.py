"""The floor: what somebody who knows how would write by hand, for this one app, with the same guarantees.

A held login is sealed under a key that is in the token alone, kept in Redis beside the count of attempts; a code works
once and so does a token: three scripts, a round trip each. Nothing can be set, there are no factors but this one, no
locks of users, no events, no pages, and no database: the secrets stand in memory.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import time
from hmac import compare_digest
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from redis.asyncio import Redis

from benchmarks.apps import plain
from benchmarks.people import USERS, code_of, name, secret

if TYPE_CHECKING:  # what a hand-written app has in memory has nothing of ours
    from mfa_middleware.passage import Message, Receive, Scope, Send

_redis: Redis = Redis.from_url(os.environ["BENCH_REDIS_URL"])
_keys = {name(number): secret(number) for number in range(USERS)}

_hold = _redis.register_script("""
redis.call('HSET', KEYS[1], 'user', ARGV[1], 'login', ARGV[2])
redis.call('EXPIRE', KEYS[1], 300)
""")
_try = _redis.register_script("""
local kept = redis.call('HMGET', KEYS[1], 'user', 'login')
if not kept[1] or redis.call('HINCRBY', KEYS[1], 'tries', 1) > 5 then return false end
return kept
""")
_release = _redis.register_script("""
local last = tonumber(redis.call('GET', KEYS[2]) or '-1')
if last >= tonumber(ARGV[1]) or redis.call('DEL', KEYS[1]) == 0 then return 0 end
redis.call('SET', KEYS[2], ARGV[1], 'EX', 120)
return 1
""")


class Floor:
    """Around an app whose login is ``POST /login``, and whose answer tells the user."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/login":
            await self._hold_login(scope, receive, send)
        elif scope["type"] == "http" and scope["path"] == "/verify":
            await self._verify(receive, send)
        else:
            await plain.app(scope, receive, send)

    async def _hold_login(self, scope: Scope, receive: Receive, send: Send) -> None:
        messages: list[Message] = []

        async def keep(message: Message) -> None:
            messages.append(message)

        await plain.app(scope, receive, keep)
        start, *bodies = messages
        body = b"".join(message.get("body", b"") for message in bodies)
        if start["status"] != 200:
            for message in messages:
                await send(message)
            return
        headers = [[field.decode("latin-1"), value.decode("latin-1")] for field, value in start["headers"]]
        held = json.dumps([start["status"], headers, body.decode("latin-1")]).encode()
        key, nonce = secrets.token_bytes(32), secrets.token_bytes(12)
        token = base64.urlsafe_b64encode(key).decode()
        sealed = nonce + AESGCM(key).encrypt(nonce, held, None)
        await _hold(keys=[_row(key)], args=[json.loads(body)["user"], sealed])
        await _answer(send, 401, {"error": "mfa_required", "mfaToken": token})

    async def _verify(self, receive: Receive, send: Send) -> None:
        given = json.loads(await _body(receive))
        key = base64.urlsafe_b64decode(given["mfaToken"])
        kept = await _try(keys=[_row(key)])
        if kept is None:
            await _answer(send, 401, {"error": "token_invalid"})
            return
        user, sealed = kept[0].decode(), kept[1]
        step = _step(_keys[user], given["code"])
        if step is None or not await _release(keys=[_row(key), f"floor:step:{user}"], args=[step]):
            await _answer(send, 401, {"error": "invalid_code"})
            return
        status, headers, body = json.loads(AESGCM(key).decrypt(sealed[:12], sealed[12:], None))
        pairs = [(field.encode("latin-1"), value.encode("latin-1")) for field, value in headers]
        await send({"type": "http.response.start", "status": status, "headers": pairs})
        await send({"type": "http.response.body", "body": body.encode("latin-1")})


def _row(key: bytes) -> str:
    """Where a login is kept: by a digest, for the key alone opens it."""
    return "floor:" + hashlib.sha256(key).hexdigest()


def _step(key: bytes, given: str) -> int | None:
    """The step of a right code; all of the window are looked at, so that the time tells nothing."""
    now = int(time.time() // 30)
    right = [step for step in (now - 1, now, now + 1) if compare_digest(code_of(key, step), given)]
    return right[-1] if right else None


async def _body(receive: Receive) -> bytes:
    chunks: list[bytes] = []
    while True:
        message = await receive()
        chunks.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(chunks)


async def _answer(send: Send, status: int, document: object) -> None:
    body = json.dumps(document, separators=(",", ":")).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


app = Floor()
