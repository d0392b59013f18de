"""The demo's orders: real-looking, one script of the sandbox each, and how each must end."""

import json
from dataclasses import dataclass
from typing import Any

from schemas.status import DeliveryStatus


@dataclass(frozen=True, slots=True)
class Customer:
    """Somebody who is hungry, and where."""

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
    """One order of the demo: at which store, by which script, and the status and carrier it must end with."""

    order_id: str
    store_id: str
    script: str
    ends: DeliveryStatus
    carrier: str
    tells: str
    cancelled: bool = False
    prepaid: bool = True


CUSTOMERS = {
    "17": Customer("Mette Holm", "+4551234567", "Hunderupvej 12", "5000", "Odense C", "DK", 55.3848, 10.3786, "DKK"),
    "21": Customer(
        "João Pereira", "+5511912345678", "Av. Paulista, 1439", "01310-100", "São Paulo", "BR", -23.5617, -46.656, "BRL"
    ),
    "34": Customer("Sara Alharbi", "+966599000111", "King Fahd Road 8", "12271", "Riyadh", "SA", 24.76, 46.64, "SAR"),
}

SAMPLES = (
    Sample("2011", "17", "happy", DeliveryStatus.DELIVERED, "deliverit", "an ordinary delivery"),
    Sample("2012", "17", "offered", DeliveryStatus.DELIVERED, "deliverit", "another time is offered and accepted"),
    Sample(
        "2013", "17", "deliverit=closed", DeliveryStatus.DELIVERED, "borzo", "the first carrier is closed: the next one"
    ),
    Sample(
        "2014", "17", "offered_late", DeliveryStatus.DELIVERED, "borzo", "an offer too late is denied: the next one"
    ),
    Sample("2021", "21", "happy", DeliveryStatus.DELIVERED, "borzo", "an ordinary delivery"),
    Sample(
        "2022", "21", "courier_withdraws", DeliveryStatus.DELIVERED, "borzo", "the courier withdraws, another comes"
    ),
    Sample("2023", "21", "returned", DeliveryStatus.RETURNED, "borzo", "nobody at home: back to the shop"),
    Sample("2024", "21", "cancelled", DeliveryStatus.CANCELLED, "borzo", "cancelled by the carrier, no other left"),
    Sample("2031", "34", "happy", DeliveryStatus.DELIVERED, "cervo", "an ordinary delivery, cash", prepaid=False),
    Sample(
        "2032", "34", "courier_withdraws", DeliveryStatus.DELIVERED, "cervo", "the courier withdraws, another comes"
    ),
    Sample("2033", "34", "happy", DeliveryStatus.CANCELLED, "cervo", "the customer cancels", cancelled=True),
)
MALFORMED = (
    '{"specversion": "1.0", "id": "demo-broken", "type": "order.placed", "data": {"order_id": "2099", "items": []}}'
)
"""What a careless platform might send: it becomes a dead letter, and the next message is read at once."""


def message(kind: str, identity: str, data: dict[str, Any]) -> str:
    """Wrap data in the CloudEvent that goes on the bus."""
    envelope = {"specversion": "1.0", "id": identity, "source": "demo", "type": kind, "data": data}
    return json.dumps(envelope, ensure_ascii=False)


def placed(sample: Sample) -> str:
    """Write a sample as its `order.placed` message."""
    data = order(sample.order_id, sample.store_id, f"sandbox:{sample.script}", prepaid=sample.prepaid)
    return message("order.placed", f"demo-{sample.order_id}", data)


def order(order_id: str, store_id: str, notes: str, *, prepaid: bool = True) -> dict[str, Any]:
    """Make an order of a store's customer, as the platform writes it."""
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
        "notes": notes,
    }


def cancelled(sample: Sample) -> str:
    """Write the `order.cancelled` message of a sample."""
    data = {"order_id": sample.order_id, "reason": "changed my mind", "cancelled_by": "customer"}
    return message("order.cancelled", f"demo-{sample.order_id}-cancel", data)
