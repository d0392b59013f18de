"""How long the programs take to start: wall time and CPU time until `--help` is printed and until a worker is ready."""

import resource
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.programs import OrderSync
from benchmarks.report import Options, Report
from benchmarks.services import cpu_seconds, services, shown_logs, wait_until
from worker.local.supervisor import Supervisor

ROUNDS = 5
COMMAND = str(Path(sys.executable).with_name("order-sync"))
READY = b" ready."
"""Celery logs this when a worker takes tasks."""
Start = tuple[float, float]
"""The wall time and the CPU time of a start, in seconds."""


def run(report: Report, options: Options) -> bool:
    """Measure several starts of each, after a first one that compiles the modules."""
    rounds = 1 + (options.rounds or ROUNDS * (2 if options.long else 1))
    _report(report, "order-sync --help", [_show_help() for _ in range(rounds)])
    with services() as found:
        program = OrderSync(found, workers=1)
        program.prepare()
        _report(report, "worker until ready", [_start_worker(program, number) for number in range(rounds)])
    return True


def _show_help() -> Start:
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([COMMAND, "--help"], check=True, stdout=subprocess.DEVNULL)
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _start_worker(program: OrderSync, number: int) -> Start:
    services = program.services
    with Supervisor(services.environ, services.folder / f"log-{number}") as supervisor, shown_logs(supervisor):
        began = time.perf_counter()
        program.start_workers(supervisor)
        (worker,) = supervisor.processes
        wait_until(lambda: READY in worker.log.read_bytes(), "the worker starts", every=0.005)
        assert worker.running is not None
        return time.perf_counter() - began, cpu_seconds([worker.running.pid])


def _report(report: Report, case: str, starts: list[Start]) -> None:
    walls, cpus = zip(*starts[1:], strict=True)
    report.add("start", case, "wall time", "ms", [1000 * each for each in walls])
    report.add("start", case, "CPU time", "ms", [1000 * each for each in cpus])
