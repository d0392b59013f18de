"""What every carrier must be able to say, and the words it is said in.

A carrier is a codec: it turns our words into a described request and a reply into observations. It never touches
the network, the clock, the log or the environment; everything it needs comes in as an argument.
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
from worker.http.call import Call, Reply


@dataclass(frozen=True, slots=True)
class Booking:
    """All that a carrier is told about one attempt.

    `attempt_id` is a random positive integer below 2**53, unique for ever; `tag` is the same in eleven letters and
    digits for carriers that take text. `pickup_at` is when the courier should be at the store; `deliver_at` is None
    for "as soon as possible".
    """

    attempt_id: int
    attempt_number: int
    order: Order
    store: Store
    pickup_at: datetime
    deliver_at: datetime | None = None
    callback_url: str | None = None

    @property
    def reference(self) -> str:
        """Our reference in text form."""
        return reference_of(self.attempt_id)


REFERENCE_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: no letter that is mistaken for a digit when it is read out on the telephone."""


def reference_of(attempt_id: int) -> str:
    """Write an attempt's id as eleven characters of Crockford's base 32."""
    return "".join(REFERENCE_DIGITS[(attempt_id >> shift) & 31] for shift in range(50, -5, -5))


def attempt_id_of(tag: str) -> int | None:
    """Read a tag back; None when it is not one."""
    if len(tag) != 11 or any(letter not in REFERENCE_DIGITS for letter in tag):  # noqa: PLR2004 - the length of a tag
        return None
    value = 0
    for letter in tag:
        value = value * 32 + REFERENCE_DIGITS.index(letter)
    return value


@dataclass(frozen=True, slots=True)
class AttemptView:
    """What the engine knows of one carrier order, as far as a codec may see it.

    `state` is a status, or "submitting" while the create is in flight. `ref` is the carrier's id. `refs` is the
    codec's own memory of this attempt (tokens, point ids, fingerprints, "seen" marks): the engine stores and merges
    it and never reads it. `rank` is the highest rank reached. `cancelling` is true once we have asked for a cancel.
    """

    id: int
    number: int
    carrier: str
    state: str
    order: Order
    store: Store
    pickup_at: datetime
    submitted_at: datetime
    ref: str | None = None
    codec_state: Mapping[str, str] = field(default_factory=dict)
    rank: int = 0
    cancel_requested: bool = False

    @property
    def reference(self) -> str:
        """Our reference in text form."""
        return reference_of(self.id)


@dataclass(frozen=True, slots=True)
class Raw:
    """The carrier's own word, kept beside ours: which entity it was said of, the word, and its free text."""

    entity: str
    code: str
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Courier:
    """Who brings it, as far as the carrier says. `phone_guessed` marks a country code that we had to assume."""

    name: str | None = None
    phone: str | None = None
    phone_guessed: bool = False
    latitude: float | None = None
    longitude: float | None = None


@dataclass(frozen=True, slots=True)
class Price:
    """What the delivery costs. `vat` says whether the amount includes it."""

    amount: Decimal
    currency: str
    vat: Literal["included", "excluded", "unknown"] = "unknown"


@dataclass(frozen=True, slots=True)
class Proof:
    """Proof of delivery: who took it and the pictures."""

    recipient_name: str | None = None
    recipient_position: str | None = None
    place_photo_url: str | None = None
    sign_photo_url: str | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """What one look at the carrier told us about one attempt.

    `status` is None when the carrier said nothing we have a word for: `raw` keeps its word, and is None when it said
    no word at all. `stamp` is the carrier's own time of the news, for ordering; `occurred_at` the same as a fact to
    publish, None when it did not say, with the zone that had to be assumed. `refs` is merged into the attempt's memory.
    `notes` are diagnostics for the log, snake_case words. None in a descriptive field
    means "not said", never "gone".
    """

    status: DeliveryStatus | None
    raw: Raw | None
    evidence: Evidence = Evidence.OBSERVED
    carrier_time: datetime | None = None
    occurred_at: datetime | None = None
    occurred_at_assumed_zone: str | None = None
    detail: str | None = None
    reason: Reason | None = None
    reason_text: str | None = None
    cancelled_by: CancelledBy | None = None
    ref: str | None = None
    codec_state: Mapping[str, str] = field(default_factory=dict)
    courier: Courier | None = None
    tracking_url: str | None = None
    pickup_eta: datetime | None = None
    dropoff_eta: datetime | None = None
    price: Price | None = None
    proof: Proof | None = None
    reopens: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Offer:
    """A pickup time that the carrier offers instead of the one asked for; somebody must accept or deny it."""

    asked: datetime
    offered: datetime


