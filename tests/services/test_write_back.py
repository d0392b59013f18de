"""The statuses that are written to the platform, and the statuses there that are never overwritten."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from schemas.messages import Cancellation
from tests.services.gateways import ScriptedGateway
from tests.services.simulation import START, Simulation
from worker.database import accounts, write_backs
from worker.ordering_api.write_policy import WriteBackState
from worker.resilience.bulkhead import Admission

ORDER = 2011
LATER = {"deliver_at": (START + timedelta(hours=3)).isoformat()}


@pytest.fixture
def simulation(tmp_path: Path) -> Iterator[Simulation]:
    """Return a simulation whose orders come from the platform."""
    simulated = Simulation(tmp_path, ORDERING__SOURCE="demo")
    yield simulated
    simulated.close()


def seed(simulation: Simulation, **order: Any) -> None:
    """Add an order to the platform."""
    simulation.ask("POST", "/sandbox/ordering/orders", {"id": ORDER, **order})


def show(simulation: Simulation, status: int) -> None:
    """Set the order's status on the platform, as the shop or the customer does."""
    simulation.ask("POST", f"/sandbox/orders/ordering/{ORDER}/step", {"state": status})


def platform_status(simulation: Simulation) -> int:
    """Return the order's status on the platform."""
    (order,) = simulation.ask("GET", "/sandbox/orders?carrier=ordering")["orders"]
    return int(order["status"])


def written(simulation: Simulation) -> list[int]:
    """Return the statuses that were written to the platform; check that nothing else was, and only by us."""
    entries = [entry for entry in simulation.sandbox.world.ledger.entries if entry.carrier == "ordering"]
    puts = [entry.detail for entry in entries if entry.action == "update"]
    assert {tuple(put) for put in puts} <= {("app", "status")}
    assert {put["app"] for put in puts} <= {"order-sync"}
    return [put["status"] for put in puts]


def inject(simulation: Simulation, kind: str, operation: str = "*", times: int | None = None, **more: Any) -> None:
    """Inject a fault into the platform's API."""
    simulation.ask(
        "POST", "/sandbox/faults", {"kind": kind, "api": "ordering", "operation": operation, "times": times, **more}
    )


def settle(simulation: Simulation, count: int = 6) -> None:
    """Run what is due, several times."""
    for _ in range(count):
        simulation.pass_time(5)


def conflicts(simulation: Simulation) -> list[str]:
    """Return the reasons of the published conflicts."""
    return [event["data"]["reason_text"] for event in simulation.events() if event["type"] == "delivery.conflict"]


class InterruptedGateway:
    """A gateway that runs something else during each call to the platform."""

    def __init__(self, real: Any, interrupt: Callable[[str], None]) -> None:
        self._real, self._interrupt = real, interrupt
        self.calls: list[str] = []

    def send(self, account: str, calls: Any, **how: Any) -> Iterator[Any]:
        if account == "ordering":
            self.calls += [call.method for call in calls.values()]
            self._interrupt(self.calls[-1])
        return iter(self._real.send(account, calls, **how))

    def close(self) -> None:
        self._real.close()


# --- a whole delivery ---


@pytest.mark.parametrize(
    ("store_id", "codes"), [("34", [22, 25, 8, 9, 11]), ("21", [22, 25, 8, 3, 9, 11]), ("17", [22, 25, 3, 9, 11])]
)
@pytest.mark.quirk("O-09", "O-12", "O-16", "O-23")
def test_each_status_of_a_delivery_is_written_once_and_the_last_is_11(
    simulation: Simulation, store_id: str, codes: list[int]
) -> None:
    seed(simulation)
    simulation.place(store_id=store_id)
    simulation.until(lambda it: it.status() == "delivered")
    settle(simulation)
    assert (written(simulation), platform_status(simulation), conflicts(simulation)) == (codes, 11, [])


