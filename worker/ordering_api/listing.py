"""The platform's list of orders (Ordering, "Orders Model": GET /orders), for those whose message never came.

`where`, `page` and `orderBy` are as Ordering's public apps write them; the document only says what is "Whereable". So
nothing is believed to have been filtered, and no page to be the last.
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
"""An order comes with its shop and its products: a page of many would be too large to read."""


def _or_untold(value: object, read: ValidatorFunctionWrapHandler) -> object:
    # A time is only a hint here: one that cannot be read must not hide an order.
    try:
        return read(value)
    except ValidationError:
        return None


Told = Annotated[RawTime, WrapValidator(_or_untold)]


class _Entry(Raw):
    id: RawText = ""
    status: RawStatus = None
    delivery_type: RawText = ""
    created_at: Told = None
    delivery_datetime: Told = None
    delivery_datetime_utc: Told = None

    @property
    def last_time(self) -> datetime | None:
        told = (self.created_at, self.delivery_datetime_utc or self.delivery_datetime)
        return max((at for each in told if (at := _utc(each))), default=None)


@dataclass(frozen=True, slots=True)
class Listed:
    """An order that needs a courier, as the list shows it; a time is None where it does not say.

    `last_time` is the last that it names: when it was placed, or is wanted. A clock time without a zone is read as UTC.
    """

    order_id: str
    status: int
    created_at: datetime | None = None
    last_time: datetime | None = None


def list_open(settings: Ordering, page: int) -> Call:
    """Describe a page of the open orders, the newest first. Without `mode=dashboard` there would be none (O-10)."""
    where = [{"attribute": "status", "value": sorted(OPEN)}, {"attribute": "delivery_type", "value": DELIVERY}]
    query = {
        "mode": "dashboard",
        "where": json.dumps(where, separators=(",", ":")),
        "orderBy": "-id",
        "page": str(page),
        "page_size": str(PAGE),
    }
    return Call(Operation.READ, "GET", f"{settings.path}/orders", query=tuple(query.items()), headers=headers(settings))


def needing_courier(entries: Iterable[Any]) -> list[Listed]:
    """Choose what is open and to be delivered; what cannot be read, or does not say both, is passed over."""
    opened = [entry for raw in entries if (entry := _open(raw))]
    return [Listed(each.id, each.status or 0, _utc(each.created_at), each.last_time) for each in opened]


def identities(entries: Iterable[Any]) -> set[str]:
    """Name the orders of a page, whatever else they are."""
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
