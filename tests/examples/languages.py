"""The languages of the subscribers in `examples/`, and whether they can run here."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@dataclass(frozen=True)
class Language:
    """An example, the command that runs it, the arguments that check its packages, and how to install them."""

    script: str
    command: str
    check: tuple[str, ...]
    advice: str


PYTHON = Language("subscriber.py", sys.executable, ("-c", "import psycopg, redis"), "run `make .venv/.ready`")
NODE = Language("subscriber.mjs", "node", ("-e", 'require("redis"), require("pg")'), "run `npm ci` in examples/")
PHP = Language(
    "subscriber.php",
    "php",
    ("-r", 'exit(!(extension_loaded("redis") && extension_loaded("pdo_pgsql")));'),
    "on Debian: apt-get install php-cli php-redis php-pgsql",
)
RUBY = Language(
    "subscriber.rb", "ruby", ("-e", 'require "redis"; require "pg"'), "on Debian: apt-get install ruby-redis ruby-pg"
)


def require(language: Language) -> None:
    """Skip a test whose language is not installed; fail it in CI, where everything must be tested."""
    if _is_installed(language):
        return
    advice = f"{language.script} cannot run here; {language.advice}"
    if os.environ.get("CI"):
        pytest.fail(advice, pytrace=False)
    pytest.skip(advice)


def _is_installed(language: Language) -> bool:
    command = [language.command, *language.check]
    found = shutil.which(language.command) is not None
    return found and subprocess.run(command, cwd=EXAMPLES, capture_output=True, check=False).returncode == 0
