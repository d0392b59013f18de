"""The composition root: the only place that builds services and their collaborators. Only the edges use it."""

import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from urllib.parse import urlsplit

from celery import Celery, current_app

from schemas.stores import Store
from worker import tracing
from worker.addresses.amqp_url import AmqpUrl, is_amqp
from worker.bus import rabbitmq, streams
from worker.bus.port import Bus
from worker.carriers import KINDS
from worker.carriers.port import Carrier
from worker.clock import Clock, SharedClock
from worker.config.settings import Settings, load
from worker.database import clock as shared_clock
from worker.database.database import Database
from worker.domain.carrier_terms import CarrierTerms, TermsByAccount
from worker.domain.delivery import Gate
from worker.domain.eligibility import refusal
from worker.enqueue import TaskQueue, WakeUp, join_tasks
from worker.errors import SettingsError
from worker.http.account import ApiAccount
from worker.http.gateway import Gateway
from worker.http.notifier import Notifier
from worker.http.receiver_url import ANY_HOST
from worker.http.webhooks import WebhookSender
from worker.ordering_api import codec as ordering_codec
from worker.resilience.bulkhead import Bulkhead
from worker.resilience.call_journal import CallJournal
from worker.resilience.circuit_breaker import CircuitBreaker
from worker.resilience.quote_cache import QuoteCache
from worker.resilience.rate_limiter import Outage, RateLimiter
from worker.services import public_address
from worker.services.account_health import AccountHealth
from worker.services.accounts import CarrierAccounts
from worker.services.archive import Archive
from worker.services.backfill import Backfill
from worker.services.callback_gaps import CallbackGaps
from worker.services.callbacks import Callbacks
from worker.services.candidates import Candidates
from worker.services.carrier_actions import CarrierActions
from worker.services.carrier_calls import CarrierCalls
from worker.services.carrier_report import CarrierReports
from worker.services.crash_recovery import CrashRecovery
from worker.services.decisions import Decisions
from worker.services.direct_booking import DirectBooking, RunTask
from worker.services.erasing import Erasing
from worker.services.event_feed import EventFeed
from worker.services.explanation import Explanations
from worker.services.failure_log import FailureLog
from worker.services.ingest import Ingest
from worker.services.listener import Listener
from worker.services.lost_commits import LostCommits
from worker.services.notifications import Notifications
from worker.services.operations import Operations
from worker.services.order_fetch import OrderFetch
from worker.services.order_requests import OrderRequests
from worker.services.outcomes import Outcomes
from worker.services.public_address import PublicAddress
from worker.services.quotes import Quotes
from worker.services.refused_callbacks import RefusedCallbacks
from worker.services.relay import Relay
from worker.services.replays import Replays
from worker.services.restoration import Restoration
from worker.services.retention import Ages, Retention
from worker.services.sample_events import SampleEvents
from worker.services.subscribers import Subscribers
from worker.services.sweep import Sweep
from worker.services.system_health import SystemHealth
from worker.services.timeline import Timelines
from worker.services.tracking import Tracking
from worker.services.troubles import Troubles
from worker.services.updates import Updates
from worker.services.webhooks import Webhooks
from worker.services.worker_heartbeats import WorkerHeartbeats
from worker.services.write_back import WriteBack

ATTEMPT_BITS = 53
"""The number of bits of a random attempt id.

An id of this size fits into a JSON number. Two databases that share a carrier account are very unlikely to choose the
same id.
"""


def utc_now() -> datetime:
    """Return the time of the wall clock, in UTC."""
    return datetime.now(UTC)


def new_attempt() -> tuple[int, str]:
    """Return a random attempt id and a random secret for its callback address."""
    return secrets.randbelow(2**ATTEMPT_BITS - 1) + 1, secrets.token_urlsafe(24)


