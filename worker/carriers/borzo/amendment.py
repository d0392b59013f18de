"""A change of an order at Borzo, as read-modify-write: what stands, named whole by its ids, with what is to change.

A point or a package that an edit does not name is deleted, and one without an id is added (B-95, B-96). So every one of
them is named, none is ever added, and the same edit done twice is done once.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator

from schemas.status import GOODS_WITH_COURIER, Reason
from worker.carriers.borzo.account import BorzoAccount
from worker.carriers.borzo.memory import Known
from worker.carriers.borzo.request import WINDOW, create_order
from worker.carriers.borzo.sighting import drop_of
from worker.carriers.borzo.status import CARRYING, meaning_of
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
    is_packed,
    is_whole,
    order_of,
    rows,
)
from worker.carriers.port import AttemptView, Booking
from worker.errors import Refused

SOONEST = timedelta(hours=1)
"""After it was placed, when an order without a time is begun at the latest: half of it in the document's samples."""
EDITABLE = frozenset({"new", "available", "active", "delayed"})
"""Order statuses in which Borzo takes a change (Borzo, "Order editing", B-98)."""

_OF_ORDER = (("matter",), ("insurance_amount",), ("backpayment_details",))
_TIMES = ("required_start_datetime", "required_finish_datetime")
_PLACE = ("latitude", "longitude")
_OF_PICKUP = (_TIMES,)
_OF_DROP = (
    ("address",), ("contact_person",), _PLACE, _TIMES, ("note",), ("taking_amount",), ("is_cod_cash_voucher_required",)
)  # fmt: skip
"""What an order's change may change, in groups that are written together. The shop does not move with an order."""
_UNSAID: Mapping[str, Any] = {"note": None, "taking_amount": "0.00", "is_cod_cash_voucher_required": False}
"""What takes back what was said before. A null is sent where something is to go, and nowhere else (B-97)."""
_OF_PACKAGE = (("description",), ("items_count",), ("item_payment_amount",))
_UNPRICED: Mapping[str, Any] = {"item_payment_amount": "0.00"}
"""What a line says whose price is not known any more; the old one was another thing's."""


class _Person(Wire):
    name: Text = None
    phone: Text = None


class _Package(Wire):
    order_package_id: Number = None
    description: Text = None
    items_count: Amount = None
    item_payment_amount: Amount = None


class _Point(RawPoint):
    address: Text = None
    contact_person: Annotated[_Person | None, Lenient] = None
    latitude: Latitude = None
    longitude: Longitude = None
    note: Text = None
    taking_amount: Amount = None
    is_cod_cash_voucher_required: Flag = None
    required_start_datetime: Moment = None
    required_finish_datetime: Moment = None
    packages: Annotated[tuple[_Package, ...], BeforeValidator(rows)] = ()


class _Order(Wire):
    matter: Text = None
    insurance_amount: Amount = None
    backpayment_details: Text = None
    points: Annotated[tuple[_Point, ...], BeforeValidator(rows)] = ()


def edit_order(raw_order: object, attempt: AttemptView, account: BorzoAccount, now: datetime) -> dict[str, Any] | None:
    """Name the parameters of edit-order that make an order say what its create would say now (Borzo, "Order editing").

    None when it says so already. Raises Refused when it can no longer be changed, or cannot be named whole.
    """
    known, wanted = Known.of_attempt(attempt), create_order(_as_booked(attempt), account, now)
    order, standing = order_of(raw_order), _Order.of(raw_order)
    drop = drop_of(standing.points, known)
    if order is None or drop is None or not _is_nameable(raw_order, standing.points):
        raise Refused(Reason.UNKNOWN, "the order at Borzo cannot be named whole")
    if "required_start_datetime" not in wanted["points"][0] and _waits(order, standing.points[0], now):
        raise Refused(Reason.UNKNOWN, "the order stands for a later time, which an edit cannot take back")
    changes = _changed(standing, wanted, _OF_ORDER)
    points = list(_points(standing.points, drop, wanted["points"]))
    if not changes and points == [_named(point, [{}] * len(point.packages)) for point in standing.points]:
        return None
    if order.status not in EDITABLE:
        raise Refused(Reason.UNKNOWN, "the order can no longer be changed")  # B-98
    if _is_gone(drop, known):
        raise Refused(Reason.UNKNOWN, "the courier has the goods")
    return {"order_id": order.order_id, **changes, "points": points}


