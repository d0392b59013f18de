"""Build the records of calls, in the transaction that stores the outcomes. A call that is not kept costs no record."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from worker.carriers.port import Reading
from worker.database.carrier_calls import RecordedCall
from worker.domain.delivery import Attempt, Delivery
from worker.errors import CarrierError, Sent
from worker.http.call import Call, Operation, Outcome, Reply, Verdict, verdict_of
from worker.http.heads import reply_head, request_head, request_line
from worker.http.redaction import single_line

REPEATED = frozenset({Operation.READ, Operation.FIND})
"""The operations that are repeated until something has changed."""


@dataclass(frozen=True, slots=True)
class PendingCall:
    """A call for one attempt, and the delivery as it was when the call was claimed."""

    delivery: Delivery
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class EndedCall:
    """A call that has ended, and what its reply means for one attempt."""

    pending: PendingCall
    call: Call
    outcome: Outcome
    response: object
    """The parsed reply, or the error with which the call ended."""


def records_of(calls: Iterable[EndedCall], changed: Collection[str]) -> list[RecordedCall]:
    """Return the records of calls; `changed` are the ids of the deliveries that got an event.

    A call that was not sent has no record. Neither has an answered read of a delivery that got no event, because most
    reads repeat what is known.
    """
    return [_record(each, sent) for each in calls if (sent := each.outcome.sent) and _is_kept(each, changed)]


def _is_kept(ended: EndedCall, changed: Collection[str]) -> bool:
    repeats = ended.call.operation in REPEATED and ended.pending.delivery.id not in changed
    return not repeats or verdict_of(ended.response) is not Verdict.ANSWERED


def _record(ended: EndedCall, sent: Sent) -> RecordedCall:
    call, outcome, pending = ended.call, ended.outcome, ended.pending
    error = ended.response if isinstance(ended.response, CarrierError) else None
    trace = pending.delivery.trace
    return RecordedCall(
        pending.attempt.id,
        sent.at,
        call.operation.value,
        pending.delivery.id,
        pending.attempt.carrier,
        round(sent.seconds * 1000),
        outcome.status if isinstance(outcome, Reply) else None,
        verdict_of(ended.response),
        single_line(str(error)) if error else None,
        # The fields of an answered request are those of the order, and to redact them costs more than the record.
        request_line(call) if error is None else request_head(call),
        _shown(ended, error),
        trace.trace_id if trace else None,
    )


def _shown(ended: EndedCall, error: CarrierError | None) -> str | None:
    """Return the head of a reply; of a reply to a read that was answered, the carrier's statuses of this attempt.

    None without a reply. None also for the reply to a failed read of several orders, because its body may contain the
    customers of the others.
    """
    if isinstance(ended.response, Reading):
        seen = (each.raw for each in ended.response.observations.get(ended.pending.attempt.id, ()))
        words = ", ".join(f"{raw.entity}:{raw.code}" for raw in seen if raw is not None)
        return words or "nothing about this order"
    if not isinstance(ended.outcome, Reply) or len(ended.call.attempt_ids) > 1:
        return None
    return reply_head(ended.outcome.body, ended.pending.delivery.order if error else None)
