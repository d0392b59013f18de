"""Keep the status of each delivery for a kitchen screen, from RabbitMQ, and lose no event.

    export AMQP_URL=amqp://kitchen:password@127.0.0.1/delivery
    export DATABASE_URL=postgresql://user:password@127.0.0.1/kitchen
    python amqp_subscriber.py

Run as many as you like: RabbitMQ gives all messages to one of them, and to another when it ends, so the events keep
their order. Needs the packages kombu and psycopg, a PostgreSQL database, and RabbitMQ 3.10 or newer.
"""

import json
import os
import sys
import time
from contextlib import suppress
from functools import partial

import psycopg
from kombu import Connection, Exchange, Queue

TEST_SOURCE = "/order-sync/test"  # the source of `order-sync send-test-event`
EXCHANGE, QUEUE = "deliveries", "kitchen-screen"
TRIES, RETRY_SECONDS = 10, 5
TABLE = "CREATE TABLE IF NOT EXISTS kitchen_screen (delivery_id text PRIMARY KEY, sequence integer, status text)"
# The effect and the sequence are stored in one statement, so an event that arrives again changes nothing.
STORE = """INSERT INTO kitchen_screen (delivery_id, sequence, status) VALUES (%s, %s, %s)
    ON CONFLICT (delivery_id) DO UPDATE SET sequence = excluded.sequence, status = excluded.status
    WHERE kitchen_screen.sequence < excluded.sequence"""
# After so many tries, a message is put aside for an operator, so that the others go on.
FAILED = Queue(f"{QUEUE}.failed", Exchange(f"{QUEUE}.failed", "fanout"), queue_arguments={"x-queue-type": "quorum"})
EVENTS = Queue(
    QUEUE,
    Exchange(EXCHANGE, "topic", no_declare=True),  # Order Sync declares it
    routing_key="delivery.#",
    queue_arguments={
        "x-queue-type": "quorum",
        "x-single-active-consumer": True,
        "x-delivery-limit": TRIES,
        "x-dead-letter-exchange": FAILED.exchange.name,
    },
)


def handle(store, message):
    event = json.loads(message.body)
    if event["source"] != TEST_SOURCE:
        data = event["data"]
        store.execute(STORE, (data["delivery_id"], data["sequence"], data["status"]))
    message.ack()


def subscribe(store, bus):
    store.execute(TABLE)
    FAILED(bus.default_channel).declare()
    # One message at a time: after an error, RabbitMQ delivers it again before any later one.
    with bus.Consumer(EVENTS, on_message=partial(handle, store), prefetch_count=1):
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
