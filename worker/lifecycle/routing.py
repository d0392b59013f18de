"""Which carrier is asked next."""

from datetime import datetime

from schemas.status import Cause
from schemas.stores import Store
from worker import schedule
from worker.delivery import Change, Delivery
from worker.lifecycle.edit import Edit, Rules


def route(delivery: Delivery, store: Store | None, rules: Rules, now: datetime) -> Change:
    """Try again to give a waiting delivery its store and a carrier."""
    edit = Edit(delivery, rules, now, Cause.TIMER)
    edit.set(retry_at=None)
    choose_carrier(edit, store)
    return edit.done()


def choose_carrier(edit: Edit, store: Store | None) -> None:
    """Give a delivery its store, its time and the first carrier to ask, or ask for a person."""
    if store is None:
        edit.attend("unknown_store")
        return
    order = edit.delivery.order
    # From when it came, not from now: what is routed again and again would never be late.
    edit.set(store=store, dispatch_at=schedule.dispatch_at(order, store, edit.delivery.created_at))
    edit.set(carrier=next_carrier(edit.delivery, edit.rules))
    if edit.delivery.carrier is None:
        edit.attend("no_configured_carrier")
        return
    edit.relieve()


def next_carrier(delivery: Delivery, rules: Rules) -> str | None:
    """Name the next of the order's or store's carriers that has an account and has not said no."""
    assert delivery.store is not None  # noqa: S101 - routed first
    done = [attempt for attempt in delivery.attempts if attempt.ended_at is not None or attempt.surplus]
    # A carrier whose order was never created has not said no.
    asked = {attempt.carrier for attempt in done if not attempt.written_off}
    wanted = delivery.order.carriers or delivery.store.carriers
    return next((name for name in wanted if name in rules and name not in asked), None)
