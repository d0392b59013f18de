"""The command that fetches those open orders of the Ordering platform for which no message came."""
# ruff: noqa: PLC0415 - a command imports what it needs when it runs, see base.py

import time
from typing import TYPE_CHECKING

import typer

from worker.cli.base import RUN, Json, app, console, fail, moment, open_container, progress, when, write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from worker.container import Container
    from worker.ordering_api.listing import OpenOrder

ROUND_SECONDS = 1.0
"""The pause between two rounds of fetching, long enough for the platform's rate limit."""
ROUNDS = 3
"""The limit of the rounds of fetching is this number times the number of missing orders.

The workers fetch the orders that are still missing after the last round.
"""


@app.command(rich_help_panel=RUN)
def backfill(
    *,
    since: str = typer.Option(
        "",
        help="Orders placed since this time, however old: RFC 3339, or an age such as 30m, 2h or 1d. One whose time "
        "is long past is stored as rejected; `retry` sends it.",
    ),
    dry_run: bool = typer.Option(False, "--dry-run", help="Only list the missing orders."),
    as_json: bool = Json,
) -> None:
    """Fetch the Ordering platform's open orders for which no message came."""
    from worker.errors import CarrierError

    services = open_container()
    if not services.settings.ordering.base_url:
        fail("ORDER_SYNC_ORDERING__BASE_URL is not set, so there is no platform to fetch orders from", 2)
    try:
        missing = _missing(services, since)
        with progress("fetching orders", len(missing)) as advance:
            for order_id, became in _describe(missing) if dry_run else _store_and_fetch(services, missing, time.sleep):
                _print(order_id, became, as_json=as_json)
                advance()
    except CarrierError as error:
        fail(f"the platform's orders cannot be read: {error}")


def _missing(services: "Container", since: str) -> "list[OpenOrder]":
    earliest = moment(since, services.clock()) if since else None
    missing = services.backfill.find(since=earliest)
    undated = sum(each.created_at is None for each in missing)
    if earliest and undated:
        typer.echo(f"{undated} orders without a time of placing are included", err=True)
    if not missing:
        typer.echo("No open order is missing. A key without the right to see orders gets the same answer.", err=True)
    return missing


def _describe(missing: "list[OpenOrder]") -> "Iterator[tuple[str, str]]":
    for each in missing:
        yield each.order_id, f"missing, status {each.status}, placed {when(each.created_at) or '?'}"


def _store_and_fetch(
    services: "Container", missing: "list[OpenOrder]", pause: "Callable[[float], None]"
) -> "Iterator[tuple[str, str]]":
    """Store missing orders and fetch them; yield the id and the result of each order.

    Workers fetch at the same time, so this command may find some orders already stored.
    """
    from worker.database import deliveries

    services.backfill.store(missing)
    left = {each.order_id for each in missing}
    for _ in range(len(missing) * ROUNDS):
        pause(ROUND_SECONDS)
        for each in services.order_fetch.fetch():
            if not each.again:
                left.discard(each.order_id)
                yield each.order_id, each.result
        if not left:
            return
    for order_id in sorted(left):
        known = services.database.read(deliveries.find, order_id)
        yield (
            order_id,
            f"stored by a worker, {known[0].status}" if known else "not fetched yet; the workers try again",
        )


def _print(order_id: str, became: str, *, as_json: bool) -> None:
    if as_json:
        write_json({"order_id": order_id, "became": became})
    else:
        console.print(order_id, became)
