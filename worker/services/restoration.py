"""Let a database that was restored from a backup continue beside a bus and carriers that know more.

Nothing on Redis has to be emptied. The guards of the bus keep the sequences that subscribers have received, and the
sequences of the database continue after them. All creates are held, because carriers may have couriers that the
database does not know.
"""

import json
from collections.abc import Container, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from schemas.events import TEST_SOURCE, delivery_id
from schemas.messages import Cancellation
from worker.bus.port import Bus, PublishedEvent
from worker.clock import Clock
from worker.database import accounts, deliveries, event_feed, operator_actions, outbox, search
from worker.database.connection import Connection
from worker.database.database import Database
from worker.domain.operator import Operator, OperatorAction
from worker.services.ingest import Ingest, OrdersReader
from worker.services.lost_commits import LostCommits
from worker.services.operations import Operations
from worker.services.relay import Relay

READER = "restored"
"""The consumer that reads the orders stream again."""
ACTION = "db restored"
"""The recorded action. There is one for each delivery about whose courier an operator decides."""


@dataclass(frozen=True, slots=True)
class LostDelivery:
    """What the bus knows about a delivery, and the database does not."""

    delivery_id: str
    time: str
    """The time of its newest event on the bus."""
    order_id: str
    status: str
    final: bool
    carrier: str | None
    carrier_ref: str | None
    in_database: bool
    """Whether the database has the delivery."""
    courier_known: bool
    """Whether the database has the carrier's order, so that the next read shows its status."""
    read_again: bool
    """Whether the order is still on the bus, so that `Restoration.apply` reads it again and stores it."""

    @property
    def to_do(self) -> str:
        """What an operator has to do before creates are released."""
        if self.read_again and not self.in_database:
            return f"will be read again from the stream: {replace(self, in_database=True).to_do}"
        courier = f"order {self.carrier_ref} of {self.carrier}" if self.carrier_ref else ""
        if self.courier_known:
            return "nothing: its carrier is read"
        if self.final:
            return f"`order-sync cancel {self.order_id}`: it has ended" if self.in_database else "nothing: it has ended"
        if self.in_database:
            return f"cancel {courier} there, or `order-sync cancel {self.order_id}`" if courier else "nothing"
        return f"cancel {courier} there, and place it again; or do neither" if courier else "place it again"

    @property
    def rank(self) -> tuple[bool, bool, str]:
        """The place in the list: what is to do comes first, with the couriers at its start, each by time."""
        return "nothing" in self.to_do, self.carrier_ref is None, self.time


@dataclass(frozen=True)
class Restoration:
    """Compare a restored database with the bus, and continue after what it has lost."""

    database: Database
    bus: Bus
    lost_commits: LostCommits
    ingest: Ingest
    operations: Operations
    relay: Relay
    clock: Clock

    def ends_at(self) -> datetime | None:
        """Return the time of the newest event in the database; None if it has no events."""
        return self.database.read(outbox.newest_time)

    def compare(self) -> list[LostDelivery]:
        """Return the deliveries about which the bus has events that the database lacks. Change nothing."""
        return self._describe(self._lost())

    def apply(self, by: Operator) -> list[LostDelivery]:
        """Hold all creates, read the messages on the bus again, and continue the sequences; return what is left to do.

        A message that the database has already changes nothing. The lost events are found only once, because the bus
        then has a newer event. What is left to do is recorded, and `recorded` returns it.
        """
        self.operations.hold(Operator(by.name, f"{accounts.RESTORED}: {by.reason}" if by.reason else accounts.RESTORED))
        self.database.write(event_feed.begin_generation)
        lost = self._lost()
        self.bus.read_again()
        reader = OrdersReader(self.bus, self.ingest, READER)
        while reader.step(block_ms=1) or reader.step(block_ms=1):  # first what an earlier run has not acknowledged
            pass
        self.lost_commits.continue_after(lost)
        self.relay.publish()
        left = self._describe(lost)
        self.database.write(_record, left, by, self.clock())
        return left

    def recorded(self) -> list[tuple[str, str]]:
        """Return the orders and what is to do about them that `apply` has recorded; empty when creates are not held."""
        held = self.database.read(accounts.paused).get(accounts.EVERY_ACCOUNT)
        actions = self.database.read(operator_actions.of_kind, ACTION, held.since) if held else []
        return [(order_id, to_do) for each in actions for order_id, _, to_do in [str(each.subject).partition(": ")]]

    def _lost(self) -> list[PublishedEvent]:
        return self.lost_commits.find(self.database.read(outbox.newest_stream_id), examined=None)

    def _describe(self, lost: Iterable[PublishedEvent]) -> list[LostDelivery]:
        on_bus = self._on_bus()
        found = [each for event in lost if (each := self._read(event, on_bus)) is not None]
        return sorted(found, key=lambda each: each.rank)

    def _on_bus(self) -> set[str]:
        """Return the ids of the deliveries whose orders are still on the bus."""
        entries = self.bus.newest_orders(None)
        messages, _ = self.ingest.parse([(each.id, each.fields or each.document) for each in entries])
        placed = (each for each in messages if not isinstance(each.data, Cancellation))
        return {delivery_id(each.source, each.data.order_id) for each in placed}

    def _read(self, event: PublishedEvent, on_bus: Container[str]) -> LostDelivery | None:
        """Return what an event says; None for an event that is not about a delivery, and for a test event."""
        envelope = json.loads(event.body)
        data = envelope.get("data") or {}
        if "delivery_id" not in data or envelope["source"] == TEST_SOURCE:
            return None
        carrier, ref = data.get("carrier"), data.get("carrier_ref")
        owners, _ = self.database.read(search.owners, carrier, [ref], ()) if carrier and ref else ({}, {})
        return LostDelivery(
            event.key,
            envelope["time"],
            data["order_id"],
            data["status"],
            data["final"],
            carrier,
            ref,
            in_database=bool(self.database.read(deliveries.load, [event.key])),
            courier_known=bool(owners),
            read_again=event.key in on_bus,
        )


def _record(connection: Connection, left: Iterable[LostDelivery], by: Operator, now: datetime) -> None:
    for each in left:
        subject = f"{each.order_id}: {each.to_do}"
        operator_actions.record(connection, OperatorAction(now, by.name, ACTION, "", each.delivery_id, subject))
