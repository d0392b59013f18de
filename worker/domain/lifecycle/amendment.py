"""A change of an order that a carrier has already: carried there where that can be done, otherwise left to a person.

What stands at the carrier is read before each change, so that it may be asked for again (B-95). Until its answer has
come nobody knows which order the carrier has.
"""

from datetime import datetime

from schemas.events import EventType
from schemas.status import GOODS_WITH_COURIER
from worker.domain import schedule
from worker.domain.delivery import Attempt
from worker.domain.lifecycle.change import CHANGED, ChangeBuilder
from worker.domain.planner import amendable
from worker.errors import CarrierError


def carry_update(edit: ChangeBuilder, attempt: Attempt) -> None:
    """Let a change that was just taken in be carried to the carrier that has the order, or ask for a person."""
    account = edit.rules.get(attempt.carrier)
    if attempt.sent_fingerprint == edit.delivery.fingerprint:  # taken back before anybody told the carrier
        edit.update_attempt(attempt, amend_refused=False, amend_requests=0)
        edit.clear_attention({CHANGED})
        edit.add_event(EventType.UPDATED)
        return
    if account is None or not amendable(edit.delivery, attempt, account):
        edit.update_attempt(attempt, amend_refused=True)
        edit.request_attention(CHANGED)
        return
    edit.update_attempt(attempt, amend_refused=False, amend_requests=0)
    edit.add_event(EventType.UPDATED)


def begin_amendment(edit: ChangeBuilder, attempt: Attempt) -> None:
    """Write down which order is on its way to the carrier, and when that one wants its courier."""
    order, store = edit.delivery.order, edit.delivery.store
    wanted = schedule.pickup_time(order, store, edit.now)
    timed = (order.ready_at or order.deliver_at) is not None and wanted > edit.now
    pickup = wanted if timed else attempt.pickup_at  # "as soon as possible" is not later because something else changed
    asks = attempt.amend_requests + 1
    edit.update_attempt(
        attempt,
        sent_fingerprint="",
        pending_fingerprint=edit.delivery.fingerprint,
        amend_requests=asks,
        pickup_at=pickup,
    )


def mark_amended(edit: ChangeBuilder, attempt: Attempt) -> Attempt:
    """Take that the carrier knows the order as it was when the change was begun; it may have changed again since."""
    if attempt.pending_fingerprint == edit.delivery.fingerprint:
        edit.clear_attention({CHANGED})
    edit.update(failures=0, retry_at=None)
    return edit.update_attempt(
        attempt,
        sent_fingerprint=attempt.pending_fingerprint,
        pending_fingerprint=None,
        amend_requests=0,
        wait_until=None,
    )


def record_read_between(edit: ChangeBuilder, attempt: Attempt, began: datetime) -> None:
    """Take a read for the one that comes before a change is asked for again, if it began late enough."""
    if attempt.wait_until is not None and began < attempt.wait_until:
        return
    if attempt.amend_requests >= schedule.AMEND_REQUESTS:
        abandon_amendment(edit, attempt)
    else:
        edit.update_attempt(attempt, pending_fingerprint=None, wait_until=None)


def abandon_if_too_late(edit: ChangeBuilder, attempt: Attempt) -> None:
    """Give a change up that can no longer be carried to a courier who comes all the same.

    He has left, or lives again and was never told of it, or the cancel that it waited for was refused.
    """
    known = attempt.sent_fingerprint in {None, edit.delivery.fingerprint} or attempt.amend_refused
    wished = edit.delivery.cancel_request is not None or attempt.cancel_requested
    called_off = wished and not attempt.cancel_refused and attempt.rank < GOODS_WITH_COURIER
    account = edit.rules.get(attempt.carrier)
    if (
        not (known or called_off)
        and attempt.live
        and (account is None or not amendable(edit.delivery, attempt, account))
    ):
        abandon_amendment(edit, attempt)


def abandon_amendment(edit: ChangeBuilder, attempt: Attempt, why: CarrierError | None = None) -> None:
    """Leave the carrier's order as it is, and a change to a person."""
    error = str(why) if why else attempt.last_error
    attempt = edit.update_attempt(
        attempt, amend_refused=True, pending_fingerprint=None, wait_until=None, last_error=error
    )
    edit.request_attention(CHANGED, attempt)
