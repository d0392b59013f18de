"""One process of a run on the fast clock: the real worker, beat, web process or sandbox, or an operator.

`python -m tests.chaos.process worker|beat|web|sandbox|operator` reads the settings of Order Sync, the clock and the
injection from its environment.
"""

import faulthandler
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import uvicorn

from tests.chaos.clock import FastClock
from tests.chaos.conditions import Conditions
from tests.chaos.injection_points import Injection, Instrumentation
from tests.chaos.names import NameServers
from tests.chaos.operator import Operator
from worker import container, log
from worker.addresses.amqp_url import is_amqp
from worker.app import create_app
from worker.bus import streams
from worker.bus.port import Bus
from worker.bus.streams import IDLE_MS
from worker.clock import SharedClock, since_boot
from worker.config.settings import load
from worker.container import Container
from worker.database import clock
from worker.database.database import Database
from worker.domain.lifecycle import TermsByAccount
from worker.http.call import Operation
from worker.http.gateway import Gateway
from worker.ordering_api import codec as ordering_codec
from worker.resilience.circuit_breaker import CircuitBreaker
from worker.resilience.rate_limiter import RateLimiter
from worker.sandbox import SandboxConfig, serve
from worker.services.crash_recovery import COMMITS_WITHIN, CrashRecovery
from worker.web import create_web_app

SWEEP_SECONDS = 0.25
CLOCK = FastClock.inherited() if "CHAOS_CLOCK" in os.environ else FastClock.begin(1)
CONDITIONS = Conditions.inherited()
SERVERS = os.environ.get("CHAOS_SERVERS", "127.0.0.1")
INJECTION = Injection.inherited()
INSTRUMENTATION = Instrumentation(INJECTION) if INJECTION else None


class FastContainer(Container):
    """A container on the fast clock. It converts the durations that the product counts in real seconds."""

    @cached_property
    def terms(self) -> TermsByAccount:
        """The terms in seconds of the fast clock: the deadline of an account is in real seconds."""
        real = super().terms
        return {name: replace(terms, deadline=terms.deadline * CLOCK.rate) for name, terms in real.items()}

    @cached_property
    def bus(self) -> Bus:
        """The real bus, with a shorter time until a dead reader's entries are taken over."""
        settings, idle_ms = self.settings, round(IDLE_MS / CLOCK.rate)
        if is_amqp(settings.bus):
            return super().bus
        bus = streams.Bus(
            streams.connect(settings.bus), orders=settings.orders_stream, events=settings.events_stream, idle_ms=idle_ms
        )
        if INSTRUMENTATION:
            bus.publisher = INSTRUMENTATION.publisher(bus.publisher)
        return bus

    @cached_property
    def crash_recovery(self) -> CrashRecovery:
        """The real service, with a shorter wait for a commit."""
        return replace(super().crash_recovery, commits_within=COMMITS_WITHIN / CLOCK.rate)

    @cached_property
    def breaker(self) -> CircuitBreaker:
        """The real breakers, on the fast clock in place of the clock of Redis."""
        return CircuitBreaker(streams.connect(self.settings.redis), clock=CLOCK)

    @cached_property
    def rate_limiter(self) -> RateLimiter:
        """The real rate limits, which a fault may lower."""
        return ChangingRateLimiter(streams.connect(self.settings.redis))

    @cached_property
    def gateway(self) -> Gateway:
        """The real gateway, whose look-ups of host names a fault may delay or fail."""
        clock = INSTRUMENTATION.gateway_clock(self.clock) if INSTRUMENTATION else self.clock
        look_up = NameServers(CONDITIONS, address=SERVERS).look_up
        gateway = Gateway(self.api_accounts, self.rate_limiter.acquire, clock, look_up=look_up)
        return INSTRUMENTATION.gateway(gateway) if INSTRUMENTATION else gateway

    @cached_property
    def database(self) -> Database:
        """The real database."""
        real = super().database
        return INSTRUMENTATION.database(real) if INSTRUMENTATION else real


