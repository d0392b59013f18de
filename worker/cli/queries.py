"""Commands that query a carrier and change nothing: prices, labels, the courier's position."""
# ruff: noqa: PLC0415 - a command imports what it needs when it runs, see base.py

import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import typer

from worker.cli.base import ASK, Json, app, complain, console, fail, open_container, report, write_json
from worker.cli.deliveries import Name, one_delivery
from worker.cli.orders import message_in, parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from schemas.order import Order
    from worker.carriers.abilities import Quote
    from worker.carriers.port import Booking, Carrier, Courier
    from worker.container import Container
    from worker.domain.delivery import Attempt, Delivery
    from worker.http.call import Call, Reply

Ability = TypeVar("Ability")


# --- what it would cost -----------------------------------------------------------------------------------------------


@app.command(rich_help_panel=ASK)
def quote(
    file: str = typer.Argument(help="A CloudEvent or an order as JSON, as for `place`; - reads standard input."),
    *,
    carrier: str = typer.Option("", help="Only this account; by default every account that gives prices."),
    as_json: bool = Json,
) -> None:
    """Ask carriers for the price of an order. No order is created."""
    from worker.errors import CarrierError

    services = open_container()
    accounts = _quoting_accounts(services, carrier)
    booking = _booking(services, _order_in(file, services))
    failed = False
    for name in accounts:
        try:
            found = services.quotes.quote(_callable_codec(services, name), booking)
        except CarrierError as error:
            complain(f"{name}: {error}")
            failed = True
        else:
            _show_quote(name, found, as_json=as_json)
    raise typer.Exit(1 if failed else 0)


def _quoting_accounts(services: "Container", wanted: str) -> list[str]:
    from worker.carriers.abilities import Quotes

    able = sorted(name for name, codec in services.codecs.items() if isinstance(codec, Quotes))
    if wanted and wanted not in able:
        fail(f"{wanted} gives no prices; accounts that do: {', '.join(able) or 'none'}")
    if not able:
        fail("no account gives prices")
    return [wanted] if wanted else able


def _order_in(file: str, services: "Container") -> "Order":
    from schemas.order import Order

    found = parse(message_in(file), file, services).data
    if not isinstance(found, Order):
        fail(f"{file} holds only an order id: a price needs the whole order")
    return found


def _booking(services: "Container", order: "Order") -> "Booking":
    from worker.database import shops
    from worker.domain.eligibility import trial_booking

    stores = {**services.file_shops, **services.database.read(shops.load_shops, [order.store_id])}
    if order.store_id not in stores:
        fail(f"there is no store {order.store_id}: `order-sync stores list` lists the stores")
    return trial_booking(order, stores[order.store_id], services.clock())


def _show_quote(carrier: str, quote: "Quote", *, as_json: bool) -> None:
    if as_json:
        write_json({"carrier": carrier, **_quote(quote)})
        return
    price = f"{quote.price.amount} {quote.price.currency}" if quote.price else "no price"
    console.print(carrier, price, *([] if quote.orderable else ["would be refused:", *(quote.why or [quote.reason])]))


def _quote(quote: "Quote") -> dict[str, Any]:
    price = quote.price
    return {
        "price": price and {"amount": str(price.amount), "currency": price.currency, "vat": price.vat},
        "orderable": quote.orderable,
        "reason": None if quote.orderable else quote.reason,
        "why": quote.why,
    }


# --- labels, and the courier ------------------------------------------------------------------------------------------


@app.command(rich_help_panel=ASK)
def labels(
    name: str = Name,
    *,
    out: str = typer.Option(help="A folder, or a file for a single label."),
    media: Literal["pdf", "zpl"] = typer.Option("pdf", "--format", help="`pdf`, or `zpl` for a label printer."),
    as_json: bool = Json,
) -> None:
    """Fetch the labels of a delivery, and write them to files."""
    from worker.carriers.abilities import Labels
    from worker.domain.carrier_terms import attempt_view

    services = open_container()
    delivery = one_delivery(services, name)
    attempt, codec = _at_carrier(services, delivery, Labels, "has no labels")  # type: ignore[type-abstract]
    seen = attempt_view(delivery, attempt)
    with _failing_in_one_line(attempt.carrier):
        found = _send(services, attempt.carrier, codec.labels(seen, media))
        contents = [each.content for each in codec.read_labels(found, seen)]
    if not contents:
        fail(f"{attempt.carrier} has no label for this delivery")
    for path, content in zip(_paths(Path(out), delivery, media, len(contents)), contents, strict=True):
        path.write_bytes(content)
        report(str(path), {"file": str(path)}, as_json=as_json)


