"""One order on the platform: look at what stands there, take that in, and write what is ahead of it (O-18).

No courier ever waits for the platform. What a write brought is seen by the next look, which comes soon after it.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import uuid4

from schemas.orders import MalformedError
from worker import enqueue, log
from worker.container import Container
from worker.database.accounts import Pause
from worker.domain import lifecycle, schedule
from worker.domain.delivery import Delivery
from worker.errors import CarrierError, Held, Refused, Throttled, Unavailable
from worker.http.call import Call, CallClass, Operation, Reply
from worker.ordering_api import codec as ordering_codec
from worker.ordering_api.codec import ACCOUNT, DEADLINE, MAX_BODY
from worker.ordering_api.write_policy import CHECK, GATE_LOOK, Verdict, WriteBackState, decide, next_look
from worker.resilience.bulkhead import Admission
from worker.services import account_health

logger = log.get(__name__)
TASK = "platform.write_back"
LIMIT = 10
"""Handed out by each sweep: more than the platform is asked for in a second (O-01)."""
UNSHOWN_LOOKS = 3
"""How often an order that the platform does not show is looked for again; it may have been slow, or said nonsense."""
LEASE = timedelta(seconds=60)
CALL = timedelta(seconds=DEADLINE)
Outcome = tuple[WriteBackState, datetime | None]
"""What is known after a look, and when the next one is due."""


def due(made: Container, now: datetime) -> list[enqueue.WakeUp]:
    """Make the hints for the orders to be looked at now; while the platform shuts us out, one at times tries it."""
    if not made.settings.ordering.base_url:
        return []
    pause = made.database.paused().get(ACCOUNT)
    return [
        (TASK, [each]) for each in (_one(made, pause, now) if pause else made.database.claim_write_backs(now, LIMIT))
    ]


def _one(made: Container, pause: Pause, now: datetime) -> list[str]:
    """Claim one look that tries whether the platform lets us in again; the try is kept while there is none to make."""
    name, holder = account_health.probe_lease(ACCOUNT), uuid4().hex
    if pause.by != "carrier" or not made.database.take_lease(name, holder, now, account_health.PROBE_SECONDS):
        return []
    found = made.database.claim_write_backs(now, 1)
    if not found:
        made.database.drop_lease(name, holder)
    return found


def perform(made: Container, delivery_id: str) -> None:
    """Look and write, if that is due and nobody else is at it; a platform that hangs has few of the threads."""
    if made.bulkhead.enter(ACCOUNT, (TASK, [delivery_id]), reading=True) is not Admission.ADMITTED:
        return
    try:
        _perform(made, delivery_id)
    finally:
        enqueue.send(made.bulkhead.leave(ACCOUNT, reading=True))


def _perform(made: Container, delivery_id: str) -> None:
    now = made.clock()
    until = now + LEASE
    known = made.database.begin_write_back(delivery_id, now, until)
    if known is None:
        return
    # Another SOURCE may have been set when it was put down.
    found = [each for each in made.database.load([delivery_id]) if each.source == made.settings.ordering.source]
    known, due_at = _look(made, found[0], known, until) if found else (known, None)
    if not made.database.end_write_back(delivery_id, until, known, due_at):
        logger.warning("platform.too_late", delivery_id=delivery_id)


def _look(made: Container, delivery: Delivery, known: WriteBackState, until: datetime) -> Outcome:
    call = ordering_codec.fetch(made.settings.ordering, delivery.order.order_id, Operation.READ)
    try:
        seen = ordering_codec.read_status(_ask(made, call, until), delivery.order.order_id)
    except (CarrierError, MalformedError) as error:
        return _missed(made, delivery, known, error)
    _let_in(made)
    delivery = _taken_in(made, delivery, seen)
    verdict, known = decide(delivery, known, seen, made.settings.ordering.write_policy, made.clock())
    if verdict is Verdict.WRITE:
        return _write(made, delivery, known, until)
    if verdict is Verdict.REPORT:
        _tell(made, delivery, known, "platform_differs")
    return known, next_look(delivery, made.clock())


def _taken_in(made: Container, delivery: Delivery, seen: int) -> Delivery:
    """Take in what the platform says; give the delivery as it is then, for it may have moved during the look."""
    now = made.clock()
    changed = made.database.update([delivery.id], lambda it: lifecycle.apply_platform_status(it, seen, made.terms, now))
    enqueue.enqueue_next_steps(changed, now)
    return next(iter(made.database.load([delivery.id])), delivery)


def _write(made: Container, delivery: Delivery, known: WriteBackState, until: datetime) -> Outcome:
    assert known.status is not None  # noqa: S101 - the verdict says so
    call = ordering_codec.write(made.settings.ordering, delivery.order.order_id, known.status)
    try:
        ordering_codec.read_written(_ask(made, call, until))
    except Refused as error:
        logger.error("platform.refused", delivery_id=delivery.id, status=known.status, error=str(error))
        _tell(made, delivery, known, "platform_refused")
        return replace(known, written=True, reported=True), next_look(delivery, made.clock())
    except CarrierError as error:
        return _missed(made, delivery, known, error)
    logger.info("platform.written", delivery_id=delivery.id, status=known.status, replaced=known.replaced)
    return replace(known, written=True), made.clock() + CHECK


def _let_in(made: Container) -> None:
    """Let a paused account go again: the key may look."""
    if ACCOUNT in made.database.paused() and made.database.resume(ACCOUNT, "probe", made.clock()):
        enqueue.send([enqueue.publish()])


def _ask(made: Container, call: Call, until: datetime) -> Reply:
    """Send a call that ends within the lease, or not at all. Raises CarrierError."""
    outcome = next(made.gateway.send(ACCOUNT, {None: call}, max_body=MAX_BODY, until=until - CALL))[None]
    if isinstance(outcome, CarrierError):
        raise outcome
    return outcome


def _tell(made: Container, delivery: Delivery, known: WriteBackState, why: str) -> None:
    """Tell that the platform's order and ours do not agree; nobody fights about it."""
    now = made.clock()
    logger.warning("platform.conflict", delivery_id=delivery.id, ours=known.status, seen=known.seen, why=why)
    changed = made.database.update(
        [delivery.id], lambda it: lifecycle.record_platform_conflict(it, why, made.terms, now)
    )
    enqueue.enqueue_next_steps(changed, now)


