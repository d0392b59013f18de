"""Advice to an operator about a delivery, with the commands to use. docs/reliability.md explains each reason."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from shlex import quote

from schemas.status import DeliveryStatus, Detail
from worker.carriers.port import reference_of
from worker.domain.delivery import Attempt, Delivery
from worker.domain.lifecycle import retry_blocker

RESOLVE = "look at the carrier's own screen: `order-sync resolve {order} exists REF`, or `absent`"
LOOK = "look at the carrier's own screen; then {attended}"
ASK_SHOP = "ask the shop whether the order is still wanted: `order-sync cancel {order}`, or {attended}"
ADVICE: Mapping[str, str] = {
    "unknown_store": "the store directory has no store {store}: `order-sync stores load FILE`",
    "no_configured_carrier": "no carrier is left to ask: configure an account for another one, or cancel it",
    "duplicate_at_carrier": RESOLVE,
    "outcome_unknown": RESOLVE,
    "not_dispatched_in_time": "no courier has been sent and the pickup is near: `order-sync carriers` may say why",
    "reference_missing": "find the order on the carrier's own screen: `order-sync resolve {order} exists REF`",
    "surplus_courier": "phone {carrier}: a surplus courier could not be cancelled; then {attended}",
    "went_backwards": LOOK,
    "still_open_after_a_day": LOOK,
    "goods_with_courier": "phone {carrier}: the delivery ended while the courier had the goods; then {attended}",
    "platform_canceled_by_driver": ASK_SHOP,
    "platform_pickup_failed": ASK_SHOP,
    "offer_waits": "`order-sync accept {order}`, or `order-sync deny {order}`",
    "order_changed_after_dispatch": "phone {carrier}, which does not know that the order changed; then {attended}",
    "cancel_refused": "phone {carrier}: it refused the cancel, and the courier may still come; then {attended}",
    "order_changed_without_revision": "a change without a new revision was not applied; if that is right, {attended}",
}
"""The advice for each attention reason."""


def advice(delivery: Delivery, now: datetime) -> list[str]:
    """Return one line of advice for each thing that an operator can do about a delivery."""
    return [
        *_attention(delivery),
        *_retry(delivery, now),
        *_gate(delivery),
        *_manual_dispatch(delivery),
        *_unmapped_statuses(delivery),
    ]


def _attention(delivery: Delivery) -> Iterator[str]:
    order = quote(delivery.order.order_id)
    values = {
        "order": order,
        "attended": f"`order-sync attended {order}`",
        "store": delivery.order.store_id,
        "carrier": _carrier(delivery),
    }
    for reason in delivery.attention_reasons:
        if reason in ADVICE:
            yield f"{reason}: {ADVICE[reason].format(**values)}"


def _retry(delivery: Delivery, now: datetime) -> Iterator[str]:
    if delivery.status is DeliveryStatus.REJECTED and retry_blocker(delivery, now) is None:
        order = quote(delivery.order.order_id)
        yield (
            f"if the order is still wanted: `order-sync retry {order}` asks every carrier again; "
            "if the order is wrong, send it with a greater revision first"
        )


def _carrier(delivery: Delivery) -> str:
    attempts = [each for each in delivery.attempts if each.surplus and each.live] or delivery.attempts
    return attempts[-1].carrier if attempts else delivery.carrier or "the carrier"


def _gate(delivery: Delivery) -> Iterator[str]:
    if delivery.gate and delivery.status is DeliveryStatus.QUEUED:
        yield f"the shop must set it to {delivery.gate}, on the platform or by an `order.updated` with that status"


def _manual_dispatch(delivery: Delivery) -> Iterator[str]:
    if delivery.active is not None and delivery.detail == Detail.MANUAL_DISPATCH:
        reference = reference_of(delivery.active.id)
        yield f"book a driver on {delivery.active.carrier}'s own screen for the order with {reference} in its remarks"


def _unmapped_statuses(delivery: Delivery) -> Iterator[str]:
    for attempt in delivery.attempts:
        if attempt.unmapped_status is not None:
            status = quote(f"{attempt.unmapped_status.entity}:{attempt.unmapped_status.code}")
            yield f"{status} is an unmapped status: `order-sync carriers map {attempt.carrier} {status} STATUS`"


def change_of(delivery: Delivery, attempt: Attempt) -> str | None:
    """Return the state of an attempt's amendment: `waits`, `asked` or `refused`; None when no amendment is needed."""
    if attempt.amend_refused:
        return "refused"
    if attempt.pending_fingerprint is not None:
        return "asked"
    return "waits" if attempt.live and attempt.sent_fingerprint not in {None, delivery.fingerprint} else None


def cancel_of(attempt: Attempt) -> str | None:
    """Return the state of an attempt's cancel at the carrier; None when the carrier was never asked.

    The states are `asked`, `taken` (the carrier accepted the cancel) and `refused`.
    """
    if attempt.cancel_refused:
        return "refused"
    if attempt.cancel_accepted:
        return "taken"
    return "asked" if attempt.cancel_requested else None
