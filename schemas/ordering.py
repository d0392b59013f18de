"""The Ordering platform's orders and statuses, translated into ours.

No value is guessed. An order without a required field is refused, and the reason contains the platform's name of the
field.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from pydantic import ValidationError

from schemas.json_reader import MalformedError, explain
from schemas.money import is_payable, rounded
from schemas.order import DELIVERY_TYPE_BY_NUMBER, STAND_IN, DeliveryType, Order, point_at
from schemas.ordering_times import revision_of, time_wanted
from schemas.ordering_wire import RawCustomer, RawOrder, RawProduct
from schemas.phones import with_country
from schemas.platform_status import PlatformStatus as P

ORDERING_SCHEMA = "urn:order-sync:ordering-order:1"


@dataclass(frozen=True, slots=True)
class ProjectDefaults:
    """Settings of an Ordering project that its orders do not contain."""

    country: str = ""
    """ISO 3166 alpha-2."""
    currency: str = ""
    """ISO 4217."""
    timezone: str = ""
    """An IANA name."""
    paymethods: Mapping[str, bool] = field(default_factory=dict)
    """Whether an order is prepaid, by paymethod id or payment gateway. Overrides `PREPAID` and `AT_THE_DOOR` (O-05)."""


NO_DEFAULTS = ProjectDefaults()

AT_THE_DOOR = {"cash": "cash", "card_delivery": "card"}
"""The payment gateways with which the customer pays the courier, and our payment method for each of them."""

PREPAID = frozenset({
    "apple_pay", "authorize", "checkout_pro_mercadopago", "credomatic", "epayco", "global_apple_pay",
    "global_google_pay", "google_pay", "interswitch", "paypal", "paypal_express", "square", "stripe", "stripe_checkout",
    "stripe_connect", "stripe_direct", "stripe_redirect",
})  # fmt: skip
"""The payment gateways of prepaid orders. `stripe_link` is not listed, because with it, the customer pays later."""


class Reaction(StrEnum):
    """Our reaction to a status of the platform."""

    DISPATCH = "dispatch"
    """A new order: dispatch it, unless its gate waits for the shop."""
    SCHEDULE = "schedule"
    """An order for later: dispatch it when its time comes."""
    ACCEPTED = "accepted"
    """The shop has accepted the order: open the gate `accepted`."""
    READY = "ready"
    """The food is ready: open the gate `ready`."""
    NOT_READY = "not_ready"
    """The food is late and a courier is waiting."""
    SEEKING = "seeking"
    """We wrote this status, because we are looking for a courier."""
    COURIER = "courier"
    """A courier is at work: the status is one that we wrote, or the platform's own driver has the order."""
    ENDED = "ended"
    """A courier has finished: the status is one that we wrote, or the platform has closed the order."""
    CLOSED = "closed"
    """The platform has closed the order: send no courier, but do not cancel a courier who is at work."""
    CANCEL = "cancel"
    """The order is cancelled: cancel the courier."""
    OPERATOR = "operator"
    """It is unclear whether the order or only its driver was cancelled: an operator decides."""
    OUT_OF_SCOPE = "out_of_scope"
    """The customer collected the order or never came for it: no courier is needed. The effect is that of `CLOSED`."""
    IGNORE = "ignore"
    """No effect: the customer comes to pick up the order, or the status is unknown (O-25)."""

    @property
    def skips(self) -> str | None:
        """The reason not to dispatch a new order with this status; None if such an order is not skipped."""
        return SKIPS.get(self)


SKIPS = {
    Reaction.COURIER: "own_driver",
    Reaction.OPERATOR: "own_driver",
    Reaction.ENDED: "closed",
    Reaction.CLOSED: "closed",
    Reaction.OUT_OF_SCOPE: "closed",
    Reaction.CANCEL: "cancelled",
}


