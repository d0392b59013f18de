"""Calls that change something at one carrier, for a batch of deliveries: intent, call, answer, outcome.

Each is written down before it is sent, and every answer is stored for the very attempt it belongs to, in groups as the
answers come in. One order that breaks a codec never takes its neighbours along.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Generic, TypeVar

from schemas.status import Reason
from worker import enqueue, log
from worker.carriers.port import Booked, Carrier
from worker.container import Container
from worker.database.connection import is_transient
from worker.domain import lifecycle, schedule
from worker.domain.carrier_terms import build_booking
from worker.domain.delivery import Attempt, Change, Delivery, Step
from worker.domain.planner import call_time
from worker.errors import CarrierError, Held, Refused, Uncertain
from worker.http.call import Call, CallClass, Outcome, Reply
from worker.resilience.call_journal import JournalFile
from worker.services import account_health

logger = log.get(__name__)
START_WITHIN = schedule.CALL_MARGIN / 2
"""How long after its intent a call may still be sent, beside the time for what is asked before it; the other half of
the margin is for storing its outcome."""
Decide = Callable[[Delivery, int, lifecycle.TermsByAccount, datetime], Change | None]
"""Tells what something means for one attempt of a delivery."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Verb(Generic[T]):
    """One thing to ask of a carrier for each delivery.

    `begin` writes the intent down, `describe` and `read` are the codec's part, and `settle` tells what the answer or
    the CarrierError means for the delivery. What is described as no call at all is an answer already.
    """

    step: Step
    begin: Callable[[Container, Delivery], Change | None]
    describe: Callable[[Container, Carrier, Delivery, Attempt], Call | T]
    read: Callable[[Container, Carrier, Delivery, Attempt, Reply], T]
    settle: Callable[[Delivery, int, T | CarrierError, lifecycle.TermsByAccount, datetime], Change]


@dataclass(frozen=True, slots=True)
class Asked:
    """What was begun for one delivery, as it stood then."""

    delivery: Delivery
    attempt: Attempt


def perform(made: Container, carrier: str, ids: Sequence[str], verb: Verb[T]) -> None:
    """Do what a verb says for those of these deliveries for which it is due now."""
    with account_health.entered(made, carrier, ids, verb.step) as codec:
        if codec is None:
            return
        with made.journal.page(verb.step) as page:
            _perform(made, codec, ids, verb, page)


def _perform(made: Container, codec: Carrier, ids: Sequence[str], verb: Verb[T], page: JournalFile) -> None:
    carrier, now = codec.account.name, made.clock()
    terms = made.terms[carrier]
    until = now + START_WITHIN + call_time(terms, verb.step) - call_time(terms)
    describe = partial(_described, made, codec, verb, until=until)
    asked = [(one, describe(one)) for one in _begun(made, carrier, ids, verb, page, now)]
    answered = [(one, _meant(verb, one, call)) for one, call in asked if not isinstance(call, Call)]
    page.mark_stored(each.id for each in settle(made, answered))
    calls = {one.attempt.id: call for one, call in asked if isinstance(call, Call)}
    about = {one.attempt.id: one for one, _ in asked}
    if not page.log_sent(calls):
        made.database.update([about[key].delivery.id for key in calls], page.detach)
    for group in made.gateway.send(carrier, calls, max_body=codec.capabilities.max_body, until=until):
        _take(made, codec, verb, page, [(about[key], outcome) for key, outcome in group.items()])


def _described(
    made: Container, codec: Carrier, verb: Verb[T], one: Asked, *, until: datetime
) -> Call | T | CarrierError:
    """Describe a call, which may take a question of its own; not once it is too late for the call itself."""
    if made.clock() > until:
        return Held("the call could not start in time")
    return guarded(codec.account.name, partial(verb.describe, made, codec, one.delivery, one.attempt), _unmade)


def ask(made: Container, codec: Carrier, call: Call, read: Callable[[Reply], T]) -> T:
    """Ask what a description depends on, and tell what the answer says about the account. Raises CarrierError."""
    reply: Reply | None = None
    try:
        reply = made.gateway.send_one(codec.account.name, call, max_body=codec.capabilities.max_body)
        answer = read(reply)
    except CarrierError as error:
        account_health.note(made, codec.account.name, CallClass.READ, [(reply, error)])
        raise
    account_health.note(made, codec.account.name, CallClass.READ, [(reply, answer)])
    return answer


def read_booking(made: Container, codec: Carrier, delivery: Delivery, attempt: Attempt, reply: Reply) -> Booked:
    """Read the answer to a create. Raises CarrierError."""
    told = build_booking(delivery, attempt, made.callback_url(codec.account.name, attempt.token))
    return codec.read_booking(told, reply, made.clock())


def doubted(made: Container, codec: Carrier, verdicts: Mapping[int, T | CarrierError]) -> dict[int, T | CarrierError]:
    """Doubt each booking, by its attempt, under an id that is known as another's.

    Where nothing can be looked up by our reference, the bare id of the answer is all that ties it to us (C-21).
    """
    sure = dict(verdicts)
    if codec.capabilities.find:
        return sure
    booked = {key: each.observation.ref for key, each in verdicts.items() if isinstance(each, Booked)}
    refs = {key: ref for key, ref in booked.items() if ref is not None}
    holders = _holders(made, codec.account.name, refs.values()) if refs else {}
    for key, ref in refs.items():
        if holders.setdefault(ref, key) != key:
            logger.error("carrier.id_repeated", carrier=codec.account.name, attempt_id=key, ref=ref)
            sure[key] = Uncertain("the carrier's id belongs to another order")
    return sure


