"""Which carrier is asked next: the first of the list that has an account, has not said no, and could take the order."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from schemas.events import EventType
from schemas.status import Cause, DeliveryStatus, Reason
from schemas.stores import Store
from worker.domain import schedule
from worker.domain.delivery import Change, Delivery
from worker.domain.lifecycle.change import ChangeBuilder, TermsByAccount
from worker.errors import Refused

FALLBACK = "fallback"
"""The detail of a delivery that waits for another carrier than the first."""


def route(delivery: Delivery, store: Store | None, rules: TermsByAccount, now: datetime) -> Change:
    """Try again to give a waiting delivery its store and a carrier."""
    edit = ChangeBuilder(delivery, rules, now, Cause.TIMER)
    edit.update(retry_at=None)
    if delivery.gate is None or delivery.store_changed or delivery.carrier not in rules:
        choose_carrier(edit, store)
    return edit.build()


def choose_carrier(edit: ChangeBuilder, store: Store | None) -> None:
    """Give a delivery its store, its time and the first carrier that can take it; otherwise end it or ask a person."""
    if store is None:
        edit.request_attention("unknown_store")
        return
    order = edit.delivery.order
    edit.update(store=store, dispatch_at=schedule.dispatch_time(order, store, _begun(edit.delivery, edit.now)))
    left = _left(edit.delivery, edit.rules)
    # Only what this settles: behind a closed gate it is routed every minute, and may wait for a person about more.
    edit.clear_attention({"unknown_store", "no_configured_carrier"} if left else {"unknown_store"})
    refusals: dict[str, Refused] = {}
    # Who was turned to because another could not be called stays in turn: a change of the order makes nobody answer.
    turned_to = [edit.delivery.carrier] if edit.delivery.detail == FALLBACK else []
    chosen = _fitting(edit, sorted(left, key=lambda name: name not in turned_to), refusals)
    if chosen is None:
        edit.update(carrier=None)
        _nobody(edit, refusals)
        return
    if chosen != edit.delivery.carrier:
        set_carrier(edit, chosen)


def _begun(delivery: Delivery, now: datetime) -> datetime:
    """Tell since when somebody could be sent: not since now, or what is routed again and again would never be late."""
    return max(delivery.created_at, min(delivery.dispatch_at or delivery.created_at, now))


def _nobody(edit: ChangeBuilder, refusals: Mapping[str, Refused]) -> None:
    """Take that no carrier can be asked: for want of an account, which may come, or because none could take it."""
    if not refusals:
        edit.request_attention("no_configured_carrier")
    elif edit.delivery.gate is None:  # nobody knows yet when the shop opens the gate, and who is at work then
        why = next(iter(refusals.values()))
        reject(edit, why.reason, "; ".join(f"{carrier}: {refused}" for carrier, refused in refusals.items()))


def reject(edit: ChangeBuilder, reason: Reason, text: str | None = None) -> None:
    """End a delivery for which nothing stands at any carrier."""
    for each in edit.delivery.attempts:
        if each.ended_at is None and not each.live:
            edit.update_attempt(each, state=DeliveryStatus.REJECTED.value, ended_at=edit.now, reason=reason)
    edit.set_status(DeliveryStatus.REJECTED, reason=reason, reason_text=text)
    edit.add_event(EventType.DISPATCH_FAILED)


def set_carrier(edit: ChangeBuilder, carrier: str | None) -> None:
    """Make a carrier the one to ask, from now on; None when it is to be chosen first."""
    edit.update(carrier=carrier, carrier_since=edit.now, failures=0, retry_at=None)


def next_carrier(edit: ChangeBuilder) -> str | None:
    """Name the next carrier that can be asked after another one has said no."""
    return _fitting(edit, _left(edit.delivery, edit.rules), {})


def fail_over(edit: ChangeBuilder, *, first: bool) -> None:
    """Turn to another carrier when the one to ask could not be called for too long; `first` starts to count that.

    That is safe as nothing stands anywhere: what was not sent there is taken up again only when its turn comes again.
    """
    delivery = edit.delivery
    if delivery.active is not None or delivery.status is not DeliveryStatus.QUEUED:
        return
    if delivery.store is None or delivery.store_changed:
        return
    others = _others(delivery, edit.rules)
    if not others:
        return
    if first:
        edit.update(carrier_since=edit.now)
    at = _failover_at(edit.delivery)
    if edit.now < at:
        edit.update(retry_at=min(delivery.retry_at or at, at))
    elif chosen := _fitting(edit, others, {}):
        set_carrier(edit, chosen)
        edit.set_status(DeliveryStatus.QUEUED, detail=FALLBACK)


def _failover_at(delivery: Delivery) -> datetime:
    assert delivery.store is not None  # noqa: S101 - routed first
    since = max(delivery.carrier_since or delivery.changed_at, delivery.changed_at)
    return schedule.failover_time(delivery.order, delivery.store, delivery.created_at, since)


def _others(delivery: Delivery, rules: TermsByAccount) -> list[str]:
    """List the carriers that may be asked in the place of this one: those behind it in the list, then from its top."""
    left = _left(delivery, rules)
    if delivery.carrier not in left:
        return left
    place = left.index(delivery.carrier)
    return left[place + 1 :] + left[:place]


def _left(delivery: Delivery, rules: TermsByAccount) -> list[str]:
    """List the order's or store's carriers that have an account and have not said no."""
    assert delivery.store is not None  # noqa: S101 - routed first
    done = [each for each in delivery.attempts if each.ended_at is not None or each.surplus]
    # A carrier whose order was never created has not said no.
    asked = {each.carrier for each in done if each.number > delivery.retried_after_attempt and not each.never_created}
    wanted = dict.fromkeys(delivery.order.carriers or delivery.store.carriers)
    return [name for name in wanted if name in rules and name not in asked]


def _fitting(edit: ChangeBuilder, carriers: Iterable[str], refusals: dict[str, Refused]) -> str | None:
    """Name the first carrier that could take the order when it is asked, and note why those before it could not."""
    delivery, order, store = edit.delivery, edit.delivery.order, edit.delivery.store
    assert store is not None  # noqa: S101 - routed first
    at = max(edit.now, delivery.dispatch_at or edit.now)
    for name in carriers:
        refused = edit.rules[name].refuses(order, store, at)
        if refused is None:
            return name
        refusals[name] = refused
    return None
