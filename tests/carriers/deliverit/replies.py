"""The document's own replies, and what the tests build from them."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import pytest

from worker.carriers.deliverit import DeliverIt, DeliverItAccount
from worker.carriers.port import Booking
from worker.errors import CarrierError
from worker.http.call import Call, Reply

REFERENCE = "132TMY8NEP0"
"""Our reference of the attempt in every test."""
LATE = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)
"""A time at which the order of every test is under way."""

# --- driver orders ---

HOST = "http://butik.deliverit.dk/api/v1/orderdriver"
CREATED = """{"DeliverItOpen": true, "order_driver": true, "push": false,
"DeliveryPrice": "60", "DeliveryDistance": "1914", "time": "20:15", "arrive_at_customer": "20:26",
"order_id": 11823, "acceptUrl": "", "denyUrl": "",
"cancelUrl": "http://butik.deliverit.dk/api/v1/orderdriver/cancel/14/F64u3fbxNdaoTyAcOisM"}"""
PUSHED: dict[str, Any] = {
    **json.loads(CREATED),
    "push": True,
    "time": "20:25",
    "arrive_at_customer": "20:36",
    "acceptUrl": f"{HOST}/accept/14/acceptTOKEN01",
    "denyUrl": f"{HOST}/deny/14/denyTOKEN0001",
}
CLOSED = '{"DeliverItOpen": true, "error": true, "message": "Sorry. DeliverIt is closed."}'
EMPTY_PHONE = '{"DeliverItOpen": true, "error": true, "message": "Telephone cannot be empty"}'
ACCEPTED = """{"DeliverItOpen": true, "order_driver": true, "time": "19:23", "arriveAtCustomer": "19:42",
"message": "The trip is saved and the driver will arrive at restaurant at 19:23",
"cancelurl": "https://dev.butik.deliverit.dk/api/v1/orderdriver/cancel/149/RYGKaXMCSN94WfqPEivy"}"""
ALREADY_ACCEPTED = """{"DeliverItOpen": true, "order_driver": false,
"message": "You have already accepted this trip or it has not been pushed. Nothing to do",
"cancelurl": "http://butik.deliverit.dk/api/v1/orderdriver/cancel/14/uyPtNITg5cAOoKDViG2e"}"""
LAPSED = """{"DeliverItOpen": true, "order_driver": false, "message":
"You cannot accept this anymore. Time limit reached or order does not exist. Please create new order"}"""
NOT_ALLOWED = '{"DeliverItOpen": true, "order_driver": false, "message": "You should not be here"}'
DENIED = '{"error": false, "message": "The order is now canceled"}'
DENY_NOT_ALLOWED = '{"error": true, "message": "You should not be here"}'
CANCELED = '{"error": false, "message": "Okay, the order is canceled"}'
UNDERWAY = """{"error": true,
"message": "You cannot cancel this order. The driver is on the way. Contact DeliverIt +45 93 866 766"}"""

# --- the day list ---

TOKEN = "F64u3fbxNdaoTyAcOisM"
LINK = "https://butik.deliverit.dk/api/v1/orderdriver/cancel/14"
EXAMPLE_LIST = """{"error": false, "orders": [{"created_at": {"date": "2017-05-13 17:30:07.000000", "timezone_type": 3,
"timezone": "Europe/Berlin"}, "name": "Customer 1", "telephone": "+45123456789", "address": "Hovedgaden 1",
"city": "Odense C", "zip": "5000", "remarks": "", "deliveryPrice": "60", "pickupTime": "17:59", "driverArrive": "N/A",
"driverLeft": "N/A", "arriveAtCustomer": "N/A", "done": "N/A", "distance": "1914",
"canceUrl": "http://butik.deliverit.dk/api/v1/orderdriver/cancel/14/F64u3fbxNdaoTyAcOisM", "cancel": 0,
"canceled_at": null}], "message": "Here are the orders you are looking for"}"""
NO_ORDERS = '{"error": true, "message": "No order is found. Are the dates correct?."}'
LIST_NOT_ALLOWED = '{"error": true, "message": "You should not be here"}'


def make_row(**changes: Any) -> dict[str, Any]:
    known = {
        "created_at": {"date": "2026-11-21 18:00:05.000000", "timezone_type": 3, "timezone": "Europe/Berlin"},
        "name": "Anna Holm", "telephone": "+4520304050", "address": "Hovedgaden 1", "city": "Odense C", "zip": "5000",
        "remarks": f"#{REFERENCE} 2011 / 2. tv", "deliveryPrice": "60", "pickupTime": "20:15", "driverArrive": "N/A",
        "driverLeft": "N/A", "arriveAtCustomer": "N/A", "done": "N/A", "distance": "1914",
        "canceUrl": f"{LINK}/{TOKEN}", "cancel": 0, "canceled_at": None,
    }  # fmt: skip
    return {**known, **changes}


def make_list(*rows: object) -> Reply:
    return make_reply(200, {"error": False, "orders": rows, "message": "Here are the orders you are looking for"})


# --- transferred orders ---

NUMBER = "q2cJv7WQt0516eh"
PATH = "/api/v1/orderinfo/14"
TRANSFERRED: dict[str, Any] = {
    "error": False,
    "message": "ok,This order is for delivery",
    "distance_in_km": 10.35,
    "price_with_vat": 125,
    "update_url": "https://butik.deliverit.dk/api/v1/orderinfo/14/q2cJv7WQt0516eh/update",
    "cancel_url": "https://butik.deliverit.dk/api/v1/orderinfo/14/q2cJv7WQt0516eh/cancel",
}
SELF_PICKUP: dict[str, Any] = {**TRANSFERRED, "message": "ok,The customer will pick up this order"}
UPDATED: dict[str, Any] = {
    "error": True,
    "message": "Update ok,This order is for delivery",
    "distance_in_km": 1.93,
    "price_with_vat": 50,
    "update_url": "https://butik.deliverit.dk/api/v1/orderinfo/14/NP15eLVptYSvRU0/update",
    "cancel_url": "https://butik.deliverit.dk/api/v1/orderinfo/14/NP15eLVptYSvRU0/cancel",
}
EMPTY_VARIABLE = "Variable 'variable-name' cannot be empty"
MESSY_ADDRESS = "Address is too messy. Cannot find latitude and longitude."
NUMBER_EXISTS = "Order with that number exist. Please use unique number"
NOT_SAVED = "Some strange error has occured. Please try again. If the error remains, please contact DeliverIt"
UNKNOWN_NUMBER = "Order with that number does not exist. Please use correct number"
TRANSFER_NOT_ALLOWED = {"error": True, "message": "You should not be here"}
TRANSFER_CANCELED = {"error": False, "canceled": True, "message": "Cancellation ok,"}
TOO_LATE = {
    "error": False,
    "canceled": False,
    "message": "You cannot cancel an order, where the driver is booked, and there are less than 15 minutes til pickup.",
}
DRIVER_ROW = make_row(
    created_at={"date": "2026-11-21 19:00:05.000000", "timezone_type": 3, "timezone": "Europe/Berlin"},
    name="Anna Marie Holm",
    remarks=f"#{REFERENCE} pickup 2026-11-21 20:15",
)
"""The row of a driver who was booked by hand for a transferred order."""


def bad_request(message: str) -> Reply:
    return make_reply(400, {"error": True, "message": message})


# --- builders ---


def make_reply(status: int, body: str | bytes | dict[str, Any], **headers: str) -> Reply:
    raw = json.dumps(body) if isinstance(body, dict) else body
    return Reply(
        status, raw.encode() if isinstance(raw, str) else raw, {k.replace("_", "-"): v for k, v in headers.items()}
    )


def change_dropoff(booking: Booking, **changes: Any) -> Booking:
    order = booking.order
    return replace(booking, order=order.model_copy(update={"dropoff": order.dropoff.model_copy(update=changes)}))


def change_customer(booking: Booking, **changes: Any) -> Booking:
    order = booking.order
    return replace(booking, order=order.model_copy(update={"customer": order.customer.model_copy(update=changes)}))


def unpaid(subject: Any) -> Any:
    payment = subject.order.payment.model_copy(update={"prepaid": False})
    return replace(subject, order=subject.order.model_copy(update={"payment": payment}))


def fields(call: Call) -> dict[str, str]:
    return dict(parse_qsl(call.body.decode(), keep_blank_values=True))


def without_company(account: DeliverItAccount) -> DeliverIt:
    return DeliverIt(account.model_copy(update={"company": None}), {})


def error_of(act: Callable[[], object]) -> CarrierError:
    with pytest.raises(CarrierError) as caught:
        act()
    return caught.value
