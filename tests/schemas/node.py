"""Run a script of Node with the packages of `.ci/package.json`."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

PACKAGES = Path(__file__).parents[2] / ".ci" / "node_modules"


def run(script: str, given: Any) -> Any:
    """Return what a script prints as JSON for a value on standard input.

    Skips the test without Node and the packages, and fails it in CI.
    """
    if not (shutil.which("node") and PACKAGES.exists()):
        advice = "the packages of Node are missing: run `npm ci` in .ci/"
        if os.environ.get("CI"):
            pytest.fail(advice)
        pytest.skip(advice)
    environment = {**os.environ, "NODE_PATH": str(PACKAGES)}
    command = ["node", "-e", script]
    done = subprocess.run(command, input=json.dumps(given), env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)
