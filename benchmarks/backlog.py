"""A backlog: orders of three carriers lie on the stream when the only worker starts.

The figures are the rate, the highest memory of the worker, and how fair the carriers are served: when each of them had
a tenth, half and all of its orders. The orders of the carriers alternate. The sandbox simulates the carriers, each of
which replies after 50 ms.
"""

from math import ceil

from benchmarks.programs import CARRIERS, OrderSync
from benchmarks.report import Options, Report
from benchmarks.services import resident_mb, services, shown_logs, wait_until
from worker.local.supervisor import Supervisor

ORDERS, LONG_ORDERS = 5_000, 100_000
SHARES = (0.1, 0.5, 1.0)


def run(report: Report, options: Options) -> bool:
    """Measure one backlog; return whether each order was created once."""
    orders = options.orders or (LONG_ORDERS if options.long else ORDERS)
    with services(sandbox=True) as found:
        program = OrderSync(found, workers=1, carriers=list(CARRIERS))
        program.prepare()
        program.prepare_orders(range(orders))
        program.release_orders()
        with Supervisor(found.environ, found.folder / "log") as supervisor, shown_logs(supervisor):
            program.start(supervisor)
            peak = _peak_memory(program, supervisor, orders)
        (began, _), *_ = events = program.events()
        sent, reported = len(found.created()), program.reported()
    created = [(at - began, event["data"]["carrier"]) for at, event in events if event["data"]["status"] == "created"]
    case = f"{orders:,} orders"
    report.add("backlog", case, "rate", "orders/s", [orders / created[-1][0]])
    report.add("backlog", case, "highest memory", "MB", [peak])
    halves = []
    for carrier in CARRIERS:
        times = [at for at, name in created if name == carrier]
        for share in SHARES:
            report.add("backlog", case, f"{carrier}, {share:.0%}", "s", [times[ceil(share * len(times)) - 1]])
        halves.append(times[len(times) // 2])
    report.add("backlog", case, "half, slowest to fastest", "x", [max(halves) / min(halves)])
    return sent == len(reported) == reported.total() == orders


def _peak_memory(program: OrderSync, supervisor: Supervisor, orders: int) -> float:
    """Wait until all orders are done; return the highest memory of the worker meanwhile, in MB."""
    peak = 0.0

    def done() -> bool:
        nonlocal peak
        peak = max(peak, resident_mb(supervisor, "worker-1"))
        return program.done() >= orders

    wait_until(done, "the backlog is done", seconds=120 + orders / 20, every=0.1)
    return peak
