"""The tables. Rows stay in this package; every other package gets `Delivery`, `Attempt` and plain values."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlmodel import Field, SQLModel


class UtcDateTime(TypeDecorator[datetime]):
    """A column of aware UTC times. SQLite stores no zone, so UTC is added when a value is read."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert a time to UTC; on SQLite, remove the zone."""
        if value is None:
            return None
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Return an aware UTC time."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


BigId = BigInteger().with_variant(Integer, "sqlite")
"""A big integer key. On SQLite it is an INTEGER, because SQLite generates keys only for this type."""


def _time(*, nullable: bool = True) -> Any:
    return Field(default=None, sa_type=UtcDateTime, nullable=nullable)


def _text(*, nullable: bool = False) -> Any:
    return Field(default=None if nullable else ..., sa_type=Text, nullable=nullable)


def _where(condition: str) -> dict[str, Any]:
    """Return the options of an index of the rows that meet a condition."""
    return {"postgresql_where": text(condition), "sqlite_where": text(condition)}


def _json() -> Any:
    return Field(default=None, sa_type=JSON, nullable=True)


class DeliveryRow(SQLModel, table=True):
    """A delivery. A claimed row is not claimed again before `lease_until`.

    `document` contains the fields that have no column. Queries use the other columns. Whatever changes a delivery
    changes `version`; a lease is not a part of it. Each index names the functions whose queries use it. `step_carrier`,
    `may_give_way` and `erasable_since` store the properties of `Delivery`, so that the sweep and the purge read neither
    attempts nor orders.

    No index contains `lease_until`, because a claim writes the leases of thousands of rows. PostgreSQL leaves all
    indexes alone if an update changes no column of an index and the new version of the row fits into the same page (a
    HOT update). The migration keeps room for it in each page.
    """

    __tablename__ = "delivery"
    __table_args__ = (
        # due_work.claim_deliveries, due_work.unknown_steps, due_work.oldest_steps, deliveries.status_counts,
        # accounts.resume, shops.save_shops, callback_health.tracked_at
        Index(
            "delivery_due",
            "step",
            "step_carrier",
            "next_run_at",
            **_where("next_run_at IS NOT NULL"),
        ),
        # due_work.overdue
        Index(
            "delivery_overdue",
            "next_run_at",
            postgresql_where=text("may_give_way AND next_run_at IS NOT NULL"),
            sqlite_where=text("may_give_way = 1 AND next_run_at IS NOT NULL"),
        ),
        # due_work.claim, deliveries.update_alarmed
        Index(
            "delivery_alarm",
            "alarm_at",
            **_where("alarm_at IS NOT NULL"),
        ),
        # deliveries.find, inbox.unknown_orders, search.event_keys
        Index("delivery_order", "order_id"),
        # search.search, search.find_by_phone, measurements.overview, retention.delete_deliveries, archive.oldest,
        # diagnostics.purged_at
        Index("delivery_created", "created_at"),
        # search.search by a store
        Index("delivery_store", "store_id", "created_at"),
        # retention.erasable
        Index(
            "delivery_erasable",
            "erasable_since",
            **_where("erasable_since IS NOT NULL"),
        ),
        # deliveries.attention_counts, diagnostics.asking, search.search
        Index(
            "delivery_asking",
            "attention_reasons",
            **_where("attention_reasons IS NOT NULL"),
        ),
    )

    id: str = Field(primary_key=True, max_length=36)
    source: str
    order_id: str
    store_id: str
    status: str
    created_at: datetime = _time(nullable=False)
    sequence: int
    carrier: str | None = None
    step: str | None = None
    step_carrier: str | None = None
    may_give_way: bool = False
    next_run_at: datetime | None = _time()
    lease_until: datetime | None = _time()
    retry_at: datetime | None = _time()
    alarm_at: datetime | None = _time()
    gate: str | None = None
    attention_reasons: str | None = None
    reason: str | None = None
    erasable_since: datetime | None = _time()
    version: int = Field(sa_type=BigInteger)
    document: str = _text()


class OrderRow(SQLModel, table=True):
    """The order of a delivery, and the store for which its carriers were chosen.

    Both are large and seldom change. They have their own table, so that an update of a delivery does not write them.
    """

    __tablename__ = "placed_order"

    delivery_id: str = Field(primary_key=True, max_length=36)
    order: str = _text()
    store: str | None = _text(nullable=True)
    fingerprint: str


