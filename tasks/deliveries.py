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
from worker.container import Container, container
from worker.domain import lifecycle
from worker.domain.carrier_terms import attempt_view, build_booking
from worker.domain.delivery import Attempt, Change, Delivery, OfferDecision, Step
from worker.errors import Refused
from worker.http.call import Call, Reply
from worker.services import carrier_calls, quotes, tracking
from worker.services.carrier_calls import Verb


@shared_task(name="deliveries.book")
def book(carrier: str, delivery_ids: list[str]) -> None:
    """Create the carrier orders of these deliveries."""
    carrier_calls.perform(container(), carrier, delivery_ids, BOOK)


@shared_task(name="deliveries.confirm")
def confirm(carrier: str, delivery_ids: list[str]) -> None:
    """Accept or deny what the carrier offers."""
    carrier_calls.perform(container(), carrier, delivery_ids, CONFIRM)


@shared_task(name="deliveries.amend")
def amend(carrier: str, delivery_ids: list[str]) -> None:
    """Carry changes of these deliveries' orders to the carrier that has them."""
    carrier_calls.perform(container(), carrier, delivery_ids, AMEND)


@shared_task(name="deliveries.cancel")
def cancel(carrier: str, delivery_ids: list[str]) -> None:
    """Ask the carrier to cancel; a later read confirms it."""
    carrier_calls.perform(container(), carrier, delivery_ids, CANCEL)


@shared_task(name="deliveries.track")
def track(carrier: str, delivery_ids: list[str]) -> None:
    """Read the status of these deliveries, with as few requests as the carrier allows."""
    tracking.look(container(), carrier, delivery_ids, Step.TRACK)


@shared_task(name="deliveries.reconcile")
def reconcile(carrier: str, delivery_ids: list[str]) -> None:
    """Settle creates whose outcome nobody knows: look them up, or leave them to a person."""
    made = container()
    _decide(made, carrier, delivery_ids, lifecycle.mark_outcome_unknown)
    if made.terms[carrier].capabilities.find:
        tracking.look(made, carrier, delivery_ids, Step.RECONCILE)
    else:
        _decide(made, carrier, delivery_ids, lifecycle.no_lookup_available)


Doubt = Callable[[Delivery, lifecycle.TermsByAccount, datetime], Change | None]


def _decide(made: Container, carrier: str, ids: Sequence[str], decide: Doubt) -> None:
    now = made.clock()

    def due(delivery: Delivery) -> Change | None:
        return decide(delivery, made.terms, now) if lifecycle.is_due(delivery, Step.RECONCILE, carrier, now) else None

    enqueue.enqueue_next_steps(made.database.update(ids, due), now)


# --- what is asked of a carrier, verb by verb -------------------------------------------------------------------------


def _begin_booking(made: Container, delivery: Delivery) -> Change | None:
    return lifecycle.begin_booking(delivery, *made.new_attempt(), made.terms, made.clock())


def _booking(made: Container, delivery: Delivery, attempt: Attempt) -> Booking:
    return build_booking(delivery, attempt, made.callback_url(attempt.carrier, attempt.token))


def _describe_booking(made: Container, codec: Carrier, delivery: Delivery, attempt: Attempt) -> Call:
    wanted = _booking(made, delivery, attempt)
    call = codec.book(wanted, made.clock())
    quotes.check(made, codec, wanted)
    return call


def _accepts(attempt: Attempt) -> bool:
    return attempt.offer_decision == OfferDecision.ACCEPT


def _describe_confirm(_made: Container, codec: Carrier, delivery: Delivery, attempt: Attempt) -> Call:
    return codec.confirm(attempt_view(delivery, attempt), accept=_accepts(attempt))


def _read_confirm(made: Container, codec: Carrier, delivery: Delivery, attempt: Attempt, reply: Reply) -> Observation:
    return codec.read_confirmation(reply, attempt_view(delivery, attempt), accept=_accepts(attempt), now=made.clock())


def _describe_amend(made: Container, codec: Carrier, delivery: Delivery, attempt: Attempt) -> Call | None:
    """Describe the change from what stands at the carrier now; None when that says the same already."""
    able, seen = _amends(codec), attempt_view(delivery, attempt)
    before = able.before_amend(seen, made.clock())
    if before is None:
        return able.amend(seen, None, made.clock())
    return carrier_calls.ask(made, codec, before, lambda standing: able.amend(seen, standing, made.clock()))


def _read_amend(
    made: Container, codec: Carrier, delivery: Delivery, attempt: Attempt, reply: Reply
) -> Observation | None:
    seen = _amends(codec).read_amended(attempt_view(delivery, attempt), reply, made.clock())
    return lifecycle.apply_mappings((seen,), made.status_mappings(attempt.carrier))[0] if seen else None


def _amends(codec: Carrier) -> Amends:
    if not isinstance(codec, Amends):
        raise Refused(Reason.CONFIG, f"{codec.account.kind} takes no changes")
    return codec


def _describe_cancel(made: Container, codec: Carrier, delivery: Delivery, attempt: Attempt) -> Call:
    paid = delivery.cancel_request is not None and delivery.cancel_request.allow_paid
    return codec.cancel(attempt_view(delivery, attempt), made.clock(), allow_paid=paid)


BOOK: Verb[Booked] = Verb(
    Step.BOOK,
    begin=_begin_booking,
    describe=_describe_booking,
    read=carrier_calls.read_booking,
    settle=lifecycle.apply_create_outcome,
)
CONFIRM: Verb[Observation] = Verb(
    Step.CONFIRM,
    begin=lambda made, each: lifecycle.begin_call(each, Step.CONFIRM, made.terms, made.clock()),
    describe=_describe_confirm,
    read=_read_confirm,
    settle=lifecycle.apply_confirm_outcome,
)
AMEND: Verb[Observation | None] = Verb(
    Step.AMEND,
    begin=lambda made, each: lifecycle.begin_call(each, Step.AMEND, made.terms, made.clock()),
    describe=_describe_amend,
    read=_read_amend,
    settle=lifecycle.apply_amend_outcome,
)
CANCEL: Verb[Observation | None] = Verb(
    Step.CANCEL,
    begin=lambda made, each: lifecycle.begin_call(each, Step.CANCEL, made.terms, made.clock()),
    describe=_describe_cancel,
    read=lambda _made, codec, each, attempt, reply: codec.read_cancel(reply, attempt_view(each, attempt)),
    settle=lifecycle.apply_cancel_outcome,
)