def _holders(made: Container, carrier: str, refs: Collection[str]) -> dict[str, int]:
    try:
        return made.database.holders(carrier, refs)
    except Exception as error:  # noqa: BLE001 - the answers of a whole group must not be lost over it
        logger.warning("carrier.ids_not_compared", carrier=carrier, error=type(error).__name__)
        return {}


def _begun(
    made: Container, carrier: str, ids: Sequence[str], verb: Verb[T], page: JournalFile, now: datetime
) -> list[Asked]:
    """Write the intents down, as far as they are due."""
    turns: dict[str, int | None] = {}
    attached: set[str] = set()

    def begin(delivery: Delivery) -> Change | None:
        if not lifecycle.is_due(delivery, verb.step, carrier, now):
            return None
        turns[delivery.id] = delivery.step_attempt_id
        change = verb.begin(made, delivery)
        if change is None:
            return None
        if change.delivery.active is not None:
            attached.add(delivery.id)
        return page.attach(change)

    begun = made.database.update(ids, begin)
    page.expect(attached)
    return [Asked(each, attempt) for each in begun if (attempt := _subject(each, turns[each.id]))]


def _subject(begun: Delivery, turn: int | None) -> Attempt | None:
    """Name the attempt that was begun: the one whose turn it was, or the one that was made just now."""
    return begun.active if turn is None else begun.attempt(turn)


def _take(
    made: Container, codec: Carrier, verb: Verb[T], page: JournalFile, group: Sequence[tuple[Asked, Outcome]]
) -> None:
    """Store what a group of outcomes means, and tell what it says about the account."""
    carrier = codec.account.name
    page.log_replies((one.attempt.id, outcome) for one, outcome in group)
    read = _verdicts(made, codec, verb, group)
    verdicts = doubted(made, codec, read)
    settled = settle(made, [(one, _meant(verb, one, verdicts[one.attempt.id])) for one, _ in group])
    page.mark_stored(each.id for each in settled)
    for each in settled:
        logger.info("delivery.settled", delivery_id=each.id, carrier=carrier, status=each.status.value)
    if verb.step is Step.BOOK:
        account_health.leaving(carrier, settled)
    # Only now: Redis may hang, and an answer must not wait for it.
    said = [(outcome, verdicts[one.attempt.id]) for one, outcome in group]
    account_health.note(made, carrier, account_health.KINDS[verb.step], said)


def _verdicts(
    made: Container, codec: Carrier, verb: Verb[T], group: Sequence[tuple[Asked, Outcome]]
) -> dict[int, T | CarrierError]:
    """Tell what each outcome is read as, by its attempt."""
    verdicts: dict[int, T | CarrierError] = {}
    for one, outcome in group:
        read = partial(verb.read, made, codec, one.delivery, one.attempt)
        verdicts[one.attempt.id] = (
            outcome
            if isinstance(outcome, CarrierError)
            else guarded(codec.account.name, partial(read, outcome), unread)
        )
    return verdicts


def _meant(verb: Verb[T], one: Asked, answer: T | CarrierError) -> Decide:
    """Tell what an answer means, unless it comes so late that another change of the order is on its way by now."""
    asked = one.attempt.pending_fingerprint

    def decide(delivery: Delivery, attempt: int, rules: lifecycle.TermsByAccount, now: datetime) -> Change | None:
        stands = delivery.attempt(attempt)
        if verb.step is Step.AMEND and stands is not None and stands.pending_fingerprint != asked:
            return None
        return verb.settle(delivery, attempt, answer, rules, now)

    return decide


def guarded(carrier: str, work: Callable[[], T], broken: Callable[[Exception], CarrierError]) -> T | CarrierError:
    """Do a codec's work; what it raises is an answer too, and a bug of its is `broken`."""
    try:
        return work()
    except CarrierError as error:
        return error
    except Exception as error:
        logger.exception("carrier.codec_broke", carrier=carrier)
        return broken(error)


def _unmade(error: Exception) -> CarrierError:
    return Refused(Reason.UNKNOWN, f"the request could not be made: {type(error).__name__}")


def unread(error: Exception) -> CarrierError:
    """Take a reply that broke its reader for one that nobody has read."""
    return Uncertain(f"the reply broke its reader: {type(error).__name__}")


def settle(made: Container, answers: Sequence[tuple[Asked, Decide]]) -> list[Delivery]:
    """Store answers together and hint what follows; return what changed.

    When one of them cannot be stored, each is stored by itself, so that only that one is lost. A database that is away
    is another matter: then all wait for their lease, and are looked up.
    """
    if not answers:
        return []
    now = made.clock()
    meant = {one.delivery.id: (one.attempt.id, decide) for one, decide in answers}

    def apply(delivery: Delivery) -> Change | None:
        attempt, decide = meant[delivery.id]
        return decide(delivery, attempt, made.terms, now)

    try:
        changed = made.database.update(meant, apply)
    except Exception as error:
        logger.exception("delivery.settling_failed", count=len(answers))
        if is_transient(error) or len(answers) == 1:
            return []
        return [each for answer in answers for each in settle(made, [answer])]
    enqueue.enqueue_next_steps(changed, now)
    return changed
