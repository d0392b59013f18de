"""Between rows and the frozen values of the pure rooms: names are equal, only a few kinds of value differ."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import Any

from pydantic import BaseModel
from sqlalchemy import RowMapping

from schemas.events import CourierInfo, PriceInfo, ProofInfo, RawWord
from schemas.orders import Order
from schemas.status import CancelledBy, DeliveryStatus, Evidence, Reason
from schemas.stores import Store
from worker.delivery import Attempt, Delivery, Step

Convert = Callable[[Any], Any]


def _model(kind: type[BaseModel]) -> tuple[Convert, Convert]:
    return (lambda value: value.model_dump(mode="json")), kind.model_validate


_IN_AND_OUT: dict[str, tuple[Convert, Convert]] = {
    "order": (lambda order: order.model_dump_json(), Order.model_validate_json),
    "store": (lambda store: store.model_dump_json(), Store.model_validate_json),
    "status": (str, DeliveryStatus),
    "previous_status": (str, DeliveryStatus),
    "step": (str, Step),
    "reason": (str, Reason),
    "cancelled_by": (str, CancelledBy),
    "evidence": (str, Evidence),
    "cancel": (dict, dict),
    "refs": (dict, dict),
    "state": (str, str),
    "raw": _model(RawWord),
    "courier": _model(CourierInfo),
    "price": _model(PriceInfo),
    "proof": _model(ProofInfo),
}
CONSTANT = frozenset({"id", "source", "created_at", "delivery_id", "token", "number"})
"""Columns that never change once written."""
BULKY = frozenset({"order", "store", "fingerprint"})
"""Columns that change so seldom that an ordinary update leaves them out."""


def _names(kind: type[Delivery | Attempt]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind) if field.name != "attempts")


_NAMES: dict[type, tuple[str, ...]] = {kind: _names(kind) for kind in (Delivery, Attempt)}


def dump(value: Delivery | Attempt, *, leave: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Turn a value into its row's columns, but those to `leave` out."""
    row = {}
    for name in _NAMES[type(value)]:
        if name in leave:
            continue
        held = getattr(value, name)
        convert = _IN_AND_OUT.get(name)
        row[name] = convert[0](held) if convert and held is not None else held
    return row


def _load(kind: Any, row: RowMapping) -> dict[str, Any]:
    values = {}
    for name in _NAMES[kind]:
        held = row[name]
        convert = _IN_AND_OUT.get(name)
        values[name] = convert[1](held) if convert and held is not None else held
    return values


def load_attempt(row: RowMapping) -> Attempt:
    """Read an attempt's row."""
    values = _load(Attempt, row)
    return Attempt(**{**values, "refs": values["refs"] or {}})


def load_delivery(row: RowMapping, attempts: Iterable[Attempt]) -> Delivery:
    """Read a delivery's row, with its attempts in order."""
    return Delivery(**_load(Delivery, row), attempts=tuple(attempts))


def pack(value: Mapping[str, Any]) -> str:
    """Write a small mapping as compact JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
