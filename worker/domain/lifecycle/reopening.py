"""What is seen of an attempt that has ended: mostly nothing new, sometimes that it lives."""

from schemas.events import EventType
from schemas.status import FINAL, Cause, DeliveryStatus
from worker.carriers.port import Observation
from worker.domain import schedule
from worker.domain.delivery import Attempt, Delivery, rank_of
from worker.domain.lifecycle.amendment import abandon_if_too_late
from worker.domain.lifecycle.change import ChangeBuilder
from worker.domain.lifecycle.event_details import stamp_events, status_details, update_details
from worker.domain.lifecycle.surplus import GONE, RESET_ON_REOPEN, mark_surplus
from worker.domain.planner import FOLLOWED_UP, next_follow_up
from worker.domain.transitions import interrupts

POLLED = frozenset({Cause.POLL, Cause.RECONCILE})
ORPHAN, ZOMBIE, REOPENED = "orphan_found", "cancelled_but_alive", "reopened"
_S = DeliveryStatus
AT_WORK = frozenset(
    {_S.PICKED_UP, _S.DROPOFF_ENROUTE, _S.DROPOFF_ARRIVED, _S.DELIVERY_FAILED, _S.REATTEMPTING, _S.DELIVERED}
)
"""What no courier is doing whose order was cancelled in time."""


def apply_after_end(edit: ChangeBuilder, attempt: Attempt, news: Observation, *, newer: bool) -> None:
    """Leave an ended attempt ended, unless its carrier shows that it goes on.

    What goes on is followed again while no other courier is sought or sent; otherwise it is one too many.
    """
    why = _lives(edit, attempt, news, newer=newer)
    if why is None:
        return
    assert news.status is not None  # noqa: S101 - what lives has a status
    attempt = edit.delivery.attempt(attempt.id) or attempt
    if attempt.surplus or _moved_on(edit.delivery, attempt):
        mark_surplus(edit, attempt, news.status, why if why == ORPHAN else "two_couriers")
        return
    _revive(edit, attempt, news)
    if why != REOPENED:
        edit.add_event(EventType.CONFLICT, attempt, reason_text=why)


def _lives(edit: ChangeBuilder, attempt: Attempt, news: Observation, *, newer: bool) -> str | None:
    """Tell why an ended attempt counts as living; None when it does not."""
    if attempt.state == DeliveryStatus.REJECTED:
        return None if news.status in GONE or news.status is DeliveryStatus.RETURNED else ORPHAN
    if attempt.state == DeliveryStatus.CANCELLED and newer and news.status in AT_WORK:
        return ZOMBIE
    if news.status in FINAL:
        clear_contradiction(edit, attempt)
        return None
    if news.reopens or (attempt.state in FOLLOWED_UP and confirmed_by_second_read(edit, attempt, news)):
        return REOPENED
    return None


def _moved_on(delivery: Delivery, attempt: Attempt) -> bool:
    """Tell whether another courier is sought or sent, or something final was decided without this one."""
    if delivery.active is not None:
        return True
    # Not by its number: one that was never sent may be taken up after others were made.
    _, last = max((each.submitted_at, each.number) for each in delivery.attempts if not each.surplus)
    return delivery.final and (attempt.state == DeliveryStatus.REJECTED or last != attempt.number)


def confirmed_by_second_read(edit: ChangeBuilder, attempt: Attempt, news: Observation) -> bool:
    """Tell whether a second poll, a minute after the first, shows the same against what we hold.

    Of what has ended the same is that it lives: between two reads it may have come farther.
    """
    if edit.cause not in POLLED or news.status is None:
        return False
    alike = attempt.contradicting_status == news.status or (
        attempt.contradicting_status is not None and attempt.state in FOLLOWED_UP
    )
    if not alike:
        edit.update_attempt(attempt, contradicting_status=news.status.value, contradicted_at=edit.now, wait_until=None)
        return False
    proven = attempt.contradicted_at is not None and edit.now - attempt.contradicted_at >= schedule.CONTRADICTION_GAP
    if proven:
        edit.update_attempt(attempt, contradicted_at=None)
    return proven


def clear_contradiction(edit: ChangeBuilder, attempt: Attempt) -> Attempt:
    """Forget what went against what we hold: it is confirmed."""
    if edit.cause not in POLLED or attempt.contradicting_status is None:
        return attempt
    return edit.update_attempt(attempt, contradicting_status=None, contradicted_at=None)


def count_follow_up(edit: ChangeBuilder, before: Attempt) -> None:
    """Count a read of an attempt that had ended.

    One before its time, for somebody wished it, does not stand for the planned one; nor does one that was only to prove
    what the last one saw. When that told nothing it is made again, but not at once: it may tell nothing for hours.
    """
    attempt, account = edit.delivery.attempt(before.id), edit.rules.get(before.carrier)
    if attempt is None or account is None or attempt.ended_at != before.ended_at:
        return
    planned, proving = next_follow_up(before, account), before.contradicted_at is not None
    counts = planned is not None and edit.now >= planned[1] and not proving
    unclear = proving and attempt.contradicted_at == before.contradicted_at
    again = edit.now + schedule.FOLLOW_UP_RETRY if unclear else None
    edit.update_attempt(attempt, follow_up_reads=attempt.follow_up_reads + counts, wait_until=again)


def _revive(edit: ChangeBuilder, attempt: Attempt, news: Observation) -> None:
    assert news.status is not None  # noqa: S101 - the caller's branch
    told, over = len(edit.events), edit.delivery.final
    ended = news.status in FINAL
    attempt = edit.update_attempt(
        attempt,
        **RESET_ON_REOPEN,
        state=news.status.value,
        ended_at=edit.now if ended else None,
        changed_at=edit.now,
        rank=rank_of(news.status, attempt.rank),
        resume_to=interrupts(news.status, DeliveryStatus.CREATED.value),
    )
    edit.update(carrier=attempt.carrier, failures=0, retry_at=None)
    update_details(edit, news)
    if over and not ended:
        edit.update(
            status=news.status, previous_status=edit.delivery.status, changed_at=edit.now, **status_details(news)
        )
        edit.add_event(EventType.REOPENED, attempt)
    else:
        edit.set_status(news.status, attempt, **status_details(news))
    abandon_if_too_late(edit, attempt)
    stamp_events(edit, news, told)
