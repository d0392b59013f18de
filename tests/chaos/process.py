"""One process of a fleet under test: the real worker, beat, web or sandbox, or a person, on a clock that runs fast.

`python -m tests.chaos.process worker|beat|web|sandbox|person`, with the settings of Order Sync in the environment, and
the clock and the trap of whoever starts it.
"""

import faulthandler
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from typing import Any

import uvicorn

from tests.chaos.clock import FastClock
from tests.chaos.injection_points import Trap, Watch
from tests.chaos.operator import Person
from worker import container, log
from worker.app import create_app
from worker.bus import streams
from worker.bus.streams import IDLE_MS, Bus
from worker.config.settings import load
from worker.container import Container
from worker.database.database import Database
from worker.domain.lifecycle import TermsByAccount
from worker.http.gateway import Gateway
from worker.ordering_api import codec as ordering_codec
from worker.resilience import circuit_breaker
from worker.sandbox import SandboxConfig, serve
from worker.web import create_web_app

SWEEP_SECONDS = 0.25
CLOCK = FastClock.inherited() if "CHAOS_CLOCK" in os.environ else FastClock.begin(1)
TRAP = Trap.inherited()
WATCH = Watch(TRAP) if TRAP else None


class FastHouse(Container):
    """A house whose clock runs fast. What is counted in real seconds is translated here, and nowhere else."""

    @cached_property
    def rules(self) -> TermsByAccount:
        """The terms in the clock's seconds: an account's deadline is one of the real clock."""
        real = super().terms
        return {name: replace(terms, deadline=terms.deadline * CLOCK.rate) for name, terms in real.items()}

    @cached_property
    def bus(self) -> Bus:
        """The real one, which takes the entries of a dead reader over as early as the clock runs fast."""
        settings, idle_ms = self.settings, round(IDLE_MS / CLOCK.rate)
        made = Bus(
            streams.connect(settings.bus), orders=settings.orders_stream, events=settings.events_stream, idle_ms=idle_ms
        )
        if WATCH:
            made.publisher = WATCH.outlet(made.publisher)
        return made

    @cached_property
    def gateway(self) -> Gateway:
        """The real one."""
        made = super().gateway
        return WATCH.gateway(made) if WATCH else made

    @cached_property
    def store(self) -> Database:
        """The real one."""
        made = super().database
        return WATCH.store(made) if WATCH else made


def _hasten() -> None:
    """Shorten what Redis counts with a clock of its own, and the beat's rounds."""
    for name in circuit_breaker._NUMBERS.keys() - {"FAILURES"}:
        circuit_breaker._NUMBERS[name] = round(circuit_breaker._NUMBERS[name] / CLOCK.rate)
    circuit_breaker.THROTTLE_SECONDS = {
        kind: (first / CLOCK.rate, second / CLOCK.rate, later / CLOCK.rate)
        for kind, (first, second, later) in circuit_breaker.THROTTLE_SECONDS.items()
    }
    ordering_codec.DEADLINE /= CLOCK.rate


def worker() -> None:
    """Run the real worker."""
    app = _app()
    if "CHAOS_TICK" in os.environ:
        threading.Thread(target=_tick, args=(app,), daemon=True).start()
    app.start(["worker", "--without-gossip", "--without-mingle"])


def _tick(app: Any) -> None:
    """Do what the beat does, where a fleet has none."""
    while True:
        time.sleep(SWEEP_SECONDS)
        try:
            app.send_task("timers.sweep", expires=5)
        except Exception:  # noqa: BLE001 - as in the beat, the next tick is soon
            log.get(__name__).warning("tick.lost")


def beat(schedule: str) -> None:
    """Run the real beat, which sweeps as much more often as the clock runs fast."""
    app = _app()
    for each in app.conf.beat_schedule.values():
        each["schedule"] = max(each["schedule"] / CLOCK.rate, timedelta(seconds=SWEEP_SECONDS))
    app.start(["beat", "--schedule", schedule])


def web() -> None:
    """Run the real edge."""
    _app()
    made = container.container()
    log.setup(made.settings.log_level, made.settings.log_format)
    host, _, port = made.settings.web_address.rpartition(":")
    uvicorn.run(create_web_app(made), host=host, port=int(port), access_log=False, log_config=None)


def sandbox(port: str, step: str, borzo_callback: str) -> None:
    """Run the sandbox on the same clock."""
    serve(
        port=int(port), config=SandboxConfig(step=float(step), clock=CLOCK, borzo_callback_url=borzo_callback or None)
    )


def person(seed: str) -> None:
    """Play who answers what the house asks of a person."""
    _app()
    Person(container.container(), seed).work()


def _app() -> Any:
    _hasten()
    settings = load()
    container.override(container._furnished(FastHouse(settings, clock=CLOCK)))
    return create_app(settings)


if __name__ == "__main__":
    faulthandler.register(signal.SIGUSR2)  # shows in the log what each thread is at
    kinds: tuple[Callable[..., None], ...] = (worker, beat, web, sandbox, person)
    {kind.__name__: kind for kind in kinds}[sys.argv[1]](*sys.argv[2:])
