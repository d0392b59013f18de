"""Everything that can go wrong on the ground of a run."""

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import psycopg
import redis

from tests.chaos.nemesis import Fault, stopped
from tests.chaos.proxy import Mode
from worker.local.supervisor import Process

if TYPE_CHECKING:
    from tests.chaos.environment import Run

LONG = (4.0, 9.0)
"""Seconds beyond any lease of the fast clock."""
CARRIERS = {
    "no_reply": 3.0,
    "drop_before": None,
    "error_after": None,
    "error_before": None,
    "html": None,
    "garbage": None,
    "drip": 0.05,
    "slow": 1.0,
    "late": 20.0,
    "rate_limited": None,
}
"""What carriers do wrong, and the sandbox's delay with it: real seconds, but for `late` those of the fast clock."""
SHUT_OUT = ("borzo", "deliverit", "ordering")
OFTEN = 0.4
POSTGRES_SECONDS = 10.0


def faults_of(run: "Run") -> list[Fault]:
    """Make the table of faults."""
    return [*_of_processes(run), *_of_servers(run), *_of_links(run), *_of_carriers(run)]


def _of_processes(run: "Run") -> Iterator[Fault]:
    dice = random.Random(f"{run.seed} faults")
    yield Fault("worker killed", "worker", lambda: _kill(dice.choice(run.workers)))
    yield Fault("worker asked to end", "worker", lambda: _kill(dice.choice(run.workers), signal.SIGTERM))
    yield Fault("all workers killed", "worker", lambda: _kill_all(run))
    yield from (stopped(f"{each.name} stopped", "worker", each.signal, LONG) for each in run.workers)
    yield Fault("beat killed", "beat", lambda: _kill(run.beat))
    yield Fault("web killed", "web", lambda: _kill(run.web))
    yield stopped("web stopped", "web", run.web.signal, (1, 4))


def _of_servers(run: "Run") -> Iterator[Fault]:
    yield Fault("Redis killed", "redis", lambda: _kill(run.redis))
    yield Fault("Redis emptied", "redis", lambda: _empty(run))
    yield stopped("Redis stopped", "redis", run.redis.signal, (1, 5))
    yield Fault("database restarted", "database", lambda: _restart(run))
    yield Fault("database connections ended", "database", lambda: _end_connections(run))


def _of_links(run: "Run") -> Iterator[Fault]:
    for name, link in run.links.items():
        for mode in (Mode.REFUSE, Mode.SILENT, Mode.MUTE, Mode.SLOW):
            begin, end = partial(run.network.turn, link, mode), partial(run.network.turn, link, Mode.PASS)
            yield Fault(f"{name} link {mode.value}", name, begin, end)
        yield Fault(f"{name} link cut", name, partial(run.network.cut, link))


def _of_carriers(run: "Run") -> Iterator[Fault]:
    wild = partial(setattr, run.relay, "wild")
    yield Fault("callbacks wild", "callbacks", lambda: wild(True), lambda: wild(False), (3, 10))
    for kind, delay in CARRIERS.items():
        begin = partial(run.carriers.fault, kind, times=None, chance=OFTEN, delay=delay)
        yield Fault(f"carriers {kind}", "carriers", begin, run.carriers.mend, (2, 8))
    for api in SHUT_OUT:
        begin = partial(run.carriers.fault, "unauthorized", api=api, times=None)
        yield Fault(f"{api} shuts us out", "carriers", begin, run.carriers.mend, (2, 8))


def _kill(process: Process, number: int = signal.SIGKILL) -> None:
    process.failures = 0  # it is not to blame, and need not wait longer each time
    process.signal(number)


def _kill_all(run: "Run") -> None:
    for each in run.workers:
        _kill(each)


def _empty(run: "Run") -> None:
    with suppress(redis.RedisError):
        run.recorder.flush()


def _restart(run: "Run") -> None:
    """Restart the database as after a crash: it must recover from its log."""
    os.kill(run.postgres.get_pid(), signal.SIGQUIT)
    deadline = time.monotonic() + POSTGRES_SECONDS
    while run.postgres.get_postmaster_info().is_running() and time.monotonic() < deadline:
        time.sleep(0.05)
    run.postgres.ensure_postgres_running()


def _end_connections(run: "Run") -> None:
    ending = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    others = "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
    with suppress(psycopg.Error), psycopg.connect(run.database, autocommit=True) as admin:
        admin.execute(f"{ending} {others}")
