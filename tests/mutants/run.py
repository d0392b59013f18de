"""Take one guarantee after another out of a copy of the code, and check that the tests notice.

mutants.toml lists the mutants. A mutant is killed when one of its tests fails; a mutant that no test kills is printed,
and the exit code is 1. Arguments select the mutants whose names contain one of them.
"""

import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]
LEFT_OUT = shutil.ignore_patterns(".*", "var", "dist", "__pycache__")
PASSED, FAILED = 0, 1
"""Exit codes of pytest; any other code means that it could not run the tests."""
SECONDS = 600
THOROUGH = ("--hypothesis-profile", "thorough")


@dataclass(frozen=True)
class Mutant:
    """One change of a file that takes a guarantee away, and the tests of which at least one must fail then."""

    name: str
    file: str
    text: str
    replacement: str
    tests: tuple[str, ...]

    def apply(self, root: Path) -> str:
        """Change the file under `root`; return its content before. Raises ValueError unless the text occurs once."""
        path = root / self.file
        before = path.read_text()
        if before.count(self.text) != 1:
            raise ValueError(f"{self.name}: the text occurs {before.count(self.text)} times in {self.file}")
        path.write_text(before.replace(self.text, self.replacement))
        return before


def load() -> list[Mutant]:
    """Read mutants.toml."""
    listed = tomllib.loads(Path(__file__).with_name("mutants.toml").read_text())
    return [Mutant(name, **{**fields, "tests": tuple(fields["tests"])}) for name, fields in listed.items()]


def run_tests(root: Path, tests: tuple[str, ...]) -> int:
    """Run tests of the tree at `root` until one fails; return pytest's exit code."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *THOROUGH, *tests]
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    if done.returncode not in {PASSED, FAILED}:
        sys.exit(f"pytest could not run {' '.join(tests)}:\n{done.stdout}{done.stderr}")
    return done.returncode


def survivors(root: Path, mutants: list[Mutant]) -> list[str]:
    """Return the names of the mutants that no test kills in the tree at `root`."""
    alive = []
    for mutant in mutants:
        before = mutant.apply(root)
        killed = run_tests(root, mutant.tests) == FAILED
        (root / mutant.file).write_text(before)
        print("killed  " if killed else "SURVIVED", mutant.name, flush=True)
        if not killed:
            alive.append(mutant.name)
    return alive


def main(wanted: list[str]) -> None:
    """Run the mutants in a copy of the tree, in which all tests pass at first."""
    mutants = [each for each in load() if not wanted or any(part in each.name for part in wanted)]
    with TemporaryDirectory(prefix="order-sync-mutants-") as folder:
        copy = Path(folder, "tree")
        shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
        if run_tests(copy, tuple(dict.fromkeys(chain.from_iterable(each.tests for each in mutants)))) != PASSED:
            sys.exit("the tests fail without a mutant")
        alive = survivors(copy, mutants)
    sys.exit(f"no test noticed: {', '.join(alive)}" if alive else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
