"""Deliveries: one short task for each thing that can be due at a carrier.

A task is only a hint: it re-reads the state under lock, and what is not due is left alone.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from celery import shared_task

from worker import exchange, hints, lifecycle, reads
from worker.carriers.port import Booked, Booking, Call, Carrier, Observation, Reply
from worker.delivery import Attempt, Change, Delivery, Step, booking, view
from worker.exchange import Verb
from worker.wiring import House, house


@shared_task(name="deliveries.book")
def book(carrier: str, delivery_ids: list[str]) -> None:
    """Create the carrier orders of these deliveries."""
    exchange.perform(house(), carrier, delivery_ids, BOOK)


@shared_task(name="deliveries.confirm")
def confirm(carrier: str, delivery_ids: list[str]) -> None:
    """Accept or deny what the carrier offers."""
    exchange.perform(house(), carrier, delivery_ids, CONFIRM)


@shared_task(name="deliveries.cancel")
def cancel(carrier: str, delivery_ids: list[str]) -> None:
    """Ask the carrier to cancel; a later read confirms it."""
    exchange.perform(house(), carrier, delivery_ids, CANCEL)


@shared_task(name="deliveries.track")
def track(carrier: str, delivery_ids: list[str]) -> None:
    """Read the status of these deliveries, with as few requests as the carrier allows."""
    reads.look(house(), carrier, delivery_ids, Step.TRACK)


@shared_task(name="deliveries.reconcile")
def reconcile(carrier: str, delivery_ids: list[str]) -> None:
    """Settle creates whose outcome nobody knows: look them up, or leave them to a person."""
    made = house()
    _decide(made, carrier, delivery_ids, lifecycle.lost)
    if made.rules[carrier].capabilities.find:
        reads.look(made, carrier, delivery_ids, Step.RECONCILE)
    else:
        _decide(made, carrier, delivery_ids, lifecycle.unfindable)


Doubt = Callable[[Delivery, lifecycle.Rules, datetime], Change | None]


def _decide(made: House, carrier: str, ids: Sequence[str], decide: Doubt) -> None:
    now = made.now()

    def due(delivery: Delivery) -> Change | None:
        return decide(delivery, made.rules, now) if lifecycle.due(delivery, Step.RECONCILE, carrier, now) else None

    hints.after(made.store.update(ids, due), now)


# --- what is asked of a carrier, verb by verb -------------------------------------------------------------------------


def _begin_booking(made: House, delivery: Delivery) -> Change | None:
    return lifecycle.begin_booking(delivery, *made.new_attempt(), made.rules, made.now())


def _booking(made: House, delivery: Delivery, attempt: Attempt) -> Booking:
    return booking(delivery, attempt, made.callback_url(attempt.carrier, attempt.token))


def _accepts(made: House, delivery: Delivery, attempt: Attempt) -> bool:
    return lifecycle.accepts_offer(delivery, attempt, made.rules)


def _describe_confirm(made: House, codec: Carrier, delivery: Delivery, attempt: Attempt) -> Call:
    return codec.confirm(view(delivery, attempt), accept=_accepts(made, delivery, attempt))


def _read_confirm(made: House, codec: Carrier, delivery: Delivery, attempt: Attempt, reply: Reply) -> Observation:
    accept = _accepts(made, delivery, attempt)
    return codec.read_confirmation(reply, view(delivery, attempt), accept=accept, now=made.now())


def _describe_cancel(made: House, codec: Carrier, delivery: Delivery, attempt: Attempt) -> Call:
    paid = delivery.cancel is not None and delivery.cancel.allow_paid
    return codec.cancel(view(delivery, attempt), made.now(), allow_paid=paid)


BOOK: Verb[Booked] = Verb(
    Step.BOOK,
    begin=_begin_booking,
    describe=lambda made, codec, each, attempt: codec.book(_booking(made, each, attempt), made.now()),
    read=lambda made, codec, each, attempt, reply: codec.read_booking(_booking(made, each, attempt), reply, made.now()),
    settle=lifecycle.settle,
)
CONFIRM: Verb[Observation] = Verb(
    Step.CONFIRM,
    begin=lambda made, each: lifecycle.begin_call(each, Step.CONFIRM, made.rules, made.now()),
    describe=_describe_confirm,
    read=_read_confirm,
    settle=lifecycle.confirmed,
)
CANCEL: Verb[None] = Verb(
    Step.CANCEL,
    begin=lambda made, each: lifecycle.begin_call(each, Step.CANCEL, made.rules, made.now()),
    describe=_describe_cancel,
    read=lambda _made, codec, each, attempt, reply: codec.read_cancel(reply, view(each, attempt)),
    settle=lifecycle.cancel_answered,
)
