"""The Lua scripts, one for each verb that must be atomic: ``lua/<verb>.lua``, with ``lua/prelude.lua`` before it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import Final

from redis.exceptions import NoScriptError

from mfa_middleware.stores.redis.lane import Commands, Value

_FOLDER: Final = files("mfa_middleware.stores.redis") / "lua"
_PRELUDE: Final = (_FOLDER / "prelude.lua").read_text(encoding="utf-8")

VERBS: Final = (
    "issue", "charge", "charge_user", "found_wrong", "take", "count_sending", "note", "prove", "proven",
    "forget",
)  # fmt: skip


def source(verb: str) -> str:
    """The whole text of a verb's script."""
    return _PRELUDE + (_FOLDER / f"{verb}.lua").read_text(encoding="utf-8")


class Script:
    """A script that is known to the server by its digest, and told to it in full when it is not."""

    def __init__(self, verb: str) -> None:
        self._text = source(verb)
        self._digest = hashlib.sha1(self._text.encode(), usedforsecurity=False).hexdigest()

    async def run(self, commands: Commands, keys: Sequence[str], arguments: Sequence[Value], until: float) -> object:
        """Run it in one round trip; in two when the server has started, was promoted or has forgotten.

        Not by SCRIPT LOAD: in a Cluster that asks every node, so that one that is away would be missed by all.
        """
        try:
            return await commands.execute_command("EVALSHA", self._digest, len(keys), *keys, *arguments)
        except NoScriptError:
            async with asyncio.timeout_at(until):  # the second of two that are timed by themselves
                return await commands.execute_command("EVAL", self._text, len(keys), *keys, *arguments)
