"""Chaos: real processes under load, with two faults at a time. `make chaos MINUTES=1 SEED=7`.

A run has a Redis, a PostgreSQL and a sandbox of its own, and with `BUS=amqp` a RabbitMQ as its bus and broker. After
the faults everything must recover, every order must settle, and the checks of `checker.py` read the record. The run is
kept in `var/chaos/SEED/`.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

from tests.chaos import lateness
from tests.chaos.checker import awaits_operator, check
from tests.chaos.environment import RECOVERY, SETTLING, Run
from tests.chaos.history import History, Row
from tests.chaos.hosts import begin_isolated, build_network, missing
from tests.chaos.processes import ROOT
from tests.chaos.record import record

IDLE = " of an idle machine"
ISOLATED = "CHAOS_ISOLATED"
"""The variable of a run that is in its namespaces."""


def main() -> None:
    """Run chaos; exit with 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="duration of load and faults")
    parser.add_argument("--seed", type=int, default=None, help="decides the load and the faults; random by default")
    parser.add_argument("--faults", default="", help="parts of the names of faults, such as 'reads,budget'; only these")
    parser.add_argument("--hosts", type=int, default=0, help="hosts in network namespaces; 0 for this machine alone")
    parser.add_argument("--bus", choices=("redis", "amqp"), default="redis", help="the server of the bus and broker")
    arguments = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if arguments.seed is None else arguments.seed
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    wanted = [part.strip() for part in arguments.faults.split(",") if part.strip()]
    if arguments.hosts and ISOLATED not in os.environ:
        if lack := missing():
            sys.exit(_lacking(lack))
        again = [sys.executable, "-m", "tests.chaos.run", *sys.argv[1:], "--seed", str(seed)]
        begin_isolated({ISOLATED: "1"}, again)
    on_rabbitmq = arguments.bus == "amqp"
    kept = chaos(seed, arguments.minutes * 60, wanted, on_rabbitmq=on_rabbitmq, hosts=arguments.hosts)
    sys.exit(0 if kept else 1)


def _lacking(what: str) -> int:
    print(what, file=sys.stderr)
    return 2


def chaos(
    seed: int, seconds: float, wanted: Collection[str] = (), *, on_rabbitmq: bool = False, hosts: int = 0
) -> bool:
    """Run once, with the wanted faults or else with all; return whether every promise was kept."""
    folder = ROOT / "var" / "chaos" / str(seed)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if hosts:
        build_network()
    with ExitStack() as stack:
        run = Run(seed, folder, stack, wanted, on_rabbitmq=on_rabbitmq, hosts=hosts)
        rate = run.clock.rate
        print(f"seed {seed}: {seconds:.0f} s of load and faults, the clock runs {rate:.0f} times as fast", flush=True)
        clocks = ", ".join(f"{carrier} {ahead:+.0f} s" for carrier, ahead in run.clocks_ahead.items())
        print(f"{'gate':9} {run.gate}\n{'clocks':9} {clocks}", flush=True)
        run.disturb(seconds)
        recovered = run.recover()
        settled = run.settle()
        if recovered is None or not settled:
            run.dump_state()
        history = record(run)
        _keep(folder, history)
    found = {"R9 recovers by itself": [] if recovered is not None else [f"no courier within {RECOVERY:.0f} s{IDLE}"]}
    if not settled:
        found["everything settles"] = [f"not within {SETTLING:.0f} s{IDLE}"]
    found |= check(history)
    _print(run, history, recovered, found)
    return not any(found.values())


def _keep(folder: Path, history: History) -> None:
    kept = {**asdict(history), "logs": None, "private": None}
    (folder / "history.json").write_text(json.dumps(kept, indent=1, ensure_ascii=False))


def _print(run: Run, history: History, recovered: float | None, found: dict[str, list[str]]) -> None:
    ends = Counter(row["attention_reasons"] if awaits_operator(row) else row["status"] for row in history.deliveries)
    carriers = Counter(f"{entry['carrier']} {entry['action']}" for entry in history.ledger)
    writes = Counter(f"{entry['action']} {_status(entry)}".strip() for entry in history.platform_ledger)
    counts = {
        "load": f"{_counted(run.load.counts)}; {run.relay.received} callbacks, {run.relay.copied} copies of them, "
        f"{run.strangers.sent} of strangers",
        "faults": f"{run.injector.counts.total()}: {_counted(run.injector.counts)}",
        "exits": _counted(run.exits),
        "carriers": _counted(carriers),
        "platform": _counted(writes),
        "orders": f"{len(history.deliveries)}: {_counted(ends)}; {len(history.attempts)} attempts",
        "events": f"{len(history.outbox)} stored, {len(history.bus)} received, {len(history.on_bus)} on the bus",
        "recovery": "none" if recovered is None else f"{recovered:.1f} s",
        "creates": _late(lateness.of_creates(history)),
        "ends": _late(lateness.of_ends(history)),
        "take-over": _taken_over(run),
        "machine": f"{history.slowness:.1f} processes for each core",
    }
    for subject, text in counts.items():
        print(f"{subject:9} {text}")
    for promise, violations in found.items():
        print(f"{'BROKEN' if violations else 'held':9} {promise}")
        for violation in violations[:10]:
            print(f"{'':9} {violation}")
    print(f"seed {run.seed}: the record is in var/chaos/{run.seed}/", flush=True)


def _late(found: lateness.Lateness) -> str:
    """Return the median and the longest lateness for each account, on the fast clock."""
    each = {account: (sorted(waits)[len(waits) // 2], max(waits)) for account, waits in sorted(found.items())}
    late = (f"{account} {_seconds(median)}, at most {_seconds(longest)}" for account, (median, longest) in each.items())
    return f"late without a reason: {'; '.join(late)}"


def _taken_over(run: Run) -> str:
    """Return how long the deliveries that were claimed when a host went away waited, on the fast clock."""
    waits = sorted(wait * run.clock.rate for wait in run.take_overs.waits)
    if not waits:
        return "no host was away with a claim"
    return f"{len(waits)} claims waited {waits[len(waits) // 2]:.0f} s, at most {waits[-1]:.0f} s"


def _seconds(duration: timedelta) -> str:
    return f"{duration.total_seconds():.0f} s"


def _status(entry: Row) -> str:
    return str(entry["detail"].get("status", "")) if entry["action"] == "update" else ""


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(counts.items()))


if __name__ == "__main__":
    main()
