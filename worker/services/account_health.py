"""How an account stands: whether it may be called now, and what its answers say about the account itself.

A carrier that hangs, fails or shuts us out costs its own deliveries their time, and nobody else's.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from uuid import uuid4

from worker import enqueue, log
from worker.carriers.port import Carrier
from worker.container import Container
from worker.domain import lifecycle
from worker.domain.delivery import Change, Delivery, Step
from worker.errors import CarrierError, Held, Throttled, Unavailable, Uncertain, Unreadable
from worker.http.call import CallClass, Reply
from worker.resilience.bulkhead import Admission
from worker.resilience.circuit_breaker import BreakerState

logger = log.get(__name__)
KINDS: Mapping[Step, CallClass] = {
    Step.BOOK: CallClass.CREATE,
    Step.CONFIRM: CallClass.CHANGE,
    Step.AMEND: CallClass.CHANGE,
    Step.CANCEL: CallClass.CHANGE,
    Step.TRACK: CallClass.READ,
    Step.RECONCILE: CallClass.READ,
}
ROOM_AGAIN = timedelta(seconds=1)
PROBE_SECONDS = 300.0
"""Between two looks whether an account that shut us out lets us in again."""
PROBE_MARGIN = 5.0
CLIENT_ERRORS = range(400, 500)


@contextmanager
def entered(made: Container, carrier: str, ids: Sequence[str], step: Step) -> Iterator[Carrier | None]:
    """Give the codec of an account that may be called now, with one of its rooms held until the end.

    None when it may not: then these deliveries have been put off, wait for a room, or have been given back.
    """
    reading = KINDS[step] is CallClass.READ
    door = made.bulkhead.enter(carrier, (enqueue.TASKS[step], [carrier, list(ids)]), reading=reading)
    if door is not Admission.ADMITTED:
        if door is Admission.REJECTED:
            now = made.clock()
            made.database.give_back(ids, now, now + ROOM_AGAIN)
        yield None
        return
    try:
        yield _admitted(made, carrier, ids, step)
    finally:
        enqueue.send(made.bulkhead.leave(carrier, reading=reading))


def _admitted(made: Container, carrier: str, ids: Sequence[str], step: Step) -> Carrier | None:
    try:
        _knock(made, carrier, KINDS[step])
        return _introduced(made, carrier, KINDS[step])
    except CarrierError as error:
        put_off(made, carrier, ids, step, error)
        return None


def _knock(made: Container, carrier: str, kind: CallClass) -> None:
    """Raise what keeps an account from being called: a person, its credentials, its own wish, or that it is down."""
    if carrier in made.database.paused():
        raise Unavailable("the account is paused", account=True)
    word = made.breaker.ask(carrier, kind, made.settings.accounts[carrier].deadline + PROBE_MARGIN)
    if word.state is BreakerState.THROTTLED:
        raise Throttled("the carrier had too many calls", retry_after=word.wait)
    if word.state is BreakerState.OPEN or (word.state is BreakerState.HALF_OPEN and not _answers(made, carrier, kind)):
        raise Unavailable("the carrier does not answer", retry_after=word.wait)


def _answers(made: Container, carrier: str, kind: CallClass) -> bool:
    """Find out with a harmless call whether a carrier answers again: never with an order."""
    outcome, error = _probe(made, carrier)
    throttled = isinstance(error, Throttled)
    if isinstance(error, Held) and not throttled:
        return False  # nobody was asked: the next caller is, when this one's time is over
    shut_out = isinstance(error, Unavailable) and error.account
    alive = not throttled and not _failed(outcome, error)
    made.breaker.probed(carrier, kind, alive=alive)
    logger.warning("carrier.probed", carrier=carrier, kind=kind.value, alive=alive)
    if shut_out:
        _pause(made, carrier, str(error))
    return alive and not shut_out


def _probe(made: Container, carrier: str) -> tuple[Reply | None, CarrierError | None]:
    """Make a harmless call; give what came back, and what is wrong with it."""
    codec, reply = made.codecs[carrier], None
    try:
        reply = made.gateway.send_one(carrier, codec.probe())
        codec.read_probe(reply)
    except CarrierError as error:
        return reply, error
    return reply, None


def _introduced(made: Container, carrier: str, kind: CallClass) -> Carrier:
    try:
        return made.carrier(carrier)
    except CarrierError as error:
        logger.error("carrier.login_failed", carrier=carrier, error=str(error))
        note(made, carrier, kind, [(error, error)])
        raise


def put_off(made: Container, carrier: str, ids: Sequence[str], step: Step, why: CarrierError) -> None:
    """Let these deliveries wait, as far as this step of theirs is due at a carrier that cannot be called."""
    now = made.clock()

    def wait(delivery: Delivery) -> Change | None:
        due = lifecycle.is_due(delivery, step, carrier, now)
        return lifecycle.postpone(delivery, why, made.terms, now) if due else None

    changed = made.database.update(ids, wait)
    enqueue.enqueue_next_steps(changed, now)
    if step is Step.BOOK:
        leaving(carrier, changed)


def leaving(carrier: str, changed: Sequence[Delivery]) -> None:
    """Note which of the orders that were to be sent to a carrier go to another one now."""
    for each in changed:
        if each.active is None and not each.final and each.carrier not in {None, carrier}:
            logger.warning("carrier.left", delivery_id=each.id, carrier=carrier, following=each.carrier)


# --- what answers say -------------------------------------------------------------------------------------------------


def note(made: Container, carrier: str, kind: CallClass, answers: Sequence[tuple[object, object]]) -> None:
    """Tell what calls say about their account: pairs of what came back and what it was read as."""
    failed = [_failed(*answer) for answer in answers]
    if any(each is not None for each in failed):
        made.breaker.report(carrier, kind, good=failed.count(False), bad=failed.count(True))
    throttled = next((verdict for _, verdict in answers if isinstance(verdict, Throttled)), None)
    if throttled is not None:
        made.breaker.throttle(carrier, kind, throttled.retry_after)
        logger.warning("carrier.throttled", carrier=carrier, kind=kind.value)
    shut_out = next((verdict for _, verdict in answers if isinstance(verdict, Unavailable) and verdict.account), None)
    if shut_out is not None:
        _pause(made, carrier, str(shut_out))


def _failed(outcome: object, verdict: object) -> bool | None:
    """Tell whether a call failed on its way or at a server in trouble; None when it says nothing about that.

    A refusal is an answer, whatever its status: Cervo complains about a missing field with a 500 (C-22).
    """
    if isinstance(verdict, Held):
        return None
    if isinstance(verdict, Unavailable):
        return not verdict.account
    if isinstance(verdict, Unreadable):
        return not (isinstance(outcome, Reply) and outcome.status in CLIENT_ERRORS)
    return isinstance(verdict, Uncertain)


# --- accounts that are shut out ---------------------------------------------------------------------------------------


def _pause(made: Container, carrier: str, why: str) -> None:
    """Pause an account that its carrier shuts out; the first probe comes after a while."""
    now = made.clock()
    try:
        paused = made.database.pause(carrier, "carrier", why, now)
        made.database.take_lease(probe_lease(carrier), uuid4().hex, now, PROBE_SECONDS)
    except Exception:  # the next answer says the same; those of this batch must not be lost over it
        logger.exception("carrier.pausing_failed", carrier=carrier)
        return
    if paused:
        logger.error("carrier.paused", carrier=carrier, because=why)
        enqueue.send([enqueue.publish()])


def probes(made: Container) -> list[enqueue.WakeUp]:
    """Make the hints for the paused accounts that are to be tried now. What a person paused is left alone."""
    shut_out = [name for name, pause in made.database.paused().items() if pause.by == "carrier" and name in made.terms]
    return [
        ("carriers.probe", [name])
        for name in shut_out
        if made.database.take_lease(probe_lease(name), uuid4().hex, made.clock(), PROBE_SECONDS)
    ]


def retry(made: Container, carrier: str) -> None:
    """Let a paused account go again if it lets us in."""
    if (pause := made.database.paused().get(carrier)) is None or pause.by != "carrier":
        return
    _, error = _probe(made, carrier)
    if error is None:
        made.database.resume(carrier, "probe", made.clock())
        enqueue.send([enqueue.publish()])
    logger.warning("carrier.tried", carrier=carrier, resumed=error is None, error=error and str(error))


def probe_lease(account: str) -> str:
    """Name the right to try whether an account that shut us out lets us in again."""
    return f"probe.{account}"
