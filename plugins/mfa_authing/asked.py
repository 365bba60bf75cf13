"""What a GraphQL request asks, kept in its scope until its answer is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mfa_authing.held import NAMES
from mfa_middleware.models import Challenge


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at the documents of a request showed.

    ``aliases`` are the names that they give to what they ask for; None where it is not sure which documents the app
    reads. ``is_plain`` says that they ask for one thing by no names of their own, ``changes`` that they may do more
    than ask.
    """

    aliases: frozenset[str] | None = None
    is_plain: bool = False
    changes: bool = True


@dataclass(slots=True)
class Asked:
    """A request that was read on its way to the app; ``challenge`` is there once its login is held.

    It is looked at only when the answer asks for it: most requests are no logins. As a
    :class:`mfa_middleware.passage.Reading` it tells selectors which names in the answer are the app's.
    """

    look: Callable[[], Look]
    challenge: Challenge | None = None

    def may_have_chosen(self, name: str) -> bool:
        """Whether the client may have given that name to something."""
        aliases = self.look().aliases
        return aliases is None or name in aliases

    @property
    def is_plain(self) -> bool:
        """Whether it asks for one thing alone, by no other names than the app's."""
        return self.look().is_plain

    @property
    def changes(self) -> bool:
        """Whether it may do more than ask."""
        return self.look().changes

    @property
    def names_are_the_apps(self) -> bool:
        """Whether the fields that a challenge tells are called what the app calls them."""
        aliases = self.look().aliases
        return aliases is not None and not aliases & NAMES
