"""Commands for what the platform has and we have not."""
# ruff: noqa: PLC0415 - a command imports what it needs when it runs, see base.py

import time
from typing import TYPE_CHECKING

import typer

from worker.cli.base import RUN, Json, app, console, fail, house, moment, when, write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from worker.container import Container
    from worker.ordering_api.listing import Listed

SECOND = 1.0
"""Between two rounds of fetching: as the platform's budget allows."""
ROUNDS = 3
"""So many for each order at the most: what the platform does not give by then is left to the workers."""
AGAIN = "again later"


@app.command(rich_help_panel=RUN)
def backfill(
    *,
    since: str = typer.Option("", help="Only orders placed since then, however old: RFC 3339, or 30m, 2h, 1d ago."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Only show which orders are missing."),
    as_json: bool = Json,
) -> None:
    """Take in the platform's open orders whose message never came, now."""
    from worker.errors import CarrierError

    made = house()
    if not made.settings.ordering.base_url:
        fail("ORDER_SYNC_ORDERING__BASE_URL is not set: there is no platform to ask", 2)
    try:
        missing = _missing(made, since)
        for order_id, became in _shown(missing) if dry_run else _taken_in(made, missing, time.sleep):
            _tell(order_id, became, as_json=as_json)
    except CarrierError as error:
        fail(f"the platform cannot be asked: {error}")


def _missing(made: "Container", since: str) -> "list[Listed]":
    from worker.services import backfill

    from_then = moment(since, made.clock()) if since else None
    missing = backfill.find(made, since=from_then)
    undated = sum(each.created_at is None for each in missing)
    if from_then and undated:
        typer.echo(f"{undated} of them do not say when they were placed, and are taken in all the same", err=True)
    if not missing:
        typer.echo("no open order is missing. A key that may not see the orders is answered so, too", err=True)
    return missing


def _shown(missing: "list[Listed]") -> "Iterator[tuple[str, str]]":
    for each in missing:
        yield each.order_id, f"missing, status {each.status}, placed {when(each.created_at) or '?'}"


def _taken_in(
    made: "Container", missing: "list[Listed]", pause: "Callable[[float], None]"
) -> "Iterator[tuple[str, str]]":
    """Put them down and fetch whatever waits to be fetched; a worker that runs may have been quicker with some."""
    from worker.services import backfill, order_fetch

    backfill.take_in(made, missing)
    left = {each.order_id for each in missing}
    for _ in range(len(missing) * ROUNDS):
        pause(SECOND)
        for order_id, became in order_fetch.fetch(made):
            if not became.startswith(AGAIN):
                left.discard(order_id)
                yield order_id, became
        if not left:
            return
    for order_id in sorted(left):
        known = made.database.find(order_id)
        yield order_id, f"taken in by a worker, {known[0].status}" if known else "put down to be fetched"


def _tell(order_id: str, became: str, *, as_json: bool) -> None:
    if as_json:
        write_json({"order_id": order_id, "became": became})
    else:
        console.print(order_id, became)
