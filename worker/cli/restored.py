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

    First it shows the deliveries about which the bus has events that the database has lost, and changes nothing. Used
    again while creates are held, it first shows again what is to do.
    """
    restoration = open_container().restoration
    if _showed_again(restoration.recorded(), as_json=as_json) and not restoration.compare() and not yes:
        return
    if not as_json:
        console.print(f"The newest event in the database is of {when(restoration.ends_at()) or 'no time'}.")
        _show(restoration.compare())
    confirm(QUESTION, yes=yes)
    left = restoration.apply(operator(by, reason))
    if as_json:
        for each in left:
            write_json({**asdict(each), "to_do": each.to_do})
        return
    console.print(
        "All creates are held. Do this before `order-sync carriers release`; until then, `order-sync db restored` "
        "shows this list again."
    )
    _show(left)
    console.print("Then look at each carrier's own screen for orders after that time that are not in the list.")


def _showed_again(recorded: list[tuple[str, str]], *, as_json: bool) -> bool:
    """Show what an earlier run has recorded; return whether there is anything."""
    if as_json:
        for order_id, to_do in recorded:
            write_json({"order_id": order_id, "to_do": to_do})
    elif recorded:
        console.print("The database was restored. Do this before `order-sync carriers release`:")
        shown = table("order", "to do")
        for order_id, to_do in recorded:
            shown.add_row(order_id, to_do)
        console.print(shown)
    return bool(recorded)


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
