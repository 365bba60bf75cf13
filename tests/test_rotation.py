"""Key rotation: nothing is lost on the way, and the old key opens nothing afterwards."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from mfa_middleware.callers import Caller
from mfa_middleware.errors import InvalidCode, Misconfigured
from mfa_middleware.keyring import Keyring, new_key, parse_keys
from mfa_middleware.management import ImportedSecret
from mfa_middleware.rotation import count, reseal
from tests.engines import wait_until
from tests.examples.serving import environment
from tests.world import enrol, login

OLD, NEW = new_key(), new_key()
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


async def rows(mfa, user_id="alice"):
    return (await mfa.parts.core.authenticator_store.load(user_id)).authenticators


@pytest.fixture
async def rotated(make_mfa, tmp_path, clock):
    """Alice bound under the old key; then a server with both keys, and one that has the new one alone."""
    url = f"sqlite:///{tmp_path}/mfa.sqlite3"
    before = await make_mfa(database_url=url, secret_key=OLD)
    alice = await enrol(before)
    await before.refresh(alice.proven, alice.id)
    await before.close()

    async def server(*keys):
        return await make_mfa(database_url=url, secret_key=",".join(keys))

    return alice, server


async def test_what_the_old_key_has_sealed_opens_with_the_new_one_alone_afterwards(rotated):
    alice, server = rotated
    both = await server(NEW, OLD)
    assert [old async for old in reseal(both.parts.core)] == [True, True]
    assert [old async for old in reseal(both.parts.core)] == [False, False]
    await both.close()
    alone = await server(NEW)
    assert (await alone.verify((await login(alone)).mfa_token, "totp", alice.code)).held is not None
    assert (await alone.overview("alice")).recovery_codes_left == len(alice.recovery_codes)


async def test_the_old_key_opens_nothing_afterwards(rotated):
    _, server = rotated
    both = await server(NEW, OLD)
    assert all([old async for old in reseal(both.parts.core)])
    old_ring = Keyring(parse_keys(OLD))
    for row in await rows(both):
        for sealed in (row.state, row.pending):
            if sealed is not None:
                with pytest.raises(Misconfigured):
                    old_ring.open(sealed, bound_to="anything")


async def test_a_login_in_flight_survives_and_a_pending_secret_stays_pending(rotated):
    alice, server = rotated
    both = await server(NEW, OLD)
    token = (await login(both)).mfa_token
    before = await rows(both)
    assert all([old async for old in reseal(both.parts.core)])
    after = await rows(both)
    assert [(row.id, row.revision, row.counter, row.pending is None) for row in after] == [
        (row.id, row.revision, row.counter, row.pending is None) for row in before
    ]
    assert (await both.verify(token, "totp", alice.code)).held is not None


async def test_a_key_that_is_not_on_the_ring_stops_it_and_loses_nothing(rotated):
    alice, server = rotated
    other = await server(NEW)
    with pytest.raises(Misconfigured):
        assert [old async for old in reseal(other.parts.core)]
    await other.close()
    both = await server(NEW, OLD)
    assert (await both.verify((await login(both)).mfa_token, "totp", alice.code)).held is not None


async def test_who_unbinds_meanwhile_has_unbound(rotated):
    alice, server = rotated
    both = await server(NEW, OLD)
    resealing = reseal(both.parts.core)
    await anext(resealing)
    await both.unbind(Caller("alice", assured=True), alice.id)
    assert [old async for old in resealing] in ([True], [False], [])
    assert await rows(both) == ()


async def test_it_may_be_stopped_anywhere_and_goes_on_where_it_was(make_mfa, tmp_path, clock):
    url = f"sqlite:///{tmp_path}/mfa.sqlite3"
    before = await make_mfa(database_url=url, secret_key=OLD)
    for number in range(5):
        await before.import_secret(f"user-{number}", ImportedSecret("totp", SECRET))
    await before.close()
    both = await make_mfa(database_url=url, secret_key=f"{NEW},{OLD}")
    resealing = reseal(both.parts.core)
    assert [await anext(resealing) for _ in range(2)] == [True, True]
    del resealing
    assert await count(both.parts.core) == 5
    assert [old async for old in reseal(both.parts.core)] == [False, False, True, True, True]


async def test_who_logs_in_binds_and_changes_meanwhile_notices_nothing(make_mfa, tmp_path, clock):
    """Nor is a code that was spent meanwhile good again."""
    url = f"sqlite:///{tmp_path}/mfa.sqlite3"
    before = await make_mfa(database_url=url, secret_key=OLD)
    people = [await enrol(before, f"user-{number}") for number in range(12)]
    await before.close()
    both = await make_mfa(database_url=url, secret_key=f"{NEW},{OLD}")
    tokens = [(await login(both, one.user_id)).mfa_token for one in people]

    async def live(person, token):
        if (await both.verify(token, "totp", person.code)).held is None:
            return False
        await both.change(person.proven, person.id, label="renamed")
        return (await enrol(both, f"{person.user_id}-s-friend")).recovery_codes != ()

    async def rotate():
        while any([old async for old in reseal(both.parts.core)]):
            pass

    lived, _ = await asyncio.gather(asyncio.gather(*map(live, people, tokens)), rotate())
    assert lived == [True] * len(people)
    await both.close()
    alone = await make_mfa(database_url=url, secret_key=NEW)
    for person in people:
        with pytest.raises(InvalidCode):
            await alone.verify((await login(alone, person.user_id)).mfa_token, "totp", person.code)
        (row,) = (await alone.overview(person.user_id)).authenticators
        assert row.label == "renamed"
        token = (await login(alone, person.user_id)).mfa_token
        assert (await alone.verify(token, "totp", person.app.code(offset_steps=1))).held is not None


@pytest.fixture
def folder():
    """One that need not wait for a disk, where there is one."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        yield Path(folder)


