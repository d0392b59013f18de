"""The observations of one driver order from a reply or from a row of the day list.

A 201 alone confirms nothing, because it may be an offer of another time (D-20). The clock times of a row may be
estimates, may change and may disappear. A clock time shows a milestone only if the time has passed. From then on, the
milestone stays recorded (D-56, D-57).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from http import HTTPStatus
from itertools import islice
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from schemas.status import FINAL, GOODS_WITH_COURIER, CancelledBy, DeliveryStatus, Reason
from worker.carriers.deliverit import attempt_state as state
from worker.carriers.deliverit.errors import check_success, parse_answer, refusal, uncertain
from worker.carriers.deliverit.status import (
    ACCEPT_REFUSALS,
    ALREADY_ACCEPTED,
    CREATE_REFUSALS,
    CREATED,
    DENY_REFUSALS,
    MILESTONES,
    Progress,
    StatusRule,
    rule_for,
)
from worker.carriers.deliverit.times import (
    TOLERANCE,
    is_ambiguous,
    is_time,
    resolve_past_time,
    resolve_time,
    round_up_to_minute,
)
from worker.carriers.deliverit.wire import Link, RawAnswer, RawRow, Row, is_token, parse_link
from worker.carriers.port import AttemptView, Booked, Booking, Observation, Offer, Price, Raw
from worker.errors import Uncertain
from worker.http.call import Reply

MAX_ORDER_ID = 32
MAX_UNKNOWN_TEXT = 40
CURRENCY = "DKK"
"""The currency of all prices. It is assumed, because the document states none (D-24)."""

ZERO_DATE = "0000-"
"""The first characters of the date that MySQL writes for an empty value."""


@dataclass(frozen=True, slots=True)
class DriverOrderReader:
    """Reads the replies about one company's driver orders.

    If the cancel link is missing or has another host than `base_url`, the observation gets a note. While the company is
    unknown, no link can be verified, so every create that is not refused has an unknown outcome.
    """

    company: str | None
    zone: ZoneInfo
    base_url: str

    def read_create(self, booking: Booking, reply: Reply) -> Booked:
        """Read the reply to a create ("Send delivery request"). Raises Refused or Uncertain."""
        answer = parse_answer(reply)
        if reply.status == HTTPStatus.BAD_REQUEST and answer and answer.error:
            raise refusal(answer, CREATE_REFUSALS, booking.order)
        if reply.status != HTTPStatus.CREATED or answer is None or not answer.order_driver:  # D-22
            raise uncertain(reply)
        status = CREATED.get((bool(answer.push), answer.accept_url is not None))
        if status is None:
            raise Uncertain("push and acceptUrl contradict each other")  # D-21
        return self._read_offer(booking, answer) if answer.push else self._read_confirmed(booking, answer)

    def read_accept(self, attempt: AttemptView, reply: Reply) -> Observation:
        """Read the reply to an accept: 202 after the first accept, 200 after a repeated one (D-33).

        Raises Refused or Uncertain.
        """
        answer = parse_answer(reply)
        if reply.status == HTTPStatus.BAD_REQUEST:
            raise refusal(answer, ACCEPT_REFUSALS, attempt.order)
        if answer is None or not _is_accepted(reply, answer, attempt):
            raise uncertain(reply)
        link = self._link(answer.cancel_url, "cancel")
        token = link.token if link else None
        agreed = state.agreed_pickup(attempt)
        pickup = resolve_time(answer.time, agreed, self.zone) or agreed
        known = {state.AGREED_PICKUP: pickup.isoformat(), state.LISTED_PICKUP: pickup.isoformat()}
        return Observation(
            status=DeliveryStatus.CREATED,
            raw=Raw("accept", str(reply.status)),
            ref=token,
            codec_state=known | state.with_cancel_token(attempt, token),
            pickup_eta=pickup,
            dropoff_eta=self._arrival(answer, pickup),
            notes=link_notes(link, self.base_url, "cancel_link_missing"),
        )

    def read_deny(self, attempt: AttemptView, reply: Reply) -> Observation:
        """Read the reply to a deny. Raises Refused or Uncertain."""
        check_success(reply, DENY_REFUSALS, attempt.order)
        return Observation(status=DeliveryStatus.REJECTED, raw=Raw("deny", "200"), reason=Reason.TIME_DENIED)

    def _read_confirmed(self, booking: Booking, answer: RawAnswer) -> Booked:
        requested = round_up_to_minute(booking.pickup_at)
        pickup = resolve_time(answer.time, requested, self.zone) or requested
        cancel = self._link(answer.cancel_url, "cancel")
        if cancel is None:
            raise Uncertain("created, but the cancel link cannot be read")  # the day list finds it by our reference
        notes = ("pickup_time_changed",) if abs(pickup - requested) > TOLERANCE else ()  # D-21
        return Booked(self._observe_create(booking, answer, pickup, {"cancel": cancel}, notes))

    def _read_offer(self, booking: Booking, answer: RawAnswer) -> Booked:
        requested = round_up_to_minute(booking.pickup_at)
        offered = resolve_time(answer.time, requested, self.zone)
        urls = {"accept": answer.accept_url, "deny": answer.deny_url, "cancel": answer.cancel_url}
        links = {action: link for action, url in urls.items() if (link := self._link(url, action))}
        if offered is None or "accept" not in links:
            raise Uncertain("an offer whose time or accept link cannot be read")
        return Booked(self._observe_create(booking, answer, offered, links), Offer(requested, offered))

    def _observe_create(
        self,
        booking: Booking,
        answer: RawAnswer,
        pickup: datetime,
        links: Mapping[str, Link],
        notes: tuple[str, ...] = (),
    ) -> Observation:
        cancel = links.get("cancel")
        tokens = {state.TOKENS[action]: link.token for action, link in links.items()}
        ambiguous = ("pickup_time_ambiguous",) if is_ambiguous(booking.pickup_at, self.zone) else ()  # D-14
        price = answer.delivery_price
        return Observation(
            status=DeliveryStatus.AWAITING_CONFIRMATION if answer.push else DeliveryStatus.CREATED,
            raw=Raw("create", "push" if answer.push else "created"),
            ref=cancel.token if cancel else state.placeholder_ref(booking.reference),
            codec_state={**tokens, state.AGREED_PICKUP: pickup.isoformat(), **_order_id_and_price(answer)},
            pickup_eta=pickup,
            dropoff_eta=self._arrival(answer, pickup),
            price=Price(price, CURRENCY, "excluded") if price is not None else None,
            notes=(*notes, *ambiguous, *link_notes(cancel, self.base_url, "cancel_link_missing")),
        )

    def _link(self, url: str | None, action: str) -> Link | None:
        return parse_link(url, action, self.company)

    def _arrival(self, answer: RawAnswer, pickup: datetime) -> datetime | None:
        """Return the arrival at the customer as the instant nearest to the pickup.

        Return None if that instant is before the pickup, or if the answer has no arrival (D-26).
        """
        arrival = resolve_time(answer.arrive_at_customer, pickup, self.zone)
        return arrival if arrival and arrival >= pickup else None


def link_notes(link: Link | None, base_url: str, missing: str) -> tuple[str, ...]:
    """Return the notes on a link (D-01).

    The note is `missing` if there is no link, and `link_host_differs` if the link's host is not the account's.
    """
    if link is None:
        return (missing,)
    return ("link_host_differs",) if link.host != urlsplit(base_url).hostname else ()


def _is_accepted(reply: Reply, answer: RawAnswer, attempt: AttemptView) -> bool:
    if reply.status == HTTPStatus.ACCEPTED:
        return answer.order_driver is True
    # an accept of an order that was never offered also gets this 200, so it counts only while an offer is open (D-33)
    repeated = ALREADY_ACCEPTED in (answer.message or "").lower()
    return reply.status == HTTPStatus.OK and repeated and state.ACCEPT_TOKEN in attempt.codec_state


def _order_id_and_price(answer: RawAnswer) -> dict[str, str]:
    known = {
        state.ORDER_ID: answer.order_id[:MAX_ORDER_ID] if answer.order_id else None,
        state.PRICE: str(answer.delivery_price) if answer.delivery_price is not None else None,
    }
    return {key: value for key, value in known.items() if value}


@dataclass(frozen=True, slots=True)
class RowTimes:
    """The times of a day-list row as instants."""

    pickup: datetime
    listed_pickup: datetime | None
    happened: Mapping[str, datetime]
    """The milestones that have passed according to this row or an earlier read."""
    expected: Mapping[str, datetime]
    """The milestones that are still estimates."""
    reverted: bool
    """Whether the row no longer shows a recorded milestone as passed."""


def observe_row(attempt: AttemptView, row: Row, day: str, now: datetime, zone: ZoneInfo) -> tuple[Observation, ...]:
    """Return the observations of a driver order's row ("Get orders period"): any unmapped text, then the status."""
    content = row.content
    times = _resolve_times(attempt, content, now, zone)
    cancelled_at = _cancelled_at(content, now, zone)
    cancelled = content.cancel is True or cancelled_at is not None
    rule = rule_for(Progress(cancelled=cancelled, **{name: name in times.happened for name in MILESTONES}))
    occurred_at = times.happened[rule.milestone] if rule.milestone else cancelled_at
    ended = rule.status is DeliveryStatus.CANCELLED
    observation = Observation(
        status=rule.status,
        raw=Raw("row", rule.code),
        evidence=rule.evidence,
        occurred_at=occurred_at or (None if ended else row.created_at),
        occurred_at_assumed_zone=zone.key if occurred_at else None,
        detail="with_items" if ended and _has_goods(attempt, times) else None,
        cancelled_by=_cancelled_by(attempt) if ended else None,
        ref=attempt.ref if is_token(attempt.ref) else row.cancel_token or state.placeholder_ref(attempt.reference),
        codec_state=_codec_state(attempt, row, times, day),
        pickup_eta=_pickup_eta(times, rule),
        dropoff_eta=None if rule.status in FINAL else times.expected.get("arrive_at_customer"),
        price=_changed_price(attempt, content),
        notes=(*rule.notes, *_row_notes(attempt, row, times, contradictory=cancelled and not ended)),
    )
    return (*_unknown_text(content, cancelled=cancelled), observation)


