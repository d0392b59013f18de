"""The orders of a list, compared with an attempt, for an operator who looks for an order."""

from collections.abc import Iterable

from worker.carriers.abilities import ListedOrder
from worker.carriers.borzo.observations import referenced_attempts
from worker.carriers.borzo.wire import CURRENCY, RawListedOrder, RawListedPoint, parse_listed_order
from worker.carriers.comparison import Comparison, compare_address, compare_phone
from worker.carriers.port import AttemptView, Price


def compare_orders(raw_orders: Iterable[object], attempt: AttemptView) -> tuple[ListedOrder, ...]:
    """Return the readable orders. The phone numbers and addresses in them are compared and not kept (B-55)."""
    return tuple(_compare(order, attempt) for order in map(parse_listed_order, raw_orders) if order)


def _compare(order: RawListedOrder, attempt: AttemptView) -> ListedOrder:
    pickup, customers = next(iter(order.points), RawListedPoint()), order.points[1:]
    return ListedOrder(
        ref=str(order.order_id),
        status=order.status or "no status",
        created_at=order.created_datetime,
        pickup_at=pickup.required_start_datetime,
        price=Price(order.payment_amount, CURRENCY) if order.payment_amount is not None else None,
        attempt_ids=referenced_attempts(order.points),
        phone=_best(compare_phone(attempt.order.customer.phone, _phone(point)) for point in customers),
        address=_best(compare_address(attempt.order.dropoff.street, point.address) for point in customers),
        pickup_address=compare_address(attempt.store.street, pickup.address),
    )


def _phone(point: RawListedPoint) -> str | None:
    return point.contact_person.phone if point.contact_person else None


def _best(found: Iterable[Comparison]) -> Comparison:
    """Return the best comparison of an order's customers: an order with several customers may be ours as well."""
    return min(found, key=list(Comparison).index, default=Comparison.NOT_SHOWN)
