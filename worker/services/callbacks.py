"""Apply stored callbacks. A callback is parsed outside any transaction, and applied in the same way as a poll."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from schemas.status import Cause
from worker import log, tracing
from worker.carriers.port import AttemptView, CallbackKey, Carrier, Observation
from worker.clock import Clock
from worker.database import callbacks, deliveries
from worker.database.callbacks import FoundAttempt, StoredCallback
from worker.database.connection import IntegrityError
from worker.database.database import Database
from worker.domain import lifecycle
from worker.domain.callback_decision import CallbackDecision
from worker.domain.carrier_terms import attempt_view
from worker.domain.delivery import Attempt, Change, Delivery, replace
from worker.domain.lifecycle import TermsByAccount
from worker.domain.lifecycle.reopening import UNSUCCESSFUL_ENDS
from worker.errors import CarrierError, Unreadable
from worker.services import problems
from worker.services.accounts import CarrierAccounts
from worker.services.outcomes import run_codec
from worker.services.updates import Updates, log_fields

logger = log.get(__name__)
ORPHANED_AFTER = timedelta(days=1)
"""The age after which a callback that belongs to no known attempt is given up."""
REPLAYED_AFTER = timedelta(hours=26)
APPLIED, UNREADABLE, ORPHANED = "applied", "unreadable", "orphaned"
"""The results of a callback."""
TRIES = 5
"""How many times a callback is parsed while its delivery keeps changing. Then the callback waits for the sweep."""
T = TypeVar("T")
Seen = tuple[Observation, ...]


class _ChangedMeanwhile(Exception):
    """The delivery has changed since its callback was parsed."""


@dataclass(frozen=True, slots=True)
class _Parsed:
    """A parsed callback, with its attempt, and with the delivery as it was when the callback was parsed."""

    delivery: Delivery
    attempt: Attempt
    view: AttemptView
    """The attempt as the codec saw it."""
    seen: Seen
    other_ref: str | None = None
    """The carrier's id of a second order with our reference, if the callback is about that second order."""


