"""New orders are booked by the process that reads them; an order that cannot be booked at once waits for a task."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from tests.services.simulation import STORE_OF, Simulation, order_document
from worker.database import accounts
from worker.http.call import CallClass
from worker.local.demo.orders import message
from worker.services.direct_booking import MAX_CREATES

STORES = {**STORE_OF, "deliverit": "17"}
QUEUES = ("carrier.cervo", "carrier.borzo", "carrier.deliverit")


class Threads(Executor):
    """Runs work when a test says so."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], object]] = []

    def submit(self, work: Callable[..., Any], /, *arguments: Any, **named: Any) -> "Future[Any]":
        self.waiting.append(partial(work, *arguments, **named))
        return Future()

    def run(self) -> None:
        while self.waiting:
            self.waiting.pop(0)()


class Booking:
    """A simulation whose reader books new orders itself, in threads that run when a test says so."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation, self.threads = simulation, Threads()
        self.served = list(STORES)
        self.batches = 0
        self.tasks: list[tuple[str, str]] = []
        self.problems: list[str] = []
        self._before = self._depths()
        simulation.direct_booking = lambda: simulation.container.direct_booking(
            self.accounts, self.threads, self.run_task
        )

    def accounts(self) -> list[str]:
        self.batches += 1
        return self.served

    def run_task(self, name: str, arguments: str, work: Callable[[], str]) -> None:
        self.tasks.append((name, arguments))
        self.problems.append(work())

    def place(self, carrier: str, order_id: str = "2011", **more: Any) -> None:
        """Place an order of a shop whose first carrier this is, and read its message."""
        self.simulation.place(store_id=STORES[carrier], order_id=order_id, **more)

    def attempts(self, order_id: str = "2011") -> list[str]:
        """Return the states of an order's attempts."""
        return [each.state.value for each in self.simulation.delivery(order_id).attempts]

    def queued(self) -> dict[str, int]:
        """Return how many tasks were sent for each carrier. The broker is shared with other tests."""
        return dict(self._depths() - self._before)

    def _depths(self) -> Counter[str]:
        return Counter(self.simulation.container.queue.depths(QUEUES))


@pytest.fixture
def booking(simulation: Simulation) -> Booking:
    """Return a booking whose accounts are logged in."""
    for account in STORES:
        simulation.container.accounts.logged_in(account)
    return Booking(simulation)


@pytest.mark.parametrize("carrier", sorted(STORES))
def test_a_new_order_is_booked_without_a_task_of_the_queue(booking: Booking, carrier: str) -> None:
    booking.place(carrier)
    assert (booking.attempts(), booking.simulation.ledger(), booking.queued()) == (["submitting"], [], {})
    booking.threads.run()
    delivery = booking.simulation.delivery()
    assert (delivery.status, booking.attempts(), booking.queued()) == ("created", ["created"], {})
    assert booking.simulation.ledger() == [(carrier, delivery.attempts[0].ref)]
    assert booking.tasks == [(f"deliveries.book {carrier}", "2011")]


def test_a_booking_returns_its_problems_as_a_task_does(booking: Booking) -> None:
    booking.simulation.inject_fault("error_after", "borzo", operation="create")
    booking.place("borzo", "1")
    booking.place("cervo", "2")
    booking.threads.run()
    assert booking.problems == ["1 outcome unknown", ""]


def test_the_orders_of_one_batch_are_booked_together_at_each_carrier(booking: Booking) -> None:
    simulation = booking.simulation
    for order_id, carrier in (("1", "cervo"), ("2", "borzo"), ("3", "cervo")):
        simulation.add(order_document(store_id=STORES[carrier], order_id=order_id))
    simulation.read()
    booking.threads.run()
    assert sorted(booking.tasks) == [("deliveries.book borzo", "2"), ("deliveries.book cervo", "1, 3")]
    assert booking.simulation.statuses("1", "2", "3") == ["created"] * 3


def test_an_order_that_is_cancelled_in_the_same_batch_gets_no_courier(booking: Booking) -> None:
    simulation = booking.simulation
    simulation.add(order_document(store_id=STORES["borzo"]))
    simulation.add(message("order.cancelled", "cancelled-1", {"order_id": "2011"}))
    simulation.read()
    assert (booking.threads.waiting, simulation.status(), booking.attempts()) == ([], "cancelled", [])


