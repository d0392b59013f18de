"""Sample data: a shop, its orders, messages about them, the terms of two carriers, and rows of the database."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from celery import Celery
from sqlalchemy import Table, insert, select
from sqlmodel import SQLModel

from schemas.events import CourierInfo, PriceInfo, ProofInfo, RawWord, delivery_id
from schemas.messages import Cancellation, Message, OrderRef
from schemas.order import Customer, DeliveryType, Dropoff, Item, Order, Payment
from schemas.ordering import NO_DEFAULTS
from schemas.status import AttemptState, AttentionReason, CancelledBy, DeliveryStatus, Evidence, Reason
from schemas.stores import Store
from schemas.trace import Trace
from tests.domain.scenario import a_store
from worker.carriers.port import Cadence, Capabilities
from worker.database import deliveries
from worker.database.database import Database
from worker.database.deliveries import Decision
from worker.domain.carrier_terms import CarrierTerms
from worker.domain.delivery import Attempt, Change, Delivery, Gate, OfferDecision, Step, UnmappedStatus
from worker.enqueue import NO_ORDER_IDS, OrderIds, TaskQueue, WakeUp
from worker.services.ingest import Ingest
from worker.services.updates import Updates

NOW = datetime(2026, 11, 21, 17, 40, 0, 123456, UTC)
LATER = NOW + timedelta(hours=1)
SHOP = a_store("deliverit", "borzo")
SHOPS = {"17": SHOP}
TERMS = CarrierTerms(Capabilities(True, Cadence(30, 30, 300, 300), track_batch=50))
RULES = {"deliverit": TERMS, "borzo": TERMS}
ORDER = Order(
    order_id="2011",
    order_number="A-11",
    store_id="17",
    ready_at=NOW + timedelta(minutes=20),
    customer=Customer(name="Freja Høst", phone="+4520304050"),
    dropoff=Dropoff(street="Nørregade 7", unit="3. tv", city="Odense C", latitude=55.39, longitude=10.38),
    payment=Payment(prepaid=False, amount=Decimal("125.00"), currency="DKK", change_for=Decimal("200.00")),
    items=(Item(name="Pizza 🍕", quantity=2, unit_price=Decimal("62.50")),),
    notes="No onion",
    carriers=("deliverit", "borzo"),
)
ID = delivery_id("platform", "2011")


def order(order_id: str = "2011", **changes: Any) -> Order:
    """Return the sample order with some fields changed."""
    return ORDER.model_copy(update={"order_id": order_id, **changes})


def message(data: Order | OrderRef | Cancellation, identity: str | None = None) -> Message:
    """Return a message about an order, or with a cancel request."""
    kind = "order.cancelled" if isinstance(data, Cancellation) else "order.placed"
    return Message(source="platform", id=identity or f"message {data.order_id}", type=kind, data=data)


@dataclass(frozen=True)
class SentTasks(TaskQueue):
    """A task queue that only collects the tasks."""

    sent: list[WakeUp] = field(default_factory=list)

    def send(self, tasks: Iterable[WakeUp], _orders: OrderIds = NO_ORDER_IDS) -> bool:
        self.sent.extend(tasks)
        return True


def updates(database: Database) -> Updates:
    """Return the service that changes deliveries, on a queue without a broker."""
    return Updates(database, SentTasks(Celery(set_as_current=False)))


def ingest(
    database: Database, *, now: datetime = NOW, shops: Mapping[str, Store] = SHOPS, gate: Gate = Gate.PLACED
) -> Ingest:
    """Return the service that stores messages."""
    return Ingest(database, updates(database), RULES, shops, NO_DEFAULTS, gate, timedelta(hours=12), lambda: now)


def store_messages(
    database: Database,
    *messages: Message,
    now: datetime = NOW,
    shops: Mapping[str, Store] = SHOPS,
    gate: Gate = Gate.PLACED,
) -> list[Delivery]:
    """Store messages as the reader does; return the deliveries that changed."""
    return [change.delivery for change in ingest(database, now=now, shops=shops, gate=gate).store(messages)]


def fetched(database: Database, named: Message, now: datetime = NOW) -> list[Delivery]:
    """Store an order that was fetched for a message; return the deliveries that changed."""
    return [change.delivery for change in ingest(database, now=now).store_fetched(named.source, named.id, named)]


def changed(database: Database, ids: Iterable[str], decide: Decision) -> list[Delivery]:
    """Change deliveries; return those that changed."""
    return [change.delivery for change in database.persist(deliveries.update, ids, decide)]


def place(database: Database, *order_ids: str) -> list[str]:
    """Store orders; return their deliveries' ids."""
    return [each.id for each in store_messages(database, *(message(order(each)) for each in order_ids or ("2011",)))]


def begun(delivery: Delivery, **more: Any) -> Change:
    """Begin an attempt for a delivery."""
    number = len(delivery.attempts) + 1
    attempt = Attempt(
        id=2**53 - number,
        delivery_id=delivery.id,
        number=number,
        carrier="deliverit",
        state=AttemptState.SUBMITTING,
        token=f"token {number} of {delivery.id}",
        pickup_at=LATER,
        submitted_at=NOW,
        changed_at=NOW,
    )
    attempt = replace(attempt, **more)
    return Change(delivery.with_attempt(attempt), attempt_id=attempt.id)


