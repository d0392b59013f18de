"""The carriers' report: how well each carrier account does its work, from the events of a time span."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from schemas.stores import Store
from worker.database import attempt_events, shops
from worker.database.database import Database
from worker.domain.report import Report
from worker.domain.report_builder import ReportBuilder

PAGE = 2_000
"""How many positions of the outbox one transaction reads."""


@dataclass(frozen=True, slots=True)
class ReportScope:
    """What a report is about: a time span, and one store or all."""

    since: datetime
    until: datetime
    store_id: str | None = None


@dataclass(frozen=True)
class CarrierReports:
    """Build reports from the outbox, which is read once, in the order of its positions."""

    database: Database
    file_shops: Mapping[str, Store]

    def of(self, scope: ReportScope, pause: Callable[[], object] = lambda: None) -> Report:
        """Return the report of a time span and a store. `pause` is called between two transactions.

        Orders that were offered before the time span are left out. An order counts as ended only if it ended within it.
        """
        read = self.database.read
        stores = {**self.file_shops, **read(shops.load_shops)}
        builder = ReportBuilder({name: ZoneInfo(str(store.timezone)) for name, store in stores.items()})
        first, last = self._positions(scope)
        for start in range(first, last, PAGE):
            if start != first:
                pause()
            for event in read(attempt_events.between, start, min(start + PAGE, last)):
                if scope.store_id in {None, event.store_id}:
                    builder.add(event)
        return builder.build()

    def count_events(self, scope: ReportScope) -> int:
        """Return how many events the report reads, without reading them."""
        first, last = self._positions(scope)
        return last - first

    def _positions(self, scope: ReportScope) -> tuple[int, int]:
        """Return the positions in the outbox before the first event of the time span, and of the last one."""
        read = self.database.read
        first = read(attempt_events.position_before, scope.since)
        return first, read(attempt_events.position_before, scope.until)