def _as_booked(attempt: AttemptView) -> Booking:
    order = attempt.order
    return Booking(attempt.id, attempt.number, order, attempt.store, attempt.pickup_at, order.deliver_at)


def _is_nameable(raw_order: Any, points: Sequence[_Point]) -> bool:
    packages = [package for point in points for package in point.packages]
    whole = is_whole(raw_order) and is_packed(raw_order)
    return whole and all(point.point_id for point in points) and all(package.order_package_id for package in packages)


def _waits(order: RawOrder, first: _Point, now: datetime) -> bool:
    """Tell whether the courier comes later than he would have for an order that named no time."""
    placed, start = order.created_datetime, first.required_start_datetime
    return start is not None and start > now + WINDOW and (placed is None or start > placed + SOONEST)


def _is_gone(drop: _Point, known: Known) -> bool:
    meaning = meaning_of(f"delivery:{drop.delivery.status}") if drop.delivery else None
    carried = meaning is not None and meaning.status in CARRYING
    return carried or known.saw("picked_up_seen") or known.rank >= GOODS_WITH_COURIER


def _points(standing: Sequence[_Point], drop: _Point, wanted: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Write every point: ours with their changes, and those that somebody else made as they stand."""
    ours, theirs = wanted
    for index, point in enumerate(standing):
        kept: list[dict[str, Any]] = [{} for _ in point.packages]
        if point is drop:
            yield {**_named(point, _lines(point, theirs)), **_moved(point, theirs)}
        elif index == 0:
            yield {**_named(point, kept), **_changed(point, ours, _OF_PICKUP)}
        else:
            yield _named(point, kept)


def _named(point: _Point, lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Name a point and its packages; a line for each package that stays."""
    packages = [
        {"order_package_id": package.order_package_id, **line}
        for package, line in zip(point.packages, lines, strict=False)
    ]
    return {"point_id": point.point_id, **({"packages": packages} if point.packages else {})}


def _lines(point: _Point, wanted: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Tell how the packages change: a line too many goes, and one that is new would be added twice (B-95)."""
    lines = wanted.get("packages")
    if lines is None:
        return [{} for _ in point.packages]
    if wanted.get("is_cod_cash_voucher_required") and len(lines) > len(point.packages):
        raise Refused(Reason.UNKNOWN, "items: a receipt cannot get another line")
    pairs = zip(point.packages, lines, strict=False)
    return [_changed(old, {**_UNPRICED, **new}, _OF_PACKAGE) for old, new in pairs]


def _moved(point: _Point, wanted: Mapping[str, Any]) -> dict[str, Any]:
    changed = _changed(point, {**_UNSAID, **wanted}, _OF_DROP)
    elsewhere = "address" in changed and "latitude" not in wanted
    # The old place would still draw the courier there: without it, Borzo looks the new address up.
    return {**changed, **(dict.fromkeys(_PLACE) if elsewhere else {})}


def _changed(standing: Wire, wanted: Mapping[str, Any], groups: Sequence[tuple[str, ...]]) -> dict[str, Any]:
    """Take what is wanted and stands otherwise. Both are read alike, so that no spelling makes a difference."""
    said = type(standing).of(dict(wanted))
    told = [group for group in groups if set(group) <= wanted.keys()]
    different = [group for group in told if any(getattr(standing, name) != getattr(said, name) for name in group)]
    return {name: wanted[name] for group in different for name in group}
