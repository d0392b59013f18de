"""Callbacks that may have been missed: while the edge or the database was away, the carriers called in vain.

A carrier repeats a callback for a day at most, some never. So the edge notes every minute that it listens; once it is
back after a gap, every delivery whose carrier relies on callbacks is read soon (B-85).
"""

from datetime import datetime, timedelta

from worker.container import Container
from worker.domain import lifecycle, schedule
from worker.domain.delivery import Change, Delivery

NOTE_SECONDS = 60.0
GAP = timedelta(minutes=5)
SPREAD = timedelta(minutes=2)
"""Over which the reads after a gap are spread, so that they do not all ask for the budget at once."""
BATCH = 200


def listen(made: Container) -> int:
    """Note that callbacks can be stored; after a gap hurry the reads that rely on them, and return how many.

    The note comes last: whoever dies in between leaves the gap to the next.
    """
    now = made.clock()
    last = made.database.listened_at()
    hurried = _catch_up(made, now) if last is not None and now - last > GAP else 0
    made.database.listening(now)
    return hurried


def _catch_up(made: Container, now: datetime) -> int:
    carriers = [name for name, terms in made.terms.items() if terms.capabilities.callbacks != "none"]
    ids = made.database.awaiting_news(carriers)

    def decide(delivery: Delivery) -> Change | None:
        soon = now + SPREAD * schedule.fraction(delivery.id)
        if delivery.next_run_at is None or delivery.next_run_at <= soon:
            return None
        return lifecycle.schedule_read_now(delivery, made.terms, soon)

    batches = (ids[at : at + BATCH] for at in range(0, len(ids), BATCH))
    return sum(len(made.database.update(batch, decide)) for batch in batches)
