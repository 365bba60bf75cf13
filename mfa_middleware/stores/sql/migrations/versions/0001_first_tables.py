"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make all tables."""
    op.create_table(
        "mfa_user",
        sa.Column("user_id", sa.Text(), primary_key=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("locked_until", sa.Double(), nullable=False),
    )
    op.create_table(
        "mfa_authenticator",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("factor", sa.Text(), nullable=False),
        sa.Column("backup", sa.Boolean(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("state", sa.LargeBinary()),
        sa.Column("pending", sa.LargeBinary()),
        sa.Column("pending_until", sa.Double(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("counter", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("last_used_at", sa.Double()),
    )
    op.create_index("ix_mfa_authenticator_user_id", "mfa_authenticator", ["user_id"])
    op.create_table(
        "mfa_spent",
        sa.Column("authenticator_id", sa.Text(), primary_key=True),
        sa.Column("proof", sa.LargeBinary(), primary_key=True),
        sa.Column("spent_at", sa.Double(), nullable=False),
    )
    op.create_table(
        "mfa_blocked_session",
        sa.Column("digest", sa.LargeBinary(), primary_key=True),
        sa.Column("until", sa.Double(), nullable=False),
    )
    op.create_index("ix_mfa_blocked_session_until", "mfa_blocked_session", ["until"])


def downgrade() -> None:
    """Drop them, with all that is in them."""
    for table in ("mfa_blocked_session", "mfa_spent", "mfa_authenticator", "mfa_user"):
        op.drop_table(table)
