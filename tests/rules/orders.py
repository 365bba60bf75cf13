"""Changes of one user's factors as they would be one after another: does any order explain what came of all at once?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Row:
    """An authenticator: the names of its live and of its pending secret."""

    id: str
    live: str = ""
    pending: str = ""


@dataclass(frozen=True)
class State:
    """A user's authenticators, and the name of the sheet of recovery codes that serves."""

    rows: frozenset[Row]
    sheet: str

    def find(self, row_id: str) -> Row | None:
        return next((one for one in self.rows if one.id == row_id), None)

    def put(self, row: Row) -> State:
        return replace(self, rows=frozenset(one for one in self.rows if one.id != row.id) | {row})


#: What a change makes of a state; None when it is refused there as not found.
Change = Callable[[State], State | None]


@dataclass(frozen=True)
class Done:
    """A change, and whether it was answered as done."""

    change: Change
    done: bool


def bind(row_id: str) -> Change:
    return lambda state: state.put(Row(row_id, pending="its own"))


def confirm(row_id: str, secret: str) -> Change:
    """All else that is pending dies."""

    def change(state: State) -> State | None:
        row = state.find(row_id)
        if row is None or row.pending != secret:
            return None
        others = [replace(one, pending="") for one in state.rows if one.live and one.id != row_id]
        return replace(state, rows=frozenset([Row(row_id, live=secret), *others]))

    return change


def refresh(row_id: str, secret: str) -> Change:
    def change(state: State) -> State | None:
        row = state.find(row_id)
        return state.put(replace(row, pending=secret)) if row and row.live else None

    return change


def unbind(row_id: str) -> Change:
    def change(state: State) -> State | None:
        row = state.find(row_id)
        return replace(state, rows=state.rows - {row}) if row else None

    return change


def regenerate(sheet: str) -> Change:
    return lambda state: replace(state, sheet=sheet)


def explained(start: State, changes: Sequence[Done], end: State) -> bool:
    """Whether some order of the changes, each answered as it was, leads from one state to the other."""
    if not changes:
        return start == end
    for number, one in enumerate(changes):
        after = one.change(start)
        if (after is not None) == one.done:
            rest = [*changes[:number], *changes[number + 1 :]]
            if explained(start if after is None else after, rest, end):
                return True
    return False
