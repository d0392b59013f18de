"""The command that shows a delivery of the archive."""

import typer

from worker.cli.base import LOOK, app, fail, open_container, write_json


@app.command(rich_help_panel=LOOK)
def archived(
    name: str = typer.Argument(metavar="ID", help="The id of the delivery or of its order."),
    *,
    source: str = typer.Option(
        "", "--source", help="The source of the order; by default, any of which a message is stored."
    ),
) -> None:
    """Print a delivery that was moved to the archive, with its events, as JSON."""
    from worker.services.archive import ArchiveError  # noqa: PLC0415 - see base.py

    archive = open_container().archive
    if archive is None:
        fail("there is no archive: set ORDER_SYNC_ARCHIVE_FOLDER")
    try:
        found = list(archive.find(name, source))
    except (ArchiveError, OSError) as error:
        fail(str(error))
    if not found:
        hint = "" if source else "; if its platform sends no more, use --source"
        fail(f"there is no archived delivery {name}{hint}")
    for document in found:
        write_json(document)
