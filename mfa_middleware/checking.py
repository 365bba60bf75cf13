"""Asking a factor plugin: whatever it does, the answer is a proof, "wrong", or "unavailable"."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import TypeVar

from mfa_middleware.core import Core
from mfa_middleware.errors import InvalidCode, Unavailable
from mfa_middleware.factor import Answer
from mfa_middleware.models import Counter, Once, Proof, Purpose

logger = logging.getLogger(__name__)
Result = TypeVar("Result")

_FACTOR_SECONDS = 10.0
_LARGEST_COUNTER = 2**63 - 1
_LONGEST_DIGEST = 64


async def check(core: Core, factor: str, sealed: bytes, answer: Answer, *, user_id: str, row: str) -> Proof | None:
    """Ask a factor whether an answer is right, and what it spends.

    :raises InvalidCode: when it is wrong.
    :raises Unavailable: when the factor fails in any other way, or breaks its contract.
    """
    state = core.open_state(sealed, user_id=user_id, authenticator_id=row)
    proof = await guarded(factor, core.factor(factor).check(state, answer))
    match proof:
        case Counter(value) if 0 <= value <= _LARGEST_COUNTER:
            return proof
        case Once(digest) if 0 < len(digest) <= _LONGEST_DIGEST:
            return proof
        case None if answer.purpose is Purpose.CONFIRM:
            return None
        case _:
            raise Unavailable(f"the factor {factor} answered with no proof")


async def guarded(factor: str, work: Awaitable[Result]) -> Result:
    """Await a plugin's work within bounds.

    :raises InvalidCode: as the factor raised it.
    :raises Unavailable: for any other failure of it. Its text stays out: it may hold what the user typed.
    """
    try:
        async with asyncio.timeout(_FACTOR_SECONDS):
            return await work
    except InvalidCode:
        raise
    except Exception as error:  # noqa: BLE001  a stranger's code may raise anything
        logger.error("the factor %s failed with %s", factor, type(error).__name__)
        raise Unavailable(f"the factor {factor} failed with {type(error).__name__}") from None
