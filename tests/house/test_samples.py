"""The samples that a user copies: each loads as it is, and with every line that is switched off switched on."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from worker.config.settings import Settings, load, read_stores

ROOT = Path(__file__).resolve().parents[2]
STORES, SETTINGS = ROOT / "examples" / "stores.toml", ROOT / "examples" / "order-sync.toml"
VARIABLES = ROOT / ".env.example"
OFF = re.compile(r"^#(?=\S)", re.MULTILINE)
"""A line that is switched off; a comment has a space behind its `#`."""
PLACEHOLDERS = {
    "carriers", "database_url", "log_format", "ordering", "password", "public_url", "redis_url",
}  # fmt: skip
"""Settings of which a sample shows a placeholder and not the default."""
SHOW = "import json, os; print(json.dumps({k: v for k, v in os.environ.items() if k.startswith('ORDER_SYNC_')}))"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder, where no settings of a user are found."""
    monkeypatch.chdir(tmp_path)


def switched_on(sample: Path) -> Path:
    """Write a copy of a sample in which every line counts."""
    copy = Path(sample.name)
    copy.write_text(OFF.sub("", sample.read_text()))
    return copy


def settings_in(path: Path) -> Settings:
    return load({"ORDER_SYNC_CONFIG": str(path)})


def exported(path: Path) -> dict[str, str]:
    """Read a file of variables as a shell does."""
    command = ["sh", "-c", 'set -a; . "$1"; exec "$2" -c "$3"', "sh", str(path.resolve()), sys.executable, SHOW]
    return dict(json.loads(subprocess.run(command, env={}, capture_output=True, check=True).stdout))


def test_a_sample_of_settings_changes_nothing_until_a_line_is_switched_on() -> None:
    assert [settings_in(SETTINGS), load(exported(VARIABLES))] == [Settings(), Settings()]


def test_every_setting_of_the_sample_file_exists() -> None:
    accounts = settings_in(switched_on(SETTINGS)).accounts
    assert {name: account.kind for name, account in accounts.items()} == {
        "cervo": "cervo",
        "borzo": "borzo",
        "deliverit": "deliverit",
        "deliverit-aarhus": "deliverit",
    }


def test_the_sample_of_variables_shows_the_same_settings_as_the_file() -> None:
    assert load(exported(switched_on(VARIABLES))) == settings_in(switched_on(SETTINGS))


def test_a_general_setting_is_shown_with_its_default_or_a_placeholder() -> None:
    shown, default = settings_in(switched_on(SETTINGS)), Settings()
    differing = {name for name in Settings.model_fields if getattr(shown, name) != getattr(default, name)}
    assert differing == PLACEHOLDERS
    assert shown.password == SecretStr("CHANGE-ME")


def test_the_sample_of_stores_shows_the_defaults_of_what_is_optional() -> None:
    assert read_stores(switched_on(STORES)) == read_stores(STORES)


def test_a_sample_store_names_accounts_of_the_sample_settings() -> None:
    listed = {carrier for store in read_stores(STORES).values() for carrier in store.carriers}
    assert listed <= settings_in(switched_on(SETTINGS)).accounts.keys()


def test_a_user_s_copies_are_ignored_and_the_samples_are_not() -> None:
    names = ["stores.toml", "order-sync.toml", "order-sync.env", ".env"]
    samples = [str(path.relative_to(ROOT)) for path in (STORES, SETTINGS, VARIABLES)]
    asked = ["git", "check-ignore", *names, *samples]
    ignored = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
    if ignored.returncode > 1:
        pytest.skip("not a git checkout")
    assert ignored.stdout.split() == names
