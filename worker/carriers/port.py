"""What every carrier must provide, and the data that it exchanges with the rest of the worker.

A carrier is a codec: it turns an order into a request, and a reply into observations. It never uses the network, the
clock, the log or the environment; everything it needs is an argument.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import ClassVar, Literal, Protocol

from schemas.order import Order
from schemas.status import CancelledBy, DeliveryStatus, Evidence, Reason
from schemas.stores import Store
from worker.carriers.account import CarrierAccount
from worker.http.call import Call, Operation, Reply

REFERENCE_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""The digits of Crockford's base 32, which leaves out I, L, O and U."""
REFERENCE_LENGTH = 11


def reference_of(attempt_id: int) -> str:
    """Return an attempt's id as a reference: eleven characters of Crockford's base 32."""
    return "".join(REFERENCE_DIGITS[(attempt_id >> shift) & 31] for shift in range(50, -5, -5))


def attempt_id_of(reference: str) -> int | None:
    """Return the id of the attempt that a reference belongs to; None when the text is no reference."""
    if len(reference) != REFERENCE_LENGTH or any(letter not in REFERENCE_DIGITS for letter in reference):
        return None
    value = 0
    for letter in reference:
        value = value * 32 + REFERENCE_DIGITS.index(letter)
    return value


@dataclass(frozen=True, slots=True)
class Booking:
    """Everything that is sent to a carrier about one attempt."""

    attempt_id: int
    """A random positive integer below 2**53, unique for ever."""
    attempt_number: int
    """1 for the first attempt of a delivery."""
    order: Order
    store: Store
    pickup_at: datetime
    """When the courier should be at the store."""
    deliver_at: datetime | None = None
    """When the customer wants the order; None for as soon as possible."""
    callback_url: str | None = None
    resubmitted: bool = False
    """The same create was sent before, with an unknown outcome."""

    @property
    def reference(self) -> str:
        """The attempt's id for carriers that take text."""
        return reference_of(self.attempt_id)


@dataclass(frozen=True, slots=True)
class AttemptView:
    """The part of an attempt that a codec may see."""

    id: int
    number: int
    carrier: str
    """The name of the account."""
    state: str
    """A delivery status, or "submitting" while the create is under way."""
    order: Order
    store: Store
    pickup_at: datetime
    submitted_at: datetime
    ref: str | None = None
    """The carrier's id of the order; None while it is not known."""
    codec_state: Mapping[str, str] = field(default_factory=dict)
    """What the codec stores about this attempt; only the codec reads it."""
    rank: int = 0
    """The highest rank (`schemas.status.RANK`) that this attempt has reached since it was created or reopened."""
    cancel_requested: bool = False
    """Whether we have asked the carrier for a cancel."""

    @property
    def reference(self) -> str:
        """The attempt's id for carriers that take text."""
        return reference_of(self.id)


@dataclass(frozen=True, slots=True)
class Raw:
    """The carrier's own status, kept beside ours."""

    entity: str
    """The carrier's object that has the status, such as "order" or "delivery"."""
    code: str
    text: str | None = None
    """The carrier's free text, without the customer's data."""


@dataclass(frozen=True, slots=True)
class Courier:
    """The courier, as far as the carrier describes them."""

    name: str | None = None
    phone: str | None = None
    phone_guessed: bool = False
    """Whether the phone's country code is an assumption of ours."""
    latitude: float | None = None
    longitude: float | None = None


@dataclass(frozen=True, slots=True)
class Price:
    """What the delivery costs."""

    amount: Decimal
    currency: str
    vat: Literal["included", "excluded", "unknown"] = "unknown"


@dataclass(frozen=True, slots=True)
class Proof:
    """Proof of delivery: who received the order, and the pictures."""

    recipient_name: str | None = None
    recipient_position: str | None = None
    place_photo_url: str | None = None
    sign_photo_url: str | None = None


@dataclass(frozen=True)
class Observation:
    """What one reply or callback reports about one attempt. None means "not reported", never "no longer there"."""

    status: DeliveryStatus | None
    """Our status; None when the carrier reported no status, or one that the codec's tables do not contain."""
    raw: Raw | None
    """The carrier's own status; None when the carrier reported no status."""
    evidence: Evidence = Evidence.OBSERVED
    carrier_time: datetime | None = None
    """The carrier's own time of the report, in UTC. Callbacks are ordered by this time."""
    occurred_at: datetime | None = None
    """The time of the event itself, in UTC. It is published."""
    occurred_at_assumed_zone: str | None = None
    """The zone that was assumed for `occurred_at`; None when no zone had to be assumed."""
    detail: str | None = None
    reason: Reason | None = None
    reason_text: str | None = None
    cancelled_by: CancelledBy | None = None
    ref: str | None = None
    """The carrier's id of the order."""
    codec_state: Mapping[str, str] = field(default_factory=dict)
    """Entries to merge into the attempt's `codec_state`."""
    courier: Courier | None = None
    tracking_url: str | None = None
    pickup_eta: datetime | None = None
    dropoff_eta: datetime | None = None
    price: Price | None = None
    proof: Proof | None = None
    reopens: bool = False
    """Whether the carrier has revived an ended order."""
    notes: tuple[str, ...] = ()
    """Diagnostics for the log, in snake_case."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A pickup time that the carrier offers instead of the requested one, to be accepted or denied."""

    requested: datetime
    """The requested pickup time."""
    offered: datetime


