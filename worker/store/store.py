"""The store: one object a process, every method one transaction."""

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import RowMapping, Table, func, select, text, update
from sqlalchemy.exc import OperationalError

from schemas.orders import OrderRef
from schemas.stores import Store as Shop
from worker import lifecycle, schedule
from worker.carriers.port import Callback, CallbackKey
from worker.delivery import Delivery
from worker.store import callbacks, deliveries, intake, outbox
from worker.store.callbacks import StoredCallback
from worker.store.deliveries import DELIVERY, Decision, Due, insert_new
from worker.store.engine import connect, reading
from worker.store.intake import DEAD_LETTER, MESSAGE, Dead, Intake
from worker.store.outbox import Unsent
from worker.store.tables import AccountRow, StoreRow

SHOP: Table = StoreRow.__table__  # type: ignore[attr-defined]
ACCOUNT: Table = AccountRow.__table__  # type: ignore[attr-defined]
PATIENCE = (0.1, 0.5, 2.0, 5.0)
"""Seconds to wait between tries of a change that a passing trouble of the database prevented."""
FETCH_LEASE = timedelta(seconds=60)


class Store:
    """All of the database. Made once in each process, after any fork."""

    def __init__(self, url: str, *, pool_size: int = 16) -> None:
        self.url = url
        self.engine = connect(url, pool_size=pool_size)

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    def upgrade(self) -> None:
        """Bring the schema up to date."""
        # Half a second of imports that nothing else needs.
        from alembic import command  # noqa: PLC0415
        from alembic.config import Config  # noqa: PLC0415

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
        with self.engine.connect() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()

    def ping(self) -> None:
        """Prove that the database answers and has our tables; raises what the driver raises."""
        with reading(self.engine) as connection:
            connection.execute(text("SELECT version_num FROM alembic_version"))

    # --- deliveries ---

    def load(self, ids: Iterable[str]) -> list[Delivery]:
        """Load deliveries as they are now, without a lock."""
        with reading(self.engine) as connection:
            return deliveries.load(connection, ids)

    def update(self, ids: Iterable[str], decide: Decision) -> list[Delivery]:
        """Lock deliveries, decide about each, and write what changed with its events; return what changed."""
        wanted = list(ids)
        if not wanted:
            return []
        for pause in PATIENCE:
            try:
                return self._update(wanted, decide)
            except OperationalError:
                # A database that restarts must not cost us a carrier's answer; deciding again is harmless.
                time.sleep(pause)
        return self._update(wanted, decide)

    def _update(self, wanted: list[str], decide: Decision) -> list[Delivery]:
        with self.engine.begin() as connection:
            return deliveries.change(connection, wanted, decide)

    def claim(self, now: datetime, limit: int, *, except_carriers: Sequence[str] = ()) -> list[Due]:
        """Hand out what is due, each delivery once for as long as its lease lasts."""
        with self.engine.begin() as connection:
            return deliveries.claim(connection, now, now + schedule.LEASE, limit, except_carriers)

    def find(self, name: str) -> list[Delivery]:
        """Find deliveries by their id or by the platform's order id, newest first."""
        with reading(self.engine) as connection:
            same = (DELIVERY.c.id == name) | (DELIVERY.c.order_id == name)
            ids = list(connection.scalars(select(DELIVERY.c.id).where(same).order_by(DELIVERY.c.created_at.desc())))
            return deliveries.load_in_order(connection, ids)

    def recent(self, limit: int, *, unfinished: bool = False) -> list[Delivery]:
        """List deliveries, newest first."""
        with reading(self.engine) as connection:
            query = select(DELIVERY.c.id).order_by(DELIVERY.c.created_at.desc()).limit(limit)
            ids = list(connection.scalars(query.where(DELIVERY.c.step.is_not(None)) if unfinished else query))
            return deliveries.load_in_order(connection, ids)

    def counts(self) -> dict[str, int]:
        """Count the deliveries by status."""
        with reading(self.engine) as connection:
            rows = connection.execute(select(DELIVERY.c.status, func.count()).group_by(DELIVERY.c.status))
            return {row[0]: row[1] for row in rows}

    # --- messages ---

    def take_in(self, batch: Intake, rules: lifecycle.Rules, now: datetime) -> list[Delivery]:
        """Take a batch of messages in; return the deliveries it made or changed."""
        with self.engine.begin() as connection:
            wanted = {getattr(message.data, "store_id", None) for message in batch.messages}
            shops = {**batch.file_stores, **self._shops(connection, wanted)}
            return intake.take_in(connection, batch, shops, rules, now)

    def to_fetch(self, now: datetime, limit: int) -> list[tuple[str, str, OrderRef]]:
        """Hand out the messages whose order has yet to be fetched: source, message id and the order's id."""
        with self.engine.begin() as connection:
            ripe = select(MESSAGE).where(MESSAGE.c.fetch_at <= now).order_by(MESSAGE.c.fetch_at).limit(limit)
            rows = connection.execute(ripe.with_for_update(skip_locked=True)).all()
            for row in rows:
                this = (MESSAGE.c.source == row.source) & (MESSAGE.c.message_id == row.message_id)
                later = max(FETCH_LEASE, schedule.backoff(row.failures + 1, row.message_id))
                connection.execute(update(MESSAGE).where(this).values(fetch_at=now + later, failures=row.failures + 1))
            return [(row.source, row.message_id, OrderRef(order_id=row.order_id)) for row in rows]

    def awaits_fetch(self, now: datetime) -> bool:
        """Tell whether an order has yet to be fetched now."""
        with reading(self.engine) as connection:
            return connection.scalar(select(MESSAGE.c.order_id).where(MESSAGE.c.fetch_at <= now).limit(1)) is not None

    def fetched(
        self, source: str, message_id: str, batch: Intake, rules: lifecycle.Rules, now: datetime
    ) -> list[Delivery]:
        """Take in what was fetched for a message, or bury it."""
        with self.engine.begin() as connection:
            intake.fetched(connection, source, message_id)
            wanted = {getattr(message.data, "store_id", None) for message in batch.messages}
            shops = {**batch.file_stores, **self._shops(connection, wanted)}
            return intake.take_in(connection, batch, shops, rules, now)

    def dead_letters(self, limit: int) -> list[RowMapping]:
        """List the dead letters that wait for somebody, newest first."""
        with reading(self.engine) as connection:
            query = select(DEAD_LETTER).where(DEAD_LETTER.c.settled_at.is_(None))
            return list(connection.execute(query.order_by(DEAD_LETTER.c.received_at.desc()).limit(limit)).mappings())

    def settle_dead_letter(self, identity: str, now: datetime) -> bytes | None:
        """Take a dead letter off the list; return what it held, None when there is no such letter."""
        with self.engine.begin() as connection:
            this = DEAD_LETTER.c.id == identity
            raw = connection.scalar(select(DEAD_LETTER.c.raw).where(this))
            connection.execute(update(DEAD_LETTER).where(this).values(settled_at=now))
            return raw

    # --- the store directory ---

    @staticmethod
    def _shops(connection: Any, ids: Iterable[str | None]) -> dict[str, Shop]:
        found = connection.execute(select(SHOP.c.store_id, SHOP.c.body).where(SHOP.c.store_id.in_(list(ids))))
        return {row.store_id: Shop.model_validate_json(row.body) for row in found}

    def shops(self, ids: Iterable[str] | None = None) -> dict[str, Shop]:
        """Read the directory, or the named shops of it."""
        with reading(self.engine) as connection:
            wanted = list(connection.scalars(select(SHOP.c.store_id))) if ids is None else list(ids)
            return self._shops(connection, wanted)

    def put_shops(self, shops: Mapping[str, Shop], now: datetime) -> int:
        """Write shops into the directory and let the orders that wait for one go; return how many wait."""
        with self.engine.begin() as connection:
            for key, shop in shops.items():
                row = {"store_id": key, "body": shop.model_dump_json(), "updated_at": now}
                if not insert_new(connection, SHOP, [row], "store_id"):
                    connection.execute(update(SHOP).where(SHOP.c.store_id == key).values(row))
            waiting = (DELIVERY.c.step == "route") & DELIVERY.c.store_id.in_(list(shops))
            return connection.execute(
                update(DELIVERY).where(waiting).values(next_run_at=now, lease_until=None)
            ).rowcount

    # --- callbacks ---

    def keep_callback(self, carrier: str, callback: Callback, now: datetime) -> str | None:
        """Store a callback durably; None when the very same one is there already."""
        with self.engine.begin() as connection:
            return callbacks.keep(connection, carrier, callback, now)

    def callback(self, callback_id: str) -> StoredCallback | None:
        """Load a callback."""
        with reading(self.engine) as connection:
            return callbacks.get(connection, callback_id)

    def find_attempt(self, carrier: str, key: CallbackKey) -> tuple[str, int] | None:
        """Find the delivery and attempt that a callback is about."""
        with reading(self.engine) as connection:
            return callbacks.find_attempt(connection, carrier, key)

    def apply_callback(
        self, callback_id: str, result: str, found: tuple[str, int] | None, decide: Decision
    ) -> list[Delivery]:
        """Note what became of a callback in the transaction of its effect, so that neither is without the other."""
        with self.engine.begin() as connection:
            changed = deliveries.change(connection, [found[0]], decide) if found else []
            callbacks.settle(connection, callback_id, result, found[1] if found else None)
            return changed

    def claim_callbacks(self, now: datetime, limit: int) -> list[str]:
        """Hand out callbacks that nobody has applied yet."""
        with self.engine.begin() as connection:
            return callbacks.claim(connection, now, limit)

    # --- events ---

    def unsent(self, limit: int) -> list[Unsent]:
        """Read the oldest events that are not on the bus."""
        with reading(self.engine) as connection:
            return outbox.unsent(connection, limit)

    def sent(self, published: Sequence[tuple[int, str | None]], now: datetime) -> None:
        """Note where events stand on the bus."""
        with self.engine.begin() as connection:
            outbox.sent(connection, published, now)

    def events(self, *, order_id: str | None = None, after: int = 0, limit: int = 1000) -> list[tuple[int, str]]:
        """Read events as they were told: position and body, oldest first."""
        with reading(self.engine) as connection:
            return outbox.told(connection, order_id, after, limit)

    def unsent_count(self) -> int:
        """Count the events that are not on the bus."""
        with reading(self.engine) as connection:
            return outbox.waiting(connection)

    def take_lease(self, name: str, holder: str, now: datetime, seconds: float) -> bool:
        """Take or renew the right to do what only one may do at a time."""
        with self.engine.begin() as connection:
            return outbox.take_lease(connection, name, holder, now, seconds)

    def drop_lease(self, name: str, holder: str) -> None:
        """Give the right back."""
        with self.engine.begin() as connection:
            outbox.drop_lease(connection, name, holder)

    # --- accounts ---

    def facts(self, account: str) -> dict[str, str]:
        """Read what a probe once told about a carrier account."""
        with reading(self.engine) as connection:
            return dict(connection.scalar(select(ACCOUNT.c.facts).where(ACCOUNT.c.name == account)) or {})

    def put_facts(self, account: str, facts: Mapping[str, str]) -> None:
        """Keep what a probe told about a carrier account."""
        with self.engine.begin() as connection:
            row = {"name": account, "facts": dict(facts)}
            if not insert_new(connection, ACCOUNT, [row], "name"):
                connection.execute(update(ACCOUNT).where(ACCOUNT.c.name == account).values(facts=dict(facts)))


__all__ = ["Dead", "Due", "Intake", "Store", "StoredCallback", "Unsent"]
