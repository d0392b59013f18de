"""The events out: CloudEvents 1.0 in one format for every carrier.

An event never contains the customer's name, phone number or address, nor a credential. It does contain the courier's
name and phone number, because the shop must be able to call them.
"""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Literal
from uuid import UUID, uuid5

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, field_serializer

from schemas.money import written
from schemas.status import CancelledBy, Cause, DeliveryStatus, Evidence, Reason

EVENT_SCHEMA = "urn:order-sync:delivery-event:1"
ORDER_EVENT_SCHEMA = "urn:order-sync:order-event:1"
CARRIER_EVENT_SCHEMA = "urn:order-sync:carrier-event:1"
EVENT_SOURCE = "/order-sync"
NAMESPACE = UUID("8f0f6a52-58e4-5b1c-9f0e-3f6f0b7c2a11")
"""The namespace of the ids that are derived from other data, such as a delivery's id and an event's id."""


class EventType(StrEnum):
    """The type of an event."""

    STATUS_CHANGED = "delivery.status_changed"
    UPDATED = "delivery.updated"
    ATTEMPT_ENDED = "delivery.attempt_ended"
    DISPATCH_FAILED = "delivery.dispatch_failed"
    REOPENED = "delivery.reopened"
    CONFLICT = "delivery.conflict"
    STATUS_UNRECOGNIZED = "delivery.status_unrecognized"
    REGRESSION_SEEN = "delivery.regression_seen"
    STALLED = "delivery.stalled"
    TRACKING_LOST = "delivery.tracking_lost"
    CANCEL_REFUSED = "delivery.cancel_refused"
    CANCEL_UNCONFIRMED = "delivery.cancel_unconfirmed"
    ATTENTION_REQUIRED = "delivery.attention_required"
    """An operator is needed; `reason_text` holds the `schemas.status.AttentionReason`."""
    SKIPPED = "order.skipped"
    QUARANTINED = "order.quarantined"
    CARRIER_PAUSED = "carrier.paused"
    CARRIER_RESUMED = "carrier.resumed"


def rfc3339(moment: datetime) -> str:
    """Return an aware UTC time as RFC 3339 text that ends in Z."""
    return moment.isoformat().replace("+00:00", "Z")


Timestamp = Annotated[datetime, PlainSerializer(rfc3339, return_type=str)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RawWord(_Model):
    """The carrier's own status, unchanged."""

    entity: str
    code: str
    text: str | None = None


class CourierInfo(_Model):
    """The courier of the order."""

    name: str | None = None
    phone: str | None = None
    phone_guessed: bool = False
    latitude: float | None = None
    longitude: float | None = None


class PriceInfo(_Model):
    """The price of the delivery."""

    amount: Decimal
    currency: str
    vat: Literal["included", "excluded", "unknown"] = "unknown"

    @field_serializer("amount")
    def _write(self, amount: Decimal) -> str:
        return written(amount, self.currency)


class ProofInfo(_Model):
    """Proof of delivery. The recipient's name is left out, because the recipient may be the customer."""

    recipient_position: str | None = None
    place_photo_url: str | None = None
    sign_photo_url: str | None = None


class DeliveryEvent(_Model):
    """The data of every `delivery.*` event (`urn:order-sync:delivery-event:1`)."""

    delivery_id: str
    order_id: str
    order_source: str
    store_id: str
    sequence: int
    """The number of this event among the events of its delivery: 1, 2, 3, without a gap."""
    status: DeliveryStatus
    previous_status: DeliveryStatus | None = None
    detail: str | None = None
    """A `schemas.status.Detail`, or another detail from a codec."""
    final: bool = False
    reason: Reason | None = None
    reason_text: str | None = None
    """The carrier's own text or a short text of ours, such as an `AttentionReason` or the kind of a conflict."""
    cancelled_by: CancelledBy | None = None
    carrier: str | None = None
    carrier_ref: str | None = None
    attempt: int = 0
    evidence: Evidence = Evidence.OBSERVED
    cause: Cause
    raw: RawWord | None = None
    occurred_at: Timestamp | None = None
    occurred_at_assumed_zone: str | None = None
    observed_at: Timestamp
    platform_status: int | None = None
    tracking_url: str | None = None
    courier: CourierInfo | None = None
    pickup_eta: Timestamp | None = None
    dropoff_eta: Timestamp | None = None
    price: PriceInfo | None = None
    proof: ProofInfo | None = None


class OrderEvent(_Model):
    """The data of `order.skipped` and `order.quarantined`. These events are about an order that has no delivery."""

    order_id: str | None = None
    order_source: str | None = None
    message_id: str | None = None
    dead_letter_id: str | None = None
    reason: str


class CarrierEvent(_Model):
    """The data of `carrier.paused` and `carrier.resumed`: the account, the reason and the time.

    `by` is the cause: `carrier` (the carrier rejected our credentials), `probe` (the carrier accepts our credentials
    again), `operator`, or `database` (the database lost commits). The account `*` means the creates of every account.
    """

    carrier: str
    by: Literal["carrier", "probe", "operator", "database"]
    because: str
    since: Timestamp


class CloudEvent(_Model):
    """The envelope: CloudEvents 1.0, structured mode, with the partitioning, sequence and tracing extensions."""

    specversion: Literal["1.0"] = "1.0"
    id: str
    source: str = EVENT_SOURCE
    type: EventType
    subject: str
    time: Timestamp
    datacontenttype: Literal["application/json"] = "application/json"
    dataschema: str = EVENT_SCHEMA
    partitionkey: str
    sequence: Annotated[str, Field(pattern=r"^\d{10}$")]
    """The number of this event among the events of its `partitionkey`, in ten digits, so that it sorts as text."""
    traceparent: str | None = None
    """The trace of the message that placed the order, in the form of W3C Trace Context; the same on all its events."""
    tracestate: str | None = None
    data: DeliveryEvent | OrderEvent | CarrierEvent


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
