"""What a message, a reply, an observation or a passing hour means for a delivery.

Pure: every function takes a delivery and returns the `Change`, the delivery as it is then and the events to tell.
Nothing here reads a clock, a database or a network.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from schemas.events import CourierInfo, DeliveryEvent, EventType, PriceInfo, ProofInfo, RawWord
from schemas.orders import Cancellation, Order
from schemas.status import FINAL, GOODS_WITH_COURIER, TO_PLATFORM, CancelledBy, Cause, DeliveryStatus, Evidence, Reason
from schemas.stores import Store
from worker import schedule
from worker.carriers.port import Booked, Observation, Raw
from worker.delivery import SUBMITTING, Attempt, Change, Delivery, Event, Step, Terms, rank_of
from worker.errors import CarrierError, Refused, Unavailable
from worker.plan import plan
from worker.transitions import STICKY, allows, allows_back

__all__ = [
    "Rules", "absent", "accept", "accepts_offer", "amend", "ask_cancel", "begin_booking", "begin_call",
    "cancel_answered", "confirmed", "due", "lost", "missed", "observe", "put_off", "resolve", "route", "settle",
    "unfindable", "unseen",
]  # fmt: skip

Rules = Mapping[str, Terms]
MISSES_TO_TELL = 5
NEVER_CREATED = "never created"


class _Edit:
    """A change in the making: the delivery so far, and the events so far."""

    def __init__(self, delivery: Delivery, rules: Rules, now: datetime, cause: Cause) -> None:
        self.delivery, self.rules, self.now, self.cause = delivery, rules, now, cause
        self.events: list[Event] = []

    def set(self, **changes: Any) -> None:
        self.delivery = replace(self.delivery, **changes)

    def put(self, attempt: Attempt, **changes: Any) -> Attempt:
        changed = replace(attempt, **changes)
        self.delivery = self.delivery.with_attempt(changed)
        return changed

    def tell(self, kind: EventType, attempt: Attempt | None = None, **said: Any) -> None:
        """Add an event to the delivery's sequence: a snapshot of it, with what is `said` laid over."""
        self.set(sequence=self.delivery.sequence + 1)
        data = snapshot(self.delivery, attempt or self.delivery.active, self.cause, self.now)
        data = data.model_copy(update=said) if said else data
        self.events.append(Event(kind, self.delivery.sequence, self.now, data))

    def enter(self, status: DeliveryStatus, attempt: Attempt | None = None, **described: Any) -> None:
        """Make `status` the delivery's, with its description, and tell; the same again is not news."""
        before = self.delivery
        blank = {"detail": None, "reason": None, "reason_text": None, "cancelled_by": None}
        described = {**blank, "evidence": Evidence.OBSERVED, "raw": None, **described}
        same = status == before.status and before.sequence > 0
        if same and described["detail"] == before.detail:
            return
        self.set(status=status, changed_at=self.now, **described)
        if same:
            self.tell(EventType.UPDATED, attempt)
            return
        self.set(previous_status=before.status if before.sequence else None)
        self.tell(EventType.STATUS_CHANGED, attempt)

    def attend(self, word: str, attempt: Attempt | None = None) -> None:
        """Ask for a person, once for each word."""
        if self.delivery.attention != word:
            self.set(attention=word)
            self.tell(EventType.ATTENTION_REQUIRED, attempt, reason_text=word)

    def done(self) -> Change:
        step, at = plan(self.delivery, self.rules, self.now)
        self.set(step=step, next_run_at=at)
        return Change(self.delivery, tuple(self.events))


def snapshot(delivery: Delivery, attempt: Attempt | None, cause: Cause, now: datetime) -> DeliveryEvent:
    """Describe a delivery as an event does. Nothing of the customer is in it."""
    platform = TO_PLATFORM[delivery.status]
    return DeliveryEvent.model_construct(
        delivery_id=delivery.id,
        order_id=delivery.order.order_id,
        order_source=delivery.source,
        store_id=delivery.order.store_id,
        sequence=delivery.sequence,
        status=delivery.status,
        previous_status=delivery.previous_status,
        detail=delivery.detail,
        final=delivery.final,
        reason=delivery.reason,
        reason_text=delivery.reason_text,
        cancelled_by=delivery.cancelled_by,
        carrier=attempt.carrier if attempt else None,
        carrier_ref=attempt.ref if attempt else None,
        attempt=attempt.number if attempt else len(delivery.attempts),
        evidence=delivery.evidence,
        cause=cause,
        raw=delivery.raw,
        occurred_at=None,
        occurred_at_assumed_zone=None,
        observed_at=now,
        platform_status=None if platform is None else int(platform),
        tracking_url=delivery.tracking_url,
        courier=delivery.courier,
        pickup_eta=delivery.pickup_eta,
        dropoff_eta=delivery.dropoff_eta,
        price=delivery.price,
        proof=delivery.proof,
    )


