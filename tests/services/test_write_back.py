"""What the platform is told while an order lives, and what is left alone there."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas.messages import Cancellation
from tests.services.simulation import START, Simulation
from worker.database import accounts, write_backs
from worker.ordering_api.write_policy import WriteBackState
from worker.resilience.bulkhead import Admission

ORDER = 2011
LATER = {"deliver_at": (START + timedelta(hours=3)).isoformat()}


@pytest.fixture
def simulation(tmp_path: Path) -> Iterator[Simulation]:
    """Give a simulation whose orders come from the platform."""
    made = Simulation(tmp_path, ORDERING__SOURCE="demo")
    yield made
    made.close()


def seed(simulation: Simulation, **order: Any) -> None:
    simulation.ask("POST", "/sandbox/ordering/orders", {"id": ORDER, **order})


def show(simulation: Simulation, status: int) -> None:
    """Let somebody else set the order's status on the platform."""
    simulation.ask("POST", f"/sandbox/orders/ordering/{ORDER}/step", {"state": status})


def stands(simulation: Simulation) -> int:
    (order,) = simulation.ask("GET", "/sandbox/orders?carrier=ordering")["orders"]
    return int(order["status"])


def written(simulation: Simulation) -> list[int]:
    """Read what was really written on the platform; nothing but a status ever is, and by nobody else."""
    entries = [entry for entry in simulation.sandbox.world.ledger.entries if entry.carrier == "ordering"]
    puts = [entry.detail for entry in entries if entry.action == "update"]
    assert {tuple(put) for put in puts} <= {("app", "status")}
    assert {put["app"] for put in puts} <= {"order-sync"}
    return [put["status"] for put in puts]


def fault(simulation: Simulation, kind: str, operation: str = "*", times: int | None = None, **more: Any) -> None:
    simulation.ask(
        "POST", "/sandbox/faults", {"kind": kind, "api": "ordering", "operation": operation, "times": times, **more}
    )


def settle(simulation: Simulation, count: int = 6) -> None:
    """Let what is due be done, with nothing new to do."""
    for _ in range(count):
        simulation.pass_time(5)


def conflicts(simulation: Simulation) -> list[str]:
    return [event["data"]["reason_text"] for event in simulation.events() if event["type"] == "delivery.conflict"]


class Meanwhile:
    """A gateway behind which something happens during each call to the platform."""

    def __init__(self, real: Any, happens: Callable[[str], None]) -> None:
        self._real, self._happens = real, happens
        self.calls: list[str] = []

    def send(self, account: str, calls: Any, **how: Any) -> Iterator[Any]:
        if account == "ordering":
            self.calls += [call.method for call in calls.values()]
            self._happens(self.calls[-1])
        return iter(self._real.send(account, calls, **how))

    def close(self) -> None:
        self._real.close()


# --- a life ---


@pytest.mark.parametrize(
    ("store_id", "codes"), [("34", [22, 25, 8, 9, 11]), ("21", [22, 25, 8, 3, 9, 11]), ("17", [22, 25, 3, 9, 11])]
)
@pytest.mark.quirk("O-09", "O-12", "O-16", "O-23")
def test_a_whole_life_is_written_each_step_once_and_ends_at_11(
    simulation: Simulation, store_id: str, codes: list[int]
) -> None:
    seed(simulation)
    simulation.place(store_id=store_id)
    simulation.until(lambda it: it.status() == "delivered")
    settle(simulation)
    assert (written(simulation), stands(simulation), conflicts(simulation)) == (codes, 11, [])


def test_a_courier_who_gives_it_back_is_looked_for_again(simulation: Simulation) -> None:
    seed(simulation)
    simulation.place("courier_withdraws")
    simulation.until(lambda it: it.status() == "delivered")
    settle(simulation)
    assert written(simulation) == [22, 25, 8, 22, 8, 9, 11]


def test_what_comes_back_is_written_as_failed_once(simulation: Simulation) -> None:
    seed(simulation)
    simulation.place("returned", store_id="21")
    simulation.until(lambda it: it.delivery().final)
    settle(simulation)
    assert (written(simulation)[-2:], stands(simulation)) == ([9, 12], 12)


def test_an_order_of_another_source_is_never_looked_for_on_the_platform(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path)
    seed(simulation)
    simulation.place()
    simulation.until(lambda it: it.status() == "delivered")
    assert (written(simulation), stands(simulation)) == ([], 0)
    simulation.close()


# --- others write too ---


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
    assert (written(simulation), stands(simulation)) == ([22, 25], 16)


@pytest.mark.quirk("O-12", "O-18")
def test_an_order_that_somebody_closes_is_told_once_and_its_courier_goes_on(simulation: Simulation) -> None:
    seed(simulation)
    simulation.place(store_id="21")
    simulation.until(lambda it: it.status() == "courier_assigned")
    settle(simulation, 2)
    show(simulation, 1)
    simulation.until(lambda it: it.status() == "delivered")
    settle(simulation)
    assert (written(simulation), stands(simulation), conflicts(simulation)) == ([22, 25, 8], 1, ["platform_closed"])