def _resolve_times(attempt: AttemptView, content: RawRow, now: datetime, zone: ZoneInfo) -> RowTimes:
    listed_pickup = resolve_time(content.pickup_time, state.agreed_pickup(attempt), zone)
    pickup = listed_pickup or state.latest_pickup(attempt)
    shown = _resolve_in_order(content, pickup, zone)
    passed = {name: instant for name, instant in shown.items() if instant <= now + TOLERANCE}
    recorded = state.recorded_milestones(attempt)
    return RowTimes(
        pickup=pickup,
        listed_pickup=listed_pickup,
        happened=recorded | passed,
        expected={name: instant for name, instant in shown.items() if name not in passed},
        reverted=bool(recorded.keys() - passed.keys()),
    )


def _resolve_in_order(content: RawRow, pickup: datetime, zone: ZoneInfo) -> dict[str, datetime]:
    """Return the instant of each milestone that has a time. The trip may cross midnight.

    The first clock time means the instant nearest to the pickup. Each later clock time means the instant nearest to the
    milestone before it.
    """
    shown, anchor = {}, pickup
    for name, text in content.milestones.items():
        instant = resolve_time(text, anchor, zone)
        if instant is not None:
            shown[name] = anchor = instant
    return shown


def _cancelled_at(content: RawRow, now: datetime, zone: ZoneInfo) -> datetime | None:
    instant = resolve_past_time(content.canceled_at, now, zone)  # D-59
    return instant if instant and instant <= now + TOLERANCE else None


