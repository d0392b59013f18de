"""The outlet: how events leave for the stream `deliveries`, each once and in the order of its key.

The stream may lose its end, or everything, at any moment. So nothing is published unless the newest entry is the one
that was expected, and a guard is believed only while the entry that it speaks of stands.
"""

from collections.abc import Sequence
from typing import Any

import redis
from redis.exceptions import ResponseError

from worker.domain.delivery import OutgoingEvent

GUARD_SECONDS = 30 * 24 * 3600

_PUBLISH = """
local entry = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local newest = entry and entry[1] or '0-0'
if newest ~= ARGV[1] then return redis.error_reply('UNEXPECTED the newest entry is ' .. newest) end

local function stands(place, guard)
    local found = redis.call('XRANGE', KEYS[1], place, place)[1]
    return found and string.find(found[2][2], string.match(guard, '[^:]+$'), 1, true)
end

local function publish(guard, sequence, event)
    local last, place = string.match(redis.call('GET', guard) or '', '^(%d+) (.+)$')
    if last and tonumber(sequence) <= tonumber(last) and stands(place, guard) then return place end
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
"""Publish a batch: a key's sequence only grows, and after its first failure nothing later of it is published.

KEYS: the stream, and each event's guard, which holds the last sequence of its key and the entry's id. That entry must
name the key: on a stream that was emptied and refilled another's may have got the same id. ARGV: the entry that must be
the newest, the guards' life in seconds, then each event's sequence and body.
"""


class StreamMoved(Exception):
    """Somebody published meanwhile, or the bus lost something: what stands on it must be looked at again."""


class Publisher:
    """The stream of events, behind its guards. A place on it is an entry's id with leading zeros, so that it sorts."""

    def __init__(self, client: redis.Redis, stream: str) -> None:
        self._redis, self._stream = client, stream
        self._publish = client.register_script(_PUBLISH)

    def last_surviving(self, place: str) -> tuple[str, str]:
        """Tell the newest place on the stream up to this one, and the newest of all; empty where nothing stands.

        When the first is not the place that was asked for, the stream has lost what stood there. What a subscriber
        has deleted is not lost: it has been there, and would only be deleted again.
        """
        pipe = self._redis.pipeline(transaction=True)
        pipe.xrevrange(self._stream, max=_entry_id(place), count=1)
        pipe.xrevrange(self._stream, count=1)
        upto, newest = ("".join(_place(identity) for identity, _ in found) for found in pipe.execute())
        return (place if upto < place <= self._deleted() else upto), newest

    def _deleted(self) -> str:
        """Tell the newest place of which an entry was ever deleted; empty where a server does not know (before 7)."""
        try:
            info: Any = self._redis.xinfo_stream(self._stream)
        except ResponseError:
            return ""
        return _place(info.get("max-deleted-entry-id", b"0-0"))

    def publish(self, database: str, events: Sequence[OutgoingEvent], newest: str) -> list[tuple[int, str]]:
        """Publish events of a database in this order; return the position and place of each that is on the stream.

        A repeat gets no second entry; it is told the place of its key's last event, which is its own or a later one.
        After the first failure of a key the rest of that key is left for the next time. Raises Moved when `newest`
        is not the newest place any more: so a relay that slept through its lease, or a stream that lost its end
        meanwhile, is found out before it does harm.
        """
        if not events:
            return []
        try:
            return self._run(database, events, newest)
        except (redis.ConnectionError, ResponseError):
            self._redis.ping()  # raises when it is away; a server that is there has broken with us over this batch
            return self._publish_halves(database, events, newest)

    def _run(self, database: str, events: Sequence[OutgoingEvent], newest: str) -> list[tuple[int, str]]:
        # Guards are a database's own: an older database's would take a new one's events for repeats.
        keys = [self._stream, *(f"{self._stream}:sequence:{database}:{event.key}" for event in events)]
        said: list[str | int] = [part for event in events for part in (event.sequence, event.body)]
        try:
            ids: Any = self._publish(keys=keys, args=[_entry_id(newest), GUARD_SECONDS, *said])
        except ResponseError as error:
            if str(error).startswith("UNEXPECTED"):
                raise StreamMoved(str(error)) from None
            raise
        return [(event.position, _place(identity)) for event, identity in zip(events, ids, strict=True) if identity]

    def _publish_halves(self, database: str, events: Sequence[OutgoingEvent], newest: str) -> list[tuple[int, str]]:
        """Find the event that spoils a batch, so that only it and what follows in its key is left behind."""
        if len(events) == 1:
            return []
        front, back = events[: len(events) // 2], events[len(events) // 2 :]
        told = self.publish(database, front, newest)
        stuck = unpublished_keys(front, told)
        rest = [event for event in back if event.key not in stuck]
        return told + self.publish(database, rest, newest_of(newest, told))


def unpublished_keys(events: Sequence[OutgoingEvent], told: Sequence[tuple[int, str]]) -> set[str]:
    """Name the keys of which not every event was published."""
    positions = {position for position, _ in told}
    return {event.key for event in events if event.position not in positions}


def newest_of(newest: str, told: Sequence[tuple[int, str]]) -> str:
    """Tell the newest place after these were published."""
    return max([newest, *(place for _, place in told)])


def _place(identity: bytes) -> str:
    millis, _, number = identity.decode().partition("-")
    return f"{millis:0>13}-{number:0>10}"


def _entry_id(place: str) -> str:
    millis, _, number = place.partition("-")
    return f"{int(millis or 0)}-{int(number or 0)}"
