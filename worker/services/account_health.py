"""Check whether an account may be called now, and record whether its calls succeed.

A carrier that hangs, fails or rejects our credentials delays only its own deliveries.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar
from uuid import uuid4

from worker import log
from worker.carriers.abilities import Quotes as GivesQuotes
from worker.carriers.port import Carrier
from worker.clock import Clock
from worker.database import accounts, due_work, leases
from worker.database.accounts import Pause
from worker.database.database import Database
from worker.domain import lifecycle
from worker.domain.delivery import Change, Delivery, Step
from worker.domain.lifecycle import TermsByAccount
from worker.enqueue import TASKS, TaskQueue, WakeUp, publish_task
from worker.errors import CarrierError, Held, Postponed, Throttled, Unavailable, Uncertain, Unreadable
from worker.http.call import Call, CallClass, Reply
from worker.http.gateway import Gateway
from worker.resilience.bulkhead import Admission, Bulkhead
from worker.resilience.circuit_breaker import BreakerState, CircuitBreaker
from worker.services import problems
from worker.services.accounts import CarrierAccounts
from worker.services.failure_log import FailureLog
from worker.services.updates import Updates, log_fields

logger = log.get(__name__)
CALL_CLASSES: Mapping[Step, CallClass] = {
    Step.BOOK: CallClass.CREATE,
    Step.CONFIRM: CallClass.CHANGE,
    Step.AMEND: CallClass.CHANGE,
    Step.CANCEL: CallClass.CHANGE,
    Step.TRACK: CallClass.READ,
    Step.RECONCILE: CallClass.READ,
}
SLOT_RETRY = timedelta(seconds=1)
PROBE_SECONDS = 300.0
"""Seconds between two probes of an account that is paused because the carrier rejected our credentials."""
PROBE_MARGIN = 5.0
HOLD_SECONDS = 60.0
"""Seconds after which a held create is tried again. If the hold ends earlier, the create is due at once."""
CLIENT_ERRORS = range(400, 500)
T = TypeVar("T")


@dataclass(frozen=True)
class AccountHealth:
    """Admit calls to an account, and record their results."""

    accounts: CarrierAccounts
    database: Database
    gateway: Gateway
    breaker: CircuitBreaker
    bulkhead: Bulkhead[WakeUp]
    queue: TaskQueue
    updates: Updates
    failures: FailureLog
    terms: TermsByAccount
    clock: Clock

    @contextmanager
    def acquire_account(self, account: str, ids: Sequence[str], step: Step) -> Iterator[Carrier | str]:
        """Yield the codec of an account, and occupy one of the account's slots until the context ends.

        Yield the problems in one line if the account may not be called now. The deliveries are then postponed, queued
        for a slot, or released so that the sweep claims them again. To wait for a slot is no problem.
        """
        reading = CALL_CLASSES[step] is CallClass.READ
        admission = self.bulkhead.enter(account, (TASKS[step], [account, list(ids)]), reading=reading)
        if admission is not Admission.ADMITTED:
            if step is Step.BOOK:
                self._fail_over_late_orders(account, ids)
            if admission is Admission.REJECTED:
                now = self.clock()
                self.database.write(due_work.release, ids, now, now + SLOT_RETRY)
            yield ""
            return
        try:
            yield self._admitted(account, ids, step)
        finally:
            self.leave(account, reading=reading)

    def admit(self, account: str) -> Carrier:
        """Return the codec of an account that may be read now, without a slot. Raises CarrierError if it may not."""
        self._check_available(account, CallClass.READ)
        return self._logged_in(account, CallClass.READ)

    def try_acquire(self, account: str) -> Carrier | None:
        """Occupy a slot of an account and return its codec; None if no order can be created there at once.

        None also for an account that requests a quote before each create, because this takes long. Never call the
        carrier, and never wait. The caller calls `leave` later. Pauses are not checked: the caller checks them in the
        transaction that commits its intents.
        """
        codec = self.accounts.without_login(account)
        if codec is None or (isinstance(codec, GivesQuotes) and codec.quotes_first):
            return None
        if not self.breaker.is_closed(account, CallClass.CREATE):
            return None
        return codec if self.bulkhead.try_enter(account) else None

    def leave(self, account: str, *, reading: bool = False) -> None:
        """Free a slot of an account, and send the wake-up task that waited for the slot."""
        self.queue.send(self.bulkhead.leave(account, reading=reading))

    def _fail_over_late_orders(self, account: str, ids: Sequence[str]) -> None:
        """Move orders to another carrier if they have waited too long for a slot."""
        now = self.clock()

        def decide(delivery: Delivery) -> Change | None:
            due = lifecycle.is_due(delivery, Step.BOOK, account, now)
            return lifecycle.leave_busy_carrier(delivery, self.terms, now) if due else None

        log_failovers(account, [change.delivery for change in self.updates.apply(ids, decide, now)])

    def _admitted(self, account: str, ids: Sequence[str], step: Step) -> Carrier | str:
        try:
            self._check_available(account, CALL_CLASSES[step])
            return self._logged_in(account, CALL_CLASSES[step])
        except CarrierError as error:
            postponed = self.postpone(account, ids, step, error)
            return problems.describe([problems.of_read(error)] * postponed)

    def _check_available(self, account: str, call_class: CallClass) -> None:
        """Raise Unavailable if the account is paused, is throttled or does not answer.

        Raise Held, which is a kind of Unavailable, for a create while an operator or the database holds all creates.
        """
        paused = self.database.read(accounts.paused)
        if account in paused:
            raise Unavailable("the account is paused", account=True)
        if call_class is CallClass.CREATE and accounts.EVERY_ACCOUNT in paused:
            raise Held("creates are held", retry_after=HOLD_SECONDS)
        status = self.breaker.check(account, call_class, self.terms[account].deadline + PROBE_MARGIN)
        if status.state is BreakerState.THROTTLED:
            raise Throttled("the carrier had too many calls", retry_after=status.wait)
        if status.state is BreakerState.OPEN or (
            status.state is BreakerState.HALF_OPEN and not self._answers_again(account, call_class)
        ):
            raise Unavailable("the carrier does not answer", retry_after=status.wait)

    def _answers_again(self, account: str, call_class: CallClass) -> bool:
        """Probe the carrier with a harmless call, never with an order; return whether the account may be called again.

        If the carrier rejects our credentials, pause the account.
        """
        outcome, error = self._probe(account)
        throttled = isinstance(error, Throttled)
        if isinstance(error, Postponed) and not throttled:
            return False  # the probe was not sent; another caller may probe later
        shut_out = isinstance(error, Unavailable) and error.account
        alive = not throttled and not _failed(outcome, error)
        self.breaker.record_probe(account, call_class, alive=alive)
        logger.info("carrier.probed", **self.failures.about(account), kind=call_class.value, alive=alive)
        if shut_out:
            self._pause(account, str(error))
        return alive and not shut_out

    def _probe(self, account: str) -> tuple[Reply | None, CarrierError | None]:
        """Send a harmless call; return the reply (None if no reply came) and the error (None if the call succeeded)."""
        codec, reply = self.accounts.codecs[account], None
        try:
            reply = self.gateway.send_one(account, codec.probe())
            codec.read_probe(reply)
        except CarrierError as error:
            return reply, error
        return reply, None

    def _logged_in(self, account: str, call_class: CallClass) -> Carrier:
        try:
            return self.accounts.logged_in(account)
        except CarrierError as error:
            self.record_results(account, call_class, [(error, error)])
            raise

    def postpone(self, account: str, ids: Sequence[str], step: Step, why: CarrierError) -> int:
        """Postpone a due step of these deliveries, because their account cannot be called; return how many were due."""
        now = self.clock()

        def decide(delivery: Delivery) -> Change | None:
            if not lifecycle.is_due(delivery, step, account, now):
                return None
            # A create whose process died gets an unknown outcome even while its account cannot be called.
            lost = lifecycle.mark_outcome_unknown(delivery, self.terms, now)
            return lost or lifecycle.postpone(delivery, why, self.terms, now)

        changes = self.updates.apply(ids, decide, now)
        if step is Step.BOOK:
            log_failovers(account, [change.delivery for change in changes])
        return len(changes)

    # --- results of calls ---------------------------------------------------------------------------------------------

    def query(self, codec: Carrier, call: Call, parse: Callable[[Reply], T], *, within: float | None = None) -> T:
        """Send one call and return its parsed reply; record for the account whether the call succeeded.

        The deadline is `within` seconds or the account's own deadline, whichever is shorter. Raises CarrierError.
        """
        account, reply = codec.account.name, None
        try:
            reply = self.gateway.send_one(account, call, max_body=codec.capabilities.max_body, within=within)
            answer = parse(reply)
        except CarrierError as error:
            self.record_results(account, CallClass.READ, [(reply, error)])
            raise
        self.record_results(account, CallClass.READ, [(reply, answer)])
        return answer

    def record_results(self, account: str, call_class: CallClass, results: Sequence[tuple[object, object]]) -> None:
        """Record whether calls succeeded, and pause the account if the carrier rejected our credentials.

        Each result is a pair: the outcome of a call, and the parsed outcome. The parsed outcome is a value or a
        CarrierError.
        """
        failed = [_failed(*result) for result in results]
        good, bad = failed.count(False), failed.count(True)
        self._log_failures(account, call_class, results, answered=good > 0)
        if good + bad and self.breaker.record(account, call_class, good=good, bad=bad):
            self.failures.opened(account, call_class)
        throttled = next((parsed for _, parsed in results if isinstance(parsed, Throttled)), None)
        if throttled is not None:
            self.breaker.throttle(account, call_class, throttled.retry_after)
        shut_out = next((each for _, each in results if isinstance(each, Unavailable) and each.account), None)
        if shut_out is not None:
            self._pause(account, str(shut_out))

    def _log_failures(
        self, account: str, call_class: CallClass, results: Sequence[tuple[object, object]], *, answered: bool
    ) -> None:
        errors = [
            parsed
            for outcome, parsed in results
            if isinstance(parsed, Throttled) or (isinstance(parsed, CarrierError) and _failed(outcome, parsed))
        ]
        self.failures.record(account, call_class, errors, self.clock(), answered=answered)

    # --- paused accounts ----------------------------------------------------------------------------------------------

    def _pause(self, account: str, why: str) -> None:
        """Pause an account whose carrier rejected our credentials; the first probe comes after `PROBE_SECONDS`."""
        now = self.clock()
        try:
            paused = self.database.write(accounts.pause, account, "carrier", why, now)
            self.database.write(leases.take, probe_lease(account), uuid4().hex, now, PROBE_SECONDS)
        except Exception:  # the batch's outcomes must still be stored; the next rejected call pauses the account
            logger.exception("carrier.pausing_failed", account=account)
            return
        if paused:
            logger.warning("carrier.paused", **self.failures.about(account), cause=why)
            self.queue.send([publish_task()])

    def due_probes(self, pauses: Mapping[str, Pause]) -> list[WakeUp]:
        """Return a task for each account that is paused because of rejected credentials and is due for a probe."""
        shut_out = [name for name, pause in pauses.items() if pause.by == "carrier" and name in self.terms]
        return [("carriers.probe", [name]) for name in shut_out if self._may_probe(name)]

    def _may_probe(self, account: str) -> bool:
        return self.database.write(leases.take, probe_lease(account), uuid4().hex, self.clock(), PROBE_SECONDS)

    def probe_paused(self, account: str) -> str:
        """Probe an account whose carrier rejected our credentials; resume the account if the probe succeeds.

        Return the problem in one line, empty if there is none.
        """
        pause = self.database.read(accounts.paused).get(account)
        if pause is None or pause.by != "carrier":
            return ""
        _, error = self._probe(account)
        if error is None:
            self.database.write(accounts.resume, account, "probe", self.clock())
            self.queue.send([publish_task()])
            logger.info("carrier.resumed", **self.failures.about(account))
        return "the account stays paused" if error else ""


def _failed(outcome: object, parsed: object) -> bool | None:
    """Return whether a call failed because of the network or the server; None if `parsed` is Postponed.

    A refusal never counts as a failure, whatever its HTTP status: Cervo reports a missing field with a 500 (C-22).
    """
    if isinstance(parsed, Postponed):
        return None
    if isinstance(parsed, Unavailable):
        return not parsed.account
    if isinstance(parsed, Unreadable):
        return not (isinstance(outcome, Reply) and outcome.status in CLIENT_ERRORS)
    return isinstance(parsed, Uncertain)


def probe_lease(account: str) -> str:
    """Return the name of the lease for probing a paused account."""
    return f"probe.{account}"


def log_failovers(account: str, changed: Sequence[Delivery]) -> None:
    """Log the orders that have just moved from this account to another one."""
    for each in changed:
        if each.active is None and not each.final and each.carrier not in {None, account}:
            logger.warning("carrier.failed_over", **log_fields(each), account=account, following=each.carrier)
