"""The sample orders of the demo: each follows one script of the sandbox and has an expected end."""

import json
from dataclasses import dataclass
from typing import Any

from schemas.openapi import EVENT, ORDER
from schemas.status import DeliveryStatus

PENDING, ACCEPTED = 0, 7
"""Statuses of the platform, before and after the shop has accepted an order."""
NEW_PHONE = "+5511912345679"


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer with their address."""

    name: str
    phone: str
    street: str
    postal_code: str
    city: str
    country: str
    latitude: float
    longitude: float
    currency: str


@dataclass(frozen=True, slots=True)
class Sample:
    """One order of the demo: its store and script, and the status and carrier with which it must end."""

    order_id: str
    store_id: str
    script: str
    ends: DeliveryStatus
    carrier: str
    description: str
    cancelled: bool = False
    """Whether the customer cancels once a carrier has the order."""
    changed: bool = False
    """Whether the customer gives another telephone number once a carrier has the order."""
    early: bool = False
    """Whether the message comes before the shop has accepted the order."""
    prepaid: bool = True


CUSTOMERS = {
    "17": Customer("Mette Holm", "+4551234567", "Hunderupvej 12", "5000", "Odense C", "DK", 55.3848, 10.3786, "DKK"),
    "21": Customer(
        "João Pereira", "+5511912345678", "Av. Paulista, 1439", "01310-100", "São Paulo", "BR", -23.5617, -46.656, "BRL"
    ),
    "34": Customer("Sara Alharbi", "+966599000111", "King Fahd Road 8", "12271", "Riyadh", "SA", 24.76, 46.64, "SAR"),
}

SAMPLES = (
    Sample("2010", "17", "happy", DeliveryStatus.DELIVERED, "deliverit", "an ordinary delivery"),
    Sample("2012", "17", "offered", DeliveryStatus.DELIVERED, "deliverit", "another time is offered and accepted"),
    Sample(
        "2013",
        "17",
        "deliverit=closed",
        DeliveryStatus.DELIVERED,
        "borzo",
        "the first carrier is closed: the next is asked",
    ),
    Sample(
        "2014",
        "17",
        "offered_late",
        DeliveryStatus.DELIVERED,
        "borzo",
        "the offer is too late: the next carrier is asked",
    ),
    Sample("2015", "17", "happy", DeliveryStatus.DELIVERED, "deliverit", "sent once the shop accepts it", early=True),
    Sample("2021", "21", "happy", DeliveryStatus.DELIVERED, "borzo", "an ordinary delivery"),
    Sample(
        "2022", "21", "courier_withdraws", DeliveryStatus.DELIVERED, "borzo", "the courier withdraws, another comes"
    ),
    Sample("2023", "21", "returned", DeliveryStatus.RETURNED, "borzo", "nobody at home: back to the shop"),
    Sample("2024", "21", "cancelled", DeliveryStatus.CANCELLED, "borzo", "cancelled by its only carrier"),
    Sample("2025", "21", "happy", DeliveryStatus.DELIVERED, "borzo", "a change is sent to the carrier", changed=True),
    Sample("2031", "34", "happy", DeliveryStatus.DELIVERED, "cervo", "an ordinary delivery, cash", prepaid=False),
    Sample(
        "2032", "34", "courier_withdraws", DeliveryStatus.DELIVERED, "cervo", "the courier withdraws, another comes"
    ),
    Sample("2033", "34", "happy", DeliveryStatus.CANCELLED, "cervo", "the customer cancels", cancelled=True),
)
MALFORMED = (
    '{"specversion": "1.0", "id": "demo-broken", "type": "order.placed", "data": {"order_id": "2099", "items": []}}'
)
"""A message without its required fields: it becomes a dead letter, and the next message is read at once."""


def message(kind: str, identity: str, data: dict[str, Any], **attributes: str) -> str:
    """Return a message in the format of the bus: a CloudEvent, here with additional attributes."""
    envelope = {"specversion": "1.0", "id": identity, "source": "demo", "type": kind, **attributes, "data": data}
    return json.dumps(envelope, ensure_ascii=False)


def placed(sample: Sample, **more: Any) -> str:
    """Return the `order.placed` message of a sample; `more` adds fields to the order."""
    return message("order.placed", f"demo-{sample.order_id}", _order(sample) | more)


def updated(sample: Sample, **more: Any) -> str:
    """Return the `order.updated` message of a sample; `more` contains the new values of the order's fields."""
    return message("order.updated", f"demo-{sample.order_id}-update", _order(sample) | {"revision": 2} | more)


def _order(sample: Sample) -> dict[str, Any]:
    return order(sample.order_id, sample.store_id, f"sandbox:{sample.script}", prepaid=sample.prepaid)


def order(order_id: str, store_id: str, notes: str, *, prepaid: bool = True) -> dict[str, Any]:
    """Return an order of a store's customer, in the format of the platform's messages."""
    return {**order_of(order_id, store_id, prepaid=prepaid), "notes": notes}


def order_of(order_id: str, store_id: str, *, prepaid: bool = True) -> dict[str, Any]:
    """Return an order of a store's customer without notes."""
    customer = CUSTOMERS[store_id]
    amount = "125.00"
    return {
        "order_id": order_id,
        "store_id": store_id,
        "delivery_type": "delivery",
        "customer": {"name": customer.name, "phone": customer.phone},
        "dropoff": {
            "street": customer.street,
            "postal_code": customer.postal_code,
            "city": customer.city,
            "country": customer.country,
            "latitude": customer.latitude,
            "longitude": customer.longitude,
        },
        "payment": {
            "prepaid": prepaid,
            "amount": amount,
            "currency": customer.currency,
            "method": "card" if prepaid else "cash",
        },
        "items": [{"name": "Margherita", "quantity": 1, "unit_price": amount}],
    }


def sample_order(order_id: str, store_id: str, notes: str) -> dict[str, Any]:
    """Return the message that `order-sync sample-order` writes: the documents' example, for a store's customer."""
    order = order_of(order_id, store_id)
    data = {name: order[name] for name in ("order_id", "store_id", "customer", "dropoff")}
    payment = {**ORDER["payment"], "currency": order["payment"]["currency"]}
    noted = {"notes": notes} if notes else {}
    return {**EVENT, "id": f"order-{order_id}-placed", "data": {**ORDER, **data, "payment": payment, **noted}}


def first_message(sample: Sample) -> str:
    """Return the first message of a sample: `order.placed`, with the status `PENDING` if the sample is `early`."""
    return placed(sample, status=PENDING if sample.early else ACCEPTED)


def next_message(sample: Sample, status: DeliveryStatus, detail: str | None) -> str | None:
    """Return the message to send once a sample's delivery has this status; None when no message is due."""
    if sample.early and detail == "waiting_for_shop":
        return updated(sample, status=ACCEPTED)
    if sample.changed and status is DeliveryStatus.CREATED:
        return updated(sample, status=ACCEPTED, customer={"name": CUSTOMERS[sample.store_id].name, "phone": NEW_PHONE})
    return cancelled(sample) if sample.cancelled and status is DeliveryStatus.CREATED else None


def cancelled(sample: Sample) -> str:
    """Return the `order.cancelled` message of a sample."""
    data = {"order_id": sample.order_id, "reason": "changed my mind", "cancelled_by": "customer"}
    return message("order.cancelled", f"demo-{sample.order_id}-cancel", data)
