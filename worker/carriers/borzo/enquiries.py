"""What Borzo is asked beside its orders: the price, labels, where the courier is, and what the account may do.

Nothing of it changes anything there, and of what is personal in the answers nothing is kept (B-55).
"""

from base64 import b64decode
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from schemas.status import Reason
from worker.carriers.abilities import Label, Quote
from worker.carriers.account import CarrierAccount
from worker.carriers.borzo.account import BorzoAccount
from worker.carriers.borzo.faults import Problem, after_reading, objection, refusal_in
from worker.carriers.borzo.request import calculate_order, encode
from worker.carriers.borzo.sighting import CURRENCY, courier_of
from worker.carriers.borzo.wire import RawClient, RawCourier, RawLabel, RawPrice, rows, success
from worker.carriers.port import AttemptView, Booking, Courier, Price
from worker.errors import Refused, Unreadable
from worker.http.call import Call, Operation, Reply

API = "/api/business/1.6"
MEDIA = {"pdf": "application/pdf", "zpl": "application/zpl"}
Query = tuple[tuple[str, str], ...]


class Enquiries:
    """The questions to one account, and how every call to it looks."""

    def __init__(self, account: CarrierAccount) -> None:
        if not isinstance(account, BorzoAccount):
            raise TypeError("a Borzo codec needs a BorzoAccount")
        self.account: CarrierAccount = account
        self.borzo = account
        self.quotes_first = account.quote_first
        self._headers = (("X-DV-Auth-Token", account.token.get_secret_value()), ("Accept", "application/json"))

    def quote(self, booking: Booking, now: datetime) -> Call:
        """Describe calculate-order (Borzo, "Order price calculation"). Raises Refused naming the field."""
        return self.post(Operation.ASK, "calculate-order", calculate_order(booking, self.borzo, now))

    def read_quote(self, reply: Reply, now: datetime) -> Quote:
        """Read the price, and what a create would be refused for; the order id in it is nobody's (B-20, B-21)."""
        refused = refusal_in(reply)
        if refused:
            return _quote(None, refused)
        document = _answered(reply, now)
        return _quote(RawPrice.of(document.get("order")).payment_amount, objection(document))

    def labels(self, attempt: AttemptView, media: Literal["pdf", "zpl"]) -> Call:
        """Describe labels (Borzo, "List of labels"). Raises Refused while the order's id is not known."""
        return self.get(Operation.ASK, "labels", (("type", media), ("order_id[]", str(ref_of(attempt)))))

    def read_labels(self, reply: Reply, attempt: AttemptView) -> tuple[Label, ...]:
        """Read the labels of our order, one for each point (B-54). Raises Unreadable when one has no content."""
        raw_labels = [RawLabel.of(row) for row in rows(_answered(reply).get("labels"))]
        return tuple(_label(raw) for raw in raw_labels if str(raw.order_id) == attempt.ref)

    def locate(self, attempt: AttemptView) -> Call:
        """Describe courier (Borzo, "Courier info and courier location"). Raises Refused without the order's id."""
        return self.get(Operation.ASK, "courier", (("order_id", str(ref_of(attempt))),))

    def read_location(self, reply: Reply, attempt: AttemptView) -> Courier | None:
        """Read where the courier is; Borzo tells it only while one is on the way (B-53)."""
        raw_courier = _answered(reply).get("courier")
        courier = courier_of(RawCourier.of(raw_courier), attempt.store.country) if raw_courier else None
        return courier if courier and courier.latitude is not None else None

    def probe(self) -> Call:
        """Describe the client's profile, which needs a valid token (Borzo, "Client profile info", B-01)."""
        return self.get(Operation.PROBE, "client")

    def read_probe(self, reply: Reply) -> dict[str, str]:
        """Read which payment methods the account may use, and nothing else of the client (B-34, B-55)."""
        methods = RawClient.of(_answered(reply).get("client")).allowed_payment_methods
        return {"allowed_payment_methods": ",".join(sorted(methods))}

    def vet(self, facts: Mapping[str, str]) -> Call | None:
        """Refuse a payment method that the account may not use; describe bank-cards where a card pays (B-34)."""
        allowed = [method for method in facts.get("allowed_payment_methods", "").split(",") if method]
        if allowed and self.borzo.payment_method not in allowed:
            raise Refused(Reason.CONFIG, f"payment_method: Borzo allows this account {', '.join(allowed)}")
        by_card = self.borzo.payment_method == "bank_card"
        return self.get(Operation.PROBE, "bank-cards") if by_card else None

    def read_vetted(self, reply: Reply) -> None:
        """Refuse a card that is not the account's (Borzo, "Available bank cards"); nothing of them is kept (B-55)."""
        cards = [card.get("bank_card_id") for card in rows(_answered(reply).get("bank_cards"))]
        if self.borzo.bank_card_id not in cards:
            raise Refused(Reason.CONFIG, "bank_card_id: the account has no such card")

    def get(self, operation: Operation, method: str, query: Query = (), covers: tuple[int, ...] = ()) -> Call:
        """Describe a question to one of the API's methods."""
        return Call(operation, "GET", f"{API}/{method}", covers, query, self._headers)

    def post(
        self, operation: Operation, method: str, parameters: Mapping[str, Any], covers: tuple[int, ...] = ()
    ) -> Call:
        """Describe a request with parameters in its body."""
        headers = (*self._headers, ("Content-Type", "application/json; charset=utf-8"))
        return Call(operation, "POST", f"{API}/{method}", covers, headers=headers, body=encode(parameters))


def ref_of(attempt: AttemptView) -> int:
    """Give the order's id at Borzo. Raises Refused while it is not known."""
    ref = attempt.ref or ""
    if not (ref.isascii() and ref.isdigit()):
        raise Refused(Reason.UNKNOWN, "the order's id at Borzo is not known")
    return int(ref)


def _answered(reply: Reply, now: datetime | None = None) -> dict[str, Any]:
    document = success(reply)
    if document is None:
        raise after_reading(reply, now)
    return document


def _quote(amount: Decimal | None, problem: Problem | None) -> Quote:
    price = Price(amount, CURRENCY) if amount is not None else None
    return Quote(price, orderable=False, why=(problem.text,), reason=problem.reason) if problem else Quote(price)


def _label(raw: RawLabel) -> Label:
    """Read a label: ZPL is text, PDF is in base 64 under another name (B-54)."""
    media, point = MEDIA.get(raw.type or ""), str(raw.point_id or "")
    if raw.type == "zpl" and raw.content and media:
        return Label(media, raw.content.encode(), point)
    if raw.type == "pdf" and raw.content_base64 and media:
        return Label(media, _file(raw.content_base64), point)
    raise Unreadable("a label has no content")


def _file(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except ValueError:
        raise Unreadable("a label's content is not base 64") from None
