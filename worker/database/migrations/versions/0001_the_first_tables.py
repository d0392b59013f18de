"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("account_metadata", sa.JSON(), nullable=True),
        sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paused_by", sa.String(), nullable=True),
        sa.Column("paused_because", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "archive_file",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "archived",
        sa.Column("delivery_id", sa.String(36), nullable=False),
        sa.Column("file", sa.String(), nullable=False),
        sa.Column("place", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("delivery_id"),
    )
    op.create_table(
        "callback",
        sa.Column("position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("carrier", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("headers", sa.JSON(), nullable=True),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("token", sa.String(), nullable=True),
        sa.Column("attempt_id", sa.BigInteger(), nullable=True),
        sa.Column("ref", sa.String(), nullable=True),
        sa.Column("entity", sa.String(), nullable=True),
        sa.Column("reported_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("try_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("result", sa.String(), nullable=True),
        sa.Column("decision", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("carrier", "digest"),
        sa.UniqueConstraint("id"),
    )
    op.create_index(
        "callback_waiting",
        "callback",
        ["try_at"],
        unique=False,
        postgresql_where=sa.text("result IS NULL"),
        sqlite_where=sa.text("result IS NULL"),
    )
    op.create_index(
        "callback_of_attempt",
        "callback",
        ["attempt_id"],
        unique=False,
        postgresql_where=sa.text("attempt_id IS NOT NULL"),
        sqlite_where=sa.text("attempt_id IS NOT NULL"),
    )
    op.create_index(
        "callback_of_nobody",
        "callback",
        ["carrier", "ref"],
        unique=False,
        postgresql_where=sa.text("result IS NULL AND attempt_id IS NULL"),
        sqlite_where=sa.text("result IS NULL AND attempt_id IS NULL"),
    )
    op.create_index("callback_newest", "callback", ["carrier", "position"], unique=False)
    op.create_table(
        "clock",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("ahead", sa.Float(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("used", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "dead_letter",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("has_fields", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "dead_letter_waiting",
        "dead_letter",
        ["received_at"],
        unique=False,
        postgresql_where=sa.text("settled_at IS NULL"),
        sqlite_where=sa.text("settled_at IS NULL"),
    )
    op.create_index(
        "dead_letter_settled",
        "dead_letter",
        ["settled_at"],
        unique=False,
        postgresql_where=sa.text("settled_at IS NOT NULL"),
        sqlite_where=sa.text("settled_at IS NOT NULL"),
    )
    op.create_table(
        "delivery",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("store_id", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("carrier", sa.String(), nullable=True),
        sa.Column("step", sa.String(), nullable=True),
        sa.Column("step_carrier", sa.String(), nullable=True),
        sa.Column("may_give_way", sa.Boolean(), nullable=False),
        sa.Column("next_run_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("retry_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("alarm_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("gate", sa.String(), nullable=True),
        sa.Column("attention_reasons", sa.String(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("erasable_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "delivery_alarm",
        "delivery",
        ["alarm_at"],
        unique=False,
        postgresql_where=sa.text("alarm_at IS NOT NULL"),
        sqlite_where=sa.text("alarm_at IS NOT NULL"),
    )
    op.create_index(
        "delivery_asking",
        "delivery",
        ["attention_reasons"],
        unique=False,
        postgresql_where=sa.text("attention_reasons IS NOT NULL"),
        sqlite_where=sa.text("attention_reasons IS NOT NULL"),
    )
    op.create_index("delivery_created", "delivery", ["created_at"], unique=False)
    op.create_index("delivery_store", "delivery", ["store_id", "created_at"], unique=False)
    op.create_index(
        "delivery_due",
        "delivery",
        ["step", "step_carrier", "next_run_at"],
        unique=False,
        postgresql_where=sa.text("next_run_at IS NOT NULL"),
        sqlite_where=sa.text("next_run_at IS NOT NULL"),
    )
    op.create_index(
        "delivery_erasable",
        "delivery",
        ["erasable_since"],
        unique=False,
        postgresql_where=sa.text("erasable_since IS NOT NULL"),
        sqlite_where=sa.text("erasable_since IS NOT NULL"),
    )
    op.create_index("delivery_order", "delivery", ["order_id"], unique=False)
    op.create_index(
        "delivery_overdue",
        "delivery",
        ["next_run_at"],
        unique=False,
        postgresql_where=sa.text("may_give_way AND next_run_at IS NOT NULL"),
        sqlite_where=sa.text("may_give_way = 1 AND next_run_at IS NOT NULL"),
    )
    if op.get_context().dialect.name == "postgresql":
        # Keep room in each page for new versions of its rows, so that a claim leaves the indexes alone. Remove old
        # versions early: by default, four million of them wait in the index of the next steps of 20 million deliveries.
        op.execute("ALTER TABLE delivery SET (fillfactor = 75, autovacuum_vacuum_scale_factor = 0.01)")
    op.create_table(
        "early_cancellation",
        sa.Column("delivery_id", sa.String(36), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("delivery_id"),
    )
    op.create_index("early_cancellation_received", "early_cancellation", ["received_at"], unique=False)
    op.create_table(
        "event",
        sa.Column("position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("key", sa.String(36), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("key", "sequence"),
    )
    op.create_table(
        "identity",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "lease",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "message",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("message_id", sa.String(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("order_id", sa.String(), nullable=True),
        sa.Column("fetch_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("traceparent", sa.String(), nullable=True),
        sa.Column("tracestate", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("source", "message_id"),
    )
    op.create_index(
        "message_fetch",
        "message",
        ["fetch_at"],
        unique=False,
        postgresql_where=sa.text("fetch_at IS NOT NULL"),
        sqlite_where=sa.text("fetch_at IS NOT NULL"),
    )
    op.create_index("message_received", "message", ["received_at"], unique=False)
    op.create_index("message_order", "message", ["order_id"], unique=False)
    op.create_table(
        "notice",
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("notified", sa.Boolean(), nullable=False),
        sa.Column("gone_since", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("channel", "key"),
    )
    op.create_table(
        "carrier_call",
        sa.Column("position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("attempt_id", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("operation", sa.String(), nullable=False),
        sa.Column("delivery_id", sa.String(36), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("milliseconds", sa.Integer(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("reply", sa.Text(), nullable=True),
        sa.Column("trace_id", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("attempt_id", "sent_at", "operation"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "operator_action",
        sa.Column("position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("operator", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("delivery_id", sa.String(36), nullable=True),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("position"),
    )
    op.create_index(
        "operator_action_delivery",
        "operator_action",
        ["delivery_id"],
        unique=False,
        postgresql_where=sa.text("delivery_id IS NOT NULL"),
        sqlite_where=sa.text("delivery_id IS NOT NULL"),
    )
    op.create_table(
        "placed_order",
        sa.Column("delivery_id", sa.String(36), nullable=False),
        sa.Column("order", sa.Text(), nullable=False),
        sa.Column("store", sa.Text(), nullable=True),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("delivery_id"),
    )
    op.create_table(
        "publication",
        sa.Column("position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("stream_id", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("position"),
    )
    op.create_index(
        "publication_stream_id",
        "publication",
        ["stream_id"],
        unique=False,
        postgresql_where=sa.text("stream_id IS NOT NULL"),
        sqlite_where=sa.text("stream_id IS NOT NULL"),
    )
    op.create_index(
        "publication_waiting",
        "publication",
        ["position"],
        unique=False,
        postgresql_where=sa.text("stream_id IS NULL"),
        sqlite_where=sa.text("stream_id IS NULL"),
    )
    op.create_table(
        "shop",
        sa.Column("store_id", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("store_id"),
    )
    op.create_table(
        "status_mapping",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("carrier_status", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("mapped_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account", "carrier_status"),
    )
    op.create_table(
        "subscriber",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("types", sa.JSON(), nullable=True),
        sa.Column("secrets", sa.JSON(), nullable=True),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("accepted", sa.BigInteger(), nullable=False),
        sa.Column("failed", sa.BigInteger(), nullable=False),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("try_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("disabled_because", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "blocked_key",
        sa.Column("subscriber_id", sa.String(), nullable=False),
        sa.Column("key", sa.String(36), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("try_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("subscriber_id", "key"),
    )
    op.create_table(
        "write_back",
        sa.Column("delivery_id", sa.String(36), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("replaced", sa.Integer(), nullable=True),
        sa.Column("written", sa.Boolean(), nullable=False),
        sa.Column("reported", sa.Boolean(), nullable=False),
        sa.Column("seen", sa.Integer(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("delivery_id"),
    )
    op.create_index(
        "write_back_due_at",
        "write_back",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("due_at IS NOT NULL"),
        sqlite_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_index(
        "write_back_lease_until",
        "write_back",
        ["lease_until"],
        unique=False,
        postgresql_where=sa.text("lease_until IS NOT NULL"),
        sqlite_where=sa.text("lease_until IS NOT NULL"),
    )
    op.create_table(
        "attempt",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("delivery_id", sa.String(36), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("carrier", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("token", sa.String(), nullable=False),
        sa.Column("ref", sa.String(), nullable=True),
        sa.Column("surplus", sa.Boolean(), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reported_anomalies", sa.String(), nullable=True),
        sa.Column("journal_file", sa.String(), nullable=True),
        sa.Column("document", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["delivery_id"],
            ["delivery.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("token"),
    )
    op.create_index(
        "attempt_anomalous",
        "attempt",
        ["carrier"],
        unique=False,
        postgresql_where=sa.text("reported_anomalies IS NOT NULL"),
        sqlite_where=sa.text("reported_anomalies IS NOT NULL"),
    )
    op.create_index("attempt_delivery", "attempt", ["delivery_id"], unique=False)
    op.create_index(
        "attempt_live",
        "attempt",
        ["delivery_id"],
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL AND NOT surplus AND state <> 'queued'"),
        sqlite_where=sa.text("ended_at IS NULL AND NOT surplus AND state <> 'queued'"),
    )
    op.create_index(
        "attempt_live_ref",
        "attempt",
        ["carrier", "ref"],
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL AND ref IS NOT NULL"),
        sqlite_where=sa.text("ended_at IS NULL AND ref IS NOT NULL"),
    )
    op.create_index(
        "attempt_ref",
        "attempt",
        ["carrier", "ref"],
        unique=False,
        postgresql_where=sa.text("ref IS NOT NULL"),
        sqlite_where=sa.text("ref IS NOT NULL"),
    )
