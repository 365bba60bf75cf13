"""Asking a factor plugin: whatever it does, the answer is a proof, "wrong", or "unavailable"."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import TypeVar

from mfa_middleware.core import Core
from mfa_middleware.errors import InvalidCode, Misconfigured, Unavailable
from mfa_middleware.factor import Answer, Completing
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
    return _sound(factor, await guarded(factor, core.factor(factor).check(state, answer)), answer.purpose)


async def check_confirmation(
    core: Core, factor_name: str, sealed: bytes, answer: Answer, *, user_id: str, row: str
) -> tuple[bytes, Proof | None]:
    """Ask a factor whether an answer confirms pending state; returns the state to go live with, sealed, and the proof.

    :raises InvalidCode: as :func:`check` does.
    :raises Unavailable: as :func:`check` does.
    """
    factor = core.factor(factor_name)
    if not isinstance(factor, Completing):
        return sealed, await check(core, factor_name, sealed, answer, user_id=user_id, row=row)
    pending = core.open_state(sealed, user_id=user_id, authenticator_id=row)
    match await guarded(factor_name, factor.complete(pending, answer)):
        case (state, proof):
            sealed = core.seal_state(state, user_id=user_id, authenticator_id=row)
            return sealed, _sound(factor_name, proof, answer.purpose)
        case _:
            raise Unavailable(f"the factor {factor_name} completed nothing")


def _sound(factor: str, proof: object, purpose: Purpose) -> Proof | None:
    match proof:
        case Counter(int(value)) if not isinstance(value, bool) and 0 <= value <= _LARGEST_COUNTER:
            return Counter(value)
        case Once(bytes(digest)) if 0 < len(digest) <= _LONGEST_DIGEST:
            return Once(digest)
        case None if purpose is Purpose.CONFIRM:
            return None
        case _:
            raise Unavailable(f"the factor {factor} answered with no proof")


def require_text(factor: str, shown: object) -> None:
    """Let pass what a factor wants to show: a mapping of text to text.

    :raises Unavailable: for anything else.
    """
    if not isinstance(shown, Mapping) or not all(isinstance(one, str) for pair in shown.items() for one in pair):
        raise Unavailable(f"the factor {factor} shows something that is no text")


async def guarded(factor: str, work: Awaitable[Result]) -> Result:
    """Await a plugin's work within bounds.

    :raises InvalidCode: as the factor raised it.
    :raises Misconfigured: as the factor raised it; its reason goes to the log, and the client is told ours.
    :raises Unavailable: for any other failure of it. Its text stays out: it may hold what the user typed.
    """
    try:
        async with asyncio.timeout(_FACTOR_SECONDS):
            return await work
    except InvalidCode:
        raise
    except Misconfigured as error:
        raise Misconfigured(f"the factor {factor}: {error.reason}") from None
    except Exception as error:  # noqa: BLE001  a stranger's code may raise anything
        told = f"the factor {factor} failed with {type(error).__name__} ({_place(error)})"
        logger.error("%s", told)
        raise Unavailable(told) from None


def _place(error: Exception) -> str:
    """Where it was raised: file and line."""
    *_, last = traceback.extract_tb(error.__traceback__)
    return f"{Path(last.filename).name}:{last.lineno}"