# --- messages ---------------------------------------------------------------------------------------------------------


def accept(delivery: Delivery, store: Store | None, wish: Cancellation | None, rules: Rules, now: datetime) -> Change:
    """Take a new delivery in: queue it for its first carrier, or end it at once when its cancel came before it."""
    edit = _Edit(delivery, rules, now, Cause.MESSAGE)
    edit.enter(DeliveryStatus.QUEUED)
    _route(edit, store)
    if wish is not None:
        _ask_cancel(edit, wish)
    return edit.done()


def route(delivery: Delivery, store: Store | None, rules: Rules, now: datetime) -> Change:
    """Try again to give a waiting delivery its store and a carrier."""
    edit = _Edit(delivery, rules, now, Cause.TIMER)
    edit.set(retry_at=None)
    _route(edit, store)
    return edit.done()


def _route(edit: _Edit, store: Store | None) -> None:
    if store is None:
        edit.attend("unknown_store")
        return
    order = edit.delivery.order
    edit.set(store=store, dispatch_at=schedule.dispatch_at(order, store, edit.now))
    edit.set(carrier=_next_carrier(edit.delivery, edit.rules))
    if edit.delivery.carrier is None:
        edit.attend("no_configured_carrier")
        return
    edit.set(attention=None)


def _next_carrier(delivery: Delivery, rules: Rules) -> str | None:
    assert delivery.store is not None  # noqa: S101 - routed first
    ended = [attempt for attempt in delivery.attempts if attempt.ended_at is not None]
    # A carrier whose order was never created has not said no.
    asked = {attempt.carrier for attempt in ended if (attempt.reason, attempt.reason_text) != (None, NEVER_CREATED)}
    wanted = delivery.order.carriers or delivery.store.carriers
    return next((name for name in wanted if name in rules and name not in asked), None)


def amend(delivery: Delivery, order: Order, fingerprint: str, rules: Rules, now: datetime) -> Change | None:
    """Take an order's message that came again; None when it changes nothing.

    Other content without a higher revision is a contradiction that a person must see. A real update is applied while
    nothing stands at a carrier; after that it needs a person too.
    """
    if fingerprint == delivery.fingerprint or order.revision < delivery.order.revision:
        return None
    edit = _Edit(delivery, rules, now, Cause.MESSAGE)
    if order.revision == delivery.order.revision:
        edit.attend("order_changed_without_revision")
    elif delivery.final:
        return None
    elif delivery.active is not None:
        edit.attend("order_changed_after_dispatch")
    else:
        edit.set(order=order, fingerprint=fingerprint, attention=None)
        if delivery.store is None or delivery.store.store_id != order.store_id:
            edit.set(store=None, carrier=None)
        else:
            _route(edit, delivery.store)
        edit.tell(EventType.UPDATED)
    return edit.done() if edit.events else None


def ask_cancel(delivery: Delivery, wish: Cancellation, rules: Rules, now: datetime, cause: Cause) -> Change | None:
    """Store the wish to cancel; what was never sent to a carrier is cancelled at once."""
    if delivery.final or delivery.cancel is not None:
        return None
    edit = _Edit(delivery, rules, now, cause)
    _ask_cancel(edit, wish)
    return edit.done()


def _ask_cancel(edit: _Edit, wish: Cancellation) -> None:
    edit.set(cancel=wish.model_dump(exclude={"order_id"}), retry_at=None)
    attempt = edit.delivery.active
    if attempt is None:
        edit.set(attention=None)
        edit.enter(DeliveryStatus.CANCELLED, cancelled_by=CancelledBy(wish.cancelled_by))
    elif attempt.rank >= GOODS_WITH_COURIER:
        _too_late(edit, attempt)


