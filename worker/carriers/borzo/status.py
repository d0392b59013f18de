"""Borzo's words -> ours, row by row.

Keys are `order:<word>` and `delivery:<word>`, because `active`, `canceled`, `delayed` and `draft` are said of both and
mean different things (B-66).
"""

from dataclasses import dataclass

from schemas.status import DeliveryStatus as S
from schemas.status import Evidence, Reason


@dataclass(frozen=True, slots=True)
class Meaning:
    """What one word says. `notes` are the alerts that go with it."""

    status: S
    evidence: Evidence = Evidence.OBSERVED
    detail: str | None = None
    reason: Reason | None = None
    notes: tuple[str, ...] = ()


def _ordered(status: S, detail: str | None = None) -> Meaning:
    return Meaning(status, Evidence.ORDER_LEVEL, detail)


_DRAFT = ("draft",)

TABLE: dict[str, Meaning] = {
    "order:new": _ordered(S.CREATED, "pending_verification"),
    "order:available": _ordered(S.CREATED),
    "order:active": _ordered(S.COURIER_ASSIGNED),
    "order:completed": Meaning(S.DELIVERED, Evidence.WEAK),
    "order:reactivated": _ordered(S.CREATED),
    "order:draft": Meaning(S.ON_HOLD, Evidence.ORDER_LEVEL, "draft", Reason.DRAFT, _DRAFT),
    "order:canceled": Meaning(S.CANCELLED),
    "order:delayed": _ordered(S.ON_HOLD),
    "delivery:planned": Meaning(S.CREATED),
    "delivery:courier_assigned": Meaning(S.COURIER_ASSIGNED),
    "delivery:courier_departed": Meaning(S.PICKUP_ENROUTE),  # B-68, B-75: departed *to* the shop, proves no pickup
    "delivery:courier_at_pickup": Meaning(S.PICKUP_ARRIVED),
    "delivery:parcel_picked_up": Meaning(S.PICKED_UP),
    "delivery:active": Meaning(S.COURIER_ASSIGNED, Evidence.WEAK, "in_process"),
    "delivery:courier_arrived": Meaning(S.DROPOFF_ARRIVED),
    "delivery:finished": Meaning(S.DELIVERED),
    "delivery:canceled": Meaning(S.CANCELLED),
    "delivery:delayed": Meaning(S.ON_HOLD),
    "delivery:draft": Meaning(S.ON_HOLD, detail="draft", reason=Reason.DRAFT, notes=_DRAFT),
    "delivery:invalid": Meaning(S.FAILED, reason=Reason.INVALID, notes=("invalid",)),
    "delivery:deleted": Meaning(S.FAILED, reason=Reason.DELETED, notes=("deleted",)),
    "delivery:return_planned": Meaning(S.RETURNING, detail="planned"),
    "delivery:return_courier_assigned": Meaning(S.RETURNING, detail="courier_assigned"),
    "delivery:return_courier_departed": Meaning(S.RETURNING, detail="courier_departed"),
    "delivery:return_courier_picked_up": Meaning(S.RETURNING, detail="picked_up"),
    "delivery:return_finished": Meaning(S.RETURNED),
    "delivery:reattempt_planned": Meaning(S.REATTEMPTING, detail="planned"),
    "delivery:reattempt_courier_assigned": Meaning(S.REATTEMPTING, detail="courier_assigned"),
    "delivery:reattempt_courier_departed": Meaning(S.REATTEMPTING, detail="courier_departed"),
    "delivery:reattempt_courier_picked_up": Meaning(S.REATTEMPTING, detail="picked_up"),
    "delivery:reattempt_finished": Meaning(S.DELIVERED),
    # Not in the document; the sibling API says it when the courier could not find the client (B-70).
    "delivery:failed": Meaning(S.DELIVERY_FAILED, reason=Reason.CUSTOMER_UNAVAILABLE),
}

ONCE_PICKED_UP = {"delivery:active": Meaning(S.DROPOFF_ENROUTE, Evidence.WEAK)}
"""What a word means instead, once the parcel was seen with the courier."""

WHEN_CANCELLING = {"delivery:deleted": Meaning(S.CANCELLED)}
"""What a word means instead, once we have asked for a cancel (B-72)."""

HOLDING = frozenset({"delayed", "draft"})
"""Order words that hold a delivery nobody has been assigned to yet (B-72, B-73)."""

FINISHED = frozenset({"finished", "reattempt_finished", "return_finished"})
"""Delivery words that outlive the cancel of their order."""

SETTLED = FINISHED | {"canceled", "deleted", "invalid"}
"""Delivery words after which no other is to be expected."""

CARRYING = frozenset({S.PICKED_UP, S.DROPOFF_ARRIVED, S.DELIVERED, S.DELIVERY_FAILED, S.REATTEMPTING, S.RETURNING})
"""Statuses that prove that the parcel left the shop."""


def meaning_of(key: str, *, picked_up: bool = False, cancelling: bool = False) -> Meaning | None:
    """Translate a namespaced word; None when Borzo has never documented it."""
    instead = (ONCE_PICKED_UP if picked_up else {}) | (WHEN_CANCELLING if cancelling else {})
    return instead.get(key) or TABLE.get(key)