class AttemptRow(SQLModel, table=True):
    """An attempt. Its row is committed before the first byte of its create is sent.

    `document` contains the fields that have no column.
    """

    __tablename__ = "attempt"
    __table_args__ = (
        Index("attempt_delivery", "delivery_id"),
        Index(
            "attempt_ref",
            "carrier",
            "ref",
            **_where("ref IS NOT NULL"),
        ),
        # This index allows at most one active attempt of a delivery, over all carriers (I1). `measurements.measure`
        # reads it too, because it contains every live attempt.
        Index(
            "attempt_live",
            "delivery_id",
            unique=True,
            **_where("ended_at IS NULL AND NOT surplus AND state <> 'queued'"),
        ),
        # Two live attempts never have the same carrier's order, even if the carrier returns its id twice (C-21).
        Index(
            "attempt_live_ref",
            "carrier",
            "ref",
            unique=True,
            **_where("ended_at IS NULL AND ref IS NOT NULL"),
        ),
        # diagnostics.reported_statuses, accounts.unmapped_statuses, accounts.put_mapping
        Index(
            "attempt_anomalous",
            "carrier",
            **_where("reported_anomalies IS NOT NULL"),
        ),
    )

    id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    delivery_id: str = Field(foreign_key="delivery.id", max_length=36)
    number: int
    carrier: str
    state: str
    token: str = Field(unique=True)
    ref: str | None = None
    surplus: bool = False
    ended_at: datetime | None = _time()
    reported_anomalies: str | None = None
    journal_file: str | None = None
    document: str = _text()


class EventRow(SQLModel, table=True):
    """An event of the outbox; `position` is the order of the events. A row never changes."""

    __tablename__ = "event"
    __table_args__ = (UniqueConstraint("key", "sequence"),)

    position: int | None = Field(default=None, sa_column=Column(BigId, primary_key=True, autoincrement=True))
    key: str = Field(max_length=36)
    sequence: int
    subject: str
    body: str = _text()
    created_at: datetime = _time(nullable=False)


class PublicationRow(SQLModel, table=True):
    """The place of an event on the bus. The table is narrow, because each row is written twice.

    `stream_id` is the id of the event's entry on the bus; NULL while the event is unpublished. If the bus loses its
    newest entries, the events of the lost entries are published again: those with a later stream id than the newest
    surviving entry.
    """

    __tablename__ = "publication"
    __table_args__ = (
        Index(
            "publication_stream_id",
            "stream_id",
            **_where("stream_id IS NOT NULL"),
        ),
        Index(
            "publication_waiting",
            "position",
            **_where("stream_id IS NULL"),
        ),
    )

    position: int = Field(sa_column=Column(BigId, primary_key=True, autoincrement=False))
    stream_id: str | None = None


class MessageRow(SQLModel, table=True):
    """A message that was read. If its order must be fetched, `fetch_at` is the time of the next try."""

    __tablename__ = "message"
    __table_args__ = (
        Index(
            "message_fetch",
            "fetch_at",
            **_where("fetch_at IS NOT NULL"),
        ),
        Index("message_received", "received_at"),  # retention.delete_messages
        Index("message_order", "order_id"),  # inbox.messages_about
    )

    source: str = Field(primary_key=True)
    message_id: str = Field(primary_key=True)
    received_at: datetime = _time(nullable=False)
    order_id: str | None = None
    fetch_at: datetime | None = _time()
    failures: int = 0
    traceparent: str | None = None
    tracestate: str | None = None


class EarlyCancellationRow(SQLModel, table=True):
    """The first cancellation of a delivery, which may have come before the order."""

    __tablename__ = "early_cancellation"
    __table_args__ = (Index("early_cancellation_received", "received_at"),)  # retention.delete_cancellations

    delivery_id: str = Field(primary_key=True, max_length=36)
    body: str = _text()
    received_at: datetime = _time(nullable=False)


class DeadLetterRow(SQLModel, table=True):
    """An unreadable message in its original form, with the reason."""

    __tablename__ = "dead_letter"
    __table_args__ = (
        # inbox.dead_letters, diagnostics.dead_letters, measurements.measure
        Index(
            "dead_letter_waiting",
            "received_at",
            **_where("settled_at IS NULL"),
        ),
        # retention.delete_dead_letters
        Index(
            "dead_letter_settled",
            "settled_at",
            **_where("settled_at IS NOT NULL"),
        ),
    )

    id: str = Field(primary_key=True, max_length=36)
    raw: bytes = Field(sa_type=LargeBinary)
    has_fields: bool
    reason: str = _text()
    received_at: datetime = _time(nullable=False)
    settled_at: datetime | None = _time()


