"""The translation of Borzo's order status and delivery status into one of our statuses.

The keys of the tables are `order:<status>` and `delivery:<status>`, because `active`, `canceled`, `delayed` and `draft`
exist for both and mean different things (B-66). The newest order status and the newest delivery status are stored. If a
callback reports only one of the two, the stored value of the other is used. The rules are tried in order, and the first
one that applies decides.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from schemas.status import FINAL, GOODS_WITH_COURIER, RANK, CancelledBy, Evidence, Reason
from schemas.status import DeliveryStatus as S
from worker.carriers.borzo.attempt_state import AttemptMemory, ReportedStatus
from worker.carriers.port import Observation, Raw


@dataclass(frozen=True, slots=True)
class StatusMeaning:
    """What one of Borzo's statuses means."""

    status: S
    evidence: Evidence = Evidence.OBSERVED
    detail: str | None = None
    reason: Reason | None = None
    notes: tuple[str, ...] = ()
    """Diagnostics for the log."""


def _order_level(status: S, detail: str | None = None) -> StatusMeaning:
    return StatusMeaning(status, Evidence.ORDER_LEVEL, detail)


_DRAFT = ("draft",)

STATUS_TABLE: dict[str, StatusMeaning] = {
    "order:new": _order_level(S.CREATED, "pending_verification"),
    "order:available": _order_level(S.CREATED),
    "order:active": _order_level(S.COURIER_ASSIGNED),
    "order:completed": StatusMeaning(S.DELIVERED, Evidence.WEAK),
    "order:reactivated": _order_level(S.CREATED),
    "order:draft": StatusMeaning(S.ON_HOLD, Evidence.ORDER_LEVEL, "draft", Reason.DRAFT, _DRAFT),
    "order:canceled": StatusMeaning(S.CANCELLED),
    "order:delayed": _order_level(S.ON_HOLD),
    "delivery:planned": StatusMeaning(S.CREATED),
    "delivery:courier_assigned": StatusMeaning(S.COURIER_ASSIGNED),
    "delivery:courier_departed": StatusMeaning(S.PICKUP_ENROUTE),  # B-68, B-75: departed *to* the shop, no pickup yet
    "delivery:courier_at_pickup": StatusMeaning(S.PICKUP_ARRIVED),
    "delivery:parcel_picked_up": StatusMeaning(S.PICKED_UP),
    "delivery:active": StatusMeaning(S.COURIER_ASSIGNED, Evidence.WEAK, "in_process"),
    "delivery:courier_arrived": StatusMeaning(S.DROPOFF_ARRIVED),
    "delivery:finished": StatusMeaning(S.DELIVERED),
    "delivery:canceled": StatusMeaning(S.CANCELLED),
    "delivery:delayed": StatusMeaning(S.ON_HOLD),
    "delivery:draft": StatusMeaning(S.ON_HOLD, detail="draft", reason=Reason.DRAFT, notes=_DRAFT),
    "delivery:invalid": StatusMeaning(S.FAILED, reason=Reason.INVALID, notes=("invalid",)),
    "delivery:deleted": StatusMeaning(S.FAILED, reason=Reason.DELETED, notes=("deleted",)),
    "delivery:return_planned": StatusMeaning(S.RETURNING, detail="planned"),
    "delivery:return_courier_assigned": StatusMeaning(S.RETURNING, detail="courier_assigned"),
    "delivery:return_courier_departed": StatusMeaning(S.RETURNING, detail="courier_departed"),
    "delivery:return_courier_picked_up": StatusMeaning(S.RETURNING, detail="picked_up"),
    "delivery:return_finished": StatusMeaning(S.RETURNED),
    "delivery:reattempt_planned": StatusMeaning(S.REATTEMPTING, detail="planned"),
    "delivery:reattempt_courier_assigned": StatusMeaning(S.REATTEMPTING, detail="courier_assigned"),
    "delivery:reattempt_courier_departed": StatusMeaning(S.REATTEMPTING, detail="courier_departed"),
    "delivery:reattempt_courier_picked_up": StatusMeaning(S.REATTEMPTING, detail="picked_up"),
    "delivery:reattempt_finished": StatusMeaning(S.DELIVERED),
    # Not in the document; the sibling API reports it when the courier could not find the customer (B-70).
    "delivery:failed": StatusMeaning(S.DELIVERY_FAILED, reason=Reason.CUSTOMER_UNAVAILABLE),
}

