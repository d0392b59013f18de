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
def street(tmp_path: Path) -> Iterator[Simulation]:
    """Give a street whose orders come from the platform."""
    made = Simulation(tmp_path, ORDERING__SOURCE="demo")
    yield made
    made.close()


def seed(street: Simulation, **order: Any) -> None:
    street.ask("POST", "/sandbox/ordering/orders", {"id": ORDER, **order})


def show(street: Simulation, status: int) -> None:
    """Let somebody else set the order's status on the platform."""
    street.ask("POST", f"/sandbox/orders/ordering/{ORDER}/step", {"state": status})


def stands(street: Simulation) -> int:
    (order,) = street.ask("GET", "/sandbox/orders?carrier=ordering")["orders"]
    return int(order["status"])


def written(street: Simulation) -> list[int]:
    """Read what was really written on the platform; nothing but a status ever is, and by nobody else."""
    entries = [entry for entry in street.sandbox.world.ledger.entries if entry.carrier == "ordering"]
    puts = [entry.detail for entry in entries if entry.action == "update"]
    assert {tuple(put) for put in puts} <= {("app", "status")}
    assert {put["app"] for put in puts} <= {"order-sync"}
    return [put["status"] for put in puts]


def fault(street: Simulation, kind: str, operation: str = "*", times: int | None = None, **more: Any) -> None:
    street.ask(
        "POST", "/sandbox/faults", {"kind": kind, "api": "ordering", "operation": operation, "times": times, **more}
    )


def settle(street: Simulation, count: int = 6) -> None:
    """Let what is due be done, with nothing new to do."""
    for _ in range(count):
        street.pass_time(5)


def conflicts(street: Simulation) -> list[str]:
    return [event["data"]["reason_text"] for event in street.events() if event["type"] == "delivery.conflict"]


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
    street: Simulation, store_id: str, codes: list[int]
) -> None:
    seed(street)
    street.place(store_id=store_id)
    street.until(lambda it: it.status() == "delivered")
    settle(street)
    assert (written(street), stands(street), conflicts(street)) == (codes, 11, [])


def test_a_courier_who_gives_it_back_is_looked_for_again(street: Simulation) -> None:
    seed(street)
    street.place("courier_withdraws")
    street.until(lambda it: it.status() == "delivered")
    settle(street)
    assert written(street) == [22, 25, 8, 22, 8, 9, 11]


def test_what_comes_back_is_written_as_failed_once(street: Simulation) -> None:
    seed(street)
    street.place("returned", store_id="21")
    street.until(lambda it: it.delivery().final)
    settle(street)
    assert (written(street)[-2:], stands(street)) == ([9, 12], 12)


def test_an_order_of_another_source_is_never_looked_for_on_the_platform(tmp_path: Path) -> None:
    street = Simulation(tmp_path)
    seed(street)
    street.place()
    street.until(lambda it: it.status() == "delivered")
    assert (written(street), stands(street)) == ([], 0)
    street.close()


# --- others write too ---


@pytest.mark.fault("F-64")
@pytest.mark.quirk("O-13", "O-18")
def test_an_order_that_its_customer_cancels_on_the_platform_is_cancelled_and_never_written_again(
    street: Simulation,
) -> None:
    seed(street)
    street.place(store_id="21")
    street.until(lambda it: it.status() == "created")
    settle(street, 2)
    show(street, 16)
    street.until(lambda it: it.delivery().final)
    settle(street)
    delivery = street.delivery()
    assert (delivery.status, delivery.cancelled_by) == ("cancelled", "customer")
    assert (written(street), stands(street)) == ([22, 25], 16)


@pytest.mark.quirk("O-12", "O-18")
def test_an_order_that_somebody_closes_is_told_once_and_its_courier_goes_on(street: Simulation) -> None:
    seed(street)
    street.place(store_id="21")
    street.until(lambda it: it.status() == "courier_assigned")
    settle(street, 2)
    show(street, 1)
    street.until(lambda it: it.status() == "delivered")
    settle(street)
    assert (written(street), stands(street), conflicts(street)) == ([22, 25, 8], 1, ["platform_closed"])


@pytest.mark.fault("F-64")
def test_what_somebody_puts_in_the_place_of_ours_is_told_and_not_fought_over(street: Simulation) -> None:
    seed(street)
    street.place()
    street.until(lambda it: 8 in written(it), step=1)
    show(street, 22)
    settle(street)
    assert (written(street), stands(street), conflicts(street)) == ([22, 25, 8], 22, ["platform_differs"])


@pytest.mark.quirk("O-16", "O-20")
def test_nothing_is_written_until_the_shop_has_accepted(tmp_path: Path) -> None:
    street = Simulation(tmp_path, ORDERING__SOURCE="demo", ORDERING__GATE="accepted")
    seed(street)
    street.place(status=0)
    settle(street, 12)
    assert (written(street), street.ledger()) == ([], [("ordering", str(ORDER))])
    show(street, 7)
    street.until(lambda it: it.status() == "delivered")
    settle(street)
    assert written(street)[-1] == 11
    street.close()


