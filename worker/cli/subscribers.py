"""Commands about the subscribers that get events over HTTP."""
# ruff: noqa: PLC0415 - a command imports what it needs when it runs, see base.py

import sys
from typing import TYPE_CHECKING, Any

import typer

from schemas.events import EventType
from worker.cli.base import (
    RUN,
    By,
    Json,
    Why,
    Yes,
    age,
    app,
    complain,
    confirm,
    console,
    fail,
    moment,
    open_container,
    operator,
    report,
    table,
    when,
    write_json,
    write_text,
)
from worker.cli.status import subscriber_state
from worker.wording import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.container import Container
    from worker.database.subscribers import SubscriberState
    from worker.domain.operator import Operator
    from worker.domain.subscriber import Subscriber

subscribers = typer.Typer(help="Subscribers that get events over HTTP (webhooks).", no_args_is_help=True)
app.add_typer(subscribers, name="subscribers", rich_help_panel=RUN)
Secret = typer.Option("", "--secret", help="A secret of yours (whsec_...); - reads it from standard input.")
STDIN = "-"


@subscribers.command("add")
def add(
    url: str,
    *,
    types: str = typer.Option("", "--types", help="The types of events to send, separated by commas; by default all."),
    secret: str = Secret,
    name: str = typer.Option("", "--id", help="The id of the subscriber; by default the host of the URL."),
    by: str = By,
    reason: str = Why,
    as_json: bool = Json,
) -> None:
    """Send the events from now on to a URL. The secret of the signatures is shown only now."""
    from worker.errors import Unavailable

    services, wanted, given = open_container(), _types(types), _secret(secret)
    try:
        added = services.subscribers.add(url, name, wanted, given, operator(by, reason))
    except (ValueError, Unavailable) as error:
        fail(str(error))
    text = f"{added.id} gets the events from now on"
    if secret == STDIN and given:  # a secret that is kept out of the arguments does not belong on the screen either
        report(text, {"id": added.id}, as_json=as_json)
    else:
        _report_secret(text, added.id, added.secrets[0], as_json=as_json)


@subscribers.command("list")
def list_subscribers(*, as_json: bool = Json) -> None:
    """List the subscribers, with what they have not accepted yet."""
    from worker.database import subscribers as stored

    services, rows = open_container(), table("subscriber", "url", "types", "state", "last accepted", "last error")
    found = services.database.read(stored.states)
    for each in found:
        subscriber = each.subscriber
        if as_json:
            write_json(_document(each))
        else:
            state, accepted = (
                subscriber_state(each, services.clock()),
                age(subscriber.accepted_at, services.clock()),
            )
            types = ", ".join(subscriber.types) or "all"
            rows.add_row(subscriber.id, subscriber.url, types, state, accepted, subscriber.last_error or "")
    if not as_json:
        console.print(rows if found else "no subscribers", soft_wrap=False)


@subscribers.command("remove")
def remove(subscriber: str, *, by: str = By, reason: str = Why, yes: bool = Yes, as_json: bool = Json) -> None:
    """Remove a subscriber. It gets nothing more, and its place among the events is forgotten."""
    services = open_container()
    _find(services, subscriber)
    confirm(f"{subscriber} gets nothing more, and its place among the events is forgotten.", yes=yes)
    services.subscribers.remove(subscriber, operator(by, reason))
    report(f"{subscriber}: removed", {"id": subscriber, "removed": True}, as_json=as_json)


@subscribers.command("disable")
def disable(subscriber: str, *, by: str = By, reason: str = Why, as_json: bool = Json) -> None:
    """Send a subscriber nothing until `subscribers enable`, which continues without a gap."""
    services = open_container()
    _find(services, subscriber)
    if not services.subscribers.disable(subscriber, operator(by, reason)):
        fail(f"{subscriber} is already disabled")
    report(f"{subscriber}: disabled", {"id": subscriber, "disabled": True}, as_json=as_json)


@subscribers.command("enable")
def enable(subscriber: str, *, by: str = By, reason: str = Why, yes: bool = Yes, as_json: bool = Json) -> None:
    """Send a disabled subscriber what it has missed, and all that follows."""
    services = open_container()
    found = _find(services, subscriber)
    missing = found.disabled_at is not None and services.subscribers.missing_before(found) is not None
    if missing:
        complain(f"events that {subscriber} has not had were deleted, because they are too old")
        confirm(f"{subscriber} never gets these events; read the state of its orders from GET /deliveries/ID.", yes=yes)
    if not services.subscribers.enable(subscriber, operator(by, reason)):
        fail(f"{subscriber} is not disabled")
    text = f"{subscriber}: enabled{', with a gap' if missing else ''}"
    report(text, {"id": subscriber, "disabled": False, "gap": missing}, as_json=as_json)


