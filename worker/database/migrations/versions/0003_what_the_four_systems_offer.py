"""What the four systems offer: rulings on offers, amendments, gates, and words that an operator explained"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("delivery", sa.Column("gate", sa.String(), nullable=True))
    op.add_column("delivery", sa.Column("carrier_since", sa.DateTime(timezone=True), nullable=True))
    op.add_column("delivery", sa.Column("located_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("delivery", sa.Column("anew_after", sa.Integer(), nullable=False, server_default="0"))
    for column in (
        sa.Column("ruling", sa.String(), nullable=True),
        sa.Column("told", sa.String(), nullable=True),
        sa.Column("amending", sa.String(), nullable=True),
        sa.Column("amend_asks", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("amend_refused", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("unread", sa.JSON(), nullable=True),
    ):
        op.add_column("attempt", column)
    op.create_table(
        "word",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("word", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("mapped_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account", "word"),
    )
