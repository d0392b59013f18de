"""What a deployment without orders costs: the share of a core of each process."""

import time

from benchmarks.programs import OrderSync, running
from benchmarks.report import Options, Report
from benchmarks.services import services
from worker.local.supervisor import free_port

SECONDS, LONG_SECONDS = 20.0, 120.0
SETTLE_SECONDS = 10.0
"""The wait after the start, in which the processes finish what they do once."""


def run(report: Report, options: Options) -> bool:
    """Measure a worker, the beat and the web process, and what they cause in PostgreSQL and Redis."""
    seconds = LONG_SECONDS if options.long else SECONDS
    with services() as found:
        program = OrderSync(found, workers=1, web=f"127.0.0.1:{free_port()}")
        with running(found, program) as supervisor:
            time.sleep(SETTLE_SECONDS)
            before, began = found.cpu(supervisor), time.perf_counter()
            time.sleep(seconds)
            after, passed = found.cpu(supervisor), time.perf_counter() - began
    shares = {name: 100 * (after[name] - before[name]) / passed for name in before if name != "carrier"}
    for name, share in shares.items():
        report.add("idle", name, "CPU", "% of a core", [share])
    report.add(
        "idle", "worker, beat and web", "CPU", "% of a core", [shares["worker-1"] + shares["beat"] + shares["web"]]
    )
    return True
