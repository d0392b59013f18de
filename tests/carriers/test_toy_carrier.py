"""A new carrier: one folder and one line in the registry, and everything else works with it."""

import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from tests.carriers.toy import Toy, ToyAccount
from tests.carriers.toy.server import ToyServer
from tests.services.simulation import Simulation
from worker.carriers import KINDS
from worker.carriers.abilities import Quote
from worker.carriers.port import Price
from worker.domain.eligibility import trial_booking
from worker.http.gateway import Gateway

ROOT = Path(__file__).resolve().parents[2]
HOST = "toy.example"


class ByHost(httpx.AsyncBaseTransport):
    """The toy's server at its host, and the sandbox at every other."""

    def __init__(self, toy: ToyServer, simulation: Simulation) -> None:
        self._toy = httpx.ASGITransport(toy.app)
        self._others = httpx.ASGITransport(simulation.sandbox.app)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        chosen = self._toy if request.url.host == HOST else self._others
        return await chosen.handle_async_request(request)


@pytest.fixture
def toy() -> ToyServer:
    return ToyServer()


@pytest.fixture
def simulation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toy: ToyServer) -> Iterator[Simulation]:
    monkeypatch.setitem(KINDS, "toy", Toy)
    built = Simulation(tmp_path, CARRIERS__TOY__KEY="toy-key", CARRIERS__TOY__QUOTES_FIRST="true")
    container = built.container
    container.gateway.close()
    container.gateway = Gateway(
        container.api_accounts,
        lambda _account, _rate, _operation, wanted: (wanted, 0.0),
        container.clock,
        transport=ByHost(toy, built),
    )
    yield built
    built.close()


def test_the_page_on_adding_a_carrier_lists_the_toys_files_and_its_line_in_the_registry() -> None:
    page = (ROOT / "docs" / "adding-a-carrier.md").read_text()
    listed = set(re.findall(r"^\| `(\w+\.py)` \|", page, re.MULTILINE))
    existing = {path.name for path in (ROOT / "tests/carriers/toy").glob("*.py")}
    assert existing - listed == {"server.py"}
    assert listed <= existing
    assert f"{Toy.__name__}.kind: Toy," in page
    assert {name.upper() for name in ToyAccount.model_fields} >= set(re.findall(r"CARRIERS__TOY__(\w+)=", page))


def test_an_order_is_delivered_by_a_new_carrier(simulation: Simulation, toy: ToyServer) -> None:
    simulation.place(carriers=["toy"])
    simulation.until(lambda it: it.status() == "delivered")
    assert simulation.published() == ["queued", "created", "courier_assigned", "picked_up", "delivered"]
    assert [(event["data"]["carrier"], event["data"]["carrier_ref"]) for event in simulation.events()[1:]] == [
        ("toy", next(iter(toy.orders)))
    ] * 4


def test_a_cancel_is_sent_to_a_new_carrier_and_confirmed_by_a_read(simulation: Simulation, toy: ToyServer) -> None:
    simulation.place(carriers=["toy"], ready_at="2026-11-21T18:00:00+00:00")
    simulation.until(lambda it: it.status() == "created")
    simulation.cancel()
    simulation.until(lambda it: it.delivery().final)
    assert (simulation.published()[-1], list(toy.orders.values())) == ("cancelled", [["called_off"]])


# --- the quote before a create ---


def test_an_order_that_is_not_orderable_by_its_quote_goes_to_the_next_carrier(
    simulation: Simulation, toy: ToyServer
) -> None:
    toy.problem = "address"
    simulation.place(carriers=["toy", "cervo"])
    simulation.until(lambda it: it.status() == "delivered")
    ended = simulation.events()[1]["data"]
    assert (ended["carrier"], ended["reason"], ended["reason_text"]) == ("toy", "unserviceable", "address")
    assert (toy.creates, toy.prices, [carrier for carrier, _ in simulation.ledger()]) == (0, 1, ["cervo"])


@pytest.mark.fault("F-69")
def test_an_unavailable_price_delays_no_create_and_is_not_requested_again_at_once(
    simulation: Simulation, toy: ToyServer
) -> None:
    toy.silent = True
    for order_id in ("2011", "2012"):
        simulation.place(carriers=["toy"], order_id=order_id)
        simulation.pass_time()
    assert (simulation.status("2011"), simulation.status("2012"), toy.creates, toy.prices) == (
        "created",
        "created",
        2,
        1,
    )


def test_a_recent_price_is_not_requested_again(simulation: Simulation, toy: ToyServer) -> None:
    toy.busy = True
    simulation.place(carriers=["toy"])
    simulation.until(lambda _: toy.creates == 2)
    assert toy.prices == 1


def test_the_price_of_an_operators_quote_is_used_before_the_create(simulation: Simulation, toy: ToyServer) -> None:
    simulation.place(carriers=["toy"], deliver_at="2026-11-21T19:00:00+00:00")
    waiting = simulation.delivery()
    assert waiting.store is not None
    booking = trial_booking(waiting.order, waiting.store, simulation.now)
    quote = simulation.container.quotes.quote(simulation.container.accounts.logged_in("toy"), booking)
    simulation.until(lambda it: it.status() == "created", step=60)
    assert (quote, toy.prices) == (Quote(Price(Decimal("5.00"), "EUR", "included")), 1)
