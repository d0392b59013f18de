"""Compare deliveries with their orders on the platform (O-18).

The platform's status of an order is read and applied to the delivery. Our status is written to the platform if our
status is further along. Soon after a write, the order is read again to see the effect. No courier ever waits for the
platform.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import uuid4

from schemas.json_reader import MalformedError
from schemas.status import Conflict
from worker import log
from worker.clock import Clock
from worker.database import accounts, deliveries, leases, write_backs
from worker.database.accounts import Pause
from worker.database.database import Database
from worker.domain import lifecycle, schedule
from worker.domain.delivery import Delivery
from worker.domain.lifecycle import TermsByAccount
from worker.enqueue import TaskQueue, WakeUp, publish_task
from worker.errors import CarrierError, Postponed, Refused, Throttled, Unavailable
from worker.http.call import Call, CallClass, Operation, Reply
from worker.http.gateway import Gateway
from worker.ordering_api import codec as ordering_codec
from worker.ordering_api.account import Ordering
from worker.ordering_api.codec import ACCOUNT, DEADLINE, MAX_BODY
from worker.ordering_api.write_policy import (
    CHECK_AFTER_WRITE,
    GATE_READ_INTERVAL,
    Verdict,
    WriteBackState,
    decide,
    next_read,
)
from worker.resilience.bulkhead import Admission, Bulkhead
from worker.services import problems
from worker.services.account_health import PROBE_SECONDS, AccountHealth, probe_lease
from worker.services.updates import Updates, log_fields

logger = log.get(__name__)
TASK = "platform.write_back"
CLAIM_LIMIT = 10
"""The most comparisons that one sweep enqueues: more than the platform's rate limit allows in a second (O-01)."""
NOT_SHOWN_READS = 3
"""How many times an order that the platform does not show is read again soon, in case the answer was wrong."""
LEASE = timedelta(seconds=60)
CALL_TIME = timedelta(seconds=DEADLINE)
Next = tuple[WriteBackState, datetime | None, str | None]
"""The state of a write-back after a comparison with the platform, the time of the next comparison, and the problem."""


