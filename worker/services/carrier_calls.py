"""Calls that change something at a carrier: claim, send, record.

An intent is committed before the first byte leaves. Outcomes are stored in groups as the replies come in, each for its
own attempt.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TypeVar

from schemas.status import DeliveryStatus, Reason
from worker import log
from worker.carriers.port import Booked, Carrier
from worker.clock import Clock
from worker.database import callbacks, deliveries
from worker.database.database import Database
from worker.domain import lifecycle, schedule
from worker.domain.delivery import Change, Delivery, Step
from worker.domain.lifecycle import TermsByAccount
from worker.domain.planner import call_time
from worker.errors import CarrierError, Postponed, Refused, Uncertain
from worker.http.call import Call, Outcome
from worker.http.gateway import Gateway
from worker.resilience.call_journal import CallJournal, JournalFile
from worker.services import problems
from worker.services.account_health import CALL_CLASSES, AccountHealth, log_failovers
from worker.services.call_records import EndedCall, PendingCall
from worker.services.carrier_actions import CarrierAction
from worker.services.outcomes import Decision, Outcomes, run_codec, unreadable_reply

logger = log.get(__name__)
START_WITHIN = schedule.CALL_MARGIN / 2
"""The longest time from the intent to the start of the call. An amendment has more time, because it reads first.

