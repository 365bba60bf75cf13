"""One recovery code instead of a list, as Authing has it: shown when a binding begins, in force from its end."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Literal

from mfa_middleware.factor import State
from mfa_recovery_code.recovery_code import RecoveryCode
from mfa_recovery_code.settings import RecoveryCodeSettings

_GROUPS, _GROUP = 6, 4  # 24 hexadecimal digits: 96 bits


class SingleRecoveryCode(RecoveryCode):
    """Each binding brings another. With ``keep`` the code itself is in the (sealed) state, to be shown again."""

    issued_at_binding: Literal[True] = True

    def __init__(self, settings: RecoveryCodeSettings, *, keep: bool = False) -> None:
        super().__init__(settings)
        self._keep = keep

    def issue(self) -> tuple[State, Sequence[str]]:
        digits = secrets.token_hex(_GROUPS * _GROUP // 2)
        code = "-".join(digits[start : start + _GROUP] for start in range(0, len(digits), _GROUP))
        return self.adopt_codes([code]), [code]

    def adopt_codes(self, codes: Sequence[str]) -> State:
        state = super().adopt_codes(codes)
        return {**state, "shown": codes[0]} if self._keep else state
