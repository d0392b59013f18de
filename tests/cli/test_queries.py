"""What an operator asks a carrier without changing anything: a price, labels, where the courier is."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import tasks.deliveries
from tests.cli import test_cli as cli
from tests.cli.test_cli import Ended, Operator, write
from tests.web.edge import sample
from worker import container
from worker.container import Container
from worker.database import deliveries
from worker.local.demo.orders import placed

operator, carriers, house = cli.operator, cli.carriers, cli.house

pytestmark = pytest.mark.usefixtures("carriers")


def order(**changes: Any) -> str:
    """Write the demo's order at the shop in São Paulo."""
    return json.dumps({**json.loads(placed(sample("2011", "21")))["data"], **changes})


@pytest.fixture
def booked(carriers: None, house: Container) -> Iterator[str]:  # noqa: ARG001 - its address is a setting of the house
    """Let Borzo have an order; give Borzo's id of it."""
    container.override(house)
    house.ingest.store_documents([("1-0", placed(sample("2011", "21")).encode())])
    tasks.deliveries.book("borzo", [house.database.read(deliveries.find, "2011")[0].id])
    yield house.database.read(deliveries.find, "2011")[0].attempts[0].ref or ""
    house.gateway.close()


def sandbox(house: Container, method: str, path: str, body: Any = None) -> Any:
    return httpx.request(method, house.settings.accounts["borzo"].base_url + path, json=body).json()


# --- what it would cost ---


def test_a_price_is_told_and_nothing_is_created(operator: Operator, house: Container) -> None:
    file = write("order.json", order())
    assert operator("quote", file) == Ended(0, "borzo 18.00 BRL\n", "")
    (told,) = operator("quote", file, "--json", "--carrier", "borzo").documents
    assert told == {
        "carrier": "borzo",
        "price": {"amount": "18.00", "currency": "BRL", "vat": "unknown"},
        "orderable": True,
        "reason": None,
        "why": [],
    }
    assert sandbox(house, "GET", "/sandbox/ledger") == {"ledger": []}


def test_a_price_says_why_the_order_would_be_refused(operator: Operator) -> None:
    dropoff = json.loads(order())["dropoff"] | {"street": "Av. Paulista, 1439 sandbox:refused=invalid_region"}
    ended = operator("quote", "-", stdin=order(dropoff=dropoff).encode())
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("borzo 18.00 BRL would be refused: ")
    assert "invalid_region" in ended.out


@pytest.mark.parametrize(
    ("text", "arguments", "said"),
    [
        (order(), ("--carrier", "cervo"), "order-sync: cervo gives no prices; there are borzo\n"),
        (
            order(store_id="99"),
            (),
            "order-sync: there is no store 99: `order-sync stores list` shows those there are\n",
        ),
        (
            '{"order_id": "2011"}',
            (),
            "order-sync: order.json names an order by its id alone: a price needs all of it\n",
        ),
        ("{}", (), "order-sync: order.json cannot be read: data: order_id: Field required"),
        ("[]", (), "order-sync: order.json holds no JSON object\n"),
    ],
)
def test_a_price_that_cannot_be_asked_for_is_one_line(
    operator: Operator, text: str, arguments: tuple[str, ...], said: str
) -> None:
    ended = operator("quote", write("order.json", text), *arguments)
    assert (ended.code, ended.out, ended.err.count("\n")) == (1, "", 1)
    assert ended.err.startswith(said)


def test_a_carrier_that_tells_no_price_just_now_is_named(operator: Operator) -> None:
    operator.set(CARRIERS__BORZO__TOKEN="wrong")
    ended = operator("quote", write("order.json", order()))
    assert (ended.code, ended.out, ended.err.count("\n")) == (1, "", 1)
    assert ended.err.startswith("order-sync: borzo: ")


def test_a_paused_account_is_asked_nothing(operator: Operator) -> None:
    operator("carriers", "pause", "borzo", "--reason", "moving")
    assert operator("quote", write("order.json", order())) == Ended(
        1, "", "order-sync: borzo: the account is paused by operator: moving\n"
    )


# --- labels ---


@pytest.mark.parametrize(("media", "begins"), [("pdf", b"%PDF-"), ("zpl", b"^XA")])
@pytest.mark.usefixtures("booked")
def test_each_label_becomes_a_file(operator: Operator, media: str, begins: bytes) -> None:
    ended = operator("labels", "2011", "--out", "labels", "--format", media)
    files = [Path("labels") / f"2011-{number}.{media}" for number in (1, 2)]
    assert ended == Ended(0, "".join(f"{file}\n" for file in files), "")
    assert [file.read_bytes().startswith(begins) for file in files] == [True, True]


@pytest.mark.usefixtures("booked")
def test_several_labels_do_not_go_into_one_file(operator: Operator) -> None:
    ended = operator("labels", "2011", "--out", "labels.pdf")
    assert ended == Ended(2, "", "order-sync: there are 2 labels: name a folder\n")
    assert operator("labels", "2011", "--out", "labels", "--format", "png").code == 2


def test_an_order_that_no_carrier_has_yet_has_neither_labels_nor_a_courier(
    operator: Operator, house: Container
) -> None:
    house.ingest.store_documents([("1-0", placed(sample("2011", "34")).encode())])
    for command in (("labels", "2011", "--out", "labels"), ("courier", "2011")):
        assert operator(*command) == Ended(1, "", "order-sync: no carrier has this delivery: it is queued\n")


def test_a_carrier_without_labels_says_so(operator: Operator, house: Container) -> None:
    house.ingest.store_documents([("1-0", placed(sample("2011", "34")).encode())])
    container.override(house)
    tasks.deliveries.book("cervo", [house.database.read(deliveries.find, "2011")[0].id])
    house.gateway.close()
    assert operator("labels", "2011", "--out", "labels") == Ended(1, "", "order-sync: cervo has no labels\n")
    assert operator("courier", "2011") == Ended(1, "", "order-sync: cervo does not say where its couriers are\n")


@pytest.mark.usefixtures("booked")
@pytest.mark.parametrize("command", [("labels", "2011", "--out", "labels"), ("courier", "2011")])
def test_a_carrier_that_does_not_answer_is_one_line(
    operator: Operator, house: Container, command: tuple[str, ...]
) -> None:
    fault = {"kind": "refused", "api": "borzo", "body": "service_unavailable"}
    sandbox(house, "POST", "/sandbox/faults", fault)
    ended = operator(*command)
    assert (ended.code, ended.out, ended.err.count("\n")) == (1, "", 1)
    assert ended.err.startswith("order-sync: borzo: ")
    assert list(Path().glob("labels/*")) == []


# --- the courier ---


def test_the_courier_is_shown_where_he_is_now(operator: Operator, house: Container, booked: str) -> None:
    assert operator("courier", "2011") == Ended(0, "nobody is on the way\n", "")
    sandbox(house, "POST", f"/sandbox/orders/borzo/{booked}/step", {"state": "active/courier_arrived"})
    ended = operator("courier", "2011")
    assert (ended.code, ended.err) == (0, "")
    name, phone, latitude, longitude = ended.out.replace(",", "").rsplit(maxsplit=3)
    assert (name, phone, -24 < float(latitude) < -23, -47 < float(longitude) < -46) == (
        "Name Surname",
        "+5511900000001",
        True,
        True,
    )
    (told,) = operator("courier", "2011", "--json").documents
    assert (told["name"], told["phone"], told["latitude"]) == (name, phone, float(latitude))