@dataclass(frozen=True)
class WriteBack:
    """Compare deliveries with the platform, and write their status there."""

    settings: Ordering
    database: Database
    gateway: Gateway
    health: AccountHealth
    bulkhead: Bulkhead[WakeUp]
    queue: TaskQueue
    updates: Updates
    terms: TermsByAccount
    clock: Clock

    def claim_limit(self, pauses: Mapping[str, Pause]) -> int:
        """Return how many comparisons a sweep may claim: none without a platform, or while the platform is paused."""
        return CLAIM_LIMIT if self.settings.base_url and ACCOUNT not in pauses else 0

    def claim_probe(self, pauses: Mapping[str, Pause], now: datetime) -> list[str]:
        """Claim one due comparison from time to time while the platform rejects our key, as a probe.

        If no comparison is due, the lease of the probe is released, so that a later sweep can probe.
        """
        pause, name, holder = pauses.get(ACCOUNT), probe_lease(ACCOUNT), uuid4().hex
        if not self.settings.base_url or pause is None or pause.by != "carrier":
            return []
        if not self.database.write(leases.take, name, holder, now, PROBE_SECONDS):
            return []
        claimed = self.database.write(write_backs.claim, now, 1)
        if not claimed:
            self.database.write(leases.drop, name, holder)
        return claimed

    def run(self, delivery_id: str) -> str:
        """Compare a delivery with the platform, and write its status if necessary; return the problems in one line.

        Do nothing if the comparison is not due, if another process has leased it, or if no slot is free.
        """
        if self.bulkhead.enter(ACCOUNT, (TASK, [delivery_id]), reading=True) is not Admission.ADMITTED:
            return ""
        try:
            return problems.describe([self._run(delivery_id)])
        finally:
            self.queue.send(self.bulkhead.leave(ACCOUNT, reading=True))

    def _run(self, delivery_id: str) -> str | None:
        now = self.clock()
        until = now + LEASE
        state = self.database.write(write_backs.lease, delivery_id, now, until)
        if state is None:
            return None
        loaded = self.database.read(deliveries.load, [delivery_id])
        if not loaded:
            return None  # only a newer version can read the delivery; that version compares it once the lease has ended
        # The setting `source` may have changed since this comparison was scheduled.
        found = [each for each in loaded if each.source == self.settings.source]
        with log.about(**log_fields(loaded[0])):
            state, due_at, problem = self._compare(found[0], state, until) if found else (state, None, None)
            if not self.database.persist(write_backs.release, delivery_id, until, state, due_at):
                logger.warning("platform.lease_lost")
            return problem

    def _compare(self, delivery: Delivery, state: WriteBackState, until: datetime) -> Next:
        call = ordering_codec.fetch(self.settings, delivery.order.order_id, Operation.READ)
        try:
            seen = ordering_codec.read_status(self._send(call, delivery, until), delivery.order.order_id)
        except (CarrierError, MalformedError) as error:
            return *self._after_failure(delivery, state, error, CallClass.READ), problems.of_read(error)
        self.health.failures.record(ACCOUNT, CallClass.READ, (), self.clock(), answered=True)
        self._resume_platform()
        delivery = self._apply_status(delivery, seen)
        verdict, state = decide(delivery, state, seen, self.settings.write_policy, self.clock())
        if verdict is Verdict.WRITE:
            return self._write(delivery, state, until)
        if verdict is Verdict.REPORT:
            self._report_conflict(delivery, state, Conflict.PLATFORM_DIFFERS)
            return state, next_read(delivery, self.clock()), "platform differs"
        return state, next_read(delivery, self.clock()), None

    def _apply_status(self, delivery: Delivery, seen: int) -> Delivery:
        """Apply the platform's status to the delivery; return the current delivery, with all changes made meanwhile."""
        now = self.clock()
        self.updates.apply(
            [delivery.id], lambda each: lifecycle.apply_platform_status(each, seen, self.terms, now), now
        )
        return next(iter(self.database.read(deliveries.load, [delivery.id])), delivery)

    def _write(self, delivery: Delivery, state: WriteBackState, until: datetime) -> Next:
        assert state.status is not None  # noqa: S101 - set with Verdict.WRITE
        call = ordering_codec.write(self.settings, delivery.order.order_id, state.status)
        try:
            ordering_codec.read_written(self._send(call, delivery, until))
        except Refused as error:
            logger.error("platform.write_refused", status=state.status, error=str(error))
            self._report_conflict(delivery, state, Conflict.PLATFORM_REFUSED)
            state = replace(state, written=True, reported=True, failures=0)
            return state, next_read(delivery, self.clock()), problems.of_call(error)
        except CarrierError as error:
            return *self._after_failure(delivery, state, error, CallClass.CHANGE), problems.of_call(error)
        self.health.failures.record(ACCOUNT, CallClass.CHANGE, (), self.clock(), answered=True)
        logger.info("platform.written", status=state.status, replaced=state.replaced)
        return replace(state, written=True, failures=0), self.clock() + CHECK_AFTER_WRITE, None

    def _resume_platform(self) -> None:
        """Resume the platform if it is paused, because it has just accepted our key."""
        paused = ACCOUNT in self.database.read(accounts.paused)
        if paused and self.database.write(accounts.resume, ACCOUNT, "probe", self.clock()):
            self.queue.send([publish_task()])
            logger.info("carrier.resumed", **self.health.failures.about(ACCOUNT))

    def _send(self, call: Call, delivery: Delivery, until: datetime) -> Reply:
        """Send a call if it can end within the lease, and return its reply. Raises CarrierError."""
        traces = {0: (delivery.trace,)}
        group = next(self.gateway.send(ACCOUNT, {0: call}, max_body=MAX_BODY, until=until - CALL_TIME, traces=traces))
        outcome = group[0]
        if isinstance(outcome, CarrierError):
            raise outcome
        return outcome

    def _report_conflict(self, delivery: Delivery, state: WriteBackState, why: Conflict) -> None:
        """Publish that the platform's order and our delivery disagree. The platform's status is not overwritten."""
        now = self.clock()
        logger.warning("platform.conflict", ours=state.status, seen=state.seen, why=why.value)
        self.updates.apply_once(
            delivery.id, lambda each: lifecycle.record_platform_conflict(each, why, self.terms, now), now
        )

    def _after_failure(
        self, delivery: Delivery, state: WriteBackState, error: CarrierError | MalformedError, call_class: CallClass
    ) -> tuple[WriteBackState, datetime | None]:
        """Return the new state and the time of the next comparison, after a failed call (O-10)."""
        now = self.clock()
        if isinstance(error, Postponed) and not isinstance(error, Throttled):
            return state, now + timedelta(seconds=error.retry_after or 1)
        if not isinstance(error, CarrierError) or isinstance(error, Refused):
            logger.warning("platform.order_not_shown", failures=state.failures + 1, error=str(error))
            return _after_not_shown(delivery, state, now)
        self.health.failures.record(ACCOUNT, call_class, [error], now, answered=False)
        if isinstance(error, Unavailable) and error.account:
            self.health.record_results(ACCOUNT, CallClass.READ, [(error, error)])
        if delivery.final and now - delivery.changed_at > schedule.DAY:
            logger.error("platform.given_up")
            return state, None
        wait = schedule.backoff(state.failures, delivery.id, getattr(error, "retry_after", None))
        return replace(state, failures=state.failures + 1), now + wait


def _after_not_shown(
    delivery: Delivery, state: WriteBackState, now: datetime
) -> tuple[WriteBackState, datetime | None]:
    """Return the new state and the time of the next comparison, for an order that the platform does not show.

    The first `NOT_SHOWN_READS` times, the order is read again soon. After that, the order is read at its next planned
    read or when the delivery changes.
    """
    soon = now + GATE_READ_INTERVAL if state.failures < NOT_SHOWN_READS else None
    again = min(filter(None, (soon, next_read(delivery, now))), default=None)
    return replace(state, failures=state.failures + 1), again
