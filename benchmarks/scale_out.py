"""Throughput with 1, 2 and 4 worker processes.

Each round is a round of `orders.py` with that number of workers. The workers, PostgreSQL, Redis and the carrier share
the cores of one machine. So the report also has the CPU time of an order in the workers and in each service, and the
share of all cores that was used: above about 90 %, more workers cannot help on this machine.
"""

import os
from collections.abc import Sequence

from benchmarks.orders import Round, measure
from benchmarks.programs import OrderSync
from benchmarks.report import Options, Report
from benchmarks.services import services

WORKERS = (1, 2, 4)
ORDERS, ROUNDS = 1500, 3
LONG_ORDERS = 5000


def run(report: Report, options: Options) -> bool:
    """Measure each number of workers in alternating rounds; return whether no order was lost or created twice."""
    orders = options.orders or (LONG_ORDERS if options.long else ORDERS)
    found: dict[int, list[Round]] = {number: [] for number in WORKERS}
    with services() as each:
        for _ in range(options.rounds or ROUNDS):
            for number, rounds in found.items():
                rounds.append(measure(OrderSync(each, workers=number), orders))
    for number, rounds in found.items():
        _report(report, number, rounds, found[WORKERS[0]])
    return not any(row.errors for rounds in found.values() for row in rounds)


def _report(report: Report, workers: int, rounds: Sequence[Round], alone: Sequence[Round]) -> None:
    case = f"{workers} worker{'s' * (workers > 1)}"

    def add(measured: str, unit: str, values: Sequence[float]) -> None:
        report.add("scale_out", case, measured, unit, values)

    add("rate", "orders/s", [row.rate for row in rounds])
    add("rate to 1 worker", "x", [row.rate / one.rate for row, one in zip(rounds, alone, strict=True)])
    names = [name for name in rounds[0].cpu if name.startswith("worker-")]
    add("CPU per order, workers", "ms", [sum(map(row.each, names)) for row in rounds])
    for name in ("postgres", "redis", "carrier"):
        add(f"CPU per order, {name}", "ms", [row.each(name) for row in rounds])
    cores = os.cpu_count() or 1
    add("share of the cores", "%", [100 * sum(row.cpu.values()) / row.seconds / cores for row in rounds])