def _too_late(edit: _Edit, attempt: Attempt) -> None:
    attempt = edit.put(attempt, cancel_refused=True)
    edit.tell(EventType.CANCEL_REFUSED, attempt, reason_text="the courier has the goods")


# --- calls: intent, then outcome --------------------------------------------------------------------------------------


def due(delivery: Delivery, step: Step, carrier: str, now: datetime) -> bool:
    """Tell whether this very step is due at this carrier now: a task is only a hint, the state decides."""
    if delivery.step is not step or delivery.next_run_at is None or delivery.next_run_at > now:
        return False
    holder = delivery.active.carrier if delivery.active else delivery.carrier
    return holder == carrier


def begin_booking(delivery: Delivery, attempt_id: int, token: str, rules: Rules, now: datetime) -> Change | None:
    """Write down the intent to create at the delivery's carrier; None when there is nothing to do.

    An attempt that was never sent is taken up again under its own id: no carrier has ever seen it.
    """
    carrier, store = delivery.carrier, delivery.store
    if carrier is None or store is None or delivery.active is not None or delivery.final:
        return None
    edit = _Edit(delivery, rules, now, Cause.TIMER)
    last = delivery.attempts[-1] if delivery.attempts else None
    unsent = last if last and last.ended_at is None and last.carrier == carrier and not last.surplus else None
    attempt = unsent or Attempt(
        id=attempt_id,
        delivery_id=delivery.id,
        number=len(delivery.attempts) + 1,
        carrier=carrier,
        state=SUBMITTING,
        token=token,
        pickup_at=now,
        submitted_at=now,
        changed_at=now,
    )
    pickup = schedule.pickup_at(delivery.order, store, now)
    edit.put(attempt, state=SUBMITTING, pickup_at=pickup, submitted_at=now, changed_at=now, lookups=0, last_error=None)
    edit.set(retry_at=None)
    return edit.done()


def begin_call(delivery: Delivery, step: Step, rules: Rules, now: datetime) -> Change | None:
    """Write down the intent to confirm or cancel, so that nobody else does before this call must be over."""
    attempt = delivery.active
    if attempt is None:
        return None
    edit = _Edit(delivery, rules, now, Cause.TIMER)
    if step is Step.CANCEL:
        edit.put(attempt, cancel_asked_at=now, cancel_checks=0)
    change = edit.done()
    lease = now + timedelta(seconds=rules[attempt.carrier].deadline) + schedule.CALL_MARGIN
    return Change(replace(change.delivery, next_run_at=lease), change.events)


def settle(delivery: Delivery, attempt_id: int, outcome: Booked | CarrierError, rules: Rules, now: datetime) -> Change:
    """Take the outcome of a create: created, offered, refused, not sent, or nobody knows."""
    edit = _Edit(delivery, rules, now, Cause.RESPONSE)
    attempt = delivery.attempt(attempt_id)
    if attempt is None or (attempt.state != SUBMITTING and not isinstance(outcome, Booked)):
        return edit.done()
    if isinstance(outcome, Booked):
        edit.set(failures=0, retry_at=None)
        if outcome.offer:
            attempt = edit.put(attempt, offered_at=outcome.offer.offered)
        _observe(edit, attempt, outcome.observation)
    elif isinstance(outcome, Unavailable):
        _not_sent(edit, attempt, outcome)
    elif isinstance(outcome, Refused):
        _end(edit, attempt, DeliveryStatus.REJECTED, reason=outcome.reason, reason_text=outcome.text or None)
    else:
        _doubt(edit, attempt, str(outcome))
    return edit.done()


def _not_sent(edit: _Edit, attempt: Attempt, error: Unavailable) -> None:
    edit.put(attempt, state=DeliveryStatus.QUEUED.value, last_error=str(error))
    if edit.delivery.cancel is not None:
        edit.enter(DeliveryStatus.CANCELLED, cancelled_by=CancelledBy(edit.delivery.cancel["cancelled_by"]))
        return
    _wait(edit, error)
    _tell_late(edit)