@pytest.mark.slow
async def test_the_command_can_be_killed_and_begun_again(make_mfa, folder):
    """In the midst of many rows: what is done is done, and the rest is as it was."""
    many, url = 1000, f"sqlite:///{folder}/mfa.sqlite3"
    before = await make_mfa(database_url=url, secret_key=OLD)
    first = await before.import_secret("user-0", ImportedSecret("totp", SECRET))
    (row,) = await rows(before, "user-0")
    await before.close()
    with closing(sqlite3.connect(folder / "mfa.sqlite3")) as database, database:
        columns = [name for _, name, *_ in database.execute("PRAGMA table_info(mfa_authenticator)")]
        rest = ", ".join(name for name in columns if name not in ("id", "user_id", "state"))
        sealing = before.parts.core.seal_state
        state = before.parts.core.open_state(row.state, user_id="user-0", authenticator_id=first.id)
        for number in range(1, many):
            ids = f"row-{number}", f"user-{number}"
            sealed = sealing(state, user_id=ids[1], authenticator_id=ids[0])
            database.execute(
                f"INSERT INTO mfa_authenticator (id, user_id, state, {rest})"
                f" SELECT ?, ?, ?, {rest} FROM mfa_authenticator WHERE user_id = 'user-0'",
                [*ids, sealed],
            )
    old_id = bytes.fromhex(before.parts.core.keyring.newest)

    def left() -> int:
        with closing(sqlite3.connect(folder / "mfa.sqlite3")) as database:
            query = "SELECT count(*) FROM mfa_authenticator WHERE substr(state, 1, ?) = ?"
            found: int = database.execute(query, [len(old_id), old_id]).fetchone()[0]
            return found

    variables = environment(folder, MFA_SECRET_KEY=f"{NEW},{OLD}")
    command = [sys.executable, "-m", "mfa_middleware", "rotate"]
    with subprocess.Popen(command, env=variables, cwd=folder) as process:
        await asyncio.to_thread(wait_until, lambda: left() < many)
        process.send_signal(signal.SIGKILL)
    rest_of_them = left()
    assert 0 < rest_of_them < many
    done = subprocess.run(command, env=variables, cwd=folder, check=True, capture_output=True, text=True, timeout=60)
    assert f"{rest_of_them} of {many} authenticators were sealed anew" in done.stdout
    assert left() == 0
    alone = await make_mfa(database_url=url, secret_key=NEW)
    assert [opened async for opened in opening(alone)] == [state] * many


async def opening(mfa):
    """Every state, opened."""
    core = mfa.parts.core
    async for batch in core.authenticator_store.scan():
        for one in batch:
            yield core.open_state(one.state, user_id=one.user_id, authenticator_id=one.id)


async def test_what_is_moved_to_another_row_or_another_user_opens_nothing(make_mfa, tmp_path, clock):
    """Who can write to the database cannot make a secret of their own that of somebody else."""
    mfa = await make_mfa(database_url=f"sqlite:///{tmp_path}/mfa.sqlite3", secret_key=NEW)
    alice, mallory = await enrol(mfa), await enrol(mfa, "mallory")
    with closing(sqlite3.connect(tmp_path / "mfa.sqlite3")) as database, database:
        query = "SELECT state FROM mfa_authenticator WHERE user_id = 'mallory' AND factor = ?"
        for factor in ("totp", "recovery_code"):
            changed = "UPDATE mfa_authenticator SET state = (" + query + ") WHERE user_id = 'alice' AND factor = ?"
            assert database.execute(changed, [factor, factor]).rowcount == 1
    for factor, code in (("totp", mallory.code), ("recovery_code", mallory.recovery_codes[0])):
        with pytest.raises(Misconfigured):
            await mfa.verify((await login(mfa)).mfa_token, factor, code)
    with closing(sqlite3.connect(tmp_path / "mfa.sqlite3")) as database, database:
        database.execute("UPDATE mfa_authenticator SET user_id = 'alice' WHERE user_id = 'mallory'")
        database.execute("DELETE FROM mfa_authenticator WHERE id = ?", [alice.id])
    with pytest.raises(Misconfigured):
        await mfa.verify((await login(mfa)).mfa_token, "totp", mallory.code)
