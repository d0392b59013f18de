"""The store directory: the shops that orders come from."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy import Connection, select, update

from schemas.stores import Store
from worker.database import deliveries, mapping
from worker.database.batches import insert_new
from worker.database.tables import DELIVERY, SHOP


def load_shops(connection: Connection, ids: Iterable[str] | None = None) -> dict[str, Store]:
    """Return shops by their ids: the shops in `ids`, or by default all."""
    query = select(SHOP.c.store_id, SHOP.c.body)
    found = connection.execute(query if ids is None else query.where(SHOP.c.store_id.in_(list(ids))))
    return {row.store_id: mapping.load_store(row.body) for row in found}


def save_shops(connection: Connection, shops: Mapping[str, Store], now: datetime) -> int:
    """Store shops, and make due the orders that wait for these shops; return the number of these orders."""
    for key, shop in sorted(shops.items()):  # always in the same order, so that two writers never deadlock
        row = {"store_id": key, "body": shop.model_dump_json(), "updated_at": now}
        if not insert_new(connection, SHOP, [row], "store_id"):
            connection.execute(update(SHOP).where(SHOP.c.store_id == key).values(row))
    waiting = (DELIVERY.c.step == "route") & DELIVERY.c.next_run_at.is_not(None) & DELIVERY.c.store_id.in_(list(shops))
    return deliveries.set_all(connection, waiting, next_run_at=now, lease_until=None)
