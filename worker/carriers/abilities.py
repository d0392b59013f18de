"""What a carrier may be able to do beside what every one must: take changes, tell prices, print labels and the like.

A codec has an ability when it has its methods.
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
    """What a delivery would cost.

    `orderable` is false when the carrier says that it would not take it: `reason` in our words, `why` in its own.
    """

    price: Price | None
    orderable: bool = True
    why: tuple[str, ...] = ()
    reason: Reason = Reason.VALIDATION


@dataclass(frozen=True, slots=True)
class Label:
    """One label to print: `media_type` is its format, `content` the file itself."""

    media_type: str
    content: bytes = field(repr=False)
    point: str = ""


@runtime_checkable
class Amends(Protocol):
    """A carrier to which a change of an order can be carried, read first and then written."""

    def before_amend(self, attempt: AttemptView, now: datetime) -> Call | None:
        """Describe the read that an amendment starts from; None where it needs none."""

    def amend(self, attempt: AttemptView, standing: Reply | None, now: datetime) -> Call | None:
        """Describe the change to `attempt.order`; None when what stands says the same already. Raises Refused.

        It may be repeated: what it describes leads to the same, however often it is done.
        """

    def read_amended(self, attempt: AttemptView, reply: Reply, now: datetime) -> Observation | None:
        """Read the answer: what it shows of the order, if anything. Refused when it can no longer be changed."""


@runtime_checkable
class Quotes(Protocol):
    """A carrier that tells a price before it is asked to come."""

    quotes_first: bool
    """Whether the price is asked before every create, which is then not sent when the carrier would refuse it."""

    def quote(self, booking: Booking, now: datetime) -> Call:
        """Describe the question; nothing is created by it. Raises Refused when the carrier cannot be asked."""

    def read_quote(self, reply: Reply, now: datetime) -> Quote:
        """Read the price."""


@runtime_checkable
class Labels(Protocol):
    """A carrier that has labels to print."""

    def labels(self, attempt: AttemptView, media: Literal["pdf", "zpl"]) -> Call:
        """Describe the question. Raises Refused while the order is not known there."""

    def read_labels(self, reply: Reply, attempt: AttemptView) -> tuple[Label, ...]:
        """Read the labels, one for each point that has one."""


@runtime_checkable
class LocatesCourier(Protocol):
    """A carrier that tells where the courier is."""

    def locate(self, attempt: AttemptView) -> Call:
        """Describe the question. Raises Refused while the order is not known there."""

    def read_location(self, reply: Reply, attempt: AttemptView) -> Courier | None:
        """Read where the courier is; None while nobody is on the way."""


@runtime_checkable
class VerifiesAccount(Protocol):
    """A carrier that shows whether the settings of an account fit what stands there."""

    def verify_account(self, facts: Mapping[str, str]) -> Call | None:
        """Compare the settings with the probe's facts, and describe what else is to be asked. Raises Refused."""

    def read_verification(self, reply: Reply) -> None:
        """Return when the settings fit; Refused when they do not."""
