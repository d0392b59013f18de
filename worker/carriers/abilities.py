"""The optional abilities of a carrier, such as to take changes, to quote prices or to list its orders.

A codec has an ability if it has all methods of its protocol.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol, runtime_checkable

from schemas.status import Reason
from worker.carriers.comparison import Comparison
from worker.carriers.port import AttemptView, Booking, Courier, Observation, Price
from worker.http.call import Call, Reply


@dataclass(frozen=True, slots=True)
class Quote:
    """What a delivery would cost, and whether the carrier would accept it."""

    price: Price | None
    orderable: bool = True
    why: tuple[str, ...] = ()
    """The carrier's own codes or texts for its refusal; empty if the carrier would accept the order."""
    reason: Reason = Reason.VALIDATION
    """Our `Reason` for the carrier's refusal; without meaning if `orderable` is true."""


@dataclass(frozen=True, slots=True)
class Label:
    """One label to print."""

    media_type: str
    content: bytes = field(repr=False)
    """The content of the label's file."""
    point: str = ""
    """The carrier's id of the address that the label is for."""


@dataclass(frozen=True, slots=True)
class ListedOrder:
    """An order in a carrier's list, compared with an attempt. It contains no data of a customer."""

    ref: str | None
    """The carrier's id of the order; None when the list does not show it."""
    status: str
    """The carrier's own status; ours if the carrier has none."""
    created_at: datetime | None
    pickup_at: datetime | None
    price: Price | None
    attempt_ids: frozenset[int]
    """The ids of the attempts whose references the order carries."""
    phone: Comparison
    """The customer's phone number."""
    address: Comparison
    """The customer's address."""
    pickup_address: Comparison = Comparison.NOT_SHOWN


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of a carrier's list of orders."""

    orders: tuple[ListedOrder, ...]
    complete: bool
    """Whether the list ends with this page, shows every order since the create, and has no unreadable order."""
    next_page: Call | None = None
    """The request for the next page; None on the last page."""


@runtime_checkable
class Amends(Protocol):
    """A carrier whose orders can be amended. If an amendment needs the current order, the order is read first."""

    def before_amend(self, attempt: AttemptView, now: datetime) -> Call | None:
        """Build the read of the current order; None when the amendment needs no read."""

    def amend(self, attempt: AttemptView, current: Reply | None, now: datetime) -> Call | None:
        """Build the call that makes the carrier's order match `attempt.order`; None when nothing differs.

        Raises Refused when the order can no longer be changed. The call may be repeated without further effect.
        """

    def read_amended(self, attempt: AttemptView, reply: Reply, now: datetime) -> Observation | None:
        """Return what the answer shows of the order; None when it does not show the order.

        Raises Refused when it is too late for a change.
        """


@runtime_checkable
class Quotes(Protocol):
    """A carrier that quotes a price before an order is created."""

    quotes_first: bool
    """Whether a price is requested before every create.

    If the answer shows that the carrier would refuse the order, no create is sent.
    """

    def quote(self, booking: Booking, now: datetime) -> Call:
        """Build the request for a price, which creates nothing. Raises Refused if the order cannot be delivered."""

    def read_quote(self, reply: Reply, now: datetime) -> Quote:
        """Return the price, and whether the carrier would accept the order."""


@runtime_checkable
class Labels(Protocol):
    """A carrier that has labels to print."""

    def labels(self, attempt: AttemptView, media: Literal["pdf", "zpl"]) -> Call:
        """Build the request for the labels. Raises Refused while the carrier's id of the order is not known."""

    def read_labels(self, reply: Reply, attempt: AttemptView) -> tuple[Label, ...]:
        """Return the labels, one for each point that has a label."""


@runtime_checkable
class LocatesCourier(Protocol):
    """A carrier that reports the courier's position."""

    def locate(self, attempt: AttemptView) -> Call:
        """Build the request for the position. Raises Refused while the carrier's id of the order is not known."""

    def read_location(self, reply: Reply, attempt: AttemptView) -> Courier | None:
        """Return where the courier is; None while no courier is on the way."""


@runtime_checkable
class NamesOrders(Protocol):
    """A carrier whose own screen shows orders under names that we have sent."""

    def sent_names(self, attempt: AttemptView) -> Mapping[str, str]:
        """Return what an operator can search for on the carrier's screen, by the carrier's name of the field."""


@runtime_checkable
class ListsOrders(Protocol):
    """A carrier that lists the orders of a time, so that an operator can look for an order among them."""

    def list_near(self, attempt: AttemptView, now: datetime) -> list[Call]:
        """Build the requests for the orders around the create of an attempt; return none if a list would not show it.

        The requests may be repeated without further effect.
        """

    def read_near(self, call: Call, reply: Reply, attempt: AttemptView, now: datetime) -> Listing:
        """Return the orders of a reply, compared with the attempt. They may be of any time.

        Raises Unavailable or Unreadable.
        """


@runtime_checkable
class VerifiesAccount(Protocol):
    """A carrier at which the settings of an account can be checked."""

    def verify_account(self, facts: Mapping[str, str]) -> Call | None:
        """Check the account's settings against the facts that a probe has read.

        Return a call to the carrier if the facts are not enough for the check, else None. Raises Refused when the
        settings do not fit the facts.
        """

    def read_verification(self, reply: Reply) -> None:
        """Check the account's settings against the answer to the call from `verify_account`.

        Raises Refused when the settings do not fit the answer.
        """
