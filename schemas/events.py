"""The events out: CloudEvents 1.0 in one format for every carrier.

An event never contains the customer's name, phone number or address, nor a credential. It does contain the courier's
name and phone number, because the shop must be able to call them.
"""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any, Literal
from uuid import UUID, uuid5

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema, field_serializer

from schemas.money import written
from schemas.status import AttentionReason, CancelledBy, Cause, Conflict, DeliveryStatus, Detail, Evidence, Reason
from schemas.vocabulary import Vocabulary

EVENT_SCHEMA = "urn:order-sync:delivery-event:1"
ORDER_EVENT_SCHEMA = "urn:order-sync:order-event:1"
CARRIER_EVENT_SCHEMA = "urn:order-sync:carrier-event:1"
EVENT_SOURCE = "/order-sync"
TEST_SOURCE = f"{EVENT_SOURCE}/test"
"""The source of test events, by which a subscriber recognises them."""
TEST_SUBJECT = "test"
"""The subject of test events, and the name of their order, store and account."""
NAMESPACE = UUID("8f0f6a52-58e4-5b1c-9f0e-3f6f0b7c2a11")
"""The namespace of the ids that are derived from other data, such as a delivery's id and an event's id."""


class EventType(Vocabulary):
    """The type of an event."""

    STATUS_CHANGED = "delivery.status_changed"
    """The status of the delivery changed. The only type that reports a new status."""
    UPDATED = "delivery.updated"
    """Other data of the delivery changed, such as the courier, a time, the tracking link, the price or the detail."""
    ATTEMPT_ENDED = "delivery.attempt_ended"
    """The attempt at one carrier ended without success. The delivery may go on with another carrier."""
    DISPATCH_FAILED = "delivery.dispatch_failed"
    """No carrier is left: the delivery ended, and nobody brings the order."""
    REOPENED = "delivery.reopened"
    """The delivery had ended and goes on, because its carrier revived the order or an operator retried it."""
    CONFLICT = "delivery.conflict"
    """Two sources disagree, such as a second live courier; `reason_text` holds the `Conflict`."""
    STATUS_UNRECOGNIZED = "delivery.status_unrecognized"
    """The carrier reported a status that we do not know, in `raw`. The delivery keeps its status."""
    REGRESSION_SEEN = "delivery.regression_seen"
    """The carrier reported a status that the delivery has passed already, in `raw`. The delivery keeps its status."""
    STALLED = "delivery.stalled"
    """The courier has had the goods for three hours without a new status."""
    TRACKING_LOST = "delivery.tracking_lost"
    """The carrier's status could not be read for a while; the reads go on."""
    CANCEL_REFUSED = "delivery.cancel_refused"
    """The carrier refused to cancel its order; `reason` and `reason_text` say why."""
    CANCEL_UNCONFIRMED = "delivery.cancel_unconfirmed"
    """A cancel was sent to the carrier, and its order does not show it after several reads."""
    ATTENTION_REQUIRED = "delivery.attention_required"
    """An operator is needed; `reason_text` holds the `AttentionReason`."""
    SKIPPED = "order.skipped"
    """The order needs no courier from us, so it has no delivery."""
    QUARANTINED = "order.quarantined"
    """A message could not be read. It is kept as a dead letter until an operator corrects or discards it."""
    CARRIER_PAUSED = "carrier.paused"
    """An account of a carrier is no longer called."""
    CARRIER_RESUMED = "carrier.resumed"
    """An account of a carrier is called again."""


class Vat(Vocabulary):
    """Whether a price contains the value-added tax."""

    INCLUDED = "included"
    """The price contains the tax."""
    EXCLUDED = "excluded"
    """The tax is added to the price."""
    UNKNOWN = "unknown"
    """The carrier does not say."""


class PausedBy(Vocabulary):
    """Who paused or resumed an account."""

    CARRIER = "carrier"
    """The carrier rejected our credentials."""
    PROBE = "probe"
    """A trial call showed that the carrier accepts our credentials again."""
    OPERATOR = "operator"
    """An operator."""
    DATABASE = "database"
    """The database lost commits, so no create is sent to any account."""


def rfc3339(moment: datetime) -> str:
    """Return an aware UTC time as RFC 3339 text that ends in Z."""
    return moment.isoformat().replace("+00:00", "Z")


