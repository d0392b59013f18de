"""Book new orders in the process that reads them, without a task in between.

The transaction that stores an order also commits the intent to create it. This process then sends the create. An order
that cannot be booked at once stays due, and a task books it.
"""

import threading
from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

from worker import log, tracing
from worker.carriers.port import Carrier
from worker.database.accounts import EVERY_ACCOUNT
from worker.database.connection import is_transient
from worker.domain import lifecycle
from worker.domain.delivery import Change, Step
from worker.enqueue import TASKS, shown_arguments, shown_name
from worker.resilience.call_journal import CallJournal, JournalFile
from worker.services.account_health import AccountHealth
from worker.services.carrier_actions import CarrierActions
from worker.services.carrier_calls import CarrierCalls, pending_calls

logger = log.get(__name__)
MAX_CREATES = 400
"""The most direct creates at one account at a time. More might wait too long for a connection of the gateway.

The gateway opens 64 connections to an account at a time. If a carrier answers within two seconds, all of these creates
start within the time that they have.
"""
RunTask = Callable[[str, str, Callable[[], str]], None]
"""Runs a function, and reports it as a task with this name and these arguments, as Flower shows them. Raises nothing.

The function returns its problems in one line.
"""


@dataclass(frozen=True)
class DirectBooking:
    """Book new orders without a task."""

    health: AccountHealth
    journal: CallJournal
    calls: CarrierCalls
    actions: CarrierActions
    accounts: Callable[[], Sequence[str]]
    """Returns the accounts whose creates this process sends."""
    executor: Executor
    """The threads that send the creates."""
    run_task: RunTask
    _under_way: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def open(self) -> Iterator["Bookings"]:
        """Yield the bookings for one batch of messages; at the end, leave the accounts at which nothing is booked."""
        with ExitStack() as stack:
            acquired = ((name, self._acquire(name, stack)) for name in self.accounts())
            yield Bookings(self, {name: account for name, account in acquired if account is not None})

    def _acquire(self, name: str, stack: ExitStack) -> "_Account | None":
        """Occupy a slot of an account, and open a journal file for its creates."""
        with self._lock:
            free = MAX_CREATES - self._under_way[name]
        try:
            codec = self.health.try_acquire(name) if free > 0 else None
        except Exception as error:
            if is_transient(error):
                raise
            logger.exception("carrier.codec_failed", account=name)
            return None
        if codec is None:
            return None
        held = stack.enter_context(ExitStack())
        held.callback(self.health.leave, name)
        return _Account(codec, held.enter_context(self.journal.open(Step.BOOK)), held, free)

    def count(self, account: str, change: int) -> None:
        """Count creates that begin or end."""
        with self._lock:
            self._under_way[account] += change


@dataclass(frozen=True)
class _Account:
    """An account at which at most `free` orders can be booked now. `held` releases the slot and the journal file."""

    codec: Carrier
    file: JournalFile
    held: ExitStack
    free: int
    begun: list[int] = field(default_factory=list)
    """The ids of the attempts that were begun, also in a transaction that failed."""


@dataclass(frozen=True)
class Bookings:
    """The creates for one batch of new orders."""

    _direct: DirectBooking
    _accounts: dict[str, _Account]

    def begin(self, change: Change, paused: Container[str], now: datetime) -> Change:
        """Return the change of a new order, with the intent to create the order if that is possible at once.

        `paused` are the names of the paused accounts, or `EVERY_ACCOUNT` if all creates are held.
        """
        carrier = change.delivery.carrier or ""
        account = self._accounts.get(carrier)
        if account is None or carrier in paused or EVERY_ACCOUNT in paused:
            return change
        if len(account.begun) >= account.free or not lifecycle.is_due(change.delivery, Step.BOOK, carrier, now):
            return change
        intent = self._direct.actions.book.claim(change.delivery)
        if intent is None or intent.attempt_id is None:
            return change
        account.begun.append(intent.attempt_id)
        begun = replace(
            intent, events=change.events + intent.events, passed_over=change.passed_over + intent.passed_over
        )
        return account.file.attach(begun)

    def send(self, changes: Sequence[Change], claimed_at: datetime) -> None:
        """Send the creates that these committed changes begin, in threads; do not wait for them."""
        for name, account in self._accounts.items():
            begun = [change for change in changes if change.begun is not None and change.delivery.carrier == name]
            if begun:
                self._direct.count(name, len(begun))
                held = account.held.pop_all()
                held.callback(self._direct.count, name, -len(begun))
                self._direct.executor.submit(self._send, account, held, begun, claimed_at)

    def _send(self, account: _Account, held: ExitStack, begun: Sequence[Change], claimed_at: datetime) -> None:
        def work() -> str:
            calls, book = self._direct.calls, self._direct.actions.book
            task, name = TASKS[Step.BOOK], account.codec.account.name
            span = tracing.span(task, tracing.Kind.CONSUMER, {"order_sync.account": name})
            with log.about(task=task, account=name), span:
                return calls.send(account.codec, pending_calls(begun), book, account.file, claimed_at)

        with held:
            orders = {change.delivery.id: change.delivery.order.order_id for change in begun}
            arguments: list[object] = [account.codec.account.name, list(orders)]
            name = shown_name(TASKS[Step.BOOK], arguments)
            self._direct.run_task(name, shown_arguments(arguments, orders), work)
