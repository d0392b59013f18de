"""The conversion between rows and the frozen values of the domain.

A field that a query uses has a column with its name. The order and the store have a table of their own. All other
fields are in one document, which is written and read whole. Fields of the document that only a newer version of the
program knows are loaded too, and stored again with each change.
"""

from collections.abc import Iterable
from dataclasses import fields
from functools import lru_cache
from operator import attrgetter
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import from_json, to_json
from sqlalchemy import RowMapping, Table

from schemas.order import Order
from schemas.stores import Store
from worker.database.tables import ATTEMPT, DELIVERY
from worker.domain.delivery import Attempt, Delivery

_ELSEWHERE = {"order", "store", "fingerprint", "attempts"}
"""The fields of a delivery that are in other tables."""
_ATTRIBUTES = {"order_id": "order.order_id", "store_id": "order.store_id", "attention_reasons": "attention"}
"""The attributes of a delivery that are stored in columns with other names."""


class _Layout:
    """How the values of one class are divided into columns and a document."""

    def __init__(self, kind: type[Delivery | Attempt], table: Table) -> None:
        self.adapter: TypeAdapter[Any] = TypeAdapter(kind)
        self.fields = {field.name for field in fields(kind)}
        self.columns = [each.name for each in table.columns if each.name not in {"document", "lease_until"}]
        self.read_columns = attrgetter(*(_ATTRIBUTES.get(name, name) for name in self.columns))
        self.not_in_document = {*self.columns, *_ELSEWHERE}
        self.loaded = [column for column in table.columns if column.name in {*self.fields, "document"}]


_LAYOUTS: dict[type, _Layout] = {Delivery: _Layout(Delivery, DELIVERY), Attempt: _Layout(Attempt, ATTEMPT)}
LOADED = {DELIVERY: _LAYOUTS[Delivery].loaded, ATTEMPT: _LAYOUTS[Attempt].loaded}
"""The columns to load. The other columns store properties or belong to the row alone."""


def dump(value: Delivery | Attempt) -> dict[str, Any]:
    """Return the row of a delivery or attempt, without a lease."""
    layout = _LAYOUTS[type(value)]
    row = dict(zip(layout.columns, map(_storable, layout.read_columns(value)), strict=True))
    row["document"] = _document(layout, value)
    return row


def _storable(value: Any) -> Any:
    if isinstance(value, tuple):
        value = "\n".join(value) or None
    # PostgreSQL rejects a text with a NUL. A carrier that sends such a text must not block the delivery.
    return value.replace("\x00", "\ufffd") if isinstance(value, str) else value


def _document(layout: _Layout, value: Delivery | Attempt) -> str:
    # A value of the wrong type is an error here. As a document, it would make the delivery unreadable.
    document = layout.adapter.dump_json(value, exclude=layout.not_in_document, exclude_defaults=True, warnings="error")
    newer = vars(value).keys() - layout.fields
    if newer:  # `domain.delivery.replace` copies them, too
        document = to_json({**from_json(document), **{name: vars(value)[name] for name in newer}})
    return document.decode()


def dump_order(delivery: Delivery, before: Delivery | None = None, stored: str | None = None) -> dict[str, Any]:
    """Return the columns of a delivery's order, with the id of the delivery.

    With `stored`, the document as it is stored, only the fields that differ from the order of `before` are replaced.
    """
    order = delivery.order.model_dump_json()
    if before is not None and stored is not None:
        known, now = before.order.model_dump(), delivery.order.model_dump()
        differing = {name for name, value in now.items() if value != known[name]}
        order = to_json({**from_json(stored), **delivery.order.model_dump(mode="json", include=differing)}).decode()
    return {"delivery_id": delivery.id, "order": order, "fingerprint": delivery.fingerprint}


def dump_store(delivery: Delivery) -> dict[str, Any]:
    """Return the column of a delivery's store, with the id of the delivery."""
    return {"delivery_id": delivery.id, "store": delivery.store.model_dump_json() if delivery.store else None}


def load_delivery(row: RowMapping, order: RowMapping, attempts: Iterable[RowMapping]) -> Delivery:
    """Build a delivery from its row, the row of its order, and the rows of its attempts in order. Raises ValueError."""
    reasons = row["attention_reasons"]
    delivery: Delivery = _load(
        Delivery,
        row,
        attention_reasons=reasons.split(", ") if reasons else (),
        order=Order.model_validate_json(order["order"]),
        store=load_store(order["store"]) if order["store"] else None,
        fingerprint=order["fingerprint"],
        attempts=tuple(map(_load_attempt, attempts)),
    )
    return delivery


def _load_attempt(row: RowMapping) -> Attempt:
    attempt: Attempt = _load(Attempt, row, reported_anomalies=(row["reported_anomalies"] or "").splitlines())
    return attempt


def _load(kind: type, row: RowMapping, **converted: Any) -> Any:
    layout = _LAYOUTS[kind]
    values = {**from_json(row["document"]), **row, **converted}
    del values["document"]
    newer = {name: values.pop(name) for name in values.keys() - layout.fields}
    # A nested value with a newer field is an error here. It would be stored again without this field.
    value = layout.adapter.validate_python(values, extra="forbid")
    vars(value).update(newer)
    return value


@lru_cache(maxsize=1000)  # most orders of a store have the same store
def load_store(body: str) -> Store:
    """Return a stored store, without the fields that only a newer version knows. Raises ValueError."""
    return Store.model_validate_json(body, extra="ignore")