@pytest.mark.fault("F-64")
def test_what_somebody_puts_in_the_place_of_ours_is_told_and_not_fought_over(simulation: Simulation) -> None:
    seed(simulation)
    simulation.place()
    simulation.until(lambda it: 8 in written(it), step=1)
    show(simulation, 22)
    settle(simulation)
    assert (written(simulation), stands(simulation), conflicts(simulation)) == ([22, 25, 8], 22, ["platform_differs"])


@pytest.mark.quirk("O-16", "O-20")
def test_nothing_is_written_until_the_shop_has_accepted(tmp_path: Path) -> None:
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
def test_an_order_for_later_that_is_off_by_then_is_never_dispatched(simulation: Simulation) -> None:
    seed(simulation, status=7)
    simulation.place(**LATER)
    settle(simulation)
    assert (written(simulation), stands(simulation)) == ([], 7)
    show(simulation, 5)
    simulation.until(lambda it: it.delivery().final, step=60)
    assert (simulation.status(), simulation.ledger()) == ("cancelled", [("ordering", str(ORDER))])
    assert simulation.now < START + timedelta(hours=3)


# --- a platform in trouble ---


@pytest.mark.fault("F-63")
def test_a_platform_that_was_away_is_told_only_the_newest(simulation: Simulation) -> None:
    seed(simulation)
    simulation.place(store_id="21")
    simulation.until(lambda it: it.status() == "created")
    settle(simulation, 2)
    fault(simulation, "error_before")
    simulation.until(lambda it: it.status() == "delivered")
    simulation.sandbox.faults.clear()
    simulation.until(lambda it: stands(it) == 11)
    settle(simulation)
    assert written(simulation) == [22, 25, 11]


def test_a_platform_that_stays_away_is_given_up_a_day_after_the_end(simulation: Simulation) -> None:
    seed(simulation)
    fault(simulation, "error_before")
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
def test_a_write_whose_answer_is_lost_is_not_made_again(simulation: Simulation, kind: str) -> None:
    seed(simulation)
    fault(simulation, kind, "update", times=1, delay=0)
    simulation.place()
    simulation.until(lambda it: it.status() == "delivered")
    settle(simulation)
    assert (written(simulation), conflicts(simulation)) == ([22, 25, 8, 9, 11], [])


def test_a_write_that_a_failing_platform_did_not_take_is_made_again(simulation: Simulation) -> None:
    seed(simulation)
    simulation.place()
    fault(simulation, "error_before", "update", times=2)
    simulation.until(lambda it: stands(it) == 25, step=1)
    assert written(simulation) == [25]


@pytest.mark.fault("F-63")
def test_a_write_that_is_refused_is_told_once_and_the_next_one_tried(simulation: Simulation) -> None:
    seed(simulation)
    fault(simulation, "error_before", "update", times=1, status=422)
    simulation.place()
    simulation.until(lambda it: it.status() == "delivered")
    settle(simulation)
    assert (written(simulation)[-1], conflicts(simulation)) == (11, ["platform_refused"])


@pytest.mark.quirk("O-10")
def test_an_order_that_the_platform_does_not_show_is_delivered_all_the_same(simulation: Simulation) -> None:
    simulation.place()
    simulation.until(lambda it: it.status() == "delivered")
    assert (conflicts(simulation), "delivery.attention_required" in simulation.published()) == ([], False)


@pytest.mark.fault("F-63")
def test_a_key_that_is_shut_out_pauses_the_account_until_it_is_let_in(simulation: Simulation) -> None:
    seed(simulation)
    simulation.place(store_id="21")
    fault(simulation, "unauthorized")
    simulation.until(lambda it: it.status() == "delivered")
    assert simulation.container.database.read(accounts.paused)["ordering"].by == "carrier"
    assert [event["type"] for event in simulation.events("ordering")] == ["carrier.paused"]
    simulation.sandbox.faults.clear()
    simulation.until(lambda it: stands(it) == 11)
    assert [event["type"] for event in simulation.events("ordering")] == ["carrier.paused", "carrier.resumed"]
    assert written(simulation) == [11]


@pytest.mark.parametrize(
    "instead", [{"error": True}, {"id": 2012, "status": 7}, {"id": ORDER, "status": None}, {"status": 10**20}, []]
)
def test_an_end_is_told_once_the_platform_makes_sense_again(simulation: Simulation, instead: Any) -> None:
    seed(simulation)
    simulation.place()
    simulation.until(lambda it: 9 in written(it), step=5)
    fault(simulation, "html", "get", body=json.dumps(instead))
    simulation.until(lambda it: it.status() == "delivered")
    simulation.pass_time()
    simulation.sandbox.faults.clear()
    settle(simulation, 8)
    assert (written(simulation), conflicts(simulation)) == ([22, 25, 8, 9, 11], [])


