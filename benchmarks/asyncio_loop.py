"""A loop written by hand on asyncio, asyncpg and aiohttp, with the guarantees of Order Sync: what Python can do.

No order is lost, because an entry of the stream is acknowledged once the order and its intent are committed. No order
gets two couriers, because a repeated message stores nothing, and a create without a known outcome is never sent again:
its row stays `submitting` or becomes `unknown`, for an operator to settle. No event is lost, because each is committed
with its change, and the relay marks it as published afterwards. It cannot do anything else that Order Sync does.
"""

import asyncio
import json
import os
import ssl
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import asyncpg
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from benchmarks.plain_celery import raw_order

GROUP = "loop"
READ_COUNT, RELAY_COUNT = 100, 500
CONCURRENCY = 64
IDLE_MS = 60_000
"""An entry that a process has not acknowledged for this long is read by another process."""
TABLES = """
CREATE TABLE loop_order (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, message_id text UNIQUE NOT NULL, order_id text UNIQUE NOT NULL,
    body text NOT NULL, state text NOT NULL, carrier_ref text, changed_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE loop_event (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, order_id text NOT NULL, status text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(), published_at timestamptz);
CREATE INDEX loop_unpublished ON loop_event (position) WHERE published_at IS NULL;
"""
ACCEPT = """
WITH new AS (
    INSERT INTO loop_order (message_id, order_id, body, state)
    SELECT message_id, order_id, body, 'submitting'
    FROM unnest($1::text[], $2::text[], $3::text[]) AS t (message_id, order_id, body)
    ON CONFLICT DO NOTHING RETURNING id, order_id, body
), queued AS (INSERT INTO loop_event (order_id, status) SELECT order_id, 'queued' FROM new)
SELECT id, body FROM new
"""
RECORD = """
WITH done AS (
    UPDATE loop_order SET state = t.state, carrier_ref = t.ref, changed_at = now()
    FROM unnest($1::bigint[], $2::text[], $3::text[]) AS t (id, state, ref)
    WHERE loop_order.id = t.id AND loop_order.state = 'submitting' RETURNING loop_order.order_id, t.state
) INSERT INTO loop_event (order_id, status) SELECT order_id, state FROM done
"""
UNPUBLISHED = """
SELECT position, order_id, status FROM loop_event WHERE published_at IS NULL ORDER BY position LIMIT $1
"""
PUBLISHED = "UPDATE loop_event SET published_at = now() WHERE position = ANY($1::bigint[])"
LOCK_RELAY = "SELECT pg_advisory_xact_lock(1)"
Outcome = tuple[int, str, str | None]
"""The id of an order, its new state, and the carrier's id."""


@dataclass
class Loop:
    """One process: a reader, up to `CONCURRENCY` creates, a writer of outcomes and a relay."""

    name: str
    redis: Redis
    database: asyncpg.Pool
    http: aiohttp.ClientSession
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CONCURRENCY))
    outcomes: asyncio.Queue[Outcome] = field(default_factory=asyncio.Queue)
    committed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when events may wait for the relay."""

    async def run(self) -> None:
        """Work until the process ends."""
        with suppress(ResponseError):  # another process has created it
            await self.redis.xgroup_create("orders", GROUP, id="0", mkstream=True)
        self.committed.set()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._record_outcomes())
            tasks.create_task(self._relay())
            start = "0"  # first what this process has read and not acknowledged
            while True:
                entries = await self._read(start)
                start = start if entries and start == "0" else ">"
                for number, body in await self._accept(entries):
                    await self.slots.acquire()
                    tasks.create_task(self._create(number, json.loads(body)))

    async def _read(self, start: str) -> list[Any]:
        abandoned = (await self.redis.xautoclaim("orders", GROUP, self.name, IDLE_MS, "0-0", count=READ_COUNT))[1]
        if abandoned:
            return list(abandoned)
        found: Any = await self.redis.xreadgroup(GROUP, self.name, {"orders": start}, count=READ_COUNT, block=1000)
        pairs = found.items() if isinstance(found, dict) else found or ()
        return [entry for _, entries in pairs for entry in entries]

    async def _accept(self, entries: Sequence[Any]) -> list[tuple[int, str]]:
        """Store new orders with their intents, and acknowledge their entries; return the new orders."""
        if not entries:
            return []
        messages = [json.loads(fields[b"event"]) for _, fields in entries]
        new = await self.database.fetch(
            ACCEPT,
            [each["id"] for each in messages],
            [each["data"]["order_id"] for each in messages],
            [json.dumps(each["data"]) for each in messages],
        )
        self.committed.set()
        await self.redis.xack("orders", GROUP, *(key for key, _ in entries))
        return [(row["id"], row["body"]) for row in new]

    async def _create(self, number: int, order: dict[str, Any]) -> None:
        try:
            async with self.http.post("/apis/v2/order", json=raw_order(number, order)) as reply:
                ref = await reply.text()
            outcome = (number, "created" if reply.ok else "unknown", ref if reply.ok else None)
        except (aiohttp.ClientError, TimeoutError, OSError):
            outcome = (number, "unknown", None)
        finally:
            self.slots.release()
        self.outcomes.put_nowait(outcome)

    async def _record_outcomes(self) -> None:
        """Store the outcomes that have come in, each group with its events in one transaction."""
        while True:
            group = [await self.outcomes.get()]
            while not self.outcomes.empty():
                group.append(self.outcomes.get_nowait())
            await self.database.execute(RECORD, *(list(column) for column in zip(*group, strict=True)))
            self.committed.set()

    async def _relay(self) -> None:
        """Publish the waiting events in order, one process at a time."""
        while True:
            await self.committed.wait()
            self.committed.clear()
            async with self.database.acquire() as connection, connection.transaction():
                await connection.execute(LOCK_RELAY)
                while waiting := await connection.fetch(UNPUBLISHED, RELAY_COUNT):
                    await self._publish(waiting)
                    await connection.execute(PUBLISHED, [row["position"] for row in waiting])

    async def _publish(self, waiting: Sequence[Any]) -> None:
        pipeline = self.redis.pipeline(transaction=False)
        for row in waiting:
            event = {"subject": row["order_id"], "type": "status_changed", "data": {"status": row["status"]}}
            pipeline.xadd("deliveries", {"event": json.dumps({"specversion": "1.0", "id": row["position"], **event})})
        await pipeline.execute()


async def main(name: str) -> None:
    """Run one process."""
    environ = os.environ
    tls = ssl.create_default_context(cafile=environ["LOOP_CA_BUNDLE"] or None)
    redis = Redis.from_url(environ["LOOP_REDIS_URL"])
    headers = {"Authorization": "Bearer sandbox-cervo-token"}
    async with (
        asyncpg.create_pool(environ["LOOP_DATABASE_URL"], min_size=4, max_size=4) as database,
        aiohttp.ClientSession(
            environ["LOOP_CARRIER_URL"],
            connector=aiohttp.TCPConnector(limit=CONCURRENCY, ssl=tls),
            timeout=aiohttp.ClientTimeout(total=30),
            headers=headers,
        ) as http,
    ):
        await Loop(name, redis, database, http).run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
