"""`order-sync init`: what it writes can start, hides its secrets and replaces nothing; and the sample order."""

import json
import os
import resource
import subprocess
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from schemas.messages import read_message
from schemas.order import Order
from tests.cli.commands import CommandLine, Result
from worker.carriers import KINDS
from worker.cli import init
from worker.config.settings import load, read_stores
from worker.errors import SettingsError
from worker.local.demo.orders import CUSTOMERS
from worker.local.samples import SANDBOX, sample_file
from worker.sandbox import SandboxConfig

FILES = {"order-sync.toml", "stores.toml", ".env"}
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _empty_folder(
    command_line: CommandLine,  # noqa: ARG001 - it goes to a folder of its own, so it comes first
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def test_the_command_offers_every_carrier() -> None:
    assert set(init.CARRIERS) == KINDS.keys()


def test_without_a_carrier_the_settings_are_those_of_the_sandbox(command_line: CommandLine) -> None:
    written = command_line("init")
    assert (written.code, written.err, {path.name for path in Path().iterdir()}) == (0, "", FILES)
    settings, sandbox = load({}), SandboxConfig()
    assert {name: account.base_url for name, account in settings.accounts.items()} == dict.fromkeys(KINDS, SANDBOX)
    assert {account.poll_interval for account in settings.accounts.values()} == {1}  # the sandbox is fast
    assert settings.accounts["borzo"].token.get_secret_value() == sandbox.borzo_token  # type: ignore[attr-defined]
    assert read_stores(Path("stores.toml")) == read_stores(sample_file("stores.toml"))
    assert settings.public_url == f"http://{settings.web_address}"
    assert init.SANDBOX.endswith(f" {settings.public_url}/callbacks/borzo")
    (key,) = settings.sources_by_key
    assert (len(key), settings.sources_by_key[key]) == (64, "platform")
    commands = [line.split("#")[0].strip() for line in written.lines if line.startswith("  ")]
    assert commands == [init.SANDBOX, "order-sync up", "order-sync sample-order | order-sync place -"]


def test_for_a_carrier_the_values_to_fill_in_are_named(command_line: CommandLine) -> None:
    written = command_line("init", "--carrier", "borzo", "--carrier", "deliverit")
    names = ["BORZO__TOKEN", "BORZO__CALLBACK_SECRET", "DELIVERIT__USERNAME", "DELIVERIT__PASSWORD"]
    empty = [line.removesuffix("=") for line in Path(".env").read_text().splitlines() if line.endswith("=")]
    assert empty == [f"ORDER_SYNC_CARRIERS__{name}" for name in names]
    assert f"to fill in: {', '.join(empty)}" in written.out
    with pytest.raises(SettingsError) as raised:
        load({})
    faults = [f"carriers.{name}: must not be empty" for name in ("borzo.token", "deliverit.username")]
    assert set(faults) <= set(str(raised.value).splitlines())
    assert {key: store.carriers for key, store in read_stores(Path("stores.toml")).items()} == {
        "17": ("deliverit", "borzo"),
        "21": ("borzo",),
    }


@pytest.mark.parametrize("command", ["check", "up"])
def test_a_command_names_a_value_that_is_not_filled_in(command_line: CommandLine, command: str) -> None:
    command_line("init", "--carrier", "cervo")
    command_line.unset("CARRIERS__CERVO__TOKEN")
    message = "order-sync: the settings cannot work:\ncarriers.cervo.token: must not be empty\n"
    assert command_line(command) == Result(2, "", message)


def test_a_password_in_the_address_of_the_database_stays_as_it_is(command_line: CommandLine) -> None:
    url = "postgresql://user:a#b%27$d@host/name"
    command_line("init", "--database", url.replace("%27", "'"))  # no quotes would be right for a shell and for us
    assert load({}).database_url == url
    script = '. ./.env; printf %s "$ORDER_SYNC_DATABASE_URL"'
    shown = subprocess.run(["sh", "-c", script], capture_output=True, check=True)
    assert shown.stdout.decode() == url
    assert url not in Path("order-sync.toml").read_text()


def test_only_the_owner_can_read_the_secrets(command_line: CommandLine) -> None:
    before = os.umask(0)
    command_line("init")
    os.umask(before)
    assert {name: Path(name).stat().st_mode & 0o777 for name in FILES} == {
        "order-sync.toml": 0o644,
        "stores.toml": 0o644,
        ".env": 0o600,
    }


def test_nothing_is_replaced(command_line: CommandLine) -> None:
    Path(".env").write_text("# mine")
    assert command_line("init", "--json").documents == [
        {"file": "order-sync.toml", "written": True},
        {"file": "stores.toml", "written": True},
        {"file": ".env", "written": False},
    ]
    assert Path(".env").read_text() == "# mine"


@contextmanager
def full_after(size: int) -> Iterator[None]:
    """Let no file grow beyond this size, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_after_a_full_disk_the_next_run_writes_the_whole_files(command_line: CommandLine) -> None:
    with full_after(1000):
        failed = command_line("init")
    assert (failed.code, list(Path().iterdir())) == (1, [])
    assert {each["file"] for each in command_line("init", "--json").documents if each["written"]} == FILES


def test_an_unknown_carrier_is_refused(command_line: CommandLine) -> None:
    message = "order-sync: --carrier bozro must be one of borzo, cervo, deliverit\n"
    assert command_line("init", "--carrier", "bozro") == Result(2, "", message)
    assert list(Path().iterdir()) == []


# --- the sample order -------------------------------------------------------------------------------------------------


def test_the_sample_order_is_the_one_of_the_documents(command_line: CommandLine) -> None:
    assert json.loads(command_line("sample-order").out) == json.loads((ROOT / "docs" / "order-placed.json").read_text())


@pytest.mark.parametrize("store", CUSTOMERS)
def test_there_is_a_sample_order_for_each_sample_store(command_line: CommandLine, store: str) -> None:
    written = command_line("sample-order", "--store", store, "--id", "7", "--notes", "sandbox:returned").out
    order = read_message(written.encode()).data
    assert isinstance(order, Order)
    assert (order.order_id, order.store_id, order.notes) == ("7", store, "sandbox:returned")
    assert store in tomllib.loads(sample_file("stores.toml").read_text())["stores"]


def test_there_is_no_sample_order_for_another_store(command_line: CommandLine) -> None:
    message = "order-sync: there is no sample customer near the store 9, only near 17, 21, 34\n"
    assert command_line("sample-order", "--store", "9") == Result(2, "", message)
