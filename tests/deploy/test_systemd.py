"""The units of systemd are valid, run the processes of the Procfile, and may do little."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.test_packaging import PROCFILE, ROOT
from worker.carriers.account import CarrierAccount

FOLDER = ROOT / "deploy" / "systemd"
PROGRAMS = "/opt/order-sync/bin"
UNITS = ["order-sync-migrate", "order-sync-worker@", "order-sync-beat", "order-sync-web", "order-sync-flower"]
EXPOSURE = 20
"""The highest exposure in tenths that `systemd-analyze security` may report; it calls 20 "OK" and 100 unsafe."""


def value(unit: str, name: str) -> str:
    """Return the value of a setting in the file of a unit."""
    lines = (FOLDER / f"{unit}.service").read_text().splitlines()
    (found,) = [line.partition("=")[2] for line in lines if line.startswith(f"{name}=")]
    return found


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Return a folder with the units, for the programs of this environment."""
    units = shutil.copytree(FOLDER, tmp_path / "units")
    for unit in units.glob("*.service"):
        unit.write_text(unit.read_text().replace(PROGRAMS, str(Path(sys.executable).parent)))
    return units


def analyze(units: Path, *arguments: str) -> None:
    program = shutil.which("systemd-analyze")
    if program is None and os.environ.get("CI"):
        pytest.fail("systemd-analyze was not found (apt-get install systemd)", pytrace=False)
    if program is None:
        pytest.skip("systemd-analyze was not found (apt-get install systemd)")
    environ = {**os.environ, "SYSTEMD_UNIT_PATH": f"{units}:"}
    done = subprocess.run([program, *arguments], env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_systemd_accepts_the_units(installed: Path) -> None:
    names = [f"{name}1.service" if name.endswith("@") else f"{name}.service" for name in UNITS]
    shutil.copy(installed / "order-sync-worker@.service", installed / "order-sync-worker@1.service")
    analyze(installed, "verify", "--man=no", *(str(installed / name) for name in ["order-sync.target", *names]))


@pytest.mark.parametrize("unit", ["order-sync-web", "order-sync-beat"])
def test_a_unit_may_do_little(installed: Path, unit: str) -> None:
    threshold = f"--threshold={EXPOSURE}"
    analyze(installed, "security", "--offline=true", "--no-pager", threshold, str(installed / f"{unit}.service"))


@pytest.mark.parametrize("name", ["beat", "web", "flower"])
def test_a_unit_runs_the_command_of_the_procfile(name: str) -> None:
    assert value(f"order-sync-{name}", "ExecStart") == f"{PROGRAMS}/{PROCFILE[name]}"


def test_each_worker_has_a_name_of_its_own_and_time_to_finish_its_calls() -> None:
    assert shlex.split(value("order-sync-worker@", "ExecStart")) == [
        *shlex.split(f"{PROGRAMS}/{PROCFILE['worker']}"),
        "--hostname",
        "worker-%i@%%h",
    ]
    assert float(value("order-sync-worker@", "TimeoutStopSec")) > CarrierAccount.model_fields["deadline"].default + 15