@dataclass(frozen=True, slots=True)
class Booked:
    """A create that succeeded."""

    observation: Observation
    """The first observation, with the status `created` or `awaiting_confirmation`."""
    offer: Offer | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """The content of a reply to `track` or `find`, by attempt id."""

    observations: Mapping[int, tuple[Observation, ...]] = field(default_factory=dict)
    """The observations of each attempt, oldest first."""
    absent: frozenset[int] = frozenset()
    """The ids of the attempts for which a `find` call has certainly found no order.

    Empty before the last page of the call, and for a `track` call. If several calls look up an attempt, its order is
    absent only if each of these calls reports the attempt here.
    """
    next_page: Call | None = None
    """The request for the next page; None on the last page."""
    duplicates: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """The carrier's ids of further orders with an attempt's reference; each of them is a surplus courier."""


@dataclass(frozen=True, slots=True)
class Callback:
    """A callback as it arrived."""

    method: str
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The headers by lower-case name."""
    query: str = field(default="", repr=False)
    token: str | None = field(default=None, repr=False)
    """The last part of the path; None when the path does not end in a token."""


@dataclass(frozen=True, slots=True)
class CallbackKey:
    """What identifies the attempt of a callback, and the time by which the attempt's callbacks are ordered."""

    ref: str | None = None
    """The carrier's id of the order."""
    attempt_id: int | None = None
    """The attempt's id, from our reference."""
    token: str | None = None
    """The token of the callback's path."""
    reported_at: datetime | None = None
    """The carrier's own time of the callback, in UTC.

    The callbacks of an attempt are applied in the order of this time; callbacks without a time come first.
    """
    entity: str | None = None
    """The kind of the carrier's object that the callback is about; one of `Capabilities.callback_entities`."""


