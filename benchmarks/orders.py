"""Orders end to end with full guarantees, compared with plain Celery: `python -m benchmarks`.

**Order Sync**: two workers and the beat. An order is done when it has passed from `order.placed` on the Redis Stream
through inbox, intent, create and outbox, and its `created` event is on the bus. **Plain Celery** (`plain_celery.py`):
two workers; an order is done when its row says that the carrier has it. Both use the same PostgreSQL, the same Redis
and the same carrier, which replies after 50 ms, in alternating rounds. All orders of a round are waiting when it
begins, so neither pays for its producer. Each round begins with orders that warm the workers up.

The carrier is the small server of `carrier.py`. The sandbox could serve the load too (about 1100 creates/s on a core
at 50 ms), but it needs more than twice the CPU time; `--sandbox` uses it nevertheless. Statuses are not polled.
"""

import argparse
import os
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.contenders import Contender, OrderSync, PlainCelery, Services
from benchmarks.services import backends, cpu_seconds, database, wait_until
from worker.local.supervisor import Supervisor, free_port, read_tail, start_redis

WARM_UP = 300
DELAY = 0.05
"""Seconds until the carrier replies."""


@dataclass(frozen=True)
class Result:
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


@dataclass
class Bench:
    """The services and their processes, which all rounds share."""

    services: Services
    supervisor: Supervisor

    def round(self, contender: Contender, orders: int) -> Result:
        """Run one round with workers of its own, so that no round affects the next."""
        self.services.redis.flushall()
        contender.reset()
        httpx.post(f"{self.services.carrier}/sandbox/reset").raise_for_status()
        with Supervisor(self.services.environ, self.services.folder / "log") as workers:
            contender.start(workers)
            try:
                wait_until(contender.ready, f"{contender.name} starts")
                self._warm_up(contender)
                return self._measure(contender, workers, range(WARM_UP, WARM_UP + orders))
            except TimeoutError:
                for process in workers.processes:
                    print(f"--- {process.name} ---\n{read_tail(process.log, 2000)}", file=sys.stderr)
                raise

    def _warm_up(self, contender: Contender) -> None:
        contender.prepare_orders(range(WARM_UP))
        contender.release_orders()
        wait_until(lambda: contender.done() >= WARM_UP, f"{contender.name} warms up")

    def _measure(self, contender: Contender, workers: Supervisor, numbers: range) -> Result:
        contender.prepare_orders(numbers)
        before, started = self._cpu(workers), time.perf_counter()
        contender.release_orders()
        wait_until(lambda: contender.done() >= numbers.stop, f"{contender.name} works")
        seconds, after = time.perf_counter() - started, self._cpu(workers)
        used = {name: after[name] - before[name] for name in after}
        return Result(len(numbers), seconds, used, self._errors(contender, numbers.stop))

    def _cpu(self, workers: Supervisor) -> dict[str, float]:
        found = {"postgres": cpu_seconds(backends(self.services.sql))}
        for process in (*self.supervisor.processes, *workers.processes):
            if process.running is not None:
                found[process.name] = cpu_seconds([process.running.pid])
        return found

    def _errors(self, contender: Contender, orders: int) -> list[str]:
        """Return what is wrong with the work: orders that are missing, or that were created or reported twice."""
        ledger = httpx.get(f"{self.services.carrier}/sandbox/ledger", timeout=30).json()["ledger"]
        created = Counter(entry["detail"]["order_id"] for entry in ledger if entry["action"] == "create")
        counts = {"the carrier's ledger": created, "the report": contender.reported()}
        return [
            f"{where} has {len(found)} of {orders} orders, {found.total() - len(found)} more than once"
            for where, found in counts.items()
            if len(found) != orders or found.total() != orders
        ]


def run(rounds: int, orders: int, *, sandbox: bool) -> bool:
    """Run the rounds and print the results; return False when an order is missing or was created twice."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="order-sync-bench-")))
        url = stack.enter_context(database())
        environ = {key: value for key, value in os.environ.items() if not key.startswith("ORDER_SYNC_")}
        supervisor = stack.enter_context(Supervisor(environ, folder / "log"))
        port = free_port()
        redis_url = start_redis(supervisor, folder / "redis")
        services = Services(url, redis_url, f"http://127.0.0.1:{port}", folder, environ)
        stack.callback(services.close)
        _start_carrier(supervisor, port, sandbox=sandbox)
        bench = Bench(services, supervisor)
        contenders: list[Contender] = [OrderSync(services), PlainCelery(services)]
        results: dict[str, list[Result]] = {}
        for contender in contenders:
            contender.prepare()
        for _ in range(rounds):
            for contender in contenders:
                result = bench.round(contender, orders)
                results.setdefault(contender.name, []).append(result)
                _print_round(contender.name, result)
        _print_summary(results)
        return not any(result.errors for each in results.values() for result in each)


def _start_carrier(supervisor: Supervisor, port: int, *, sandbox: bool) -> None:
    if sandbox:
        options = ["--port", str(port), "--latency", str(DELAY), "--step", "3600"]
        supervisor.start_command("carrier", ["order-sync", "sandbox", *options])
    else:
        program = str(Path(__file__).parent / "carrier.py")
        supervisor.start_command("carrier", ["python", program, "--port", str(port), "--delay", str(DELAY)])
    wait_until(lambda: _answers(port), "the carrier starts", seconds=20)


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/sandbox/ledger").is_success
    except httpx.TransportError:
        return False


def _print_round(name: str, result: Result) -> None:
    spent = ", ".join(f"{who} {result.each(who):.2f}" for who in sorted(result.cpu))
    print(f"{name:13}{result.rate:6.0f} orders/s  {result.cost:5.2f} ms CPU per order  ({spent})", flush=True)
    for error in result.errors:
        print(f"  WRONG: {error}", flush=True)


def _print_summary(results: Mapping[str, Sequence[Result]]) -> None:
    print(f"\n{'medians':13}{'orders/s':>9}  {'lowest..highest':>16}  {'CPU ms':>7}  {'carrier ms':>10}  {'busy':>5}")
    medians = {}
    for name, each in results.items():
        rates = sorted(result.rate for result in each)
        medians[name] = statistics.median(rates)
        cost = statistics.median(result.cost for result in each)
        carrier = statistics.median(result.each("carrier") for result in each)
        busy = statistics.median(result.cpu["carrier"] / result.seconds for result in each)
        spread = f"{rates[0]:.0f}..{rates[-1]:.0f}"
        print(f"{name:13}{medians[name]:9.0f}  {spread:>16}  {cost:7.2f}  {carrier:10.2f}  {busy:5.0%}")
    orders = sum(result.orders for each in results.values() for result in each)
    wrong = sum(len(result.errors) for each in results.values() for result in each)
    print(f"\nratio {medians[OrderSync.name] / medians[PlainCelery.name]:.2f} (Order Sync to plain Celery)")
    print(f"{orders} orders measured: " + (f"{wrong} ERRORS" if wrong else "each created and reported once"))


def main() -> int:
    """Run the benchmark; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--orders", type=int, default=2500, help="orders in a round")
    parser.add_argument("--sandbox", action="store_true", help="use the sandbox instead of the small carrier")
    for number in (signal.SIGINT, signal.SIGTERM):  # a background job of a shell would ignore Ctrl-C
        signal.signal(number, signal.default_int_handler)
    try:
        return 0 if run(**vars(parser.parse_args())) else 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
