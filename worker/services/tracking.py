"""Read a batch of deliveries at one carrier, with as few calls as possible. A reply may have several pages."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from schemas.status import Cause
from worker import log
from worker.carriers.port import AttemptView, Carrier, Observation, Reading
from worker.clock import Clock
from worker.database import deliveries
from worker.database.database import Database
from worker.domain import lifecycle
from worker.domain.carrier_terms import attempt_view
from worker.domain.delivery import Attempt, Change, Delivery, Step
from worker.domain.lifecycle import StatusMappings, TermsByAccount
from worker.errors import CarrierError, Unreadable
from worker.http.call import Call, CallClass, Outcome
from worker.http.gateway import Gateway
from worker.services import problems
from worker.services.account_health import AccountHealth
from worker.services.accounts import CarrierAccounts
from worker.services.call_records import EndedCall, PendingCall
from worker.services.outcomes import Decision, Outcomes, run_codec, unreadable_reply
from worker.services.updates import Updates

logger = log.get(__name__)
MAX_PAGES = 20


@dataclass(slots=True)
class _Round:
    """The results of one round of reads, by attempt."""

    account: str
    observations: dict[int, tuple[Observation, ...]] = field(default_factory=dict)
    failures: dict[int, CarrierError] = field(default_factory=dict)
    absences: dict[int, int] = field(default_factory=dict)
    """By attempt id: the number of calls that reported the attempt as absent."""
    duplicates: dict[int, tuple[str, ...]] = field(default_factory=dict)

    def add(self, call: Call, reading: Reading | CarrierError) -> None:
        """Add the reading of one reply, or the error of its call."""
        if isinstance(reading, CarrierError):
            self.failures.update(dict.fromkeys(call.attempt_ids, reading))
            return
        for attempt, observations in reading.observations.items():
            self.observations[attempt] = (*self.observations.get(attempt, ()), *observations)
        for attempt in reading.absent:
            self.absences[attempt] = self.absences.get(attempt, 0) + 1
        for attempt, refs in reading.duplicates.items():
            self.duplicates[attempt] = tuple(dict.fromkeys((*self.duplicates.get(attempt, ()), *refs)))
        for note in sorted({note for found in reading.observations.values() for each in found for note in each.notes}):
            logger.info("carrier.noted", account=self.account, note=note)


@dataclass(frozen=True)
class Tracking:
    """Read deliveries at their carrier.

    `track` reads statuses, and `reconcile` looks up creates with an unknown outcome.
    """

    database: Database
    gateway: Gateway
    accounts: CarrierAccounts
    health: AccountHealth
    outcomes: Outcomes
    updates: Updates
    terms: TermsByAccount
    clock: Clock

    def track(self, account: str, ids: Sequence[str]) -> str:
        """Read the status of each of these deliveries whose read is due; return the problems in one line."""
        return self._read(account, ids, Step.TRACK)

    def reconcile(self, account: str, ids: Sequence[str]) -> str:
        """Look up creates with an unknown outcome; return the problems in one line.

        If the carrier has no look-ups, leave the creates to an operator.
        """
        self._decide_due(account, ids, lost=True)
        if self.terms[account].capabilities.find:
            return self._read(account, ids, Step.RECONCILE)
        undecided = self._decide_due(account, ids, lost=False)
        return problems.describe(["outcome unknown (no look-up)"] * undecided)

    def _decide_due(self, account: str, ids: Sequence[str], *, lost: bool) -> int:
        """Record lost creates, or that there is no look-up; return how many deliveries changed."""
        now = self.clock()
        decide = lifecycle.mark_outcome_unknown if lost else lifecycle.no_lookup_available

        def due(delivery: Delivery) -> Change | None:
            is_due = lifecycle.is_due(delivery, Step.RECONCILE, account, now)
            return decide(delivery, self.terms, now) if is_due else None

        return len(self.updates.apply(ids, due, now))

    def _read(self, account: str, ids: Sequence[str], step: Step) -> str:
        with self.health.acquire_account(account, ids, step) as codec:
            return codec if isinstance(codec, str) else self._read_due(codec, ids, step)

    def _read_due(self, codec: Carrier, ids: Sequence[str], step: Step) -> str:
        """Read the deliveries that are due; return the problems in one line.

        A look-up may need several calls. An attempt is absent only if each of its calls reports the attempt as absent.
        """
        account, now = codec.account.name, self.clock()
        mappings = self.accounts.status_mappings(account)
        loaded = self.database.read(deliveries.load, ids)
        due = [each for each in loaded if lifecycle.is_due(each, step, account, now)]
        pending = {attempt.id: PendingCall(each, attempt) for each in due if (attempt := each.step_attempt)}
        views = {key: attempt_view(call.delivery, call.attempt) for key, call in pending.items()}
        cause = Cause.RECONCILE if step is Step.RECONCILE else Cause.POLL
        build = codec.find if step is Step.RECONCILE else codec.track
        calls = run_codec(account, lambda: build(list(views.values()), self.clock()), unreadable_reply) if views else []
        found = _Round(account)
        if isinstance(calls, CarrierError):
            found.failures.update(dict.fromkeys(views, calls))
            calls = []
        ended: list[EndedCall] = []
        for call, outcome, reading in self._read_pages(codec, calls, views, pending):
            found.add(call, _mapped(reading, mappings))
            ended += [EndedCall(pending[key], call, outcome, reading) for key in call.attempt_ids if key in pending]
        covered = {key: sum(key in call.attempt_ids for call in calls) for key in views}
        self.outcomes.record(
            [(call, _decision(call.attempt, found, covered[key], cause, now)) for key, call in pending.items()], ended
        )
        duplicates = ((key, refs) for key, refs in found.duplicates.items() if key in pending)
        self.outcomes.record([(pending[key], _duplicates(refs, cause)) for key, refs in duplicates])
        return problems.describe(_problem(key, found, covered[key], cause) for key in pending)

    def _read_pages(
        self,
        codec: Carrier,
        calls: Sequence[Call],
        views: Mapping[int, AttemptView],
        pending: Mapping[int, PendingCall],
    ) -> Iterator[tuple[Call, Outcome, Reading | CarrierError]]:
        """Send reads, and a read for each further page of a reply; yield each read, its outcome and parsed reply."""
        account, pages = codec.account.name, list(calls)
        for _ in range(MAX_PAGES):
            traces = {
                number: [pending[key].delivery.trace for key in page.attempt_ids if key in pending]
                for number, page in enumerate(pages)
            }
            groups = self.gateway.send(
                account, dict(enumerate(pages)), max_body=codec.capabilities.max_body, traces=traces
            )
            outcomes = {number: outcome for group in groups for number, outcome in group.items()}
            read = [
                (pages[number], each, self._parse(codec, pages[number], each, views))
                for number, each in outcomes.items()
            ]
            yield from read
            results = [(outcome, reading) for _, outcome, reading in read]
            self.health.record_results(account, CallClass.READ, results)
            pages = [each.next_page for _, _, each in read if isinstance(each, Reading) and each.next_page]
            if not pages:
                return

    def _parse(
        self, codec: Carrier, call: Call, outcome: Outcome, views: Mapping[int, AttemptView]
    ) -> Reading | CarrierError:
        if isinstance(outcome, CarrierError):
            return outcome
        about, now = [views[attempt] for attempt in call.attempt_ids if attempt in views], self.clock()
        return run_codec(codec.account.name, lambda: codec.read(call, outcome, about, now), unreadable_reply)


def _mapped(reading: Reading | CarrierError, mappings: StatusMappings) -> Reading | CarrierError:
    """Apply the mappings of operators to unmapped statuses."""
    if isinstance(reading, CarrierError):
        return reading
    observations = {key: lifecycle.apply_mappings(seen, mappings) for key, seen in reading.observations.items()}
    return replace(reading, observations=observations)


def _duplicates(refs: Sequence[str], cause: Cause) -> Decision:
    return lambda each, key, terms, now: lifecycle.record_duplicates(each, key, refs, terms, now, cause)


def _problem(attempt_id: int, found: _Round, covered: int, cause: Cause) -> str | None:
    """Return the problem of one attempt in a round of reads."""
    if attempt_id in found.observations:
        return None
    if attempt_id in found.failures:
        return problems.of_read(found.failures[attempt_id])
    if cause is Cause.POLL:
        return "not found"
    return None if _is_absent(attempt_id, found, covered) else "outcome unknown (look-up inconclusive)"


def _is_absent(attempt_id: int, found: _Round, covered: int) -> bool:
    return bool(covered) and found.absences.get(attempt_id, 0) >= covered


def _decision(attempt: Attempt, found: _Round, covered: int, cause: Cause, began: datetime) -> Decision:
    """Return the function that applies the results of a round to the delivery of one attempt."""
    if attempt.id in found.observations:
        seen = found.observations[attempt.id]
        return lambda each, key, terms, now: lifecycle.apply_observations(each, key, seen, terms, now, cause, began)
    if attempt.id in found.failures:
        error = found.failures[attempt.id]
        return lambda each, key, terms, now: lifecycle.record_read_failure(each, key, error, terms, now)
    if cause is Cause.POLL:
        return lambda each, key, terms, now: lifecycle.record_missing(each, key, terms, now, began)
    if _is_absent(attempt.id, found, covered):
        return lambda each, _, terms, now: lifecycle.record_not_found(each, attempt, terms, now, began)
    undecided = Unreadable("the look-up was inconclusive")
    return lambda each, key, terms, now: lifecycle.record_read_failure(each, key, undecided, terms, now)
