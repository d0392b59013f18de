"""Processes that are forked from one process that has loaded the modules, because most tests are shorter than that."""

import os
import runpy
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Any

from worker.local.supervisor import Process

LOADED = (
    "celery.apps.worker",
    "celery.concurrency.thread",
    "celery.worker.consumer",
    "kombu.transport.redis",
    "tests.chaos.injection_points",
    "tests.chaos.operator",
    "uvicorn.protocols.http.h11_impl",
    "worker.app",
    "worker.container",
    "worker.sandbox",
    "worker.web",
)
"""The modules that are loaded before a fork. `tests.chaos.process` is not, because it reads the environment."""
_FORKS = get_context("forkserver")
_FORKS.set_forkserver_preload(list(LOADED))


@dataclass
class Fork:
    """A forked process, with the methods of `subprocess.Popen` that a supervisor uses."""

    process: ForkServerProcess

    @property
    def pid(self) -> int:
        """The id of the process, which is also that of its session."""
        assert self.process.pid is not None
        return self.process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code; None while the process runs."""
        return self.process.exitcode

    def poll(self) -> int | None:
        """Return the exit code; None while the process runs."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end of the process and return its exit code. Raises TimeoutExpired."""
        self.process.join(timeout)
        code = self.poll()
        if code is None:
            raise TimeoutExpired(str(self.pid), timeout or 0)
        return code


class ForkedProcess(Process):
    """A process that starts as a fork if its command is `python -m`."""

    def start(self) -> None:
        """Fork, and run the module with the environment, the arguments and the log of this process."""
        if list(self.command[:2]) != [sys.executable, "-m"]:
            super().start()
            return
        arguments = tuple(self.command)[2:]
        self.log.parent.mkdir(parents=True, exist_ok=True)
        process = _FORKS.Process(target=_run, args=(arguments, dict(self.environ), self.log))
        process.start()
        forked: Any = Fork(process)
        self.running = forked
        self.started_at, self.restart_at = time.monotonic(), None


def _run(arguments: Sequence[str], environ: Mapping[str, str], log: Path) -> None:
    with suppress(ProcessLookupError):
        os.setsid()
    os.environ.clear()
    os.environ.update(environ)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    module, sys.argv = arguments[0], list(arguments)
    runpy.run_module(module, run_name="__main__", alter_sys=True)