Timestamp = Annotated[
    datetime,
    PlainSerializer(rfc3339, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]


class _Model(BaseModel):
    """Base of what is published. It is open: a later version may add fields, which a subscriber ignores."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        use_attribute_docstrings=True,
        json_schema_serialization_defaults_required=True,  # every event has every field, and null where it is unknown
    )


class RawWord(_Model):
    """The carrier's own status, unchanged."""

    entity: str
    """What the status belongs to at the carrier, such as `order`, `delivery` or `row`."""
    code: str
    """The carrier's name or number of the status."""
    text: str | None = None
    """The carrier's own text beside the status."""


class CourierInfo(_Model):
    """The courier of the order."""

    name: str | None = None
    """The courier's name."""
    phone: str | None = None
    """The courier's phone number, in E.164 if it could be read."""
    phone_guessed: bool = False
    """Whether the country of the phone number was not given, so that the store's country was assumed."""
    latitude: float | None = None
    """The courier's last known latitude, in degrees."""
    longitude: float | None = None
    """The courier's last known longitude, in degrees."""


class PriceInfo(_Model):
    """The price of the delivery."""

    amount: Decimal
    """The amount as a decimal text, with the decimals of its currency."""
    currency: str
    """The currency (ISO 4217)."""
    vat: Vat = Vat.UNKNOWN
    """Whether the amount contains the value-added tax."""

    @field_serializer("amount")
    def _write(self, amount: Decimal) -> str:
        return written(amount, self.currency)


class ProofInfo(_Model):
    """Proof of delivery. The recipient's name is left out, because the recipient may be the customer."""

    recipient_position: str | None = Field(default=None, examples=["reception"])
    """Who took the goods, as the carrier describes the person."""
    place_photo_url: str | None = None
    """The address of a photo of the place where the goods were left."""
    sign_photo_url: str | None = None
    """The address of a photo of the signature."""


class DeliveryEvent(_Model):
    """The data of every `delivery.*` event: the state of the delivery after the event."""

    delivery_id: str
    """The id of the delivery. The same source and order id always have the same delivery id."""
    order_id: str
    """The platform's id of the order."""
    order_source: str
    """The `source` of the platform's messages about the order."""
    store_id: str
    """The platform's id of the store."""
    sequence: int
    """The number of this event among the events of its delivery: 1, 2, 3, without a gap."""
    status: DeliveryStatus
    """The status of the delivery after this event."""
    previous_status: DeliveryStatus | None = None
    """The status before the present one; null for a new delivery."""
    detail: Detail | str | None = None
    """What refines the status."""
    final: bool = False
    """Whether the delivery has ended. It goes on only after a `delivery.reopened`."""
    reason: Reason | str | None = None
    """Why the attempt or the delivery ended, or why something was refused."""
    reason_text: AttentionReason | Conflict | str | None = None
    """The attention reason of `delivery.attention_required`, and the kind of a `delivery.conflict`.

    In any other event it is for people: the carrier's own text, or a short text of ours.
    """
    cancelled_by: CancelledBy | None = None
    """Who cancelled; null if nobody did."""
    carrier: str | None = None
    """The name of the account at the carrier; null while no carrier is chosen."""
    carrier_ref: str | None = None
    """The carrier's id of its order."""
    attempt: int = 0
    """The number of the attempt that the event is about: 1 for the first carrier that is asked, 0 before that."""
    evidence: Evidence = Evidence.OBSERVED
    """How well the status is proven."""
    cause: Cause | str
    """The input that caused the event."""
    raw: RawWord | None = None
    """The carrier's own status; null if no report of the carrier caused the status."""
    occurred_at: Timestamp | None = None
    """When it happened, by the carrier's clock; null if the carrier does not say."""
    occurred_at_assumed_zone: str | None = None
    """The time zone (IANA) that was assumed for `occurred_at`; null if the carrier named the offset."""
    observed_at: Timestamp
    """When we learnt it, by our clock. It never runs backwards within a delivery."""
    platform_status: int | None = None
    """The status of the Ordering platform, 0 to 25, that `status` corresponds to; null if none does."""
    tracking_url: str | None = None
    """The address of the carrier's page on which the customer can follow the courier."""
    courier: CourierInfo | None = None
    """The courier; null while none is known."""
    pickup_eta: Timestamp | None = None
    """When the courier is expected at the store."""
    dropoff_eta: Timestamp | None = None
    """When the courier is expected at the customer."""
    price: PriceInfo | None = None
    """What the carrier charges for the delivery."""
    proof: ProofInfo | None = None
    """The proof of delivery that the carrier offers."""


class OrderEvent(_Model):
    """The data of `order.skipped` and `order.quarantined`. These events are about an order that has no delivery."""

    order_id: str | None = None
    """The platform's id of the order; null if it could not be read from the message."""
    order_source: str | None = None
    """The `source` of the platform's message; null if it could not be read from the message."""
    message_id: str | None = None
    """The `id` of the platform's message; null if it could not be read from the message."""
    dead_letter_id: str | None = None
    """The id of the dead letter, for `order-sync dead-letters show`; null for a skipped order."""
    reason: str
    """Why: for a skipped order its `delivery_type`, `own_driver`, `closed` or `cancelled`; else the fault."""


class CarrierEvent(_Model):
    """The data of `carrier.paused` and `carrier.resumed`."""

    carrier: str
    """The name of the account; `*` means the creates of every account."""
    by: PausedBy | str
    """Who paused or resumed the account."""
    because: str
    """Why the account was paused, in words."""
    since: Timestamp
    """When the account was paused."""


EventData = DeliveryEvent | OrderEvent | CarrierEvent
DATA_SCHEMAS: dict[type[EventData], str] = {
    DeliveryEvent: EVENT_SCHEMA,
    OrderEvent: ORDER_EVENT_SCHEMA,
    CarrierEvent: CARRIER_EVENT_SCHEMA,
}
"""The `dataschema` of each kind of data."""


def _tie_data(schema: dict[str, Any]) -> None:
    """Let the schema of an event require the `dataschema` of its type, and the data of its `dataschema`."""
    shapes = zip(DATA_SCHEMAS.values(), schema["properties"]["data"]["anyOf"], strict=True)
    schema["allOf"] = [rule for name, shape in shapes for rule in _rules(name, shape)]


def _rules(name: str, shape: dict[str, Any]) -> Iterator[dict[str, Any]]:
    kind, this = name.rpartition(":")[0].rpartition(":")[2].removesuffix("-event"), {"dataschema": {"const": name}}
    types = {"type": {"type": "string", "pattern": rf"^{kind}\."}}
    yield {"if": {"required": ["type"], "properties": types}, "then": {"properties": this}}
    yield {"if": {"required": ["dataschema"], "properties": this}, "then": {"properties": {"data": dict(shape)}}}


class CloudEvent(_Model):
    """The envelope: CloudEvents 1.0, structured mode, with the partitioning, sequence and tracing extensions."""

    model_config = ConfigDict(json_schema_extra=_tie_data)

    specversion: Literal["1.0"] = "1.0"
    """The version of CloudEvents."""
    id: str
    """The id of the event. An event that arrives twice has the same id."""
    source: str = EVENT_SOURCE
    """Where the event comes from: `/order-sync`, or `/order-sync/test` for a test event."""
    type: EventType | str
    """What happened."""
    subject: str
    """What the event is about: the order's id, the id of a dead letter, or the name of an account."""
    time: Timestamp
    """When the event was recorded, by our clock."""
    datacontenttype: Literal["application/json"] = "application/json"
    """The media type of `data`."""
    dataschema: str = EVENT_SCHEMA
    """The schema of `data`, with its version as the last part."""
    partitionkey: str
    """The key within which events are ordered. For a `delivery.*` event it is the delivery's id."""
    sequence: Annotated[str, Field(pattern=r"^\d{10}$")]
    """The number of this event among the events of its `partitionkey`, in ten digits, so that it sorts as text."""
    traceparent: str | None = None
    """The trace of the message that placed the order, in the form of W3C Trace Context; the same on all its events."""
    tracestate: str | None = None
    """The vendor's part of the trace."""
    data: EventData
    """What happened in detail, in the shape that `dataschema` names."""


def written_sequence(sequence: int) -> str:
    """Return the number of an event as the envelope has it. The sequence extension of CloudEvents compares texts."""
    return f"{sequence:010}"


def event_id(key: str, sequence: int) -> str:
    """Return the id of the event with this partition key and sequence. A repeated event has the same id."""
    return str(uuid5(NAMESPACE, f"{key}/{sequence}"))


def skipped_key(delivery: str) -> str:
    """Return the partition key of a skipped order's event. `delivery` is the result of `delivery_id` for this order."""
    return str(uuid5(UUID(delivery), "skipped"))


def carrier_key(account: str) -> str:
    """Return the partition key of a carrier account's events."""
    return str(uuid5(NAMESPACE, f"carrier:{account}"))


@lru_cache(maxsize=1000)
def delivery_id(source: str, order_id: str) -> str:
    """Return the id of an order's delivery. The same order always has the same delivery."""
    return str(uuid5(NAMESPACE, f"{source}\n{order_id}"))
