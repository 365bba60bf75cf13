"""The variables ``MFA_AUTHING_*``."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field


def _paths(value: str) -> str:
    for path in (part.strip() for part in value.split(",")):
        if not re.fullmatch(r"/[^\s?#]*", path):
            raise ValueError("must be paths like /graphql, comma-separated")
    return value


class AuthingSettings(BaseModel, frozen=True):
    """How near to the original the dialect is."""

    reveal_secrets: bool = Field(
        default=False, description="true where live secrets may be shown again, as Authing does, else false"
    )
    legacy: bool = Field(
        default=False, description="true for the GraphQL operations queryMFA and changeMFA, else false"
    )
    user_pool_id: str = Field(default="", max_length=100, description="what answers give as userPoolId")
    graphql_paths: Annotated[str, AfterValidator(_paths)] = Field(
        default="/graphql, /graphql/v2", description="the paths of the app's GraphQL, comma-separated"
    )

    @property
    def graphql(self) -> frozenset[str]:
        """The paths of the app's GraphQL."""
        return frozenset(part.strip() for part in self.graphql_paths.split(","))
