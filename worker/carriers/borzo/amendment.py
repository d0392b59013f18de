"""A change of an order at Borzo, as read-modify-write.

An edit at Borzo deletes every point and package that it does not list, and adds each one that it lists without an id
(B-95, B-96). Our edits therefore list every point, and every package that stays, by its id. They add nothing, so
repeating one changes nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator

from schemas.status import GOODS_WITH_COURIER, Reason
from worker.carriers.borzo.account import BorzoAccount
from worker.carriers.borzo.attempt_state import AttemptMemory
from worker.carriers.borzo.observations import find_dropoff
from worker.carriers.borzo.request import WINDOW, create_order
from worker.carriers.borzo.status import GOODS_LEFT_SHOP, map_status
from worker.carriers.borzo.wire import (
    Amount,
    Flag,
    Latitude,
    Lenient,
    Longitude,
    Moment,
    Number,
    RawOrder,
    RawPoint,
    Text,
    Wire,
    has_readable_packages,
    has_readable_points,
    objects_in,
    parse_order,
)
from worker.carriers.port import AttemptView, Booking
from worker.errors import Refused

LATEST_START = timedelta(hours=1)
"""The longest time between the creation and the start of an order that was placed for as soon as possible.

In the document's samples, such an order starts half an hour after its creation.
"""
EDITABLE = frozenset({"new", "available", "active", "delayed"})
"""Order statuses in which Borzo accepts a change (Borzo, "Order editing", B-98)."""

_ORDER_FIELDS = (("matter",), ("insurance_amount",), ("backpayment_details",))
_TIMES = ("required_start_datetime", "required_finish_datetime")
_PLACE = ("latitude", "longitude")
_PICKUP_FIELDS = (_TIMES,)
_DROPOFF_FIELDS = (
    ("address",), ("contact_person",), _PLACE, _TIMES, ("note",), ("taking_amount",), ("is_cod_cash_voucher_required",)
)  # fmt: skip
"""The fields of the customer's point that an edit may change. If one field of a group differs, the group is sent."""
_DROPOFF_DEFAULTS: Mapping[str, Any] = {"note": None, "taking_amount": "0.00", "is_cod_cash_voucher_required": False}
"""What an edit sends for a field that a create would leave out. Null is sent only to remove Borzo's value (B-97)."""
_PACKAGE_FIELDS = (("description",), ("items_count",), ("item_payment_amount",))
_PACKAGE_DEFAULTS: Mapping[str, Any] = {"item_payment_amount": "0.00"}
"""What an edit sends as the price of a package if the new price is unknown: the old price was for other goods."""


class _Contact(Wire):
    name: Text = None
    phone: Text = None


class _Package(Wire):
    order_package_id: Number = None
    description: Text = None
    items_count: Amount = None
    item_payment_amount: Amount = None


class _Point(RawPoint):
    address: Text = None
    contact_person: Annotated[_Contact | None, Lenient] = None
    latitude: Latitude = None
    longitude: Longitude = None
    note: Text = None
    taking_amount: Amount = None
    is_cod_cash_voucher_required: Flag = None
    required_start_datetime: Moment = None
    required_finish_datetime: Moment = None
    packages: Annotated[tuple[_Package, ...], BeforeValidator(objects_in)] = ()


class _Order(Wire):
    matter: Text = None
    insurance_amount: Amount = None
    backpayment_details: Text = None
    points: Annotated[tuple[_Point, ...], BeforeValidator(objects_in)] = ()


def edit_order(raw_order: object, attempt: AttemptView, account: BorzoAccount, now: datetime) -> dict[str, Any] | None:
    """Return the parameters with which edit-order gives an order the values that a create would send now.

    None when no value differs (Borzo, "Order editing"). Raises Refused when it is too late for a change, or when an
    edit cannot make the change.
    """
    memory, wanted = AttemptMemory.from_attempt(attempt), create_order(_booking(attempt), account, now)
    order, current = parse_order(raw_order), _Order.parse(raw_order)
    dropoff = find_dropoff(current.points, memory)
    if order is None or dropoff is None or not _is_listable(raw_order, current.points):
        raise Refused(Reason.UNKNOWN, "an edit cannot list the whole order at Borzo")
    if "required_start_datetime" not in wanted["points"][0] and _is_for_later(order, current.points[0], now):
        raise Refused(Reason.UNKNOWN, "the order is booked for a later time, which an edit cannot remove")
    changes = _changed(current, wanted, _ORDER_FIELDS)
    points = list(_points(current.points, dropoff, wanted["points"]))
    if not changes and points == [_listed(point, [{}] * len(point.packages)) for point in current.points]:
        return None
    if order.status not in EDITABLE:
        raise Refused(Reason.UNKNOWN, "the order can no longer be changed")  # B-98
    if _goods_left_shop(dropoff, memory):
        raise Refused(Reason.UNKNOWN, "the courier has the goods")
    return {"order_id": order.order_id, **changes, "points": points}


