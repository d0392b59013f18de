"""Fetch the orders of messages that contain only an order id. An order that cannot be fetched becomes a dead letter."""

import json
from dataclasses import asdict, dataclass
from datetime import timedelta
from uuid import uuid4

from schemas.json_reader import MalformedError
from schemas.messages import Message
from schemas.ordering import read_order
from schemas.ordering_times import read_time_placed
from schemas.origin import Origin
from worker import log
from worker.clock import Clock
from worker.database import accounts, inbox
from worker.database.database import Database
from worker.database.inbox import DeadLetter, Fetch
from worker.enqueue import TaskQueue, WakeUp
from worker.errors import CarrierError, Postponed, Refused, Throttled
from worker.http.call import CallClass, Outcome
from worker.http.gateway import Gateway
from worker.ordering_api import codec as ordering_codec
from worker.ordering_api.account import Ordering
from worker.resilience.bulkhead import Admission, Bulkhead
from worker.services import problems
from worker.services.failure_log import FailureLog
from worker.services.ingest import Ingest, log_unread

logger = log.get(__name__)
TASK: WakeUp = ("orders.fetch", [])
FETCH_LIMIT = 2
"""The most orders that one run fetches: the number of calls that the platform accepts in a second (O-01)."""
FETCH_TRIES = 10
"""The number of tries, over at least nine minutes, after which an order becomes a dead letter."""
UNKNOWN_TRIES = 3
"""The number of tries for an order that the platform does not know.

A message may come before the platform has committed its order.
"""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What became of a fetch."""

    order_id: str
    result: str
    problem: str | None = None
    again: bool = False
    """Whether the order will be fetched again."""


@dataclass(frozen=True)
class OrderFetch:
    """Fetch the orders that are due."""

    settings: Ordering
    database: Database
    gateway: Gateway
    ingest: Ingest
    bulkhead: Bulkhead[WakeUp]
    failures: FailureLog
    queue: TaskQueue
    clock: Clock

    def fetch_due(self) -> str:
        """Fetch the orders that are due; return the problems in one line.

        Fetch none if an operator paused the platform, or if no slot is free.
        """
        if is_paused_by_operator(self.database):
            return ""
        account = ordering_codec.ACCOUNT
        if self.bulkhead.enter(account, TASK, reading=False) is not Admission.ADMITTED:
            return ""
        try:
            return problems.describe(each.problem for each in self.fetch())
        finally:
            self.queue.send(self.bulkhead.leave(account, reading=False))

    def fetch(self) -> list[Fetched]:
        """Fetch the orders that are due; return what became of each."""
        due = self.database.write(inbox.claim_fetches, self.clock(), FETCH_LIMIT)
        if not self.settings.base_url:
            reason = "ORDER_SYNC_ORDERING__BASE_URL is not set: the order cannot be fetched"
            return [self._dead_letter(each, reason) for each in due]
        calls = {each: ordering_codec.fetch(self.settings, each.order_id) for each in due}
        traces = {each: (each.trace,) for each in due}
        groups = self.gateway.send(ordering_codec.ACCOUNT, calls, max_body=ordering_codec.MAX_BODY, traces=traces)
        outcomes = {fetch: outcome for group in groups for fetch, outcome in group.items()}
        return [self._store(each, outcomes[each]) for each in due]

    def _store(self, fetch: Fetch, outcome: Outcome) -> Fetched:
        try:
            if isinstance(outcome, CarrierError):
                raise outcome
            raw = ordering_codec.read_order(outcome, fetch.order_id)
            order = read_order(raw, self.settings.project, ignored := set[str]())
        except MalformedError as error:
            return self._dead_letter(fetch, str(error))
        except CarrierError as error:
            return self._retry_or_dead_letter(fetch, error)
        message = Message(
            source=fetch.source,
            id=fetch.message_id,
            type="order.placed",
            data=order,
            time=read_time_placed(raw),
            trace=fetch.trace,
            ignored=frozenset(ignored),
        )
        self.failures.record(ordering_codec.ACCOUNT, CallClass.READ, (), self.clock(), answered=True)
        log_unread([message])
        changed = self.ingest.store_fetched(fetch.source, fetch.message_id, message)
        return Fetched(fetch.order_id, "stored" if changed else "nothing to do: known, or not to be dispatched")

    def _retry_or_dead_letter(self, fetch: Fetch, error: CarrierError) -> Fetched:
        if isinstance(error, Postponed) and not isinstance(error, Throttled):
            return self._postpone(fetch, error)
        unknown = isinstance(error, Refused)
        if unknown:
            logger.warning("order.fetch_failed", order_id=fetch.order_id, error=str(error))
        else:
            self.failures.record(ordering_codec.ACCOUNT, CallClass.READ, [error], self.clock(), answered=False)
        if fetch.tries >= (UNKNOWN_TRIES if unknown else FETCH_TRIES):
            return self._dead_letter(fetch, str(error) if unknown else f"the platform cannot be asked: {error}")
        return _retried(fetch, error)

    def _postpone(self, fetch: Fetch, error: Postponed) -> Fetched:
        """Postpone a fetch until our own rate limit allows it. The postponed try is not counted."""
        at = self.clock() + timedelta(seconds=error.retry_after or 1.0)
        self.database.write(inbox.postpone_fetch, fetch.source, fetch.message_id, fetch.tries - 1, at)
        return _retried(fetch, error)

    def _dead_letter(self, fetch: Fetch, reason: str) -> Fetched:
        """Store a dead letter that can be replayed.

        The message in the dead letter has a new id, because a replay with the old id would have no effect.
        """
        document = {
            "specversion": "1.0",
            "id": str(uuid4()),
            "source": fetch.source,
            "type": "order.placed",
            "data": {"order_id": fetch.order_id},
            **(asdict(fetch.trace) if fetch.trace else {}),
        }
        origin = Origin(fetch.source, fetch.message_id, fetch.order_id, fetch.trace)
        identity = f"{fetch.source}/{fetch.message_id}"
        letter = DeadLetter(json.dumps(document).encode(), reason, identity, origin=origin)
        self.ingest.dead_letter_fetch(fetch.source, fetch.message_id, letter)
        return Fetched(fetch.order_id, f"a dead letter: {reason}", "dead letter")


def _retried(fetch: Fetch, error: CarrierError) -> Fetched:
    return Fetched(fetch.order_id, f"again later: {error}", problems.of_read(error), again=True)


def is_paused_by_operator(database: Database) -> bool:
    """Return whether an operator paused the platform. A pause because of a rejected key does not count."""
    pause = database.read(accounts.paused).get(ordering_codec.ACCOUNT)
    return pause is not None and pause.by == "operator"
