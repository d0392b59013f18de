"""The sample files that a user copies: each loads unchanged, and with every commented line enabled."""

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
DISABLED = re.compile(r"^#(?=\S)", re.MULTILINE)
"""The mark of a line that can be enabled; a comment has a space after its `#`."""
PLACEHOLDERS = {
    "api_keys", "archive_folder", "carriers", "database_url", "log_format", "notify", "ordering", "password",
    "public_url", "redis_url", "webhooks",
}  # fmt: skip
"""Settings for which a sample has a placeholder instead of the default."""
PRINT = "import json, os; print(json.dumps({k: v for k, v in os.environ.items() if k.startswith('ORDER_SYNC_')}))"


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder, without settings of a user."""
    monkeypatch.chdir(tmp_path)


def enabled(sample: Path) -> Path:
    """Write a copy of a sample with every line enabled; return its path."""
    copy = Path(sample.name)
    copy.write_text(DISABLED.sub("", sample.read_text()))
    return copy


def settings_in(path: Path) -> Settings:
    return load({"ORDER_SYNC_CONFIG": str(path)})


def exported(path: Path) -> dict[str, str]:
    """Return the variables that a shell reads from a file."""
    command = ["sh", "-c", 'set -a; . "$1"; exec "$2" -c "$3"', "sh", str(path.resolve()), sys.executable, PRINT]
    return dict(json.loads(subprocess.run(command, env={}, capture_output=True, check=True).stdout))


def test_a_sample_of_settings_changes_nothing_until_a_line_is_enabled() -> None:
    assert [settings_in(SETTINGS), load(exported(VARIABLES))] == [Settings(), Settings()]


def test_every_setting_of_the_sample_file_exists() -> None:
    accounts = settings_in(enabled(SETTINGS)).accounts
    assert {name: account.kind for name, account in accounts.items()} == {
        "cervo": "cervo",
        "borzo": "borzo",
        "deliverit": "deliverit",
        "deliverit-aarhus": "deliverit",
    }


def test_the_sample_of_variables_has_the_same_settings_as_the_file() -> None:
    assert load(exported(enabled(VARIABLES))) == settings_in(enabled(SETTINGS))


def test_a_general_setting_has_its_default_or_a_placeholder() -> None:
    shown, default = settings_in(enabled(SETTINGS)), Settings()
    differing = {name for name in Settings.model_fields if getattr(shown, name) != getattr(default, name)}
    assert differing == PLACEHOLDERS
    assert shown.password == SecretStr("CHANGE-ME")


def test_the_sample_of_stores_has_the_defaults_of_the_optional_fields() -> None:
    assert read_stores(enabled(STORES)) == read_stores(STORES)


def test_the_carriers_of_a_sample_store_are_accounts_of_the_sample_settings() -> None:
    listed = {carrier for store in read_stores(STORES).values() for carrier in store.carriers}
    assert listed <= settings_in(enabled(SETTINGS)).accounts.keys()


def test_git_ignores_the_copies_of_a_user_and_not_the_samples() -> None:
    names = ["stores.toml", "order-sync.toml", "order-sync.env", ".env"]
    samples = [str(path.relative_to(ROOT)) for path in (STORES, SETTINGS, VARIABLES)]
    command = ["git", "check-ignore", *names, *samples]
    ignored = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if ignored.returncode > 1:
        pytest.skip("not a git checkout")
    assert ignored.stdout.split() == names
