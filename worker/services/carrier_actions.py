"""The four actions at a carrier: create, confirm an offer, amend and cancel. Each is one `CarrierAction`."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from schemas.status import Reason
from worker.carriers.abilities import Amends
from worker.carriers.port import Booked, Booking, Carrier, Observation
from worker.clock import Clock
from worker.domain import lifecycle
from worker.domain.carrier_terms import attempt_view, build_booking
from worker.domain.delivery import Attempt, Change, Delivery, OfferDecision, Step
from worker.domain.lifecycle import TermsByAccount
from worker.errors import CarrierError, Refused
from worker.http.call import Call, Reply
from worker.services.account_health import AccountHealth
from worker.services.accounts import CarrierAccounts
from worker.services.quotes import Quotes

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CarrierAction(Generic[T]):
    """One action at a carrier for each delivery of a batch.

    `claim` returns the change that records the intent. `build_request` and `parse_response` call the codec.
    `apply_outcome` applies the response or the CarrierError. If `build_request` returns no Call, nothing is sent, and
    the value that it returns is the response.
    """

    step: Step
    claim: Callable[[Delivery], Change | None]
    build_request: Callable[[Carrier, Delivery, Attempt], Call | T]
    parse_response: Callable[[Carrier, Delivery, Attempt, Reply], T]
    apply_outcome: Callable[[Delivery, int, T | CarrierError, TermsByAccount, datetime], Change]


@dataclass(frozen=True)
class CarrierActions:
    """Build the four actions."""

    accounts: CarrierAccounts
    health: AccountHealth
    quotes: Quotes
    terms: TermsByAccount
    clock: Clock
    public_url: str
    """The public address for callbacks; empty when carriers get no callback address."""
    new_attempt: Callable[[], tuple[int, str]]
    """Returns the id of a new attempt, and the secret of its callback address."""

    @property
    def book(self) -> CarrierAction[Booked]:
        """The action that creates an order at a carrier."""
        return CarrierAction(
            Step.BOOK,
            claim=lambda each: lifecycle.begin_booking(each, *self.new_attempt(), self.terms, self.clock()),
            build_request=self._build_create,
            parse_response=self.parse_create,
            apply_outcome=lifecycle.apply_create_outcome,
        )

    def _build_create(self, codec: Carrier, delivery: Delivery, attempt: Attempt) -> Call:
        booking = self._booking(delivery, attempt)
        call = codec.book(booking, self.clock())
        self.quotes.check_orderable(codec, booking)
        return call

    def parse_create(self, codec: Carrier, delivery: Delivery, attempt: Attempt, reply: Reply) -> Booked:
        """Parse the reply to a create. Raises CarrierError."""
        return codec.read_booking(self._booking(delivery, attempt), reply, self.clock())

    def _booking(self, delivery: Delivery, attempt: Attempt) -> Booking:
        url = f"{self.public_url}/callbacks/{attempt.carrier}/{attempt.token}" if self.public_url else None
        return build_booking(delivery, attempt, url)

    @property
    def confirm(self) -> CarrierAction[Observation]:
        """The action that accepts or denies the pickup time that a carrier offers."""
        return CarrierAction(
            Step.CONFIRM,
            claim=lambda each: lifecycle.begin_call(each, Step.CONFIRM, self.terms, self.clock()),
            build_request=lambda codec, each, attempt: codec.confirm(
                attempt_view(each, attempt), accept=_accepts(attempt)
            ),
            parse_response=lambda codec, each, attempt, reply: codec.read_confirmation(
                reply, attempt_view(each, attempt), accept=_accepts(attempt), now=self.clock()
            ),
            apply_outcome=lifecycle.apply_confirm_outcome,
        )

    @property
    def amend(self) -> CarrierAction[Observation | None]:
        """The action that sends a change of an order to its carrier."""
        return CarrierAction(
            Step.AMEND,
            claim=lambda each: lifecycle.begin_call(each, Step.AMEND, self.terms, self.clock()),
            build_request=self._build_amendment,
            parse_response=self._parse_amendment,
            apply_outcome=lifecycle.apply_amend_outcome,
        )

    def _build_amendment(self, codec: Carrier, delivery: Delivery, attempt: Attempt) -> Call | None:
        """Build the amendment; return None if the carrier's order is already as it should be.

        Some carriers need a read of the order first; this method sends that read.
        """
        able, view = _amends(codec), attempt_view(delivery, attempt)
        before = able.before_amend(view, self.clock())
        if before is None:
            return able.amend(view, None, self.clock())
        return self.health.query(codec, before, lambda reply: able.amend(view, reply, self.clock()))

    def _parse_amendment(
        self, codec: Carrier, delivery: Delivery, attempt: Attempt, reply: Reply
    ) -> Observation | None:
        seen = _amends(codec).read_amended(attempt_view(delivery, attempt), reply, self.clock())
        return lifecycle.apply_mappings((seen,), self.accounts.status_mappings(attempt.carrier))[0] if seen else None

    @property
    def cancel(self) -> CarrierAction[Observation | None]:
        """The action that asks a carrier to cancel an order. A later read confirms the cancel."""
        return CarrierAction(
            Step.CANCEL,
            claim=lambda each: lifecycle.begin_call(each, Step.CANCEL, self.terms, self.clock()),
            build_request=lambda codec, each, attempt: codec.cancel(
                attempt_view(each, attempt), self.clock(), allow_paid=_may_cost(each)
            ),
            parse_response=lambda codec, each, attempt, reply: codec.read_cancel(reply, attempt_view(each, attempt)),
            apply_outcome=lifecycle.apply_cancel_outcome,
        )


def _accepts(attempt: Attempt) -> bool:
    return attempt.offer_decision == OfferDecision.ACCEPT


def _amends(codec: Carrier) -> Amends:
    if not isinstance(codec, Amends):
        raise Refused(Reason.CONFIG, f"{codec.account.kind} takes no changes")
    return codec


def _may_cost(delivery: Delivery) -> bool:
    return delivery.cancel_request is not None and delivery.cancel_request.allow_paid