def test_the_search_for_another_courier_is_written_after_a_withdrawal(simulation: Simulation) -> None:
    seed(simulation)
    simulation.place("courier_withdraws")
    simulation.until(lambda it: it.status() == "delivered")
    settle(simulation)
    assert written(simulation) == [22, 25, 8, 22, 8, 9, 11]


def test_a_returned_parcel_is_written_as_failed_once(simulation: Simulation) -> None:
    seed(simulation)
    simulation.place("returned", store_id="21")
    simulation.until(lambda it: it.delivery().final)
    settle(simulation)
    assert (written(simulation)[-2:], platform_status(simulation)) == ([9, 12], 12)


def test_nothing_is_written_for_an_order_of_another_source(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path)
    seed(simulation)
    simulation.place()
    simulation.until(lambda it: it.status() == "delivered")
    assert (written(simulation), platform_status(simulation)) == ([], 0)
    simulation.close()


# --- others change the platform's order ---


@pytest.mark.fault("F-64")
@pytest.mark.quirk("O-13", "O-18")
def test_an_order_that_its_customer_cancels_on_the_platform_is_cancelled_and_never_written_again(
    simulation: Simulation,
) -> None:
    seed(simulation)
    simulation.place(store_id="21")
    simulation.until(lambda it: it.status() == "created")
    settle(simulation, 2)
    show(simulation, 16)
    simulation.until(lambda it: it.delivery().final)
    settle(simulation)
    delivery = simulation.delivery()
    assert (delivery.status, delivery.cancelled_by) == ("cancelled", "customer")
    assert (written(simulation), platform_status(simulation)) == ([22, 25], 16)


@pytest.mark.quirk("O-12", "O-18")
def test_an_order_that_the_shop_closes_on_the_platform_is_reported_once_and_still_delivered(
    simulation: Simulation,
) -> None:
    seed(simulation)
    simulation.place(store_id="21")
    simulation.until(lambda it: it.status() == "courier_assigned")
    settle(simulation, 2)
    show(simulation, 1)
    simulation.until(lambda it: it.status() == "delivered")
    settle(simulation)
    assert (written(simulation), platform_status(simulation), conflicts(simulation)) == (
        [22, 25, 8],
        1,
        ["platform_closed"],
    )


@pytest.mark.fault("F-64")
def test_a_status_that_replaces_ours_on_the_platform_is_reported_and_not_overwritten(simulation: Simulation) -> None:
    seed(simulation)
    simulation.place()
    simulation.until(lambda it: 8 in written(it), step=1)
    show(simulation, 22)
    settle(simulation)
    assert (written(simulation), platform_status(simulation), conflicts(simulation)) == (
        [22, 25, 8],
        22,
        ["platform_differs"],
    )


@pytest.mark.quirk("O-16", "O-20")
def test_nothing_is_written_before_the_shop_accepts(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path, ORDERING__SOURCE="demo", ORDERING__GATE="accepted")
    seed(simulation)
    simulation.place(status=0)
    settle(simulation, 12)
    assert (written(simulation), simulation.ledger()) == ([], [("ordering", str(ORDER))])
    show(simulation, 7)
    simulation.until(lambda it: it.status() == "delivered")
    settle(simulation)
    assert written(simulation)[-1] == 11
    simulation.close()


@pytest.mark.quirk("O-20")
def test_a_preorder_that_the_shop_rejects_before_its_time_is_never_dispatched(simulation: Simulation) -> None:
    seed(simulation, status=7)
    simulation.place(**LATER)
    settle(simulation)
    assert (written(simulation), platform_status(simulation)) == ([], 7)
    show(simulation, 5)
    simulation.until(lambda it: it.delivery().final, step=60)
    assert (simulation.status(), simulation.ledger()) == ("cancelled", [("ordering", str(ORDER))])
    assert simulation.now < START + timedelta(hours=3)


