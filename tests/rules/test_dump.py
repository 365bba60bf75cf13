"""Rule 6: who gets hold of all that both engines keep has no secret, code, token or cookie, however it is encoded."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import asyncpg
import pytest
import time_machine
from redis import Redis
from sqlalchemy import make_url

from mfa_middleware import Settings
from mfa_middleware.stores.sql import migrate
from mfa_middleware.stores.sql.postgresql import connect_arguments
from mfa_middleware.stores.sql.schema import metadata
from mfa_middleware.testing import VirtualAuthenticator
from tests.engines import EngineMissing, PostgreSQL, Valkey
from tests.rules.conftest import KEY
from tests.world import Client, LoginApp, WrapApp, earlier_code

pytestmark = pytest.mark.slow

APPS_TOKEN = "3xample-0f-a-t0ken-of-the-app-s"
PASSWORD = "open sesame, 'tis \u00e4lice"


def encodings(secret: bytes) -> Iterator[bytes]:
    """A secret as it is, and in every form in which it might stand somewhere, in the midst of other things or not."""
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    yield secret[::-1]
    for pad, encode, block, unit in ((3, base64.b64encode, 4, 6), (3, base64.urlsafe_b64encode, 4, 6),
                                     (5, base64.b32encode, 8, 5)):  # fmt: skip
        for before in range(pad):
            encoded = encode(b"\0" * before + secret).rstrip(b"=")
            # What the bytes before it and after it have a part in is no part of it.
            yield encoded[-(-8 * before // unit) : len(encoded) - 1 - len(encoded) % block]
    text = secret.decode("latin-1")
    yield quote(secret, safe="").encode()
    yield json.dumps(text)[1:-1].encode()
    yield "".join(f"\\u{ord(one):04x}" for one in text).encode()
    yield text.encode("utf-16-le")
    yield text.encode("utf-16-be")


HIDING: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "hex": lambda data: data.hex().encode(),
    "base64": base64.b64encode,
    "base64url": base64.urlsafe_b64encode,
    "base32": base64.b32encode,
    "UTF-16": lambda data: data.decode("latin-1").encode("utf-16"),
    "JSON": lambda data: json.dumps(data.decode("latin-1")).encode(),
    "URL": lambda data: quote(data).encode(),
}


@pytest.mark.parametrize("how", HIDING)
def test_what_is_looked_for_would_be_found(how: str):
    """Wherever it stands in what was encoded."""
    for secret in (b"12345678", b"JBSWY3DPEHPK3PXP", bytes(range(120, 152))):
        secrets = Secrets([("it", secret)])
        for before in range(6):
            assert secrets.in_dump(HIDING[how](b"x" * before + secret + b"yz")) == ["it"]
        assert secrets.in_dump(HIDING[how](bytes(one ^ 1 for one in secret))) == []


@dataclass
class Secrets:
    """All that was told to somebody or by somebody, by what it is."""

    told: list[tuple[str, bytes]] = field(default_factory=list)

    def add(self, name: str, *values: str | bytes) -> None:
        self.told += [(name, one.encode() if isinstance(one, str) else one) for one in values]

    def in_dump(self, dump: bytes) -> list[str]:
        return sorted({name for name, secret in self.told for form in encodings(secret) if form in dump})


class Life:
    """What alice does, and what is secret of it."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.secrets = Secrets()
        self.secrets.add("key", KEY, base64.urlsafe_b64decode(KEY))
        self.secrets.add("what the app gives", APPS_TOKEN, "session=signed-in", PASSWORD)
        self.headers = {"X-User": "alice", "Authorization": f"Bearer {APPS_TOKEN}"}

    async def ask(self, path: str, **body: str) -> Any:
        answer = await self.client.post(f"/mfa{path}", json=body, headers=self.headers)
        for cookie in answer.headers.get_list("set-cookie"):
            value = cookie.partition("=")[2].partition(";")[0]
            self.secrets.add("cookie", *(part for part in [value, *value.split(".")] if len(part) > 8))
        return answer.json()

    async def login(self) -> str:
        answer = await self.client.post("/login", json={"password": PASSWORD})
        return self.token(answer.json()["mfaToken"])

    def token(self, token: str) -> str:
        claims, signature = token.split(".")[1:]
        payload = json.loads(base64.urlsafe_b64decode(claims + "=="))
        self.secrets.add("token", token, claims, signature, payload["jti"])
        return token

    def phone(self, begun: dict[str, str]) -> VirtualAuthenticator:
        (secret,) = parse_qs(urlsplit(begun["uri"]).query)["secret"]
        self.secrets.add("secret", secret, base64.b32decode(secret + "=" * (-len(secret) % 8)))
        app = VirtualAuthenticator(begun["uri"])
        self.secrets.add("code", *(app.code(offset_steps=step) for step in range(-2, 3)))
        return app

    def codes(self, codes: Sequence[str]) -> Sequence[str]:
        self.secrets.add("recovery code", *codes, *(one.replace("-", "") for one in codes))
        return codes

    async def verify(self, token: str, factor: str, code: str) -> Any:
        return await self.ask("/verify", mfaToken=token, factor=factor, code=code)

    async def live(self) -> None:
        """Everything that leaves something: bound, proven, guessed, held, pending, refreshed, new codes."""
        begun = await self.ask("/authenticators", factor="totp")
        phone = self.phone(begun)
        confirmed = await self.ask(f"/authenticators/{begun['id']}/confirm", code=earlier_code(phone))
        codes = self.codes(confirmed["recoveryCodes"])
        assert (await self.verify(await self.login(), "totp", "00000000"))["code"] == "invalid_code"
        assert (await self.verify(await self.login(), "totp", phone.code()))["access_token"] == APPS_TOKEN
        assert (await self.verify(await self.login(), "recovery_code", codes[0]))["access_token"] == APPS_TOKEN
        self.codes((await self.ask("/recovery-codes"))["recoveryCodes"])
        self.phone(await self.ask(f"/authenticators/{begun['id']}/refresh"))
        self.phone(await self.ask("/authenticators", factor="totp"))
        self.token((await self.ask("/step-up"))["mfaToken"])
        await self.login()
        page = await self.client.post("/login", headers={"Accept": "text/html"})
        assert page.status_code == 303
        self.token(page.headers["set-cookie"].partition("=")[2].partition(";")[0])


