"""The choice of the next carrier: for a new delivery, after a refusal, and when a carrier is unavailable.

The list of carriers comes from the order. If the order has no list, the store's list is used. The carriers are tried in
the order of the list. A carrier that has refused is not asked again. A carrier that cannot take the order is skipped
without a call.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from schemas.events import EventType
from schemas.status import AttemptState, AttentionReason, Cause, DeliveryStatus, Detail, Reason
from schemas.stores import Store
from worker.domain import schedule
from worker.domain.carrier_terms import TermsByAccount
from worker.domain.delivery import Change, Delivery, PassedOver, replace
from worker.domain.lifecycle.change import ChangeBuilder, StatusDetails


def route(delivery: Delivery, store: Store | None, terms: TermsByAccount, now: datetime) -> Change:
    """Choose a carrier again for a delivery that waits without an attempt.

    `store` is the store of the order; None while the store is unknown.
    """
    change = ChangeBuilder(delivery, terms, now, Cause.TIMER)
    change.cancel_retry()
    if delivery.gate is None or delivery.store_changed or delivery.carrier not in terms:
        choose_carrier(change, store)
    return change.build()


def choose_carrier(change: ChangeBuilder, store: Store | None) -> None:
    """Set the delivery's store, dispatch time and carrier. The first carrier that can take the order is chosen.

    If the store is unknown or has no usable carrier, an operator is requested. If no carrier can take the order, the
    delivery is rejected, but not while the delivery waits at a closed gate.
    """
    if store is None:
        change.request_attention(AttentionReason.UNKNOWN_STORE)
        return
    delivery = change.delivery
    dispatch_at = schedule.dispatch_time(delivery.order, store, _first_dispatch(delivery, change.now))
    change.update(replace(delivery, store=store, dispatch_at=dispatch_at))
    carriers = _carriers_left(change.delivery, change.terms)
    # Clear only these two. A delivery behind a closed gate is routed every minute, and must keep its other reasons.
    settled = {AttentionReason.UNKNOWN_STORE, AttentionReason.NO_CONFIGURED_CARRIER}
    change.clear_attention(settled if carriers else {AttentionReason.UNKNOWN_STORE})
    # After a failover, try the current carrier first, because the carrier that it replaced may still be unavailable.
    current = [delivery.carrier] if delivery.detail == Detail.FALLBACK else []
    passed_over = len(change.passed_over)
    chosen = _first_able(change, sorted(carriers, key=lambda name: name not in current))
    if chosen is None:
        change.update(replace(change.delivery, carrier=None))
        _end_without_carrier(change, change.passed_over[passed_over:])
    elif chosen != change.delivery.carrier:
        set_carrier(change, chosen)


def _first_dispatch(delivery: Delivery, now: datetime) -> datetime:
    """Return the earliest time at which a courier could be requested.

    Repeated routing never postpones this time. Alarms count from the dispatch time, so a postponed time would postpone
    the alarms as well.
    """
    return max(delivery.created_at, min(delivery.dispatch_at or delivery.created_at, now))


def _end_without_carrier(change: ChangeBuilder, passed_over: Sequence[PassedOver]) -> None:
    """Reject a delivery that no carrier can take, unless its gate is closed.

    If there was no carrier to check, request an operator instead.
    """
    if not passed_over:
        change.request_attention(AttentionReason.NO_CONFIGURED_CARRIER)
    elif change.delivery.gate is None:  # a carrier that is closed now may be open when the gate opens
        reject(change, passed_over[0].reason, "; ".join(f"{each.carrier}: {each.text}" for each in passed_over))


def reject(change: ChangeBuilder, reason: Reason, text: str | None = None) -> None:
    """Reject a delivery for which no carrier has an order."""
    for each in change.delivery.attempts:
        if each.ended_at is None and not each.live:
            ended = replace(each, state=AttemptState.REJECTED, changed_at=change.now, ended_at=change.now)
            change.update_attempt(replace(ended, reason=reason))
    change.set_status(DeliveryStatus.REJECTED, details=StatusDetails(reason=reason, reason_text=text))
    change.add_event(EventType.DISPATCH_FAILED)


def set_carrier(change: ChangeBuilder, carrier: str | None) -> None:
    """Set the carrier that is asked next, and reset the failures. None means that routing has to choose one."""
    change.update(replace(change.delivery, carrier=carrier, carrier_since=change.now))
    change.reset_failures()


def next_carrier(change: ChangeBuilder) -> str | None:
    """Return the carrier to ask after the end of an attempt; None when no carrier is left that can take the order."""
    return _first_able(change, _carriers_left(change.delivery, change.terms))


# --- failover: the carrier to ask is unavailable ----------------------------------------------------------------------


def fail_over(change: ChangeBuilder, *, first: bool) -> None:
    """Move to another carrier when the current one has been unavailable for too long.

    This time counts from the first failure. `first` means that the present failure is the first. A delivery with an
    active attempt stays at its carrier, because otherwise a second courier could come. An attempt that was never sent
    is kept, and is used when its carrier is asked again.
    """
    delivery = change.delivery
    if delivery.active is not None or delivery.status is not DeliveryStatus.QUEUED:
        return
    if delivery.store is None or delivery.store_changed:
        return
    others = _others(delivery, change.terms)
    if not others:
        return
    if first:
        change.update(replace(delivery, carrier_since=change.now))
    at = _failover_at(change.delivery)
    if change.now < at:
        change.update(replace(change.delivery, retry_at=min(delivery.retry_at or at, at)))
    elif chosen := _first_able(change, others):
        set_carrier(change, chosen)
        change.set_status(DeliveryStatus.QUEUED, details=StatusDetails(Detail.FALLBACK))


def leave_busy_carrier(delivery: Delivery, terms: TermsByAccount, now: datetime) -> Change | None:
    """Move a delivery to another carrier if its create has been due for too long, because the current carrier is busy.

    None when the delivery stays at its carrier.
    """
    change = ChangeBuilder(delivery, terms, now, Cause.TIMER)
    if not delivery.failures and delivery.retry_at is None:
        change.update(replace(delivery, carrier_since=delivery.next_run_at))
    fail_over(change, first=False)
    return change.build() if change.delivery.carrier != delivery.carrier else None


def _failover_at(delivery: Delivery) -> datetime:
    assert delivery.store is not None  # noqa: S101 - routed first
    since = max(delivery.carrier_since or delivery.changed_at, delivery.changed_at)
    return schedule.failover_time(delivery.order, delivery.store, delivery.created_at, since)


def _others(delivery: Delivery, terms: TermsByAccount) -> list[str]:
    """Return the carriers to ask instead of the current carrier: those after it in the list, then those before it."""
    carriers = _carriers_left(delivery, terms)
    if delivery.carrier not in carriers:
        return carriers
    place = carriers.index(delivery.carrier)
    return carriers[place + 1 :] + carriers[:place]


def _carriers_left(delivery: Delivery, terms: TermsByAccount) -> list[str]:
    """Return the carriers of the order's or store's list that have an account and have not refused.

    A carrier counts as refusing if one of its attempts has ended or is surplus. Attempts that were never created, and
    attempts from before an operator's retry, do not count.
    """
    assert delivery.store is not None  # noqa: S101 - routed first
    asked = [each for each in delivery.attempts if each.ended_at is not None or each.surplus]
    # An attempt whose order was never created is no refusal.
    refused = {
        each.carrier for each in asked if each.number > delivery.retried_after_attempt and not each.never_created
    }
    wanted = dict.fromkeys(delivery.order.carriers or delivery.store.carriers)
    return [name for name in wanted if name in terms and name not in refused]


def unable_carriers(delivery: Delivery, terms: TermsByAccount) -> list[PassedOver]:
    """Return the carriers of a delivery's list that routing passes over, because they cannot take the order."""
    if delivery.store is None:
        return []
    at = delivery.dispatch_at or delivery.created_at
    wanted = dict.fromkeys(delivery.order.carriers or delivery.store.carriers)
    checked = {name: terms[name].refuses(delivery.order, delivery.store, at) for name in wanted if name in terms}
    return [PassedOver(name, refused.reason, str(refused)) for name, refused in checked.items() if refused]


def _first_able(change: ChangeBuilder, carriers: Iterable[str]) -> str | None:
    """Return the first carrier that can take the order at its dispatch time. Record the skipped carriers."""
    delivery, order, store = change.delivery, change.delivery.order, change.delivery.store
    assert store is not None  # noqa: S101 - routed first
    at = max(change.now, delivery.dispatch_at or change.now)
    for name in carriers:
        refused = change.terms[name].refuses(order, store, at)
        if refused is None:
            return name
        change.passed_over.append(PassedOver(name, refused.reason, str(refused)))
    return None
