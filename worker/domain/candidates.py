"""Candidates: the orders in a carrier's list that may be the order of a create with an unknown outcome.

A table rates how well each candidate fits, with the reasons in words. The ratings only advise an operator, and change
nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from schemas.phones import masked, number_of
from schemas.status import AttemptState
from worker.carriers.abilities import ListedOrder
from worker.carriers.comparison import Comparison
from worker.domain import schedule
from worker.domain.carrier_terms import CarrierTerms
from worker.domain.delivery import Attempt, Delivery
from worker.wording import duration

EARLIEST, LATEST = timedelta(minutes=5), timedelta(minutes=15)
"""How long before and after our create a candidate may have been created. The carrier's clock may be wrong."""
NEAR = timedelta(minutes=2)
"""The longest time between our create and the creation of a candidate that fits well."""
MATCHES, DIFFERS, NOT_SHOWN = Comparison


class Fit(StrEnum):
    """How well a candidate fits, the best first."""

    SAME = "same"
    """It carries our reference."""
    LIKELY = "likely"
    POSSIBLE = "possible"
    UNLIKELY = "unlikely"


BY_CUSTOMER: Mapping[tuple[Comparison, Comparison], Fit] = {
    (MATCHES, MATCHES): Fit.LIKELY,
    (MATCHES, NOT_SHOWN): Fit.POSSIBLE,
    (MATCHES, DIFFERS): Fit.POSSIBLE,
    (NOT_SHOWN, MATCHES): Fit.POSSIBLE,
    (NOT_SHOWN, NOT_SHOWN): Fit.POSSIBLE,
    (NOT_SHOWN, DIFFERS): Fit.UNLIKELY,
    (DIFFERS, MATCHES): Fit.POSSIBLE,
    (DIFFERS, NOT_SHOWN): Fit.UNLIKELY,
    (DIFFERS, DIFFERS): Fit.UNLIKELY,
}
"""The fit of a candidate without a reference, by the comparisons of the customer's phone number and address."""
WORSE = {Fit.LIKELY: Fit.POSSIBLE, Fit.POSSIBLE: Fit.UNLIKELY, Fit.UNLIKELY: Fit.UNLIKELY}
"""The fit of such a candidate that has another pickup address, or was not created near our create."""


@dataclass(frozen=True, slots=True)
class Owners:
    """The order ids of our deliveries, by what identifies an order of a carrier."""

    by_ref: Mapping[str, str] = field(default_factory=dict)
    """By the carrier's id of the order."""
    by_attempt: Mapping[int, str] = field(default_factory=dict)
    """By the id of the attempt whose reference the order carries."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A listed order, and how well it fits."""

    order: ListedOrder
    fit: Fit
    why: tuple[str, ...]
    blocker: str | None
    """Why an operator cannot choose this candidate; None if they can."""


@dataclass(frozen=True, slots=True)
class CarrierSearch:
    """What an operator has to know to settle an unknown outcome."""

    account: str
    names: Mapping[str, str] = field(default_factory=dict)
    """What to search for on the carrier's own screen, by what it is."""
    candidates: tuple[Candidate, ...] = ()
    """The candidates, the best first."""
    problem: str | None = None
    """Why the candidates are missing or incomplete, as a sentence; None if all are listed."""
    risks: tuple[str, ...] = ()
    """Why it would be dangerous to say that the order does not exist, as sentences."""


def unidentified_attempt(delivery: Delivery) -> Attempt | None:
    """Return the attempt whose order the carrier has or may have under an id that we do not know; None without one."""
    attempt = delivery.active
    return attempt if attempt and attempt.ref is None and attempt.state != AttemptState.SUBMITTING else None


def listed_near(attempt: Attempt, listed: Iterable[ListedOrder]) -> list[ListedOrder]:
    """Return the listed orders that carry our reference or were created around our create, each once."""
    return list(dict.fromkeys(each for each in listed if _is_near(attempt, each)))