INBOUND: dict[int, Reaction] = {
    P.PENDING: Reaction.DISPATCH,
    P.COMPLETED: Reaction.CLOSED,
    P.REJECTED: Reaction.CANCEL,
    P.DRIVER_IN_BUSINESS: Reaction.COURIER,
    P.PREPARATION_COMPLETED: Reaction.READY,
    P.REJECTED_BY_BUSINESS: Reaction.CANCEL,
    P.CANCELED_BY_DRIVER: Reaction.OPERATOR,
    P.ACCEPTED_BY_BUSINESS: Reaction.ACCEPTED,
    P.ACCEPTED_BY_DRIVER: Reaction.COURIER,
    P.PICK_UP_COMPLETED_BY_DRIVER: Reaction.COURIER,
    P.PICK_UP_FAILED_BY_DRIVER: Reaction.OPERATOR,
    P.DELIVERY_COMPLETED_BY_DRIVER: Reaction.ENDED,
    P.DELIVERY_FAILED_BY_DRIVER: Reaction.ENDED,
    P.PREORDER: Reaction.SCHEDULE,
    P.ORDER_NOT_READY: Reaction.NOT_READY,
    P.PICKUP_COMPLETED_BY_CUSTOMER: Reaction.OUT_OF_SCOPE,
    P.CANCELED_BY_CUSTOMER: Reaction.CANCEL,
    P.NOT_PICKED_BY_CUSTOMER: Reaction.OUT_OF_SCOPE,
    P.DRIVER_ALMOST_ARRIVED_TO_BUSINESS: Reaction.COURIER,
    P.DRIVER_ALMOST_ARRIVED_TO_CUSTOMER: Reaction.COURIER,
    P.CUSTOMER_ALMOST_ARRIVED_TO_BUSINESS: Reaction.IGNORE,
    P.CUSTOMER_ARRIVED_TO_BUSINESS: Reaction.IGNORE,
    P.LOOKING_FOR_DRIVER: Reaction.SEEKING,
    P.DRIVER_ON_WAY: Reaction.COURIER,
    P.DRIVER_WAITING_FOR_ORDER: Reaction.COURIER,
    P.ACCEPTED_BY_DRIVER_COMPANY: Reaction.COURIER,
}
"""The reaction to every status of the platform (Ordering, "Orders statuses")."""

OPEN = frozenset(
    status
    for status, reaction in INBOUND.items()
    if reaction in {Reaction.DISPATCH, Reaction.SCHEDULE, Reaction.ACCEPTED, Reaction.READY, Reaction.SEEKING}
)
"""The statuses of an order that still needs a courier. Status 14 is left out, because a driver already waits."""


def reaction_to(status: int | None) -> Reaction:
    """Return the reaction to a status. An order without a status is dispatched, like an order with status 0 (O-11)."""
    return Reaction.DISPATCH if status is None else INBOUND.get(status, Reaction.IGNORE)


def read_order(
    raw: Mapping[str, Any], project: ProjectDefaults = NO_DEFAULTS, ignored: set[str] | None = None
) -> Order:
    """Return the platform's order in our format. `raw` is the order alone, without the API's `{"error", "result"}`.

    The names of fields whose values were ignored or changed are added to `ignored`. Raises MalformedError if a field is
    missing or invalid. The error's text contains the platform's name of the field and no value.
    """
    noted = set[str]() if ignored is None else ignored
    try:
        order = RawOrder.model_validate(raw, context=noted)
        return Order.model_validate(_order(order, project, noted), context=noted)
    except ValidationError as error:
        raise explain(error) from None


def _order(raw: RawOrder, project: ProjectDefaults, ignored: set[str]) -> dict[str, Any]:
    _require({"id": raw.id, "business_id": raw.business_id, "delivery_type": raw.delivery_type})
    delivery_type = DELIVERY_TYPE_BY_NUMBER.get(raw.delivery_type)
    if delivery_type is None:
        raise MalformedError("delivery_type: not one of 1 to 5")
    for_courier = _for_courier(raw, project, ignored) if delivery_type is DeliveryType.DELIVERY else NO_COURIER
    return {
        "order_id": raw.id,
        "revision": revision_of(raw),
        "store_id": raw.business_id,
        "delivery_type": delivery_type,
        "status": raw.status,
        "items": [_item(product) for product in raw.products if product.name],
        "notes": raw.comment,
        **for_courier,
    }


