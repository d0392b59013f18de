"""Let a database that was restored from a backup continue beside a bus and carriers that know more.

Nothing on Redis has to be emptied. The guards of the bus keep the sequences that subscribers have received, and the
sequences of the database continue after them. All creates are held, because carriers may have couriers that the
database does not know.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from schemas.events import TEST_SOURCE
from worker.bus.port import Bus, PublishedEvent
from worker.database import deliveries, event_feed, outbox, search
from worker.database.database import Database
from worker.domain.operator import Operator
from worker.services.ingest import Ingest, OrdersReader
from worker.services.lost_commits import LostCommits
from worker.services.operations import Operations
from worker.services.relay import Relay

READER = "restored"
"""The consumer that reads the orders stream again."""


@dataclass(frozen=True, slots=True)
class LostDelivery:
    """What the bus knows about a delivery, and the database does not."""

    order_id: str
    status: str
    final: bool
    carrier: str | None
    carrier_ref: str | None
    in_database: bool
    """Whether the database has the delivery."""
    courier_known: bool
    """Whether the database has the carrier's order, so that the next read shows its status."""

    @property
    def to_do(self) -> str:
        """What an operator has to do before creates are released."""
        courier = f"order {self.carrier_ref} of {self.carrier}" if self.carrier_ref else ""
        if self.courier_known:
            return "nothing: its carrier is read"
        if self.final:
            return f"`order-sync cancel {self.order_id}`: it has ended" if self.in_database else "nothing: it has ended"
        if self.in_database:
            return f"cancel {courier} there, or `order-sync cancel {self.order_id}`" if courier else "nothing"
        return f"cancel {courier} there, and place it again; or leave it" if courier else "place it again"


@dataclass(frozen=True)
class Restoration:
    """Compare a restored database with the bus, and continue after what it has lost."""

    database: Database
    bus: Bus
    lost_commits: LostCommits
    ingest: Ingest
    operations: Operations
    relay: Relay

    def ends_at(self) -> datetime | None:
        """Return the time of the newest event in the database; None if it has no events."""
        return self.database.read(outbox.newest_time)

    def compare(self) -> list[LostDelivery]:
        """Return the deliveries about which the bus has events that the database lacks. Change nothing."""
        return self._describe(self._lost())

    def apply(self, by: Operator) -> list[LostDelivery]:
        """Hold all creates, read the messages on the bus again, and continue the sequences; return what is left to do.

        A message that the database has already changes nothing. The result is found only once, because the bus then
        has a newer event than the lost ones.
        """
        self.operations.hold(by)
        self.database.write(event_feed.begin_generation)
        lost = self._lost()
        self.bus.read_again()
        reader = OrdersReader(self.bus, self.ingest, READER)
        while reader.step(block_ms=1) or reader.step(block_ms=1):  # first what an earlier run has not acknowledged
            pass
        self.lost_commits.continue_after(lost)
        self.relay.publish()
        return self._describe(lost)

    def _lost(self) -> list[PublishedEvent]:
        return self.lost_commits.find(self.database.read(outbox.newest_stream_id), examined=None)

    def _describe(self, lost: Iterable[PublishedEvent]) -> list[LostDelivery]:
        return [each for event in lost if (each := self._read(event)) is not None]

    def _read(self, event: PublishedEvent) -> LostDelivery | None:
        """Return what an event says; None for an event that is not about a delivery, and for a test event."""
        envelope = json.loads(event.body)
        data = envelope.get("data") or {}
        if "delivery_id" not in data or envelope["source"] == TEST_SOURCE:
            return None
        carrier, ref = data.get("carrier"), data.get("carrier_ref")
        owners, _ = self.database.read(search.owners, carrier, [ref], ()) if carrier and ref else ({}, {})
        return LostDelivery(
            data["order_id"],
            data["status"],
            data["final"],
            carrier,
            ref,
            in_database=bool(self.database.read(deliveries.load, [event.key])),
            courier_known=bool(owners),
        )