@pytest.mark.fault("F-88")
def test_a_delivery_that_only_a_newer_version_can_read_is_left_to_that_version(simulation: Simulation) -> None:
    seed(simulation)
    simulation.place()
    with simulation.container.database.engine.begin() as connection:
        connection.execute(text("UPDATE delivery SET step = 'weigh'"))
    settle(simulation)
    assert written(simulation) == []
    with simulation.container.database.engine.begin() as connection:
        connection.execute(text("UPDATE delivery SET step = NULL, next_run_at = NULL"))
    simulation.until(lambda it: platform_status(it) == 22)


# --- a platform that fails ---


@pytest.mark.fault("F-63")
def test_only_the_newest_status_is_written_after_an_outage_of_the_platform(simulation: Simulation) -> None:
    seed(simulation)
    simulation.place(store_id="21")
    simulation.until(lambda it: it.status() == "created")
    settle(simulation, 2)
    inject(simulation, "error_before")
    simulation.until(lambda it: it.status() == "delivered")
    simulation.sandbox.faults.clear()
    simulation.until(lambda it: platform_status(it) == 11)
    settle(simulation)
    assert written(simulation) == [22, 25, 11]


def test_write_back_gives_up_a_day_after_the_end_of_a_delivery(simulation: Simulation) -> None:
    seed(simulation)
    inject(simulation, "error_before")
    simulation.place()
    simulation.until(lambda it: it.status() == "delivered")
    settle(simulation)
    assert simulation.container.database.read(write_backs.count_waiting, simulation.now) == 1
    simulation.pass_time(23 * 3600)
    assert simulation.container.database.read(write_backs.count_waiting, simulation.now) == 1
    simulation.pass_time(2 * 3600)
    assert simulation.container.database.read(write_backs.count_waiting, simulation.now) == 0


@pytest.mark.fault("F-63")
@pytest.mark.parametrize("kind", ["error_after", "no_reply", "garbage"])
def test_a_write_whose_reply_is_lost_is_not_repeated(simulation: Simulation, kind: str) -> None:
    seed(simulation)
    inject(simulation, kind, "update", times=1, delay=0)
    simulation.place()
    simulation.until(lambda it: it.status() == "delivered")
    settle(simulation)
    assert (written(simulation), conflicts(simulation)) == ([22, 25, 8, 9, 11], [])


def test_a_write_that_failed_at_the_platform_is_repeated(simulation: Simulation) -> None:
    seed(simulation)
    simulation.place()
    inject(simulation, "error_before", "update", times=2)
    simulation.until(lambda it: platform_status(it) == 25, step=1)
    assert written(simulation) == [25]


@pytest.mark.fault("F-63")
def test_a_write_that_fails_again_and_again_is_tried_less_and_less_often(simulation: Simulation) -> None:
    seed(simulation)
    simulation.place()
    simulation.until(lambda it: it.status() == "delivered")
    inject(simulation, "error_before", "update")
    gateway = ScriptedGateway(simulation)
    with capture_logs() as logs:
        for _ in range(300):
            simulation.pass_time()
    failures = [each for each in logs if each["event"] == "carrier.call_failed"]
    assert 5 < gateway.take_sent()["ordering", "amend"] < 20
    assert [(each["account"], each["host"], each["cause"]) for each in failures] == [
        ("ordering", "127.0.0.1", "the platform answered 500")
    ]


@pytest.mark.fault("F-63")
def test_a_refused_write_is_reported_once_and_the_next_status_is_written(simulation: Simulation) -> None:
    seed(simulation)
    inject(simulation, "error_before", "update", times=1, status=422)
    simulation.place()
    simulation.until(lambda it: it.status() == "delivered")
    settle(simulation)
    assert (written(simulation)[-1], conflicts(simulation)) == (11, ["platform_refused"])


@pytest.mark.quirk("O-10")
def test_an_order_that_the_platform_does_not_show_is_delivered_without_a_report(simulation: Simulation) -> None:
    simulation.place()
    simulation.until(lambda it: it.status() == "delivered")
    assert (conflicts(simulation), "delivery.attention_required" in simulation.published()) == ([], False)