def _missed(
    made: Container, delivery: Delivery, known: WriteBackState, error: CarrierError | MalformedError
) -> Outcome:
    """Tell when to look again after a look or a write that brought nothing; nothing else follows from it (O-10)."""
    now = made.clock()
    if isinstance(error, Held) and not isinstance(error, Throttled):
        return known, now + timedelta(seconds=error.retry_after or 1)
    logger.warning("platform.missed", delivery_id=delivery.id, failures=known.failures + 1, error=str(error))
    if not isinstance(error, CarrierError) or isinstance(error, Refused):
        return _unshown(delivery, known, now)
    if isinstance(error, Unavailable) and error.account:
        account_health.note(made, ACCOUNT, CallClass.READ, [(error, error)])
    if delivery.final and now - delivery.changed_at > schedule.DAY:
        logger.error("platform.given_up", delivery_id=delivery.id)
        return known, None
    wait = schedule.backoff(known.failures, delivery.id, getattr(error, "retry_after", None))
    return replace(known, failures=known.failures + 1), now + wait


def _unshown(delivery: Delivery, known: WriteBackState, now: datetime) -> Outcome:
    """Look some more times for an order that is not shown, for its end may be yet to be told; then when it moves."""
    soon = now + GATE_LOOK if known.failures < UNSHOWN_LOOKS else None
    again = min(filter(None, (soon, next_look(delivery, now))), default=None)
    return replace(known, failures=known.failures + 1), again
