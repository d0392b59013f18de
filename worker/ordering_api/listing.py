"""The platform's list of orders (Ordering, "Orders Model": GET /orders), to find open orders whose message never came.

The parameters `where`, `page` and `orderBy` come from Ordering's public apps; the API document does not describe them.
So the platform may ignore these parameters: the status and the type of every entry are checked here, and a page with
fewer entries than requested is not taken for the last page.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from schemas.messages import OrderRef
from schemas.ordering import OPEN
from schemas.ordering_wire import Raw, RawStatus, RawText, RawTime
from worker.http.call import Call, Operation
from worker.ordering_api.account import Ordering
from worker.ordering_api.codec import DELIVERY, headers

PAGE = 25
"""The page size. An order contains its shop and products, so a larger page would exceed the size limit."""


def _or_none(value: object, read: ValidatorFunctionWrapHandler) -> object:
    # Times only help to select orders; an unreadable time must not hide an order.
    try:
        return read(value)
    except ValidationError:
        return None


LenientTime = Annotated[RawTime, WrapValidator(_or_none)]


class _Entry(Raw):
    id: RawText = ""
    status: RawStatus = None
    delivery_type: RawText = ""
    created_at: LenientTime = None
    delivery_datetime: LenientTime = None
    delivery_datetime_utc: LenientTime = None

    @property
    def last_time(self) -> datetime | None:
        times = (self.created_at, self.delivery_datetime_utc or self.delivery_datetime)
        return max((at for each in times if (at := _utc(each))), default=None)


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """An open order that needs a courier, as the list shows it. Times without a zone are read as UTC."""

    order_id: str
    status: int
    created_at: datetime | None = None
    """When the order was placed; None when the list does not contain that time."""
    last_time: datetime | None = None
    """The later of two times: when the order was placed, and when it is wanted. None when the list contains neither."""


def list_open(settings: Ordering, page: int) -> Call:
    """Return the call for a page of open orders, newest first. Without `mode=dashboard` the list is empty (O-10)."""
    where = [{"attribute": "status", "value": sorted(OPEN)}, {"attribute": "delivery_type", "value": DELIVERY}]
    query = {
        "mode": "dashboard",
        "where": json.dumps(where, separators=(",", ":")),
        "orderBy": "-id",
        "page": str(page),
        "page_size": str(PAGE),
    }
    return Call(Operation.READ, "GET", f"{settings.path}/orders", query=tuple(query.items()), headers=headers(settings))


def open_orders(entries: Iterable[Any]) -> list[OpenOrder]:
    """Return the open orders that need a courier. Unreadable entries are left out."""
    found = [entry for raw in entries if (entry := _open(raw))]
    return [OpenOrder(each.id, each.status or 0, _utc(each.created_at), each.last_time) for each in found]


def order_ids(entries: Iterable[Any]) -> set[str]:
    """Return the ids of all orders of a page."""
    return {str(each["id"]) for each in entries if isinstance(each, dict) and each.get("id") is not None}


def _open(raw: Any) -> _Entry | None:
    try:
        entry = _Entry.model_validate(raw)
        OrderRef(order_id=entry.id)
    except ValidationError:
        return None
    return entry if entry.delivery_type == str(DELIVERY) and entry.status in OPEN else None


def _utc(moment: datetime | None) -> datetime | None:
    return moment and (moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC))