@pytest.mark.quirk("O-20")
def test_an_order_for_later_that_is_off_by_then_is_never_dispatched(street: Simulation) -> None:
    seed(street, status=7)
    street.place(**LATER)
    settle(street)
    assert (written(street), stands(street)) == ([], 7)
    show(street, 5)
    street.until(lambda it: it.delivery().final, step=60)
    assert (street.status(), street.ledger()) == ("cancelled", [("ordering", str(ORDER))])
    assert street.now < START + timedelta(hours=3)


# --- a platform in trouble ---


@pytest.mark.fault("F-63")
def test_a_platform_that_was_away_is_told_only_the_newest(street: Simulation) -> None:
    seed(street)
    street.place(store_id="21")
    street.until(lambda it: it.status() == "created")
    settle(street, 2)
    fault(street, "error_before")
    street.until(lambda it: it.status() == "delivered")
    street.sandbox.faults.clear()
    street.until(lambda it: stands(it) == 11)
    settle(street)
    assert written(street) == [22, 25, 11]


def test_a_platform_that_stays_away_is_given_up_a_day_after_the_end(street: Simulation) -> None:
    seed(street)
    fault(street, "error_before")
    street.place()
    street.until(lambda it: it.status() == "delivered")
    settle(street)
    assert street.container.database.read(write_backs.count_waiting, street.now) == 1
    street.pass_time(23 * 3600)
    assert street.container.database.read(write_backs.count_waiting, street.now) == 1
    street.pass_time(2 * 3600)
    assert street.container.database.read(write_backs.count_waiting, street.now) == 0


@pytest.mark.fault("F-63")
@pytest.mark.parametrize("kind", ["error_after", "no_reply", "garbage"])
def test_a_write_whose_answer_is_lost_is_not_made_again(street: Simulation, kind: str) -> None:
    seed(street)
    fault(street, kind, "update", times=1, delay=0)
    street.place()
    street.until(lambda it: it.status() == "delivered")
    settle(street)
    assert (written(street), conflicts(street)) == ([22, 25, 8, 9, 11], [])


def test_a_write_that_a_failing_platform_did_not_take_is_made_again(street: Simulation) -> None:
    seed(street)
    street.place()
    fault(street, "error_before", "update", times=2)
    street.until(lambda it: stands(it) == 25, step=1)
    assert written(street) == [25]


@pytest.mark.fault("F-63")
def test_a_write_that_is_refused_is_told_once_and_the_next_one_tried(street: Simulation) -> None:
    seed(street)
    fault(street, "error_before", "update", times=1, status=422)
    street.place()
    street.until(lambda it: it.status() == "delivered")
    settle(street)
    assert (written(street)[-1], conflicts(street)) == (11, ["platform_refused"])


@pytest.mark.quirk("O-10")
def test_an_order_that_the_platform_does_not_show_is_delivered_all_the_same(street: Simulation) -> None:
    street.place()
    street.until(lambda it: it.status() == "delivered")
    assert (conflicts(street), "delivery.attention_required" in street.told()) == ([], False)


@pytest.mark.fault("F-63")
def test_a_key_that_is_shut_out_pauses_the_account_until_it_is_let_in(street: Simulation) -> None:
    seed(street)
    street.place(store_id="21")
    fault(street, "unauthorized")
    street.until(lambda it: it.status() == "delivered")
    assert street.container.database.read(accounts.paused)["ordering"].by == "carrier"
    assert [event["type"] for event in street.events("ordering")] == ["carrier.paused"]
    street.sandbox.faults.clear()
    street.until(lambda it: stands(it) == 11)
    assert [event["type"] for event in street.events("ordering")] == ["carrier.paused", "carrier.resumed"]
    assert written(street) == [11]


@pytest.mark.parametrize(
    "instead", [{"error": True}, {"id": 2012, "status": 7}, {"id": ORDER, "status": None}, {"status": 10**20}, []]
)
def test_an_end_is_told_once_the_platform_makes_sense_again(street: Simulation, instead: Any) -> None:
    seed(street)
    street.place()
    street.until(lambda it: 9 in written(it), step=5)
    fault(street, "html", "get", body=json.dumps(instead))
    street.until(lambda it: it.status() == "delivered")
    street.pass_time()
    street.sandbox.faults.clear()
    settle(street, 8)
    assert (written(street), conflicts(street)) == ([22, 25, 8, 9, 11], [])


def test_an_order_that_is_never_shown_is_looked_for_a_few_times_and_left_alone(street: Simulation) -> None:
    street.place()
    street.until(lambda it: it.status() == "delivered")
    for _ in range(20):
        street.pass_time(30)
    calls = street.container.gateway = Meanwhile(street.container.gateway, lambda _method: None)  # type: ignore[assignment]
    settle(street, 20)
    assert (calls.calls, street.container.database.read(write_backs.count_waiting, street.now)) == ([], 0)


