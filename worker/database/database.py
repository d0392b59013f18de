"""The store: one object a process, every method one transaction."""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, RowMapping, func, select, text

from schemas.status import DeliveryStatus
from schemas.stores import Store as Shop
from worker.carriers.port import Callback, CallbackKey
from worker.database import accounts, callbacks, deliveries, fetching, inbox, outbox, shops, write_backs
from worker.database.accounts import Pause
from worker.database.callbacks import StoredCallback
from worker.database.connection import connect, is_transient, reading, without_limit
from worker.database.deliveries import Decision, Due
from worker.database.inbox import Intake
from worker.domain import lifecycle, schedule
from worker.domain.delivery import Delivery, OutgoingEvent
from worker.ordering_api.write_policy import WriteBackState

PATIENCE = (0.1, 0.5, 2.0, 5.0)
"""Seconds to wait between tries of a change that a passing trouble of the database prevented."""
T = TypeVar("T")


class Database:
    """All of the database. Made once in each process, after any fork."""

    def __init__(
        self, url: str, *, pool_size: int = 16, patience: Sequence[float] = PATIENCE, write_back: str | None = None
    ) -> None:
        """Connect; `write_back` is the source whose orders are told to the platform, None where nobody's are."""
        engine = connect(url, pool_size=pool_size)
        self.engine = engine.execution_options(**{write_backs.SOURCE: write_back}) if write_back else engine
        self._patience = patience

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
            without_limit(connection)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()

    def ping(self) -> None:
        """Prove that the database answers and has our tables; raises what the driver raises."""
        with reading(self.engine) as connection:
            connection.execute(text("SELECT version_num FROM alembic_version"))

    def time(self) -> datetime:
        """Read the database's clock."""
        with reading(self.engine) as connection:
            read: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
            return read

    def _persist(self, change: Callable[[Connection], T]) -> T:
        """Make a change that must not be lost because the database restarts or picked another; it may run twice."""
        for pause in (*self._patience, None):
            try:
                with self.engine.begin() as connection:
                    return change(connection)
            except Exception as error:
                if pause is None or not is_transient(error):
                    raise
                time.sleep(pause)
        raise AssertionError("the last try returns or raises")

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
        return self._persist(lambda connection: deliveries.update_locked(connection, wanted, decide))

    def journalled(self, page: str, attempts: Iterable[int]) -> list[tuple[str, int, str]]:
        """Name what a journal's page may settle, these attempts and whatever is open: delivery, attempt and carrier."""
        with reading(self.engine) as connection:
            return deliveries.journalled(connection, page, attempts)

    def claim(self, now: datetime, limit: int, *, except_carriers: Sequence[str] = ()) -> list[Due]:
        """Hand out what is due, each delivery once for as long as its lease lasts."""
        with self.engine.begin() as connection:
            return deliveries.claim(connection, now, now + schedule.LEASE, limit, except_carriers)

    def give_back(self, ids: Iterable[str], now: datetime, until: datetime) -> None:
        """Let deliveries that were handed out be handed out again from `until` on, as far as they are still due."""
        with self.engine.begin() as connection:
            deliveries.release(connection, ids, now, until)

    def find(self, name: str) -> list[Delivery]:
        """Find deliveries by their id or by the platform's order id, newest first."""
        with reading(self.engine) as connection:
            return deliveries.find(connection, name)

    def recent(self, limit: int, *, unfinished: bool = False) -> list[Delivery]:
        """List deliveries, newest first; an unfinished one is not over, or is over and still waits for a person."""
        with reading(self.engine) as connection:
            return deliveries.recent(connection, limit, unfinished=unfinished)

    def counts(self) -> dict[str, int]:
        """Count the deliveries that are not over, by status."""
        with reading(self.engine) as connection:
            return deliveries.status_counts(connection)

    def asked(self) -> dict[str, int]:
        """Count the deliveries that wait for a person, by what they ask for."""
        with reading(self.engine) as connection:
            return deliveries.attention_counts(connection)

    # --- messages ---

    def take_in(self, batch: Intake, rules: lifecycle.TermsByAccount, now: datetime) -> list[Delivery]:
        """Take a batch of messages in; return the deliveries it made or changed."""
        with self.engine.begin() as connection:
            return inbox.take_in(connection, batch, rules, now)

    def missing(self, source: str, order_ids: Iterable[str]) -> set[str]:
        """Name those of these orders that nobody knows here yet."""
        with reading(self.engine) as connection:
            return fetching.unknown_orders(connection, source, order_ids)

    def to_fetch(self, now: datetime, limit: int) -> list[tuple[str, str, str, int]]:
        """Hand out the messages whose order has yet to be fetched: source, message id, order id, the try's number."""
        with self.engine.begin() as connection:
            return fetching.claim_fetches(connection, now, limit)

    def awaits_fetch(self, now: datetime) -> bool:
        """Tell whether an order has yet to be fetched now."""
        with reading(self.engine) as connection:
            return fetching.awaits_fetch(connection, now)

    def put_fetch_off(self, source: str, message_id: str, tries: int, at: datetime) -> None:
        """Hand an order to fetch out again at another time; `tries` is how many there were."""
        with self.engine.begin() as connection:
            fetching.postpone_fetch(connection, source, message_id, tries, at)

    def fetched(
        self, source: str, message_id: str, batch: Intake, rules: lifecycle.TermsByAccount, now: datetime
    ) -> list[Delivery]:
        """Take in what was fetched for a message, or bury it."""

        def take(connection: Connection) -> list[Delivery]:
            fetching.mark_fetched(connection, source, message_id)
            return inbox.take_in(connection, batch, rules, now)

        return self._persist(take)

    def dead_letters(self, limit: int) -> list[RowMapping]:
        """List the dead letters that wait for somebody, newest first."""
        with reading(self.engine) as connection:
            return inbox.dead_letters(connection, limit)

    def dead_letter(self, identity: str) -> bytes | None:
        """Read what a dead letter holds; None when there is no such letter that waits for somebody."""
        with reading(self.engine) as connection:
            return inbox.dead_letter(connection, identity)

    def settle_dead_letter(self, identity: str, now: datetime) -> None:
        """Take a dead letter off the list."""
        with self.engine.begin() as connection:
            inbox.settle(connection, identity, now)

    # --- the store directory ---

    def shops(self, ids: Iterable[str] | None = None) -> dict[str, Shop]:
        """Read the directory, or the named shops of it."""
        with reading(self.engine) as connection:
            return shops.load_shops(connection, ids)

    def put_shops(self, loaded: Mapping[str, Shop], now: datetime) -> int:
        """Write shops into the directory and let the orders that wait for one go; return how many wait."""
        with self.engine.begin() as connection:
            return shops.put_shops(connection, loaded, now)

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

    def holders(self, carrier: str, refs: Collection[str]) -> dict[str, int]:
        """Name the attempts that have these ids at a carrier."""
        with reading(self.engine) as connection:
            return callbacks.attempts_by_ref(connection, carrier, refs)

    def apply_callback(
        self, callback_id: str, result: str, found: tuple[str, int] | None, decide: Decision
    ) -> list[Delivery]:
        """Note what became of a callback in the transaction of its effect, so that neither is without the other."""
        with self.engine.begin() as connection:
            if not callbacks.settle(connection, callback_id, result) or found is None:
                return []
            return deliveries.update_locked(connection, [found[0]], decide)

    def claim_callbacks(self, now: datetime, limit: int) -> list[str]:
        """Hand out callbacks that nobody has applied yet."""
        with self.engine.begin() as connection:
            return callbacks.claim(connection, now, limit)

    def listened_at(self) -> datetime | None:
        """Tell when callbacks could last be stored; None when nobody has ever listened for them."""
        with reading(self.engine) as connection:
            return callbacks.last_heartbeat(connection)

    def listening(self, now: datetime) -> None:
        """Note that callbacks can be stored now."""
        with self.engine.begin() as connection:
            callbacks.heartbeat(connection, now)

    def awaiting_news(self, carriers: Sequence[str]) -> list[str]:
        """Name the deliveries that are being followed at these carriers."""
        with reading(self.engine) as connection:
            return callbacks.tracked_at(connection, carriers)

    # --- what the platform is told ---

    def claim_write_backs(self, now: datetime, limit: int) -> list[str]:
        """Hand out the deliveries that are to be looked at on the platform, each once for a while."""
        with self.engine.begin() as connection:
            return write_backs.claim(connection, now, limit)

    def begin_write_back(self, delivery_id: str, now: datetime, until: datetime) -> WriteBackState | None:
        """Lease a delivery to who looks at it on the platform; None when there is nothing to do, or somebody does."""
        with self.engine.begin() as connection:
            return write_backs.lease(connection, delivery_id, now, until)

    def end_write_back(self, delivery_id: str, until: datetime, known: WriteBackState, due_at: datetime | None) -> bool:
        """Give such a lease back with what is known now, and the time of the next look; false when it was lost."""
        return self._persist(lambda connection: write_backs.release(connection, delivery_id, until, known, due_at))

    def write_backs_waiting(self, now: datetime) -> int:
        """Count the deliveries that the platform should have been told of, or that it could not be."""
        with reading(self.engine) as connection:
            return write_backs.count_waiting(connection, now)

    def known_there(self, delivery_id: str) -> WriteBackState | None:
        """Tell what is known of a delivery's order on the platform; None when it was never to be told anything."""
        with reading(self.engine) as connection:
            return write_backs.write_back_state(connection, delivery_id)

    # --- events ---

    @cached_property
    def identity(self) -> str:
        """Which database this is."""
        with self.engine.begin() as connection:
            return outbox.identity(connection)

    def unsent(self, limit: int, but: Collection[str] = ()) -> list[OutgoingEvent]:
        """Read the oldest events that are not on the bus, without those of some keys."""
        with reading(self.engine) as connection:
            return outbox.unpublished(connection, limit, but)

    def newest_place(self) -> str:
        """Tell the newest place at which an event is known to stand on the bus; empty while there is none."""
        with reading(self.engine) as connection:
            return outbox.newest_stream_id(connection)

    def unpublish(self, standing: str, known: str, keep: int) -> int:
        """Take what the bus lost behind a place for unpublished; return how many events there are."""
        with self.engine.begin() as connection:
            without_limit(connection)
            return outbox.requeue_lost(connection, standing, known, keep)

    def awaits_publishing(self) -> bool:
        """Tell whether an event is not on the bus."""
        with reading(self.engine) as connection:
            return outbox.has_unpublished(connection)

    def sent(self, published: Sequence[tuple[int, str]], now: datetime) -> None:
        """Note where events stand on the bus."""
        self._persist(lambda connection: outbox.mark_published(connection, published, now))

    def keys(self, order_id: str) -> list[str]:
        """Name the keys that an order's events have."""
        with reading(self.engine) as connection:
            return outbox.event_keys(connection, order_id)

    def events(self, *, keys: Sequence[str] | None = None, after: int = 0, limit: int = 1000) -> list[tuple[int, str]]:
        """Read events as they were told, those with these keys or all: position and body, oldest first."""
        with reading(self.engine) as connection:
            return outbox.published_events(connection, keys, after, limit)

    def unsent_count(self) -> int:
        """Count the events that are not on the bus."""
        with reading(self.engine) as connection:
            return outbox.count_unpublished(connection)

    def take_lease(self, name: str, holder: str, now: datetime, seconds: float) -> bool:
        """Take or renew the right to do what only one may do at a time."""
        with self.engine.begin() as connection:
            return outbox.take_lease(connection, name, holder, now, seconds)

    def drop_lease(self, name: str, holder: str) -> None:
        """Give the right back."""
        with self.engine.begin() as connection:
            outbox.drop_lease(connection, name, holder)

    # --- accounts ---

    def account_metadata(self, account: str) -> dict[str, str]:
        """Read what a probe once told about a carrier account."""
        with reading(self.engine) as connection:
            return accounts.account_metadata(connection, account)

    def put_account_metadata(self, account: str, facts: Mapping[str, str]) -> None:
        """Keep what a probe told about a carrier account."""
        with self.engine.begin() as connection:
            accounts.put_account_metadata(connection, account, facts)

    def paused(self) -> dict[str, Pause]:
        """Read which accounts are paused."""
        with reading(self.engine) as connection:
            return accounts.paused(connection)

    def pause(self, account: str, by: str, because: str, now: datetime) -> bool:
        """Pause an account and tell it, once; false when it is paused already."""
        with self.engine.begin() as connection:
            return accounts.pause(connection, account, by, because, now)

    def resume(self, account: str, by: str, now: datetime) -> bool:
        """Let an account go again and tell it; false when it is not paused, or not by whom `by` may overrule."""
        with self.engine.begin() as connection:
            return accounts.resume(connection, account, by, now)

    def odd_words(self) -> dict[str, list[str]]:
        """List the words of each account that no codec understood."""
        with reading(self.engine) as connection:
            return accounts.unmapped_statuses(connection)

    def words(self) -> dict[str, dict[str, DeliveryStatus]]:
        """Read what operators said that words mean, by account."""
        with reading(self.engine) as connection:
            return accounts.status_mappings(connection)

    def explain_word(
        self, account: str, word: str, status: DeliveryStatus, rules: lifecycle.TermsByAccount, now: datetime
    ) -> list[Delivery]:
        """Give a word a meaning, and read what was stored with it again; return the deliveries that changed."""

        def explain(connection: Connection) -> list[Delivery]:
            said_of = accounts.put_mapping(connection, account, word, status, now)
            decide = partial(lifecycle.reapply_mappings, carrier=account, mappings={word: status}, terms=rules, now=now)
            return deliveries.update_locked(connection, said_of, decide)

        return self._persist(explain)

    def forget_word(self, account: str, word: str) -> bool:
        """Take a word's meaning back; false when it had none."""
        with self.engine.begin() as connection:
            return accounts.drop_mapping(connection, account, word)