@dataclass(frozen=True, slots=True)
class Booked:
    """A create that succeeded: the first observation (status `created` or `awaiting_confirmation`) and the offer."""

    observation: Observation
    offer: Offer | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reply to `track` or `find` says, attempt by attempt.

    `seen` holds the observations, oldest first. `absent` holds the attempts of a `find` that are certainly not in the
    range the request asked for. `more` is the next page to ask for; then `absent` is only said of the last page.
    `extras` names further carrier orders that carry the same tag as an attempt (a duplicate courier).
    """

    observations: Mapping[int, tuple[Observation, ...]] = field(default_factory=dict)
    absent: frozenset[int] = frozenset()
    next_page: Call | None = None
    duplicates: Mapping[int, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Callback:
    """A callback as it came in: header names are lower-case, `token` is the last part of the path, if any."""

    method: str
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: str = field(default="", repr=False)
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class CallbackKey:
    """How to find the attempt a callback is about: the carrier's id, our tag's attempt id, or the path's token."""

    ref: str | None = None
    attempt_id: int | None = None
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Cadence:
    """How often to look, in seconds at the default `poll_interval` (which is the shortest of them).

    `fresh`: no courier yet, or younger than ten minutes. `moving`: a courier has it. `ahead`: the pickup is more than
    an hour away. `ceiling`: what an unchanged delivery slows down to. `unheard`: a courier has it and callbacks, on
    which this cadence relies, have brought nothing for ten minutes. `together`: one request covers many, so the due
    times of an account are aligned.
    """

    fresh: float
    moving: float
    ahead: float
    ceiling: float
    unheard: float | None = None
    together: bool = False

    @property
    def shortest(self) -> float:
        """The shortest interval, to which `poll_interval` is the measure."""
        return min(self.fresh, self.moving, self.unheard or self.fresh)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a carrier can do, for the engine's choices.

    `find`: an order can be looked up by our reference. `cadence`: how often to look when nothing is heard.
    `track_batch`: how many attempts one `track` task may cover. `max_creates`: how many creates one delivery may cost
    here after proof of absence. `withdrawal_grace`: seconds after which a withdrawn courier counts as gone for good,
    None when the carrier itself says so. `max_shift`: minutes that an offered time may differ and still be accepted
    without asking. `callbacks`: what proves that one is the carrier's own, "none" where none are sent.
    `max_body`: the most bytes that a reply may have. `amends`: a change of the order can be carried to it (`Amends`).
    `offer_wait`: seconds that an offer is left to a person before it is denied.
    """

    find: bool
    cadence: Cadence
    track_batch: int
    max_creates: int = 1
    withdrawal_grace: float | None = None
    max_shift: int = 0
    callbacks: Literal["signed", "token", "none"] = "none"
    max_body: int = 5_000_000
    amends: bool = False
    offer_wait: float = 180


class Carrier(Protocol):
    """One account at one carrier.

    Every `read_*` raises `Unavailable`, `Uncertain`, `Refused` or `Unreadable` as worker.errors
    defines them; for a create, whatever is not a documented success or a documented refusal is `Uncertain`.
    """

    kind: ClassVar[str]
    account_type: ClassVar[type[CarrierAccount]]
    account: CarrierAccount
    capabilities: Capabilities
    needs_login: bool
    """Whether the probe's facts are needed before any other call."""

    def __init__(self, account: CarrierAccount, facts: Mapping[str, str]) -> None:
        """Bind the codec to an account and to what a probe once told about it."""

    def check_order(self, booking: Booking, now: datetime) -> None:
        """Raise Refused, naming the field, when `book` would refuse this order; build no request."""

    def book(self, booking: Booking, now: datetime) -> Call:
        """Describe the create. Raises Refused when the carrier cannot be asked (missing or impossible data)."""

    def read_booking(self, booking: Booking, reply: Reply, now: datetime) -> Booked:
        """Read the answer to a create."""

    def track(self, attempts: Sequence[AttemptView], now: datetime) -> list[Call]:
        """Describe the fewest requests that cover these attempts; those without a `ref` are left out."""

    def find(self, attempts: Sequence[AttemptView], now: datetime) -> list[Call]:
        """Describe the look-up of attempts by our reference; empty where the carrier has none.

        It may be sent as often as one likes: at a carrier that takes our reference only once it may be the create.
        """

    def read(self, call: Call, reply: Reply, attempts: Sequence[AttemptView], now: datetime) -> Reading:
        """Read the answer to a `track` or `find` call about these attempts. Raises Unavailable or Unreadable."""

    def confirm(self, attempt: AttemptView, *, accept: bool) -> Call:
        """Describe accepting or denying what the carrier offers."""

    def read_confirmation(self, reply: Reply, attempt: AttemptView, *, accept: bool, now: datetime) -> Observation:
        """Read the answer: `created` or `rejected`. Refused means that only a look-up can tell."""

    def cancel(self, attempt: AttemptView, now: datetime, *, allow_paid: bool) -> Call:
        """Describe the cancel. Raises Refused past a documented cut-off; `allow_paid` opens a charged window."""

    def read_cancel(self, reply: Reply, attempt: AttemptView) -> Observation | None:
        """Return when the carrier took the cancel (which a read must still confirm); Refused when it did not.

        An observation only where no read will ever show it, so that this answer is the carrier's last word.
        """

    def authenticate(self, callback: Callback) -> None:
        """Raise Forged unless the carrier sent this callback. A token in the path is checked by the store."""

    def callback_key(self, callback: Callback) -> CallbackKey:
        """Tell which attempt an authentic callback is about. Raises Unreadable."""

    def read_callback(self, callback: Callback, attempt: AttemptView, now: datetime) -> tuple[Observation, ...]:
        """Read a callback; empty, or without any word, when it is only a hint that a read is due."""

    def probe(self) -> Call:
        """Describe a harmless call that proves that the carrier answers and, as far as one can, the credentials."""

    def read_probe(self, reply: Reply) -> dict[str, str]:
        """Read the probe's answer into facts about the account; Refused, Unavailable or Unreadable when it fails."""
