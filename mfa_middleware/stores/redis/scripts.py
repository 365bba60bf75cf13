"""The Lua scripts, one for each verb that must be atomic: ``lua/<verb>.lua``, with ``lua/prelude.lua`` before it."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

_FOLDER: Final = files("mfa_middleware.stores.redis") / "lua"
_PRELUDE: Final = (_FOLDER / "prelude.lua").read_text(encoding="utf-8")

VERBS: Final = (
    "issue", "charge", "charge_user", "found_wrong", "take", "count_sending", "note", "prove", "proven",
    "forget",
)  # fmt: skip


def source(verb: str) -> str:
    """The whole text of a verb's script."""
    return _PRELUDE + (_FOLDER / f"{verb}.lua").read_text(encoding="utf-8")
