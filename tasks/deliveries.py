"""Deliveries: one short function for each thing that can be due at a carrier.

Each has the same shape: write down the intent, let the codec describe the calls, send them, let the codec read the
replies, and store what they mean as they come in. A task is only a hint: what is not due is left alone.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TypeVar

from celery import shared_task

from schemas.status import Cause, Reason
from worker import hints, lifecycle, log
from worker.carriers.port import Attempt as Seen
from worker.carriers.port import Booking, Call, Carrier, Observation, Reading, Reply
from worker.delivery import Attempt, Change, Delivery, Step, view
from worker.errors import CarrierError, Refused, Uncertain
from worker.wiring import House, house

logger = log.get(__name__)
MAX_PAGES = 20
T = TypeVar("T")
Outcome = Reply | CarrierError
ReadFor = Callable[[Delivery, Call | None, Outcome, datetime], Change]
"""Tells what the outcome of a call means for a delivery; there is no call where the codec refused to make one."""


@shared_task(name="deliveries.book")
def book(carrier: str, delivery_ids: list[str]) -> None:
    """Create the carrier orders of these deliveries."""
    made = house()
    codec = _codec(made, carrier, delivery_ids, Step.BOOK)
    if codec is None:
        return

    def begin(delivery: Delivery) -> Change | None:
        if not lifecycle.due(delivery, Step.BOOK, carrier, made.now()):
            return None
        return lifecycle.begin_booking(delivery, *made.new_attempt(), made.rules, made.now())

    def read(delivery: Delivery, _call: Call | None, outcome: Outcome, now: datetime) -> Change:
        attempt = _current(delivery)
        booking = _booking(made, delivery, attempt)
        booked = _read(outcome, lambda reply: codec.read_booking(booking, reply, now))
        return lifecycle.settle(delivery, attempt.id, booked, made.rules, now)

    begun = made.store.update(delivery_ids, begin)
    _perform(made, codec, begun, lambda each: codec.book(_booking(made, each, _current(each)), made.now()), read)


@shared_task(name="deliveries.confirm")
def confirm(carrier: str, delivery_ids: list[str]) -> None:
    """Accept or deny what the carrier offers."""
    made = house()
    codec = _codec(made, carrier, delivery_ids, Step.CONFIRM)
    if codec is None:
        return

    def accepts(delivery: Delivery) -> bool:
        return lifecycle.accepts_offer(delivery, _current(delivery), made.rules)

    def describe(delivery: Delivery) -> Call:
        return codec.confirm(view(delivery, _current(delivery)), accept=accepts(delivery))

    def read(delivery: Delivery, call: Call | None, outcome: Outcome, now: datetime) -> Change:
        attempt = _current(delivery)
        about, accept = view(delivery, attempt), accepts(delivery)
        answer = _read(
            outcome, lambda reply: codec.read_confirmation(_made(call), reply, about, accept=accept, now=now)
        )
        return lifecycle.confirmed(delivery, attempt.id, answer, made.rules, now)

    _perform(made, codec, _begin(made, carrier, delivery_ids, Step.CONFIRM), describe, read)


@shared_task(name="deliveries.cancel")
def cancel(carrier: str, delivery_ids: list[str]) -> None:
    """Ask the carrier to cancel; a later read confirms it."""
    made = house()
    codec = _codec(made, carrier, delivery_ids, Step.CANCEL)
    if codec is None:
        return

    def describe(delivery: Delivery) -> Call:
        paid = bool((delivery.cancel or {}).get("allow_paid"))
        return codec.cancel(view(delivery, _current(delivery)), made.now(), allow_paid=paid)

    def read(delivery: Delivery, call: Call | None, outcome: Outcome, now: datetime) -> Change:
        attempt = _current(delivery)
        about = view(delivery, attempt)
        answer = _read(outcome, lambda reply: codec.read_cancel(_made(call), reply, about))
        return lifecycle.cancel_answered(delivery, attempt.id, answer, made.rules, now)

    _perform(made, codec, _begin(made, carrier, delivery_ids, Step.CANCEL), describe, read)


@shared_task(name="deliveries.track")
def track(carrier: str, delivery_ids: list[str]) -> None:
    """Read the status of these deliveries, with as few requests as the carrier allows."""
    made = house()
    codec = _codec(made, carrier, delivery_ids, Step.TRACK)
    if codec is None:
        return
    due = _due(made, carrier, delivery_ids, Step.TRACK)
    attempts = {attempt.id: view(each, attempt) for each in due if (attempt := each.active)}
    calls = codec.track(list(attempts.values()), made.now())
    _look(made, codec, due, attempts, calls, Cause.POLL)


@shared_task(name="deliveries.reconcile")
def reconcile(carrier: str, delivery_ids: list[str]) -> None:
    """Settle creates whose outcome nobody knows: look them up, or leave them to a person."""
    made = house()
    codec = _codec(made, carrier, delivery_ids, Step.RECONCILE)
    if codec is None:
        return
    lost = made.store.update(delivery_ids, lambda each: _if_due(made, each, carrier, lifecycle.lost))
    if lost:
        hints.after(lost, made.now())
    due = _due(made, carrier, delivery_ids, Step.RECONCILE)
    if not codec.capabilities.find:
        changed = made.store.update(
            [each.id for each in due], lambda each: lifecycle.unfindable(each, made.rules, made.now())
        )
        hints.after(changed, made.now())
        return
    attempts = {attempt.id: view(each, attempt) for each in due if (attempt := each.active)}
    _look(made, codec, due, attempts, codec.find(list(attempts.values()), made.now()), Cause.RECONCILE)


# --- the parts they share ---------------------------------------------------------------------------------------------


def _codec(made: House, carrier: str, ids: Sequence[str], step: Step) -> Carrier | None:
    """Give the carrier's codec; when its login fails, put off what is due and give None."""
    try:
        return made.carrier(carrier)
    except CarrierError as error:
        logger.error("carrier.login_failed", carrier=carrier, error=str(error))
        why = error

    def put_off(delivery: Delivery) -> Change | None:
        due = lifecycle.due(delivery, step, carrier, made.now())
        return lifecycle.put_off(delivery, why, made.rules, made.now()) if due else None

    made.store.update(ids, put_off)
    return None


