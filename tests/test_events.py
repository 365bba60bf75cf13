"""Events tell every act with its true reason, never with a secret; and no secret is anywhere else either."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import re
import sqlite3
from typing import Any

import pytest

from mfa_middleware import Unavailable, events
from mfa_middleware.events import Events, Failed, LoginNotHeld, Refused, trace_id
from mfa_middleware.testing.virtual_authenticator import VirtualAuthenticator
from tests.world import Listener, LoginApp, Plugin

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-b7ad6b7169203331-01"
FAILED = Failed(user_id="alice", trace_id=TRACE, purpose="login", factor="totp", reason="wrong code")


def test_an_event_is_named_after_its_kind():
    assert FAILED.name == "failed"
    assert LoginNotHeld(user_id=None, trace_id=TRACE, reason="x", path="/").name == "login_not_held"


async def test_each_event_is_a_log_record_with_its_fields(caplog):
    with caplog.at_level(logging.INFO, "mfa_middleware"):
        await Events().emit(FAILED)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.mfa["event"] == "failed"
    assert {"user_id": "alice", "trace_id": TRACE, "reason": "wrong code"}.items() <= record.mfa.items()


async def test_listeners_are_told_in_order():
    told = []

    def listener(name):
        async def listen(event):
            told.append((name, event))

        return listen

    await Events([listener("one"), listener("two")]).emit(FAILED)
    assert told == [("one", FAILED), ("two", FAILED)]


@pytest.mark.parametrize("error", [RuntimeError("x"), TimeoutError(), RecursionError(), AssertionError()], ids=repr)
async def test_a_listener_that_fails_changes_nothing_and_is_logged(caplog, error):
    async def fails(event):
        raise error

    kept = Listener()
    await Events([fails, kept]).emit(FAILED)
    assert kept.events == [FAILED]
    assert "listener failed" in caplog.text


async def test_a_listener_that_hangs_is_left_behind(monkeypatch):
    monkeypatch.setattr(events, "_LISTENER_SECONDS", 0.01)

    async def hangs(event):
        await asyncio.Event().wait()

    kept = Listener()
    await Events([hangs, kept]).emit(FAILED)
    assert kept.events == [FAILED]


async def test_a_caller_who_leaves_is_not_held_up_by_a_listener():
    started = asyncio.Event()

    async def hangs(event):
        started.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(Events([hangs]).emit(FAILED))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_the_trace_id_is_of_the_request_or_new():
    assert trace_id([(b"TraceParent", TRACEPARENT.encode())]) == TRACE
    fresh = {trace_id(), trace_id([(b"traceparent", b"junk")]), trace_id([(b"traceparent", b"00-\xff" + b"0" * 40)])}
    assert len(fresh) == 3
    assert all(len(one) == 32 for one in fresh)


FRIEND = "https://friend.example"


@pytest.mark.parametrize(
    ("path", "cookie", "store", "verb"),
    [
        ("/mfa/verify", "", "token_store", "open"),
        ("/anything", "session=had", "token_store", "open"),
        ("/anything", "session=had", "authenticator_store", "session_blocked"),
        ("/login", "session=had", "authenticator_store", "block_session"),
    ],
    ids=["the sub-app that does not open", "the gate that does not open", "an admission", "a block"],
)
async def test_a_503_before_any_use_case_is_told_with_the_reason_that_its_client_does_not_hear(
    app_factory, clock, monkeypatch, path, cookie, store, verb
):
    async def away(*_: object, **__: object):
        raise Unavailable("engine: away")

    listener = Listener()
    client = app_factory(None, Plugin(listeners=(listener,)), session_mode="gate", origins=FRIEND)
    monkeypatch.setattr(getattr(client.mfa.parts.core, store), verb, away)
    answer = await client.post(path, headers={"cookie": cookie, "origin": FRIEND, "traceparent": TRACEPARENT})
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert "engine" not in answer.text
    assert answer.headers["access-control-allow-origin"] == FRIEND
    assert listener.events == [Refused(user_id=None, trace_id=TRACE, code="unavailable", reason="engine: away")]


# ------------------------------------------------------------------------------------------------------------- canaries


CANARY = "canary-7f3a"
ALICE = {"X-User": "alice"}


def disguises(secret: str) -> set[bytes]:
    """A secret as it could stand in a store: plain, base64 at each of three offsets, hex."""
    plain = secret.encode()
    based = {
        base64.b64encode(b"x" * offset + plain)[offset + 2 if offset else 0 : -4].rstrip(b"=") for offset in range(3)
    }
    return {plain, plain.hex().encode(), *(one for one in based if len(one) >= 5)}


class Story:
    """A whole life of a second factor, with everything secret that was in it."""

    def __init__(self, client) -> None:
        self.client = client
        self.secrets: set[Any] = set()
        self.short: set[str] = set()
        self.problems = ""
        self.listener = Listener()

    async def call(self, method, path, body=None, **headers):
        response = await self.client.request(method, path, json=body, headers={**ALICE, **headers})
        if response.status_code >= 400 and "mfaToken" not in response.text:
            self.problems += response.text
        return response

    async def challenged(self):
        token = (await self.call("POST", "/login", {"password": f"{CANARY}-password"})).json()["mfaToken"]
        self.secrets |= {
            token,
            token.split(".")[2],
            json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))["jti"],
        }
        return token

    async def tell(self, clock) -> None:
        pending = (await self.call("POST", "/mfa/authenticators", {"factor": "totp"})).json()
        app = VirtualAuthenticator(pending["uri"])
        self.secrets |= {
            pending["secret"],
            pending["qrCode"],
            f"{CANARY}-password",
            f"{CANARY}-token",
            f"{CANARY}-cookie",
            f"{CANARY}-guess",
        }
        confirm = f"/mfa/authenticators/{pending['id']}/confirm"
        await self.call("POST", confirm, {"code": f"{CANARY}-guess"})
        self.short.add(app.code())
        confirmed = await self.call("POST", confirm, {"code": app.code()})
        codes = confirmed.json()["recoveryCodes"]
        self.secrets |= {*codes, *(code.replace("-", "") for code in codes)}
        cookie = confirmed.headers["set-cookie"].partition(";")[0]
        self.secrets.add(cookie.partition("=")[2])
        clock.shift(60)
        for factor, code in (("totp", f"{CANARY}-guess"), ("recovery_code", f"{CANARY}-guess"), ("totp", app.code())):
            self.short |= {code} if code.isdigit() else set()
            body = {"factor": factor, "code": code, "mfaToken": await self.challenged()}
            await self.call("POST", "/mfa/verify", body)
            await self.call("POST", "/mfa/verify", {**body, "code": ["x", code]})
            await self.call("POST", "/mfa/verify", body)
        await self.call(
            "POST", "/mfa/verify", {"factor": "recovery_code", "code": codes[0], "mfaToken": await self.challenged()}
        )
        refreshed = (await self.call("POST", f"/mfa/authenticators/{pending['id']}/refresh", cookie=cookie)).json()
        self.secrets.add(refreshed["secret"])
        new_codes = (await self.call("POST", "/mfa/recovery-codes", cookie=cookie)).json()["recoveryCodes"]
        self.secrets |= {*new_codes}
        imported = {"factor": "totp", "secret": "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", "recoveryCodes": [f"{CANARY}-code"]}
        self.secrets |= {imported["secret"], f"{CANARY}-code", ADMIN}
        admin = {"authorization": f"Bearer {ADMIN}"}
        await self.call(
            "POST", "/mfa/users/alice/authenticators/import", {**imported, "secret": f"{CANARY}-guess"}, **admin
        )
        await self.call("POST", "/mfa/users/alice/authenticators/import", imported, **admin)
        await self.challenged()  # stays held
        await self.call("POST", "/mfa/step-up")


ADMIN = f"{CANARY}-an-admin-token"


@pytest.fixture
async def story(app_factory, settings, clock, caplog):
    caplog.set_level(logging.DEBUG)
    listener = Listener()
    app = LoginApp({"user_id": "alice", "access_token": f"{CANARY}-token", "cookie": f"{CANARY}-cookie"})
    told = Story(
        app_factory(app, Plugin(listeners=(listener,)), admin_token=ADMIN, database_url=settings().database_url)
    )
    told.listener = listener
    await told.tell(clock)
    return told


async def test_no_secret_is_in_a_log_an_event_or_a_problem(story, caplog):
    events_seen = {one.name for one in story.listener.events}
    assert {
        "challenged",
        "verified",
        "released",
        "failed",
        "bound",
        "refused",
        "imported",
        "codes_regenerated",
    } <= events_seen
    ours = [one for one in caplog.get_records("setup") if one.name.startswith("mfa_middleware")]
    logged = " ".join(one.getMessage() + repr(one.__dict__) for one in ours)
    told = logged + " ".join(map(repr, story.listener.events)) + story.problems
    assert len(ours) > 20
    assert [secret for secret in story.secrets if secret in told] == []
    # Six digits may well stand in an id.
    assert [code for code in story.short if re.search(rf"(?<![0-9a-f.]){code}(?![0-9a-f.])", told)] == []


async def test_a_dump_of_the_database_holds_no_secret(story, tmp_path):
    with sqlite3.connect(tmp_path / "mfa.sqlite3") as connection:
        dump = "\n".join(connection.iterdump()).encode()
    connection.close()
    dump += b"".join(file.read_bytes() for file in tmp_path.iterdir() if not file.name.endswith((".key", ".lock")))
    assert b"alice" in dump
    assert [secret for secret in story.secrets for one in disguises(secret) if one in dump or one.upper() in dump] == []


async def test_a_dump_of_redis_holds_no_secret_and_no_user(story):
    client = story.client.mfa.parts.core.token_store._client
    dump = b""
    for key in await client.keys("*"):
        dump += key
        kind = await client.type(key)
        if kind == b"hash":
            dump += b"".join(part for pair in (await client.hgetall(key)).items() for part in pair)
        elif kind == b"list":
            dump += b"".join(await client.lrange(key, 0, -1))
        elif kind == b"zset":
            dump += b"".join(await client.zrange(key, 0, -1))
        else:
            dump += await client.get(key) or b""
    assert b"record" in dump
    assert b"alice" not in dump
    assert [secret for secret in story.secrets for one in disguises(secret) if one in dump] == []
