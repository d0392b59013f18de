"""Plain Celery, the baseline: what a good engineer would write without Order Sync.

One task for each order inserts a row, posts with a shared client and updates the row. It has a threads pool, SQLAlchemy
Core, no outbox and no intent: a lost message is a lost order, and a lost reply is a second courier or none.
"""

import os
from functools import cache
from typing import Any

import httpx
from celery import Celery
from sqlalchemy import Column, Engine, Integer, MetaData, String, Table, create_engine, event, insert, update

from benchmarks.services import client_tls, driver_url

QUEUE = "plain"
CONCURRENCY = 32
POOL = 16

METADATA = MetaData()
PLACED = Table(
    "plain_order",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("order_id", String(64), nullable=False, unique=True),
    Column("customer", String, nullable=False),
    Column("status", String(32), nullable=False),
    Column("carrier_ref", String(64)),
)

app = Celery("plain", broker=os.environ.get("PLAIN_BROKER_URL"))
app.conf.update(task_ignore_result=True, task_default_queue=QUEUE, broker_connection_retry_on_startup=True)


@cache
def engine(url: str) -> Engine:
    """Return the engine of this process: transactions are short, so the threads share its connections."""
    created = create_engine(driver_url(url), pool_size=POOL, max_overflow=0)
    if created.dialect.name == "sqlite":
        event.listen(created, "connect", _prepare_sqlite)
    return created


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA busy_timeout=20000")


@cache
def client() -> httpx.Client:
    """Return the client of this process: a new one for each call would need ten times the CPU time."""
    limits = httpx.Limits(max_connections=CONCURRENCY, max_keepalive_connections=CONCURRENCY)
    headers = {"Authorization": "Bearer sandbox-cervo-token"}
    tls = client_tls(os.environ["PLAIN_CA_BUNDLE"])
    return httpx.Client(
        base_url=os.environ["PLAIN_CARRIER_URL"], verify=tls, limits=limits, headers=headers, timeout=30
    )


@app.task(name="plain.place")
def place(order: dict[str, Any]) -> None:
    """Create one order at the carrier."""
    database = engine(os.environ["PLAIN_DATABASE_URL"])
    row = {"order_id": order["order_id"], "customer": order["customer"]["name"], "status": "queued"}
    with database.begin() as connection:
        placed = connection.execute(insert(PLACED).values(row).returning(PLACED.c.id)).scalar_one()
    reply = client().post("/apis/v2/order", json=raw_order(placed, order)).raise_for_status()
    with database.begin() as connection:
        statement = update(PLACED).where(PLACED.c.id == placed)
        connection.execute(statement.values(status="created", carrier_ref=reply.text))


@app.task(name="plain.post")
def post(order: dict[str, Any]) -> None:
    """Create one order at the carrier without a database: the least that a task can do."""
    client().post("/apis/v2/order", json=raw_order(1, order)).raise_for_status()


def raw_order(number: int, order: dict[str, Any]) -> dict[str, Any]:
    """Return the body of Cervo's create for an order."""
    dropoff = order["dropoff"]
    return {
        "address": f"{dropoff['street']}, {dropoff['postal_code']} {dropoff['city']}",
        "lng": dropoff["longitude"],
        "lat": dropoff["latitude"],
        "id": number,
        "order_id": order["order_id"],
        "date": "2026-11-21 18:30",
        "customer": order["customer"]["name"],
        "mobile": order["customer"]["phone"],
        "price": float(order["payment"]["amount"]),
        "payment": "ONLINE",
        "ispaid": "PAID",
        "callback": "",
        "status": 1,
        "notes": order["notes"],
        "storelat": 24.7135517,
        "storelng": 46.6752957,
    }
