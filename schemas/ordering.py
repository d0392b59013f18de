"""How the Ordering platform's own order becomes ours, and what its statuses mean to us.

What is not said is never derived: what is needed and absent is refused by the platform's name for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from schemas.json_reader import MalformedError, explain
from schemas.order import DELIVERY_TYPE_BY_NUMBER, DeliveryType, Order
from schemas.ordering_wire import RawCustomer, RawOrder, RawProduct
from schemas.status import PlatformStatus as P

ORDERING_SCHEMA = "urn:order-sync:ordering-order:1"


@dataclass(frozen=True, slots=True)
class ProjectDefaults:
    """What an Ordering project knows and its orders may leave unsaid; configuration, never a guess.

    `country` is ISO 3166 alpha-2, `currency` ISO 4217, `timezone` an IANA name. `paymethods` tells by the gateway's
    name or the paymethod's id (as text) whether the order is prepaid; it goes before what is known of gateways (O-05).
    """

    country: str = ""
    currency: str = ""
    timezone: str = ""
    paymethods: Mapping[str, bool] = field(default_factory=dict)


NO_DEFAULTS = ProjectDefaults()

AT_THE_DOOR = {"cash": "cash", "card_delivery": "card"}
"""The gateways that are paid to the courier, and with what."""

PREPAID = frozenset({
    "apple_pay", "authorize", "checkout_pro_mercadopago", "credomatic", "epayco", "global_apple_pay",
    "global_google_pay", "google_pay", "interswitch", "paypal", "paypal_express", "square", "stripe", "stripe_checkout",
    "stripe_connect", "stripe_direct", "stripe_redirect",
})  # fmt: skip
"""The gateways that have the money before the order is placed; not `stripe_link`, which is paid some time later."""


class Reaction(StrEnum):
    """What a status of the platform means to us."""

    DISPATCH = "dispatch"
    """A new order: dispatch it, unless the gate waits for the shop."""
    SCHEDULE = "schedule"
    """An order for later: dispatch it when its time comes."""
    ACCEPTED = "accepted"
    """The shop has accepted: the gate `accepted` opens."""
    READY = "ready"
    """The kitchen has it ready: the gate `ready` opens."""
    NOT_READY = "not_ready"
    """The kitchen is late and a courier waits."""
    SEEKING = "seeking"
    """A courier is being sought: our own echo."""
    COURIER = "courier"
    """A courier is at work: our own echo, or the platform's own driver when none of ours is."""
    ENDED = "ended"
    """A courier has ended it: our own echo, or closed when none of ours did."""
    CLOSED = "closed"
    """The platform has closed the order: stop, and cancel nothing."""
    CANCEL = "cancel"
    """The order is off: cancel the courier."""
    OPERATOR = "operator"
    """It cannot be told whether the order or only its driver is gone: a person decides."""
    OUT_OF_SCOPE = "out_of_scope"
    """The end of an order that the customer fetches."""
    IGNORE = "ignore"
    """Nothing about a courier: the customer who fetches it is near, or a number we do not know (O-25)."""

    @property
    def skips(self) -> str | None:
        """Why an order that is placed with such a status, no courier of ours being at it, is not dispatched."""
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
"""Every status of Ordering's "Orders statuses"."""

OPEN = frozenset(
    status
    for status, reaction in INBOUND.items()
    if reaction in {Reaction.DISPATCH, Reaction.SCHEDULE, Reaction.ACCEPTED, Reaction.READY, Reaction.SEEKING}
)
"""What an order that still needs a courier may stand at. Not 14: somebody's driver is in the shop already."""


def reaction_to(status: int | None) -> Reaction:
    """Tell what a status means to us. None, a platform that says none, is not 0, though both are dispatched (O-11)."""
    return Reaction.DISPATCH if status is None else INBOUND.get(status, Reaction.IGNORE)


def read_order(raw: Mapping[str, Any], project: ProjectDefaults = NO_DEFAULTS) -> Order:
    """Turn the platform's order into ours; `raw` is the order itself, without the API's `{"error", "result"}`.

    Raises MalformedError that names the platform's field and no value.
    """
    try:
        order = RawOrder.model_validate(raw)
        return Order.model_validate(_order(order, project))
    except ValidationError as error:
        raise MalformedError(explain(error)) from None


def _order(raw: RawOrder, project: ProjectDefaults) -> dict[str, Any]:
    _demand({"id": raw.id, "business_id": raw.business_id, "delivery_type": raw.delivery_type})
    delivery_type = DELIVERY_TYPE_BY_NUMBER.get(raw.delivery_type)
    if delivery_type is None:
        raise MalformedError("delivery_type: not one of 1 to 5")
    journey = _journey(raw, project) if delivery_type is DeliveryType.DELIVERY else STAYS
    return {
        "order_id": raw.id,
        "revision": _revision(raw),
        "store_id": raw.business_id,
        "delivery_type": delivery_type,
        "status": raw.status,
        "items": [_item(product) for product in raw.products if product.name],
        "notes": raw.comment,
        **journey,
    }


