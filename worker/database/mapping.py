"""The conversion between rows and the frozen values of the domain.

A column and its field have the same name. A few types are converted.
"""

from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Any

from pydantic import BaseModel
from sqlalchemy import RowMapping

from schemas.events import CourierInfo, PriceInfo, ProofInfo, RawWord
from schemas.messages import Cancellation
from schemas.order import Order
from schemas.status import AttemptState, AttentionReason, CancelledBy, DeliveryStatus, Evidence, Reason
from schemas.stores import Store
from worker.domain.delivery import Attempt, Delivery, Gate, OfferDecision, Step, UnmappedStatus

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
    "cancel_request": _model(Cancellation),
    "codec_state": (dict, dict),
    "state": (str, AttemptState),
    "resume_to": (str, AttemptState),
    "contradicting_status": (str, DeliveryStatus),
    "offer_decision": (str, OfferDecision),
    "gate": (str, Gate),
    "attention_reasons": (
        lambda reasons: ", ".join(reasons) or None,
        lambda text: tuple(map(AttentionReason, text.split(", "))),
    ),
    "reported_anomalies": (lambda anomalies: "\n".join(anomalies) or None, lambda text: tuple(text.splitlines())),
    "raw": _model(RawWord),
    "courier": _model(CourierInfo),
    "price": _model(PriceInfo),
    "proof": _model(ProofInfo),
    "unmapped_status": _model(UnmappedStatus),
}
_EMPTY: dict[str, Any] = {"attention_reasons": (), "reported_anomalies": (), "codec_state": {}}
"""The value to load for each of these columns if the column is NULL. In every other column, NULL is loaded as None."""
LARGE_COLUMNS = frozenset({"order", "store", "fingerprint"})
"""Large columns. They are written only for the rows in which they have changed."""


def _names(kind: type[Delivery | Attempt]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind) if field.name != "attempts")


_FIELDS: dict[type, tuple[str, ...]] = {kind: _names(kind) for kind in (Delivery, Attempt)}
_COLUMNS: dict[type, tuple[str, ...]] = {**_FIELDS, Delivery: (*_FIELDS[Delivery], "step_carrier", "may_give_way")}
"""The fields, and the properties that the sweep asks about. A property is written with each change and never loaded."""


def differing(pairs: Iterable[tuple[Any, Any]]) -> list[str]:
    """Return the columns that have changed in at least one pair of values (before, after), except `LARGE_COLUMNS`."""
    changed = {
        name
        for before, after in pairs
        for name in _COLUMNS[type(after)]
        if getattr(after, name) is not getattr(before, name)
    }
    return sorted(changed - LARGE_COLUMNS)


def dump(value: Delivery | Attempt, names: Iterable[str] | None = None) -> dict[str, Any]:
    """Return the row of a delivery or attempt: the columns in `names`, or by default all columns."""
    row = {}
    for name in _COLUMNS[type(value)] if names is None else names:
        field = getattr(value, name)
        convert = _IN_AND_OUT.get(name)
        row[name] = _storable(convert[0](field) if convert and field is not None else field)
    return row


def _storable(value: Any) -> Any:
    # PostgreSQL rejects a text with a NUL. A carrier that sends such a text must not block the delivery.
    return value.replace("\x00", "\ufffd") if isinstance(value, str) else value


def _load(kind: Any, row: RowMapping) -> dict[str, Any]:
    values = {}
    for name in _FIELDS[kind]:
        stored = row[name]
        convert = _IN_AND_OUT.get(name)
        if stored is None:
            values[name] = _EMPTY.get(name)
        else:
            values[name] = convert[1](stored) if convert else stored
    return values


def load_attempt(row: RowMapping) -> Attempt:
    """Build an attempt from its row."""
    return Attempt(**_load(Attempt, row))


def load_delivery(row: RowMapping, attempts: Iterable[Attempt]) -> Delivery:
    """Build a delivery from its row, with its attempts in order."""
    return Delivery(**_load(Delivery, row), attempts=tuple(attempts))
