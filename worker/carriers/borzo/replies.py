"""What a whole reply or callback says about the attempts it was asked for, attempt by attempt (X-14)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from schemas.status import DeliveryStatus, Evidence
from worker.carriers.borzo.faults import after_reading
from worker.carriers.borzo.listing import Group
from worker.carriers.borzo.memory import Known
from worker.carriers.borzo.sighting import drop_of, see_delivery, see_order, tagged
from worker.carriers.borzo.wire import RawDelivery, RawEvent, RawOrder, event_of, success
from worker.carriers.port import AttemptView, Booking, Callback, CallbackKey, Observation, Raw, attempt_id_of
from worker.errors import Unreadable
from worker.http.call import Reply

_UNPROVEN = frozenset({"submitting", "submit_unknown"})


def orders_in(reply: Reply, now: datetime) -> list[object]:
    """Take the list out of a reply. Raises Unavailable or Unreadable."""
    document = success(reply)
    if document is None:
        raise after_reading(reply, now)
    raw_orders = document.get("orders")
    if not isinstance(raw_orders, list):
        raise Unreadable("the list of orders is missing")
    return raw_orders


def count_in(reply: Reply) -> int | None:
    """Tell how many orders a list says that there are in all; None when it does not say."""
    total = (success(reply) or {}).get("orders_count")
    return total if isinstance(total, int) else None


def event_in(callback: Callback) -> RawEvent:
    """Take the event out of a callback. Raises Unreadable."""
    event = event_of(callback.body)
    if event is None:
        raise Unreadable("the callback carries neither an order nor a delivery")
    return event


def booked(raw_order: RawOrder, booking: Booking, now: datetime) -> Observation:
    """Read a created order: its drop is our tag's, or the second of the two points we sent (B-74)."""
    drop = drop_of(raw_order.points, Known.of_booking(booking, {})) or next(iter(raw_order.points[1:2]), None)
    known = Known.of_booking(booking, {"point_id": str(drop.point_id)} if drop and drop.point_id else {})
    seen = found_as(see_order(raw_order, known, now, polled=False, event_at=raw_order.created_datetime), raw_order)
    if seen.status is DeliveryStatus.CREATED:
        return seen
    plain = replace(seen, detail=None, reason=None, reason_text=None, cancelled_by=None)
    return replace(plain, status=DeliveryStatus.CREATED, evidence=Evidence.ORDER_LEVEL)


def polled(
    attempts: Sequence[AttemptView], asked: Group, orders: Mapping[str, RawOrder], now: datetime
) -> dict[int, tuple[Observation, ...]]:
    """Read the orders of a poll; an attempt whose order is missing or says nothing is left out (I13)."""
    pairs = [(attempt, orders[attempt.ref]) for attempt in attempts if attempt.ref in asked and attempt.ref in orders]
    seen = {attempt.id: see_order(order, Known.of_attempt(attempt), now, polled=True) for attempt, order in pairs}
    return {attempt_id: (observation,) for attempt_id, observation in seen.items() if observation}


def found(raw_order: RawOrder, attempt: AttemptView, now: datetime) -> Observation:
    """Read an order that was found by our tag."""
    return found_as(see_order(raw_order, Known.of_attempt(attempt), now, polled=True), raw_order)


def found_as(seen: Observation | None, raw_order: RawOrder) -> Observation:
    """See to it that an order which certainly exists counts as created, whatever it says of itself."""
    return _proven(seen or Observation(status=None, raw=Raw("order", ""), ref=str(raw_order.order_id)))


def called_back(event: RawEvent, attempt: AttemptView, now: datetime) -> Observation | None:
    """Read a callback; None when it is about another order, or another point of this one (B-88)."""
    seen = None
    known = Known.of_attempt(attempt)
    if event.order and _is_ours(event.order.order_id, tagged(event.order.points), attempt):
        seen = see_order(event.order, known, now, polled=False, event_at=event.event_datetime)
    elif event.delivery and _is_ours(event.delivery.order_id, _tag_of(event.delivery), attempt):
        seen = see_delivery(event.delivery, known, now, event.event_datetime)
    return _proven(seen) if seen and attempt.state in _UNPROVEN else seen


def key_of(event: RawEvent) -> CallbackKey:
    """Name the order of a callback, and the attempt when it carries our tag (B-86)."""
    if event.order:
        return CallbackKey(ref=str(event.order.order_id), attempt_id=min(tagged(event.order.points), default=None))
    if event.delivery is None:
        return CallbackKey()
    order_id = event.delivery.order_id
    return CallbackKey(ref=str(order_id) if order_id else None, attempt_id=min(_tag_of(event.delivery), default=None))


def absent(sought: Sequence[AttemptView], before: Sequence[int], hits: Mapping[int, object]) -> frozenset[int]:
    """Name the attempts that no page of a look-up showed."""
    return frozenset(attempt.id for attempt in sought) - frozenset(before) - frozenset(hits)


def extras(hits: Mapping[int, Sequence[RawOrder]], before: Sequence[int]) -> dict[int, tuple[str, ...]]:
    """Name the further orders of a tag that are still alive; those of a later page are all further ones (B-60)."""
    further = {attempt_id: orders if attempt_id in before else orders[1:] for attempt_id, orders in hits.items()}
    alive = {key: tuple(str(o.order_id) for o in orders if o.status != "canceled") for key, orders in further.items()}
    return {attempt_id: refs for attempt_id, refs in alive.items() if refs}


def _proven(seen: Observation) -> Observation:
    if seen.status is not None:
        return seen
    return replace(seen, status=DeliveryStatus.CREATED, evidence=Evidence.ORDER_LEVEL)


def _is_ours(order_id: int | None, tags: frozenset[int], attempt: AttemptView) -> bool:
    """Compare ids where both are known; else only our tag links them."""
    if attempt.ref is not None and order_id is not None:
        return attempt.ref == str(order_id)
    return attempt.id in tags or (attempt.ref is not None and order_id is None)


def _tag_of(raw_delivery: RawDelivery) -> frozenset[int]:
    attempt_id = attempt_id_of(raw_delivery.client_order_id or "")
    return frozenset() if attempt_id is None else frozenset({attempt_id})
