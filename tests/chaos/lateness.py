"""How late each account is, beyond what the faults of its own or of shared servers explain.

Two things may be late: the create of an order that is due, and the end of a delivery that the carrier has ended.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from tests.chaos.history import History, Row
from tests.chaos.processes import CARRIER_OF, TRANSFER, TRANSFER_STORE
from tests.chaos.sandbox import attempt_id

FIRST_ACCOUNT = {**CARRIER_OF, TRANSFER_STORE: TRANSFER}
"""The first account of each store's list."""
REQUESTED = frozenset({"create", "offer"})
AFTERMATH = timedelta(minutes=5)
"""The longest wait that a fault leaves behind: of a circuit breaker, a back-off or a probe of rejected credentials."""
ENDED = re.compile(r"^(0|4|done|cancelled|(completed|canceled)/.*)$")
"""The carriers' statuses of a courier whose work has ended."""
CREATE_BOUND = timedelta(seconds=45)
"""The longest wait for a wake-up task that was lost: its lease, and the next sweep."""
END_BOUND = timedelta(seconds=120)
"""The longest wait for a status that no callback reports: two reads."""
WORK = timedelta(seconds=15)
"""The longest time that an idle machine needs for the work itself."""
Interval = tuple[datetime, datetime]
Lateness = Mapping[str, Sequence[timedelta]]


def of_creates(history: History) -> Lateness:
    """Return the unexplained lateness of the first create of each order, by the account where it was due first.

    An order with an unknown outcome before its first create is left out: the waits after it are prescribed.
    """
    late: dict[str, list[timedelta]] = defaultdict(list)
    unknown = {row["key"] for row in history.outbox if row["event"]["data"].get("status") == "submit_unknown"}
    created = _first_creates(history)
    for row in history.deliveries:
        if row["id"] not in created or row["id"] in unknown or row["dispatch_at"] is None:
            continue
        first, (account, at) = FIRST_ACCOUNT[row["store_id"]], created[row["id"]]
        wait = (datetime.fromisoformat(row["dispatch_at"]), at)
        late[first].append(_unexplained(wait, history.troubles, "creates", {first, account}))
    return late


def of_ends(history: History) -> Lateness:
    """Return the unexplained lateness of the end of each attempt whose courier ended by themself, by account."""
    late: dict[str, list[timedelta]] = defaultdict(list)
    attempts = {row["ref"]: row for row in history.attempts}
    cancelled = {entry["carrier_id"] for entry in history.ledger if entry["action"] == "cancel"}
    for courier in history.couriers:
        row, last = attempts.get(courier["id"]), courier["history"][-1]
        if row is None or not ENDED.match(last["word"]) or courier["id"] in cancelled or row["ended_at"] is None:
            continue
        wait = (datetime.fromisoformat(last["at"]), datetime.fromisoformat(row["ended_at"]))
        late[row["carrier"]].append(_unexplained(wait, history.troubles, "statuses", {row["carrier"]}))
    return late


def no_account_is_late(history: History) -> Iterator[str]:
    """R12: nothing is later than the faults of its own accounts or of shared servers explain.

    A busy machine works more slowly, and its many callbacks also wait for each other.
    """
    for what, found, bound in (
        ("creates", of_creates(history), CREATE_BOUND + WORK * history.slowness),
        ("ends", of_ends(history), END_BOUND + WORK * history.slowness**2),
    ):
        for account, waits in found.items():
            late = [wait.total_seconds() for wait in waits if wait > bound]
            if late:
                yield f"{account}: {len(late)} of {len(waits)} {what} were late without a reason, by {max(late):.0f} s"


def _first_creates(history: History) -> dict[str, tuple[str, datetime]]:
    """Return the account and the time of the first create that a carrier carried out for each delivery."""
    attempts = {row["id"]: row for row in history.attempts}
    created: dict[str, tuple[str, datetime]] = {}
    for entry in history.ledger:
        row = attempts.get(attempt_id(entry))
        if row is not None and entry["action"] in REQUESTED:
            created.setdefault(row["delivery_id"], (row["carrier"], datetime.fromisoformat(entry["at"])))
    return created


def _unexplained(wait: Interval, troubles: Iterable[Row], delayed: str, accounts: set[str]) -> timedelta:
    """Return the part of a wait in which no fault, or its aftermath, delayed these accounts."""
    reasons = [
        (datetime.fromisoformat(each["began"]), datetime.fromisoformat(each["ended"]) + AFTERMATH)
        for each in troubles
        if not accounts.isdisjoint(each[delayed])
    ]
    left, until = timedelta(), wait[0]
    for begins, ends in [*sorted(reasons), (wait[1], wait[1])]:
        left += max(min(begins, wait[1]) - until, timedelta())
        until = max(until, ends)
    return left
