"""Orders on SQLite in one process: Order Sync beside plain Celery, as in the benchmark `orders`."""

from benchmarks.orders import compare
from benchmarks.programs import OrderSync, PlainCelery
from benchmarks.report import Options, Report
from benchmarks.services import services

ORDERS, ROUNDS = 1_000, 2
LONG_ORDERS, LONG_ROUNDS = 5_000, 5


def run(report: Report, options: Options) -> bool:
    """Measure one worker of each."""
    orders, rounds = (LONG_ORDERS, LONG_ROUNDS) if options.long else (ORDERS, ROUNDS)
    with services(sqlite=True) as found:
        contenders = [OrderSync(found, workers=1), PlainCelery(found, workers=1)]
        return compare(report, "sqlite", contenders, options.orders or orders, options.rounds or rounds) > 0