def test_an_order_that_is_never_shown_is_looked_for_a_few_times_and_left_alone(simulation: Simulation) -> None:
    simulation.place()
    simulation.until(lambda it: it.status() == "delivered")
    for _ in range(20):
        simulation.pass_time(30)
    calls = simulation.container.gateway = Meanwhile(simulation.container.gateway, lambda _method: None)  # type: ignore[assignment]
    settle(simulation, 20)
    assert (calls.calls, simulation.container.database.read(write_backs.count_waiting, simulation.now)) == ([], 0)


def test_a_write_whose_answer_is_lost_is_known_once_it_is_seen(simulation: Simulation) -> None:
    seed(simulation)
    fault(simulation, "error_after", "update", times=1)
    simulation.place()
    simulation.container.write_back.run(simulation.delivery().id)
    simulation.pass_time(5)
    assert simulation.container.database.read(write_backs.write_back_state, simulation.delivery().id) == WriteBackState(
        22, replaced=0, written=True, seen=22
    )


def test_an_order_of_a_source_that_was_set_by_mistake_is_left_alone(simulation: Simulation) -> None:
    seed(simulation)
    simulation.place()
    mended = simulation.container.settings.ordering.model_copy(update={"source": "another"})
    simulation.container.settings = simulation.container.settings.model_copy(update={"ordering": mended})
    settle(simulation)
    assert (written(simulation), simulation.container.database.read(write_backs.count_waiting, simulation.now)) == (
        [],
        0,
    )


@pytest.mark.quirk("O-20")
def test_a_key_that_may_only_look_opens_gates_and_what_it_could_not_write_is_written_later(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path, ORDERING__SOURCE="demo", ORDERING__GATE="accepted")
    fault(simulation, "unauthorized", "update")
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


def test_an_account_that_is_shut_out_is_tried_as_soon_as_there_is_a_look_to_make(simulation: Simulation) -> None:
    seed(simulation)
    simulation.container.database.write(
        accounts.pause, "ordering", "carrier", "the platform answered 401", simulation.now
    )
    settle(simulation)
    simulation.place()
    settle(simulation, 1)
    assert (written(simulation)[0], simulation.container.database.read(accounts.paused)) == (22, {})


@pytest.mark.quirk("O-13")
def test_a_wish_to_cancel_that_may_cost_stays_so_when_the_platform_says_that_the_order_is_off(
    simulation: Simulation,
) -> None:
    seed(simulation)
    simulation.place(store_id="17")
    simulation.work()
    wish = {"order_id": str(ORDER), "cancelled_by": "customer", "allow_paid": True}
    simulation.put_message("order.cancelled", wish)
    show(simulation, 2)
    simulation.container.write_back.run(simulation.delivery().id)
    assert simulation.delivery().cancel_request == Cancellation.model_validate(wish)
    assert simulation.delivery().order.status == 2


# --- at once ---


@pytest.mark.fault("F-65")
def test_of_two_workers_with_the_same_order_one_looks_and_writes(simulation: Simulation) -> None:
    def other_worker(_method: str) -> None:
        simulation.container.write_back.run(simulation.delivery().id)

    simulation.container.gateway = gateway = Meanwhile(simulation.container.gateway, other_worker)  # type: ignore[assignment]
    seed(simulation)
    simulation.place()
    simulation.container.write_back.run(simulation.delivery().id)
    simulation.container.write_back.run(simulation.delivery().id)
    assert (gateway.calls, written(simulation)) == (["GET", "PUT", "GET"], [22])


@pytest.mark.fault("F-63")
def test_a_platform_that_hangs_is_not_waited_for_by_the_next_one_and_its_hint_is_not_lost(
    simulation: Simulation,
) -> None:
    seed(simulation)
    simulation.place()
    rooms = simulation.container.bulkhead
    while rooms.enter("ordering", ("hung", []), reading=True) is Admission.ADMITTED:
        pass
    simulation.container.write_back.run(simulation.delivery().id)
    assert written(simulation) == []
    assert rooms.leave("ordering", reading=True) == [("hung", [])]
    assert rooms.leave("ordering", reading=True) == [("platform.write_back", [simulation.delivery().id])]


def test_what_moves_while_it_is_written_is_written_next(simulation: Simulation) -> None:
    seed(simulation)
    simulation.place()

    def meanwhile(method: str) -> None:
        if method == "PUT":
            simulation.container.gateway = real
            simulation.work()

    real = simulation.container.gateway
    simulation.container.gateway = Meanwhile(real, meanwhile)  # type: ignore[assignment]
    simulation.container.write_back.run(simulation.delivery().id)
    assert (simulation.status(), written(simulation)) == ("created", [22])
    settle(simulation, 2)
    assert written(simulation) == [22, 25]


def test_a_look_that_moves_the_delivery_writes_what_is_true_then(simulation: Simulation) -> None:
    seed(simulation)
    simulation.place()

    def meanwhile(method: str) -> None:
        if method == "GET":
            simulation.container.gateway = real
            simulation.work()

    real = simulation.container.gateway
    simulation.container.gateway = Meanwhile(real, meanwhile)  # type: ignore[assignment]
    simulation.container.write_back.run(simulation.delivery().id)
    assert written(simulation) == [25]
