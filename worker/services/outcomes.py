"""Outcomes of calls, each stored for the very attempt that it answers.

One order that breaks a codec or cannot be stored never takes the other orders of its batch along.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from worker import log
from worker.clock import Clock
from worker.database import deliveries
from worker.database.connection import is_transient
from worker.domain.delivery import Attempt, Change, Delivery
from worker.domain.lifecycle import TermsByAccount
from worker.errors import CarrierError, Uncertain
from worker.services.updates import Updates

logger = log.get(__name__)
T = TypeVar("T")
Meaning = Callable[[Delivery, int, TermsByAccount, datetime], Change | None]
"""What an outcome means for one attempt, by its id, of a delivery."""


@dataclass(frozen=True, slots=True)
class PendingCall:
    """A call that is made for one attempt, and the delivery as it was when the call was claimed."""

    delivery: Delivery
    attempt: Attempt


@dataclass(frozen=True)
class Outcomes:
    """Record what calls brought."""

    updates: Updates
    terms: TermsByAccount
    clock: Clock

    def record(self, answers: Sequence[tuple[PendingCall, Meaning]]) -> list[Delivery]:
        """Store outcomes in one transaction and enqueue what follows; return the deliveries that changed.

        When one of them cannot be stored, each is stored by itself. While the database is away none is: their leases
        run out, and their calls are looked up.
        """
        if not answers:
            return []
        now = self.clock()
        meanings = {call.delivery.id: (call.attempt.id, meaning) for call, meaning in answers}

        def decide(delivery: Delivery) -> Change | None:
            attempt_id, meaning = meanings[delivery.id]
            return meaning(delivery, attempt_id, self.terms, now)

        try:
            changes = self.updates.database.persist(deliveries.update, list(meanings), decide)
        except Exception as error:
            logger.exception("delivery.recording_failed", count=len(answers))
            if is_transient(error) or len(answers) == 1:
                return []
            return [each for answer in answers for each in self.record([answer])]
        self.updates.follow_up(changes, now)  # not in the `try`: what is stored must not be recorded again
        return [change.delivery for change in changes]


def run_codec(account: str, work: Callable[[], T], on_bug: Callable[[Exception], CarrierError]) -> T | CarrierError:
    """Run a codec's function; a CarrierError is returned, and so is what `on_bug` makes of any other error."""
    try:
        return work()
    except CarrierError as error:
        return error
    except Exception as error:
        logger.exception("carrier.codec_failed", carrier=account)
        return on_bug(error)


def unreadable_reply(error: Exception) -> CarrierError:
    """Return what a reply is worth whose parser failed: the call may have taken effect."""
    return Uncertain(f"the reply broke its parser: {type(error).__name__}")
