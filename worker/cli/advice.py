"""What a delivery waits for, and what an operator can type about it. The whole story is in docs/reliability.md."""

from collections.abc import Iterator, Mapping
from shlex import quote

from schemas.status import DeliveryStatus, Detail
from worker.carriers.port import reference_of
from worker.domain.delivery import Attempt, Delivery

ASKED: Mapping[str, str] = {
    "unknown_store": "there is no store {store}: `order-sync stores load FILE`",
    "no_configured_carrier": "give a carrier of the store's list an account (`order-sync check`), or cancel it",
    "duplicate_at_carrier": "look on the carrier's screen: `order-sync resolve {order} exists REF`, or `absent`",
    "outcome_unknown": "look on the carrier's screen: `order-sync resolve {order} exists REF`, or `absent`",
    "not_dispatched_in_time": "nobody has been sent and the pickup is near: `order-sync carriers` may say why",
    "reference_missing": "find it on the carrier's screen: `order-sync resolve {order} exists REF`",
    "surplus_courier": "telephone {carrier}: a courier too many could not be cancelled; then {attended}",
    "went_backwards": "look on the carrier's screen; then {attended}",
    "still_open_after_a_day": "look on the carrier's screen; then {attended}",
    "goods_with_courier": "telephone {carrier}: it ended with the goods on the road; then {attended}",
    "platform_canceled_by_driver": "ask the shop whether it stands: `order-sync cancel {order}`, or {attended}",
    "platform_pickup_failed": "ask the shop whether it stands: `order-sync cancel {order}`, or {attended}",
    "offer_waits": "`order-sync accept {order}`, or `order-sync deny {order}`",
    "order_changed_after_dispatch": "telephone {carrier}, which has the order as it was; then {attended}",
    "order_changed_without_revision": "its last change was not taken; when that is right, {attended}",
}
"""What to do about each word that a person is asked with."""


def advice(delivery: Delivery) -> list[str]:
    """Say what a person can do about a delivery, a line for each thing; nothing when it goes by itself."""
    return [*_asked(delivery), *_gate(delivery), *_by_hand(delivery), *_words(delivery)]


def _asked(delivery: Delivery) -> Iterator[str]:
    order = quote(delivery.order.order_id)
    found = {
        "order": order,
        "attended": f"`order-sync attended {order}`",
        "store": delivery.order.store_id,
        "carrier": _carrier(delivery),
    }
    for word in delivery.attention_reasons:
        if word in ASKED:
            yield f"{word}: {ASKED[word].format(**found)}"


def _carrier(delivery: Delivery) -> str:
    attempts = [each for each in delivery.attempts if each.surplus and each.live] or delivery.attempts
    return attempts[-1].carrier if attempts else delivery.carrier or "the carrier"


def _gate(delivery: Delivery) -> Iterator[str]:
    if delivery.gate and delivery.status is DeliveryStatus.QUEUED:
        yield f"it goes when the shop says {delivery.gate}: on the platform, or an `order.updated` with that status"


def _by_hand(delivery: Delivery) -> Iterator[str]:
    if delivery.active is not None and delivery.detail == Detail.MANUAL_DISPATCH:
        tag = reference_of(delivery.active.id)
        yield f"book a driver on the own pages of {delivery.active.carrier}, for what has {tag} in its remarks"


def _words(delivery: Delivery) -> Iterator[str]:
    for attempt in delivery.attempts:
        if attempt.unmapped_status is not None:
            word = quote(f"{attempt.unmapped_status.entity}:{attempt.unmapped_status.code}")
            yield f"nobody knows {word}: `order-sync carriers map {attempt.carrier} {word} STATUS`"


def change_of(delivery: Delivery, attempt: Attempt) -> str | None:
    """Tell how a change of the order stands at the carrier; None where it knows the order as it is, or is done."""
    if attempt.amend_refused:
        return "refused"
    if attempt.pending_fingerprint is not None:
        return "asked"
    return "waits" if attempt.live and attempt.sent_fingerprint not in {None, delivery.fingerprint} else None


def cancel_of(attempt: Attempt) -> str | None:
    """Tell how a cancel stands at the carrier; None where it was never asked."""
    if attempt.cancel_refused:
        return "refused"
    if attempt.cancel_accepted:
        return "taken"
    return "asked" if attempt.cancel_requested else None
