"""`order-sync quote`, `labels` and `courier`: queries that change nothing at a carrier."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import tasks.deliveries
from tests.cli.commands import CommandLine, Result, find, write_file
from tests.web.edge import sample
from worker.container import Container, override
from worker.local.demo.orders import placed

pytestmark = pytest.mark.usefixtures("carriers")


def order(**changes: Any) -> str:
    """Return the demo's order at the shop in São Paulo as JSON."""
    return json.dumps({**json.loads(placed(sample("2011", "21")))["data"], **changes})


@pytest.fixture
def booked(carriers: None, container: Container) -> Iterator[str]:  # noqa: ARG001 - it sets the address
    """Create an order at Borzo, and give Borzo's id of it."""
    override(container)
    container.ingest.store_documents([("1-0", placed(sample("2011", "21")).encode())])
    tasks.deliveries.book("borzo", [find(container).id])
    yield find(container).attempts[0].ref or ""
    container.gateway.close()


def call_sandbox(container: Container, method: str, path: str, body: Any = None) -> Any:
    return httpx.request(method, container.settings.accounts["borzo"].base_url + path, json=body).json()


# --- quote ---


def test_a_quote_shows_the_price_and_creates_nothing(command_line: CommandLine, container: Container) -> None:
    file = write_file("order.json", order())
    assert command_line("quote", file) == Result(0, "borzo 18.00 BRL\n", "")
    (quote,) = command_line("quote", file, "--json", "--carrier", "borzo").documents
    assert quote == {
        "carrier": "borzo",
        "price": {"amount": "18.00", "currency": "BRL", "vat": "unknown"},
        "orderable": True,
        "reason": None,
        "why": [],
    }
    assert call_sandbox(container, "GET", "/sandbox/ledger") == {"ledger": []}


def test_a_quote_shows_why_the_order_would_be_refused(command_line: CommandLine) -> None:
    dropoff = json.loads(order())["dropoff"] | {"street": "Av. Paulista, 1439 sandbox:refused=invalid_region"}
    result = command_line("quote", "-", stdin=order(dropoff=dropoff).encode())
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("borzo 18.00 BRL would be refused: ")
    assert "invalid_region" in result.out


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        (order(), ("--carrier", "cervo"), "order-sync: cervo gives no prices; accounts that do: borzo\n"),
        (
            order(store_id="99"),
            (),
            "order-sync: there is no store 99: `order-sync stores list` lists the stores\n",
        ),
        (
            '{"order_id": "2011"}',
            (),
            "order-sync: order.json holds only an order id: a price needs the whole order\n",
        ),
        ("{}", (), "order-sync: order.json is no order: data: order_id: Field required"),
        ("[]", (), "order-sync: order.json is not a JSON object\n"),
    ],
)
def test_a_quote_that_cannot_be_requested_fails_with_one_line(
    command_line: CommandLine, text: str, arguments: tuple[str, ...], message: str
) -> None:
    result = command_line("quote", write_file("order.json", text), *arguments)
    assert (result.code, result.out, result.err.count("\n")) == (1, "", 1)
    assert result.err.startswith(message)


def test_a_carrier_that_fails_to_give_a_price_is_named(command_line: CommandLine) -> None:
    command_line.set(CARRIERS__BORZO__TOKEN="wrong")
    result = command_line("quote", write_file("order.json", order()))
    assert (result.code, result.out, result.err.count("\n")) == (1, "", 1)
    assert result.err.startswith("order-sync: borzo: ")


def test_a_paused_account_is_not_called(command_line: CommandLine) -> None:
    command_line("carriers", "pause", "borzo", "--reason", "moving")
    assert command_line("quote", write_file("order.json", order())) == Result(
        1, "", "order-sync: borzo: the account is paused by operator: moving\n"
    )


# --- labels ---


@pytest.mark.parametrize(("media", "first_bytes"), [("pdf", b"%PDF-"), ("zpl", b"^XA")])
@pytest.mark.usefixtures("booked")
def test_each_label_is_written_to_its_own_file(command_line: CommandLine, media: str, first_bytes: bytes) -> None:
    result = command_line("labels", "2011", "--out", "labels", "--format", media)
    files = [Path("labels") / f"2011-{number}.{media}" for number in (1, 2)]
    assert result == Result(0, "".join(f"{file}\n" for file in files), "")
    assert [file.read_bytes().startswith(first_bytes) for file in files] == [True, True]


@pytest.mark.usefixtures("booked")
def test_several_labels_need_a_folder_and_a_known_format(command_line: CommandLine) -> None:
    result = command_line("labels", "2011", "--out", "labels.pdf")
    assert result == Result(2, "", "order-sync: there are 2 labels: give a folder\n")
    assert command_line("labels", "2011", "--out", "labels", "--format", "png").code == 2