_ONCE_PICKED_UP = {"delivery:active": StatusMeaning(S.DROPOFF_ENROUTE, Evidence.WEAK)}
"""Meanings that replace those of `STATUS_TABLE` once a poll or a callback has shown that the goods left the shop.

They no longer apply after Borzo reactivates the order, because a new courier starts without the goods (B-67).
"""
_ONCE_CANCEL_REQUESTED = {"delivery:deleted": StatusMeaning(S.CANCELLED)}
"""Meanings that replace those of `STATUS_TABLE` once we have requested a cancel (B-72)."""
_HOLD = frozenset({"delayed", "draft"})
"""Order statuses that mean `on_hold` while the order has no courier (B-72, B-73)."""
_FINISHED = frozenset({"finished", "reattempt_finished", "return_finished"})
"""Delivery statuses that decide even if the order is cancelled."""
_LAST = _FINISHED | {"canceled", "deleted", "invalid"}
"""Delivery statuses after which no other status is expected."""
_EXPLAINED = frozenset({S.CANCELLED, S.FAILED, S.DELIVERY_FAILED, S.RETURNING, S.RETURNED, S.REATTEMPTING, S.ON_HOLD})
"""Statuses whose free text is kept as the reason."""
_ON_THE_WAY_TO_SHOP = frozenset({S.PICKUP_ENROUTE, S.PICKUP_ARRIVED})
GOODS_LEFT_SHOP = frozenset(
    {S.PICKED_UP, S.DROPOFF_ARRIVED, S.DELIVERED, S.DELIVERY_FAILED, S.REATTEMPTING, S.RETURNING}
)
"""Statuses that prove that the goods left the shop."""
SECOND_READ = "completed_needs_second_read"
"""The note on a completed order that is not `delivered` yet, because a second read has to confirm its completion."""


def map_status(
    entity: str, code: str | None, *, picked_up: bool = False, cancel_requested: bool = False
) -> StatusMeaning | None:
    """Return what a status of an "order" or a "delivery" means; None for a status that `STATUS_TABLE` lacks."""
    key = f"{entity}:{code}"
    overrides = (_ONCE_PICKED_UP if picked_up else {}) | (_ONCE_CANCEL_REQUESTED if cancel_requested else {})
    return overrides.get(key) or STATUS_TABLE.get(key)


def meanings(raw: Raw) -> frozenset[S | None]:
    """Return every status that one of Borzo's statuses may mean, depending on the attempt.

    A completed order may have no status, because a second read has to confirm it (B-65).
    """
    key = f"{raw.entity}:{raw.code}"
    found = [table[key] for table in (STATUS_TABLE, _ONCE_PICKED_UP, _ONCE_CANCEL_REQUESTED) if key in table]
    vague = any(_is_vague(each) for each in found)
    unclear = not found or key == "order:completed"
    return frozenset(
        {each.status for each in found} | (_ON_THE_WAY_TO_SHOP if vague else set()) | ({None} if unclear else set())
    )


@dataclass(frozen=True, slots=True)
class StatusReport:
    """The statuses that one message reports."""

    order: ReportedStatus | None
    delivery: ReportedStatus | None
    polled: bool
    """Whether the message is a poll, which reports the present. A callback reports a change that may be old."""
    reported_at: datetime | None = None
    """The time of the message by Borzo's clock; None for a poll and for a callback without a time."""
    return_required: bool = False

    def is_order(self, code: str) -> bool:
        """Return whether the message reports the order status `code`."""
        return self.order is not None and self.order.code == code


@dataclass(frozen=True, slots=True)
class _Situation:
    order: ReportedStatus | None
    delivery: ReportedStatus | None
    order_meaning: StatusMeaning | None
    delivery_meaning: StatusMeaning | None
    report: StatusReport
    memory: AttemptMemory
    reported_at: datetime | None
    """The time by which the observation is ordered among callbacks, by Borzo's clock; None without such a time."""


@dataclass(frozen=True, slots=True)
class _Resolution:
    entity: str
    status: ReportedStatus
    meaning: StatusMeaning | None
    notes: tuple[str, ...] = ()


def resolve(report: StatusReport, memory: AttemptMemory) -> Observation | None:
    """Return what a message shows, read together with the stored statuses; None when the message has no status."""
    if report.order is None and report.delivery is None:
        return None
    situation = _situation(report, memory)
    resolution = next(filter(None, (rule(situation) for rule in _RULES)), None)
    return _observation(resolution, situation) if resolution else None