def _tell_late(edit: _Edit) -> None:
    """Ask for a person once a courier should have been at the store and nobody has been sent (never silent)."""
    waiting = edit.delivery
    if waiting.active is not None or waiting.store is None:
        return
    # As it was wished at first: "as soon as possible" asked again later would never be late.
    if edit.now >= schedule.pickup_at(waiting.order, waiting.store, waiting.created_at):
        edit.attend("not_dispatched_by_pickup_time")


def _wait(edit: _Edit, error: CarrierError) -> None:
    failures = edit.delivery.failures + 1
    asked = error.retry_after if isinstance(error, Unavailable) else None
    wait = schedule.backoff(failures, edit.delivery.id, asked)
    if isinstance(error, Unavailable) and error.account:
        wait = max(wait, schedule.ACCOUNT_AGAIN)
    edit.set(failures=failures, retry_at=edit.now + wait)


def _doubt(edit: _Edit, attempt: Attempt, why: str) -> None:
    attempt = edit.put(attempt, state=DeliveryStatus.SUBMIT_UNKNOWN.value, changed_at=edit.now, last_error=why)
    edit.enter(DeliveryStatus.SUBMIT_UNKNOWN, attempt)


def confirmed(
    delivery: Delivery,
    attempt_id: int,
    outcome: Observation | CarrierError,
    rules: Rules,
    now: datetime,
) -> Change:
    """Take the answer to accepting or denying an offer. Accepting is repeatable, so doubt only means again (D-33)."""
    edit = _Edit(delivery, rules, now, Cause.RESPONSE)
    attempt = delivery.attempt(attempt_id)
    if attempt is None or attempt.state != DeliveryStatus.AWAITING_CONFIRMATION:
        return edit.done()
    if isinstance(outcome, Refused):
        # "Time limit reached or order does not exist": only the carrier's list can tell which (D-30).
        edit.put(attempt, doubted_at=now, lookups=0, reason=outcome.reason, reason_text=outcome.text or None)
    elif isinstance(outcome, CarrierError):
        _wait(edit, outcome)
    else:
        edit.set(failures=0, retry_at=None)
        agreed = attempt.offered_at if outcome.status is DeliveryStatus.CREATED else None
        _observe(edit, edit.put(attempt, pickup_at=agreed or attempt.pickup_at), outcome)
    return edit.done()


def cancel_answered(
    delivery: Delivery, attempt_id: int, outcome: CarrierError | None, rules: Rules, now: datetime
) -> Change:
    """Take the answer to a cancel. Only a read can confirm it; a refusal is told, and the courier is followed on."""
    edit = _Edit(delivery, rules, now, Cause.RESPONSE)
    attempt = delivery.attempt(attempt_id)
    if attempt is None or not attempt.live:
        return edit.done()
    if isinstance(outcome, Refused):
        edit.put(attempt, cancel_refused=True)
        edit.tell(EventType.CANCEL_REFUSED, reason=outcome.reason, reason_text=outcome.text or None)
    elif isinstance(outcome, Unavailable):
        edit.put(attempt, cancel_asked_at=None)
        _wait(edit, outcome)
    return edit.done()


def accepts_offer(delivery: Delivery, attempt: Attempt, rules: Rules) -> bool:
    """Rule on an offered time: accept within the account's limit and when the food is ready, otherwise deny (D-30)."""
    if delivery.cancel is not None or attempt.offered_at is None:
        return False
    shift = abs(attempt.offered_at - attempt.pickup_at)
    ready = delivery.order.ready_at
    fits = shift <= timedelta(minutes=rules[attempt.carrier].capabilities.max_shift)
    return fits and (ready is None or attempt.offered_at >= ready - timedelta(minutes=1))


# --- news -------------------------------------------------------------------------------------------------------------


def observe(
    delivery: Delivery, attempt_id: int, seen: Iterable[Observation], rules: Rules, now: datetime, cause: Cause
) -> Change:
    """Take what a poll, a look-up or a callback saw of an attempt, oldest first."""
    edit = _Edit(delivery, rules, now, cause)
    if delivery.active is not None and delivery.active.id == attempt_id:
        edit.set(failures=0, retry_at=None)
    history = list(seen)
    for news in history:
        attempt = edit.delivery.attempt(attempt_id)
        if attempt is not None:
            _observe(edit, attempt, news)
    if history:
        _given_back(edit, attempt_id, history[-1])
    if cause is not Cause.CALLBACK:
        _check_cancel(edit, attempt_id)
    return edit.done()


