"""Keep the status of each delivery for a kitchen screen, from RabbitMQ, and lose no event.

    export AMQP_URL=amqp://kitchen:password@127.0.0.1/delivery
    export DATABASE_URL=postgresql://user:password@127.0.0.1/kitchen
    python amqp_subscriber.py

Run as many as you like: RabbitMQ gives all messages to one of them, and to another when it ends, so the events keep
their order. Needs the packages kombu and psycopg, a PostgreSQL database, and RabbitMQ 3.10 or newer.

If one working reader is too slow, divide the deliveries into partitions, and run readers of each: with the argument
0/4, a reader handles the first of four partitions. With the second argument --declare, the queues are declared, and
nothing is read. Do this once for a number of partitions: readers of another number do not start.
"""

import json
import os
import sys
import time
from contextlib import suppress
from functools import partial

import psycopg
from kombu import Connection, Exchange, Queue, binding

TEST_SOURCE = "/order-sync/test"  # the source of `order-sync send-test-event`
EXCHANGE, QUEUE = "deliveries", "kitchen-screen"
TRIES, RETRY_SECONDS = 10, 5
TABLE = "CREATE TABLE IF NOT EXISTS kitchen_screen (delivery_id text PRIMARY KEY, sequence integer, status text)"
# The effect and the sequence are stored in one statement, so an event that arrives again changes nothing.
STORE = """INSERT INTO kitchen_screen (delivery_id, sequence, status) VALUES (%s, %s, %s)
    ON CONFLICT (delivery_id) DO UPDATE SET sequence = excluded.sequence, status = excluded.status
    WHERE kitchen_screen.sequence < excluded.sequence"""
BUCKETS = 60  # the header `bucket` of an event is from 0 to 59, always the same for a delivery
PARTITION, PARTITIONS = map(int, (sys.argv[1:] or ["0/1"])[0].split("/"))
if not 0 <= PARTITION < PARTITIONS <= BUCKETS:
    sys.exit("the partitions of four are 0/4, 1/4, 2/4 and 3/4; 60 is the most")
# After so many tries, a message is put aside for an operator, so that the others go on.
FAILED = Queue(f"{QUEUE}.failed", Exchange(f"{QUEUE}.failed", "fanout"), queue_arguments={"x-queue-type": "quorum"})
ARGUMENTS = {
    "x-queue-type": "quorum",
    "x-single-active-consumer": True,
    "x-delivery-limit": TRIES,
    "x-dead-letter-exchange": FAILED.exchange.name,
}
EVENTS = Exchange(EXCHANGE, "topic", no_declare=True)  # Order Sync declares it
# Another number of partitions is another exchange with other queues.
DIVIDER = Exchange(f"{QUEUE}.of-{PARTITIONS}", "headers")


def queue_of(partition):
    if PARTITIONS == 1:
        return Queue(QUEUE, EVENTS, "delivery.#", queue_arguments=ARGUMENTS)
    buckets = [binding(DIVIDER, arguments={"bucket": str(each)}) for each in range(partition, BUCKETS, PARTITIONS)]
    return Queue(f"{QUEUE}.{partition}-of-{PARTITIONS}", bindings=buckets, queue_arguments=ARGUMENTS)


def handle(store, message):
    event = json.loads(message.body)
    if event["source"] != TEST_SOURCE:
        data = event["data"]
        store.execute(STORE, (data["delivery_id"], data["sequence"], data["status"]))
    message.ack()


def declare(channel):
    """Declare the queues of all partitions, so that the events of one without a reader wait for it."""
    for queue in (FAILED, *map(queue_of, range(PARTITIONS))):
        queue(channel).declare()
    if PARTITIONS > 1:  # at last, when every bucket has its queue
        DIVIDER(channel).bind_to(EVENTS, "delivery.#")


def subscribe(store, bus):
    store.execute(TABLE)
    if PARTITIONS > 1 and "--declare" not in sys.argv:
        DIVIDER(bus.default_channel).declare(passive=True)  # raises NotFound unless this number was declared
    declare(bus.default_channel)
    if "--declare" in sys.argv:
        sys.exit()
    # One message at a time: after an error, RabbitMQ delivers it again before any later one.
    with bus.Consumer(queue_of(PARTITION), on_message=partial(handle, store), prefetch_count=1):
        while True:
            with suppress(TimeoutError):
                bus.drain_events(timeout=5)
            bus.heartbeat_check()


while True:
    try:
        with (
            psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as store,
            Connection(os.environ["AMQP_URL"], heartbeat=30, connect_timeout=5) as bus,
        ):
            subscribe(store, bus)
    except Exception as error:  # whatever failed, begin again at the oldest message
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        time.sleep(RETRY_SECONDS)
