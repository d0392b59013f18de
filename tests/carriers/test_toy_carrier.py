"""A carrier of one's own: one folder and one line in the registry, and the whole house works with it."""

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
from worker.domain.eligibility import supposed
from worker.http.gateway import Gateway
from worker.services import quotes

ROOT = Path(__file__).resolve().parents[2]
HOST = "toy.example"


class ByHost(httpx.AsyncBaseTransport):
    """The toy's server at its address, and the sandbox at every other."""

    def __init__(self, toy: ToyServer, street: Simulation) -> None:
        self._toy = httpx.ASGITransport(toy.app)
        self._others = httpx.ASGITransport(street.sandbox.app)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        chosen = self._toy if request.url.host == HOST else self._others
        return await chosen.handle_async_request(request)


@pytest.fixture
def toy() -> ToyServer:
    return ToyServer()


@pytest.fixture
def street(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toy: ToyServer) -> Iterator[Simulation]:
    monkeypatch.setitem(KINDS, "toy", Toy)
    made = Simulation(tmp_path, CARRIERS__TOY__KEY="toy-key", CARRIERS__TOY__QUOTES_FIRST="true")
    house = made.container
    house.gateway.close()
    house.gateway = Gateway(
        house.api_accounts,
        lambda _account, _rate, _operation, wanted: (wanted, 0.0),
        house.clock,
        transport=ByHost(toy, made),
    )
    yield made
    made.close()


def test_the_page_on_adding_a_carrier_names_the_toys_files_and_its_line_in_the_registry() -> None:
    page = (ROOT / "docs" / "adding-a-carrier.md").read_text()
    named = set(re.findall(r"^\| `(\w+\.py)` \|", page, re.MULTILINE))
    made = {path.name for path in (ROOT / "tests/carriers/toy").glob("*.py")}
    assert made - named == {"server.py"}
    assert named <= made
    assert f"{Toy.__name__}.kind: Toy," in page
    assert {name.upper() for name in ToyAccount.model_fields} >= set(re.findall(r"CARRIERS__TOY__(\w+)=", page))


def test_an_order_lives_its_whole_life_at_a_carrier_of_ones_own(street: Simulation, toy: ToyServer) -> None:
    street.place(carriers=["toy"])
    street.until(lambda it: it.status() == "delivered")
    assert street.told() == ["queued", "created", "courier_assigned", "picked_up", "delivered"]
    assert [(event["data"]["carrier"], event["data"]["carrier_ref"]) for event in street.events()[1:]] == [
        ("toy", next(iter(toy.orders)))
    ] * 4


def test_a_cancel_is_carried_to_it_and_believed_when_a_read_shows_it(street: Simulation, toy: ToyServer) -> None:
    street.place(carriers=["toy"], ready_at="2026-11-21T18:00:00+00:00")
    street.until(lambda it: it.status() == "created")
    street.cancel()
    street.until(lambda it: it.delivery().final)
    assert (street.told()[-1], list(toy.orders.values())) == ("cancelled", [["called_off"]])


# --- the price before a create ---


def test_an_order_that_its_price_says_would_be_refused_is_not_sent_and_the_next_carrier_is_asked(
    street: Simulation, toy: ToyServer
) -> None:
    toy.problem = "address"
    street.place(carriers=["toy", "cervo"])
    street.until(lambda it: it.status() == "delivered")
    ended = street.events()[1]["data"]
    assert (ended["carrier"], ended["reason"], ended["reason_text"]) == ("toy", "unserviceable", "address")
    assert (toy.creates, toy.prices, [carrier for carrier, _ in street.ledger()]) == (0, 1, ["cervo"])


@pytest.mark.fault("F-69")
def test_a_price_that_cannot_be_had_holds_no_create_up_and_is_not_asked_for_again_at_once(
    street: Simulation, toy: ToyServer
) -> None:
    toy.silent = True
    for order_id in ("2011", "2012"):
        street.place(carriers=["toy"], order_id=order_id)
        street.pass_time()
    assert (street.status("2011"), street.status("2012"), toy.creates, toy.prices) == ("created", "created", 2, 1)


def test_a_price_that_was_told_a_moment_ago_is_not_asked_for_again(street: Simulation, toy: ToyServer) -> None:
    toy.busy = True
    street.place(carriers=["toy"])
    street.until(lambda _: toy.creates == 2)
    assert toy.prices == 1


def test_a_price_that_somebody_asked_for_is_the_one_looked_at_before_the_create(
    street: Simulation, toy: ToyServer
) -> None:
    street.place(carriers=["toy"], deliver_at="2026-11-21T19:00:00+00:00")
    waiting = street.delivery()
    assert waiting.store is not None
    question = supposed(waiting.order, waiting.store, street.now)
    told = quotes.ask(street.container, street.container.carrier("toy"), question)
    street.until(lambda it: it.status() == "created")
    assert (told, toy.prices) == (Quote(Price(Decimal("5.00"), "EUR", "included")), 1)