@pytest.mark.fault("F-63")
def test_a_rejected_key_pauses_the_platform_account_until_the_key_works_again(simulation: Simulation) -> None:
    seed(simulation)
    simulation.place(store_id="21")
    inject(simulation, "unauthorized")
    simulation.until(lambda it: it.status() == "delivered")
    assert simulation.container.database.read(accounts.paused)["ordering"].by == "carrier"
    assert [event["type"] for event in simulation.events("ordering")] == ["carrier.paused"]
    simulation.sandbox.faults.clear()
    simulation.until(lambda it: platform_status(it) == 11)
    assert [event["type"] for event in simulation.events("ordering")] == ["carrier.paused", "carrier.resumed"]
    assert written(simulation) == [11]


@pytest.mark.parametrize(
    "instead", [{"error": True}, {"id": 2012, "status": 7}, {"id": ORDER, "status": None}, {"status": 10**20}, []]
)
def test_the_final_status_is_written_once_the_platform_sends_readable_replies_again(
    simulation: Simulation, instead: Any
) -> None:
    seed(simulation)
    simulation.place()
    simulation.until(lambda it: 9 in written(it), step=5)
    inject(simulation, "html", "get", body=json.dumps(instead))
    simulation.until(lambda it: it.status() == "delivered")
    simulation.pass_time()
    simulation.sandbox.faults.clear()
    settle(simulation, 8)
    assert (written(simulation), conflicts(simulation)) == ([22, 25, 8, 9, 11], [])


def test_an_order_that_the_platform_never_shows_is_read_a_few_times_and_no_more(simulation: Simulation) -> None:
    simulation.place()
    simulation.until(lambda it: it.status() == "delivered")
    for _ in range(20):
        simulation.pass_time(30)
    calls = simulation.container.gateway = InterruptedGateway(simulation.container.gateway, lambda _method: None)  # type: ignore[assignment]
    settle(simulation, 20)
    assert (calls.calls, simulation.container.database.read(write_backs.count_waiting, simulation.now)) == ([], 0)


def test_a_write_whose_reply_is_lost_counts_as_written_once_a_read_shows_it(simulation: Simulation) -> None:
    seed(simulation)
    inject(simulation, "error_after", "update", times=1)
    simulation.place()
    simulation.container.write_back.run(simulation.delivery().id)
    simulation.pass_time(5)
    assert simulation.container.database.read(write_backs.write_back_state, simulation.delivery().id) == WriteBackState(
        22, replaced=0, written=True, seen=22
    )


def test_nothing_is_written_for_an_order_after_the_configured_source_changes(simulation: Simulation) -> None:
    seed(simulation)
    simulation.place()
    settings = simulation.container.settings.ordering.model_copy(update={"source": "another"})
    simulation.container.settings = simulation.container.settings.model_copy(update={"ordering": settings})
    settle(simulation)
    assert (written(simulation), simulation.container.database.read(write_backs.count_waiting, simulation.now)) == (
        [],
        0,
    )


@pytest.mark.quirk("O-20")
def test_a_read_only_key_opens_gates_and_the_final_status_is_written_once_writes_are_allowed(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path, ORDERING__SOURCE="demo", ORDERING__GATE="accepted")
    inject(simulation, "unauthorized", "update")
    for number in range(ORDER, ORDER + 3):
        seed(simulation, id=number)
        simulation.place(order_id=str(number), status=0)
        settle(simulation, 2)
        simulation.ask("POST", f"/sandbox/orders/ordering/{number}/step", {"state": 7})
        simulation.until(lambda it, number=number: it.delivery(str(number)).gate is None, limit=12)  # type: ignore[misc]
    assert (written(simulation), simulation.container.database.read(accounts.paused)) == ([], {})
    simulation.until(lambda it: it.status() == "delivered")
    simulation.sandbox.faults.clear()
    simulation.until(lambda it: 11 in written(it))
    simulation.close()


