"""The optional abilities of a carrier: to take changes, quote prices, print labels, locate the courier, check settings.

A codec has an ability if it has all methods of its protocol.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol, runtime_checkable

from schemas.status import Reason
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
