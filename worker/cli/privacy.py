"""The commands that delete old records and erase one order's personal data."""

from dataclasses import asdict

import typer

from schemas.events import delivery_id
from worker.cli.base import DECIDE, RUN, By, Json, Why, Yes, app, confirm, fail, open_container, operator, report
from worker.cli.deliveries import Name, one_delivery


@app.command(rich_help_panel=RUN)
def purge(*, as_json: bool = Json) -> None:
    """Delete what is older than the settings `KEEP_..._DAYS` allow, as beat does every hour."""
    purged = open_container().retention.delete_old()
    for kind, count in purged.removed.items():
        report(f"{kind}: {count}", {"kind": kind, "removed": count}, as_json=as_json)
    if purged.fault:
        fail(purged.fault)


@app.command(rich_help_panel=DECIDE)
def erase(
    name: str = Name,
    *,
    source: str = typer.Option("", "--source", help="The source of the order, if several sources have its id."),
    by: str = By,
    reason: str = Why,
    yes: bool = Yes,
    as_json: bool = Json,
) -> None:
    """Erase the personal data of an order that has ended. The reason is kept, so write no personal data into it."""
    services = open_container()
    delivery = one_delivery(services, delivery_id(source, name) if source else name)
    if (blocker := services.erasing.blocker(delivery)) is not None:
        fail(blocker)
    confirm(f"The personal data of the order {delivery.order.order_id} cannot be restored.", yes=yes)
    erased = services.erasing.erase(delivery, operator(by, reason))
    if erased is None:
        fail("the delivery was reopened meanwhile: look at it with `order-sync show ID`")
    removed = "".join(f", {count} {kind.replace('_', ' ')}" for kind, count in asdict(erased).items() if count)
    report(
        f"{delivery.order.order_id}: erased{removed}",
        {"order_id": delivery.order.order_id, "delivery_id": delivery.id, **asdict(erased)},
        as_json=as_json,
    )
