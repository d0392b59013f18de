"""What outlasts a crash: whose turn it is, the journal, paused accounts, and which database this is"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("delivery", sa.Column("turn", sa.BigInteger(), nullable=True))
    op.add_column("delivery", sa.Column("alarmed_at", sa.DateTime(timezone=True), nullable=True))
    for column in (
        sa.Column("journal", sa.String(), nullable=True),
        sa.Column("cancel_taken", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("cancel_asks", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("contrary", sa.String(), nullable=True),
        sa.Column("contrary_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("tail_reads", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("wait_until", sa.DateTime(timezone=True), nullable=True),
    ):
        op.add_column("attempt", column)
    op.add_column("account", sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("account", sa.Column("paused_by", sa.String(), nullable=True))
    op.add_column("account", sa.Column("paused_because", sa.String(), nullable=True))
    op.create_table(
        "identity",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_index("event_place", "event", ["bus_id"])
    op.create_index(
        "delivery_asking",
        "delivery",
        ["attention"],
        postgresql_where=sa.text("attention IS NOT NULL"),
        sqlite_where=sa.text("attention IS NOT NULL"),
    )