def _observe(edit: _Edit, attempt: Attempt, news: Observation) -> None:
    attempt = edit.put(
        attempt,
        ref=news.ref or attempt.ref,
        refs={**attempt.refs, **news.refs},
        seen_at=edit.now,
    )
    stale = news.stamp is not None and attempt.stamp is not None and news.stamp < attempt.stamp
    if stale:
        return
    newer = edit.cause in {Cause.POLL, Cause.RECONCILE} or (
        news.stamp is not None and (attempt.stamp is None or news.stamp > attempt.stamp)
    )
    attempt = edit.put(attempt, stamp=news.stamp or attempt.stamp)
    if news.status is None:
        _unrecognized(edit, attempt, news)
    elif attempt.state in STICKY:
        _after_the_end(edit, attempt, news)
    elif news.status == attempt.state:
        _same(edit, attempt, news)
    elif allows(attempt.state, news.status, attempt.resume_to):
        _advance(edit, attempt, news)
    elif edit.cause is Cause.RESPONSE:
        # A callback overtook the answer to our own call (B-86): its status is old, the rest may be new.
        _same(edit, attempt, news)
    elif allows_back(attempt.state, news.status, attempt.resume_to) and newer:
        edit.set(courier=None)
        _advance(edit, attempt, replace(news, detail=news.detail or "reassigned"))
    else:
        _regression(edit, attempt, news)


def _given_back(edit: _Edit, attempt_id: int, news: Observation) -> None:
    """Take a courier who gave it back, if that is the newest news, for the end of what was asked to cancel (C-47)."""
    attempt = edit.delivery.attempt(attempt_id)
    if attempt is None or attempt.cancel_asked_at is None or news.status is not DeliveryStatus.COURIER_WITHDRAWN:
        return
    if attempt.live and attempt.state == DeliveryStatus.COURIER_WITHDRAWN:
        told = len(edit.events)
        _end(edit, attempt, DeliveryStatus.CANCELLED, **_words(news, cancelled_by=CancelledBy.COURIER))
        _stamped(edit, news, told)


def _describe(edit: _Edit, news: Observation) -> bool:
    """Keep what the news says beside the status; tell whether any of it changed."""
    said = {
        "courier": CourierInfo(**asdict(news.courier)) if news.courier else None,
        "tracking_url": news.tracking_url,
        "pickup_eta": news.pickup_eta,
        "dropoff_eta": news.dropoff_eta,
        "price": PriceInfo(**asdict(news.price)) if news.price else None,
        "proof": _proof(news),
    }
    changed = {name: value for name, value in said.items() if value not in (None, getattr(edit.delivery, name))}
    edit.set(**changed)
    return bool(changed)


def _proof(news: Observation) -> ProofInfo | None:
    if news.proof is None:
        return None
    said = asdict(news.proof)
    del said["recipient_name"]
    return ProofInfo(**said)


def _words(news: Observation, **more: Any) -> dict[str, Any]:
    """Turn an observation into the description of a status."""
    return {
        "detail": news.detail,
        "reason": news.reason,
        "reason_text": news.reason_text,
        "cancelled_by": news.cancelled_by,
        "evidence": news.evidence,
        "raw": RawWord(entity=news.raw.entity, code=news.raw.code, text=news.raw.text) if news.raw else None,
        **more,
    }


def _stamped(edit: _Edit, news: Observation, since: int) -> None:
    """Put the carrier's own time on the events that this news caused."""
    times = {"occurred_at": news.occurred_at, "occurred_at_assumed_zone": news.occurred_at_assumed_zone}
    edit.events[since:] = [replace(event, data=event.data.model_copy(update=times)) for event in edit.events[since:]]


def _advance(edit: _Edit, attempt: Attempt, news: Observation) -> None:
    assert news.status is not None  # noqa: S101 - the caller's branch
    told = len(edit.events)
    _describe(edit, news)
    if news.status in FINAL:
        _end(edit, attempt, news.status, **_words(news))
    else:
        held = news.status is DeliveryStatus.ON_HOLD
        resume = (attempt.resume_to or attempt.state) if held else None
        rank = max(attempt.rank, rank_of(news.status))
        attempt = edit.put(attempt, state=news.status.value, rank=rank, resume_to=resume, changed_at=edit.now)
        edit.set(attention=None)
        edit.enter(news.status, attempt, **_words(news))
        unasked = edit.delivery.cancel is not None and attempt.cancel_asked_at is None and not attempt.cancel_refused
        if unasked and attempt.rank >= GOODS_WITH_COURIER:
            _too_late(edit, attempt)
    _stamped(edit, news, told)