@dataclass
class Container:
    """Everything that a process needs, constructed on first use."""

    settings: Settings
    clock: Clock = utc_now
    """The clock of all services.

    By default, this is the shared clock if other hosts may use the same database, and the wall clock of this machine if
    the database is SQLite.
    """
    app: Celery = field(default_factory=lambda: current_app)
    """The Celery app that sends the tasks."""
    new_attempt: Callable[[], tuple[int, str]] = new_attempt
    """Returns the id of a new attempt, and the secret of its callback address."""
    creates_database: bool = True
    """Whether a SQLite file that does not exist is created."""

    def __post_init__(self) -> None:
        """Replace the wall clock with the shared clock if other hosts may use the same database.

        A SQLite database belongs to one machine, so the wall clock stays. A clock that the caller gave always stays.
        """
        if self.clock is utc_now and self.settings.shared:
            self.clock = SharedClock(
                lambda: self.database.read(shared_clock.shared_time),
                lambda own: self.database.write(shared_clock.agree, own),
            )

    # --- what services are built from ---------------------------------------------------------------------------------

    @cached_property
    def database(self) -> Database:
        """The database of this process. Raises SettingsError if it does not exist and is not created."""
        file = self.settings.sqlite_file
        if file is not None and not self.creates_database and not file.exists():
            raise SettingsError(
                f"database_url: there is no database at {file}: a relative path begins at this folder; `order-sync up` "
                "or `order-sync db upgrade` in the folder of the settings creates it"
            )
        ordering, pool_size = self.settings.ordering, self.settings.worker_concurrency
        source = ordering.source if ordering.base_url else None
        return Database(self.settings.database_url, pool_size=pool_size, write_back_source=source)

    @cached_property
    def bus(self) -> Bus:
        """The bus, with the incoming messages and the events, on Redis or RabbitMQ."""
        url, orders, events = self.settings.bus, self.settings.orders_stream, self.settings.events_stream
        if is_amqp(url):
            return rabbitmq.Bus(AmqpUrl.parse(url).servers, orders=orders, events=events)
        return streams.Bus(streams.connect(url), orders=orders, events=events)

    @cached_property
    def queue(self) -> TaskQueue:
        """The sender of wake-up tasks."""
        return TaskQueue(self.app)

    @cached_property
    def journal(self) -> CallJournal:
        """The call journal, which records the creates that are under way."""
        return CallJournal(self.settings.journal_folder)

    @cached_property
    def gateway(self) -> Gateway:
        """The gateway, which sends all outgoing HTTP."""
        url = self.settings.public_url
        ours = {public_address.ACCOUNT: public_address.account(url)} if url else {}
        proxy = self.settings.proxy_for(url)
        return Gateway(
            {**self.api_accounts, **ours},
            self.rate_limiter.acquire,
            self.clock,
            proxies={**self.proxies, **({public_address.ACCOUNT: proxy} if proxy else {})},
            ca_bundle=self.settings.ca_bundle,
        )

    @cached_property
    def webhook_sender(self) -> WebhookSender:
        """The sender of events to subscribers over HTTP."""
        settings = self.settings
        return WebhookSender(settings.proxy_for, private_hosts=settings.webhooks.hosts, ca_bundle=settings.ca_bundle)

    @cached_property
    def proxies(self) -> dict[str, str]:
        """The proxy of each account that is called through a proxy."""
        found = {name: self.settings.proxy_for(account.base_url) for name, account in self.api_accounts.items()}
        return {name: proxy for name, proxy in found.items() if proxy}

    @cached_property
    def redis_outage(self) -> Outage:
        """What this process knows of an outage of Redis."""
        return Outage()

    @cached_property
    def rate_limiter(self) -> RateLimiter:
        """The rate limits, which all processes share."""
        return RateLimiter(streams.connect(self.settings.redis), outage=self.redis_outage)

    @cached_property
    def breaker(self) -> CircuitBreaker:
        """The circuit breakers, which all processes share."""
        return CircuitBreaker(streams.connect(self.settings.redis), outage=self.redis_outage)

    @cached_property
    def quote_cache(self) -> QuoteCache:
        """The cache of quoted prices, which all processes share."""
        return QuoteCache(streams.connect(self.settings.redis), outage=self.redis_outage)

    @cached_property
    def bulkhead(self) -> Bulkhead[WakeUp]:
        """The bulkhead, which limits how many threads of this process each account may use."""
        return Bulkhead(self.settings.worker_concurrency, len(self.settings.accounts), join_tasks)

    @cached_property
    def api_accounts(self) -> dict[str, ApiAccount]:
        """Every account that may be called, including the platform's account."""
        ordering = self.settings.ordering
        platform = {ordering_codec.ACCOUNT: ordering_codec.account(ordering)} if ordering.base_url else {}
        return {**platform, **self.settings.accounts}

    @cached_property
    def codecs(self) -> Mapping[str, Carrier]:
        """The codec of each account, without the metadata that a log-in returns."""
        return {name: self._bind(name, {}) for name in self.settings.accounts}

    def _bind(self, name: str, metadata: Mapping[str, str]) -> Carrier:
        account = self.settings.accounts[name]
        return KINDS[account.kind](account, metadata)

    @cached_property
    def terms(self) -> TermsByAccount:
        """The facts about each carrier account that planning needs."""
        return {name: _terms(codec) for name, codec in self.codecs.items()}

    @cached_property
    def callback_accounts(self) -> tuple[str, ...]:
        """The accounts whose carriers can send callbacks."""
        return tuple(name for name, codec in self.codecs.items() if codec.capabilities.callbacks != "none")

    @cached_property
    def callbacks_expected(self) -> frozenset[str]:
        """The accounts from which callbacks are expected; none without a public address."""
        return frozenset(self.callback_accounts if self.settings.public_url else ())

    @cached_property
    def file_shops(self) -> Mapping[str, Store]:
        """The stores of the store directory's file. The file is read once."""
        return self.settings.stores()

    # --- services -----------------------------------------------------------------------------------------------------

    @cached_property
    def updates(self) -> Updates:
        """The service that changes deliveries."""
        return Updates(self.database, self.queue)

    @cached_property
    def outcomes(self) -> Outcomes:
        """The service that stores the outcomes of calls."""
        return Outcomes(self.updates, self.terms, self.clock)

    @cached_property
    def accounts(self) -> CarrierAccounts:
        """The service that returns the codec of an account, after a log-in if the carrier needs one."""
        return CarrierAccounts(self.codecs, self._bind, self.database, self.gateway, self.clock)

    @cached_property
    def failure_log(self) -> FailureLog:
        """The log of failing calls."""
        return FailureLog({name: urlsplit(each.base_url).hostname or "" for name, each in self.api_accounts.items()})

    @cached_property
    def account_health(self) -> AccountHealth:
        """The service that decides whether an account may be called."""
        return AccountHealth(
            self.accounts,
            self.database,
            self.gateway,
            self.breaker,
            self.bulkhead,
            self.queue,
            self.updates,
            self.failure_log,
            self.terms,
            self.clock,
        )

    @cached_property
    def quotes(self) -> Quotes:
        """The service that asks carriers for prices."""
        return Quotes(self.gateway, self.quote_cache, self.clock)

    @cached_property
    def carrier_actions(self) -> CarrierActions:
        """The definitions of the four actions at a carrier."""
        return CarrierActions(
            self.accounts,
            self.account_health,
            self.quotes,
            self.terms,
            self.clock,
            self.settings.public_url,
            self.new_attempt,
        )

    @cached_property
    def carrier_calls(self) -> CarrierCalls:
        """The service that makes the calls that change something at a carrier."""
        return CarrierCalls(
            self.database, self.gateway, self.account_health, self.journal, self.outcomes, self.terms, self.clock
        )

    @cached_property
    def tracking(self) -> Tracking:
        """The service that reads deliveries at their carriers."""
        return Tracking(
            self.database,
            self.gateway,
            self.accounts,
            self.account_health,
            self.outcomes,
            self.updates,
            self.terms,
            self.clock,
        )

    @cached_property
    def crash_recovery(self) -> CrashRecovery:
        """The service that settles the creates in the call journals of dead processes."""
        return CrashRecovery(
            self.journal,
            self.database,
            self.lost_commits,
            self.accounts,
            self.carrier_actions,
            self.carrier_calls,
            self.updates,
            self.terms,
            self.clock,
        )

    @cached_property
    def callbacks(self) -> Callbacks:
        """The service that applies stored callbacks."""
        return Callbacks(self.database, self.accounts, self.updates, self.terms, self.clock)

    @cached_property
    def callback_gaps(self) -> CallbackGaps:
        """The service that schedules reads after a time in which no callbacks could be stored."""
        return CallbackGaps(self.database, self.terms, self.clock)

    @cached_property
    def refused_callbacks(self) -> RefusedCallbacks:
        """The counts of the callbacks that this process has refused."""
        return RefusedCallbacks(self.database, self.clock)

    @cached_property
    def public_address(self) -> PublicAddress:
        """The service that proves that the public address reaches our web process."""
        return PublicAddress(self.database, self.gateway, self.settings.public_url, self.clock)

    @cached_property
    def ingest(self) -> Ingest:
        """The service that stores incoming messages."""
        ordering = self.settings.ordering
        return Ingest(
            self.database,
            self.updates,
            self.terms,
            self.file_shops,
            ordering.project,
            Gate(ordering.gate),
            self.settings.stale_after,
            self.clock,
        )

    def direct_booking(
        self, accounts: Callable[[], Sequence[str]], executor: Executor, run_task: RunTask
    ) -> DirectBooking:
        """Build the service that books new orders at these accounts without a task, in the threads of `executor`."""
        return DirectBooking(
            self.account_health,
            self.journal,
            self.carrier_calls,
            self.carrier_actions,
            accounts,
            executor,
            run_task,
        )

    @cached_property
    def order_requests(self) -> OrderRequests:
        """The service that stores the messages that come over HTTP."""
        return OrderRequests(self.database, self.ingest, self.updates, self.clock)

    @cached_property
    def order_fetch(self) -> OrderFetch:
        """The service that fetches orders from the platform."""
        return OrderFetch(
            self.settings.ordering,
            self.database,
            self.gateway,
            self.ingest,
            self.bulkhead,
            self.failure_log,
            self.queue,
            self.clock,
        )

    @cached_property
    def backfill(self) -> Backfill:
        """The service that finds orders whose message never came."""
        settings = self.settings
        return Backfill(settings.ordering, self.database, self.gateway, self.ingest, settings.stale_after, self.clock)

    @cached_property
    def write_back(self) -> WriteBack:
        """The service that writes statuses to the platform."""
        return WriteBack(
            self.settings.ordering,
            self.database,
            self.gateway,
            self.account_health,
            self.bulkhead,
            self.queue,
            self.updates,
            self.terms,
            self.clock,
        )

    @cached_property
    def lost_commits(self) -> LostCommits:
        """The service that holds creates when the database has lost commits."""
        return LostCommits(self.database, self.bus, self.queue, self.clock)

    @cached_property
    def sample_events(self) -> SampleEvents:
        """The service that sends test events."""
        return SampleEvents(self.database, self.queue, self.clock)

    @cached_property
    def relay(self) -> Relay:
        """The relay, which publishes the outbox."""
        return Relay(
            self.database,
            self.bus,
            self.lost_commits,
            self.queue.relay,
            self.settings.events_keep,
            self.webhooks.wake,
            self.clock,
        )

    @cached_property
    def event_feed(self) -> EventFeed:
        """The service that reads the recorded events after a position."""
        return EventFeed(self.database)

    @cached_property
    def listener(self) -> Listener:
        """The service that sends new events to the address that an operator names."""
        settings = self.settings
        sender = WebhookSender(settings.proxy_for, private_hosts=(ANY_HOST,), ca_bundle=settings.ca_bundle)
        return Listener(sender, utc_now, time.sleep)

    @cached_property
    def replays(self) -> Replays:
        """The service that publishes stored events again."""
        return Replays(self.database, self.relay, self.clock)

    @cached_property
    def webhooks(self) -> Webhooks:
        """The service that sends events to subscribers over HTTP."""
        return Webhooks(self.database, self.event_feed, self.webhook_sender, self.queue, self.clock, utc_now)

    @cached_property
    def subscribers(self) -> Subscribers:
        """The service for what an operator does about subscribers."""
        return Subscribers(
            self.database,
            self.event_feed,
            self.webhook_sender,
            self.queue,
            self.settings.webhooks.hosts,
            self.clock,
            utc_now,
        )

    @cached_property
    def sweep(self) -> Sweep:
        """The sweep, which enqueues a task for everything that is due."""
        return Sweep(
            self.database,
            self.lost_commits,
            self.account_health,
            self.write_back,
            self.updates,
            self.queue,
            self.terms,
            self.file_shops,
            self.clock,
        )

    @cached_property
    def retention(self) -> Retention:
        """The service that removes what nobody needs any more."""
        settings = self.settings
        ages = Ages(
            calls=timedelta(days=settings.keep_calls_days),
            callbacks=timedelta(days=settings.keep_callbacks_days),
            dead_letters=timedelta(days=settings.keep_dead_letters_days),
            customers=timedelta(days=settings.keep_customers_days),
            events=timedelta(days=settings.keep_events_days),
        )
        return Retention(self.bus, self.database, settings.events_keep, ages, self.queue, self.clock, self.archive)

    @cached_property
    def archive(self) -> Archive | None:
        """The files to which ended deliveries are moved; None if they are deleted instead."""
        folder = self.settings.archive_folder
        return Archive(self.database, folder) if folder else None

    @cached_property
    def erasing(self) -> Erasing:
        """The service that erases the personal data of one order."""
        return Erasing(self.database, self.bus, self.journal, self.clock)

    @cached_property
    def timelines(self) -> Timelines:
        """The service that shows the history of a delivery."""
        return Timelines(self.database, self.file_shops)

    @cached_property
    def carrier_reports(self) -> CarrierReports:
        """The service that reports how well each carrier account does its work."""
        return CarrierReports(self.database, self.file_shops)

    @cached_property
    def candidates(self) -> Candidates:
        """The service that searches a carrier's list for an order whose id we do not know."""
        return Candidates(self.codecs, self.database, self.account_health, self.terms, self.clock)

    @cached_property
    def explanations(self) -> Explanations:
        """The service that decides the stored inputs of a delivery again."""
        return Explanations(self.database, self.accounts, self.terms, self.clock)

    @cached_property
    def decisions(self) -> Decisions:
        """The service that applies the decisions of operators."""
        return Decisions(self.updates, self.terms, self.clock)

    @cached_property
    def operations(self) -> Operations:
        """The service for what an operator does about accounts, stores and dead letters."""
        return Operations(self.database, self.bus, self.settings.ordering.project, self.clock)

    @cached_property
    def restoration(self) -> Restoration:
        """The service that makes a restored database continue beside a newer bus."""
        return Restoration(
            self.database, self.bus, self.lost_commits, self.ingest, self.operations, self.relay, self.clock
        )

    @cached_property
    def worker_heartbeats(self) -> WorkerHeartbeats:
        """The service that records which workers run."""
        return WorkerHeartbeats(self.database, self.clock)

    @cached_property
    def system_health(self) -> SystemHealth:
        """The service that measures whether the parts of the system work."""
        return SystemHealth(self.database, self.bus, self.breaker, tuple(self.codecs), self.clock)

    @cached_property
    def troubles(self) -> Troubles:
        """The service that finds what needs an operator."""
        return Troubles(self.database, self.system_health, self.terms, bool(self.callbacks_expected))

    @cached_property
    def notifiers(self) -> dict[str, Notifier]:
        """The channels to people. Raises SettingsError if an address is not usable."""
        return {name: _notifier(name, channel.url.get_secret_value()) for name, channel in self.settings.notify.items()}

    @cached_property
    def notifications(self) -> Notifications:
        """The service that notifies people of troubles."""
        channels = {name: notifier.send for name, notifier in self.notifiers.items()}
        quiet = {name: channel.quiet for name, channel in self.settings.notify.items()}
        return Notifications(self.database, self.troubles, channels, self.clock, quiet)

    # --- start and end ------------------------------------------------------------------------------------------------

    def warm_up(self) -> None:
        """Start the traces, and build the objects that threads share, before the threads start.

        Two threads could build one of them twice.

        If the database is SQLite, its missing tables are created, because no other machine uses the database.
        """
        tracing.start()
        if not self.settings.shared:
            self.database.create()
        _ = (
            self.bus, self.crash_recovery, self.tracking, self.callbacks, self.ingest, self.order_fetch, self.backfill,
            self.relay, self.sweep, self.retention, self.webhooks,
        )  # fmt: skip

    def close(self) -> None:
        """Close what sends and the database, if they were built."""
        for name in ("gateway", "webhook_sender", "listener", "database"):
            if name in self.__dict__:
                getattr(self, name).close()


def _notifier(name: str, url: str) -> Notifier:
    try:
        return Notifier(url)
    except ValueError as error:
        raise SettingsError(f"ORDER_SYNC_NOTIFY__{name.upper().replace('-', '_')}__URL {error}") from None


def _terms(codec: Carrier) -> CarrierTerms:
    account, refuses = codec.account, partial(refusal, codec)
    return CarrierTerms(codec.capabilities, account.deadline, account.callback_wait, account.poll_interval, refuses)


_containers: dict[int, Container] = {}
_constructing = threading.Lock()


def container() -> Container:
    """Return the container of this process. Each process has its own, because connections do not survive a fork."""
    with _constructing:
        pid = os.getpid()
        if pid not in _containers:
            _containers.clear()
            _containers[pid] = Container(load())
            _containers[pid].warm_up()
        return _containers[pid]


def override(other: Container) -> None:
    """Replace the container of this process, as tests and tools do."""
    _containers.clear()
    _containers[os.getpid()] = other


def close() -> None:
    """Close and remove the container of this process, if it has one."""
    while _containers:
        _, closed = _containers.popitem()
        closed.close()