def _due(made: House, carrier: str, ids: Sequence[str], step: Step) -> list[Delivery]:
    now = made.now()
    return [each for each in made.store.load(ids) if lifecycle.due(each, step, carrier, now)]


def _if_due(made: House, delivery: Delivery, carrier: str, decide: Callable[..., Change | None]) -> Change | None:
    now = made.now()
    return decide(delivery, made.rules, now) if lifecycle.due(delivery, Step.RECONCILE, carrier, now) else None


def _begin(made: House, carrier: str, ids: Sequence[str], step: Step) -> list[Delivery]:
    now = made.now()

    def begin(delivery: Delivery) -> Change | None:
        due = lifecycle.due(delivery, step, carrier, now)
        return lifecycle.begin_call(delivery, step, made.rules, now) if due else None

    return made.store.update(ids, begin)


def _current(delivery: Delivery) -> Attempt:
    """Give the attempt a call is about: the one that was live when the call was begun."""
    return delivery.active or delivery.attempts[-1]


def _made(call: Call | None) -> Call:
    """Give the call that a reply answers: a reply without one cannot be."""
    assert call is not None  # noqa: S101
    return call


def _booking(made: House, delivery: Delivery, attempt: Attempt) -> Booking:
    assert delivery.store is not None  # noqa: S101 - nothing is attempted without one
    return Booking(
        attempt_id=attempt.id,
        attempt_number=attempt.number,
        order=delivery.order,
        store=delivery.store,
        pickup_at=attempt.pickup_at,
        deliver_at=delivery.order.deliver_at,
        callback_url=made.callback_url(attempt.carrier, attempt.token),
    )


def _read(outcome: Outcome, read: Callable[[Reply], T]) -> T | CarrierError:
    """Let the codec read a reply; whatever it raises is an outcome too."""
    if isinstance(outcome, CarrierError):
        return outcome
    try:
        return read(outcome)
    except CarrierError as error:
        return error
    except Exception as error:
        logger.exception("carrier.reply_broke_codec")
        return Uncertain(f"the reply broke its reader: {type(error).__name__}")


def _perform(
    made: House,
    codec: Carrier,
    begun: Sequence[Delivery],
    describe: Callable[[Delivery], Call],
    read: ReadFor,
) -> None:
    """Make one call for each delivery and store what it meant, group by group as the replies come in."""
    about: dict[int, str] = {}
    calls: list[Call] = []
    refused: dict[str, tuple[Call | None, Outcome]] = {}
    for delivery in begun:
        call = _describe(describe, delivery)
        if isinstance(call, CarrierError):
            refused[delivery.id] = (None, call)
            continue
        about[id(call)] = delivery.id
        calls.append(call)
    _store(made, refused, read)
    for group in made.gateway.send(codec.account.name, calls, max_body=codec.capabilities.max_body):
        _store(made, {about[id(call)]: (call, outcome) for call, outcome in group}, read)


