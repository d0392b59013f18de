"""The page of the system: its parts, the consumer groups, the queues, and what operators did last."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from worker.bus.port import OUTAGES, Group
from worker.container import Container
from worker.database import operator_actions
from worker.enqueue import queue_name
from worker.web.checks import Check, run_all
from worker.web.desk.pages import Cached, Pages

ACTIONS_LISTED = 30


@dataclass(frozen=True)
class Traffic:
    """What waits on the bus and in the broker."""

    groups: Sequence[Group] | None
    """None while the bus is unreachable."""
    queues: Mapping[str, int] | None
    """How many tasks wait in each queue; None while the broker is unreachable."""


@dataclass(frozen=True)
class SystemPage:
    """Show the system."""

    services: Container
    pages: Pages
    traffic: Cached[Traffic]

    def show(self, request: Request) -> Response:
        """Show the workers, beat, the last sweep, the outbox, the groups, the queues, and what operators did last."""
        return self.pages.render(
            request,
            "system.html",
            state=self.pages.snapshot.get().state,
            traffic=self.traffic.get(),
            acted=self.services.database.read(operator_actions.newest, ACTIONS_LISTED),
        )


class TrafficMeter:
    """Measure what waits. A broker that hangs delays an answer by two seconds, and occupies one thread."""

    def __init__(self, services: Container) -> None:
        self._services = services
        self._queues = Check(lambda: services.queue.depths(sorted(map(queue_name, services.app.amqp.queues.values()))))

    def measure(self) -> Traffic:
        """Return what waits now."""
        queues = run_all({"queues": self._queues})["queues"]
        return Traffic(self._groups(), None if isinstance(queues, Exception) else queues)

    def _groups(self) -> Sequence[Group] | None:
        with suppress(*OUTAGES):
            return self._services.bus.groups(self._services.clock())
        return None
