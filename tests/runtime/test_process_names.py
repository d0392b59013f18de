"""Names of processes, by which they hold leases and read messages."""

import subprocess
import sys

import pytest

FIRST_PROCESS = "import os; os.getpid = lambda: 1; from worker.runtime.steps import process_name; print(process_name())"


@pytest.mark.long
@pytest.mark.fault("F-110")
def test_two_processes_with_the_same_host_name_and_number_have_different_names() -> None:
    command = [sys.executable, "-c", FIRST_PROCESS]
    names = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    assert len(set(names)) == 2, names
