"""One subject for each carrier: a codec, an order that stands there, and what the carrier says about it."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import SecretStr

from tests.carriers.sample import NOW, booking
from tests.carriers.toy import Toy, ToyAccount
from worker.carriers.borzo import Borzo, BorzoAccount
from worker.carriers.cervo import Cervo, CervoAccount
from worker.carriers.deliverit import DeliverIt, DeliverItAccount
from worker.carriers.port import AttemptView, Booking, Callback, Carrier
from worker.http.call import Reply

SECRET = "kept-to-itself"
"""The credential of every subject's account."""
BOOKING = replace(booking(name="Jane Doe", notes="ring twice"), callback_url="https://shop.example/callbacks/x/token")
PAYLOADS = Path(__file__).parents[1] / "borzo" / "payloads"
DELIVERIT_LINK = "http://butik.deliverit.dk/api/v1/orderdriver/cancel/14/F64u3fbxNdaoTyAcOisM"


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What the suite needs to know of one carrier; replies are those of its document.

    `booked` and `refused` are its answers to a create, `seen` to a read of the order that stands there, `odd` to one
    with a word that no document explains, `gone` to one that does not show the order, `taken` and `not_taken` to a
    cancel, `shut_out` to anybody with wrong credentials. `garbled` is whether half an answer can be told from a whole.
    """

    codec: Carrier
    ref: str
    booked: tuple[Reply, ...]
    refused: tuple[Reply, ...]
    seen: Reply
    odd: Reply
    odd_word: str
    gone: Reply
    taken: Reply
    not_taken: Reply
    shut_out: Reply
    refs: Mapping[str, str] = field(default_factory=dict)
    callback: Callback | None = None
    garbled: bool = True

    @property
    def booking(self) -> Booking:
        return BOOKING

    @property
    def attempt(self) -> AttemptView:
        """The attempt that its carrier has acknowledged, and nothing else is known of."""
        return AttemptView(
            id=BOOKING.attempt_id,
            number=1,
            carrier=self.codec.account.name,
            state="created",
            order=BOOKING.order,
            store=BOOKING.store,
            pickup_at=BOOKING.pickup_at,
            submitted_at=NOW,
            ref=self.ref,
            codec_state=self.refs,
            rank=10,
        )

    @property
    def doubtful(self) -> AttemptView:
        """The same while nobody knows the outcome of its create."""
        return replace(self.attempt, state="submit_unknown", ref=None, codec_state={}, rank=2)


def said(status: int, document: Any) -> Reply:
    return Reply(status, json.dumps(document).encode(), {"content-type": "application/json"})


# --- Cervo ---


def _cervo() -> Subject:
    account = CervoAccount(name="cervo", kind="cervo", token=SecretStr(SECRET), currency="DKK")
    order = {
        "DriverName": "Fot testing",
        "DriverMobile": "599000111",
        "Status": 2,
        "OrderStatus": [{"Status": 2, "Date": "2026-11-21 19:44"}],
        "tracking": "https://....",
    }
    told = {"order_id": "2011", "driver_name": "Fot testing", "order_status": "2", "cancel": "", "tracking": ""}
    return Subject(
        codec=Cervo(account, {}),
        ref="25",
        booked=(Reply(200, b"99999"),),
        refused=(Reply(400, b'{ "Customer is required , ..." }'), Reply(500, b'{ "Customer is required , ..." }')),
        seen=said(200, order),
        odd=said(200, order | {"Status": 6, "OrderStatus": []}),
        odd_word="6",
        gone=Reply(400, b""),
        taken=Reply(200, b""),
        not_taken=Reply(400, b""),
        shut_out=Reply(401, b""),
        callback=Callback("POST", json.dumps(told).encode(), {"content-type": "application/json"}, token="token"),
        garbled=False,
    )


# --- Borzo ---


def _refusal(*codes: str, parameter_errors: Any = None) -> Reply:
    return said(400, {"is_successful": False, "errors": codes, "parameter_errors": parameter_errors})


def _borzo() -> Subject:
    account = BorzoAccount(name="borzo", kind="borzo", token=SecretStr(SECRET), callback_secret=SecretStr(SECRET))
    order = json.loads((PAYLOADS / "create_order.txt").read_bytes())["order"]
    order["points"][1] |= {"client_order_id": BOOKING.reference, "delivery": {"status": "courier_assigned"}}
    odd = json.loads(json.dumps(order))
    odd["points"][1]["delivery"] = {"status": "left_in_locker"}
    body = json.dumps({"event_datetime": "2026-11-21T14:00:00-03:00", "event_type": "order_changed", "order": order})
    signature = hmac.new(SECRET.encode(), body.encode(), hashlib.sha256).hexdigest()
    return Subject(
        codec=Borzo(account, {}),
        ref="1250032",
        refs={"point_id": "202686"},
        booked=tuple(
            Reply(200, (PAYLOADS / f"{name}.txt").read_bytes())
            for name in ("create_order", "create_order_bank_card", "create_order_from_draft")
        ),
        refused=(_refusal("route_not_found"), Reply(400, (PAYLOADS / "create_order_invalid.txt").read_bytes())),
        seen=said(200, {"is_successful": True, "orders": [order], "orders_count": 1}),
        odd=said(200, {"is_successful": True, "orders": [odd], "orders_count": 1}),
        odd_word="left_in_locker",
        gone=said(200, {"is_successful": True, "orders": [], "orders_count": 0}),
        taken=Reply(200, (PAYLOADS / "cancel_order.txt").read_bytes()),
        not_taken=_refusal("order_cannot_be_canceled"),
        shut_out=_refusal("invalid_auth_token"),
        callback=Callback("POST", body.encode(), {"x-dv-signature": signature}),
    )


# --- DeliverIt ---

DELIVERIT_CREATED = {
    "DeliverItOpen": True, "order_driver": True, "push": False, "DeliveryPrice": "60", "DeliveryDistance": "1914",
    "time": "18:00", "arrive_at_customer": "18:26", "order_id": 11823, "acceptUrl": "", "denyUrl": "",
    "cancelUrl": DELIVERIT_LINK,
}  # fmt: skip
DELIVERIT_PUSHED = DELIVERIT_CREATED | {
    "push": True, "time": "18:10", "arrive_at_customer": "18:36",
    "acceptUrl": DELIVERIT_LINK.replace("cancel", "accept"), "denyUrl": DELIVERIT_LINK.replace("cancel", "deny"),
}  # fmt: skip
DELIVERIT_ROW = {
    "created_at": {"date": "2026-11-21 18:00:05.000000", "timezone_type": 3, "timezone": "Europe/Berlin"},
    "name": "Jane Doe", "telephone": "+4520304050", "address": "Nørregade 7", "city": "Odense C", "zip": "5000",
    "remarks": f"#{BOOKING.reference} 2011", "deliveryPrice": "60", "pickupTime": "18:00", "driverArrive": "N/A",
    "driverLeft": "N/A", "arriveAtCustomer": "N/A", "done": "N/A", "distance": "1914",
    "canceUrl": DELIVERIT_LINK, "cancel": 0, "canceled_at": None,
}  # fmt: skip


def _deliverit(encoding: Literal["form", "json"]) -> Subject:
    account = DeliverItAccount(
        name="deliverit", kind="deliverit", username="u", password=SecretStr(SECRET), company="14", encoding=encoding
    )
    closed = {"DeliverItOpen": True, "error": True, "message": "Sorry. DeliverIt is closed."}
    under_way = {
        "error": True,
        "message": "You cannot cancel this order. The driver is on the way. Contact DeliverIt +45 93 866 766",
    }
    return Subject(
        codec=DeliverIt(account, {}),
        ref="F64u3fbxNdaoTyAcOisM",
        booked=(said(201, DELIVERIT_CREATED), said(201, DELIVERIT_PUSHED)),
        refused=(said(400, closed), said(400, closed | {"message": "Telephone cannot be empty"})),
        seen=said(200, {"error": False, "orders": [DELIVERIT_ROW], "message": ""}),
        odd=said(200, {"error": False, "orders": [DELIVERIT_ROW | {"cancel": 2}], "message": ""}),
        odd_word="cancel=2",
        gone=said(404, {"error": True, "message": "No order is found. Are the dates correct?."}),
        taken=said(200, {"error": False, "message": "Okay, the order is canceled"}),
        not_taken=said(400, under_way),
        shut_out=said(401, {"login": False, "msg": "nope, try again"}),
    )


def _transfer() -> Subject:
    """Give DeliverIt's other way: the order is handed over, and a person books its driver."""
    account = DeliverItAccount(
        name="deliverit", kind="deliverit", username="u", password=SecretStr(SECRET), company="14", mode="transfer"
    )
    links = "https://butik.deliverit.dk/api/v1/orderinfo/14/q2cJv7WQt0516eh"
    handed_over = {
        "error": False, "message": "ok,This order is for delivery", "distance_in_km": 10.35, "price_with_vat": 125,
        "update_url": f"{links}/update", "cancel_url": f"{links}/cancel",
    }  # fmt: skip
    too_late = "You cannot cancel an order, where the driver is booked, and there are less than 15 minutes til pickup."
    return replace(
        _deliverit("form"),
        codec=DeliverIt(account, {}),
        ref="q2cJv7WQt0516eh",
        refs={"number": "q2cJv7WQt0516eh"},
        booked=(said(201, handed_over),),
        refused=(
            said(400, {"error": True, "message": "Variable 'name' cannot be empty"}),
            said(400, {"error": True, "message": "Address is too messy. Cannot find latitude and longitude."}),
        ),
        taken=said(200, {"error": False, "canceled": True, "message": "Cancellation ok,"}),
        not_taken=said(202, {"error": False, "canceled": False, "message": too_late}),
    )


# --- the toy ---


def _toy() -> Subject:
    return Subject(
        codec=Toy(ToyAccount(name="toy", kind="toy", key=SecretStr(SECRET)), {}),
        ref="toy-1",
        booked=(said(201, {"id": "toy-1"}),),
        refused=(said(409, {"problem": "address"}),),
        seen=said(200, {"state": "accepted"}),
        odd=said(200, {"state": "lost_in_space"}),
        odd_word="lost_in_space",
        gone=said(404, {}),
        taken=said(201, {}),
        not_taken=said(409, {"problem": "too_late"}),
        shut_out=Reply(401, b"{}"),
    )


SUBJECTS = {
    "cervo": _cervo(),
    "borzo": _borzo(),
    "deliverit-form": _deliverit("form"),
    "deliverit-json": _deliverit("json"),
    "deliverit-transfer": _transfer(),
    "toy": _toy(),
}
