"""A carrier that fails, hangs or shuts us out costs its own orders their time, and nobody else's."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import timedelta
from typing import Any

import httpx
import pytest

from tests.services.simulation import Simulation
from worker.database import accounts
from worker.errors import CarrierError, Unavailable, Uncertain
from worker.http.call import Call, CallClass, Operation, Outcome, Reply
from worker.http.gateway import Gateway
from worker.resilience.bulkhead import Admission
from worker.resilience.circuit_breaker import BreakerState

STORES = {"cervo": "34", "borzo": "21"}
SAFETY_SECONDS = 20


class Wire:
    """The gateway with an ear on it: what was sent to whom, and what comes back instead of the true answer."""

    def __init__(self, simulation: Simulation) -> None:
        self._real = simulation.container.gateway
        self.sent: list[tuple[str, str]] = []
        self.instead: Callable[[str, Call], Outcome | None] = lambda _account, _call: None
        simulation.container.gateway = self  # type: ignore[assignment]

    def send(self, account: str, calls: Mapping[Any, Call], **how: Any) -> Iterator[dict[Any, Outcome]]:
        self.sent += [(account, call.operation.value) for call in calls.values()]
        for key, call in calls.items():
            outcome = self.instead(account, call)
            if outcome is not None:
                yield {key: outcome}
            else:
                yield from self._real.send(account, {key: call}, **how)

    def send_one(self, account: str, call: Call) -> Reply:
        outcome = next(self.send(account, {None: call}, max_body=1_000_000))[None]
        if isinstance(outcome, CarrierError):
            raise outcome
        return outcome

    def close(self) -> None:
        self._real.close()

    def heard(self) -> dict[tuple[str, str], int]:
        """Tell what was sent since the last time."""
        heard, self.sent = Counter(self.sent), []
        return dict(heard)


@pytest.fixture
def wire(simulation: Simulation) -> Wire:
    return Wire(simulation)


def fault(simulation: Simulation, kind: str, api: str, **more: Any) -> None:
    simulation.ask("POST", "/sandbox/faults", {"kind": kind, "api": api, "times": None, **more})


def mend(simulation: Simulation) -> None:
    simulation.sandbox.faults.clear()


def place(simulation: Simulation, carrier: str, *order_ids: str) -> None:
    for order_id in order_ids:
        simulation.place(store_id=STORES[carrier], order_id=order_id)
    simulation.work()


def statuses(simulation: Simulation, *order_ids: str) -> list[str]:
    return [simulation.status(order_id) for order_id in order_ids]


# --- accounts that are shut out ---


@pytest.mark.fault("F-35")
@pytest.mark.quirk("C-02")
@pytest.mark.parametrize("carrier", STORES)
def test_a_token_that_is_no_longer_accepted_pauses_the_account_until_a_probe_is_let_in(
    carrier: str, simulation: Simulation, wire: Wire
) -> None:
    fault(simulation, "unauthorized", carrier)
    place(simulation, carrier, "1", "2", "3")
    wire.heard()
    simulation.until(
        lambda it: it.now >= it.container.database.read(accounts.paused)[carrier].since + timedelta(minutes=12)
    )
    assert wire.heard() == {(carrier, "probe"): 2}
    assert statuses(simulation, "1", "2", "3") == ["queued"] * 3
    mend(simulation)
    simulation.until(lambda it: it.container.database.read(accounts.paused) == {}, step=10)
    simulation.pass_time(3)
    assert statuses(simulation, "1", "2", "3") == ["created"] * 3
    assert wire.heard() == {(carrier, "probe"): 1, (carrier, "create"): 3}
    assert [len(simulation.delivery(order_id).attempts) for order_id in ("1", "2", "3")] == [1, 1, 1]
    assert [(each["type"], each["sequence"], each["data"]["by"]) for each in simulation.events(carrier)] == [
        ("carrier.paused", "1", "carrier"),
        ("carrier.resumed", "2", "probe"),
    ]


@pytest.mark.fault("F-35")
def test_an_account_that_is_shut_out_leaves_the_others_alone(simulation: Simulation) -> None:
    fault(simulation, "unauthorized", "borzo")
    place(simulation, "borzo", "1")
    place(simulation, "cervo", "2")
    assert statuses(simulation, "1", "2") == ["queued", "created"]


def test_an_order_that_waits_for_a_paused_account_asks_for_a_person_in_time(simulation: Simulation) -> None:
    fault(simulation, "unauthorized", "borzo")
    place(simulation, "borzo", "1")
    simulation.until(lambda it: it.delivery("1").attention is not None)
    assert simulation.delivery("1").attempts[0].number == 1
    assert simulation.delivery("1").failures == 0


def test_what_an_operator_pauses_no_probe_resumes(simulation: Simulation, wire: Wire) -> None:
    simulation.container.database.write(accounts.pause, "borzo", "operator", "the shop is closed", simulation.now)
    place(simulation, "borzo", "1")
    simulation.until(lambda it: it.now >= it.delivery("1").created_at + timedelta(minutes=20), step=60)
    assert (simulation.status("1"), wire.heard()) == ("queued", {})
    assert simulation.container.database.write(accounts.resume, "borzo", "operator", simulation.now)
    simulation.pass_time()
    assert (simulation.status("1"), wire.heard()) == ("created", {("borzo", "create"): 1})


def test_a_login_that_is_refused_pauses_the_account(simulation: Simulation) -> None:
    fault(simulation, "unauthorized", "deliverit")
    simulation.place(store_id="17")
    simulation.work()
    assert (simulation.status(), list(simulation.container.database.read(accounts.paused))) == ("queued", ["deliverit"])
    assert simulation.delivery().attempts == ()


# --- accounts that left the settings ---


def without(simulation: Simulation, *accounts: str) -> None:
    """Start again with settings that no longer name these accounts."""
    simulation.container.terms = {
        name: terms for name, terms in simulation.container.terms.items() if name not in accounts
    }


def test_an_order_for_later_whose_account_has_left_the_settings_goes_to_the_next_carrier(
    simulation: Simulation,
) -> None:
    simulation.place(store_id="17", deliver_at="2026-11-21T20:00:00+00:00")
    assert simulation.delivery().carrier == "deliverit"
    without(simulation, "deliverit")
    simulation.until(lambda it: bool(it.ledger()), step=300)
    assert [made for made, _ in simulation.ledger()] == ["borzo"]
    assert simulation.now - simulation.delivery().created_at < timedelta(hours=3)


def test_an_order_for_later_whose_only_account_has_left_the_settings_asks_for_a_person(simulation: Simulation) -> None:
    simulation.place(store_id="21", deliver_at="2026-11-21T20:00:00+00:00")
    without(simulation, "borzo")
    simulation.until(lambda it: it.delivery().attention == "no_configured_carrier", step=300)
    simulation.until(lambda it: it.status() == "rejected", step=300)


def test_an_order_that_stands_where_we_have_no_account_any_more_is_told_as_lost_from_sight(
    simulation: Simulation,
) -> None:
    simulation.place(store_id="17")
    simulation.until(lambda it: it.status() == "created")
    without(simulation, "deliverit")
    simulation.until(lambda it: it.delivery().attention is not None, step=3600)
    assert simulation.published()[2:] == ["delivery.tracking_lost", "delivery.attention_required"]
    assert simulation.delivery().attention == "still_open_after_a_day"


# --- too many requests ---


@pytest.mark.fault("F-34")
@pytest.mark.quirk("C-04")
@pytest.mark.parametrize(
    "said",
    [None, "1", "-5", "999999999999", "Fri, 31 Dec 9999 23:59:59 GMT", "Sat, 21 Nov 2020 17:00:00 GMT", "soon"],
)
def test_too_many_requests_are_left_off_for_a_bounded_time_and_count_as_no_try(
    said: str | None, simulation: Simulation, wire: Wire
) -> None:
    headers = {} if said is None else {"retry-after": said}
    wire.instead = lambda account, _call: Reply(429, b"", headers) if account == "cervo" else None
    place(simulation, "cervo", "1", "2")
    assert wire.heard() == {("cervo", "create"): 1}
    word = simulation.container.breaker.check("cervo", CallClass.CREATE, 50)
    assert (word.state, 59 < word.wait <= 3600) == (BreakerState.THROTTLED, True)
    place(simulation, "cervo", "3")
    place(simulation, "borzo", "4")
    assert wire.heard() == {("borzo", "create"): 1}
    assert statuses(simulation, "1", "2", "3", "4") == ["queued", "queued", "queued", "created"]
    waiting = [simulation.delivery(order_id) for order_id in ("1", "2", "3")]
    assert [each.failures for each in waiting] == [0, 0, 0]
    wire.instead = lambda _account, _call: None
    simulation.until(lambda it: set(statuses(it, "1", "2", "3")) == {"created"}, step=300)
    assert [len(simulation.delivery(order_id).attempts) for order_id in ("1", "2", "3")] == [1, 1, 1]


# --- breakers ---


def broken(account: str) -> Callable[[str, Call], Outcome | None]:
    """Let every call to an account fail on its way."""

    def instead(called: str, call: Call) -> Outcome | None:
        if called != account:
            return None
        harmless = call.operation in {Operation.READ, Operation.FIND, Operation.PROBE}
        return Unavailable("no answer") if harmless else Uncertain("no answer")

    return instead


@pytest.mark.fault("F-38")
@pytest.mark.quirk("X-12")
def test_an_open_breaker_is_probed_with_a_read_and_never_with_an_order(simulation: Simulation, wire: Wire) -> None:
    wire.instead = broken("borzo")
    place(simulation, "borzo", *"12345")
    assert statuses(simulation, *"12345") == ["submit_unknown"] * 5
    wire.heard()
    place(simulation, "borzo", "6")
    assert (wire.heard(), simulation.delivery("6").attempts) == ({}, ())
    simulation.until(lambda _: ("borzo", "probe") in wire.sent, step=5)
    assert ("borzo", "create") not in wire.sent
    wire.instead = lambda _account, _call: None
    simulation.until(lambda it: it.status("6") == "created", step=5)
    assert [attempt.number for attempt in simulation.delivery("6").attempts] == [1]


def test_a_breaker_closes_when_its_probe_is_answered_with_something_odd(simulation: Simulation, wire: Wire) -> None:
    wire.instead = broken("borzo")
    place(simulation, "borzo", *"12345")
    place(simulation, "borzo", "6")
    wire.instead = lambda _account, call: Reply(404, b"gone") if call.operation is Operation.PROBE else None
    simulation.until(lambda it: it.status("6") == "created", step=5)


def test_a_long_silence_behind_an_open_breaker_is_told(simulation: Simulation, wire: Wire) -> None:
    place(simulation, "cervo", "1")
    wire.instead = broken("cervo")
    simulation.container.breaker.record("cervo", CallClass.READ, good=0, bad=5)
    wire.heard()
    simulation.until(lambda it: "delivery.tracking_lost" in it.published("1"), step=30)
    assert set(wire.heard()) == {("cervo", "probe")}


@pytest.mark.quirk("C-22")
def test_refusals_open_no_breaker(simulation: Simulation, wire: Wire) -> None:
    wire.instead = lambda _account, _call: Reply(500, b'{ "Customer is required" }')
    place(simulation, "cervo", *"1234567")
    assert set(statuses(simulation, *"1234567")) == {"rejected"}
    assert simulation.container.breaker.check("cervo", CallClass.CREATE, 50).state is BreakerState.CLOSED


def reads_are_stopped(simulation: Simulation) -> bool:
    found = simulation.container.breaker.statuses("cervo")
    return found is not None and found[CallClass.READ].state is BreakerState.OPEN


@pytest.mark.fault("F-38")
def test_a_carrier_that_answers_every_other_read_is_read_no_more_often_than_it_is_probed(
    simulation: Simulation, wire: Wire
) -> None:
    orders = [str(number) for number in range(12)]
    place(simulation, "cervo", *orders)
    fault(simulation, "error_before", "cervo", chance=0.5)
    simulation.until(reads_are_stopped, step=1)
    wire.heard()
    place(simulation, "borzo", "other")
    for _ in range(2):
        simulation.pass_time(5)
    assert (wire.heard(), simulation.status("other")) == ({("borzo", "create"): 1}, "created")
    mend(simulation)
    simulation.until(lambda it: set(statuses(it, *orders)) == {"delivered"}, step=120)


@pytest.mark.fault("F-26")
@pytest.mark.parametrize(
    "error",
    [
        httpx.ConnectError("refused"),
        httpx.ConnectError("name or service not known"),
        httpx.ConnectError("[SSL: WRONG_VERSION_NUMBER]"),
        httpx.ConnectTimeout("no connection in time"),
    ],
    ids=["refused", "unknown host", "no TLS", "time-out"],
)
def test_what_never_left_is_tried_again_without_a_doubt(error: Exception, simulation: Simulation) -> None:
    def fail(_request: httpx.Request) -> httpx.Response:
        raise error

    real, house = simulation.container.gateway, simulation.container
    house.gateway = Gateway(house.api_accounts, lambda *_: (25, 0.0), house.clock, transport=httpx.MockTransport(fail))
    place(simulation, "cervo", "1")
    simulation.until(lambda it: it.delivery("1").failures >= 4)
    house.gateway.close()
    house.gateway = real
    simulation.until(lambda it: it.status("1") == "created")
    assert simulation.published("1") == ["queued", "created"]
    assert len(simulation.delivery("1").attempts) == 1


# --- rooms ---


def test_a_task_that_finds_no_room_gives_its_deliveries_back(simulation: Simulation, wire: Wire) -> None:
    rooms = simulation.container.bulkhead
    while rooms.enter("cervo", ("maintenance.purge", []), reading=False) is not Admission.REJECTED:
        pass
    place(simulation, "cervo", "1")
    place(simulation, "borzo", "2")
    assert (statuses(simulation, "1", "2"), simulation.delivery("1").attempts) == (["queued", "created"], ())
    rooms.leave("cervo", reading=False)
    simulation.pass_time(2)
    assert (simulation.status("1"), wire.heard()) == ("created", {("borzo", "create"): 1, ("cervo", "create"): 1})


@pytest.mark.fault("F-39")
def test_a_carrier_that_hangs_all_calls_holds_only_its_own_threads(simulation: Simulation, wire: Wire) -> None:
    inside, go_on = threading.Semaphore(0), threading.Event()

    def hang(account: str, _call: Call) -> None:
        if account == "cervo":
            inside.release()
            assert go_on.wait(SAFETY_SECONDS)

    wire.instead = hang
    simulation.lose_wake_ups = True
    for number in range(16):
        place(simulation, "cervo", str(number))
    place(simulation, "borzo", "other")
    simulation.lose_wake_ups = False
    ids, book = [simulation.delivery(str(number)).id for number in range(16)], simulation.container.carrier_actions.book
    with ThreadPoolExecutor(16) as threads:
        tasks = [threads.submit(simulation.container.carrier_calls.execute, "cervo", [each], book) for each in ids]
        ending = as_completed(tasks, SAFETY_SECONDS)
        try:
            hanging = [inside.acquire(timeout=SAFETY_SECONDS) for _ in range(4)]
            for _ in range(12):
                next(ending)
            other = threads.submit(
                simulation.container.carrier_calls.execute, "borzo", [simulation.delivery("other").id], book
            )
            other.result(SAFETY_SECONDS)
            assert (hanging, simulation.status("other")) == ([True] * 4, "created")
        finally:
            go_on.set()
    assert wire.heard() == {("cervo", "create"): 4, ("borzo", "create"): 1}
    simulation.until(lambda it: set(statuses(it, *map(str, range(16)))) == {"created"}, step=2)
