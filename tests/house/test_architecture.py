"""The law of the rooms: who may import what. Every complaint names the file and the line."""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = ("schemas", "worker", "tasks")

PURE = (
    "worker/carriers/",
    "worker/delivery.py",
    "worker/fitness.py",
    "worker/lifecycle/",
    "worker/plan.py",
    "worker/platform/guard.py",
    "worker/schedule.py",
    "worker/terms.py",
    "worker/transitions.py",
    "worker/errors.py",
    "schemas/",
)
"""Rooms without I/O: data in, data out."""
PORT = ("worker.carriers.port", "worker.carriers.abilities", "worker.carriers.account", "worker.carriers.texts")
"""What every carrier knows."""

IO = frozenset({
    "alembic", "asyncio", "celery", "h11", "httpcore", "httpx", "io", "kombu", "logging", "os", "pathlib", "psycopg",
    "random", "redis", "requests", "secrets", "select", "shutil", "signal", "socket", "sqlalchemy", "sqlite3",
    "sqlmodel", "starlette", "structlog", "subprocess", "tempfile", "threading", "time", "urllib.request", "uvicorn",
})  # fmt: skip
"""What a pure room may not import: everything that waits, reads the world or throws dice."""

DOORS = {
    "sqlmodel": {"worker/store/": "the one place for SQL"},
    "sqlalchemy": {
        "worker/store/": "the one place for SQL",
        "worker/web/__init__.py": "catches its errors: a callback that cannot be stored is answered with 503",
    },
    "alembic": {"worker/store/": "the migrations"},
    "httpx": {"worker/gateway/": "the one door for HTTP", "worker/sandbox/": "plays the carriers"},
    "h11": {"worker/gateway/": "the one door for HTTP"},
    "httpcore": {},
    "redis": {
        "worker/bus/__init__.py": "the two streams",
        "worker/guard/breaker.py": "the shared circuit breakers",
        "worker/bus/outlet.py": "the scripts behind which events leave",
        "worker/guard/budget.py": "the shared counters",
        "worker/guard/prices.py": "prices that were told a moment ago",
        "worker/broker.py": "tells its errors, which kombu takes care of, from a message's",
        "worker/fleet.py": "waits until the server that it started answers",
        "worker/web/__init__.py": "catches its errors: readiness names what is away",
        "worker/web/metrics.py": "catches its errors: the rest is still worth telling",
        "tasks/events.py": "catches its errors: a bus that is away is left to the sweep",
    },
    "requests": {},
    "urllib.request": {},
}
"""Who may import a library that can fail, and why."""

CLOCKS = {
    "worker/wiring.py": "the composition root",
    "worker/sandbox/config.py": "the sandbox has a clock of its own, and imports nothing of ours",
}
VAGUE = frozenset({"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc"})


@dataclass(frozen=True)
class Import:
    """One import of one module, and where it stands."""

    file: str
    line: int
    module: str

    def within(self, *packages: str) -> bool:
        return any(self.module == package or self.module.startswith(f"{package}.") for package in packages)

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.module}"