def _booking(attempt: AttemptView) -> Booking:
    order = attempt.order
    return Booking(attempt.id, attempt.number, order, attempt.store, attempt.pickup_at, order.deliver_at)


def _is_listable(raw_order: Any, points: Sequence[_Point]) -> bool:
    packages = [package for point in points for package in point.packages]
    readable = has_readable_points(raw_order) and has_readable_packages(raw_order)
    return readable and all(point.point_id for point in points) and all(each.order_package_id for each in packages)


def _is_for_later(order: RawOrder, pickup: _Point, now: datetime) -> bool:
    """Return whether the order was placed for a later time, rather than for as soon as possible."""
    created, start = order.created_datetime, pickup.required_start_datetime
    return start is not None and start > now + WINDOW and (created is None or start > created + LATEST_START)


def _goods_left_shop(dropoff: _Point, memory: AttemptMemory) -> bool:
    meaning = map_status("delivery", dropoff.delivery.status) if dropoff.delivery else None
    left_now = meaning is not None and meaning.status in GOODS_LEFT_SHOP
    return left_now or memory.has_mark("picked_up_seen") or memory.rank >= GOODS_WITH_COURIER


def _points(
    current: Sequence[_Point], dropoff: _Point, wanted: Sequence[Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Yield every point as an edit lists it. Only the first point and the customer's point may have changes."""
    wanted_pickup, wanted_dropoff = wanted
    for index, point in enumerate(current):
        unchanged: list[dict[str, Any]] = [{} for _ in point.packages]
        if point is dropoff:
            yield {**_listed(point, _package_changes(point, wanted_dropoff)), **_dropoff_changes(point, wanted_dropoff)}
        elif index == 0:
            yield {**_listed(point, unchanged), **_changed(point, wanted_pickup, _PICKUP_FIELDS)}
        else:
            yield _listed(point, unchanged)


def _listed(point: _Point, package_changes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what an edit lists for a point: its id, and the ids and changes of its packages.

    If there are fewer changes than packages, the last packages are not listed, and Borzo removes them.
    """
    packages = [
        {"order_package_id": package.order_package_id, **changes}
        for package, changes in zip(point.packages, package_changes, strict=False)
    ]
    return {"point_id": point.point_id, **({"packages": packages} if point.packages else {})}


def _package_changes(point: _Point, wanted: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the changes of each package that the edit keeps.

    If the wanted point has no packages, all packages are kept unchanged. A new package is never sent, because a repeat
    would add it twice (B-95). Raises Refused when a receipt needs a new package.
    """
    lines = wanted.get("packages")
    if lines is None:
        return [{} for _ in point.packages]
    if wanted.get("is_cod_cash_voucher_required") and len(lines) > len(point.packages):
        raise Refused(Reason.UNKNOWN, "items: a receipt cannot get another line")
    pairs = zip(point.packages, lines, strict=False)
    return [_changed(old, {**_PACKAGE_DEFAULTS, **new}, _PACKAGE_FIELDS) for old, new in pairs]


def _dropoff_changes(point: _Point, wanted: Mapping[str, Any]) -> dict[str, Any]:
    changed = _changed(point, {**_DROPOFF_DEFAULTS, **wanted}, _DROPOFF_FIELDS)
    is_elsewhere = "address" in changed and "latitude" not in wanted
    # The old coordinates would lead the courier to the old place; without them, Borzo looks up the new address.
    return {**changed, **(dict.fromkeys(_PLACE) if is_elsewhere else {})}


def _changed(current: Wire, wanted: Mapping[str, Any], groups: Sequence[tuple[str, ...]]) -> dict[str, Any]:
    """Return the wanted values of each group in which at least one value differs from the current one.

    A group is left out if `wanted` lacks one of its fields. Parsed values are compared, so formats do not matter.
    """
    parsed = type(current).parse(dict(wanted))
    complete = [group for group in groups if set(group) <= wanted.keys()]
    different = [group for group in complete if any(getattr(current, name) != getattr(parsed, name) for name in group)]
    return {name: wanted[name] for group in different for name in group}
