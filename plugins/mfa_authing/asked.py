"""What a GraphQL request asks, kept in its scope until its answer is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mfa_middleware.models import Challenge

#: The key of the scope.
ASKED = "mfa_authing"


@dataclass(slots=True)
class Asked:
    """A request that was read on its way to the app; ``challenge`` is there once its login is held.

    ``renames`` says whether its document gives names of its own to what it asks for. It is called for a challenge
    alone: most requests are no logins.
    """

    renames: Callable[[], bool]
    challenge: Challenge | None = None

    @property
    def names_are_the_apps(self) -> bool:
        """Whether the fields of the answer are called what the app calls them."""
        return not self.renames()
