"""Several hosts, each in a network namespace of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from schemas.status import AttentionReason
from tests.chaos.hosts import isolated, without_namespaces
from tests.chaos.processes import ROOT
from tests.conftest import missing

CARRIERS = ["borzo", "cervo", "deliverit"]


@pytest.mark.long
@pytest.mark.fault("F-111")
def test_the_others_replace_a_host_that_is_cut_off_while_it_creates_and_its_return_repeats_nothing(
    tmp_path: Path,
) -> None:
    if lack := without_namespaces():
        missing("A namespace of the network", "CI", lack)
    command = [sys.executable, "-m", "tests.chaos.cut_off", str(tmp_path)]
    done = subprocess.run(isolated(command), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    expected = {
        "ends": {
            **dict.fromkeys(["borzo", "deliverit", *(f"later-{each}" for each in CARRIERS)], "created"),
            "cervo": AttentionReason.OUTCOME_UNKNOWN.value,
        },
        "couriers": sorted(CARRIERS * 2),
        "edits": [],
        "platform": [],
        "bus": "in order",
    }
    assert json.loads(done.stdout) == [expected, expected]
