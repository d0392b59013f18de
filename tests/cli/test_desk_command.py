"""`order-sync desk password` prints a setting with which an operator can log in."""

from pydantic import SecretStr
from typer.testing import CliRunner

from worker.cli import app
from worker.web.desk.access import Users


def test_the_printed_setting_lets_the_operator_in() -> None:
    result = CliRunner().invoke(app, ["desk", "password", "maria"], input="s3cret\ns3cret\n")
    variable, _, hashed = result.stdout.strip().partition("=")
    users = Users({"maria": SecretStr(hashed.strip("'"))})
    assert (variable, users.check("maria", "s3cret"), users.check("maria", "other")) == (
        "ORDER_SYNC_DESK__USERS__MARIA",
        True,
        False,
    )


def test_a_name_that_no_variable_can_have_is_refused() -> None:
    result = CliRunner().invoke(app, ["desk", "password", "maria b"], input="s3cret\ns3cret\n")
    assert (result.exit_code, result.stdout) == (2, "")