STAYS: dict[str, Any] = {
    "customer": {"name": "-", "phone": "-"},
    "dropoff": {"street": "-"},
    "payment": {"prepaid": True, "amount": "0.00", "currency": "XXX", "method": "none"},
}
"""What stands for the journey of an order that makes none: it is skipped, so nothing may be missing from it.

`XXX` is ISO 4217 for "no currency".
"""


def _journey(raw: RawOrder, project: ProjectDefaults) -> dict[str, Any]:
    customer, phone = raw.customer, _phone(raw.customer)
    amount = raw.total if raw.summary.total is None else raw.summary.total
    currency = raw.currency or project.currency
    _demand({
        "customer.cellphone": phone,
        "customer.address": customer.address,
        "summary.total": amount,
        "currency": currency,
        "paymethod.gateway": raw.paymethod.gateway or raw.paymethod_id,
    })  # fmt: skip
    return {
        "deliver_at": _deliver_at(raw, project),
        "customer": {"name": _name(customer), "phone": phone},
        "dropoff": _dropoff(raw, project),
        "payment": {"amount": amount, "currency": currency.upper(), **_payment(raw, project, amount or Decimal(0))},
    }


def _demand(needed: Mapping[str, object]) -> None:
    missing = [path for path, value in needed.items() if value in (None, "")]
    if missing:
        raise MalformedError("; ".join(f"{path}: missing" for path in missing))


def _revision(raw: RawOrder) -> int:
    """Count the seconds from creation to the last change: the platform numbers no revisions, and this only grows."""
    if raw.created_at is None or raw.updated_at is None:
        return 1
    return 1 + max(0, int((_in_utc(raw.updated_at) - _in_utc(raw.created_at)).total_seconds()))


def _in_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _deliver_at(raw: RawOrder, project: ProjectDefaults) -> datetime | None:
    """Find the promised time; None, as soon as possible, when it is not later than the order itself (O-06).

    `delivery_datetime` is in the shop's time, in the hour that autumn shows twice the first of the two;
    `delivery_datetime_utc` and `created_at` are in UTC.
    """
    due = _due(raw, project)
    asap = due is not None and raw.created_at is not None and due <= _in_utc(raw.created_at)
    return None if asap else due


def _due(raw: RawOrder, project: ProjectDefaults) -> datetime | None:
    if raw.delivery_datetime_utc:
        return _in_utc(raw.delivery_datetime_utc)
    local = raw.delivery_datetime
    if local is None or local.tzinfo:
        return local
    return local.replace(tzinfo=_zone(raw.business.timezone or project.timezone)).astimezone(UTC)


def _zone(name: str) -> ZoneInfo:
    _demand({"delivery_datetime_utc": name, "business.timezone": name})
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        raise MalformedError("business.timezone: not an IANA time zone") from None


def _name(customer: RawCustomer) -> str:
    # A guest may have given no name; the address and the phone are what a courier cannot do without.
    parts = (customer.name, customer.middle_name, customer.lastname, customer.second_lastname)
    return " ".join(filter(None, parts)) or "Guest"


def _phone(customer: RawCustomer) -> str:
    number = customer.cellphone or customer.guest_cellphone or customer.phone
    code = customer.country_phone_code.lstrip("+")
    national = number and not number.startswith(("+", "00"))
    return f"+{code} {number}" if national and code else number


def _dropoff(raw: RawOrder, project: ProjectDefaults) -> dict[str, Any]:
    customer, place = raw.customer, raw.customer.location
    if place.lat is None or place.lng is None:
        place = raw.location  # "the user's location", beside the customer instead of in it
    known = place.lat is not None and place.lng is not None
    return {
        "street": customer.address,
        "unit": customer.internal_number,
        "postal_code": customer.zipcode,
        "city": customer.city,
        "country": project.country,
        "latitude": place.lat if known else None,
        "longitude": place.lng if known else None,
        "notes": "\n".join(filter(None, (customer.address_notes, raw.delivery_option.name))),
    }


def _payment(raw: RawOrder, project: ProjectDefaults, amount: Decimal) -> dict[str, Any]:
    prepaid = _is_prepaid(raw, project)
    gateway = raw.paymethod.gateway
    method = AT_THE_DOOR.get(gateway, gateway or ("card" if prepaid else "cash"))
    if not prepaid and any(event.wallet_event for event in raw.payment_events):
        raise MalformedError("payment_events: partly paid from a wallet, and what is still due is not told")
    # O-04: `cash` is the note tendered; what is due is the total.
    tendered = raw.cash if not prepaid and raw.cash and raw.cash >= amount else None
    return {"prepaid": prepaid, "method": method, "change_for": tendered}


def _is_prepaid(raw: RawOrder, project: ProjectDefaults) -> bool:
    gateway = raw.paymethod.gateway
    for key in (raw.paymethod_id, gateway):
        if key in project.paymethods:
            return project.paymethods[key]
    if gateway not in PREPAID and gateway not in AT_THE_DOOR:
        raise MalformedError(
            "paymethod.gateway: unknown whether it is prepaid or paid at the door; the settings can tell"
        )
    return gateway in PREPAID


def _item(product: RawProduct) -> dict[str, Any]:
    return {"name": product.name, "quantity": product.quantity, "unit_price": product.price}
