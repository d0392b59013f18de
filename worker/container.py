"""The composition root: the only place that constructs, and the only one that reads the clock."""

import os
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from types import MappingProxyType

from schemas.stores import Store as Shop
from worker.bus import streams
from worker.bus.streams import Bus
from worker.carriers import KINDS
from worker.carriers.account import CarrierAccount
from worker.carriers.port import Carrier
from worker.clock import SharedClock
from worker.config.settings import Settings, load
from worker.database.database import Database
from worker.domain.carrier_terms import CarrierTerms
from worker.domain.eligibility import refusal
from worker.domain.lifecycle import StatusMappings, TermsByAccount
from worker.http.account import ApiAccount
from worker.http.gateway import Gateway
from worker.ordering_api import codec as ordering_codec
from worker.resilience.bulkhead import Bulkhead
from worker.resilience.call_journal import CallJournal
from worker.resilience.circuit_breaker import CircuitBreaker
from worker.resilience.quote_cache import QuoteCache
from worker.resilience.rate_limiter import RateLimiter

Clock = Callable[[], datetime]
WORDS_FRESH = timedelta(seconds=5)
"""How soon a process knows what an operator said that a word means."""
ATTEMPT_BITS = 53
"""Attempt ids are random and fit a JSON number: a new database never meets an old one's orders at a carrier."""


def utc_now() -> datetime:
    """Read the wall clock."""
    return datetime.now(UTC)


@dataclass
class Container:
    """Everything a process needs, made on first use. Its clock is the database's where hosts share one."""

    settings: Settings
    clock: Clock = utc_now
    _carriers: dict[str, Carrier] = field(default_factory=dict)
    _words: tuple[datetime | None, Mapping[str, StatusMappings]] = (None, MappingProxyType({}))

    def __post_init__(self) -> None:
        """Put the shared clock in the place of the wall clock."""
        if self.clock is utc_now and self.settings.shared:
            self.clock = SharedClock(lambda: self.database.time())  # noqa: PLW0108 - made on first use, as all here

    @cached_property
    def database(self) -> Database:
        """The database."""
        ordering = self.settings.ordering
        told = ordering.source if ordering.base_url else None
        return Database(self.settings.database_url, pool_size=self.settings.worker_concurrency, write_back=told)

    @cached_property
    def bus(self) -> Bus:
        """The two streams."""
        settings = self.settings
        return Bus(streams.connect(settings.bus), orders=settings.orders_stream, events=settings.events_stream)

    @cached_property
    def journal(self) -> CallJournal:
        """What outlasts a process that dies with a reply."""
        return CallJournal(self.settings.journal_folder)

    @cached_property
    def gateway(self) -> Gateway:
        """The door for HTTP."""
        return Gateway(self.api_accounts, self.rate_limiter.take, self.clock)

    @cached_property
    def rate_limiter(self) -> RateLimiter:
        """The request budgets that processes share."""
        return RateLimiter(streams.connect(self.settings.redis))

    @cached_property
    def breaker(self) -> CircuitBreaker:
        """The circuit breakers that processes share."""
        return CircuitBreaker(streams.connect(self.settings.redis))

    @cached_property
    def quote_cache(self) -> QuoteCache:
        """The prices that processes share."""
        return QuoteCache(streams.connect(self.settings.redis))

    @cached_property
    def bulkhead(self) -> Bulkhead:
        """What each account may have of this process's threads."""
        return Bulkhead(self.settings.worker_concurrency, len(self.settings.accounts))

    @cached_property
    def api_accounts(self) -> dict[str, ApiAccount]:
        """Every origin that may be called."""
        ordering = self.settings.ordering
        known = {ordering_codec.ACCOUNT: ordering_codec.account(ordering)} if ordering.base_url else {}
        return {**known, **self.settings.accounts}

    @cached_property
    def terms(self) -> TermsByAccount:
        """What the engine must know of each carrier account."""
        return {name: _terms(codec) for name, codec in self.codecs.items()}

    @cached_property
    def codecs(self) -> dict[str, Carrier]:
        """Every account's codec as it is before any login."""
        return {name: KINDS[account.kind](account, {}) for name, account in self.settings.accounts.items()}

    @cached_property
    def file_shops(self) -> Mapping[str, Shop]:
        """The store directory's file, as it was at the start."""
        return self.settings.stores()

    def status_mappings(self, account: str) -> StatusMappings:
        """Tell what operators said that an account's words mean, a few seconds ago at the most."""
        now = self.clock()
        read_at, words = self._words
        if read_at is None or abs(now - read_at) >= WORDS_FRESH:
            words = self.database.words()
            self._words = now, words
        return words.get(account, {})

    def carrier(self, name: str) -> Carrier:
        """Give the codec of an account, with what its login told. Raises CarrierError when a needed login fails."""
        if name not in self._carriers:
            self._carriers[name] = self._introduce(self.settings.accounts[name])
        return self._carriers[name]

    def _introduce(self, account: CarrierAccount) -> Carrier:
        codec = KINDS[account.kind](account, self.database.account_metadata(account.name))
        if not codec.needs_login:
            return codec
        facts = codec.read_probe(self.gateway.send_one(account.name, codec.probe()))
        self.database.put_account_metadata(account.name, facts)
        return KINDS[account.kind](account, facts)

    def close(self) -> None:
        """Close what was opened."""
        for name in ("gateway", "database"):
            if name in self.__dict__:
                getattr(self, name).close()

    def new_attempt(self) -> tuple[int, str]:
        """Draw an attempt's id and the secret of its callback address."""
        return secrets.randbelow(2**ATTEMPT_BITS - 1) + 1, secrets.token_urlsafe(24)

    def callback_url(self, account: str, token: str) -> str | None:
        """Tell the address an attempt's carrier may call, None when we have no public one."""
        public = self.settings.public_url
        return f"{public}/callbacks/{account}/{token}" if public else None


def _terms(codec: Carrier) -> CarrierTerms:
    account, refuses = codec.account, partial(refusal, codec)
    return CarrierTerms(codec.capabilities, account.deadline, account.callback_wait, account.poll_interval, refuses)


_houses: dict[int, Container] = {}
_building = threading.Lock()


def container() -> Container:
    """Give this process its house: one for each process, because connections do not survive a fork."""
    with _building:
        pid = os.getpid()
        if pid not in _houses:
            _houses.clear()
            _houses[pid] = _furnished(Container(load()))
        return _houses[pid]


def _furnished(made: Container) -> Container:
    """Make what the tasks' threads share before they do: two of them at first use would make two of each."""
    _ = made.database, made.bus, made.gateway, made.journal, made.breaker, made.bulkhead, made.terms, made.file_shops
    return made


def override(made: Container) -> None:
    """Put a house of one's own in place, as tests and tools do."""
    _houses.clear()
    _houses[os.getpid()] = made
