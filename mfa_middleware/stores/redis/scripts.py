"""The Lua scripts, one for each verb that must be atomic: ``lua/<verb>.lua``, with ``lua/prelude.lua`` before it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import Final, cast

from redis.exceptions import NoScriptError

from mfa_middleware.stores.redis.connect import Client

Value = bytes | str | int

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

    async def run(self, client: Client, keys: Sequence[str], arguments: Sequence[Value]) -> object:
        """Run it in one round trip; in two when the server has started, was promoted or has forgotten.

        Not by SCRIPT LOAD: in a Cluster that asks every node, so that one that is away would be missed by all.
        """
        given = cast("tuple[str, ...]", (*keys, *arguments))
        try:
            return await client.evalsha(self._digest, len(keys), *given)
        except NoScriptError:
            return await client.eval(self._text, len(keys), *given)
