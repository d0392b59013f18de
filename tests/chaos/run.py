"""Chaos: real processes under load, while two things at a time go wrong. `make chaos MINUTES=1 SEED=7`.

Redis, PostgreSQL and the sandbox are its own. Afterwards everything must recover, every order must settle, and the
checks of `checker.py` go through what was recorded. It is left in `var/chaos/SEED/`.
"""

import argparse
import json
import random
import shutil
import signal
import sys
from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from tests.chaos.checker import check, with_a_person
from tests.chaos.environment import RATE, RECOVERY, SETTLING, Run
from tests.chaos.history import History, Row
from tests.chaos.processes import ROOT, counted


def main() -> None:
    """Run chaos and tell what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="how long load and faults come")
    parser.add_argument("--seed", type=int, default=None, help="decides the load and the faults; drawn by default")
    asked = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if asked.seed is None else asked.seed
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(0 if chaos(seed, asked.minutes * 60) else 1)


def chaos(seed: int, seconds: float) -> bool:
    """Run once; tell whether everything held."""
    folder = ROOT / "var" / "chaos" / str(seed)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    print(f"seed {seed}: {seconds:.0f} s of load and faults, the clock runs {RATE:.0f} times as fast", flush=True)
    with ExitStack() as stack:
        run = Run(seed, folder, stack)
        print(f"{'gate':9} {run.gate}", flush=True)
        run.go(seconds)
        recovered = run.recover()
        settled = run.settle()
        if recovered is None or not settled:
            run.ask_why()
        history = run.history()
        _keep(folder, run, history)
    found = {"R9 recovers by itself": [] if recovered is not None else [f"no courier within {RECOVERY:.0f} s"]}
    if not settled:
        found["everything settles"] = [f"not within {SETTLING:.0f} s"]
    found |= check(history)
    _tell(run, history, recovered, found)
    return not any(found.values())


def _keep(folder: Path, run: Run, history: History) -> None:
    told = {**asdict(history), "logs": None, "private": None, "faults": run.nemesis.told}
    (folder / "history.json").write_text(json.dumps(told, indent=1, ensure_ascii=False))


def _tell(run: Run, history: History, recovered: float | None, found: dict[str, list[str]]) -> None:
    people = (row["attention"] if with_a_person(row) else row["status"] for row in history.deliveries)
    counts = {
        "load": f"{counted(run.load.counts)}; {run.relay.passed} callbacks, {run.relay.copied} wild copies of them",
        "faults": f"{run.nemesis.counts.total()}: {counted(run.nemesis.counts)}",
        "deaths": counted(run.deaths),
        "carriers": counted(Counter(f"{entry['carrier']} {entry['action']}" for entry in history.ledger)),
        "platform": counted(Counter(f"{entry['action']} {_code(entry)}".strip() for entry in history.platform)),
        "orders": f"{len(history.deliveries)}: {counted(Counter(people))}; {len(history.attempts)} attempts",
        "events": f"{len(history.outbox)} stored, {len(history.bus)} seen to come, {len(history.standing)} on the bus",
        "recovery": "none" if recovered is None else f"{recovered:.1f} s",
    }
    for what, told in counts.items():
        print(f"{what:9} {told}")
    for promise, violations in found.items():
        print(f"{'BROKEN' if violations else 'held':9} {promise}")
        for violation in violations[:10]:
            print(f"{'':9} {violation}")
    print(f"seed {run.seed}: everything is in var/chaos/{run.seed}/", flush=True)


def _code(entry: Row) -> str:
    return str(entry["detail"].get("status", "")) if entry["action"] == "update" else ""


if __name__ == "__main__":
    main()