def test_an_order_that_changes_in_the_same_batch_is_booked_as_it_is_then(booking: Booking) -> None:
    simulation = booking.simulation
    simulation.add(order_document(store_id=STORES["cervo"]))
    changed = {**simulation.placed()["data"], "revision": 2, "notes": "sandbox:happy twice"}
    simulation.add(message("order.updated", "updated-1", changed))
    simulation.read()
    assert (booking.threads.waiting, booking.queued()) == ([], {"carrier.cervo": 1})
    simulation.work()
    (attempt,) = simulation.delivery().attempts
    assert (attempt.state, attempt.sent_fingerprint) == ("created", simulation.delivery().fingerprint)


def test_a_message_that_is_read_twice_is_booked_once(booking: Booking) -> None:
    booking.place("borzo")
    booking.place("borzo")
    booking.threads.run()
    assert (len(booking.simulation.ledger()), len(booking.tasks)) == (1, 1)


def pause(booking: Booking) -> None:
    booking.simulation.container.database.write(accounts.pause, "borzo", "operator", "x", booking.simulation.now)


def hold_creates(booking: Booking) -> None:
    simulation = booking.simulation
    simulation.container.database.write(accounts.pause, accounts.EVERY_ACCOUNT, "operator", "x", simulation.now)


def open_breaker(booking: Booking) -> None:
    booking.simulation.container.breaker.record("borzo", CallClass.CREATE, good=0, bad=5)


def occupy_slots(booking: Booking) -> None:
    while booking.simulation.container.bulkhead.try_enter("borzo"):
        pass


@pytest.mark.parametrize("obstacle", [pause, hold_creates, open_breaker, occupy_slots])
def test_an_order_of_an_account_that_cannot_be_called_at_once_waits_for_a_task(
    booking: Booking, obstacle: Callable[[Booking], None]
) -> None:
    obstacle(booking)
    booking.place("borzo", "1")
    assert (booking.threads.waiting, booking.attempts("1"), booking.queued()) == ([], [], {"carrier.borzo": 1})


@pytest.mark.parametrize("obstacle", [pause, open_breaker, occupy_slots])
def test_an_account_that_cannot_be_called_does_not_affect_the_others(
    booking: Booking, obstacle: Callable[[Booking], None]
) -> None:
    obstacle(booking)
    booking.place("borzo", "1")
    booking.place("cervo", "2")
    booking.threads.run()
    assert booking.simulation.statuses("1", "2") == ["queued", "created"]


def test_an_order_for_later_waits_for_its_time(booking: Booking) -> None:
    later = booking.simulation.now + timedelta(hours=5)
    booking.place("cervo", ready_at=later.isoformat(), deliver_at=(later + timedelta(minutes=30)).isoformat())
    assert (booking.threads.waiting, booking.attempts(), booking.queued()) == ([], [], {})


