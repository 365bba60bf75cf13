"""Key rotation: nothing is lost on the way, and the old key opens nothing afterwards."""

from __future__ import annotations

import pytest

from mfa_middleware.callers import Caller
from mfa_middleware.errors import Misconfigured
from mfa_middleware.keyring import Keyring, new_key, parse_keys
from mfa_middleware.rotation import reseal
from tests.world import enrol, login

OLD, NEW = new_key(), new_key()


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
