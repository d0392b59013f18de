"""The wheel alone: every command works outside the repository, and no text names a file of the repository."""

import ast
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hatchling.builders.wheel import WheelBuilder
from typer.main import get_command

from worker.cli import app
from worker.config.settings import NO_REDIS
from worker.local.samples import starting_files

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = (
    ("--version",),
    ("init",),
    ("sample-order",),
    ("place", "order.json"),
    ("schema", "schemas"),
    ("db", "upgrade"),
    ("check",),
    ("status",),
    ("init", "--carrier", "borzo"),
)
RUN = """
import contextlib, io, json, sys
from worker import cli
for arguments in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main(arguments)
        except SystemExit as ended:
            code = ended.code
    if arguments == ["sample-order"]:
        open("order.json", "w").write(out.getvalue())
    print(json.dumps([code, out.getvalue(), err.getvalue(), cli.__file__]))
"""
ONLY_IN_THE_REPOSITORY = re.compile(
    r"(?<!main/)\b(docs|examples|deploy)/|\bmake (check|demo|docs|test|up)\b|README|\.venv|\.env\.example"
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel, and unpack it as an installer does; return its folder."""
    folder = tmp_path_factory.mktemp("wheel")
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "installed")
    return folder / "installed"


@pytest.mark.long
def test_every_command_works_from_the_wheel_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ORDER_SYNC_")}
    command = [sys.executable, "-c", RUN, json.dumps(COMMANDS)]
    run = subprocess.run(
        command, cwd=tmp_path, env={**environ, "PYTHONPATH": str(installed)}, capture_output=True, text=True, check=True
    )
    results: list[Any] = [json.loads(line) for line in run.stdout.splitlines()]
    found = dict(zip(COMMANDS, results, strict=True))
    assert {Path(path).parents[2] for *_, path in results} == {installed}
    assert {arguments: code for arguments, (code, *_) in found.items()} == {
        **dict.fromkeys(COMMANDS, 0),
        ("place", "order.json"): 2,
        ("check",): 1,
        ("status",): 2,
    }
    assert found["place", "order.json"][2] == f"order-sync: the settings cannot work:\n{NO_REDIS}\n"
    failed = [line for line in found["check",][1].splitlines() if line.startswith("FAIL")]
    assert failed == [f"FAIL  redis: {NO_REDIS}"]
    assert {"order-sync.toml", "stores.toml", ".env", "schemas", "var"} <= {path.name for path in tmp_path.iterdir()}


# --- texts ------------------------------------------------------------------------------------------------------------


def texts_of(path: Path) -> Iterator[str]:
    """Yield the texts of a program's file that are not documentation."""
    tree = ast.parse(path.read_text())
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.value


def helps(command: Any) -> Iterator[str]:
    """Yield the help of a command, of its options, and of its subcommands."""
    yield command.help or ""
    yield from (str(getattr(each, "help", "") or "") for each in command.params)
    for each in getattr(command, "commands", {}).values():
        yield from helps(each)


def test_no_text_of_the_program_names_a_file_that_only_the_repository_has() -> None:
    files = [path for folder in ("schemas", "tasks", "worker") for path in (ROOT / folder).rglob("*.py")]
    texts = [text for path in files for text in texts_of(path)]
    assert [text for text in [*texts, *helps(get_command(app))] if ONLY_IN_THE_REPOSITORY.search(text)] == []


@pytest.mark.parametrize("carriers", [(), ("borzo",)])
def test_no_file_to_start_with_names_a_file_that_only_the_repository_has(carriers: tuple[str, ...]) -> None:
    lines = [line for text in starting_files(carriers, "").values() for line in text.splitlines()]
    assert [line for line in lines if ONLY_IN_THE_REPOSITORY.search(line)] == []
