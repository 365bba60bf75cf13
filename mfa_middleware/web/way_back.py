"""Where a browser goes on after a step-up: the query's ``next``, as long as it names a page of ours."""

from __future__ import annotations

import re

from starlette.requests import Request

#: Below the mount, in plain segments: such a path names no other host (``//``) and never leaves the mount (``..``).
_PLACE = re.compile(r"/(?:[A-Za-z0-9_-]+(?:/[A-Za-z0-9_-]+)*)?")


def way_back(request: Request) -> str:
    """The path below the mount that ``next`` names; ``/`` for one that is missing or names anything else."""
    wanted = request.query_params.get("next", "")
    return wanted if _PLACE.fullmatch(wanted) else "/"
