"""Find what needs an operator: one trouble for each cause, with all the orders that it affects.

The causes are the attention reasons of deliveries, and what the system knows of itself. The command line, the desk, the
notifications and the metrics all use these troubles.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from worker.database import deliveries, diagnostics
from worker.database.connection import Connection, DatabaseError
from worker.database.database import Database
from worker.database.diagnostics import Asking, Waiting
from worker.domain import trouble
from worker.domain.attention import attention_troubles
from worker.domain.carrier_terms import TermsByAccount
from worker.domain.delivery import Delivery, Step
from worker.domain.trouble import Trouble
from worker.services.blockages import Blockage, blocked
from worker.services.system_health import SystemHealth, SystemState
from worker.services.system_troubles import (
    database_unavailable,
    outages,
    system_troubles,
)
from worker.wording import counted


@dataclass(frozen=True, slots=True)
class _Affected:
    """The deliveries behind the troubles."""

    asking: Asking
    reported: Sequence[str]
    waiting: Sequence[Sequence[Waiting]]
    """What waits because of each blockage."""
    known: dict[str, Delivery]


@dataclass(frozen=True)
class Troubles:
    """Find the troubles, the worst first."""

    database: Database
    health: SystemHealth
    terms: TermsByAccount
    awaits_callbacks: bool
    """Whether a carrier is asked to send callbacks to our web process."""

    def find(self, state: SystemState | None = None) -> list[Trouble]:
        """Return all troubles, ordered by their harm. `state` is the system's state if it was measured already."""
        state = state or self.health.measure()
        stored, now = state.stored, state.at
        found = list(outages(state))
        if stored is None:
            return trouble.by_harm(found)
        blockages = list(blocked(state, stored, self.terms))
        try:
            affected = self.database.read(_affected, blockages, now)
        except DatabaseError:
            return trouble.by_harm([*found, database_unavailable()])
        found += system_troubles(state, stored, awaits_callbacks=self.awaits_callbacks)
        found += [
            _with_waiting(each.trouble, waiting, affected.known, self.terms, now)
            for each, waiting in zip(blockages, affected.waiting, strict=True)
        ]
        steps = {step for each in blockages for step in each.steps}
        asking = _known(affected.asking.ids, affected.known)
        found += attention_troubles(asking, affected.asking.counts, steps, self.terms, now)
        reported = _known(affected.reported, affected.known)
        found += trouble.unmapped_status_troubles(reported, self.terms, now)
        return trouble.by_harm(found)


def _affected(connection: Connection, blockages: Sequence[Blockage], now: datetime) -> _Affected:
    asking = diagnostics.asking(connection)
    reported = diagnostics.reported_statuses(connection)
    waiting = [diagnostics.waiting(connection, each.steps, now) for each in blockages]
    ids = {*asking.ids, *reported, *(key for each in waiting for one in each for key in one.ids)}
    return _Affected(asking, reported, waiting, {each.id: each for each in deliveries.load(connection, ids)})


def _known(ids: Iterable[str], known: dict[str, Delivery]) -> list[Delivery]:
    """Return the deliveries that this version can read."""
    return [known[key] for key in ids if key in known]


def _with_waiting(
    blockage: Trouble, waiting: Sequence[Waiting], known: dict[str, Delivery], terms: TermsByAccount, now: datetime
) -> Trouble:
    affected = _known(dict.fromkeys(key for each in waiting for key in each.ids), known)
    described = replace(blockage, explanation=f"{blockage.explanation} {_what_waits(waiting)}".strip())
    return trouble.with_orders(described, affected, sum(each.count for each in waiting), terms, now)


def _what_waits(waiting: Sequence[Waiting]) -> str:
    """Return how many orders wait for a courier, and how many deliveries for something else."""
    creates = sum(each.count for each in waiting if each.step in {Step.BOOK, Step.ROUTE})
    reads = sum(each.count for each in waiting if each.step in {Step.TRACK, Step.RECONCILE})
    others = sum(each.count for each in waiting) - creates - reads
    parts = [
        f"{counted(creates, 'order waits', 'orders wait')} for a courier" if creates else "",
        f"{counted(reads, 'delivery is', 'deliveries are')} not read" if reads else "",
        f"{counted(others, 'change or cancel waits', 'changes or cancels wait')}" if others else "",
    ]
    text = "; ".join(filter(None, parts))
    return f"{text}." if text else ""
