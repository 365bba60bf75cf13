"""A factor whose secret is complete only with the confirming answer."""

from __future__ import annotations

import hashlib

import pytest

from mfa_middleware import hookimpl
from mfa_middleware.callers import Caller
from mfa_middleware.errors import InvalidCode, Unavailable
from mfa_middleware.factor import Enrolment
from mfa_middleware.models import Once, Purpose
from tests.world import login


class Key:
    """The client makes a key of its own and shows it when it confirms, as a WebAuthn authenticator does."""

    name, title, amr = "key", "A key", "hwk"
    answers: object = None

    async def enrol(self, enrolling):
        return Enrolment({"asked": "nonce"}, {})

    async def complete(self, state, answer):
        assert (state, answer.purpose) == ({"asked": "nonce"}, Purpose.CONFIRM)
        if self.answers is not None:
            return self.answers
        if not answer.code.startswith("key:"):
            raise InvalidCode("no key")
        return {"key": answer.code.removeprefix("key:")}, None

    async def check(self, state, answer):
        key, _, nonce = answer.code.partition(" ")
        if key != state["key"]:
            raise InvalidCode("another key")
        return Once(hashlib.sha256(nonce.encode()).digest())


class Plugin:
    def __init__(self, factor):
        self.factor = factor

    @hookimpl
    def mfa_register_factors(self, settings):
        return [self.factor]


async def test_what_the_confirming_answer_completes_is_what_later_answers_are_checked_against(make_mfa):
    mfa = await make_mfa(Plugin(Key()))
    alice = Caller("alice")
    begun = await mfa.bind(alice, "key")
    with pytest.raises(InvalidCode):
        await mfa.confirm(alice, begun.id, "nonsense")
    await mfa.confirm(alice, begun.id, "key:secret")
    token = (await login(mfa)).mfa_token
    with pytest.raises(InvalidCode):
        await mfa.verify(token, "key", "other 1")
    assert (await mfa.verify(token, "key", "secret 1")).held is not None
    with pytest.raises(InvalidCode):
        await mfa.verify((await login(mfa)).mfa_token, "key", "secret 1")


@pytest.mark.parametrize(
    "answers",
    [None, ({"key": object()}, None), ("x", None), ({}, "proof"), ({},)],
    ids=["no pair", "no JSON", "no object", "no proof", "one thing"],
)
async def test_a_factor_that_completes_nonsense_binds_nothing(make_mfa, answers):
    factor = Key()
    mfa = await make_mfa(Plugin(factor))
    begun = await mfa.bind(Caller("alice"), "key")
    factor.answers = answers if answers is not None else 7
    with pytest.raises(Unavailable):
        await mfa.confirm(Caller("alice"), begun.id, "key:secret")
    assert not (await mfa.status("alice")).enabled