def rate(attempt: Attempt, listed: Iterable[ListedOrder], owners: Owners) -> tuple[Candidate, ...]:
    """Return these orders with their ratings, the best fit first."""
    rated = (_rate(attempt, each, owners) for each in listed)
    return tuple(sorted(rated, key=lambda each: (list(Fit).index(each.fit), abs(_since(attempt, each.order)))))


def _is_near(attempt: Attempt, order: ListedOrder) -> bool:
    return attempt.id in order.attempt_ids or -EARLIEST <= _since(attempt, order) <= LATEST


def _since(attempt: Attempt, order: ListedOrder) -> timedelta:
    """Return how long after our create the order was created; zero if the list does not show it."""
    return order.created_at - attempt.submitted_at if order.created_at else timedelta()


def _rate(attempt: Attempt, order: ListedOrder, owners: Owners) -> Candidate:
    fit, why = _fit(attempt, order)
    return Candidate(order, fit, why, _blocker(attempt, order, fit, owners))


def _fit(attempt: Attempt, order: ListedOrder) -> tuple[Fit, tuple[str, ...]]:
    if attempt.id in order.attempt_ids:
        return Fit.SAME, ("it carries our reference",)
    if order.attempt_ids:
        return Fit.UNLIKELY, ("it carries the reference of another attempt",)
    fit, since = BY_CUSTOMER[order.phone, order.address], _since(attempt, order)
    if abs(since) > NEAR:
        fit = WORSE[fit]
    if order.pickup_address is DIFFERS:
        fit = WORSE[fit]
    pickup = () if order.pickup_address is NOT_SHOWN else (f"pickup address {order.pickup_address}",)
    when = f"{duration(abs(since).total_seconds())} {'after' if since >= timedelta() else 'before'} our create"
    created = f"created {when}" if order.created_at else "time of creation not shown"
    return fit, (f"phone number {order.phone}", f"address {order.address}", *pickup, created)


def _blocker(attempt: Attempt, order: ListedOrder, fit: Fit, owners: Owners) -> str | None:
    others = [owners.by_attempt[each] for each in order.attempt_ids - {attempt.id} if each in owners.by_attempt]
    owner = owners.by_ref.get(order.ref or "") or next(iter(others), None)
    if owner is not None:
        return f"it belongs to order {owner}"
    if order.ref is None:
        return "the list does not show its id"
    return "it does not fit" if fit is Fit.UNLIKELY else None


def names_to_search(delivery: Delivery, attempt: Attempt, sent_names: Mapping[str, str]) -> dict[str, str]:
    """Return what to search for on a carrier's own screen. Of the customer's data, it has two digits of the phone."""
    order, store = delivery.order, delivery.store
    sent_at = attempt.submitted_at.astimezone(ZoneInfo(store.timezone if store else "UTC"))
    payment = "prepaid" if order.payment.prepaid else "to be paid at the door"
    return {
        **sent_names,
        "sent at": f"{sent_at:%Y-%m-%d %H:%M:%S} ({store.timezone if store else 'UTC'})",
        "store": f"{store.name} ({store.store_id})" if store else order.store_id,
        "amount": f"{order.payment.amount} {order.payment.currency}, {payment}",
        "phone": masked(number_of(order.customer.phone)),
    }


def absence_risks(
    attempt: Attempt, terms: CarrierTerms | None, now: datetime, search: CarrierSearch
) -> tuple[str, ...]:
    """Return why it would be dangerous to say now that the carrier does not have the order."""
    fitting = sum(each.blocker is None for each in search.candidates)
    risks = (
        risk_of_haste(attempt, terms, now),
        f"Of the listed orders, {fitting} may be this one." if fitting else "",
        "The carrier may have an order that is not listed here." if search.problem else "",
    )
    return tuple(filter(None, risks))


def risk_of_haste(attempt: Attempt, terms: CarrierTerms | None, now: datetime) -> str:
    """Return why it is too early to say that the carrier does not have the order; empty if it is not too early."""
    since = now - attempt.submitted_at
    if since >= timedelta(seconds=(terms.deadline if terms else 0) + schedule.QUARANTINE[-1]):
        return ""
    return f"It was sent only {duration(since.total_seconds())} ago, so the carrier may still be creating it."