@subscribers.command("test")
def send_test(subscriber: str, *, as_json: bool = Json) -> None:
    """Send a signed event of the type `order_sync.test`, and show the answer."""
    from worker.errors import CarrierError

    services = open_container()
    try:
        reply = services.subscribers.test(_find(services, subscriber))
    except CarrierError as error:
        fail(f"{subscriber}: {error}")
    body, accepted = reply.body.decode("utf-8", "replace"), 200 <= reply.status < 300  # noqa: PLR2004 - success
    if as_json:
        write_json({"id": subscriber, "status": reply.status, "accepted": accepted, "body": body})
    else:
        console.print(f"{subscriber} answered HTTP {reply.status}: {'accepted' if accepted else 'not accepted'}")
        write_text(body)
    raise typer.Exit(0 if accepted else 1)


@subscribers.command("rotate")
def rotate(
    subscriber: str,
    *,
    secret: str = Secret,
    end: bool = typer.Option(False, "--end", help="End the rotation: sign with the new secret alone."),
    by: str = By,
    reason: str = Why,
    as_json: bool = Json,
) -> None:
    """Sign with a new secret and the present one, until `--end`. The new secret is shown only now."""
    services, who = open_container(), operator(by, reason)
    _find(services, subscriber)
    if end:
        if not services.subscribers.end_rotation(subscriber, who):
            fail(f"{subscriber} has only one secret")
        report(f"{subscriber}: the old secret is gone", {"id": subscriber, "secrets": 1}, as_json=as_json)
        return
    try:
        new = services.subscribers.rotate(subscriber, _secret(secret), who)
    except ValueError as error:
        fail(str(error))
    if new is not None:
        _report_secret(f"{subscriber}: signed with both secrets", subscriber, new, as_json=as_json)


@subscribers.command("skip")
def skip(
    subscriber: str, order: str, *, by: str = By, reason: str = Why, yes: bool = Yes, as_json: bool = Json
) -> None:
    """Give up the event of an order that a subscriber does not accept, and send those after it."""
    services = open_container()
    _find(services, subscriber)
    confirm(f"{subscriber} never gets this event of {order} by itself.", yes=yes)
    skipped = services.subscribers.skip(subscriber, order, operator(by, reason))
    if skipped is None:
        fail(f"{subscriber} is disabled")
    if not skipped:
        fail(f"{subscriber} refuses no event of {order}")
    text = f"{subscriber}: event {', '.join(map(str, skipped))} of {order} is skipped"
    report(text, {"id": subscriber, "order_id": order, "skipped": skipped}, as_json=as_json)


def replay_to(subscriber: str, who: "Operator", *, order: str, since: str, as_json: bool) -> None:
    """Send a subscriber events again: those of one order, those since a time, or by default those that failed."""
    if order and since:
        fail("with --to, write either --order or --since", 2)
    services = open_container()
    _find(services, subscriber)
    if order:
        count = services.subscribers.replay_order(subscriber, order, who)
        text = f"{counted(count or 0, 'event', 'events')} of {order} sent again"
    elif since:
        count = services.subscribers.replay_since(subscriber, moment(since, services.clock()), who)
        text = f"all events since {since} sent again"
    else:
        count = services.subscribers.retry(subscriber, who)
        text = f"the failed events of {counted(count or 0, 'delivery', 'deliveries')} sent again"
    if count is None:
        fail(f"{subscriber} is disabled; `order-sync subscribers enable {subscriber}` sends it what it has missed")
    report(f"{subscriber}: {text}", {"id": subscriber, "count": count}, as_json=as_json)


def _report_secret(text: str, subscriber: str, secret: str, *, as_json: bool) -> None:
    report(text, {"id": subscriber, "secret": secret}, as_json=as_json)
    if not as_json:
        write_text(f"secret: {secret}")


def _find(services: "Container", subscriber: str) -> "Subscriber":
    from worker.database import subscribers as stored

    found = services.database.read(stored.load, subscriber)
    if found is None:
        fail(f"there is no subscriber {subscriber}; `order-sync subscribers list` shows them")
    return found


def _types(text: str) -> "Sequence[EventType]":
    names = [each.strip() for each in text.split(",") if each.strip()]
    unknown = [each for each in names if each not in set(EventType)]
    if unknown:
        fail(f"there are no events of the type {', '.join(unknown)}; the types are {', '.join(EventType)}", 2)
    return [EventType(each) for each in dict.fromkeys(names)]


def _secret(text: str) -> str:
    return sys.stdin.readline().strip() if text == STDIN else text


def _document(state: "SubscriberState") -> dict[str, Any]:
    """Return a subscriber without its secrets."""
    each = state.subscriber
    return {
        "id": each.id,
        "url": each.url,
        "types": list(each.types),
        "created_at": when(each.created_at),
        "waiting_since": when(state.waiting_since),
        "blocked": state.blocked,
        "accepted": each.accepted,
        "failed": each.failed,
        "last_accepted_at": when(each.accepted_at),
        "failing_since": when(each.failing_since),
        "last_error": each.last_error,
        "disabled_at": when(each.disabled_at),
        "disabled_because": each.disabled_because,
        "rotating": len(each.secrets) > 1,
    }