@dataclass(frozen=True, slots=True)
class Cadence:
    """The intervals between two reads, in seconds at the default `poll_interval`."""

    fresh: float
    """The interval while no courier is assigned, and for every order in the first ten minutes after its create."""
    moving: float
    """The interval once a courier is assigned."""
    ahead: float
    """While the pickup is more than an hour away, this interval replaces all others."""
    ceiling: float
    """The longest interval. Once a status has not changed for an hour, the intervals grow up to this one."""
    without_callbacks: float | None = None
    """The interval once a courier is assigned and nothing has changed for ten minutes.

    After this time, a callback may have been lost. None if the account has no callbacks, or is read as often as without
    them. Then `moving` remains the interval.
    """
    aligned: bool = False
    """Whether one request covers many orders. If so, the reads of an account's orders are due at the same times."""

    @property
    def shortest(self) -> float:
        """The shortest interval, and the default of `poll_interval`.

        Every interval is multiplied by `poll_interval` divided by this default.
        """
        return min(self.fresh, self.moving, self.without_callbacks or self.fresh)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a carrier can do."""

    find: bool
    """Whether an order can be looked up by our reference."""
    cadence: Cadence
    track_batch: int
    """The most attempts that one `track` task may read."""
    max_creates: int = 1
    """The most creates for one delivery at this carrier.

    After an unknown outcome, a second create needs proof that the first one created no order.
    """
    resubmits: bool = False
    """Whether a create with an unknown outcome is sent once more with the same reference.

    This needs a carrier that accepts each reference only once.
    """
    withdrawal_grace: float | None = None
    """Seconds to wait for another courier after a courier has withdrawn. After this time the order is cancelled.

    None where the carrier itself reports that no other courier will come.
    """
    max_shift: int = 0
    """Minutes by which an offered pickup time may differ from the requested one. A larger shift needs an operator."""
    callbacks: Literal["signed", "token", "none"] = "none"
    """How a callback is authenticated; "none" for a carrier without callbacks."""
    callback_entities: tuple[str, ...] = ()
    """The kinds of objects, such as "order" and "delivery", whose callbacks the carrier enables separately."""
    max_body: int = 5_000_000
    """The most bytes that a reply may have."""
    amends: bool = False
    """Whether a change of the order can be sent to the carrier. If so, the codec implements `Amends`."""
    offers: bool = False
    """Whether the carrier may offer another pickup time, which is then accepted or denied."""
    offer_wait: float = 180
    """Seconds that an offer waits for an operator before it is denied."""

    @property
    def operations(self) -> tuple[Operation, ...]:
        """The operations for an attempt that the carrier has."""
        optional = {Operation.FIND: self.find, Operation.CONFIRM: self.offers, Operation.AMEND: self.amends}
        return (Operation.CREATE, Operation.READ, Operation.CANCEL, *(each for each, able in optional.items() if able))


class Carrier(Protocol):
    """One account at one carrier.

    Every `read_*` raises `Unavailable`, `Uncertain`, `Refused` or `Unreadable` as worker.errors defines them. The
    answer to a create is `Uncertain` unless it proves that the create succeeded or that it had no effect.
    """

    kind: ClassVar[str]
    """The carrier's name in settings and in `KINDS`."""
    account_type: ClassVar[type[CarrierAccount]]
    account: CarrierAccount
    capabilities: Capabilities
    needs_login: bool
    """Whether a log-in must return facts before any other call."""

    def __init__(self, account: CarrierAccount, facts: Mapping[str, str]) -> None:
        """Bind the codec to an account and to the facts that a probe has read."""

    def check_order(self, booking: Booking, now: datetime) -> None:
        """Raise Refused, naming the field, when `book` would refuse this order; build no request."""

    def book(self, booking: Booking, now: datetime) -> Call:
        """Build the create. Raises Refused when the order lacks data or the carrier cannot deliver it."""

    def read_booking(self, booking: Booking, reply: Reply, now: datetime) -> Booked:
        """Return what the answer to a create shows.

        If the create is `resubmitted`, Refused with `Reason.DUPLICATE` proves that the earlier create succeeded.
        """

    def track(self, attempts: Sequence[AttemptView], now: datetime) -> list[Call]:
        """Build the fewest requests that cover these attempts.

        An attempt without a `ref` is left out, unless its order can be recognised in a reply without a `ref`.
        """

    def find(self, attempts: Sequence[AttemptView], now: datetime) -> list[Call]:
        """Build the look-up of attempts by our reference; return an empty list where the carrier has no look-up.

        A repeated look-up has no further effect. Where the carrier accepts each reference only once, the look-up may
        be the create, sent again.
        """

    def read(self, call: Call, reply: Reply, attempts: Sequence[AttemptView], now: datetime) -> Reading:
        """Return what the answer to a `track` or `find` shows of these attempts. Raises Unavailable or Unreadable."""

    def confirm(self, attempt: AttemptView, *, accept: bool) -> Call:
        """Build the answer to the carrier's offer. Raises Refused when there is no offer."""

    def read_confirmation(self, reply: Reply, attempt: AttemptView, *, accept: bool, now: datetime) -> Observation:
        """Return an observation with the status `created` or `rejected`.

        Raises Refused when only a look-up can find the status.
        """

    def cancel(self, attempt: AttemptView, now: datetime, *, allow_paid: bool) -> Call:
        """Build the cancel; `allow_paid` permits a cancel that costs money.

        Raises Refused after a documented cut-off.
        """

    def read_cancel(self, reply: Reply, attempt: AttemptView) -> Observation | None:
        """Check that the carrier accepted the cancel. Raises Refused when it did not.

        Usually, a later read confirms the cancel, and the result is None. Where no read will show the cancel, return an
        observation.
        """

    def authenticate(self, callback: Callback) -> None:
        """Raise Forged unless the carrier sent this callback.

        If a token in the path authenticates callbacks, this checks only that there is a token. The caller then searches
        the database for the token.
        """

    def callback_key(self, callback: Callback) -> CallbackKey:
        """Return what identifies the attempt of an authentic callback. Raises Unreadable for a malformed one."""

    def read_callback(self, callback: Callback, attempt: AttemptView, now: datetime) -> tuple[Observation, ...]:
        """Return the observations of a callback. If none of them has a status, the callback only prompts a read."""

    def meanings(self, raw: Raw) -> frozenset[DeliveryStatus | None]:
        """Return every status that the codec's tables may give a carrier's status, depending on the attempt.

        None among them means that it may have no status. That an order exists (`created`) may be left out.
        """

    def probe(self) -> Call:
        """Build a harmless call, to check whether the carrier answers and, if possible, accepts the credentials."""

    def read_probe(self, reply: Reply) -> dict[str, str]:
        """Return facts about the account from the probe's answer. Raises Refused, Unavailable or Unreadable."""