def test_an_account_whose_codec_cannot_be_built_does_not_affect_the_others(
    booking: Booking, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = booking.simulation.container.accounts
    real = accounts.without_login

    def without_login(account: str) -> Any:
        if account == "deliverit":
            raise ValueError("metadata that this version cannot read")
        return real(account)

    monkeypatch.setattr(accounts, "without_login", without_login)
    booking.place("cervo")
    booking.threads.run()
    assert booking.simulation.status() == "created"


def test_an_account_that_asks_for_prices_first_is_left_to_tasks(tmp_path: Path) -> None:
    with closing(Simulation(tmp_path, CARRIERS__BORZO__QUOTE_FIRST="true")) as simulation:
        booking = Booking(simulation)
        booking.place("borzo")
        assert (booking.threads.waiting, booking.queued()) == ([], {"carrier.borzo": 1})


def test_more_creates_than_the_gateway_can_start_in_time_are_left_to_tasks(tmp_path: Path) -> None:
    with closing(Simulation(tmp_path, WORKER_CONCURRENCY="32")) as simulation:  # enough slots for all of them
        booking = Booking(simulation)
        for number in range(MAX_CREATES + 3):
            simulation.add(order_document(store_id=STORES["borzo"], order_id=str(number)))
        reader = simulation.reader()
        for _ in range(7):  # a reader stores a hundred messages at a time
            reader.step(block_ms=1)
        states = Counter(state for number in range(MAX_CREATES + 3) for state in booking.attempts(str(number)))
        assert states == {"submitting": MAX_CREATES}
        booking.threads.run()
        booking.place("borzo")
        assert booking.attempts() == ["submitting"]


def test_a_cancel_that_waits_for_a_slot_is_not_overtaken_by_new_orders(booking: Booking) -> None:
    simulation = booking.simulation
    booking.place("borzo", "1")
    booking.threads.run()
    occupied = free_slots(simulation)
    simulation.cancel("21", "1")
    simulation.work()
    simulation.container.account_health.leave("borzo")
    booking.place("borzo", "2")
    assert (occupied, booking.threads.waiting) == (4, [])
    simulation.work()
    assert [carrier for carrier, _ in simulation.ledger("cancel")] == ["borzo"]


def test_a_batch_without_a_new_order_occupies_no_slot(booking: Booking) -> None:
    booking.place("borzo")
    booking.simulation.cancel("21")
    assert booking.batches == 1


def test_a_queue_that_an_operator_cancels_gets_no_direct_creates_any_more(booking: Booking) -> None:
    booking.served = ["cervo"]
    booking.place("borzo", "1")
    booking.place("cervo", "2")
    booking.threads.run()
    assert booking.simulation.statuses("1", "2") == ["queued", "created"]


def test_an_account_without_a_login_is_left_to_a_task_which_logs_in(simulation: Simulation) -> None:
    booking = Booking(simulation)
    booking.place("deliverit", "1")
    assert booking.queued() == {"carrier.deliverit": 1}
    simulation.work()
    booking.place("deliverit", "2")
    booking.threads.run()
    assert simulation.statuses("1", "2") == ["created", "created"]
    assert len(booking.tasks) == 1


@pytest.mark.fault("F-02")
def test_an_order_whose_process_dies_between_its_intent_and_its_create_is_booked_soon_and_once(
    booking: Booking,
) -> None:
    simulation = booking.simulation
    booking.place("cervo")
    booking.threads.waiting.clear()  # the process is gone, and with it the lock of its journal file
    simulation.container.crash_recovery.recover()
    simulation.until(lambda it: it.status() == "created", step=5)
    assert len(simulation.ledger()) == 1


class Lossy:
    """The database, some of whose transactions of orders fail: before they begin, or after their commit."""

    def __init__(self, real: Any, failures: int, *, committed: bool) -> None:
        self._real, self.failures, self._committed = real, failures, committed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def write(self, change: Any, *arguments: Any) -> Any:
        if not self.failures:
            return self._real.write(change, *arguments)
        self.failures -= 1
        if self._committed:
            self._real.write(change, *arguments)
        raise OperationalError("", None, Exception("the connection was lost"))


def place_while_lossy(booking: Booking, failures: int, *, committed: bool) -> None:
    """Place an order while transactions fail; read until they work again."""
    container = booking.simulation.container
    real, container.database = container.database, Lossy(container.database, failures, committed=committed)  # type: ignore[assignment]
    for _ in range(failures):
        with pytest.raises(OperationalError):
            booking.place("borzo")
    container.database = real
    booking.simulation.read()


def test_an_outage_while_orders_are_stored_occupies_no_slot_and_leaves_no_file(booking: Booking) -> None:
    place_while_lossy(booking, 20, committed=False)
    booking.threads.run()
    assert (booking.simulation.status(), len(booking.tasks)) == ("created", 1)
    assert list(booking.simulation.container.settings.journal_folder.iterdir()) == []


def test_an_order_whose_commit_got_no_answer_is_booked_soon_and_once(booking: Booking) -> None:
    simulation = booking.simulation
    place_while_lossy(booking, 1, committed=True)
    assert (booking.threads.waiting, booking.attempts(), simulation.ledger()) == ([], ["submitting"], [])
    simulation.container.crash_recovery.recover()
    simulation.until(lambda it: it.status() == "created", step=5)
    assert len(simulation.ledger()) == 1


class BrokenGateway:
    """A gateway that sends nothing."""

    def send(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("a bug")


def free_slots(simulation: Simulation) -> int:
    """Occupy all free slots of an account; return how many there were."""
    return sum(iter(lambda: simulation.container.bulkhead.try_enter("borzo"), False))


def test_a_failure_while_creates_are_sent_frees_the_slot_of_their_account(booking: Booking) -> None:
    simulation = booking.simulation
    real = simulation.container.gateway
    simulation.container.gateway = BrokenGateway()  # type: ignore[assignment]
    booking.place("borzo")
    with pytest.raises(RuntimeError):
        booking.threads.run()
    simulation.container.gateway = real
    assert (booking.attempts(), free_slots(simulation)) == (["submitting"], 4)
