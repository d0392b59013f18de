"""One subject for each carrier: a codec, an order that exists there, and the carrier's answers about it."""

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
    """What the suite needs of one carrier. The replies are those of its document."""

    codec: Carrier
    ref: str
    """The carrier's id of the order."""
    booked: tuple[Reply, ...]
    """Answers to a create that succeeded."""
    refused: tuple[Reply, ...]
    """Answers to a create that was refused."""
    tracked: Reply
    """The answer to a read that shows the order."""
    with_unknown_status: Reply
    """The answer to a read that shows the order with an undocumented status."""
    unknown_status: str
    """The status in it."""
    not_found: Reply
    """The answer to a read that does not show the order."""
    cancelled: Reply
    """The answer to a cancel that was accepted."""
    cancel_refused: Reply
    """The answer to a cancel that was refused."""
    unauthorized: Reply
    """The answer to wrong credentials."""
    codec_state: Mapping[str, str] = field(default_factory=dict)
    """What the codec remembers of the order."""
    callback: Callback | None = None
    detects_truncation: bool = True
    """Whether a truncated answer differs from a whole one."""

    @property
    def booking(self) -> Booking:
        return BOOKING

    @property
    def attempt(self) -> AttemptView:
        """The attempt after its create, before any other news."""
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
            codec_state=self.codec_state,
            rank=10,
        )

    @property
    def unanswered(self) -> AttemptView:
        """The same attempt while the outcome of its create is unknown."""
        return replace(self.attempt, state="submit_unknown", ref=None, codec_state={}, rank=2)


def reply_of(status: int, document: Any) -> Reply:
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
    sent = {"order_id": "2011", "driver_name": "Fot testing", "order_status": "2", "cancel": "", "tracking": ""}
    return Subject(
        codec=Cervo(account, {}),
        ref="25",
        booked=(Reply(200, b"99999"),),
        refused=(Reply(400, b'{ "Customer is required , ..." }'), Reply(500, b'{ "Customer is required , ..." }')),
        tracked=reply_of(200, order),
        with_unknown_status=reply_of(200, order | {"Status": 6, "OrderStatus": []}),
        unknown_status="6",
        not_found=Reply(400, b""),
        cancelled=Reply(200, b""),
        cancel_refused=Reply(400, b""),
        unauthorized=Reply(401, b""),
        callback=Callback("POST", json.dumps(sent).encode(), {"content-type": "application/json"}, token="token"),
        detects_truncation=False,
    )


# --- Borzo ---


def _refusal(*codes: str, parameter_errors: Any = None) -> Reply:
    return reply_of(400, {"is_successful": False, "errors": codes, "parameter_errors": parameter_errors})


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
        codec_state={"point_id": "202686"},
        booked=tuple(
            Reply(200, (PAYLOADS / f"{name}.txt").read_bytes())
            for name in ("create_order", "create_order_bank_card", "create_order_from_draft")
        ),
        refused=(_refusal("route_not_found"), Reply(400, (PAYLOADS / "create_order_invalid.txt").read_bytes())),
        tracked=reply_of(200, {"is_successful": True, "orders": [order], "orders_count": 1}),
        with_unknown_status=reply_of(200, {"is_successful": True, "orders": [odd], "orders_count": 1}),
        unknown_status="left_in_locker",
        not_found=reply_of(200, {"is_successful": True, "orders": [], "orders_count": 0}),
        cancelled=Reply(200, (PAYLOADS / "cancel_order.txt").read_bytes()),
        cancel_refused=_refusal("order_cannot_be_canceled"),
        unauthorized=_refusal("invalid_auth_token"),
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
        booked=(reply_of(201, DELIVERIT_CREATED), reply_of(201, DELIVERIT_PUSHED)),
        refused=(reply_of(400, closed), reply_of(400, closed | {"message": "Telephone cannot be empty"})),
        tracked=reply_of(200, {"error": False, "orders": [DELIVERIT_ROW], "message": ""}),
        with_unknown_status=reply_of(200, {"error": False, "orders": [DELIVERIT_ROW | {"cancel": 2}], "message": ""}),
        unknown_status="cancel=2",
        not_found=reply_of(404, {"error": True, "message": "No order is found. Are the dates correct?."}),
        cancelled=reply_of(200, {"error": False, "message": "Okay, the order is canceled"}),
        cancel_refused=reply_of(400, under_way),
        unauthorized=reply_of(401, {"login": False, "msg": "nope, try again"}),
    )


def _transfer() -> Subject:
    """The other mode of DeliverIt: the order is handed over, and an operator books its driver."""
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
        codec_state={"order_number": "q2cJv7WQt0516eh"},
        booked=(reply_of(201, handed_over),),
        refused=(
            reply_of(400, {"error": True, "message": "Variable 'name' cannot be empty"}),
            reply_of(400, {"error": True, "message": "Address is too messy. Cannot find latitude and longitude."}),
        ),
        cancelled=reply_of(200, {"error": False, "canceled": True, "message": "Cancellation ok,"}),
        cancel_refused=reply_of(202, {"error": False, "canceled": False, "message": too_late}),
    )


# --- the toy ---


def _toy() -> Subject:
    return Subject(
        codec=Toy(ToyAccount(name="toy", kind="toy", key=SecretStr(SECRET)), {}),
        ref="toy-1",
        booked=(reply_of(201, {"id": "toy-1"}),),
        refused=(reply_of(409, {"problem": "address"}),),
        tracked=reply_of(200, {"state": "accepted"}),
        with_unknown_status=reply_of(200, {"state": "lost_in_space"}),
        unknown_status="lost_in_space",
        not_found=reply_of(404, {}),
        cancelled=reply_of(201, {}),
        cancel_refused=reply_of(409, {"problem": "too_late"}),
        unauthorized=Reply(401, b"{}"),
    )


SUBJECTS = {
    "cervo": _cervo(),
    "borzo": _borzo(),
    "deliverit-form": _deliverit("form"),
    "deliverit-json": _deliverit("json"),
    "deliverit-transfer": _transfer(),
    "toy": _toy(),
}
