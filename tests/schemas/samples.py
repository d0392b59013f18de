"""One order in our format and one in the Ordering platform's, and ways to change and to send them."""

import copy
from typing import Any

ORDER: dict[str, Any] = {
    "order_id": "2011",
    "order_number": "A-11",
    "revision": 3,
    "store_id": "17",
    "delivery_type": "delivery",
    "status": 0,
    "deliver_at": "2026-11-21T18:40:00+01:00",
    "ready_at": None,
    "customer": {"name": "Freja Holm", "phone": "+4520304050", "email": "freja@example.org"},
    "dropoff": {
        "street": "Nørregade 7",
        "unit": "3. tv",
        "postal_code": "5000",
        "city": "Odense C",
        "country": "DK",
        "latitude": 55.39,
        "longitude": 10.38,
        "notes": "Ring twice",
    },
    "payment": {"prepaid": False, "amount": "125.00", "currency": "DKK", "method": "cash", "change_for": "200"},
    "items": [{"name": "Pizza", "quantity": 2, "unit_price": "62.50"}],
    "notes": "No onion",
    "carriers": ["deliverit", "borzo"],
}
"""An order in our format."""

PLATFORM_ORDER: dict[str, Any] = {
    "id": 2011,
    "uuid": "0b6f3f0e",
    "paymethod_id": 1,
    "business_id": 49,
    "customer_id": 5,
    "delivery_type": 1,
    "delivery_datetime": "2026-11-21 18:40:00",
    "delivery_datetime_utc": "2026-11-21 17:40:00",
    "created_at": "2026-11-21 16:00:13",
    "updated_at": "2026-11-21 16:00:43",
    "status": 0,
    "comment": " No onion ",
    "driver_id": None,
    "driver_tip": 10.1,
    "pay_data": '{"card": "4111111111111111"}',
    "cash": "200",
    "currency": "DKK",
    "summary": {"total": 125.1, "subtotal": 100, "delivery_price": 25.1},
    "delivery_option": {"id": 2, "name": "leave it at the door"},
    "customer": {
        "id": 2011,
        "name": "Freja",
        "middle_name": None,
        "lastname": "Holm",
        "cellphone": "20 30 40 50",
        "country_phone_code": "45",
        "address": "Nørregade 7, Odense",
        "internal_number": "3. tv",
        "zipcode": 5000,
        "address_notes": "Ring twice",
        "location": {"lat": 55.39, "lng": 10.38},
    },
    "business": {"id": 2011, "name": "Pizzeria", "address": "Vestergade 1", "timezone": "Europe/Copenhagen"},
    "paymethod": {"id": 1, "name": "Cash", "gateway": "cash"},
    "payment_events": [],
    "products": [
        {"id": 1, "product_id": 7, "name": "Pizza", "price": 40.005, "quantity": 2, "options": [{"name": "Size"}]},
        {"id": 2, "product_id": 8, "name": "Cola", "price": 20, "quantity": "1"},
    ],
}
"""An order as the Ordering platform's API returns it."""

PERSONAL = (
    "Freja", "Holm", "+4520304050", "20 30 40 50", "Nørregade", "Ring twice", "freja@example.org", "4111111111111111",
    "leave it",
)  # fmt: skip
"""What the customer wrote in these orders."""


def with_field(order: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """Return a copy of the order with another value of the field `path`, such as `customer.name`."""
    changed = copy.deepcopy(order)
    *parents, last = path.split(".")
    inner = changed
    for parent in parents:
        inner = inner[parent]
    inner[last] = value
    return changed


def paths(order: dict[str, Any]) -> list[str]:
    """Return the paths of the order's fields and of those of its inner objects."""
    inner = [f"{key}.{field}" for key, value in order.items() if isinstance(value, dict) for field in value]
    return [*order, *inner]


def event(data: object = ORDER, **attributes: object) -> dict[str, Any]:
    """Return an `order.placed` message."""
    return {"specversion": "1.0", "id": "e1", "source": "shop", "type": "order.placed", "data": data, **attributes}
