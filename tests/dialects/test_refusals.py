"""Refusals on the wire: those of a plugin's own kind as well."""

from __future__ import annotations

import json

import pytest

from mfa_authing.envelope import told
from mfa_middleware.dialects.native import problem
from mfa_middleware.errors import CrossOrigin, NotFound, Refusal, Unavailable


class GatewayAway(Unavailable):
    """What a factor may raise that sends letters."""


class PageOfAnotherHost(CrossOrigin):
    """A kind of a kind."""


class Odd(Refusal):
    """One of no kind that is known."""

    code = "odd"
    message = "That is odd."


@pytest.mark.parametrize(
    ("error", "native", "authing", "number"),
    [
        (GatewayAway("away"), 503, 503, 503),
        (PageOfAnotherHost("foreign"), 403, 403, 403),
        (NotFound("nothing"), 404, 200, 404),
        (Odd("odd"), 500, 200, 500),
    ],
)
def test_a_plugins_own_refusal_is_told_as_the_kind_that_it_is_one_of(
    error: Refusal, native: int, authing: int, number: int
):
    answer = problem(error, trace_id="t")
    assert (answer.status, json.loads(answer.body)["code"]) == (native, error.code)
    other = told(error, {"headers": []}, trace_id="t")
    assert (other.status, other.envelope["code"]) == (authing, number)