def _describe(describe: Callable[[Delivery], Call], delivery: Delivery) -> Call | CarrierError:
    """Let the codec make a call; one order that breaks it must not take the rest of its batch along."""
    try:
        return describe(delivery)
    except CarrierError as error:
        return error
    except Exception:
        logger.exception("carrier.order_broke_codec", delivery_id=delivery.id)
        return Refused(Reason.UNKNOWN, "the request could not be made")


def _store(made: House, settled: Mapping[str, tuple[Call | None, Outcome]], read: ReadFor) -> None:
    if not settled:
        return
    now = made.now()
    changed = made.store.update(settled, lambda delivery: read(delivery, *settled[delivery.id], now))
    for delivery in changed:
        logger.info("delivery.settled", delivery_id=delivery.id, carrier=delivery.carrier, status=delivery.status.value)
    hints.after(changed, now)


def _look(
    made: House,
    codec: Carrier,
    due: Sequence[Delivery],
    attempts: dict[int, Seen],
    calls: Sequence[Call],
    cause: Cause,
) -> None:
    """Send reads and store what they showed. An attempt counts as absent only when no call that covered it saw it."""
    home = {attempt.id: each.id for each in due for attempt in each.attempts}
    seen, absent, failed = _gather(made, codec, calls, attempts)

    def decide(delivery: Delivery) -> Change | None:
        attempt, now = delivery.active, made.now()
        if attempt is None or attempt.id not in attempts:
            return None
        if attempt.id in seen:
            return lifecycle.observe(delivery, attempt.id, seen[attempt.id], made.rules, now, cause)
        if attempt.id in failed:
            return lifecycle.missed(delivery, attempt.id, failed[attempt.id], made.rules, now)
        if cause is Cause.RECONCILE and attempt.id in absent:
            return lifecycle.absent(delivery, attempt.id, made.rules, now)
        return lifecycle.unseen(delivery, attempt.id, made.rules, now)

    hints.after(made.store.update([home[attempt] for attempt in attempts], decide), made.now())


def _gather(
    made: House, codec: Carrier, calls: Sequence[Call], attempts: dict[int, Seen]
) -> tuple[dict[int, tuple[Observation, ...]], set[int], dict[int, CarrierError]]:
    seen: dict[int, tuple[Observation, ...]] = {}
    absent: dict[int, int] = {}
    failed: dict[int, CarrierError] = {}
    for call, reading in _read_all(made, codec, calls, attempts):
        if isinstance(reading, CarrierError):
            failed.update(dict.fromkeys(call.covers, reading))
            continue
        for attempt, observations in reading.seen.items():
            seen[attempt] = (*seen.get(attempt, ()), *observations)
        for attempt in reading.absent:
            absent[attempt] = absent.get(attempt, 0) + 1
        if reading.extras:
            logger.error("carrier.duplicates_found", carrier=codec.account.name, attempts=sorted(reading.extras))
    wanted = {attempt: sum(attempt in call.covers for call in calls) for attempt in attempts}
    return seen, {attempt for attempt, count in absent.items() if count >= wanted[attempt]}, failed


def _reading(codec: Carrier, call: Call, about: Sequence[Seen], now: datetime, reply: Reply) -> Reading:
    return codec.read(call, reply, about, now)


def _read_all(
    made: House, codec: Carrier, calls: Sequence[Call], attempts: dict[int, Seen]
) -> Iterator[tuple[Call, Reading | CarrierError]]:
    """Send reads and follow their further pages."""
    pages = list(calls)
    for _ in range(MAX_PAGES):
        following: list[Call] = []
        for group in made.gateway.send(codec.account.name, pages, max_body=codec.capabilities.max_body):
            for call, outcome in group:
                about = [attempts[attempt] for attempt in call.covers if attempt in attempts]
                reading = _read(outcome, partial(_reading, codec, call, about, made.now()))
                if isinstance(reading, Reading) and reading.more:
                    following.append(reading.more)
                yield call, reading
        if not following:
            return
        pages = following