class ChangingRateLimiter(RateLimiter):
    """The real rate limiter, with the rates of now."""

    def acquire(self, account: str, rate: str, operation: Operation, wanted: int) -> tuple[int, float]:
        """Count up to `wanted` calls against the rate that the account has now."""
        return super().acquire(account, CONDITIONS.read(f"rate.{account}", rate), operation, wanted)


def _convert_real_seconds() -> None:
    """Shorten the deadline that the product counts by another clock than the container's."""
    ordering_codec.DEADLINE /= CLOCK.rate


def worker() -> None:
    """Run the real worker."""
    app = fast_app()
    if "CHAOS_TICK" in os.environ:
        threading.Thread(target=_tick, args=(app,), daemon=True).start()
    # Not by Celery's command line, which first loads every other command and Flower.
    app.Worker(without_gossip=True, without_mingle=True).start()


def _tick(app: Any) -> None:
    """Send the sweeps where no beat runs; CHAOS_TICK is the time between two of them, in real seconds."""
    while True:
        time.sleep(float(os.environ["CHAOS_TICK"]))
        try:
            app.send_task("timers.sweep", expires=5)
        except Exception:  # noqa: BLE001 - as in the beat, the next sweep is soon
            log.get(__name__).warning("sweep.lost")


def beat(schedule: str) -> None:
    """Run the real beat, whose intervals are shorter by the rate of the fast clock."""
    app = fast_app()
    ahead = timedelta(seconds=float(os.environ.get("CHAOS_WALL_CLOCK", "0")))
    beats = int(os.environ.get("CHAOS_BEATS", "1"))
    app.now = lambda: datetime.now(UTC) + ahead
    for each in app.conf.beat_schedule.values():
        each["schedule"] = max(each["schedule"] / CLOCK.rate, timedelta(seconds=SWEEP_SECONDS * beats))
    app.start(["beat", "--schedule", schedule])


def web() -> None:
    """Run the real web process."""
    fast_app()
    ours = container.container()
    log.setup(ours.settings.log_level, ours.settings.log_format)
    host, _, port = ours.settings.web_address.rpartition(":")
    uvicorn.run(create_web_app(ours), host=host, port=int(port), loop="asyncio", access_log=False, log_config=None)


def sandbox(port: str, step: str, borzo_callback: str, clocks_ahead: str) -> None:
    """Run the sandbox on the fast clock, from which the clocks of its carriers may differ."""
    config = SandboxConfig(
        step=float(step),
        clock=CLOCK,
        borzo_callback_url=borzo_callback or None,
        clocks_ahead=json.loads(clocks_ahead),
    )
    serve(port=int(port), config=config)


def operator(seed: str) -> None:
    """Run the operator."""
    fast_app()
    Operator(container.container(), seed).work()


def _shared_clock(database: Database) -> SharedClock:
    """Return the clock of the product, with a database that goes by the fast clock, and that a fault may step."""

    def read(_connection: Any) -> datetime:
        return CLOCK() + timedelta(seconds=float(CONDITIONS.read("clock", "0")))

    return SharedClock(
        lambda: database.read(clock.shared_time, read),
        lambda own: database.write(clock.agree, own, read),
        lambda: since_boot() * CLOCK.rate,
    )


def fast_app(kind: type[FastContainer] = FastContainer) -> Any:
    """Return the real Celery application, with a container on the fast clock."""
    _convert_real_seconds()
    settings = load()
    ours = kind(settings, clock=CLOCK)
    ours.clock = _shared_clock(ours.database)
    ours.warm_up()
    container.override(ours)
    return create_app(settings)


if __name__ == "__main__":
    faulthandler.register(signal.SIGUSR2)  # writes the stack of each thread to the log
    kinds: tuple[Callable[..., None], ...] = (worker, beat, web, sandbox, operator)
    {kind.__name__: kind for kind in kinds}[sys.argv[1]](*sys.argv[2:])
