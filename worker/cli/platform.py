"""Commands for orders that the platform has and we have not."""
# ruff: noqa: PLC0415 - a command imports what it needs when it runs, see base.py

import time
from typing import TYPE_CHECKING

import typer

from worker.cli.base import RUN, Json, app, console, fail, moment, open_container, when, write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from worker.container import Container
    from worker.ordering_api.listing import OpenOrder

SECOND = 1.0
"""Between two rounds of fetching, as the platform's rate limit allows."""
ROUNDS = 3
"""The most rounds for each order; what the platform has not returned by then is left to the workers."""


@app.command(rich_help_panel=RUN)
def backfill(
    *,
    since: str = typer.Option("", help="Only orders placed since then, however old: RFC 3339, or 30m, 2h, 1d ago."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Only show which orders are missing."),
    as_json: bool = Json,
) -> None:
    """Take in the platform's open orders whose message never came, now."""
    from worker.errors import CarrierError

    services = open_container()
    if not services.settings.ordering.base_url:
        fail("ORDER_SYNC_ORDERING__BASE_URL is not set: there is no platform to ask", 2)
    try:
        missing = _missing(services, since)
        for order_id, became in _shown(missing) if dry_run else _take_in(services, missing, time.sleep):
            _print(order_id, became, as_json=as_json)
    except CarrierError as error:
        fail(f"the platform cannot be asked: {error}")


def _missing(services: "Container", since: str) -> "list[OpenOrder]":
    from_then = moment(since, services.clock()) if since else None
    missing = services.backfill.find(since=from_then)
    undated = sum(each.created_at is None for each in missing)
    if from_then and undated:
        typer.echo(f"{undated} of them do not say when they were placed; they are taken in as well", err=True)
    if not missing:
        typer.echo("no open order is missing. A key that may not see the orders gets this answer, too", err=True)
    return missing


def _shown(missing: "list[OpenOrder]") -> "Iterator[tuple[str, str]]":
    for each in missing:
        yield each.order_id, f"missing, status {each.status}, placed {when(each.created_at) or '?'}"


def _take_in(
    services: "Container", missing: "list[OpenOrder]", pause: "Callable[[float], None]"
) -> "Iterator[tuple[str, str]]":
    """Store them, and fetch what is due; a running worker may have been quicker with some."""
    from worker.database import deliveries
    from worker.services.order_fetch import RETRIED

    services.backfill.take_in(missing)
    left = {each.order_id for each in missing}
    for _ in range(len(missing) * ROUNDS):
        pause(SECOND)
        for order_id, became in services.order_fetch.fetch():
            if not became.startswith(RETRIED):
                left.discard(order_id)
                yield order_id, became
        if not left:
            return
    for order_id in sorted(left):
        known = services.database.read(deliveries.find, order_id)
        yield order_id, f"taken in by a worker, {known[0].status}" if known else "waits to be fetched"


def _print(order_id: str, became: str, *, as_json: bool) -> None:
    if as_json:
        write_json({"order_id": order_id, "became": became})
    else:
        console.print(order_id, became)
