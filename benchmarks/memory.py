"""The resident memory of a worker: after its start, after half of the orders, and after all of them.

The first half fills caches and pools. Growth in the second half would be a leak.
"""

from benchmarks.programs import OrderSync, running
from benchmarks.report import Options, Report
from benchmarks.services import resident_mb, services

ORDERS, LONG_ORDERS = 6_000, 100_000
BATCH = 1_000
"""The orders that wait at the same time."""


def run(report: Report, options: Options) -> bool:
    """Measure the memory of one worker."""
    orders = options.orders or (LONG_ORDERS if options.long else ORDERS)
    half = max(1, orders // 2)
    with services() as found:
        program = OrderSync(found, workers=1)
        with running(found, program) as supervisor:
            used = [resident_mb(supervisor, "worker-1")]
            for first in (0, half):
                for start in range(first, first + half, BATCH):
                    program.place(range(start, min(start + BATCH, first + half)))
                used.append(resident_mb(supervisor, "worker-1"))
    report.add("memory", "worker after its start", "resident", "MB", [used[0]])
    report.add("memory", f"worker after {half:,} orders", "resident", "MB", [used[1]])
    report.add("memory", f"worker after {2 * half:,} orders", "resident", "MB", [used[2]])
    report.add("memory", "second half", "growth", "MB per 1,000 orders", [1000 * (used[2] - used[1]) / half])
    return True