def _situation(report: StatusReport, memory: AttemptMemory) -> _Situation:
    order = _newest(report.order, ReportedStatus.load(memory.codec_state.get("order_status")), report)
    late_order = report.order is not None and order != report.order and not report.polled
    if late_order:
        report = replace(report, order=None)  # B-84: the order status of a late message is not new
    delivery = _newest(report.delivery, _remembered_delivery(report, memory), report)
    late = late_order or (report.delivery is not None and delivery != report.delivery)
    picked_up = memory.has_mark("picked_up_seen") and not report.is_order("reactivated")
    order_code, code = order.code if order else None, delivery.code if delivery else None
    return _Situation(
        order=order,
        delivery=delivery,
        order_meaning=map_status("order", order_code),
        delivery_meaning=map_status("delivery", code, picked_up=picked_up, cancel_requested=memory.cancel_requested),
        report=report,
        memory=memory,
        reported_at=_reported_at(report, order, delivery, late=late),
    )


def _reported_at(
    report: StatusReport, order: ReportedStatus | None, delivery: ReportedStatus | None, *, late: bool
) -> datetime | None:
    """Return the time by which an observation is ordered among callbacks.

    None for a poll and for a message without a time. A late message keeps its own time. Any other message gets the
    newer time of the two statuses.
    """
    if report.polled or report.reported_at is None or late:
        return report.reported_at
    known = (status.reported_at for status in (order, delivery) if status)
    return max(filter(None, known), default=report.reported_at)


def _remembered_delivery(report: StatusReport, memory: AttemptMemory) -> ReportedStatus | None:
    """Return the stored delivery status, unless the message's order status replaces it (B-65, B-67).

    In a message without a delivery status, `reactivated` replaces every stored one. `completed` replaces a stored one
    that is not in `_LAST`.
    """
    status = ReportedStatus.load(memory.codec_state.get("delivery_status"))
    if report.delivery is not None or status is None:
        return status
    overtaken = report.is_order("reactivated") or (report.is_order("completed") and status.code not in _LAST)
    return None if overtaken else status


def _newest(
    reported: ReportedStatus | None, remembered: ReportedStatus | None, report: StatusReport
) -> ReportedStatus | None:
    """Return the newer of the reported and the remembered status (B-84).

    A polled status is always the newer one. Otherwise Borzo's own times decide. Without times to compare, the reported
    status is the newer one.

    A poll has no time by Borzo's clock. Its status keeps the time of the last callback, so that a callback from before
    that time still counts as older.
    """
    if reported is None or remembered is None:
        return reported or remembered
    if report.polled:
        return replace(reported, reported_at=remembered.reported_at)
    return remembered if reported.is_older_than(remembered) else reported


def _cancelled_order(it: _Situation) -> _Resolution | None:
    """Resolve a cancelled order as cancelled, unless its delivery has finished (B-71)."""
    if it.order is None or it.order.code != "canceled":
        return None
    if it.delivery and it.delivery.code in _FINISHED:
        return _Resolution("delivery", it.delivery, it.delivery_meaning, ("cancelled_but_finished",))
    return _Resolution("order", it.order, it.order_meaning)


def _held_order(it: _Situation) -> _Resolution | None:
    """Resolve a delayed or draft order as on hold, if it has no courier yet.

    If a courier is under way, a delayed order keeps its delivery status, with the detail `delayed` (B-72, B-73).
    """
    if not (it.order and it.delivery and it.delivery_meaning) or it.order.code not in _HOLD:
        return None
    if it.delivery_meaning.status is S.CREATED:
        return _Resolution("order", it.order, it.order_meaning)
    rank = RANK.get(it.delivery_meaning.status, 0)
    under_way = it.delivery_meaning.status not in FINAL and rank >= RANK[S.COURIER_ASSIGNED]
    if it.order.code == "delayed" and under_way:
        return _Resolution("delivery", it.delivery, replace(it.delivery_meaning, detail="delayed"))
    return None


def _any_delivery(it: _Situation) -> _Resolution | None:
    """Resolve an order by its delivery status, even by an unmapped one, rather than by its order status (B-65)."""
    if it.delivery is None:
        return None
    meaning, order = it.delivery_meaning, it.order_meaning
    if meaning and order and meaning.status is order.status is S.CREATED:
        meaning = replace(meaning, detail=order.detail)
    return _Resolution("delivery", it.delivery, meaning)


