"""What an mfaToken stands for, at rest; and which authenticators it offers."""

from __future__ import annotations

from mfa_middleware.records import TokenRecord, offered
from tests.stores.databases import authenticator

ORDER = ("word", "totp")


def test_live_ones_are_offered_in_the_order_of_the_factors_as_the_user_named_them():
    rows = [
        authenticator("alice", "1", factor="totp", label="phone"),
        authenticator("alice", "2", factor="word", label="my word"),
        authenticator("alice", "3", factor="gone", label="of a factor that is not in use"),
        authenticator("alice", "4", factor="totp", label="pending", state=None, pending=b"p"),
        authenticator("alice", "5", factor="totp", label="old phone"),
    ]
    assert [(one.id, one.label) for one in offered(rows, ORDER)] == [
        ("2", "my word"),
        ("1", "phone"),
        ("5", "old phone"),
    ]


def test_without_a_held_login_nothing_stands_after_the_json():
    assert TokenRecord("alice").encode().endswith(b"}")
