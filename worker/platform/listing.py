"""The platform's list of orders (Ordering, "Orders Model": GET /orders), for those whose message never came.

`where`, `page` and `orderBy` are as Ordering's public apps write them; the document only says what is "Whereable". So
nothing is believed to have been filtered, and no page to be the last.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from schemas.ordering import OPEN
from schemas.ordering_wire import Raw, RawStatus, RawText, RawTime
from schemas.orders import OrderRef
from worker.carriers.port import Call, Operation, Reply
from worker.errors import Unavailable
from worker.platform import DELIVERY, headers, read_result
from worker.platform.account import Ordering

PAGE = 25
"""An order comes with its shop and its products: a page of many would be too large to read."""


class _Entry(Raw):
    id: RawText = ""
    status: RawStatus = None
    delivery_type: RawText = ""
    created_at: RawTime = None


@dataclass(frozen=True, slots=True)
class Listed:
    """An order that needs a courier, as the list shows it; `created_at` is None where it does not say."""

    order_id: str
    status: int
    created_at: datetime | None = None


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


def read_page(reply: Reply) -> list[Any]:
    """Read a page's entries as they came. Raises Unavailable or Refused."""
    entries = read_result(reply)
    if not isinstance(entries, list):
        raise Unavailable("the platform's answer holds no list of orders")
    return entries


def needing_courier(entries: Iterable[Any]) -> list[Listed]:
    """Choose what is open and to be delivered; what cannot be read, or does not say both, is passed over."""
    opened = [entry for raw in entries if (entry := _open(raw))]
    return [Listed(each.id, each.status or 0, _utc(each.created_at)) for each in opened]


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