NO_COURIER: dict[str, Any] = {
    "customer": {"name": "-", "phone": "-"},
    "dropoff": {"street": "-"},
    "payment": {"prepaid": True, "amount": "0.00", "currency": "XXX", "method": "none"},
}
"""Placeholders in an order that needs no courier. Such an order is skipped, so its real values are not required.

`XXX` is the ISO 4217 code for "no currency".
"""


def _for_courier(raw: RawOrder, project: ProjectDefaults, ignored: set[str]) -> dict[str, Any]:
    customer, phone = raw.customer, _phone(raw.customer)
    amount = raw.total if raw.summary.total is None else raw.summary.total
    currency = (raw.currency or project.currency).upper()
    _require({
        "customer.cellphone": phone,
        "customer.address": customer.address,
        "summary.total": amount,
        "currency": currency,
        "paymethod.gateway": raw.paymethod.gateway or raw.paymethod_id,
    })  # fmt: skip
    due = _amount_due(amount or Decimal(0), currency, ignored)
    return {
        "deliver_at": time_wanted(raw, project.timezone),
        "customer": {"name": _name(customer), "phone": phone},
        "dropoff": _dropoff(raw, project),
        "payment": {"amount": due, "currency": currency, **_payment(raw, project, due)},
    }


def _amount_due(amount: Decimal, currency: str, ignored: set[str]) -> Decimal:
    """Return the nearest amount that can be paid in the currency.

    If this differs from the order's amount, add `summary.total` to `ignored`.
    """
    if not is_payable(amount, currency):
        ignored.add("summary.total")
    return rounded(amount, currency)


def _require(fields: Mapping[str, object]) -> None:
    missing = [path for path, value in fields.items() if value in (None, "")]
    if missing:
        raise MalformedError(*(f"{path}: missing" for path in missing))


def _name(customer: RawCustomer) -> str:
    # A guest may have given no name, and a courier needs only the address and the phone number.
    parts = (customer.name, customer.middle_name, customer.lastname, customer.second_lastname)
    return " ".join(filter(None, parts)) or STAND_IN


def _phone(customer: RawCustomer) -> str:
    return with_country(customer.cellphone or customer.guest_cellphone or customer.phone, customer.country_phone_code)


def _dropoff(raw: RawOrder, project: ProjectDefaults) -> dict[str, Any]:
    customer, position = raw.customer, raw.customer.location
    if point_at(position.lat, position.lng) is None:
        position = raw.location  # "the user's location": a field of the order, not of the customer
    return {
        "street": customer.address,
        "unit": customer.internal_number,
        "postal_code": customer.zipcode,
        "city": customer.city,
        "country": project.country,
        "latitude": position.lat,
        "longitude": position.lng,
        "notes": "\n".join(filter(None, (customer.address_notes, raw.delivery_option.name))),
    }


def _payment(raw: RawOrder, project: ProjectDefaults, amount: Decimal) -> dict[str, Any]:
    prepaid = _is_prepaid(raw, project)
    gateway = raw.paymethod.gateway
    method = AT_THE_DOOR.get(gateway, gateway or ("card" if prepaid else "cash"))
    if not prepaid and any(event.wallet_event for event in raw.payment_events):
        raise MalformedError("payment_events: partly paid from a wallet, and the amount still due is not given")
    # O-04: `cash` is the banknote that the customer will hand over; the amount due is the total.
    tendered = raw.cash if not prepaid and raw.cash and raw.cash >= amount else None
    return {"prepaid": prepaid, "method": method, "change_for": tendered}


def _is_prepaid(raw: RawOrder, project: ProjectDefaults) -> bool:
    gateway = raw.paymethod.gateway
    for key in (raw.paymethod_id, gateway):
        if key in project.paymethods:
            return project.paymethods[key]
    if gateway not in PREPAID and gateway not in AT_THE_DOOR:
        raise MalformedError(
            "paymethod.gateway: unknown whether it is prepaid or paid at the door; set PAYMETHODS for it"
        )
    return gateway in PREPAID


def _item(product: RawProduct) -> dict[str, Any]:
    return {"name": product.name, "quantity": product.quantity, "unit_price": product.price}
