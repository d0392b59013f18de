"""The faults of a run: two at a time, each for a while, drawn by the seed."""

import random
import resource
import signal
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import psycopg
import redis

from tests.chaos.names import FAILED
from tests.chaos.postgres import Pair
from tests.chaos.processes import ACCOUNTS
from tests.chaos.proxy import Link, Mode
from worker.local.supervisor import Process

if TYPE_CHECKING:
    from tests.chaos.environment import Run

Act = Callable[[], None]
PAUSE = (0.5, 2.5)
"""Seconds without a fault in a lane, at least and at most."""
BEYOND_LEASE = (4.0, 9.0)
"""Real seconds that are longer than any lease of the fast clock."""
AWAY = (6.0, 12.0)
"""The same for the slower clock of several hosts."""
CLOCKS_WRONG = "carriers' clocks wrong"
"""The fault that lasts for the whole run."""
CARRIER_FAULTS = {
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
"""The sandbox's faults and their delays: seconds of the fast clock for `late`, real seconds for the others."""
LOCKED_OUT = {"borzo": {"borzo"}, "deliverit": {"deliverit", "transfer"}, "ordering": set[str]()}
"""The APIs that reject our credentials for a while, with the accounts whose creates then wait."""
READS = {"cervo": "get", "borzo": "orders", "deliverit": "list"}
"""The operation of each API that reads statuses."""
READ_DELAY = 0.7
"""Real seconds from the moment that a read shows to its arrival: a third of the time that a status lasts."""
SCARCE = "2/second"
"""A rate limit that the reads of a busy account reach, while its creates have enough in the rest."""
LOOK_UPS = {"slow": "1.5", "failed": FAILED}
"""The conditions of a host name. A slow look-up is longer than the CONNECT_TIMEOUT, so only a later call uses it."""
CHANCE = 0.4
"""The share of calls that a fault of the carriers hits."""
STEP_AHEAD = 120.0
"""How far the database's clock steps ahead, and back again, in seconds of the fast clock."""
NONE = frozenset[str]()
CALLING_BACK = frozenset({"borzo", "cervo"})
"""The accounts with callbacks."""
SHORT, LONG, ALARM = (0.5, 6.0), (3.0, 10.0), (6.0, 10.0)
"""The real seconds of a fault, at least and at most."""


def nothing() -> None:
    """End a fault that ends by itself."""


@dataclass(frozen=True)
class Fault:
    """A fault: its target, and how it begins and ends. Two faults at once never have the same target."""

    name: str
    target: str
    begin: Act
    end: Act = nothing
    seconds: tuple[float, float] = SHORT
    delays_creates: frozenset[str] = ACCOUNTS
    delays_statuses: frozenset[str] = ACCOUNTS
    """The accounts whose creates, and whose statuses, it may delay."""


@dataclass
class Lane:
    """A sequence of faults, one after the other."""

    fault: Fault | None = None
    since: float = 0.0
    until: float = 0.0


@dataclass
class FaultInjector:
    """Draws faults, and begins and ends them in two lanes."""

    faults: Sequence[Fault]
    dice: random.Random
    counts: Counter[str] = field(default_factory=Counter)
    past: list[tuple[Fault, float, float]] = field(default_factory=list)
    """The faults that have ended, with the times at which they began and ended."""
    lanes: tuple[Lane, Lane] = field(default_factory=lambda: (Lane(), Lane()))

    def tick(self, now: float) -> None:
        """Begin and end what is due at this time of the run, in seconds."""
        for lane in self.lanes:
            if now < lane.until:
                continue
            if lane.fault is None:
                self._begin(lane, now)
            else:
                self._end(lane, now)
                lane.until = now + self.dice.uniform(*PAUSE)

    def end_all(self, now: float) -> None:
        """End every fault."""
        for lane in self.lanes:
            self._end(lane, now)

    def _begin(self, lane: Lane, now: float) -> None:
        targets = {each.fault.target for each in self.lanes if each.fault}
        possible = [each for each in self.faults if each.target not in targets]
        if not possible:
            return
        fault = self.dice.choice(possible)
        self.counts[fault.name] += 1
        fault.begin()
        lane.fault, lane.since, lane.until = fault, now, now + self.dice.uniform(*fault.seconds)

    def _end(self, lane: Lane, now: float) -> None:
        if lane.fault is not None:
            self.past.append((lane.fault, lane.since, now))
            lane.fault.end()
        lane.fault = None


def is_wanted(name: str, wanted: Collection[str]) -> bool:
    """Return whether a fault is wanted by a part of its name; without any part, every fault is."""
    return not wanted or any(part in name for part in wanted)


def chosen(faults: Sequence[Fault], wanted: Collection[str]) -> list[Fault]:
    """Return the wanted faults. Exits where a part is in no fault's name."""
    names = sorted({CLOCKS_WRONG, *(each.name for each in faults)})
    for part in wanted:
        if not any(part in name for name in names):
            sys.exit(f"no fault has {part!r} in its name; there are: {', '.join(names)}")
    return [each for each in faults if is_wanted(each.name, wanted)]


# --- the table --------------------------------------------------------------------------------------------------------


def faults_of(run: "Run") -> list[Fault]:
    """Return every fault that can happen in a run."""
    own = (_of_processes, _of_hosts, _of_servers, _of_rabbitmq, _of_links, _of_carriers, _of_accounts)
    return [fault for each in own for fault in each(run)]


def _of_processes(run: "Run") -> Iterator[Fault]:
    dice = random.Random(f"{run.seed} faults")
    yield Fault("worker killed", "worker", lambda: _kill(dice.choice(run.workers)))
    yield Fault("worker asked to end", "worker", lambda: _kill(dice.choice(run.workers), signal.SIGTERM))
    yield Fault("all workers killed", "worker", lambda: _kill_all(run))
    yield from (_stopped(f"{each.name} stopped", "worker", each, BEYOND_LEASE) for each in run.workers)
    yield Fault("beat killed", "beat", lambda: _kill(dice.choice(run.hosts).beat))
    yield Fault("web killed", "web", lambda: _kill(dice.choice(run.hosts).web), nothing, SHORT, NONE, CALLING_BACK)
    for host in run.hosts:
        stopped = _stopped(f"{host.web.name} stopped", "web", host.web, (1, 4))
        yield replace(stopped, delays_creates=NONE, delays_statuses=CALLING_BACK)
    full, free = partial(_limit_files, run, 0), partial(_limit_files, run, resource.RLIM_INFINITY)
    if hasattr(resource, "prlimit"):
        yield Fault("workers' disk full", "disk", full, free, (2, 8), NONE, NONE)


def _of_hosts(run: "Run") -> Iterator[Fault]:
    """Faults of one of several hosts. Two hosts of three may be away at once."""
    for host in run.hosts if run.several_hosts else ():
        for what, begin, end in (
            ("cut off", host.cut, host.heal),
            ("hears nothing", host.deafen, host.heal),
            ("slow", partial(host.turn, Mode.SLOW), partial(host.turn, Mode.PASS)),
            ("without power", host.go_down, host.come_up),
            ("without power and its disk lost", host.lose_disk, host.come_up),
        ):
            yield Fault(f"{host.name} {what}", host.name, partial(_take_away, run, begin), end, AWAY)


def _take_away(run: "Run", begin: Act) -> None:
    run.watch_claims()
    begin()


def _of_servers(run: "Run") -> Iterator[Fault]:
    yield Fault("Redis killed", "redis", lambda: _kill(run.redis))
    yield Fault("Redis emptied", "redis", lambda: _empty(run))
    yield _stopped("Redis stopped", "redis", run.redis, (1, 5))
    yield Fault("database restarted", "database", run.postgres.restart)
    yield Fault("database connections ended", "database", lambda: _end_connections(run))
    if isinstance(pair := run.postgres, Pair):
        yield Fault("PgBouncer restarted", "database", pair.restart_pooler)
        yield Fault("database primary killed", "database", pair.fail_over, pair.build_standby)
        yield Fault("database primary cut off", "database", pair.isolate, partial(_replace_primary, pair))


def _replace_primary(pair: Pair) -> None:
    """Let the standby take the place of a primary that was cut off, and the old primary that of the standby."""
    pair.fence()
    pair.build_standby()


def _of_rabbitmq(run: "Run") -> Iterator[Fault]:
    if (node := run.rabbitmq) is None:
        return
    control = partial(partial, node.control_soon)
    yield Fault("RabbitMQ killed", "rabbitmq", node.kill, node.launch, (1, 4))
    yield Fault("RabbitMQ stopped", "rabbitmq", control("stop_app"), control("start_app"), ALARM)
    begin, end = (control("set_vm_memory_high_watermark", each) for each in ("0.0001", "0.4"))
    yield Fault("RabbitMQ memory alarm", "rabbitmq", begin, end, ALARM)
    begin, end = (control("set_disk_free_limit", each) for each in ("1000TB", "50MB"))
    yield Fault("RabbitMQ disk alarm", "rabbitmq", begin, end, ALARM)


def _of_links(run: "Run") -> Iterator[Fault]:
    dice = random.Random(f"{run.seed} links")
    for name in run.hosts[0].links:
        links = [host.links[name] for host in run.hosts]

        def turn(mode: Mode, links: Sequence[Link] = links) -> None:
            run.network.turn(dice.choice(links), mode)

        def heal(links: Sequence[Link] = links) -> None:
            for each in links:
                run.network.turn(each, Mode.PASS)

        def cut(links: Sequence[Link] = links) -> None:
            run.network.cut(dice.choice(links))

        for mode in (Mode.REFUSE, Mode.SILENT, Mode.MUTE, Mode.SLOW):
            yield Fault(f"{name} link {mode.value}", name, partial(turn, mode), heal)
        yield Fault(f"{name} link cut", name, cut)
        if name == "database":
            yield Fault("database commits unconfirmed", name, partial(turn, Mode.UNCONFIRMED), heal)
    yield Fault("database clock steps", "clock", *_condition(run, "clock", f"{STEP_AHEAD}"), LONG)


def _of_carriers(run: "Run") -> Iterator[Fault]:
    begin, end = (partial(setattr, run.relay, "disorderly", each) for each in (True, False))
    yield Fault("callbacks disorderly", "callbacks", begin, end, LONG, NONE, CALLING_BACK)
    yield Fault("callbacks of strangers", "callbacks", run.strangers.begin, run.strangers.end, LONG, NONE, NONE)
    read = ACCOUNTS - {"borzo"}  # Borzo's callbacks bring the statuses themselves
    yield Fault(
        "carriers' reads late", "carriers", partial(_delay_reads, run), run.sandbox.end_faults, LONG, NONE, read
    )
    for kind, delay in CARRIER_FAULTS.items():
        begin = partial(run.sandbox.begin_fault, kind, times=None, chance=CHANCE, delay=delay)
        yield Fault(f"carriers {kind}", "carriers", begin, run.sandbox.end_faults, (2, 8))
    for api, accounts in LOCKED_OUT.items():
        begin = partial(run.sandbox.begin_fault, "unauthorized", api=api, times=None)
        out = frozenset(accounts)
        yield Fault(f"{api} unauthorized", "carriers", begin, run.sandbox.end_faults, (2, 8), out, out)


def _of_accounts(run: "Run") -> Iterator[Fault]:
    for account in (*sorted(ACCOUNTS), "ordering"):
        own = frozenset({account})
        scarce = _condition(run, f"rate.{account}", SCARCE)
        yield Fault(f"{account} budget scarce", "budget", *scarce, LONG, NONE, own)
        for kind, value in LOOK_UPS.items():
            look_ups = _condition(run, f"names.{account}", value)
            yield Fault(f"{account} look-ups {kind}", "names", *look_ups, LONG, own, own)


def _condition(run: "Run", name: str, value: str) -> tuple[Act, Act]:
    """Return how a fault that sets a condition begins and ends."""
    return partial(run.conditions.begin, name, value), partial(run.conditions.end, name)


def _stopped(name: str, target: str, process: Process, seconds: tuple[float, float]) -> Fault:
    """Return the fault that stops a process for a while."""
    stop, resume = partial(process.signal, signal.SIGSTOP), partial(process.signal, signal.SIGCONT)
    return Fault(name, target, stop, resume, seconds)


def _kill(process: Process, number: int = signal.SIGKILL) -> None:
    process.failures = 0  # the process itself is sound, so it restarts without a longer pause each time
    process.signal(number)


def _kill_all(run: "Run") -> None:
    for each in run.workers:
        _kill(each)


def _limit_files(run: "Run", size: int) -> None:
    """Let no worker write a file beyond this size; one that has just ended starts again without a limit."""
    for each in run.workers:
        with suppress(ProcessLookupError):
            if each.running is not None:
                resource.prlimit(each.running.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def _delay_reads(run: "Run") -> None:
    """Answer reads at once and deliver the answers later, so that callbacks overtake them."""
    for api, operation in READS.items():
        run.sandbox.begin_fault("slow", api=api, operation=operation, times=None, delay=READ_DELAY)


def _empty(run: "Run") -> None:
    with suppress(redis.RedisError):
        run.subscriber.flush(run.redis_client)


def _end_connections(run: "Run") -> None:
    ending = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    others = "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
    with suppress(psycopg.Error), psycopg.connect(run.database, autocommit=True) as admin:
        admin.execute(f"{ending} {others}")