class CallbackRow(SQLModel, table=True):
    """A carrier's callback in its original form. While `result` is NULL, `try_at` is the time of the next try.

    `position` is the order of arrival. `attempt_id` is NULL while the attempt of the callback is unknown. `decision` is
    the document of a `CallbackDecision`.
    """

    __tablename__ = "callback"
    __table_args__ = (
        UniqueConstraint("carrier", "digest"),
        # callback_health.entities_since, measurements.measure: without it, an account without callbacks reads all
        Index("callback_newest", "carrier", "position"),
        Index(
            "callback_waiting",
            "try_at",
            **_where("result IS NULL"),
        ),
        Index(
            "callback_of_attempt",
            "attempt_id",
            **_where("attempt_id IS NOT NULL"),
        ),
        Index(
            "callback_of_nobody",
            "carrier",
            "ref",
            **_where("result IS NULL AND attempt_id IS NULL"),
        ),
    )

    position: int | None = Field(default=None, sa_column=Column(BigId, primary_key=True, autoincrement=True))
    id: str = Field(unique=True, max_length=36)
    carrier: str
    digest: str
    method: str
    headers: dict[str, Any] | None = _json()
    query: str = _text()
    token: str | None = None
    attempt_id: int | None = Field(default=None, sa_type=BigInteger, nullable=True)
    ref: str | None = None
    entity: str | None = None
    reported_at: datetime | None = _time()
    body: bytes = Field(sa_type=LargeBinary)
    received_at: datetime = _time(nullable=False)
    try_at: datetime = _time(nullable=False)
    result: str | None = None
    decision: str | None = _text(nullable=True)


class ShopRow(SQLModel, table=True):
    """A store of the store directory. It takes precedence over the same store in the directory's file."""

    __tablename__ = "shop"

    store_id: str = Field(primary_key=True)
    body: str = _text()
    updated_at: datetime = _time(nullable=False)


class AccountRow(SQLModel, table=True):
    """A carrier account: the metadata that its log-in returned, and its pause."""

    __tablename__ = "account"

    name: str = Field(primary_key=True)
    account_metadata: dict[str, Any] | None = _json()
    paused_at: datetime | None = _time()
    paused_by: str | None = None
    paused_because: str | None = None


class StatusMappingRow(SQLModel, table=True):
    """An operator's mapping of a carrier status (entity and code) to one of our statuses."""

    __tablename__ = "status_mapping"

    account: str = Field(primary_key=True)
    carrier_status: str = Field(primary_key=True)
    status: str
    mapped_at: datetime = _time(nullable=False)


class OperatorActionRow(SQLModel, table=True):
    """What an operator did, and why. A row never changes."""

    __tablename__ = "operator_action"
    __table_args__ = (
        # operator_actions.of_delivery
        Index(
            "operator_action_delivery",
            "delivery_id",
            **_where("delivery_id IS NOT NULL"),
        ),
    )

    position: int | None = Field(default=None, sa_column=Column(BigId, primary_key=True, autoincrement=True))
    at: datetime = _time(nullable=False)
    operator: str
    action: str
    reason: str = _text()
    delivery_id: str | None = Field(default=None, max_length=36)
    subject: str | None = _text(nullable=True)


class NoticeRow(SQLModel, table=True):
    """A trouble, as one notification channel knows it."""

    __tablename__ = "notice"

    channel: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    title: str = _text()
    since: datetime = _time(nullable=False)
    notified: bool = False
    gone_since: datetime | None = _time()


class CarrierCallRow(SQLModel, table=True):
    """A call that was sent to a carrier for an attempt. A row never changes, and is deleted when it is old.

    `position` is the order in which the rows were added. It is nearly the order in which the calls were sent.
    """

    __tablename__ = "carrier_call"
    __table_args__ = (
        # This index begins with the attempt, so that it serves carrier_calls.of_attempts, too.
        UniqueConstraint("attempt_id", "sent_at", "operation"),
        {"sqlite_autoincrement": True},  # a position is never used again, although rows are deleted
    )

    position: int | None = Field(default=None, sa_column=Column(BigId, primary_key=True, autoincrement=True))
    attempt_id: int = Field(sa_type=BigInteger)
    sent_at: datetime = _time(nullable=False)
    operation: str
    delivery_id: str = Field(max_length=36)
    account: str
    milliseconds: int
    status: int | None = None
    verdict: str
    reason: str | None = _text(nullable=True)
    request: str = _text()
    reply: str | None = _text(nullable=True)
    trace_id: str | None = None


class WriteBackRow(SQLModel, table=True):
    """When a delivery is next compared with the platform, and the last known state of its order on the platform."""

    __tablename__ = "write_back"
    __table_args__ = (
        Index(
            "write_back_due_at",
            "due_at",
            **_where("due_at IS NOT NULL"),
        ),
        Index(
            "write_back_lease_until",
            "lease_until",
            **_where("lease_until IS NOT NULL"),
        ),
    )

    delivery_id: str = Field(primary_key=True, max_length=36)
    due_at: datetime | None = _time()
    lease_until: datetime | None = _time()
    status: int | None = None
    replaced: int | None = None
    written: bool = False
    reported: bool = False
    seen: int | None = None
    failures: int = 0


