"""Deliveries: one short task for each thing that can be due at a carrier.

A task is only a hint: it re-reads the state under lock, and what is not due is left alone.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from celery import shared_task

from schemas.status import Reason
from worker import enqueue
from worker.carriers.abilities import Amends
from worker.carriers.port import Booked, Booking, Carrier, Observation
from worker.container import House, house
from worker.domain import lifecycle
from worker.domain.carrier_terms import booking, view
from worker.domain.delivery import Attempt, Change, Delivery, Ruling, Step
from worker.errors import Refused
from worker.http.call import Call, Reply
from worker.services import carrier_calls, quotes, tracking
from worker.services.carrier_calls import Verb


@shared_task(name="deliveries.book")
def book(carrier: str, delivery_ids: list[str]) -> None:
    """Create the carrier orders of these deliveries."""
    carrier_calls.perform(house(), carrier, delivery_ids, BOOK)


@shared_task(name="deliveries.confirm")
def confirm(carrier: str, delivery_ids: list[str]) -> None:
    """Accept or deny what the carrier offers."""
    carrier_calls.perform(house(), carrier, delivery_ids, CONFIRM)


@shared_task(name="deliveries.amend")
def amend(carrier: str, delivery_ids: list[str]) -> None:
    """Carry changes of these deliveries' orders to the carrier that has them."""
    carrier_calls.perform(house(), carrier, delivery_ids, AMEND)


@shared_task(name="deliveries.cancel")
def cancel(carrier: str, delivery_ids: list[str]) -> None:
    """Ask the carrier to cancel; a later read confirms it."""
    carrier_calls.perform(house(), carrier, delivery_ids, CANCEL)


@shared_task(name="deliveries.track")
def track(carrier: str, delivery_ids: list[str]) -> None:
    """Read the status of these deliveries, with as few requests as the carrier allows."""
    tracking.look(house(), carrier, delivery_ids, Step.TRACK)


@shared_task(name="deliveries.reconcile")
def reconcile(carrier: str, delivery_ids: list[str]) -> None:
    """Settle creates whose outcome nobody knows: look them up, or leave them to a person."""
    made = house()
    _decide(made, carrier, delivery_ids, lifecycle.lost)
    if made.rules[carrier].capabilities.find:
        tracking.look(made, carrier, delivery_ids, Step.RECONCILE)
    else:
        _decide(made, carrier, delivery_ids, lifecycle.unfindable)


Doubt = Callable[[Delivery, lifecycle.Rules, datetime], Change | None]


def _decide(made: House, carrier: str, ids: Sequence[str], decide: Doubt) -> None:
    now = made.now()

    def due(delivery: Delivery) -> Change | None:
        return decide(delivery, made.rules, now) if lifecycle.due(delivery, Step.RECONCILE, carrier, now) else None

    enqueue.after(made.store.update(ids, due), now)


# --- what is asked of a carrier, verb by verb -------------------------------------------------------------------------


def _begin_booking(made: House, delivery: Delivery) -> Change | None:
    return lifecycle.begin_booking(delivery, *made.new_attempt(), made.rules, made.now())


def _booking(made: House, delivery: Delivery, attempt: Attempt) -> Booking:
    return booking(delivery, attempt, made.callback_url(attempt.carrier, attempt.token))


def _describe_booking(made: House, codec: Carrier, delivery: Delivery, attempt: Attempt) -> Call:
    wanted = _booking(made, delivery, attempt)
    call = codec.book(wanted, made.now())
    quotes.check(made, codec, wanted)
    return call


def _accepts(attempt: Attempt) -> bool:
    return attempt.ruling == Ruling.ACCEPT


def _describe_confirm(_made: House, codec: Carrier, delivery: Delivery, attempt: Attempt) -> Call:
    return codec.confirm(view(delivery, attempt), accept=_accepts(attempt))


def _read_confirm(made: House, codec: Carrier, delivery: Delivery, attempt: Attempt, reply: Reply) -> Observation:
    return codec.read_confirmation(reply, view(delivery, attempt), accept=_accepts(attempt), now=made.now())


def _describe_amend(made: House, codec: Carrier, delivery: Delivery, attempt: Attempt) -> Call | None:
    """Describe the change from what stands at the carrier now; None when that says the same already."""
    able, seen = _amends(codec), view(delivery, attempt)
    before = able.before_amend(seen, made.now())
    if before is None:
        return able.amend(seen, None, made.now())
    return carrier_calls.ask(made, codec, before, lambda standing: able.amend(seen, standing, made.now()))


def _read_amend(made: House, codec: Carrier, delivery: Delivery, attempt: Attempt, reply: Reply) -> Observation | None:
    seen = _amends(codec).read_amended(view(delivery, attempt), reply, made.now())
    return lifecycle.explained((seen,), made.words(attempt.carrier))[0] if seen else None


def _amends(codec: Carrier) -> Amends:
    if not isinstance(codec, Amends):
        raise Refused(Reason.CONFIG, f"{codec.account.kind} takes no changes")
    return codec


def _describe_cancel(made: House, codec: Carrier, delivery: Delivery, attempt: Attempt) -> Call:
    paid = delivery.cancel is not None and delivery.cancel.allow_paid
    return codec.cancel(view(delivery, attempt), made.now(), allow_paid=paid)


BOOK: Verb[Booked] = Verb(
    Step.BOOK,
    begin=_begin_booking,
    describe=_describe_booking,
    read=carrier_calls.read_booking,
    settle=lifecycle.settle,
)
CONFIRM: Verb[Observation] = Verb(
    Step.CONFIRM,
    begin=lambda made, each: lifecycle.begin_call(each, Step.CONFIRM, made.rules, made.now()),
    describe=_describe_confirm,
    read=_read_confirm,
    settle=lifecycle.confirmed,
)
AMEND: Verb[Observation | None] = Verb(
    Step.AMEND,
    begin=lambda made, each: lifecycle.begin_call(each, Step.AMEND, made.rules, made.now()),
    describe=_describe_amend,
    read=_read_amend,
    settle=lifecycle.amended,
)
CANCEL: Verb[Observation | None] = Verb(
    Step.CANCEL,
    begin=lambda made, each: lifecycle.begin_call(each, Step.CANCEL, made.rules, made.now()),
    describe=_describe_cancel,
    read=lambda _made, codec, each, attempt, reply: codec.read_cancel(reply, view(each, attempt)),
    settle=lifecycle.cancel_answered,
)