This is half of `CALL_MARGIN`. The other half is for storing the outcome.
"""
REUSED_ID = "the carrier's id belongs to another order"
T = TypeVar("T")


@dataclass(frozen=True)
class CarrierCalls:
    """Execute one action for a batch of deliveries of one account."""

    database: Database
    gateway: Gateway
    health: AccountHealth
    journal: CallJournal
    outcomes: Outcomes
    terms: TermsByAccount
    clock: Clock

    def execute(self, account: str, ids: Sequence[str], action: CarrierAction[T]) -> str:
        """Execute the action for each given delivery for which the action is due now; return the problems in one line.

        The task says only that something may be due, so deliveries for which nothing is due are skipped.
        """
        with self.health.acquire_account(account, ids, action.step) as codec:
            if isinstance(codec, str):
                return codec
            with self.journal.open(action.step) as file:
                return self._execute(codec, ids, action, file)

    def _execute(self, codec: Carrier, ids: Sequence[str], action: CarrierAction[T], file: JournalFile) -> str:
        now = self.clock()
        return self.send(codec, self._claim(codec.account.name, ids, action, file, now), action, file, now)

    def send(
        self,
        codec: Carrier,
        pending: Mapping[int, PendingCall],
        action: CarrierAction[T],
        file: JournalFile,
        claimed_at: datetime,
    ) -> str:
        """Send claimed calls and record their outcomes; return the problems in one line.

        `pending` are the calls by the id of their attempt.
        The file has the attempts of these calls attached.
        """
        account = codec.account.name
        terms = self.terms[account]
        until = claimed_at + START_WITHIN + call_time(terms, action.step) - call_time(terms)
        built: dict[int, Call | T | CarrierError] = {}
        for key, call in pending.items():
            request = self._build(codec, action, call, until)
            built[key] = request
        responses: dict[int, object] = dict(built)
        requests = {key: each for key, each in built.items() if isinstance(each, Call)}
        answered = [
            (pending[key], _decision(action, pending[key], each))
            for key, each in built.items()
            if not isinstance(each, Call)
        ]
        file.mark_stored(each.id for each in self.outcomes.record(answered))
        if not file.log_sent(requests, self.database.identity):
            self.database.persist(deliveries.update, [pending[key].delivery.id for key in requests], file.detach)
        traces = {key: (pending[key].delivery.trace,) for key in requests}
        replies = self.gateway.send(account, requests, max_body=codec.capabilities.max_body, until=until, traces=traces)
        for group in replies:
            file.log_replies(group.items())
            answered_calls = [(pending[key], requests[key], outcome) for key, outcome in group.items()]
            recorded = self._record(codec, action, file, answered_calls)
            responses.update(recorded)
        return problems.describe(map(problems.of_call, responses.values()))

    def _claim(
        self, account: str, ids: Sequence[str], action: CarrierAction[T], file: JournalFile, now: datetime
    ) -> dict[int, PendingCall]:
        """Commit the intents that are due; return the pending calls by the id of their attempt."""

        def decide(delivery: Delivery) -> Change | None:
            if not lifecycle.is_due(delivery, action.step, account, now):
                return None
            change = action.claim(delivery)
            return file.attach(change) if change else None

        return pending_calls(self.database.persist(deliveries.update, ids, decide))

    def _build(
        self, codec: Carrier, action: CarrierAction[T], call: PendingCall, until: datetime
    ) -> Call | T | CarrierError:
        """Return the request of a call, or its response if nothing is to be sent, or an error.

        Building a request may need a read first. If it is too late to start the call, the error is Postponed.
        """
        if self.clock() > until:
            return Postponed("the call could not start in time")
        build = partial(action.build_request, codec, call.delivery, call.attempt)
        return run_codec(codec.account.name, build, _unbuildable_request, call)

    def _record(
        self,
        codec: Carrier,
        action: CarrierAction[T],
        file: JournalFile,
        group: Sequence[tuple[PendingCall, Call, Outcome]],
    ) -> dict[int, T | CarrierError]:
        """Store a group of outcomes, then record for the account whether its calls succeeded; return the responses."""
        account = codec.account.name
        parsed = self._parse(codec, action, [(call, outcome) for call, _, outcome in group])
        responses = self.reject_reused_ids(codec, parsed)
        decisions = [(call, _decision(action, call, responses[call.attempt.id])) for call, _, _ in group]
        ended = [EndedCall(call, request, outcome, responses[call.attempt.id]) for call, request, outcome in group]
        changed = self.outcomes.record(decisions, ended)
        file.mark_stored(each.id for each in changed)
        ids: dict[DeliveryStatus, list[str]] = {}
        for each in changed:
            ids.setdefault(each.status, []).append(each.id)
        for status, these in ids.items():
            logger.info("delivery.outcomes_recorded", account=account, status=status.value, delivery_ids=these)
        if action.step is Step.BOOK:
            log_failovers(account, changed)
        # This comes last, because Redis may hang, and an outcome must not wait for it.
        results = [(outcome, responses[call.attempt.id]) for call, _, outcome in group]
        self.health.record_results(account, CALL_CLASSES[action.step], results)
        return responses

    def _parse(
        self, codec: Carrier, action: CarrierAction[T], group: Sequence[tuple[PendingCall, Outcome]]
    ) -> dict[int, T | CarrierError]:
        parsed: dict[int, T | CarrierError] = {}
        for call, outcome in group:
            if isinstance(outcome, CarrierError):
                parsed[call.attempt.id] = outcome
                continue
            parse = partial(action.parse_response, codec, call.delivery, call.attempt, outcome)
            parsed[call.attempt.id] = run_codec(codec.account.name, parse, unreadable_reply, call)
        return parsed

    def reject_reused_ids(
        self, codec: Carrier, responses: Mapping[int, T | CarrierError]
    ) -> dict[int, T | CarrierError]:
        """Return the responses by attempt, with Uncertain in place of each booking whose id belongs to another order.

        Only carriers without look-ups are checked, because only the carrier's id links their orders to ours (C-21).
        """
        checked = dict(responses)
        if codec.capabilities.find:
            return checked
        booked = {key: each.observation.ref for key, each in responses.items() if isinstance(each, Booked)}
        refs = {key: ref for key, ref in booked.items() if ref is not None}
        holders = self._holders(codec.account.name, refs.values()) if refs else {}
        for key, ref in refs.items():
            if holders.setdefault(ref, key) != key:
                logger.error("carrier.id_reused", account=codec.account.name, reference=key, ref=ref)
                checked[key] = Uncertain(REUSED_ID)
        return checked

    def _holders(self, account: str, refs: Collection[str]) -> dict[str, int]:
        try:
            return self.database.read(callbacks.attempts_by_ref, account, refs)
        except Exception as error:  # noqa: BLE001 - the outcomes of a whole group must not be lost because of it
            logger.warning("carrier.ids_not_compared", account=account, error=type(error).__name__)
            return {}


def pending_calls(changes: Iterable[Change]) -> dict[int, PendingCall]:
    """Return the calls that begin with these changes, by the id of their attempt."""
    begun = ((change.delivery, change.begun) for change in changes)
    return {attempt.id: PendingCall(delivery, attempt) for delivery, attempt in begun if attempt}


def _decision(action: CarrierAction[T], call: PendingCall, response: T | CarrierError) -> Decision:
    """Return the function that applies a response to its delivery.

    A response is ignored if it is already stored, or if a newer call of the attempt has begun. There is one exception:
    a booking is applied if the delivery does not have the carrier's order yet, because the booking proves that the
    order exists.
    """

    def decide(delivery: Delivery, attempt_id: int, terms: TermsByAccount, now: datetime) -> Change | None:
        closed = lifecycle.close_call(delivery, call.attempt)
        if closed is not None:
            return action.apply_outcome(closed, attempt_id, response, terms, now)
        if isinstance(response, Booked):
            return lifecycle.apply_late_booking(delivery, attempt_id, response, terms, now)
        return None

    return decide


def _unbuildable_request(error: Exception) -> CarrierError:
    return Refused(Reason.UNKNOWN, f"the request could not be built: {type(error).__name__}")
