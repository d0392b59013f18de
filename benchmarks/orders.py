"""Orders end to end: Order Sync beside plain Celery and beside a hand-written asyncio loop.

**Order Sync**: two workers and the beat. An order is done when it has passed from `order.placed` on the Redis Stream
through inbox, intent, create and outbox, and its `created` event is on the bus. **Plain Celery** (`plain_celery.py`):
two workers; an order is done when its row says that the carrier has it. **asyncio loop** (`asyncio_loop.py`): two
processes with the guarantees of Order Sync. All use the same PostgreSQL, the same Redis and the same carrier, which
replies after 50 ms, in alternating rounds. All orders of a round are waiting when it begins, so nobody pays for the
producer. Each round begins with empty services and with orders that warm the workers up.

Over TLS, Order Sync opens a connection for each create. The other two keep theirs.
"""

import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.programs import AsyncioLoop, OrderSync, PlainCelery, Program, running
from benchmarks.report import Options, Report
from benchmarks.services import services

ORDERS, ROUNDS = 1500, 2
LONG_ORDERS, LONG_ROUNDS = 5000, 5
SHORT_ORDERS, SHORT_ROUNDS = 600, 2
WARM_UP = 300
LOWEST_RATIO = 1.8
"""A short run fails below this ratio of rates to plain Celery: no noise of the machine explains it."""


@dataclass(frozen=True)
class Round:
    """One round: its orders, its duration, the CPU seconds of each process, and what went wrong."""

    orders: int
    seconds: float
    cpu: Mapping[str, float]
    errors: Sequence[str]

    @property
    def rate(self) -> float:
        """Orders per second."""
        return self.orders / self.seconds

    @property
    def cost(self) -> float:
        """CPU milliseconds per order, of all processes but the carrier."""
        return sum(self.each(name) for name in self.cpu if name != "carrier")

    def each(self, name: str) -> float:
        """Return the CPU milliseconds per order of one process."""
        return 1000 * self.cpu[name] / self.orders


def run(report: Report, options: Options) -> bool:
    """Measure the programs over TCP, and over TLS as well if that is wanted."""
    programs = (OrderSync, PlainCelery) if options.short else (OrderSync, PlainCelery, AsyncioLoop)
    orders, rounds = ORDERS, ROUNDS
    if options.long:
        orders, rounds = LONG_ORDERS, LONG_ROUNDS
    elif options.short:
        orders, rounds = SHORT_ORDERS, SHORT_ROUNDS
    correct = True
    for tls in (False, True) if options.tls else (False,):
        with services(tls=tls) as found:
            contenders = [program(found) for program in programs]
            ratio = compare(report, "orders", contenders, options.orders or orders, options.rounds or rounds)
            lowest = LOWEST_RATIO if options.short else 0.0
            if ratio <= lowest:
                print(f"WRONG: a ratio of {ratio:.2f}, and {lowest} is too low", file=sys.stderr)
                correct = False
    return correct


def compare(report: Report, benchmark: str, contenders: Sequence[Program], orders: int, rounds: int) -> float:
    """Measure contenders in alternating rounds; return how many times as fast as plain Celery Order Sync is.

    Return 0 when an order is missing or was created twice.
    """
    found: dict[str, list[Round]] = {each.name: [] for each in contenders}
    for number in range(rounds):
        for each in contenders:
            measured = measure(each, orders)
            found[each.name].append(measured)
            _print_round(f"round {number + 1}, {each.name}", measured)
    over = ", TLS" if contenders[0].services.ca_bundle else ""
    for name, rows in found.items():
        _report_contender(report, benchmark, f"{name}{over}", rows)
    ratios = _report_ratios(report, benchmark, f"{OrderSync.name}{over}", found)
    if any(row.errors for rows in found.values() for row in rows):
        return 0.0
    return ratios[PlainCelery.name]


def measure(program: Program, orders: int) -> Round:
    """Run one round with workers of its own, so that no round affects the next."""
    with running(program.services, program) as workers:
        program.place(range(WARM_UP))
        numbers = range(WARM_UP, WARM_UP + orders)
        program.prepare_orders(numbers)
        before, started = program.services.cpu(workers), time.perf_counter()
        program.release_orders()
        program.wait_done(numbers.stop)
        seconds, after = time.perf_counter() - started, program.services.cpu(workers)
        used = {name: after[name] - before[name] for name in after}
        return Round(orders, seconds, used, _errors(program, numbers.stop))


def _errors(program: Program, orders: int) -> list[str]:
    """Return what is wrong with the work: orders that are missing, or that were created or reported twice."""
    created = Counter(entry["detail"]["order_id"] for entry in program.services.created())
    counts = {"the carrier's ledger": created, "the report": program.reported()}
    return [
        f"{where} has {len(found)} of {orders} orders, {found.total() - len(found)} more than once"
        for where, found in counts.items()
        if len(found) != orders or found.total() != orders
    ]


def _print_round(name: str, row: Round) -> None:
    spent = ", ".join(f"{who} {row.each(who):.2f}" for who in sorted(row.cpu))
    print(
        f"{name:24}{row.rate:6.0f} orders/s  {row.cost:5.2f} ms CPU per order  ({spent})", file=sys.stderr, flush=True
    )
    for error in row.errors:
        print(f"  WRONG: {error}", file=sys.stderr, flush=True)


def _report_contender(report: Report, benchmark: str, case: str, rows: Sequence[Round]) -> None:
    report.add(benchmark, case, "rate", "orders/s", [row.rate for row in rows])
    report.add(benchmark, case, "CPU per order", "ms", [row.cost for row in rows])
    report.add(benchmark, case, "carrier's CPU per order", "ms", [row.each("carrier") for row in rows])


def _report_ratios(report: Report, benchmark: str, case: str, found: Mapping[str, Sequence[Round]]) -> dict[str, float]:
    """Report how many times as many orders Order Sync creates as each other contender, round by round.

    Return the medians by contender.
    """
    ours = found[OrderSync.name]
    others = {name: rows for name, rows in found.items() if name != OrderSync.name}
    return {
        name: report.add(
            benchmark,
            case,
            f"rate to {name}",
            "x",
            [row.rate / other.rate for row, other in zip(ours, rows, strict=True)],
        )
        for name, rows in others.items()
    }
