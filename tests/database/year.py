"""A year of deliveries in a PostgreSQL database: nearly all have ended, and some thousands are active.

SQL copies the rows of one delivery that the product stored. An event has 560 bytes, which is half of the usual length,
and an order with its store 1,000. Rows are written once and in order, so no page has a dead row.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import psycopg

from tests.database import samples
from worker.database.database import Database

ACTIVE = 5_000
"""How many of the newest deliveries are active; of fewer than 250,000 deliveries, a fiftieth."""
CHUNK = 100_000
"""How many deliveries one transaction inserts."""
LOADERS = 2
LIFE = """
CREATE FUNCTION pg_temp.life(first bigint, last bigint) RETURNS TABLE (
    n bigint, id text, placed timestamptz, carrier text, attempt bigint, active boolean, final text, asks text,
    step text) LANGUAGE sql AS $$
SELECT n, md5(n::text)::uuid::text, %(now)s - interval '365 days' * ((%(total)s - n) / %(total)s::float8),
    (ARRAY['cervo', 'borzo', 'deliverit'])[1 + n %% 3], n * 4503599627 %% 9007199254740992, n > %(ended)s,
    CASE WHEN n %% 20 < 18 THEN 'delivered' WHEN n %% 20 = 18 THEN 'cancelled' ELSE 'rejected' END,
    CASE WHEN n > %(ended)s AND n %% 100 = 1 THEN 'outcome_unknown' WHEN n > %(ended)s AND n %% 100 = 2
        THEN 'not_dispatched_in_time' WHEN n %% 100000 = 7 THEN 'goods_with_courier' END,
    CASE WHEN n <= %(ended)s THEN NULL WHEN n %% 100 = 1 THEN 'reconcile' WHEN n %% 10 = 2 THEN 'book' ELSE 'track' END
FROM generate_series(first, last) AS n $$
"""
_EVENT = """
    '{"specversion":"1.0","id":"' || d.id || '","source":"/order-sync","type":"delivery.' || CASE s WHEN 4 THEN
    'updated' ELSE 'status_changed' END || '","subject":"' || d.n || '","partitionkey":"' || d.id ||
    '","sequence":"000000000' || s ||
    '","data":{"delivery_id":"' || d.id || '","order_id":"' || d.n || '","order_source":"platform","store_id":"' ||
    d.n %% 1000 || '","sequence":' || s || ',"status":"' || CASE s WHEN 1 THEN 'queued' WHEN 2 THEN 'created' WHEN 3
    THEN 'picked_up' WHEN 4 THEN 'picked_up' ELSE d.final END || '","previous_status":null,"reason":null,
    "cancelled_by":null,"carrier":"' || d.carrier || '","attempt":1,"cause":"poll","raw":null,"occurred_at":null,
    "observed_at":"' || to_char(d.placed AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') || '","price":null}}'
