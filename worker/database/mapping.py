"""The conversion between rows and the frozen values of the domain.

A field that a query asks about has a column with its name. The order and the store have a table of their own. All other
fields are in one document, which is written and read whole.
"""

from collections.abc import Callable, Iterable
from dataclasses import fields
from functools import lru_cache
from operator import attrgetter
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import from_json, to_json
from sqlalchemy import RowMapping

from schemas.order import Order
from schemas.stores import Store
from worker.database.tables import ATTEMPT, DELIVERY
from worker.domain.delivery import Attempt, Delivery

_ADAPTERS: dict[type, TypeAdapter[Any]] = {kind: TypeAdapter(kind) for kind in (Delivery, Attempt)}
_FIELDS = {kind: {field.name for field in fields(kind)} for kind in (Delivery, Attempt)}
_ELSEWHERE = {"order", "store", "fingerprint", "attempts"}
"""The fields of a delivery that are in other tables."""
_NOT_DUMPED = {"document", "lease_until"}
_ATTRIBUTES = {"order_id": "order.order_id", "store_id": "order.store_id", "attention_reasons": "attention"}
"""The attributes of a delivery that are stored in columns with other names."""
_COLUMNS = {
    kind: [column.name for column in table.columns if column.name not in _NOT_DUMPED]
    for kind, table in ((Delivery, DELIVERY), (Attempt, ATTEMPT))
}
_GET_COLUMNS: dict[type, Callable[[Any], tuple[Any, ...]]] = {
    kind: attrgetter(*(_ATTRIBUTES.get(name, name) for name in names)) for kind, names in _COLUMNS.items()
}
_NOT_IN_DOCUMENT = {kind: {*names, *_ELSEWHERE} for kind, names in _COLUMNS.items()}
LOADED = {
    table: [column for column in table.columns if column.name in {*_FIELDS[kind], "document"}]
    for kind, table in ((Delivery, DELIVERY), (Attempt, ATTEMPT))
}
"""The columns to load. The others store properties, which follow from the fields, or are not part of the value."""


def dump(value: Delivery | Attempt) -> dict[str, Any]:
    """Return the row of a delivery or attempt, without a lease."""
    kind = type(value)
    row = dict(zip(_COLUMNS[kind], map(_storable, _GET_COLUMNS[kind](value)), strict=True))
    row["document"] = _document(value)
    return row


def _storable(value: Any) -> Any:
    if isinstance(value, tuple):
        value = "\n".join(value) or None
    # PostgreSQL rejects a text with a NUL. A carrier that sends such a text must not block the delivery.
    return value.replace("\x00", "\ufffd") if isinstance(value, str) else value


def _document(value: Delivery | Attempt) -> str:
    kind = type(value)
    document = _ADAPTERS[kind].dump_json(value, exclude=_NOT_IN_DOCUMENT[kind], exclude_defaults=True)
    newer = vars(value).keys() - _FIELDS[kind]
    if newer:
        document = to_json({**from_json(document), **{name: vars(value)[name] for name in newer}})
    return document.decode()


def dump_order(delivery: Delivery) -> dict[str, Any]:
    """Return the row of a delivery's order and store."""
    return {
        "delivery_id": delivery.id,
        "order": delivery.order.model_dump_json(),
        "store": delivery.store.model_dump_json() if delivery.store else None,
        "fingerprint": delivery.fingerprint,
    }


def load_delivery(row: RowMapping, order: RowMapping, attempts: Iterable[RowMapping]) -> Delivery:
    """Build a delivery from its row, the row of its order, and the rows of its attempts in order. Raises ValueError."""
    reasons = row["attention_reasons"]
    delivery: Delivery = _load(
        Delivery,
        row,
        attention_reasons=reasons.split(", ") if reasons else (),
        order=Order.model_validate_json(order["order"]),
        store=_store(order["store"]) if order["store"] else None,
        fingerprint=order["fingerprint"],
        attempts=tuple(map(_load_attempt, attempts)),
    )
    return delivery


def _load_attempt(row: RowMapping) -> Attempt:
    attempt: Attempt = _load(Attempt, row, reported_anomalies=(row["reported_anomalies"] or "").splitlines())
    return attempt


def _load(kind: type, row: RowMapping, **converted: Any) -> Any:
    values = {**from_json(row["document"]), **row, **converted}
    del values["document"]
    return _ADAPTERS[kind].validate_python(values)


_store = lru_cache(maxsize=1000)(Store.model_validate_json)  # most orders of a store have the same store