def rows(database: Database, name: str) -> list[dict[str, Any]]:
    """Read a whole table in the order of its key."""
    table = _table(name)
    with database.engine.connect() as connection:
        return [dict(row) for row in connection.execute(select(table).order_by(*table.primary_key)).mappings()]


def put_row(database: Database, name: str, **values: Any) -> None:
    """Insert a row without the product's code."""
    with database.engine.begin() as connection:
        connection.execute(insert(_table(name)).values(values))


def _table(name: str) -> Table:
    return SQLModel.metadata.tables[name]


def events(database: Database, key: str = ID) -> list[tuple[int, str]]:
    """Read the sequence and type of every event of a key, oldest first."""
    return [(row["sequence"], json.loads(row["body"])["type"]) for row in rows(database, "event") if row["key"] == key]


def full(delivery: Delivery) -> Delivery:
    """Fill every field of a delivery that may change, and of two attempts."""
    ended = Attempt(
        id=1,
        delivery_id=delivery.id,
        number=1,
        carrier="borzo",
        state=AttemptState.REJECTED,
        token="first",
        pickup_at=NOW,
        submitted_at=NOW,
        changed_at=LATER,
        ended_at=LATER,
        reason=Reason.NO_COURIER,
        reason_text="ingen bude",
        surplus=True,
    )
    live = Attempt(
        id=2**53 - 1,
        delivery_id=delivery.id,
        number=2,
        carrier="deliverit",
        state=AttemptState.ON_HOLD,
        token="second",
        pickup_at=LATER,
        submitted_at=NOW,
        changed_at=NOW + timedelta(microseconds=1),
        ref="F64u3fbx",
        codec_state={"accept": "https://example.org/å", "seen": "1"},
        rank=60,
        resume_to=AttemptState.PICKED_UP,
        carrier_time=NOW,
        last_report_at=NOW,
        shown_at=NOW,
        prompted_at=NOW,
        offered_at=LATER,
        lookups=3,
        cancel_requested_at=NOW,
        cancel_checks=2,
        cancel_refused_at=NOW,
        offer_unclear_since=NOW,
        awaiting_operator=True,
        reported_anomalies=("driverGone",),
        journal_file="a journal",
        calls=3,
        call_open=True,
        resubmitted=True,
        cancel_accepted=True,
        cancel_requests=2,
        contradicting_status=DeliveryStatus.CREATED,
        contradicted_at=NOW,
        follow_up_reads=1,
        wait_until=LATER,
        offer_decision=OfferDecision.ACCEPT,
        sent_fingerprint="a fingerprint",
        pending_fingerprint="another fingerprint",
        amend_requests=1,
        amend_refused=True,
        unmapped_status=UnmappedStatus(entity="order", code="6", text="six", carrier_time=NOW),
        last_error="no answer within the deadline",
    )
    return replace(
        delivery,
        status=DeliveryStatus.ON_HOLD,
        changed_at=LATER,
        sequence=7,
        last_event_at=LATER,
        carrier="deliverit",
        step=Step.TRACK,
        step_attempt_id=1,
        next_run_at=LATER,
        retry_at=LATER,
        alarm_at=LATER,
        alarmed_at=NOW,
        dispatch_at=NOW,
        gate=Gate.ACCEPTED,
        carrier_since=LATER,
        located_at=LATER,
        retried_after_attempt=1,
        failures=4,
        cancel_request=Cancellation(order_id="2011", reason="ændret", cancelled_by="customer", allow_paid=True),
        attention_reasons=(AttentionReason.ORDER_CHANGED_AFTER_DISPATCH,),
        previous_status=DeliveryStatus.PICKED_UP,
        detail="reassigned",
        reason=Reason.CUSTOMER_UNAVAILABLE,
        reason_text="nobody opens",
        cancelled_by=CancelledBy.CUSTOMER,
        evidence=Evidence.ORDER_LEVEL,
        raw=RawWord(entity="row", code="driverLeft", text="på vej"),
        courier=CourierInfo(name="Bo", phone="+4511223344", phone_guessed=True, latitude=55.4, longitude=10.4),
        tracking_url="https://example.org/t/1",
        pickup_eta=NOW,
        dropoff_eta=LATER,
        price=PriceInfo(amount=Decimal("1234567.80"), currency="DKK", vat="included"),
        proof=ProofInfo(recipient_position="nabo", sign_photo_url="https://example.org/s"),
        trace=Trace("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "shop=17"),
        attempts=(ended, live),
    )


__all__ = [
    "ID", "LATER", "NOW", "ORDER", "RULES", "SHOP", "SHOPS", "Cancellation", "DeliveryType", "OrderRef", "begun",
    "changed", "events", "fetched", "full", "ingest", "message", "order", "place", "put_row", "rows", "store_messages",
    "updates",
]  # fmt: skip
