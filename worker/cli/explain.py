"""The command that decides the stored inputs of a delivery again."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from worker.cli.base import LOOK, Json, app, console, open_container, when, write_json
from worker.cli.deliveries import Anything, one_delivery

if TYPE_CHECKING:
    from worker.domain.explanation import Finding

DIFFERS = 1


@app.command(rich_help_panel=LOOK)
def explain(name: str = Anything, *, as_json: bool = Json) -> None:
    """Decide a delivery's stored inputs again; exit with 1 if today's code and settings decide anything differently.

    Nothing is sent or changed. An input that cannot be decided for certain never counts as different.
    """
    services = open_container()
    delivery = one_delivery(services, name, by_phone=True)
    found = services.explanations.of(delivery)
    for finding in found:
        if as_json:
            write_json(_document(finding))
        else:
            _print(finding)
    differing = sum(each.differs for each in found)
    if not as_json:
        undecided = sum(each.today is None for each in found)
        console.print(f"{len(found)} inputs: {differing} differ, {undecided} cannot be decided again")
    if differing:
        raise typer.Exit(DIFFERS)


def _document(finding: "Finding") -> dict[str, Any]:
    return {name: value for name, value in asdict(finding).items() if value is not None}


def _print(finding: "Finding") -> None:
    decided = finding.then
    if finding.today != finding.then:
        decided = f"then {finding.then}; today {finding.today or 'undecided'}"
    note = f" ({finding.note})" if finding.note else ""
    style = "red" if finding.differs else ""
    console.print(f"{when(finding.at)} {finding.input.value:8} {finding.subject}: {decided}{note}", style=style)