def _same(edit: _Edit, attempt: Attempt, news: Observation) -> None:
    told = len(edit.events)
    described = _describe(edit, news)
    if edit.delivery.status == news.status and news.detail not in (None, edit.delivery.detail):
        edit.set(detail=news.detail)
        described = True
    if described:
        edit.tell(EventType.UPDATED, attempt, raw=_words(news)["raw"])
    _stamped(edit, news, told)


def _unrecognized(edit: _Edit, attempt: Attempt, news: Observation) -> None:
    if news.raw is None:
        return
    _tell_once(edit, attempt, EventType.STATUS_UNRECOGNIZED, f"{news.raw.entity}:{news.raw.code}", news)


def _regression(edit: _Edit, attempt: Attempt, news: Observation) -> None:
    _tell_once(edit, attempt, EventType.REGRESSION_SEEN, f"regression:{news.status}", news)


def _tell_once(edit: _Edit, attempt: Attempt, kind: EventType, word: str, news: Observation) -> None:
    """Tell an odd word once in an attempt's life, however often and in whatever order odd words are seen."""
    told = (attempt.odd_word or "").splitlines()
    if word not in told:
        attempt = edit.put(attempt, odd_word="\n".join([*told, word]))
        edit.tell(kind, attempt, raw=_words(news)["raw"])


def _after_the_end(edit: _Edit, attempt: Attempt, news: Observation) -> None:
    """Leave an ended attempt ended, unless its carrier itself says that it goes on.

    What goes on is followed again while no other courier is sought or sent; otherwise it is one too many.
    """
    orphan = attempt.state == DeliveryStatus.REJECTED
    lives = news.status not in FINAL if orphan else news.reopens
    if attempt.surplus or not lives:
        return
    moved_on = edit.delivery.active is not None or (orphan and edit.delivery.final)
    if moved_on:
        attempt = edit.put(attempt, surplus=True)
    else:
        _revive(edit, attempt, news)
    if orphan or moved_on:
        edit.tell(EventType.CONFLICT, attempt, reason_text="orphan_found" if orphan else "two_couriers")


def _revive(edit: _Edit, attempt: Attempt, news: Observation) -> None:
    assert news.status is not None  # noqa: S101 - the caller's branch
    told, over = len(edit.events), edit.delivery.final
    rank = rank_of(news.status, attempt.rank)
    attempt = edit.put(attempt, state=news.status.value, ended_at=None, changed_at=edit.now, rank=rank)
    # A cancel that was wished is asked for again: the one that was confirmed is undone.
    attempt = edit.put(attempt, cancel_asked_at=None, cancel_checks=0, cancel_refused=False)
    held = news.status is DeliveryStatus.ON_HOLD
    attempt = edit.put(attempt, resume_to=DeliveryStatus.CREATED.value if held else None)
    edit.set(carrier=attempt.carrier, failures=0, retry_at=None)
    _describe(edit, news)
    if over:
        edit.set(status=news.status, previous_status=edit.delivery.status, changed_at=edit.now, **_words(news))
        edit.tell(EventType.REOPENED, attempt)
    else:
        edit.enter(news.status, attempt, **_words(news))
    _stamped(edit, news, told)


def _check_cancel(edit: _Edit, attempt_id: int) -> None:
    """Count a read that still shows the order standing after its cancel; the last one asks for a person (C-47)."""
    attempt = edit.delivery.attempt(attempt_id)
    if attempt is None or not attempt.live or attempt.cancel_asked_at is None or attempt.cancel_refused:
        return
    attempt = edit.put(attempt, cancel_checks=attempt.cancel_checks + 1)
    if attempt.cancel_checks == len(schedule.CANCEL_CHECKS):
        edit.tell(EventType.CANCEL_UNCONFIRMED, attempt)


