"""Every command of the pages runs, against one `order-sync up` that the tutorial starts; nothing is left out in silence."""

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.cli.commands import CommandLine, Result
from tests.house.pages import ROOT, Block, block, blocks, lines
from worker.local.supervisor import free_port

TUTORIAL = "docs/tutorial.md"
SECONDS = 300
"""How long a program may take, however loaded the machine is."""
BIN = str(Path(sys.executable).parent)

RUN_ELSEWHERE = {
    "docs/sending-orders.md: import redis": "test_snippets.py",
    "docs/sending-orders.md: const fs = require(\"fs\");": "test_snippets.py",
    "docs/sending-orders.md: import json": "test_snippets.py",
    "docs/sending-orders.md: order-sync place docs/order-placed.json": "test_snippets.py",
    "docs/sending-orders.md: order() { curl -sS -H \"Authorization: Bearer $ORDER_SYNC_API_KEYS__PLATFORM\" \"$@\"; }":
        "test_snippets.py",
    "docs/subscribing.md: import json": "test_snippets.py",
    "docs/adding-a-carrier.md: Toy.kind: Toy,": "the registry has such lines, and every carrier test uses it",
}  # fmt: skip
NOT_RUN = {
    "README.md: make demo    # fourteen orders at three simulated carriers: refusals, changes, a withdrawn courier, a missed message": "takes a minute; .ci/run runs it",
    "README.md: cp examples/stores.toml stores.toml                   # your stores, and the carriers each may use": "runs until Ctrl-C; the tutorial's `up` does the same",
    "CONTRIBUTING.md: make .venv/.ready    # the environment, from requirements.lock; uses uv where it is installed": "runs these tests",
    "CONTRIBUTING.md: .venv/bin/pytest -q tests/carriers         # one room": "runs these tests",
    "docs/performance.md: python -m benchmarks orders latency        # only some of the benchmarks": "takes minutes; .ci/run runs the short form",
    "docs/tutorial.md: git clone https://github.com/order-sync/order-sync.git": "needs the network; the tests run in a clone",
}
for each in blocks("sh", "bash", "python", "js"):
    print(each.name)
