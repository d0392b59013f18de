"""The command that lets a restored database continue."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from worker.cli.base import By, Json, Why, Yes, confirm, console, open_container, operator, table, when, write_json
from worker.cli.run import database

if TYPE_CHECKING:
    from worker.services.restoration import LostDelivery

QUESTION = (
    "All creates are held until `order-sync carriers release`, the messages on the bus are read again, and events "
    "continue after those that were published."
)


@database.command()
def restored(*, by: str = By, reason: str = Why, yes: bool = Yes, as_json: bool = Json) -> None:
    """Continue after the database was restored from a backup; run it before the processes start.

    First it shows the deliveries about which the bus has events that the database has lost, and changes nothing.
    """
    restoration = open_container().restoration
    if not as_json:
        console.print(f"The newest event in the database is of {when(restoration.ends_at()) or 'no time'}.")
        _show(restoration.compare())
    confirm(QUESTION, yes=yes)
    left = restoration.apply(operator(by, reason or "the database was restored from a backup"))
    if as_json:
        for each in left:
            write_json({**asdict(each), "to_do": each.to_do})
        return
    console.print(
        "All creates are held. Keep this list, which is shown once: do this before `order-sync carriers release`."
    )
    _show(left)
    console.print("Then look at each carrier's own screen for orders after that time that are not in the list.")


def _show(lost: "list[LostDelivery]") -> None:
    if not lost:
        console.print(
            "The bus has no event that the database has lost. If processes ran since the restore, look for "
            "`database.event_lost` in their logs."
        )
        return
    shown = table("order", "status on the bus", "carrier", "its order", "in the database", "to do")
    for each in lost:
        known = "yes" if each.in_database else "no"
        shown.add_row(each.order_id, each.status, each.carrier, each.carrier_ref, known, each.to_do)
    console.print(shown)