class SubscriberRow(SQLModel, table=True):
    """A subscriber that gets events over HTTP, and its cursor (`worker.domain.subscriber.Subscriber`)."""

    __tablename__ = "subscriber"

    id: str = Field(primary_key=True)
    url: str = _text()
    types: list[str] | None = _json()
    secrets: list[str] | None = _json()
    position: int = Field(sa_type=BigInteger)
    created_at: datetime = _time(nullable=False)
    accepted: int = Field(default=0, sa_type=BigInteger)
    failed: int = Field(default=0, sa_type=BigInteger)
    accepted_at: datetime | None = _time()
    failures: int = 0
    failing_since: datetime | None = _time()
    try_at: datetime | None = _time()
    last_error: str | None = _text(nullable=True)
    disabled_at: datetime | None = _time()
    disabled_because: str | None = _text(nullable=True)


class BlockedKeyRow(SQLModel, table=True):
    """A key whose events a subscriber has not accepted from a position on (`worker.domain.subscriber.BlockedKey`)."""

    __tablename__ = "blocked_key"

    subscriber_id: str = Field(primary_key=True)
    key: str = Field(primary_key=True, max_length=36)
    position: int = Field(sa_type=BigInteger)
    since: datetime = _time(nullable=False)
    try_at: datetime = _time(nullable=False)
    error: str | None = _text(nullable=True)


class ArchiveFileRow(SQLModel, table=True):
    """A file of the archive that this database writes, and its length in bytes after the last commit."""

    __tablename__ = "archive_file"

    name: str = Field(primary_key=True)
    size: int = Field(sa_type=BigInteger)


class ArchivedRow(SQLModel, table=True):
    """A delivery that was moved to the archive: its file, and where the part with it begins there.

    The row is kept for ever, so that a message about the order never brings a second courier.
    """

    __tablename__ = "archived"

    delivery_id: str = Field(primary_key=True, max_length=36)
    file: str
    place: int = Field(sa_type=BigInteger)


class IdentityRow(SQLModel, table=True):
    """What this database is: a few values by name.

    `database` is its id. It is part of the Redis keys of this database, so an older database has other keys.
    `events_deleted` is the highest position of an event that retention has deleted. `generation` changes when the
    database has lost commits, whose positions other events then get.
    """

    __tablename__ = "identity"

    name: str = Field(primary_key=True)
    value: str


class ClockRow(SQLModel, table=True):
    """The correction of the database's clock (`worker.clock.Correction`). The table has only one row."""

    __tablename__ = "clock"

    id: int = Field(primary_key=True)
    ahead: float
    since: datetime | None = _time()
    used: datetime | None = _time()


class LeaseRow(SQLModel, table=True):
    """A lease: the process that may do one kind of work, and until when."""

    __tablename__ = "lease"

    name: str = Field(primary_key=True)
    holder: str
    until: datetime = _time(nullable=False)


DELIVERY = SQLModel.metadata.tables["delivery"]
ORDER = SQLModel.metadata.tables["placed_order"]
ATTEMPT = SQLModel.metadata.tables["attempt"]
EVENT = SQLModel.metadata.tables["event"]
PUBLICATION = SQLModel.metadata.tables["publication"]
MESSAGE = SQLModel.metadata.tables["message"]
EARLY_CANCELLATION = SQLModel.metadata.tables["early_cancellation"]
DEAD_LETTER = SQLModel.metadata.tables["dead_letter"]
CALLBACK = SQLModel.metadata.tables["callback"]
SHOP = SQLModel.metadata.tables["shop"]
ACCOUNT = SQLModel.metadata.tables["account"]
STATUS_MAPPING = SQLModel.metadata.tables["status_mapping"]
CARRIER_CALL = SQLModel.metadata.tables["carrier_call"]
OPERATOR_ACTION = SQLModel.metadata.tables["operator_action"]
WRITE_BACK = SQLModel.metadata.tables["write_back"]
SUBSCRIBER = SQLModel.metadata.tables["subscriber"]
BLOCKED_KEY = SQLModel.metadata.tables["blocked_key"]
ARCHIVE_FILE = SQLModel.metadata.tables["archive_file"]
ARCHIVED = SQLModel.metadata.tables["archived"]
NOTICE = SQLModel.metadata.tables["notice"]
LEASE = SQLModel.metadata.tables["lease"]
CLOCK = SQLModel.metadata.tables["clock"]
IDENTITY = SQLModel.metadata.tables["identity"]