def test_a_write_whose_answer_is_lost_is_known_once_it_is_seen(street: Simulation) -> None:
    seed(street)
    fault(street, "error_after", "update", times=1)
    street.place()
    street.container.write_back.run(street.delivery().id)
    street.pass_time(5)
    assert street.container.database.read(write_backs.write_back_state, street.delivery().id) == WriteBackState(
        22, replaced=0, written=True, seen=22
    )


def test_an_order_of_a_source_that_was_set_by_mistake_is_left_alone(street: Simulation) -> None:
    seed(street)
    street.place()
    mended = street.container.settings.ordering.model_copy(update={"source": "another"})
    street.container.settings = street.container.settings.model_copy(update={"ordering": mended})
    settle(street)
    assert (written(street), street.container.database.read(write_backs.count_waiting, street.now)) == ([], 0)


@pytest.mark.quirk("O-20")
def test_a_key_that_may_only_look_opens_gates_and_what_it_could_not_write_is_written_later(tmp_path: Path) -> None:
    street = Simulation(tmp_path, ORDERING__SOURCE="demo", ORDERING__GATE="accepted")
    fault(street, "unauthorized", "update")
    for number in range(ORDER, ORDER + 3):
        seed(street, id=number)
        street.place(order_id=str(number), status=0)
        settle(street, 2)
        street.ask("POST", f"/sandbox/orders/ordering/{number}/step", {"state": 7})
        street.until(lambda it, number=number: it.delivery(str(number)).gate is None, limit=12)  # type: ignore[misc]
    assert (written(street), street.container.database.read(accounts.paused)) == ([], {})
    street.until(lambda it: it.status() == "delivered")
    street.sandbox.faults.clear()
    street.until(lambda it: 11 in written(it))
    street.close()


def test_an_account_that_is_shut_out_is_tried_as_soon_as_there_is_a_look_to_make(street: Simulation) -> None:
    seed(street)
    street.container.database.write(accounts.pause, "ordering", "carrier", "the platform answered 401", street.now)
    settle(street)
    street.place()
    settle(street, 1)
    assert (written(street)[0], street.container.database.read(accounts.paused)) == (22, {})


@pytest.mark.quirk("O-13")
def test_a_wish_to_cancel_that_may_cost_stays_so_when_the_platform_says_that_the_order_is_off(
    street: Simulation,
) -> None:
    seed(street)
    street.place(store_id="17")
    street.work()
    wish = {"order_id": str(ORDER), "cancelled_by": "customer", "allow_paid": True}
    street.put_message("order.cancelled", wish)
    show(street, 2)
    street.container.write_back.run(street.delivery().id)
    assert street.delivery().cancel_request == Cancellation.model_validate(wish)
    assert street.delivery().order.status == 2


# --- at once ---


@pytest.mark.fault("F-65")
def test_of_two_workers_with_the_same_order_one_looks_and_writes(street: Simulation) -> None:
    def other_worker(_method: str) -> None:
        street.container.write_back.run(street.delivery().id)

    street.container.gateway = gateway = Meanwhile(street.container.gateway, other_worker)  # type: ignore[assignment]
    seed(street)
    street.place()
    street.container.write_back.run(street.delivery().id)
    street.container.write_back.run(street.delivery().id)
    assert (gateway.calls, written(street)) == (["GET", "PUT", "GET"], [22])


@pytest.mark.fault("F-63")
def test_a_platform_that_hangs_is_not_waited_for_by_the_next_one_and_its_hint_is_not_lost(street: Simulation) -> None:
    seed(street)
    street.place()
    rooms = street.container.bulkhead
    while rooms.enter("ordering", ("hung", []), reading=True) is Admission.ADMITTED:
        pass
    street.container.write_back.run(street.delivery().id)
    assert written(street) == []
    assert rooms.leave("ordering", reading=True) == [("hung", [])]
    assert rooms.leave("ordering", reading=True) == [("platform.write_back", [street.delivery().id])]


def test_what_moves_while_it_is_written_is_written_next(street: Simulation) -> None:
    seed(street)
    street.place()

    def meanwhile(method: str) -> None:
        if method == "PUT":
            street.container.gateway = real
            street.work()

    real = street.container.gateway
    street.container.gateway = Meanwhile(real, meanwhile)  # type: ignore[assignment]
    street.container.write_back.run(street.delivery().id)
    assert (street.status(), written(street)) == ("created", [22])
    settle(street, 2)
    assert written(street) == [22, 25]


def test_a_look_that_moves_the_delivery_writes_what_is_true_then(street: Simulation) -> None:
    seed(street)
    street.place()

    def meanwhile(method: str) -> None:
        if method == "GET":
            street.container.gateway = real
            street.work()

    real = street.container.gateway
    street.container.gateway = Meanwhile(real, meanwhile)  # type: ignore[assignment]
    street.container.write_back.run(street.delivery().id)
    assert written(street) == [25]
