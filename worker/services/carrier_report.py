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
class Span:
    """What a report is about: a time span, and one store or all."""

    since: datetime
    until: datetime
    store_id: str | None = None


@dataclass(frozen=True)
class CarrierReports:
    """Build reports from the outbox, which is read once, in the order of its positions."""

    database: Database
    file_shops: Mapping[str, Store]

    def of(self, span: Span, pause: Callable[[], object] = lambda: None) -> Report:
        """Return the report of a span. `pause` is called between two transactions.

        Orders that were offered before the span are left out. An order counts as ended only if it ended in the span.
        """
        read = self.database.read
        stores = {**self.file_shops, **read(shops.load_shops)}
        builder = ReportBuilder({name: ZoneInfo(str(store.timezone)) for name, store in stores.items()})
        first, last = read(attempt_events.position_before, span.since), read(attempt_events.position_before, span.until)
        for start in range(first, last, PAGE):
            if start != first:
                pause()
            for event in read(attempt_events.between, start, min(start + PAGE, last)):
                if span.store_id in {None, event.store_id}:
                    builder.add(event)
        return builder.build()

    def count_events(self, span: Span) -> int:
        """Return how many events the report of a span reads, without reading them."""
        read = self.database.read
        return read(attempt_events.position_before, span.until) - read(attempt_events.position_before, span.since)
