"""The publisher of the stream `deliveries`. Each event is published once; events of one key keep their order.

The stream may lose its newest entries, or all entries, at any moment. So events are published only while the newest
entry is the expected one. A guard contains the id of the last published entry of its key. If the stream no longer has
this entry, the guard is ignored.
"""

from collections.abc import Collection, Sequence
from typing import Any

import redis
from redis.exceptions import ResponseError

from worker.bus.port import EXAMINED, PublishedEvent, StreamMoved, newest_of, read_event, unpublished_keys
from worker.domain.delivery import OutgoingEvent

GUARD_SECONDS = 30 * 24 * 3600

_PUBLISH = """
local entry = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local newest = entry and entry[1] or '0-0'
if newest ~= ARGV[1] then return redis.error_reply('UNEXPECTED the newest entry is ' .. newest) end

local function exists(place, guard)
    local found = redis.call('XRANGE', KEYS[1], place, place)[1]
    return found and string.find(found[2][2], string.match(guard, '[^:]+$'), 1, true)
end

local function publish(guard, sequence, event)
    local last, place = string.match(redis.call('GET', guard) or '', '^(%d+) (.+)$')
    if last and tonumber(sequence) <= tonumber(last) and exists(place, guard) then return place end
    place = redis.call('XADD', KEYS[1], '*', 'event', event)
    redis.call('SET', guard, sequence .. ' ' .. place, 'EX', ARGV[2])
    return place
end

local places, stuck = {}, {}
for at = 2, #KEYS do
    local done, place = false, false
    if not stuck[KEYS[at]] then done, place = pcall(publish, KEYS[at], ARGV[2 * at - 1], ARGV[2 * at]) end
    stuck[KEYS[at]] = not done
    places[at - 1] = done and place
end
return places
"""
"""Publish a batch.

An event is skipped when its sequence is not higher than the last published sequence of its key. If an event cannot be
published, the later events of its key are not published either.

KEYS: the stream, then the guard of each event. A guard describes the last published event of its key: the event's
sequence, and the id of the event's entry. The script checks that this entry contains the key, because a stream that was
emptied and refilled may have another entry with the same id. ARGV: the expected id of the newest entry, the lifetime of
a guard in seconds, then the sequence and the body of each event.
"""


class Publisher:
    """Publish events on a stream, with a guard for each key.

    The methods take and return stream ids with leading zeros, so that the ids sort as text.
    """

    def __init__(self, client: redis.Redis, stream: str) -> None:
        self._redis, self._stream = client, stream
        self._publish = client.register_script(_PUBLISH)

    def last_surviving(self, place: str) -> tuple[str, str]:
        """Return two ids: of the newest entry whose id is not after `place`, and of the newest entry of the stream.

        If the first id is not `place`, the stream has lost the entry `place`. An entry that a subscriber has deleted
        does not count as lost: then the first id is `place`, too. An id is empty if there is no such entry.
        """
        pipe = self._redis.pipeline(transaction=True)
        pipe.xrevrange(self._stream, max=_entry_id(place), count=1)
        pipe.xrevrange(self._stream, count=1)
        upto, newest = ("".join(_place(identity) for identity, _ in found) for found in pipe.execute())
        return (place if upto < place <= self._deleted() else upto), newest

    def _deleted(self) -> str:
        """Return the highest id of all deleted entries; empty when the stream does not exist.

        Redis before version 7 does not record deletions; the result is then the id `0-0`.
        """
        try:
            info: Any = self._redis.xinfo_stream(self._stream)
        except ResponseError:
            return ""
        return _place(info.get("max-deleted-entry-id", b"0-0"))

    def published_after(self, database: str, place: str, examined: int | None = EXAMINED) -> list[PublishedEvent]:
        """Return the events after the id `place`: for each key, only the last event that this database has published.

        Only the newest `examined` entries are examined; None means all.
        """
        entries: Any = self._redis.xrevrange(self._stream, min=_entry_id(place), count=examined)
        found = {identity: event for identity, fields in entries if (event := read_event(fields.get(b"event", b"")))}
        found.pop(_entry_id(place).encode(), None)
        if not found:
            return []
        guards: Any = self._redis.mget([self._guard(database, event.key) for event in found.values()])
        return [
            event
            for (identity, event), guard in zip(found.items(), guards, strict=True)
            if guard == b"%d %b" % (event.sequence, identity)
        ]

    def publish(self, database: str, events: Sequence[OutgoingEvent], newest: str) -> list[tuple[int, str]]:
        """Publish events of a database in this order; return the outbox position and the stream id of each event.

        An event that was published before gets no second entry. For it, the id of the newest entry of the same key is
        returned. If an event cannot be published, the later events of its key are left for the next call.

        Raises StreamMoved when `newest` is no longer the id of the newest entry. Either this relay was suspended beyond
        its lease and another relay has published, or the stream has lost its newest entries.
        """
        if not events:
            return []
        try:
            return self._run(database, events, newest)
        except (redis.ConnectionError, ResponseError):
            self._redis.ping()  # raises if the server is unreachable; otherwise an event caused the error
            return self._publish_halves(database, events, newest)

    def forget(self, database: str, keys: Collection[str]) -> None:
        """Remove the guards of keys, so that events which were published are published again."""
        if keys:
            self._redis.delete(*(self._guard(database, key) for key in keys))

    def _run(self, database: str, events: Sequence[OutgoingEvent], newest: str) -> list[tuple[int, str]]:
        keys = [self._stream, *(self._guard(database, event.key) for event in events)]
        parts: list[str | int] = [part for event in events for part in (event.sequence, event.body)]
        try:
            ids: Any = self._publish(keys=keys, args=[_entry_id(newest), GUARD_SECONDS, *parts])
        except ResponseError as error:
            if str(error).startswith("UNEXPECTED"):
                raise StreamMoved(str(error)) from None
            raise
        return [(event.position, _place(identity)) for event, identity in zip(events, ids, strict=True) if identity]

    def _guard(self, database: str, key: str) -> str:
        # Each database has its own guards. With the guards of an older database, new events would count as repeats.
        return f"{self._stream}:sequence:{database}:{key}"

    def _publish_halves(self, database: str, events: Sequence[OutgoingEvent], newest: str) -> list[tuple[int, str]]:
        """Publish a batch in halves, so that only a failing event and the later events of its key stay unpublished."""
        if len(events) == 1:
            return []
        front, back = events[: len(events) // 2], events[len(events) // 2 :]
        published = self.publish(database, front, newest)
        stuck = unpublished_keys(front, published)
        rest = [event for event in back if event.key not in stuck]
        return published + self.publish(database, rest, newest_of(newest, published))


def _place(identity: bytes) -> str:
    millis, _, number = identity.decode().partition("-")
    return f"{millis:0>13}-{number:0>10}"


def _entry_id(place: str) -> str:
    millis, _, number = place.partition("-")
    return f"{int(millis or 0)}-{int(number or 0)}"
