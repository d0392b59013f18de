"""A change of an order that a carrier has already: carried there where that can be done, otherwise left to a person.

What stands at the carrier is read before each change, so that it may be asked for again (B-95). Until its answer has
come nobody knows which order the carrier has.
"""

from datetime import datetime

from schemas.events import EventType
from schemas.status import GOODS_WITH_COURIER
from worker.domain import schedule
from worker.domain.delivery import Attempt
from worker.domain.lifecycle.change import CHANGED, Edit
from worker.domain.planner import amendable
from worker.errors import CarrierError


def carry(edit: Edit, attempt: Attempt) -> None:
    """Let a change that was just taken in be carried to the carrier that has the order, or ask for a person."""
    account = edit.rules.get(attempt.carrier)
    if attempt.told == edit.delivery.fingerprint:  # taken back before anybody told the carrier
        edit.put(attempt, amend_refused=False, amend_asks=0)
        edit.answer({CHANGED})
        edit.tell(EventType.UPDATED)
        return
    if account is None or not amendable(edit.delivery, attempt, account):
        edit.put(attempt, amend_refused=True)
        edit.attend(CHANGED)
        return
    edit.put(attempt, amend_refused=False, amend_asks=0)
    edit.tell(EventType.UPDATED)


def begin_amendment(edit: Edit, attempt: Attempt) -> None:
    """Write down which order is on its way to the carrier, and when that one wants its courier."""
    order, store = edit.delivery.order, edit.delivery.store
    wanted = schedule.pickup_at(order, store, edit.now)
    timed = (order.ready_at or order.deliver_at) is not None and wanted > edit.now
    pickup = wanted if timed else attempt.pickup_at  # "as soon as possible" is not later because something else changed
    asks = attempt.amend_asks + 1
    edit.put(attempt, told="", amending=edit.delivery.fingerprint, amend_asks=asks, pickup_at=pickup)


def carried(edit: Edit, attempt: Attempt) -> Attempt:
    """Take that the carrier knows the order as it was when the change was begun; it may have changed again since."""
    if attempt.amending == edit.delivery.fingerprint:
        edit.answer({CHANGED})
    edit.set(failures=0, retry_at=None)
    return edit.put(attempt, told=attempt.amending, amending=None, amend_asks=0, wait_until=None)


def read_between(edit: Edit, attempt: Attempt, began: datetime) -> None:
    """Take a read for the one that comes before a change is asked for again, if it began late enough."""
    if attempt.wait_until is not None and began < attempt.wait_until:
        return
    if attempt.amend_asks >= schedule.AMEND_ASKS:
        give_up(edit, attempt)
    else:
        edit.put(attempt, amending=None, wait_until=None)


def overtaken(edit: Edit, attempt: Attempt) -> None:
    """Give a change up that can no longer be carried to a courier who comes all the same.

    He has left, or lives again and was never told of it, or the cancel that it waited for was refused.
    """
    known = attempt.told in {None, edit.delivery.fingerprint} or attempt.amend_refused
    wished = edit.delivery.cancel is not None or attempt.cancelling
    called_off = wished and not attempt.cancel_refused and attempt.rank < GOODS_WITH_COURIER
    account = edit.rules.get(attempt.carrier)
    if (
        not (known or called_off)
        and attempt.live
        and (account is None or not amendable(edit.delivery, attempt, account))
    ):
        give_up(edit, attempt)


def give_up(edit: Edit, attempt: Attempt, why: CarrierError | None = None) -> None:
    """Leave the carrier's order as it is, and a change to a person."""
    error = str(why) if why else attempt.last_error
    attempt = edit.put(attempt, amend_refused=True, amending=None, wait_until=None, last_error=error)
    edit.attend(CHANGED, attempt)
