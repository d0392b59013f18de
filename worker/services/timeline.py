"""The history of a delivery as one list: messages, events, calls, callbacks and what operators did."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from schemas.events import EventType
from schemas.stores import Store
from worker.database import callbacks, carrier_calls, inbox, operator_actions, outbox
from worker.database.callbacks import StoredCallback
from worker.database.carrier_calls import RecordedCall
from worker.database.database import Database
from worker.domain.delivery import Delivery
from worker.domain.operator import OperatorAction
from worker.http.call import Verdict


class Kind(StrEnum):
    """What an entry of a timeline is about. At the same time, entries are in this order."""

    MESSAGE = "message"
    OPERATOR = "operator"
    CALL = "call"
    CALLBACK = "callback"
    EVENT = "event"


ORDER = list(Kind)


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened to a delivery. The texts contain no customer data."""

    at: datetime
    """In the zone of the delivery's store."""
    kind: Kind
    text: str
    detail: str | None = None
    """What was sent and received, redacted."""
    trouble: bool = False
    """True if the entry is about a failure or needs an operator."""


@dataclass(frozen=True)
class Timelines:
    """Collect what is stored about a delivery."""

    database: Database
    file_shops: Mapping[str, Store]

    def of(self, delivery: Delivery) -> list[Entry]:
        """Return the entries of a delivery, oldest first, in the zone of its store.

        Calls are kept only for a while (`ORDER_SYNC_KEEP_CALLS_DAYS`).
        """
        read, attempts = self.database.read, {each.id: each.number for each in delivery.attempts}
        zone = self.zone_of(delivery)
        messages = read(inbox.messages_about, delivery.source, delivery.order.order_id)
        calls = read(carrier_calls.of_attempts, list(attempts))
        published = (json.loads(body) for _, body in read(outbox.events, keys=[delivery.id]))
        found = [
            *(Entry(at, Kind.MESSAGE, f"{delivery.source} sent {name}") for at, name in messages),
            *(_call(each, attempts) for each in calls),
            *(_callback(each) for each in read(callbacks.of_attempts, list(attempts))),
            *(_event(each) for each in published),
            *(_action(each) for each in read(operator_actions.of_delivery, delivery.id)),
        ]
        ordered = sorted(found, key=lambda each: (each.at, ORDER.index(each.kind)))
        return [Entry(each.at.astimezone(zone), each.kind, each.text, each.detail, each.trouble) for each in ordered]

    def zone_of(self, delivery: Delivery) -> ZoneInfo:
        """Return the time zone of a delivery's store, and UTC if the store is unknown."""
        store = delivery.store or self.file_shops.get(delivery.order.store_id)
        return ZoneInfo(str(store.timezone)) if store else ZoneInfo("UTC")


def _call(call: RecordedCall, attempts: Mapping[int, int]) -> Entry:
    answer = f"HTTP {call.status}" if call.status is not None else "no reply"
    because = f": {call.reason}" if call.reason else ""
    text = (
        f"{call.operation} at {call.account} (attempt {attempts[call.attempt_id]}), {answer} after "
        f"{call.milliseconds} ms, {call.verdict.value}{because}"
    )
    trace = f"trace {call.trace_id}" if call.trace_id else None
    detail = "\n".join(filter(None, (call.request, call.reply, trace)))
    return Entry(call.sent_at, Kind.CALL, text, detail, call.verdict is not Verdict.ANSWERED)


def _callback(stored: StoredCallback) -> Entry:
    about = f" about its {stored.key.entity}" if stored.key.entity else ""
    text = f"{stored.carrier} reported{about}: {stored.result or 'not applied yet'}"
    return Entry(stored.received_at, Kind.CALLBACK, text)


def _action(action: OperatorAction) -> Entry:
    because = f": {action.reason}" if action.reason else ""
    subject = f" {action.subject}" if action.subject else ""
    return Entry(action.at, Kind.OPERATOR, f"{action.operator} did {action.action}{subject}{because}")


def _event(event: Mapping[str, Any]) -> Entry:
    words = ", ".join(_described(event["type"], event["data"]))
    text = f"{int(event['sequence'])} {event['type'].rpartition('.')[2]}: {words}"
    asks = event["type"] == EventType.ATTENTION_REQUIRED
    return Entry(datetime.fromisoformat(event["time"]), Kind.EVENT, text, trouble=asks)


def _described(kind: str, data: Mapping[str, Any]) -> Iterator[str]:
    """Yield the status of an event and its reasons; for an unmapped status, also the carrier's status."""
    yield data["status"]
    yield from _present(data[key] for key in ("detail", "reason", "reason_text"))
    if data["carrier"]:
        yield f"carrier {data['carrier']}"
    if kind == EventType.STATUS_UNRECOGNIZED and data["raw"]:
        yield f"{data['raw']['entity']}:{data['raw']['code']}"


def _present(values: Iterable[str | None]) -> Iterator[str]:
    yield from (each for each in values if each)
