"""Calls to one carrier for a batch of deliveries: intent, call, answer, outcome.

What changes something at a carrier is written down before it is sent, and every answer is stored for the very attempt
it belongs to, in groups as the answers come in. One order that breaks a codec never takes its neighbours along.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import chain
from typing import Generic, TypeVar

from schemas.status import Cause, Reason
from worker import hints, lifecycle, log, schedule
from worker.carriers.port import Attempt as Seen
from worker.carriers.port import Call, Carrier, Observation, Reading, Reply
from worker.delivery import Attempt, Change, Delivery, Step, view
from worker.errors import CarrierError, Refused, Uncertain, Unreadable
from worker.guard import standing
from worker.guard.breaker import Kind
from worker.journal import Page
from worker.store import passing
from worker.wiring import House

logger = log.get(__name__)
MAX_PAGES = 20
START_WITHIN = schedule.CALL_MARGIN / 2
"""How long after its intent a call may still be sent; the other half of the margin is for storing its outcome."""
Outcome = Reply | CarrierError
Decide = Callable[[Delivery, int, lifecycle.Rules, datetime], Change | None]
"""Tells what something means for one attempt of a delivery."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Verb(Generic[T]):
    """One thing to ask of a carrier for each delivery.

    `begin` writes the intent down, `describe` and `read` are the codec's part, and `settle` tells what the answer or
    the CarrierError means for the delivery.
    """

    step: Step
    begin: Callable[[House, Delivery], Change | None]
    describe: Callable[[House, Carrier, Delivery, Attempt], Call]
    read: Callable[[House, Carrier, Delivery, Attempt, Reply], T]
    settle: Callable[[Delivery, int, T | CarrierError, lifecycle.Rules, datetime], Change]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What was begun for one delivery, as it stood then."""

    delivery: Delivery
    attempt: Attempt


def perform(made: House, carrier: str, ids: Sequence[str], verb: Verb[T]) -> None:
    """Do what a verb says for those of these deliveries for which it is due now."""
    with standing.entered(made, carrier, ids, verb.step) as codec:
        if codec is None:
            return
        with made.journal.page(verb.step) as page:
            _perform(made, codec, ids, verb, page)


def _perform(made: House, codec: Carrier, ids: Sequence[str], verb: Verb[T], page: Page) -> None:
    carrier, now = codec.account.name, made.now()
    turns: dict[str, int | None] = {}

    def begin(delivery: Delivery) -> Change | None:
        if not lifecycle.due(delivery, verb.step, carrier, now):
            return None
        turns[delivery.id] = delivery.turn
        return page.sign(verb.begin(made, delivery))

    begun = made.store.update(ids, begin)
    asked = [_Asked(each, attempt) for each in begun if (attempt := _subject(each, turns[each.id]))]
    calls: list[Call] = []
    about: dict[int, _Asked] = {}
    refused: list[tuple[_Asked, Decide]] = []
    for one in asked:
        call = _guarded(carrier, partial(verb.describe, made, codec, one.delivery, one.attempt), _unmade)
        if isinstance(call, CarrierError):
            refused.append((one, _meant(verb, call)))
            continue
        calls.append(call)
        about[id(call)] = one
    page.settled(each.id for each in _settle(made, refused))
    if not page.sending(one.attempt.id for one in about.values()):
        made.store.update([one.delivery.id for one in about.values()], page.unsign)
    kind, until = standing.KINDS[verb.step], now + START_WITHIN
    for group in made.gateway.send(carrier, calls, max_body=codec.capabilities.max_body, until=until):
        page.answered((about[id(call)].attempt.id, got) for call, got in group)
        answers = [(about[id(call)], got, *_answer(made, codec, verb, about[id(call)], got)) for call, got in group]
        settled = _settle(made, [(one, decide) for one, _, _, decide in answers])
        page.settled(each.id for each in settled)
        for each in settled:
            logger.info("delivery.settled", delivery_id=each.id, carrier=carrier, status=each.status.value)
        # Only now: Redis may hang, and an answer must not wait for it.
        standing.note(made, carrier, kind, [(got, verdict) for _, got, verdict, _ in answers])


def _subject(begun: Delivery, turn: int | None) -> Attempt | None:
    """Name the attempt that was begun: the one whose turn it was, or the one that was made just now."""
    return begun.active if turn is None else begun.attempt(turn)


def _answer(made: House, codec: Carrier, verb: Verb[T], one: _Asked, outcome: Outcome) -> tuple[object, Decide]:
    """Tell what an outcome is read as, and what that means for the delivery."""
    if isinstance(outcome, CarrierError):
        return outcome, _meant(verb, outcome)
    verdict = _guarded(codec.account.name, partial(verb.read, made, codec, one.delivery, one.attempt, outcome), _unread)
    return verdict, _meant(verb, verdict)


def _meant(verb: Verb[T], answer: T | CarrierError) -> Decide:
    return lambda delivery, attempt, rules, now: verb.settle(delivery, attempt, answer, rules, now)


def _guarded(carrier: str, work: Callable[[], T], broken: Callable[[Exception], CarrierError]) -> T | CarrierError:
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


def _unread(error: Exception) -> CarrierError:
    return Uncertain(f"the reply broke its reader: {type(error).__name__}")


def _settle(made: House, answers: Sequence[tuple[_Asked, Decide]]) -> list[Delivery]:
    """Store answers together and hint what follows; return what changed.

    When one of them cannot be stored, each is stored by itself, so that only that one is lost. A database that is away
    is another matter: then all wait for their lease, and are looked up.
    """
    if not answers:
        return []
    now = made.now()
    meant = {one.delivery.id: (one.attempt.id, decide) for one, decide in answers}

    def settle(delivery: Delivery) -> Change | None:
        attempt, decide = meant[delivery.id]
        return decide(delivery, attempt, made.rules, now)

    try:
        changed = made.store.update(meant, settle)
    except Exception as error:
        logger.exception("delivery.settling_failed", count=len(answers))
        if passing(error) or len(answers) == 1:
            return []
        return [each for answer in answers for each in _settle(made, [answer])]
    hints.after(changed, now)
    return changed


# --- reads ------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Seen:
    """What a round of reads showed: observations, failures, orders too many, and how many calls miss an attempt."""

    carrier: str
    observations: dict[int, tuple[Observation, ...]] = field(default_factory=dict)
    failed: dict[int, CarrierError] = field(default_factory=dict)
    absences: dict[int, int] = field(default_factory=dict)
    extras: dict[int, tuple[str, ...]] = field(default_factory=dict)

    def take(self, call: Call, reading: Reading | CarrierError) -> None:
        """Take one reply in."""
        if isinstance(reading, CarrierError):
            self.failed.update(dict.fromkeys(call.covers, reading))
            return
        for attempt, observations in reading.seen.items():
            self.observations[attempt] = (*self.observations.get(attempt, ()), *observations)
        for attempt in reading.absent:
            self.absences[attempt] = self.absences.get(attempt, 0) + 1
        for attempt, refs in reading.extras.items():
            self.extras[attempt] = tuple(dict.fromkeys((*self.extras.get(attempt, ()), *refs)))
        for note in sorted({note for found in reading.seen.values() for each in found for note in each.notes}):
            logger.info("carrier.noted", carrier=self.carrier, note=note)


def look(made: House, carrier: str, ids: Sequence[str], step: Step) -> None:
    """Read these deliveries at their carrier: `track` what it has, `reconcile` what it may have.

    An attempt counts as absent only when every call that covered it said so.
    """
    with standing.entered(made, carrier, ids, step) as codec:
        if codec is not None:
            _look(made, codec, ids, step)


def _look(made: House, codec: Carrier, ids: Sequence[str], step: Step) -> None:
    carrier, now = codec.account.name, made.now()
    due = [each for each in made.store.load(ids) if lifecycle.due(each, step, carrier, now)]
    asked = {attempt.id: _Asked(each, attempt) for each in due if (attempt := each.on_turn)}
    attempts = {key: view(one.delivery, one.attempt) for key, one in asked.items()}
    cause = Cause.RECONCILE if step is Step.RECONCILE else Cause.POLL
    describe = codec.find if step is Step.RECONCILE else codec.track
    calls = _guarded(carrier, lambda: describe(list(attempts.values()), made.now()), _unread) if attempts else []
    seen = _Seen(carrier)
    if isinstance(calls, CarrierError):
        seen.failed.update(dict.fromkeys(attempts, calls))
        calls = []
    for call, reading in _read_all(made, codec, calls, attempts):
        seen.take(call, reading)
    covered = {key: sum(key in call.covers for call in calls) for key in attempts}
    _settle(made, [(one, _meaning(one.attempt, seen, covered[key], cause, now)) for key, one in asked.items()])
    _settle(made, [(asked[key], _further(refs, cause)) for key, refs in seen.extras.items() if key in asked])


def _further(refs: Sequence[str], cause: Cause) -> Decide:
    return lambda each, key, rules, now: lifecycle.duplicates(each, key, refs, rules, now, cause)


def _meaning(attempt: Attempt, seen: _Seen, covered: int, cause: Cause, began: datetime) -> Decide:
    """Choose what a round of reads means for one attempt."""
    if attempt.id in seen.observations:
        news = seen.observations[attempt.id]
        return lambda each, key, rules, now: lifecycle.observe(each, key, news, rules, now, cause, began)
    if attempt.id in seen.failed:
        error = seen.failed[attempt.id]
        return lambda each, key, rules, now: lifecycle.missed(each, key, error, rules, now)
    if cause is Cause.POLL:
        return lambda each, key, rules, now: lifecycle.unseen(each, key, rules, now, began)
    if covered and seen.absences.get(attempt.id, 0) >= covered:
        return lambda each, key, rules, now: lifecycle.absent(each, key, attempt.lookups, rules, now)
    undecided = Unreadable("the look-up could not tell")
    return lambda each, key, rules, now: lifecycle.missed(each, key, undecided, rules, now)


def _read_all(
    made: House, codec: Carrier, calls: Sequence[Call], attempts: Mapping[int, Seen]
) -> Iterator[tuple[Call, Reading | CarrierError]]:
    """Send reads and follow their further pages."""
    pages = list(calls)
    for _ in range(MAX_PAGES):
        groups = made.gateway.send(codec.account.name, pages, max_body=codec.capabilities.max_body)
        answers = [
            (call, outcome, _reading(codec, call, outcome, attempts, made.now()))
            for call, outcome in chain.from_iterable(groups)
        ]
        yield from ((call, reading) for call, _, reading in answers)
        standing.note(made, codec.account.name, Kind.READ, [(outcome, reading) for _, outcome, reading in answers])
        pages = [reading.more for _, _, reading in answers if isinstance(reading, Reading) and reading.more]
        if not pages:
            return


def _reading(
    codec: Carrier, call: Call, outcome: Outcome, attempts: Mapping[int, Seen], now: datetime
) -> Reading | CarrierError:
    if isinstance(outcome, CarrierError):
        return outcome
    about = [attempts[attempt] for attempt in call.covers if attempt in attempts]
    return _guarded(codec.account.name, lambda: codec.read(call, outcome, about, now), _unread)
