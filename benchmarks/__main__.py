"""The benchmarks: `python -m benchmarks [NAME ...]`; `make bench` and `make bench-long` run all of them.

Each module measures one thing, which its first lines describe. docs/performance.md says how to read the results.
"""

import argparse
import signal
import sys
from collections.abc import Callable, Mapping

from benchmarks import backlog, callbacks, claims, idle, latency, memory, orders, polling, scale_out, sqlite, start
from benchmarks.report import Options, Report

BENCHMARKS: Mapping[str, Callable[[Report, Options], bool]] = {
    "orders": orders.run,
    "scale_out": scale_out.run,
    "latency": latency.run,
    "callbacks": callbacks.run,
    "claims": claims.run,
    "backlog": backlog.run,
    "memory": memory.run,
    "start": start.run,
    "idle": idle.run,
    "sqlite": sqlite.run,
    "polling": polling.run,
}
"""The benchmarks by name. Each returns whether the program did its work correctly."""
LONG_ONLY = frozenset({"polling"})
"""The benchmarks that take too long to run unless they are named, or `--long` is given."""


def main() -> int:
    """Run the named benchmarks; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one or more of {', '.join(BENCHMARKS)}")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--long", action="store_true", help="measure with more orders, more rows and for longer")
    size.add_argument("--short", action="store_true", help="only a few orders beside plain Celery, for CI")
    parser.add_argument("--tls", action="store_true", help="measure the orders over TLS as well")
    parser.add_argument("--rounds", type=int, help="the number of rounds")
    parser.add_argument("--orders", type=int, help="the number of orders in a round")
    parser.add_argument("--json", action="store_true", help="print each result as JSON")
    given = parser.parse_args()
    if unknown := set(given.names) - BENCHMARKS.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    for number in (signal.SIGINT, signal.SIGTERM):  # a background job of a shell would ignore Ctrl-C
        signal.signal(number, signal.default_int_handler)
    options = Options(given.long, given.short, given.tls, given.rounds, given.orders)
    most = [name for name in BENCHMARKS if given.long or name not in LONG_ONLY]
    names = given.names or (["orders"] if given.short else most)
    report = Report(as_json=given.json)
    try:
        correct = [BENCHMARKS[name](report, options) for name in names]
    except KeyboardInterrupt:
        return 130
    return 0 if all(correct) else 1


sys.exit(main())