"""
STATEMENTS = (
    """
    INSERT INTO delivery (id, source, order_id, store_id, status, created_at, sequence, carrier, step, step_carrier,
        may_give_way, next_run_at, alarm_at, attention_reasons, erasable_since, version, document)
    SELECT d.id, 'platform', d.n, d.n %% 1000, CASE WHEN NOT active THEN final WHEN step = 'reconcile' THEN
        'submit_unknown' WHEN step = 'book' THEN 'queued' ELSE 'created' END, placed, 5, carrier, step,
        CASE WHEN active THEN carrier END, n %% 50 = 3,
        CASE WHEN step = 'book' THEN %(now)s + n %% 100 * interval '1 minute'
             WHEN active THEN %(now)s + (n %% 60 - 30) * interval '1 second' END,
        CASE WHEN active THEN %(now)s + (n %% 100 - 2) * interval '1 minute' END, asks,
        CASE WHEN NOT active AND placed > %(now)s - interval '90 days' THEN placed + interval '40 minutes' END, n,
        %(delivery)s
    FROM pg_temp.life(%(first)s, %(last)s) AS d
    """,
    """
    INSERT INTO placed_order (delivery_id, "order", store, fingerprint)
    SELECT id, replace(%(order)s, %(phone)s, '+45' || 20000000 + n %% 70000000), %(store)s, md5(n::text)
    FROM pg_temp.life(%(first)s, %(last)s)
    """,
    """
    INSERT INTO attempt (id, delivery_id, number, carrier, state, token, ref, surplus, ended_at, reported_anomalies,
        journal_file, document)
    SELECT attempt, id, 1, carrier, CASE WHEN NOT active THEN final WHEN step = 'reconcile' THEN 'submit_unknown'
        WHEN step = 'book' THEN 'queued' ELSE 'created' END, md5('token' || n), CASE WHEN step IS NULL OR step = 'track'
        THEN 'R' || n END, false, CASE WHEN NOT active THEN placed + interval '40 minutes' END,
        CASE WHEN n %% 5000 = 9 THEN 'order:99' END, CASE WHEN step = 'reconcile' THEN 'host.1.2.log' END, %(attempt)s
    FROM pg_temp.life(%(first)s, %(last)s)
    """,
    f"""
    INSERT INTO event (position, key, sequence, subject, body, created_at)
    SELECT (n - 1) * 5 + s, id, s, n, {_EVENT}, placed + s * interval '8 minutes'
    FROM pg_temp.life(%(first)s, %(last)s) AS d, generate_series(1, 5) AS s ORDER BY 1
    """,
    """
    INSERT INTO publication (position, stream_id)
    SELECT position, CASE WHEN position <= %(total)s * 5 - 20 THEN lpad((1.7e12::bigint + position)::text, 13, '0') ||
        '-0000000000' END FROM generate_series(%(first)s * 5 - 4, %(last)s * 5) AS position
    """,
    """
    INSERT INTO message (source, message_id, received_at, order_id, fetch_at, failures)
    SELECT 'platform', md5('message' || n), placed, n, CASE WHEN n > %(total)s - 10 THEN %(now)s END, 0
    FROM pg_temp.life(%(first)s, %(last)s)
    """,
    """
    INSERT INTO write_back (delivery_id, due_at, status, written, reported, failures)
    SELECT id, CASE WHEN n > %(total)s - 30 THEN %(now)s END, 11, true, false, 0
    FROM pg_temp.life(%(first)s, %(last)s)
    """,
    """
    INSERT INTO early_cancellation (delivery_id, body, received_at)
    SELECT id, '{"order_id":"' || n || '"}', placed FROM pg_temp.life(%(first)s, %(last)s)
    WHERE n %% 50 = 0 AND placed > %(now)s - interval '90 days'
    """,
    """
    INSERT INTO operator_action (at, operator, action, reason, delivery_id)
    SELECT placed, 'maria', 'attended', 'phoned', id FROM pg_temp.life(%(first)s, %(last)s) WHERE n %% 25 = 0
    """,
    """
    INSERT INTO callback (id, carrier, digest, method, headers, query, token, attempt_id, ref, entity, reported_at,
        body, received_at, try_at, result)
    SELECT md5(s || 'c' || n)::uuid, carrier, md5(s || 'c' || n), 'POST', '{}', '', NULL,
        CASE WHEN n %% 1000 > 0 THEN attempt END, 'R' || n, 'order', placed, '{"event_type":"order_changed"}',
        placed + s * interval '8 minutes', placed, CASE WHEN n <= %(total)s - 50 THEN 'applied' END
    FROM pg_temp.life(%(first)s, %(last)s), generate_series(1, 4) AS s
    WHERE carrier <> 'deliverit' AND placed > %(now)s - interval '30 days'
    """,
    """
    INSERT INTO carrier_call (attempt_id, sent_at, operation, delivery_id, account, milliseconds, status, verdict,
        request, reply, trace_id)
    SELECT attempt, placed + s * interval '6 minutes', CASE s WHEN 1 THEN 'create' ELSE 'read' END, id, carrier,
        100 + n %% 400, 200, 'answered', 'POST /orders', '{"status":"' || s || '"}', md5(n::text)
    FROM pg_temp.life(%(first)s, %(last)s), generate_series(1, 6) AS s
    WHERE placed > %(now)s - interval '30 days'
    """,
)
FEW = (
    "INSERT INTO shop SELECT n, %(store)s, %(now)s FROM generate_series(1, 1000) AS n",
    """INSERT INTO dead_letter SELECT md5(n::text)::uuid, 'x', false, 'no field `event`',
        %(now)s - n * interval '1 minute', CASE WHEN n > 20 THEN %(now)s END FROM generate_series(1, 3000) AS n""",
    """INSERT INTO subscriber (id, url, types, secrets, position, created_at, accepted, failed, failures)
        SELECT 's' || n, 'https://shop.example/hook', '[]', '[]', %(total)s * 5 - 40, %(now)s, 0, 0, 0
        FROM generate_series(1, 3) AS n""",
    """INSERT INTO blocked_key (subscriber_id, key, position, since, try_at)
        SELECT 's1', md5(n::text)::uuid, n * 5, %(now)s, %(now)s FROM generate_series(1, 20) AS n""",
    """INSERT INTO account (name) VALUES ('cervo'), ('borzo'), ('deliverit')""",
    "SELECT setval(pg_get_serial_sequence('event', 'position'), %(total)s * 5)",
)
DEFINITIONS = """
SELECT conrelid::regclass, quote_ident(conname), pg_get_constraintdef(oid), contype = 'f' FROM pg_constraint
WHERE connamespace = 'public'::regnamespace AND contype IN ('p', 'u', 'f') AND conrelid::regclass::text <>
'alembic_version' ORDER BY contype = 'f'
"""
INDEXES = """
SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version'
AND indexname NOT IN (SELECT conname FROM pg_constraint)
"""


@dataclass(frozen=True)
class Year:
    """What was filled in."""

    deliveries: int
    active: int
    now: datetime

    @property
    def newest(self) -> int:
        """The number of the newest delivery, which is also its order id."""
        return self.deliveries

    @property
    def ended(self) -> int:
        """The number of the newest delivery that has ended."""
        return self.deliveries - self.active


def year_of(deliveries: int) -> Year:
    """Return the year with this number of deliveries."""
    return Year(deliveries, min(ACTIVE, deliveries // 50), samples.NOW)


def fill(url: str, deliveries: int, done: Callable[[int], object] = id) -> Year:
    """Fill a database that has our empty tables; `done` is called with the number of deliveries after each part.

    The indexes are built afterwards. Then the statistics are collected.
    """
    year = year_of(deliveries)
    values = {**_texts(url), "now": year.now, "total": deliveries, "ended": year.ended}
    with psycopg.connect(url, autocommit=True) as connection, _without_indexes(connection):
        for statement in FEW:
            connection.execute(statement, values)
        parts = range(1, deliveries + 1, CHUNK)
        with ThreadPoolExecutor(LOADERS) as pool:
            for part in pool.map(partial(_load, url, values, deliveries), parts):
                done(part)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
    return year


def _texts(url: str) -> dict[str, str]:
    """Return the documents of a delivery with an attempt, as the product stores them; it is deleted again."""
    with closing(Database(url)) as database:
        samples.changed(database, samples.place(database, "2011"), samples.begun)
        (order,) = samples.rows(database, "placed_order")
        found = {table: samples.rows(database, table)[0]["document"] for table in ("delivery", "attempt")}
    with psycopg.connect(url) as connection:
        connection.execute(
            "TRUNCATE delivery, placed_order, attempt, event, publication, message, write_back, early_cancellation"
        )
    return {**found, "order": order["order"], "store": order["store"], "phone": samples.ORDER.customer.phone}


def _load(url: str, values: dict[str, Any], deliveries: int, first: int) -> int:
    last = min(first + CHUNK - 1, deliveries)
    with psycopg.connect(url, cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute(LIFE, values)
        for statement in STATEMENTS:
            connection.execute(statement, {**values, "first": first, "last": last})
    return last


@contextmanager
def _without_indexes(connection: psycopg.Connection) -> Iterator[None]:
    constraints = connection.execute(DEFINITIONS).fetchall()
    indexes = connection.execute(INDEXES).fetchall()
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}")
    for table, name, _, _ in reversed(constraints):
        connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    yield
    connection.execute("SET maintenance_work_mem = '256MB'")
    for table, name, definition, _ in constraints:
        connection.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")
    for _, definition in indexes:
        connection.execute(definition)