def _paths(out: Path, delivery: "Delivery", ending: str, count: int) -> "Sequence[Path]":
    """Return a path for each label. The order id is untrusted: only its letters and digits go into a file name."""
    if out.suffix and not out.is_dir():
        if count > 1:
            fail(f"there are {count} labels: give a folder", code=2)
        out.parent.mkdir(parents=True, exist_ok=True)
        return [out]
    out.mkdir(parents=True, exist_ok=True)
    stem = re.sub(r"[^A-Za-z0-9]+", "-", delivery.order.order_id).strip("-") or delivery.id
    return [out / f"{stem}-{number}.{ending}" for number in range(1, count + 1)]


@app.command(rich_help_panel=ASK)
def courier(name: str = Name, *, as_json: bool = Json) -> None:
    """Ask the carrier who the courier is and where they are now."""
    from worker.carriers.abilities import LocatesCourier
    from worker.domain.carrier_terms import attempt_view

    services = open_container()
    delivery = one_delivery(services, name)
    attempt, codec = _at_carrier(services, delivery, LocatesCourier, "does not say where its couriers are")  # type: ignore[type-abstract]
    seen = attempt_view(delivery, attempt)
    with _failing_in_one_line(attempt.carrier):
        found = codec.read_location(_send(services, attempt.carrier, codec.locate(seen)), seen)
    if as_json:
        write_json(_courier(found))
    elif found is None:
        console.print("no courier is on the way")
    else:
        place = f"{found.latitude}, {found.longitude}" if found.latitude is not None else "no position"
        console.print(found.name or "no name", found.phone or "no phone", place)


def _courier(found: "Courier | None") -> dict[str, Any] | None:
    if found is None:
        return None
    return {"name": found.name, "phone": found.phone, "latitude": found.latitude, "longitude": found.longitude}


def _at_carrier(
    services: "Container", delivery: "Delivery", ability: type[Ability], otherwise: str
) -> "tuple[Attempt, Ability]":
    """Return an attempt with an order at a carrier, and the codec of the attempt's account.

    Choose the active attempt if it has an order, and otherwise the last attempt that has one. Surplus couriers do not
    count. End the command with an error when there is no such attempt, when the attempt's account cannot be called, or
    when the codec lacks the ability.
    """
    known = [each for each in delivery.attempts if each.ref and not each.surplus]
    attempt = delivery.active if delivery.active in known else known[-1] if known else None
    if attempt is None:
        fail(f"no carrier has this delivery: it is {delivery.status.value}")
    if attempt.carrier not in services.codecs:
        fail(f"the account {attempt.carrier} is no longer configured")
    with _failing_in_one_line(attempt.carrier):
        codec = _callable_codec(services, attempt.carrier)
    if not isinstance(codec, ability):
        fail(f"{attempt.carrier} {otherwise}")
    return attempt, codec


@contextmanager
def _failing_in_one_line(carrier: str) -> "Iterator[None]":
    """When a call fails, end the command with the carrier's name and the error."""
    from worker.errors import CarrierError

    try:
        yield
    except CarrierError as error:
        fail(f"{carrier}: {error}")


def _callable_codec(services: "Container", name: str) -> "Carrier":
    """Return the codec of an account, logged in. Raises Unavailable when the account is paused."""
    from worker.database import accounts
    from worker.errors import Unavailable

    pause = services.database.read(accounts.paused).get(name)
    if pause is not None:
        raise Unavailable(f"the account is paused by {pause.by}: {pause.because}")
    return services.accounts.logged_in(name)


def _send(services: "Container", name: str, call: "Call") -> "Reply":
    return services.gateway.send_one(name, call, max_body=services.codecs[name].capabilities.max_body)
