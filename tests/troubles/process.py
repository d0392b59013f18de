"""One process of the run with troubles, on the fast clock: the real worker, web process or command line.

`python -m tests.troubles.process worker|web|cli` reads the settings and the clock from its environment; `cli` is
followed by the arguments of `order-sync`.
"""

import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from tests.chaos.process import CLOCK, FastContainer, fast_app
from worker import container, log
from worker.bus import streams
from worker.bus.streams import IDLE_MS, Bus
from worker.cli import carriers, main, status
from worker.runtime import steps
from worker.services import callback_gaps
from worker.web import count_answers, create_web_app, server
from worker.web.operators import create_desk_app


class FastBus(Bus):
    """The real bus. The entries have the times of the Redis server, which does not run on the fast clock."""

    def lags(self, now: datetime) -> dict[tuple[str, str], float]:  # noqa: ARG002 - the server's time counts
        """Return the lags in seconds of the fast clock."""
        return {group: lag * CLOCK.rate for group, lag in super().lags(datetime.now(UTC)).items()}


class TroublesContainer(FastContainer):
    """A container on the fast clock, with the lags of the streams in its seconds."""

    @cached_property
    def bus(self) -> Bus:
        """The real bus, with lags in seconds of the fast clock."""
        settings, idle_ms = self.settings, round(IDLE_MS / CLOCK.rate)
        client = streams.connect(settings.bus)
        return FastBus(client, orders=settings.orders_stream, events=settings.events_stream, idle_ms=idle_ms)


def _app() -> Any:
    """Return the real application. Its threads wait by the fast clock."""
    steps.NOTIFY_SECONDS /= CLOCK.rate
    callback_gaps.HEARTBEAT_SECONDS /= CLOCK.rate
    steps.SWEEP_CHECK_SECONDS /= CLOCK.rate
    return fast_app(TroublesContainer)


def worker() -> None:
    """Run the real worker."""
    _app().Worker(without_gossip=True, without_mingle=True).start()


def web() -> None:
    """Run the real web process."""
    _app()
    ours = container.container()
    settings = ours.settings
    log.setup(settings.log_level, settings.log_format)
    answers = count_answers(ours)
    threading.Thread(target=steps.notifying().run, name="notifier", daemon=True).start()
    server.serve(
        create_web_app(ours, answers), settings.web_address, create_desk_app(ours, answers), settings.desk_address
    )


def cli(*arguments: str) -> None:
    """Run a command of the real `order-sync`."""
    _app()
    for module in (carriers, status):
        module.open_container = container.container  # type: ignore[attr-defined]
    sys.argv = ["order-sync", *arguments]
    main()


if __name__ == "__main__":
    kinds: tuple[Callable[..., None], ...] = (worker, web, cli)
    {kind.__name__: kind for kind in kinds}[sys.argv[1]](*sys.argv[2:])
