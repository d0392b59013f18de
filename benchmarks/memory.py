"""The resident memory of a worker: after its start, and after each eighth of the orders.

The first orders fill caches and pools, so only growth in the second half would be a leak.
"""

from itertools import pairwise

from benchmarks.programs import OrderSync, running
from benchmarks.report import Options, Report
from benchmarks.services import resident_mb, services

ORDERS, LONG_ORDERS = 8_000, 100_000
PARTS = 8
BATCH = 1_000
"""The orders that wait at the same time."""
MAX_MB, MAX_GROWTH = 120, 0.05
"""The goals: the memory at the end, and the growth in the second half, for each thousand orders."""


def run(report: Report, options: Options) -> bool:
    """Measure the memory of one worker."""
    orders = options.orders or (LONG_ORDERS if options.long else ORDERS)
    ends = [orders * part // PARTS for part in range(PARTS + 1)]
    with services() as found:
        program = OrderSync(found, workers=1)
        with running(found, program) as supervisor:
            used = [resident_mb(supervisor, "worker-1")]
            for first, end in pairwise(ends):
                for start in range(first, end, BATCH):
                    program.place(range(start, min(start + BATCH, end)))
                used.append(resident_mb(supervisor, "worker-1"))
    for end, resident in zip(ends, used, strict=True):
        goal = MAX_MB if end == orders else None
        report.add("memory", f"worker after {end:,} orders", "resident", "MB", [resident], goal=goal)
    growth = 1000 * (used[-1] - used[PARTS // 2]) / (orders - ends[PARTS // 2])
    report.add("memory", "second half", "growth", "MB per 1,000 orders", [growth], goal=MAX_GROWTH)
    return True
