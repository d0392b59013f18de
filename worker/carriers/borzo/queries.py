"""Queries that are not part of tracking: price, labels, courier position, account check.

No query changes anything at Borzo. The client's personal data in the answers is not kept (B-55).
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
from worker.carriers.borzo.errors import Problem, parse_refusal, parse_warnings, read_error
from worker.carriers.borzo.observations import parse_courier
from worker.carriers.borzo.request import calculate_order, encode
from worker.carriers.borzo.wire import (
    CURRENCY,
    RawClient,
    RawCourier,
    RawLabel,
    RawPrice,
    objects_in,
    parse_success,
)
from worker.carriers.port import AttemptView, Booking, Courier, Price
from worker.errors import Refused, Unreadable
from worker.http.call import Call, Operation, Reply

API = "/api/business/1.6"
MEDIA_TYPES = {"pdf": "application/pdf", "zpl": "application/zpl"}
Query = tuple[tuple[str, str], ...]


class Queries:
    """Builds and reads the queries of one account. Every call to Borzo is built with `get` or `post`."""

    def __init__(self, account: CarrierAccount) -> None:
        if not isinstance(account, BorzoAccount):
            raise TypeError("a Borzo codec needs a BorzoAccount")
        self.account: CarrierAccount = account
        self.settings = account
        self.quotes_first = account.quote_first
        self._headers = (("X-DV-Auth-Token", account.token.get_secret_value()), ("Accept", "application/json"))

    def quote(self, booking: Booking, now: datetime) -> Call:
        """Build calculate-order (Borzo, "Order price calculation"). Raises Refused, naming the field."""
        return self.post(Operation.QUERY, "calculate-order", calculate_order(booking, self.settings, now))

    def read_quote(self, reply: Reply, now: datetime) -> Quote:
        """Return the price and the faults for which Borzo would refuse a create (B-21).

        The order id in the reply belongs to no order (B-20).
        """
        refused = parse_refusal(reply)
        if refused:
            return _quote(None, refused)
        document = _document(reply, now)
        return _quote(RawPrice.parse(document.get("order")).payment_amount, parse_warnings(document))

    def labels(self, attempt: AttemptView, media: Literal["pdf", "zpl"]) -> Call:
        """Build the request `labels` (Borzo, "List of labels"). Raises Refused while the order's id is not known."""
        return self.get(Operation.QUERY, "labels", (("type", media), ("order_id[]", str(order_id_of(attempt)))))

    def read_labels(self, reply: Reply, attempt: AttemptView) -> tuple[Label, ...]:
        """Return the labels of our order, one for each point (B-54). Raises Unreadable when a label has no content."""
        raw_labels = [RawLabel.parse(row) for row in objects_in(_document(reply).get("labels"))]
        return tuple(_label(raw) for raw in raw_labels if str(raw.order_id) == attempt.ref)

    def locate(self, attempt: AttemptView) -> Call:
        """Build the request `courier` (Borzo, "Courier info and courier location").

        Raises Refused while the order's id is not known.
        """
        return self.get(Operation.QUERY, "courier", (("order_id", str(order_id_of(attempt))),))

    def read_location(self, reply: Reply, attempt: AttemptView) -> Courier | None:
        """Return the courier with their position; None while Borzo reports no position (B-53)."""
        raw_courier = _document(reply).get("courier")
        courier = parse_courier(RawCourier.parse(raw_courier), attempt.store.country) if raw_courier else None
        return courier if courier and courier.latitude is not None else None

    def probe(self) -> Call:
        """Build the read of the client's profile, which needs a valid token (Borzo, "Client profile info", B-01)."""
        return self.get(Operation.PROBE, "client")

    def read_probe(self, reply: Reply) -> dict[str, str]:
        """Return the payment methods that the account may use, and no other data of the client (B-34, B-55)."""
        methods = RawClient.parse(_document(reply).get("client")).allowed_payment_methods
        return {"allowed_payment_methods": ",".join(sorted(methods))}

    def verify_account(self, facts: Mapping[str, str]) -> Call | None:
        """Check that the account may use the payment method. Raises Refused if it may not.

        If a bank card pays, return the request `bank-cards`, otherwise None (B-34).
        """
        allowed = [method for method in facts.get("allowed_payment_methods", "").split(",") if method]
        if allowed and self.settings.payment_method not in allowed:
            raise Refused(Reason.CONFIG, f"payment_method: Borzo allows this account {', '.join(allowed)}")
        by_card = self.settings.payment_method == "bank_card"
        return self.get(Operation.PROBE, "bank-cards") if by_card else None

    def read_verification(self, reply: Reply) -> None:
        """Raise Refused unless the account has the configured card (Borzo, "Available bank cards", B-55)."""
        cards = [card.get("bank_card_id") for card in objects_in(_document(reply).get("bank_cards"))]
        if self.settings.bank_card_id not in cards:
            raise Refused(Reason.CONFIG, "bank_card_id: the account has no such card")

    def get(self, operation: Operation, method: str, query: Query = (), attempt_ids: tuple[int, ...] = ()) -> Call:
        """Build a GET request to one of the API's methods."""
        return Call(operation, "GET", f"{API}/{method}", attempt_ids, query, self._headers)

    def post(
        self, operation: Operation, method: str, parameters: Mapping[str, Any], attempt_ids: tuple[int, ...] = ()
    ) -> Call:
        """Build a POST request with parameters in its body."""
        headers = (*self._headers, ("Content-Type", "application/json; charset=utf-8"))
        return Call(operation, "POST", f"{API}/{method}", attempt_ids, headers=headers, body=encode(parameters))


def order_id_of(attempt: AttemptView) -> int:
    """Return the order's id at Borzo. Raises Refused while the id is not known."""
    ref = attempt.ref or ""
    if not (ref.isascii() and ref.isdigit()):
        raise Refused(Reason.UNKNOWN, "the order's id at Borzo is not known")
    return int(ref)


def _document(reply: Reply, now: datetime | None = None) -> dict[str, Any]:
    document = parse_success(reply)
    if document is None:
        raise read_error(reply, now)
    return document


def _quote(amount: Decimal | None, problem: Problem | None) -> Quote:
    price = Price(amount, CURRENCY) if amount is not None else None
    return Quote(price, orderable=False, why=(problem.text,), reason=problem.reason) if problem else Quote(price)


def _label(raw: RawLabel) -> Label:
    """Return a label. Borzo sends ZPL as plain text, and PDF as base 64 in another field (B-54)."""
    media, point = MEDIA_TYPES.get(raw.type or ""), str(raw.point_id or "")
    if raw.type == "zpl" and raw.content and media:
        return Label(media, raw.content.encode(), point)
    if raw.type == "pdf" and raw.content_base64 and media:
        return Label(media, _decode_base64(raw.content_base64), point)
    raise Unreadable("a label has no content")


def _decode_base64(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except ValueError:
        raise Unreadable("a label's content is not base 64") from None
