"""The bodies of Authing's API, in both spellings that its SDKs use."""

from __future__ import annotations

from typing import Annotated

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

Text = Annotated[str, Field(max_length=4096)]


class Body(BaseModel):
    """Whatever else an SDK sends is passed over. Numbers are taken for the text that they were."""

    model_config = ConfigDict(
        extra="ignore", populate_by_name=True, coerce_numbers_to_str=True, hide_input_in_errors=True
    )


class Empty(Body):
    """Nothing."""


class Associate(Body):
    """What is to be bound: ``totp``."""

    authenticator_type: Annotated[
        str, Field(validation_alias=AliasChoices("authenticator_type", "authenticatorType"), max_length=64)
    ] = "totp"


class Confirm(Associate):
    """A code of the new secret."""

    totp: Text


class Verify(Body):
    """A code."""

    totp: Text


class Recover(Body):
    """The recovery code."""

    recovery_code: Annotated[
        str, Field(validation_alias=AliasChoices("recoveryCode", "recovery_code"), max_length=4096)
    ]


class Import(Body):
    """A secret that another system knows."""

    user_id: Annotated[str, Field(validation_alias=AliasChoices("userId", "user_id"), min_length=1, max_length=255)]
    secret: Annotated[str, Field(min_length=1, max_length=512)]
    recovery_code: Annotated[
        str | None, Field(validation_alias=AliasChoices("recoveryCode", "recovery_code"), max_length=64)
    ] = None
