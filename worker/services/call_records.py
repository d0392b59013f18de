"""Build the records of calls."""

from worker.database.carrier_calls import RecordedCall, Verdict
from worker.errors import CarrierError, Refused, Throttled, Unavailable, Uncertain
from worker.http.call import Call, Outcome, Reply
from worker.http.heads import reply_head, request_head, request_line
from worker.http.redaction import single_line
from worker.services.outcomes import PendingCall


def record_of(pending: PendingCall, call: Call, outcome: Outcome, response: object) -> RecordedCall | None:
    """Return the record of a call; None if the call was not sent."""
    sent = outcome.sent
    if sent is None:
        return None
    error = response if isinstance(response, CarrierError) else None
    # The body of a reply about several orders may contain the customers of the others.
    shown = isinstance(outcome, Reply) and len(call.attempt_ids) <= 1
    order = None if error is None else pending.delivery.order
    trace = pending.delivery.trace
    return RecordedCall(
        pending.attempt.id,
        sent.at,
        call.operation.value,
        pending.delivery.id,
        pending.attempt.carrier,
        round(sent.seconds * 1000),
        outcome.status if isinstance(outcome, Reply) else None,
        _verdict(error),
        single_line(str(error)) if error else None,
        # The fields of a request that was answered tell nothing new, and to redact them costs more than the record.
        request_line(call) if error is None else request_head(call),
        reply_head(outcome.body, order) if shown and isinstance(outcome, Reply) else None,
        trace.trace_id if trace else None,
    )


def _verdict(error: CarrierError | None) -> Verdict:
    match error:
        case None:
            return Verdict.ANSWERED
        case Throttled():
            return Verdict.THROTTLED
        case Unavailable():
            return Verdict.UNAVAILABLE
        case Uncertain():
            return Verdict.UNCERTAIN
        case Refused():
            return Verdict.REFUSED
        case _:
            return Verdict.UNREADABLE
