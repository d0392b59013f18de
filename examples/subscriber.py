"""Keep the status of each delivery for a kitchen screen, and lose no event.

    export ORDER_SYNC_REDIS_URL=redis://127.0.0.1:6379/0    # or `. var/settings.sh`
    export DATABASE_URL=postgresql://user:password@127.0.0.1/kitchen
    python subscriber.py screen-1

Run as many as you like, each with a name that it keeps. Only the oldest entry that is not acknowledged is handled, so
the events keep their order: one reader works, and the others wait until it is done or silent for a minute. Needs the
packages redis and psycopg, a PostgreSQL database, and Redis 7.

If one working reader is too slow, divide the deliveries into partitions, and run readers of each: with the second
argument 0/4, a reader handles the first of four partitions.
"""

import json
import os
import sys
import time
import zlib

import psycopg
import redis

REDIS_URL, DATABASE_URL = os.environ.get("ORDER_SYNC_REDIS_URL"), os.environ.get("DATABASE_URL")
if not (REDIS_URL and DATABASE_URL and sys.argv[1:]):
    sys.exit("set ORDER_SYNC_REDIS_URL and DATABASE_URL, and give the reader a name")
TEST_SOURCE = "/order-sync/test"  # the source of `order-sync send-test-event`
PARTITION, PARTITIONS = map(int, (sys.argv[2:] or ["0/1"])[0].split("/"))
if not 0 <= PARTITION < PARTITIONS:
    sys.exit("the partitions of four are 0/4, 1/4, 2/4 and 3/4")
STREAM, SUBSCRIBER, NAME = "deliveries", "kitchen-screen", sys.argv[1]
# Each partition has a consumer group, which gets all events. So another number of partitions begins with new groups.
GROUPS = [f"{SUBSCRIBER}.{each}-of-{PARTITIONS}" for each in range(PARTITIONS)] if PARTITIONS > 1 else [SUBSCRIBER]
GROUP = GROUPS[PARTITION]
DEAD_MS, TRIES, RETRY_SECONDS = 60_000, 10, 5
TABLE = "CREATE TABLE IF NOT EXISTS kitchen_screen (delivery_id text PRIMARY KEY, sequence integer, status text)"
# The effect and the sequence are stored in one statement, so an event that arrives again changes nothing.
STORE = """INSERT INTO kitchen_screen (delivery_id, sequence, status) VALUES (%s, %s, %s)
    ON CONFLICT (delivery_id) DO UPDATE SET sequence = excluded.sequence, status = excluded.status
    WHERE kitchen_screen.sequence < excluded.sequence"""


def handle(store, event):
    if event["type"].startswith("delivery.") and event["source"] != TEST_SOURCE:
        data = event["data"]
        store.execute(STORE, (data["delivery_id"], data["sequence"], data["status"]))


def unfinished(bus, oldest):
    """Return the oldest entry that was read and not acknowledged, if this reader may handle it."""
    mine = oldest["consumer"] == NAME
    if not mine and oldest["time_since_delivered"] < DEAD_MS:
        time.sleep(0.2)  # its reader is at work
        return []
    entries = bus.xclaim(STREAM, GROUP, NAME, 0 if mine else DEAD_MS, [oldest["message_id"]])
    if oldest["times_delivered"] < TRIES:
        return entries
    for entry, fields in entries:  # put it aside for an operator, so that the others go on
        bus.xadd(f"{SUBSCRIBER}:failed", fields)
        bus.xack(STREAM, GROUP, entry)
    return []


def read(bus):
    """Return the entries that may be handled now, in their order."""
    for oldest in bus.xpending_range(STREAM, GROUP, "-", "+", 1):
        return unfinished(bus, oldest)
    found = bus.xreadgroup(GROUP, NAME, {STREAM: ">"}, count=100, block=2000)
    entries = found[0][1] if found else []
    # Another reader may have read the entries before these meanwhile; then these wait.
    return [] if entries and bus.xpending_range(STREAM, GROUP, "-", f"({entries[0][0]}", 1) else entries


def of_this_partition(bus, entries):
    """Return the entries whose events belong to this partition; acknowledge the others."""
    events = [(entry, json.loads(fields["event"])) for entry, fields in entries]
    others = [entry for entry, each in events if zlib.crc32(each["partitionkey"].encode()) % PARTITIONS != PARTITION]
    if others:
        bus.xack(STREAM, GROUP, *others)
    return [(entry, event) for entry, event in events if entry not in others]


def create_groups(bus):
    """Create the groups of all partitions, so that the events of one without a reader wait for it."""
    for group in GROUPS:
        try:
            bus.xgroup_create(STREAM, group, id="0", mkstream=True)
        except redis.ResponseError as error:
            if "BUSYGROUP" not in str(error):  # the group exists already
                raise


def subscribe(store, bus):
    store.execute(TABLE)
    create_groups(bus)
    while True:
        for entry, event in of_this_partition(bus, read(bus)):
            handle(store, event)
            bus.xack(STREAM, GROUP, entry)


while True:
    try:
        with (
            psycopg.connect(DATABASE_URL, autocommit=True) as store,
            redis.Redis.from_url(REDIS_URL, protocol=2, decode_responses=True, socket_timeout=10) as bus,
        ):
            subscribe(store, bus)
    except Exception as error:  # whatever failed, begin again at the oldest entry
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        time.sleep(RETRY_SECONDS)
