"""Writing back: what the platform has yet to be told"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "write_back",
        sa.Column("delivery_id", sa.String(length=36), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("code", sa.Integer(), nullable=True),
        sa.Column("replaced", sa.Integer(), nullable=True),
        sa.Column("written", sa.Boolean(), nullable=False),
        sa.Column("told", sa.Boolean(), nullable=False),
        sa.Column("seen", sa.Integer(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("delivery_id"),
    )
    for column in ("due_at", "lease_until"):
        there = sa.text(f"{column} IS NOT NULL")
        op.create_index(f"write_back_{column}", "write_back", [column], postgresql_where=there, sqlite_where=there)
