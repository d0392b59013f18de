"""A carrier that fails, hangs or limits us delays its own orders, and no other carrier's."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import timedelta

import httpx
import pytest

from tests.services.gateways import ScriptedGateway
from tests.services.simulation import Simulation
from worker.errors import Unavailable, Uncertain
from worker.http.call import Call, CallClass, Operation, Outcome, Reply
from worker.http.gateway import Gateway
from worker.resilience.bulkhead import Admission
from worker.resilience.circuit_breaker import BreakerState

SAFETY_SECONDS = 20


# --- too many requests ---


@pytest.mark.fault("F-34")
@pytest.mark.quirk("C-04")
@pytest.mark.parametrize(
    "said",
    [None, "1", "-5", "999999999999", "Fri, 31 Dec 9999 23:59:59 GMT", "Sat, 21 Nov 2020 17:00:00 GMT", "soon"],
)
def test_too_many_requests_stop_the_calls_for_a_bounded_time_and_count_as_no_failure(
    said: str | None, simulation: Simulation, gateway: ScriptedGateway
) -> None:
    headers = {} if said is None else {"retry-after": said}
    gateway.outcome = lambda account, _call: Reply(429, b"", headers) if account == "cervo" else None
    simulation.place_at("cervo", "1", "2")
    assert gateway.take_sent() == {("cervo", "create"): 1}
    breaker = simulation.container.breaker.check("cervo", CallClass.CREATE, 50)
    assert (breaker.state, 59 < breaker.wait <= 3600) == (BreakerState.THROTTLED, True)
    simulation.place_at("cervo", "3")
    simulation.place_at("borzo", "4")
    assert gateway.take_sent() == {("borzo", "create"): 1}
    assert simulation.statuses("1", "2", "3", "4") == ["queued", "queued", "queued", "created"]
    waiting = [simulation.delivery(order_id) for order_id in ("1", "2", "3")]
    assert [each.failures for each in waiting] == [0, 0, 0]
    gateway.outcome = lambda _account, _call: None
    simulation.until(lambda it: set(it.statuses("1", "2", "3")) == {"created"}, step=300)
    assert [len(simulation.delivery(order_id).attempts) for order_id in ("1", "2", "3")] == [1, 1, 1]


# --- breakers ---


def broken(account: str) -> Callable[[str, Call], Outcome | None]:
    """Let every call to an account fail on its way, harmlessly where it only reads."""

    def instead(called: str, call: Call) -> Outcome | None:
        if called != account:
            return None
        harmless = call.operation in {Operation.READ, Operation.FIND, Operation.PROBE}
        return Unavailable("no answer") if harmless else Uncertain("no answer")

    return instead


@pytest.mark.fault("F-38")
@pytest.mark.quirk("X-12")
def test_an_open_breaker_is_probed_with_a_read_and_never_with_a_create(
    simulation: Simulation, gateway: ScriptedGateway
) -> None:
    gateway.outcome = broken("borzo")
    simulation.place_at("borzo", *"12345")
    assert simulation.statuses(*"12345") == ["submit_unknown"] * 5
    gateway.take_sent()
    simulation.place_at("borzo", "6")
    assert (gateway.take_sent(), simulation.delivery("6").attempts) == ({}, ())
    simulation.until(lambda _: ("borzo", "probe") in gateway.sent, step=5)
    assert ("borzo", "create") not in gateway.sent
    gateway.outcome = lambda _account, _call: None
    simulation.until(lambda it: it.status("6") == "created", step=5)
    assert [attempt.number for attempt in simulation.delivery("6").attempts] == [1]


def test_a_breaker_closes_when_its_probe_gets_any_reply(simulation: Simulation, gateway: ScriptedGateway) -> None:
    gateway.outcome = broken("borzo")
    simulation.place_at("borzo", *"12345")
    simulation.place_at("borzo", "6")
    gateway.outcome = lambda _account, call: Reply(404, b"gone") if call.operation is Operation.PROBE else None
    simulation.until(lambda it: it.status("6") != "queued", step=5)
    assert simulation.status("6") == "created"


def test_a_long_silence_behind_an_open_breaker_is_published(simulation: Simulation, gateway: ScriptedGateway) -> None:
    simulation.place_at("cervo", "1")
    gateway.outcome = broken("cervo")
    simulation.container.breaker.record("cervo", CallClass.READ, good=0, bad=5)
    gateway.take_sent()
    simulation.until(lambda it: "delivery.tracking_lost" in it.published("1"), step=30)
    assert set(gateway.take_sent()) == {("cervo", "probe")}


@pytest.mark.quirk("C-22")
def test_refusals_open_no_breaker(simulation: Simulation, gateway: ScriptedGateway) -> None:
    gateway.outcome = lambda _account, _call: Reply(500, b'{ "Customer is required" }')
    simulation.place_at("cervo", *"1234567")
    assert set(simulation.statuses(*"1234567")) == {"rejected"}
    assert simulation.container.breaker.check("cervo", CallClass.CREATE, 50).state is BreakerState.CLOSED


def reads_are_stopped(simulation: Simulation) -> bool:
    found = simulation.container.breaker.statuses("cervo")
    return found is not None and found[CallClass.READ].state is BreakerState.OPEN


@pytest.mark.fault("F-38")
def test_a_carrier_that_fails_half_of_its_reads_is_read_no_more_often_than_it_is_probed(
    simulation: Simulation, gateway: ScriptedGateway
) -> None:
    orders = [str(number) for number in range(12)]
    simulation.place_at("cervo", *orders)
    simulation.inject_fault("error_before", "cervo", times=None, chance=0.5)
    simulation.until(reads_are_stopped, step=1)
    gateway.take_sent()
    simulation.place_at("borzo", "other")
    for _ in range(2):
        simulation.pass_time(5)
    assert (gateway.take_sent(), simulation.status("other")) == ({("borzo", "create"): 1}, "created")
    simulation.sandbox.faults.clear()
    simulation.until(lambda it: set(it.statuses(*orders)) == {"delivered"}, step=120)


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
def test_a_create_that_was_never_sent_is_retried_and_has_no_unknown_outcome(
    error: Exception, simulation: Simulation
) -> None:
    def fail(_request: httpx.Request) -> httpx.Response:
        raise error

    real, container = simulation.container.gateway, simulation.container
    container.gateway = Gateway(
        container.api_accounts, lambda *_: (25, 0.0), container.clock, transport=httpx.MockTransport(fail)
    )
    simulation.place_at("cervo", "1")
    simulation.until(lambda it: it.delivery("1").failures >= 4)
    container.gateway.close()
    container.gateway = real
    simulation.until(lambda it: it.status("1") == "created")
    assert simulation.published("1") == ["queued", "created"]
    assert len(simulation.delivery("1").attempts) == 1


# --- bulkhead ---


def test_a_task_that_the_bulkhead_rejects_releases_its_deliveries(
    simulation: Simulation, gateway: ScriptedGateway
) -> None:
    bulkhead = simulation.container.bulkhead
    while bulkhead.enter("cervo", ("maintenance.purge", []), reading=False) is not Admission.REJECTED:
        pass
    simulation.place_at("cervo", "1")
    simulation.place_at("borzo", "2")
    assert (simulation.statuses("1", "2"), simulation.delivery("1").attempts) == (["queued", "created"], ())
    bulkhead.leave("cervo", reading=False)
    simulation.pass_time(2)
    assert (simulation.status("1"), gateway.take_sent()) == (
        "created",
        {("borzo", "create"): 1, ("cervo", "create"): 1},
    )


@pytest.mark.fault("F-39")
def test_a_carrier_that_hangs_occupies_only_its_own_threads(simulation: Simulation, gateway: ScriptedGateway) -> None:
    inside, go_on = threading.Semaphore(0), threading.Event()

    def hang(account: str, _call: Call) -> None:
        if account == "cervo":
            inside.release()
            assert go_on.wait(SAFETY_SECONDS)

    gateway.outcome = hang
    simulation.lose_wake_ups = True
    for number in range(16):
        simulation.place_at("cervo", str(number))
    simulation.place_at("borzo", "other")
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
    assert gateway.take_sent() == {("cervo", "create"): 4, ("borzo", "create"): 1}
    simulation.until(lambda it: set(it.statuses(*map(str, range(16)))) == {"created"}, step=2)


@pytest.mark.fault("F-92")
def test_orders_that_wait_for_a_slow_carrier_are_sent_to_it_together(
    simulation: Simulation, gateway: ScriptedGateway
) -> None:
    bulkhead = simulation.container.bulkhead
    slots = 0
    while bulkhead.enter("cervo", ("slow", []), reading=False) is Admission.ADMITTED:
        slots += 1
    orders = [str(number) for number in range(30)]
    simulation.place_at("cervo", *orders)
    assert (slots, bulkhead.leave("cervo", reading=False), gateway.take_sent()) == (4, [("slow", [])], {})
    ids = [simulation.delivery(order_id).id for order_id in orders]
    assert [bulkhead.leave("cervo", reading=False) for _ in range(3)] == [
        [("deliveries.book", ["cervo", ids[:25]])],
        [("deliveries.book", ["cervo", ids[25:]])],
        [],
    ]


@pytest.mark.fault("F-92")
def test_an_order_that_gets_no_slot_at_its_carrier_in_time_goes_to_the_next_one(
    simulation: Simulation, gateway: ScriptedGateway
) -> None:
    bulkhead = simulation.container.bulkhead
    while bulkhead.enter("deliverit", ("slow", []), reading=False) is Admission.ADMITTED:
        pass
    simulation.place(store_id="17")
    placed_at = simulation.now
    simulation.until(lambda it: it.status() == "created", step=5)
    assert (gateway.take_sent()["borzo", "create"], simulation.delivery().carrier) == (1, "borzo")
    assert timedelta(minutes=2) <= simulation.now - placed_at <= timedelta(minutes=2, seconds=40)
    assert simulation.published() == ["queued", "delivery.updated", "created"]
