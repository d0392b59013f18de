"""The command that shows events as they come, and sends them to a receiver under development."""
# ruff: noqa: PLC0415 - a command imports what it needs when it runs, see base.py

import json
import signal
from typing import TYPE_CHECKING, Any

import typer

from worker.cli.base import LOOK, Json, app, console, fail, moment, open_container, report, write_json
from worker.cli.events import Order

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.container import Container
    from worker.domain.delivery import OutgoingEvent


@app.command(rich_help_panel=LOOK)
def listen(
    *,
    forward: str = typer.Option("", metavar="URL", help="Send each event to this address, signed as to a subscriber."),
    secret: str = typer.Option("", help="The secret `whsec_...` of the signatures; by default a new one."),
    order: str = Order,
    since: str = typer.Option("", help="Begin at this time: RFC 3339, or an age such as 30m; by default now."),
    after: str = typer.Option("", help="Begin after the event with this position, which each line shows first."),
    as_json: bool = Json,
) -> None:
    """Show events as they are recorded, and send them to an address of yours. Ctrl-C ends it."""
    from worker.services.event_feed import CursorExpired

    url, secret = _receiver(forward, secret)
    if after and not (after.isascii() and after.isdigit()):
        fail(f"--after {after} is no position", 2)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    services = open_container()
    try:
        events = _events(services, order, since, after)
        if url:
            text = f"Events are sent to {url}, signed with the secret {secret}"
            report(text, {"forward": url, "secret": secret}, as_json=as_json)
            _forward(services, events, url, secret, as_json=as_json)
        for event in events:
            _show(event, json.loads(event.body), as_json=as_json)
    except CursorExpired as error:
        fail(f"{error}; begin with --since")
    except KeyboardInterrupt:
        return


def _receiver(url: str, secret: str) -> tuple[str, str]:
    """Return the address and the secret; end the command if one of them is unusable."""
    from worker.http.receiver_url import ANY_HOST, check_url
    from worker.http.webhooks import check_secret, new_secret

    if not url:
        return "", ""
    try:
        return check_url(url if "://" in url else f"http://{url}", (ANY_HOST,)), check_secret(secret or new_secret())
    except ValueError as error:
        fail(str(error), 2)


def _events(services: "Container", order: str, since: str, after: str) -> "Iterator[OutgoingEvent]":
    """Yield the events from the chosen beginning on, for ever."""
    from worker.database.event_feed import Wanted

    feed = services.event_feed
    if not since:
        yield from feed.follow(int(after) if after else feed.settled(), Wanted(order_id=order))
    settled, begin = feed.settled(), moment(since, services.clock())
    for batch in services.replays.batches(services.replays.choose(order, begin, upto=settled)):
        yield from batch
    yield from feed.follow(settled, Wanted(order_id=order))


def _forward(services: "Container", events: "Iterator[OutgoingEvent]", url: str, secret: str, *, as_json: bool) -> None:
    failed: tuple[int, str] | None = None
    for tried in services.listener.forward(events, url, secret):
        this = (tried.event.position, tried.error)
        if this != failed:  # a receiver that is down is reported once for an event
            _show(tried.event, tried.document, status=tried.status, error=tried.error or None, as_json=as_json)
        failed = this


def _show(event: "OutgoingEvent", document: dict[str, Any], *, as_json: bool, **answer: Any) -> None:
    if as_json:
        write_json({"position": event.position, **answer, "event": document})
        return
    data = document["data"]
    outcome = answer.get("status") or answer.get("error")
    parts = (event.position, document["time"], document["subject"], document["type"], data.get("status"))
    console.print(*filter(None, parts), *([f"-> {outcome}"] if outcome else []))
