"""Commands about recorded events: write them, and publish them again."""
# ruff: noqa: PLC0415 - a command imports what it needs when it runs, see base.py

import typer

from worker.cli.base import (
    LOOK,
    By,
    Json,
    Why,
    Yes,
    app,
    confirm,
    fail,
    moment,
    open_container,
    operator,
    progress,
    report,
    write_text,
)
from worker.cli.subscribers import replay_to
from worker.wording import counted

events = typer.Typer(help="Recorded events.", invoke_without_command=True)
app.add_typer(events, name="events", rich_help_panel=LOOK)
MANY = 100
"""The most events that are published again without a question."""
Since = typer.Option("", help="Only events since this time: RFC 3339, or an age such as 30m, 2h or 1d.")
Order = typer.Option("", help="Only events of this order.")


@events.callback()
def list_events(
    context: typer.Context,
    *,
    follow: bool = typer.Option(False, "--follow", help="Keep writing new events."),
    order: str = Order,
    since: str = Since,
    _as_json: bool = typer.Option(False, "--json", help="Accepted, as everywhere: events are always JSON."),
) -> None:
    """Write the recorded events, one JSON document a line."""
    if context.invoked_subcommand is not None:
        return
    from worker.database.event_feed import Wanted

    services = open_container()
    earliest = moment(since, services.clock()) if since else None
    settled = services.event_feed.settled() if follow else None
    for batch in services.replays.batches(services.replays.choose(order, earliest, upto=settled)):
        for event in batch:
            write_text(event.body)
    if settled is not None:
        for event in services.event_feed.follow(settled, Wanted(order_id=order)):
            write_text(event.body)


@events.command()
def replay(
    *,
    order: str = Order,
    since: str = Since,
    until: str = typer.Option("", help="Only events before this time, in the same forms; by default now."),
    to: str = typer.Option(
        "",
        help="Send the events to this subscriber over HTTP, not to the bus; by default what failed.",
    ),
    yes: bool = Yes,
    by: str = By,
    reason: str = Why,
    as_json: bool = Json,
) -> None:
    """Publish recorded events on the bus again, with the ids that they had, or send them to a subscriber again."""
    if to:
        if until:
            fail("--until does not go with --to", 2)
        replay_to(to, operator(by, reason), order=order, since=since, as_json=as_json)
        return
    if not order and not since:
        fail("write --order ID, or --since TIME, perhaps with --until TIME", 2)
    from worker.services.replays import NotPublished

    services = open_container()
    now = services.clock()
    begin = moment(since, now) if since else None
    end = moment(until, now, "--until") if until else None
    chosen = services.replays.choose(order, begin, end)
    count = services.replays.count(chosen)
    if count > MANY:
        confirm(f"{count} events are published again, and every consumer group reads them.", yes=yes)
    what = " ".join(filter(None, (order and f"order {order}", since and f"since {begin}", until and f"until {end}")))
    done = 0
    with progress("publishing", count) as advance:
        try:
            for size in services.replays.to_bus(chosen, operator(by, reason), what):
                done += size
                for _ in range(size):
                    advance()
        except NotPublished as error:
            fail(f"{done} of {count} events are published again; {error}")
    report(f"{counted(done, 'event is', 'events are')} published again", {"published": done}, as_json=as_json)