def dump_redis(url: str) -> bytes:
    """Every key, and every value in plain and as Redis itself dumps it."""
    with Redis.from_url(url) as redis:
        parts: list[object] = []
        for key in redis.scan_iter(count=1000):
            kind = redis.type(key)
            reads: dict[bytes, Any] = {
                b"string": lambda key=key: [redis.get(key)],
                b"hash": lambda key=key: [part for pair in redis.hgetall(key).items() for part in pair],
                b"list": lambda key=key: redis.lrange(key, 0, -1),
                b"zset": lambda key=key: redis.zrange(key, 0, -1),
            }
            parts += [key, *reads[kind](), redis.dump(key)]
        return b"\n".join(part for part in parts if isinstance(part, bytes))


async def dump_postgresql(url: str) -> bytes:
    """Every value of every table."""
    connection = await asyncpg.connect(**connect_arguments(make_url(url)))
    try:
        rows = [row for table in metadata.tables for row in await connection.fetch(f"SELECT * FROM {table}")]
    finally:
        await connection.close()
    values = [value for row in rows for value in row.values()]
    return b"\n".join(value if isinstance(value, bytes) else str(value).encode() for value in values)


def dump_sqlite(path: Path) -> bytes:
    """The file and its companions, as they lie there."""
    return b"\n".join(file.read_bytes() for file in sorted(path.parent.glob(f"{path.name}*")) if file.is_file())


@pytest.fixture(scope="module")
def engines() -> Iterator[tuple[str, str]]:
    try:
        valkey, postgresql = Valkey(), PostgreSQL()
    except EngineMissing as missing:
        pytest.skip(str(missing))
    with valkey, postgresql:
        asyncio.run(migrate(Settings(database_url=postgresql.url)))
        yield valkey.url, postgresql.url


@pytest.mark.parametrize("database", ["postgresql", "sqlite"])
async def test_a_dump_of_both_engines_tells_nothing_that_was_told_to_anybody(
    app_factory: WrapApp,
    clock: time_machine.Traveller,
    engines: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    database: str,
):
    monkeypatch.setenv("MFA_TOTP_DIGITS", "8")  # six are too often found by chance
    file = tmp_path / "mfa.sqlite3"
    url = engines[1] if database == "postgresql" else f"sqlite:///{file}"
    app = LoginApp({"user_id": "alice", "access_token": APPS_TOKEN})
    client = app_factory(app, redis_url=engines[0], database_url=url, secret_key=KEY)
    life = Life(client)
    await life.live()

    redis = dump_redis(engines[0])
    kept = await dump_postgresql(url) if database == "postgresql" else dump_sqlite(file)
    assert b"record" in redis
    assert b"alice" in kept
    assert b"alice" not in redis
    kinds = {name for name, _ in life.secrets.told}
    assert kinds == {"key", "what the app gives", "secret", "code", "recovery code", "token", "cookie"}
    assert life.secrets.in_dump(redis) == []
    assert life.secrets.in_dump(kept) == []
