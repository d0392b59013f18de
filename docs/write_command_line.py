"""Write docs/command-line.md from the commands of `order-sync`: `make docs`."""

from pathlib import Path

from typer.cli import get_docs_for_click
from typer.main import get_command
from typer.models import Context

from worker.cli import app

PAGE = Path(__file__).parent / "command-line.md"
HEAD = """\
# Command line

<!-- Written by `make docs` from the commands in worker/cli/. -->

[Operating](operating.md#the-command-line) shows the commands that operators use most.

"""


def render() -> str:
    """Return the text of the page."""
    command = get_command(app)
    _keep_whole_sentences(command)
    text = get_docs_for_click(obj=command, ctx=Context(command), name="order-sync")
    return HEAD + text.partition("\n\n")[2].rstrip() + "\n"


def _keep_whole_sentences(command: object) -> None:
    """Give each command a short help of its own: by default, a list of commands cuts it off after 45 characters."""
    for each in getattr(command, "commands", {}).values():
        each.short_help = (each.help or "").partition("\n")[0]
        _keep_whole_sentences(each)


if __name__ == "__main__":
    PAGE.write_text(render())
