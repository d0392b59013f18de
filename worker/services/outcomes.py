"""Store the outcomes of calls, each for its own attempt.

If the codec fails for an order, or the outcome of an order cannot be stored, the rest of the batch is not affected.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TypeVar

from worker import log
from worker.clock import Clock
from worker.database import carrier_calls, deliveries
from worker.database.connection import Connection, IntegrityError, is_transient
from worker.domain import lifecycle
from worker.domain.delivery import Change, Delivery
from worker.domain.lifecycle import TermsByAccount
from worker.errors import CarrierError, Uncertain
from worker.services.call_records import EndedCall, PendingCall, records_of
from worker.services.updates import Updates, log_fields

logger = log.get(__name__)
T = TypeVar("T")
Decision = Callable[[Delivery, int, TermsByAccount, datetime], Change | None]
"""Decides what an outcome changes about a delivery; the second argument is the id of the attempt."""


@dataclass(frozen=True)
class Outcomes:
    """Record the outcomes of calls."""

    updates: Updates
    terms: TermsByAccount
    clock: Clock

    def record(
        self, answers: Sequence[tuple[PendingCall, Decision]], calls: Sequence[EndedCall] = ()
    ) -> list[Delivery]:
        """Store outcomes in one transaction and enqueue what follows; return the deliveries that changed.

        An outcome is decided for the delivery of its call, unless the stored delivery has changed since then.

        The same transaction stores the records of the `calls` that are kept.

        If this transaction fails, each outcome is stored in a transaction of its own. The database rejects an outcome
        if the carrier's order in it belongs to another attempt. Then a conflict is recorded instead of the outcome. If
        the database is unreachable, no outcome is stored, and the calls count as lost after their leases expire.
        """
        if not answers:
            return []
        now = self.clock()
        decisions = {call.delivery.id: (call.attempt.id, decision) for call, decision in answers}

        def decide(delivery: Delivery) -> Change | None:
            attempt_id, decision = decisions[delivery.id]
            return decision(delivery, attempt_id, self.terms, now)

        known = [call.delivery for call, _ in answers]
        try:
            store = partial(_store, calls) if calls else None
            changes = self.updates.database.persist(deliveries.update, list(decisions), decide, known, store)
        except Exception as error:
            call, decision = answers[0]
            if len(answers) == 1 and isinstance(error, IntegrityError) and decision is not lifecycle.record_conflict:
                logger.error("carrier.id_reused", **log_fields(call.delivery, call.attempt))
                return self.record([(call, lifecycle.record_conflict)], calls)
            logger.exception("delivery.recording_failed", delivery_ids=list(decisions))
            if is_transient(error) or len(answers) == 1:
                return []
            return [each for answer in answers for each in self.record([answer], _of(calls, answer[0]))]
        self.updates.follow_up(changes, now)  # outside the `try`, because stored outcomes must not be recorded again
        return [change.delivery for change in changes]


def _of(calls: Sequence[EndedCall], pending: PendingCall) -> list[EndedCall]:
    return [each for each in calls if each.pending.attempt.id == pending.attempt.id]


def _store(calls: Sequence[EndedCall], connection: Connection, changes: Sequence[Change]) -> None:
    changed = {change.delivery.id for change in changes if change.events}
    carrier_calls.record(connection, records_of(calls, changed))


def run_codec(
    account: str, work: Callable[[], T], on_bug: Callable[[Exception], CarrierError], call: PendingCall | None = None
) -> T | CarrierError:
    """Run a codec's function and return its result. A CarrierError is returned and not raised.

    `on_bug` converts any other error into a CarrierError; its log line says which call it is about.
    """
    try:
        return work()
    except CarrierError as error:
        return error
    except Exception as error:
        about = log_fields(call.delivery, call.attempt) if call else {"account": account}
        logger.exception("carrier.codec_failed", **about)
        return on_bug(error)


def unreadable_reply(error: Exception) -> CarrierError:
    """Return the error for a reply whose parser failed: the call may have taken effect."""
    return Uncertain(f"the reply broke its parser: {type(error).__name__}")