def test_an_order_at_no_carrier_has_neither_labels_nor_a_courier(
    command_line: CommandLine, container: Container
) -> None:
    container.ingest.store_documents([("1-0", placed(sample("2011", "34")).encode())])
    for command in (("labels", "2011", "--out", "labels"), ("courier", "2011")):
        assert command_line(*command) == Result(1, "", "order-sync: no carrier has this delivery: it is queued\n")


def test_a_carrier_without_labels_or_courier_positions_is_named(
    command_line: CommandLine, container: Container
) -> None:
    container.ingest.store_documents([("1-0", placed(sample("2011", "34")).encode())])
    override(container)
    tasks.deliveries.book("cervo", [find(container).id])
    container.gateway.close()
    assert command_line("labels", "2011", "--out", "labels") == Result(1, "", "order-sync: cervo has no labels\n")
    assert command_line("courier", "2011") == Result(1, "", "order-sync: cervo does not say where its couriers are\n")


@pytest.mark.usefixtures("booked")
@pytest.mark.parametrize("command", [("labels", "2011", "--out", "labels"), ("courier", "2011")])
def test_a_carrier_that_does_not_answer_is_reported_in_one_line(
    command_line: CommandLine, container: Container, command: tuple[str, ...]
) -> None:
    fault = {"kind": "refused", "api": "borzo", "body": "service_unavailable"}
    call_sandbox(container, "POST", "/sandbox/faults", fault)
    result = command_line(*command)
    assert (result.code, result.out, result.err.count("\n")) == (1, "", 1)
    assert result.err.startswith("order-sync: borzo: ")
    assert list(Path().glob("labels/*")) == []


# --- courier ---


def test_the_courier_is_shown_with_their_current_position(
    command_line: CommandLine, container: Container, booked: str
) -> None:
    assert command_line("courier", "2011") == Result(0, "no courier is on the way\n", "")
    call_sandbox(container, "POST", f"/sandbox/orders/borzo/{booked}/step", {"state": "active/courier_arrived"})
    result = command_line("courier", "2011")
    assert (result.code, result.err) == (0, "")
    name, phone, latitude, longitude = result.out.replace(",", "").rsplit(maxsplit=3)
    assert (name, phone, -24 < float(latitude) < -23, -47 < float(longitude) < -46) == (
        "Name Surname",
        "+5511900000001",
        True,
        True,
    )
    (shown,) = command_line("courier", "2011", "--json").documents
    assert (shown["name"], shown["phone"], shown["latitude"]) == (name, phone, float(latitude))


# --- show, for an order whose id at the carrier is not known ---


@pytest.fixture
def lost(carriers: None, container: Container) -> Iterator[str]:  # noqa: ARG001 - it sets the address
    """Create an order at Borzo whose answer is lost, and give Borzo's id of it."""
    override(container)
    container.ingest.store_documents([("1-0", placed(sample("2011", "21")).encode())])
    fault = {"kind": "error_after", "api": "borzo", "operation": "create"}
    call_sandbox(container, "POST", "/sandbox/faults", fault)
    tasks.deliveries.book("borzo", [find(container).id])
    (entry,) = call_sandbox(container, "GET", "/sandbox/ledger")["ledger"]
    yield entry["carrier_id"]
    container.gateway.close()


def test_show_lists_what_the_carrier_has_near_an_unknown_outcome(command_line: CommandLine, lost: str) -> None:
    (shown,) = command_line("show", "2011", "--json").documents
    (candidate,) = shown["at_carrier"]["candidates"]
    assert (candidate["fit"], candidate["ref"], candidate["why"], candidate["blocker"]) == (
        "same",
        lost,
        ["it carries our reference"],
        None,
    )
    lines = command_line("show", "2011").lines
    begin = next(number for number, line in enumerate(lines) if line.startswith("search borzo for client_order_id"))
    text = "\n".join(lines[begin:])
    assert f"candidate fit=same ref={lost} status=available created_at=" in text
    assert "phone=matches address=matches" in text
    assert f"`order-sync resolve 2011 exists {lost}`" in text
    assert [word for word in ("Pereira", "5511912345678", "Paulista") if word in text] == []


def test_show_asks_no_carrier_with_no_calls(command_line: CommandLine, lost: str) -> None:
    result = command_line("show", "2011", "--no-calls")
    assert (lost in result.out, "The carrier was not asked." in result.lines) == (False, True)


@pytest.mark.usefixtures("lost")
def test_show_says_in_one_line_that_the_carrier_could_not_be_asked(
    command_line: CommandLine, container: Container
) -> None:
    call_sandbox(container, "POST", "/sandbox/faults", {"kind": "error_before", "api": "borzo", "times": None})
    result = command_line("show", "2011")
    (line,) = (line for line in result.lines if "could not be asked" in line)
    assert (result.code, line.startswith("borzo could not be asked: ")) == (0, True)