@dataclass(frozen=True)
class Callbacks:
    """Apply stored callbacks. The callbacks of one attempt are applied one by one, in the carrier's order."""

    database: Database
    accounts: CarrierAccounts
    updates: Updates
    terms: TermsByAccount
    clock: Clock

    def apply(self, callback_id: str) -> str:
        """Apply a stored callback and all others of its attempt that still wait, in the carrier's order.

        Return the problems in one line. If the attempt of the callback is not known yet, the sweep tries the callback
        again later.
        """
        stored = self.database.read(callbacks.load, callback_id)
        if stored is None or stored.result is not None:
            return ""
        try:
            found = self._find_attempt(stored)
        except CarrierError as error:
            return _problems([self._reject(stored, error)])
        if found is None:
            return _problems([self._leave_orphan(stored)])
        results = []
        for each in self.database.read(callbacks.waiting, found.attempt_id):
            results.append(self._apply(each, found))
            if results[-1] is None:
                break  # a later callback must not overtake this one
        return _problems(results)

    def _find_attempt(self, stored: StoredCallback) -> FoundAttempt | None:
        """Return the attempt of a callback; None while it is unknown.

        If the attempt was unknown when the callback arrived but is found now, this call records the attempt in the
        stored callback. Waiting callbacks about the same order of the carrier get the attempt as well.
        """
        if stored.attempt_id is not None:
            return self.database.read(callbacks.find_attempt, stored.carrier, CallbackKey(attempt_id=stored.attempt_id))
        codec = self._codec(stored.carrier)
        key = _run(codec, partial(codec.callback_key, stored.callback))
        found = self.database.read(callbacks.find_attempt, stored.carrier, key)
        if found is not None:
            self.database.write(callbacks.attach, stored.id, found.attempt_id)
        return found

    def _reject(self, stored: StoredCallback, error: Exception, delivery: Delivery | None = None) -> str:
        """Give a callback up, and return its result."""
        about = log_fields(delivery) if delivery else {}
        logger.warning("callback.unreadable", callback_id=stored.id, account=stored.carrier, error=str(error), **about)
        self.database.write(callbacks.settle, stored.id, UNREADABLE)
        return UNREADABLE

    def _codec(self, account: str) -> Carrier:
        """Return the codec of an account. Raises CarrierError when there is no such account or its log-in fails."""
        if account not in self.accounts.codecs:
            raise Unreadable(f"there is no account {account}")
        return self.accounts.logged_in(account)

    def _leave_orphan(self, stored: StoredCallback) -> str | None:
        """Let a callback of an unknown attempt wait, but give the callback up after a day; return its result.

        A callback may come before the reply to our create. The reply then makes the attempt of the callback known.
        """
        if self.clock() - stored.received_at <= ORPHANED_AFTER:
            return None
        logger.warning("callback.orphaned", callback_id=stored.id, account=stored.carrier)
        self.database.write(callbacks.settle, stored.id, ORPHANED)
        return ORPHANED

    def _apply(self, stored: StoredCallback, found: FoundAttempt) -> str | None:
        """Apply one callback and return its result; return None if the callback still waits.

        It waits while its delivery keeps changing, or if only a newer version of the program can read its delivery.
        """
        loaded: list[Delivery] = []
        try:
            codec = self._codec(stored.carrier)
            key = _run(codec, partial(codec.callback_key, stored.callback))
            for _ in range(TRIES):
                loaded = self.database.read(deliveries.load, [found.delivery_id])
                if not loaded:
                    return None
                parsed = self._parse(codec, stored, key, loaded[0], found.attempt_id)
                decision = CallbackDecision.of(parsed.view, parsed.seen) if parsed else None
                decide = partial(self._decide, stored, parsed)
                attributes = {"order_sync.account": stored.carrier, "order_sync.callback_id": stored.id}
                try:
                    with tracing.span("apply callback", tracing.Kind.INTERNAL, attributes, loaded[0].trace):
                        changes = self.database.write(
                            callbacks.apply, stored.id, APPLIED, found.delivery_id, decide, decision
                        )
                except _ChangedMeanwhile:
                    continue
                self.updates.follow_up(changes, self.clock())
                return APPLIED
        except (CarrierError, IntegrityError) as error:
            # An IntegrityError means that the callback names an order which another live attempt has.
            return self._reject(stored, error, *loaded)
        return None

    def _parse(
        self, codec: Carrier, stored: StoredCallback, key: CallbackKey, delivery: Delivery, attempt_id: int
    ) -> _Parsed | None:
        """Parse a callback for the current state of its delivery.

        Return None if the delivery has no such attempt or no store. Raises Unreadable.
        """
        attempt = delivery.attempt(attempt_id)
        if attempt is None or delivery.store is None:
            return None
        if attempt.ref is None or key.ref in {None, attempt.ref}:
            return self._read(codec, stored, delivery, attempt)
        known = (each for each in delivery.attempts if (each.carrier, each.ref) == (attempt.carrier, key.ref))
        other = next(known, None)
        if other is not None:
            return self._read(codec, stored, delivery, other)
        unseen = replace(attempt, ref=key.ref, codec_state={})
        parsed = self._read(codec, stored, delivery, unseen)
        return _Parsed(delivery, attempt, parsed.view, parsed.seen, key.ref)

    def _read(self, codec: Carrier, stored: StoredCallback, delivery: Delivery, attempt: Attempt) -> _Parsed:
        view = attempt_view(delivery, attempt)
        seen = _run(codec, lambda: codec.read_callback(stored.callback, view, self.clock()))
        mapped = lifecycle.apply_mappings(seen, self.accounts.status_mappings(stored.carrier))
        return _Parsed(delivery, attempt, view, mapped)

    def _decide(self, stored: StoredCallback, parsed: _Parsed | None, delivery: Delivery) -> Change | None:
        if parsed is None:
            return None
        if delivery != parsed.delivery:
            raise _ChangedMeanwhile
        replayed = _is_replayed(stored, parsed.seen)
        if parsed.other_ref is not None:
            return self._apply_duplicate(parsed, parsed.other_ref, replayed=replayed)
        return self._apply_observations(parsed, stored.received_at, replayed=replayed)

    def _apply_observations(self, parsed: _Parsed, received_at: datetime, *, replayed: bool) -> Change | None:
        """Apply the observations of a callback.

        A callback that is replayed or has no observations only makes a read due. If the observations contain no status,
        they are applied and a read becomes due as well.
        """
        now, delivery, attempt_id = self.clock(), parsed.delivery, parsed.attempt.id
        if not parsed.seen or replayed:
            return lifecycle.schedule_read_now(delivery, self.terms, now, attempt_id)
        change = lifecycle.apply_observations(
            delivery, attempt_id, parsed.seen, self.terms, now, Cause.CALLBACK, received_at
        )
        if any(each.status or each.raw for each in parsed.seen):
            return change
        read = lifecycle.schedule_read_now(change.delivery, self.terms, now, attempt_id)
        return replace(change, delivery=read.delivery) if read else change

    def _apply_duplicate(self, parsed: _Parsed, ref: str, *, replayed: bool) -> Change | None:
        """Record a second order with our reference as a surplus courier (B-60).

        Do nothing if that order ended without success, or if the callback is replayed or has no observations.
        """
        if not parsed.seen or parsed.seen[-1].status in UNSUCCESSFUL_ENDS or replayed:
            return None
        now, cause = self.clock(), Cause.CALLBACK
        return lifecycle.record_duplicates(parsed.delivery, parsed.attempt.id, [ref], self.terms, now, cause)


def _problems(results: Iterable[str | None]) -> str:
    """Return the problems that the results of callbacks show, in one line. A callback that waits is no problem."""
    return problems.describe(f"callback {each}" for each in results if each not in {None, APPLIED})


def _run(codec: Carrier, work: Callable[[], T]) -> T:
    """Run a codec's function on a callback and return its result. Raises CarrierError.

    A CarrierError of the function is raised unchanged, and any other error is raised as Unreadable. In both cases, the
    callback is not tried again.
    """
    result = run_codec(codec.account.name, work, _unreadable)
    if isinstance(result, CarrierError):
        raise result
    return result


def _unreadable(error: Exception) -> CarrierError:
    return Unreadable(f"it broke its parser: {type(error).__name__}")


def _is_replayed(stored: StoredCallback, seen: Seen) -> bool:
    """Return whether all observations were older than `REPLAYED_AFTER` when the callback arrived.

    Carriers repeat a callback for a day at most. Their signature does not cover the time of sending, so somebody else
    may replay an old callback.
    """
    return all(
        each.carrier_time is not None and stored.received_at - each.carrier_time > REPLAYED_AFTER for each in seen
    )
