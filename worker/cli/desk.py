"""Commands about the operators' desk."""

import re

import typer

from worker.cli.base import RUN, Json, app, fail, report

desk = typer.Typer(help="The operators' desk.", no_args_is_help=True)
app.add_typer(desk, name="desk", rich_help_panel=RUN)


@desk.callback()
def _about() -> None:
    """Set up the operators' desk."""


@desk.command("password")
def password(name: str = typer.Argument(help="The name of the operator."), *, as_json: bool = Json) -> None:
    """Ask for a password, and print the setting with which the operator may log in."""
    from worker.config.settings import USER_NAME  # noqa: PLC0415 - a command imports what it needs when it runs
    from worker.web.desk.access import hash_password  # noqa: PLC0415

    if not re.fullmatch(USER_NAME, name.lower()):
        fail(f"{name} is no user name: use letters, digits and _", 2)
    secret = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    variable, hashed = f"ORDER_SYNC_DESK__USERS__{name.upper()}", hash_password(secret)
    report(f"{variable}='{hashed}'", {"variable": variable, "value": hashed}, as_json=as_json)