def test_a_paused_platform_account_is_probed_by_the_next_read_that_is_due(simulation: Simulation) -> None:
    seed(simulation)
    simulation.container.database.write(
        accounts.pause, "ordering", "carrier", "the platform answered 401", simulation.now
    )
    settle(simulation)
    simulation.place()
    settle(simulation, 1)
    assert (written(simulation)[0], simulation.container.database.read(accounts.paused)) == (22, {})


@pytest.mark.quirk("O-13")
def test_a_cancel_request_that_may_cost_money_is_kept_when_the_platform_shows_the_order_cancelled(
    simulation: Simulation,
) -> None:
    seed(simulation)
    simulation.place(store_id="17")
    simulation.work()
    request = {"order_id": str(ORDER), "cancelled_by": "customer", "allow_paid": True}
    simulation.put_message("order.cancelled", request)
    show(simulation, 2)
    simulation.container.write_back.run(simulation.delivery().id)
    assert simulation.delivery().cancel_request == Cancellation.model_validate(request)
    assert simulation.delivery().order.status == 2


@pytest.mark.fault("F-63")
@pytest.mark.quirk("O-18")
def test_a_late_write_that_overwrites_the_final_status_is_reported(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path, ORDERING__SOURCE="demo")
    seed(simulation)
    simulation.place(store_id="21")
    simulation.until(lambda it: 3 in written(it), step=1)
    inject(simulation, "late", "update", times=1, delay=200)
    simulation.until(lambda it: it.status() == "delivered")
    settle(simulation, 40)
    assert (written(simulation)[-3:], platform_status(simulation), conflicts(simulation)) == (
        [9, 11, 9],
        9,
        ["platform_differs"],
    )
    simulation.close()


# --- concurrent changes ---


@pytest.mark.fault("F-65")
def test_only_one_of_two_workers_reads_and_writes_the_same_order(simulation: Simulation) -> None:
    def other_worker(_method: str) -> None:
        simulation.container.write_back.run(simulation.delivery().id)

    simulation.container.gateway = gateway = InterruptedGateway(simulation.container.gateway, other_worker)  # type: ignore[assignment]
    seed(simulation)
    simulation.place()
    simulation.container.write_back.run(simulation.delivery().id)
    simulation.container.write_back.run(simulation.delivery().id)
    assert (gateway.calls, written(simulation)) == (["GET", "PUT", "GET"], [22])


@pytest.mark.fault("F-63")
def test_no_further_worker_waits_for_a_platform_that_hangs_and_the_wake_up_task_is_kept(simulation: Simulation) -> None:
    seed(simulation)
    simulation.place()
    bulkhead = simulation.container.bulkhead
    while bulkhead.enter("ordering", ("hung", []), reading=True) is Admission.ADMITTED:
        pass
    simulation.container.write_back.run(simulation.delivery().id)
    assert written(simulation) == []
    assert bulkhead.leave("ordering", reading=True) == [("hung", [])]
    assert bulkhead.leave("ordering", reading=True) == [("platform.write_back", [simulation.delivery().id])]


def write_back_interrupted_at(simulation: Simulation, method: str) -> None:
    """Write back, and run the tasks that wait while the call with this method is under way."""

    def interrupt(called: str) -> None:
        if called == method:
            simulation.container.gateway = real
            simulation.work()

    real = simulation.container.gateway
    simulation.container.gateway = InterruptedGateway(real, interrupt)  # type: ignore[assignment]
    simulation.container.write_back.run(simulation.delivery().id)


def test_a_status_that_changes_during_a_write_is_written_next(simulation: Simulation) -> None:
    seed(simulation)
    simulation.place()
    write_back_interrupted_at(simulation, "PUT")
    assert (simulation.status(), written(simulation)) == ("created", [22])
    settle(simulation, 2)
    assert written(simulation) == [22, 25]


def test_the_status_that_a_delivery_has_after_the_read_is_written(simulation: Simulation) -> None:
    seed(simulation)
    simulation.place()
    write_back_interrupted_at(simulation, "GET")
    assert written(simulation) == [25]