def missed(delivery: Delivery, attempt_id: int, error: CarrierError, rules: Rules, now: datetime) -> Change:
    """Take a read that brought nothing: the state stays, the next read waits longer, and a long silence is told."""
    edit = _Edit(delivery, rules, now, Cause.POLL)
    attempt = delivery.attempt(attempt_id)
    if attempt is None or not attempt.live:
        return edit.done()
    attempt = edit.put(attempt, last_error=str(error))
    _wait(edit, error)
    if edit.delivery.failures == MISSES_TO_TELL and not isinstance(error, Unavailable):
        edit.tell(EventType.TRACKING_LOST, attempt)
    return edit.done()


def unseen(delivery: Delivery, attempt_id: int, rules: Rules, now: datetime) -> Change:
    """Take a read that was answered and did not show the attempt: absence proves nothing once it was created (I13)."""
    edit = _Edit(delivery, rules, now, Cause.POLL)
    edit.set(failures=0, retry_at=None)
    _check_cancel(edit, attempt_id)
    return edit.done()


def look_now(delivery: Delivery, rules: Rules, now: datetime) -> Change | None:
    """Take a hint that something changed at the carrier: the next read is due at once, whatever it was waiting for."""
    if delivery.step is not Step.TRACK:
        return None
    change = _Edit(replace(delivery, retry_at=None), rules, now, Cause.CALLBACK).done()
    return replace(change, delivery=replace(change.delivery, next_run_at=now))


def put_off(delivery: Delivery, error: CarrierError, rules: Rules, now: datetime) -> Change:
    """Take a step that could not even begin, because its account is shut out: it waits, and nobody is blamed."""
    edit = _Edit(delivery, rules, now, Cause.TIMER)
    _wait(edit, error)
    _tell_late(edit)
    return edit.done()


# --- doubt ------------------------------------------------------------------------------------------------------------


def lost(delivery: Delivery, rules: Rules, now: datetime) -> Change | None:
    """Take a create whose process died with the answer: from now on nobody knows (K1 to K3)."""
    attempt = delivery.active
    if attempt is None or attempt.state != SUBMITTING:
        return None
    edit = _Edit(delivery, rules, now, Cause.TIMER)
    _doubt(edit, attempt, "the call's process was lost")
    return edit.done()


def absent(delivery: Delivery, attempt_id: int, rules: Rules, now: datetime) -> Change:
    """Take a complete look-up that did not find the attempt; enough of them prove that it was never created."""
    edit = _Edit(delivery, rules, now, Cause.RECONCILE)
    edit.set(failures=0, retry_at=None)
    attempt = delivery.attempt(attempt_id)
    if attempt is None:
        return edit.done()
    attempt = edit.put(attempt, lookups=attempt.lookups + 1)
    if attempt.state == DeliveryStatus.AWAITING_CONFIRMATION and attempt.lookups >= OFFER_LOOKUPS:
        reason = attempt.reason or Reason.OFFER_LAPSED
        _end(edit, attempt, DeliveryStatus.REJECTED, reason=reason, reason_text=attempt.reason_text)
    elif attempt.state == DeliveryStatus.SUBMIT_UNKNOWN and attempt.lookups >= len(schedule.QUARANTINE):
        _never_created(edit, attempt)
    return edit.done()


OFFER_LOOKUPS = 2


def _never_created(edit: _Edit, attempt: Attempt) -> None:
    if edit.delivery.cancel is not None or _may_create_again(edit, attempt):
        _resubmit(edit, attempt)
    else:
        _park(edit, attempt)


def _may_create_again(edit: _Edit, attempt: Attempt) -> bool:
    creates = sum(each.carrier == attempt.carrier for each in edit.delivery.attempts)
    return creates < edit.rules[attempt.carrier].capabilities.max_creates


def _resubmit(edit: _Edit, attempt: Attempt) -> None:
    """Write an attempt off as never created, and ask the same carrier again, unless a cancel is wished."""
    edit.put(attempt, state=DeliveryStatus.REJECTED.value, ended_at=edit.now, reason=None, reason_text=NEVER_CREATED)
    if edit.delivery.cancel is not None:
        edit.enter(DeliveryStatus.CANCELLED, attempt, cancelled_by=CancelledBy(edit.delivery.cancel["cancelled_by"]))
        return
    edit.set(carrier=attempt.carrier)
    edit.enter(DeliveryStatus.QUEUED, detail="resubmit")