def _completed_order(it: _Situation) -> _Resolution | None:
    """Resolve a completed order without a delivery status as delivered, once a second read confirms it (B-65, I12).

    If the goods may have gone back to the shop, the order gets no status.
    """
    if it.order is None or it.order.code != "completed":
        return None
    if it.report.return_required or it.memory.has_mark("return_seen"):
        return _Resolution("order", it.order, None, ("completed_after_return",))
    if not it.report.polled or not it.memory.has_mark("completed_seen"):
        return _Resolution("order", it.order, None, (SECOND_READ,))
    return _Resolution("order", it.order, it.order_meaning, ("completed_without_delivery",))


def _any_order(it: _Situation) -> _Resolution | None:
    return _Resolution("order", it.order, it.order_meaning) if it.order else None


_RULES = (_cancelled_order, _held_order, _any_delivery, _completed_order, _any_order)


def _observation(resolution: _Resolution, it: _Situation) -> Observation:
    meaning, status = resolution.meaning, resolution.status
    raw = Raw(resolution.entity, status.code, it.memory.redact(status.text))
    seen = Observation(
        status=None,
        raw=None if SECOND_READ in resolution.notes else raw,
        carrier_time=it.reported_at,
        occurred_at=status.changed_at or (None if it.report.polled else status.reported_at),
        codec_state=_codec_state(it),
        notes=resolution.notes,
    )
    return _with_meaning(seen, meaning, it) if meaning else seen


def _with_meaning(seen: Observation, meaning: StatusMeaning, it: _Situation) -> Observation:
    cancelled = meaning.status is S.CANCELLED
    cancelled_by = CancelledBy.MERCHANT if it.memory.cancel_requested else CancelledBy.UNKNOWN
    return replace(
        seen,
        status=_not_before_shop(meaning, it.memory),
        evidence=meaning.evidence,
        detail="with_items" if cancelled and _goods_left_shop(it) else meaning.detail,
        reason=meaning.reason,
        reason_text=seen.raw.text if seen.raw and meaning.status in _EXPLAINED else None,
        cancelled_by=cancelled_by if cancelled else None,
        reopens=it.report.is_order("reactivated") and meaning.status not in FINAL,
        notes=meaning.notes + seen.notes,
    )


def _not_before_shop(meaning: StatusMeaning, memory: AttemptMemory) -> S:
    """Return the status of a meaning, or the stored status if it is more exact.

    It is more exact if Borzo says only "in process" and the courier is known to be at the shop or on the way there.
    """
    more_exact = _is_vague(meaning) and memory.state in _ON_THE_WAY_TO_SHOP
    return S(memory.state) if more_exact else meaning.status


def _is_vague(meaning: StatusMeaning) -> bool:
    return meaning.evidence is Evidence.WEAK and meaning.status is S.COURIER_ASSIGNED


def _goods_left_shop(it: _Situation) -> bool:
    left_now = it.delivery_meaning is not None and it.delivery_meaning.status in GOODS_LEFT_SHOP
    return left_now or it.memory.has_mark("picked_up_seen") or it.memory.rank >= GOODS_WITH_COURIER


def _codec_state(it: _Situation) -> dict[str, str]:
    statuses = {"order_status": it.order, "delivery_status": it.delivery}
    return {key: status.dump() for key, status in statuses.items() if status} | _marks(it.report, it.memory)


def _marks(report: StatusReport, memory: AttemptMemory) -> dict[str, str]:
    """Return the marks to set ("1") and to clear ("").

    `return_seen` is never cleared (I12). A reactivated order clears `picked_up_seen`, because a new courier starts
    without the goods (B-67).
    """
    code = report.delivery.code if report.delivery else ""
    meaning = map_status("delivery", code)
    marks: dict[str, str] = {}
    if report.is_order("reactivated") and memory.has_mark("picked_up_seen"):
        marks["picked_up_seen"] = ""
    if meaning and meaning.status in GOODS_LEFT_SHOP:
        marks["picked_up_seen"] = "1"
    if code.startswith("return_"):
        marks["return_seen"] = "1"
    if report.is_order("completed") and report.delivery is None:
        marks["completed_seen"] = "1"
    elif report.order and memory.has_mark("completed_seen"):
        marks["completed_seen"] = ""
    return marks