def sources() -> list[Path]:
    return [path for package in OURS for path in sorted((ROOT / package).rglob("*.py"))]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports_in(text: str, file: str = "some.py") -> Iterator[Import]:
    """Every module that a file imports, also inside functions; `from a import b` counts as a and as a.b."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (Import(file, node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno} imports by a relative name"
            yield Import(file, node.lineno, node.module or "")
            yield from (Import(file, node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


@cache
def all_imports() -> tuple[Import, ...]:
    return tuple(each for path in sources() for each in imports_in(path.read_text(), name_of(path)))


def inside(file: str, rooms: Iterable[str]) -> bool:
    return any(file == room or (room.endswith("/") and file.startswith(room)) for room in rooms)


def complaints(found: Iterable[Import]) -> list[str]:
    return sorted({str(each) for each in found})


def test_schemas_import_nothing_of_ours_but_themselves() -> None:
    assert (
        complaints(
            [each for each in all_imports() if each.file.startswith("schemas/") and each.within("worker", "tasks")]
        )
        == []
    )


def test_the_worker_does_not_import_the_tasks() -> None:
    assert (
        complaints([each for each in all_imports() if each.file.startswith("worker/") and each.within("tasks")]) == []
    )


def test_nothing_that_runs_imports_the_tests_or_the_benchmarks() -> None:
    assert complaints([each for each in all_imports() if each.within("tests", "benchmarks", "docs")]) == []


def test_a_pure_room_imports_nothing_that_waits_or_reads_the_world() -> None:
    assert complaints([each for each in all_imports() if inside(each.file, PURE) and each.within(*IO)]) == []


def test_a_pure_room_of_the_worker_imports_only_pure_rooms_and_the_port() -> None:
    rooms = {room.removesuffix(".py").rstrip("/").replace("/", ".") for room in PURE if room != "worker/carriers/"}
    strays = [
        each
        for each in all_imports()
        if inside(each.file, PURE) and not each.file.startswith("worker/carriers/")
        if each.within("worker") and each.module not in {"worker", "worker.carriers"}
        if not each.within(*rooms, "worker.carriers.port")
    ]
    assert complaints(strays) == []


def test_a_carrier_knows_the_port_and_no_other_carrier() -> None:
    strays = [
        each
        for each in all_imports()
        for kind in [each.file.removeprefix("worker/carriers/").partition("/")]
        if each.file.startswith("worker/carriers/") and kind[1]
        if each.within("worker") and each.module not in {"worker", "worker.carriers"}
        if not each.within(f"worker.carriers.{kind[0]}", *PORT, "worker.errors")
    ]
    assert complaints(strays) == []


def test_the_sandbox_imports_nothing_of_ours_but_itself() -> None:
    strays = [
        each
        for each in all_imports()
        if each.file.startswith("worker/sandbox/") and each.within(*OURS) and not each.within("worker.sandbox")
    ]
    assert complaints(strays) == []


@pytest.mark.parametrize("library", sorted(DOORS))
def test_each_library_that_can_fail_has_its_own_door(library: str) -> None:
    strays = [each for each in all_imports() if each.within(library) and not inside(each.file, DOORS[library])]
    assert complaints(strays) == []


@pytest.mark.parametrize("library", sorted(DOORS))
def test_no_exception_outlives_its_reason(library: str) -> None:
    used = {each.file for each in all_imports() if each.within(library)}
    assert [room for room in DOORS[library] if not any(inside(file, [room]) for file in used)] == []


def test_only_the_composition_root_reads_the_clock() -> None:
    found = []
    for path in sources():
        if name_of(path) in CLOCKS:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in {"utcnow", "today"}:
                found.append(f"{name_of(path)}:{node.lineno} reads the clock with {node.attr}")
            if isinstance(node, ast.Attribute) and node.attr == "now" and _is_datetime(node.value):
                found.append(f"{name_of(path)}:{node.lineno} reads the clock with now")
    assert found == []


def _is_datetime(value: ast.expr) -> bool:
    last = value.attr if isinstance(value, ast.Attribute) else getattr(value, "id", "")
    return last in {"datetime", "date"}


def test_no_file_has_a_name_that_says_nothing() -> None:
    named = [*sources(), *(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    assert [name_of(path) for path in named if VAGUE & {path.stem, path.parent.name}] == []


def test_every_module_says_what_it_is_for() -> None:
    silent = [name_of(path) for path in sources() if not ast.get_docstring(ast.parse(path.read_text()))]
    assert [name for name in silent if "/migrations/versions/" not in name] == []


def test_the_search_for_imports_sees_those_inside_functions() -> None:
    text = "import os.path\n\ndef lazily() -> None:\n    from redis import exceptions\n"
    assert [str(each) for each in imports_in(text)] == [
        "some.py:1 imports os.path",
        "some.py:4 imports redis",
        "some.py:4 imports redis.exceptions",
    ]