def _park(edit: _Edit, attempt: Attempt) -> None:
    """Leave a doubt to a person."""
    edit.put(attempt, parked=True)
    edit.attend("outcome_unknown", attempt)


def unfindable(delivery: Delivery, rules: Rules, now: datetime) -> Change | None:
    """Take a doubt that this carrier offers no look-up for: once the callback has not come, a person must settle it."""
    attempt = delivery.active
    if attempt is None or attempt.state != DeliveryStatus.SUBMIT_UNKNOWN:
        return None
    edit = _Edit(delivery, rules, now, Cause.TIMER)
    if attempt.parked:
        return edit.done()
    if delivery.cancel is None and _may_create_again(edit, attempt):
        _resubmit(edit, attempt)
    else:
        # Creating once more in doubt is a choice; telling a customer "cancelled" in doubt would be a guess.
        _park(edit, attempt)
    return edit.done()


def resolve(delivery: Delivery, ref: str | None, rules: Rules, now: datetime) -> Change | None:
    """Take a person's ruling on a doubt: the order exists at the carrier under `ref`, or it does not (None)."""
    attempt = delivery.active
    if attempt is None or attempt.state != DeliveryStatus.SUBMIT_UNKNOWN:
        return None
    edit = _Edit(delivery, rules, now, Cause.OPERATOR)
    edit.set(retry_at=None, attention=None)
    attempt = edit.put(attempt, parked=False)
    if ref is None:
        _resubmit(edit, attempt)
    else:
        _observe(edit, attempt, Observation(DeliveryStatus.CREATED, Raw("operator", "exists"), ref=ref))
    return edit.done()


# --- ends -------------------------------------------------------------------------------------------------------------


def _end(edit: _Edit, attempt: Attempt, status: DeliveryStatus, **described: Any) -> None:
    """End an attempt and roll its end up to the delivery."""
    if status is DeliveryStatus.CANCELLED and attempt.cancel_asked_at is not None and edit.delivery.cancel is None:
        # We asked only because its courier had withdrawn and nobody else came (C-34).
        described = {**described, "cancelled_by": CancelledBy.COURIER}
    attempt = edit.put(
        attempt,
        state=status.value,
        ended_at=edit.now,
        changed_at=edit.now,
        reason=described.get("reason"),
        reason_text=described.get("reason_text"),
    )
    if status in {DeliveryStatus.DELIVERED, DeliveryStatus.RETURNED}:
        edit.set(attention=None)
        edit.enter(status, attempt, **described)
        return
    edit.tell(EventType.ATTEMPT_ENDED, attempt, **{name: described[name] for name in _ENDING & described.keys()})
    _roll_up(edit, attempt, status, described)


_ENDING = {"reason", "reason_text", "cancelled_by", "raw", "detail", "evidence"}


def _roll_up(edit: _Edit, attempt: Attempt, status: DeliveryStatus, described: dict[str, Any]) -> None:
    wish = edit.delivery.cancel
    if wish is not None and attempt.rank < GOODS_WITH_COURIER:
        by = {"cancelled_by": CancelledBy(wish["cancelled_by"])}
        edit.enter(DeliveryStatus.CANCELLED, attempt, **{**described, **by})
        return
    if described.get("cancelled_by") in {CancelledBy.MERCHANT, CancelledBy.CUSTOMER}:
        items = {"detail": "with_items"} if attempt.rank >= GOODS_WITH_COURIER else {}
        edit.enter(status, attempt, **{**described, **items})
        return
    if attempt.rank >= GOODS_WITH_COURIER:
        edit.enter(status, attempt, **{**described, "detail": "with_items"})
        edit.attend("goods_with_courier", attempt)
        return
    following = _next_carrier(edit.delivery, edit.rules)
    if following is not None:
        edit.set(carrier=following, courier=None, tracking_url=None, pickup_eta=None, dropoff_eta=None, price=None)
        edit.set(failures=0, retry_at=None)
        edit.enter(DeliveryStatus.QUEUED, detail="fallback")
        return
    edit.enter(status, attempt, **described)
    edit.tell(EventType.DISPATCH_FAILED, attempt)