def _cancelled_by(attempt: AttemptView) -> CancelledBy:
    return CancelledBy.MERCHANT if attempt.cancel_requested else CancelledBy.UNKNOWN


def _has_goods(attempt: AttemptView, times: RowTimes) -> bool:
    return attempt.rank >= GOODS_WITH_COURIER or not times.happened.keys().isdisjoint(
        {"driver_left", "arrive_at_customer"}
    )


def _pickup_eta(times: RowTimes, rule: StatusRule) -> datetime | None:
    return times.expected.get("driver_arrive", times.pickup) if rule.status is DeliveryStatus.CREATED else None


def _changed_price(attempt: AttemptView, content: RawRow) -> Price | None:
    """Return the row's price if it differs from the last known price, else None.

    The price from the create is known to exclude VAT. A row does not say whether its price includes VAT, so an
    unchanged price in a row does not replace the price from the create (D-24).
    """
    known = attempt.codec_state.get(state.PRICE)
    if content.delivery_price is None or (known and Decimal(known) == content.delivery_price):
        return None
    return Price(content.delivery_price, CURRENCY)


def _codec_state(attempt: AttemptView, row: Row, times: RowTimes, day: str) -> dict[str, str]:
    """Return the state that the next read needs (D-51, D-52, D-57)."""
    known = {name: instant.isoformat() for name, instant in times.happened.items()}
    known[state.LISTED_ON] = day
    if row.fingerprint:
        known[state.FINGERPRINT] = row.fingerprint
    if times.listed_pickup:
        known[state.LISTED_PICKUP] = times.listed_pickup.isoformat()
    if row.content.delivery_price is not None:
        known[state.PRICE] = str(row.content.delivery_price)
    return known | state.with_cancel_token(attempt, row.cancel_token)


def _row_notes(attempt: AttemptView, row: Row, times: RowTimes, *, contradictory: bool) -> tuple[str, ...]:
    listed, tokens = times.listed_pickup, state.cancel_tokens(attempt)
    moved = listed is not None and abs(listed - state.agreed_pickup(attempt)) > TOLERANCE
    notes = {
        "cancelled_but_done": contradictory,
        "time_reverted": times.reverted,
        "pickup_time_changed": moved and listed != state.latest_pickup(attempt),
        "token_changed": bool(tokens) and row.cancel_token not in (None, *tokens),
    }
    return tuple(note for note, applies in notes.items() if applies)


def _unknown_text(content: RawRow, *, cancelled: bool) -> tuple[Observation, ...]:
    """Return an unmapped status for an unexpected text in a field for a time or a flag.

    If several fields have such a text, only the first text is reported. Two unmapped statuses in every read would look
    like a change at every read.
    """
    texts = {MILESTONES[name]: text for name, text in content.milestones.items()}
    if not cancelled and not (content.canceled_at or "").startswith(ZERO_DATE):
        texts["canceled_at"] = content.canceled_at
    unknown = {key: text for key, text in texts.items() if text and not is_time(text)}
    if content.cancel is None and content.cancel_text:
        unknown["cancel"] = content.cancel_text
    codes = (Raw("row", f"{key}={text[:MAX_UNKNOWN_TEXT]}") for key, text in unknown.items())
    return tuple(Observation(status=None, raw=code) for code in islice(codes, 1))
