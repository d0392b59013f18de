"""Queries beside the tracking of orders: price, labels, courier position."""

import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from schemas.status import Reason
from worker.carriers.abilities import Label, Labels, LocatesCourier, Quote, Quotes, VerifiesAccount
from worker.carriers.borzo import Borzo
from worker.carriers.port import AttemptView, Booking, Courier, Price
from worker.errors import CarrierError, Refused, Throttled, Unavailable, Unreadable
from worker.http.call import Call, Operation, Reply

Documents = Callable[[str], bytes]
Replies = Callable[..., Reply]
EIGHTEEN = Price(Decimal("18.00"), "BRL")


def _summary(call: Call) -> tuple[object, ...]:
    return call.operation, call.method, call.path, call.query


def _sample(document: Documents) -> dict[str, Any]:
    """The document's calculated order, with the comma that is missing in it (B-13)."""
    raw: dict[str, Any] = json.loads(document("calculate_order").replace(b'-03:00"\n"courier', b'-03:00",\n"courier'))
    return raw


def _calculated(document: Documents, **changes: Any) -> Reply:
    return Reply(200, json.dumps(_sample(document) | changes).encode())


def test_borzo_has_prices_labels_courier_positions_and_an_account_check(make: Callable[..., Borzo]) -> None:
    assert all(isinstance(make(), protocol) for protocol in (Quotes, Labels, LocatesCourier, VerifiesAccount))
    assert (make().quotes_first, make(quote_first=True).quotes_first) == (False, True)


@pytest.mark.quirk("B-20")
def test_a_price_is_requested_with_the_parameters_of_the_create_without_contacts(
    make: Callable[..., Borzo], booking: Booking, now: datetime
) -> None:
    codec = make(payment_method="cash", insurance="order")
    call, create = codec.quote(booking, now), json.loads(codec.book(booking, now).body)
    assert _summary(call) == (Operation.QUERY, "POST", "/api/business/1.6/calculate-order", ())
    for point in create["points"]:
        for name in ("client_order_id", "contact_person", "note"):
            point.pop(name, None)
    assert json.loads(call.body) == create


def test_an_order_that_is_refused_before_the_create_has_no_price(
    codec: Borzo, booking_of: Callable[..., Booking], now: datetime
) -> None:
    with pytest.raises(Refused, match=r"^dropoff\.street"):
        codec.quote(booking_of(order={"dropoff": {"street": "x" * 351}}), now)


@pytest.mark.quirk("B-20", "B-21")
def test_the_documented_price_is_orderable_although_contacts_are_missing(
    codec: Borzo, document: Documents, now: datetime
) -> None:
    quote = codec.read_quote(_calculated(document), now)
    assert quote == Quote(EIGHTEEN)
    assert "1250032" not in repr(quote)


@pytest.mark.quirk("B-13")
def test_the_invalid_json_of_the_sample_gives_no_price(codec: Borzo, document: Documents, now: datetime) -> None:
    with pytest.raises(Unreadable):
        codec.read_quote(Reply(200, document("calculate_order")), now)


PHONE = {"contact_person": {"phone": ["required"]}}


@pytest.mark.quirk("B-21")
@pytest.mark.parametrize(
    ("warnings", "tree", "why", "reason"),
    [
        ([], None, None, None),
        (["invalid_parameters"], {"points": [{"contact_person": ["required"]}, PHONE]}, None, None),
        (
            ["invalid_parameters"],
            {"points": [PHONE, {"address": ["address_not_found"]}]},
            "invalid_parameters; /points/1/address address_not_found",
            Reason.UNSERVICEABLE,
        ),
        (
            ["invalid_parameters"],
            {"points": [{"contact_person": {"phone": ["invalid_phone"]}}]},
            "invalid_parameters; /points/0/contact_person/phone invalid_phone",
            Reason.VALIDATION,
        ),
        (["invalid_parameters"], None, "invalid_parameters", Reason.VALIDATION),
        (
            ["invalid_parameters", "insufficient_balance"],
            {"points": [PHONE]},
            "insufficient_balance",
            Reason.ACCOUNT_FUNDING,
        ),
        (["brand_new"], None, "brand_new", Reason.UNKNOWN),
    ],
)
def test_a_price_with_warnings_is_not_orderable(
    codec: Borzo, document: Documents, now: datetime, warnings: list[str], tree: object, why: str | None, reason: Reason
) -> None:
    quote = codec.read_quote(_calculated(document, warnings=warnings, parameter_warnings=tree), now)
    expected = Quote(EIGHTEEN, orderable=False, why=(why,), reason=reason) if why else Quote(EIGHTEEN)
    assert quote == expected


@pytest.mark.quirk("B-08")
@pytest.mark.parametrize(
    ("amount", "price"), [(None, None), (18.5, Price(Decimal("18.5"), "BRL")), ("much", None)], ids=str
)
def test_a_price_may_be_missing_or_a_number(
    codec: Borzo, document: Documents, now: datetime, amount: object, price: Price | None
) -> None:
    order = {**_sample(document)["order"], "payment_amount": amount}
    assert codec.read_quote(_calculated(document, order=order, warnings=[]), now) == Quote(price)


def test_a_refused_request_for_a_price_is_not_orderable(codec: Borzo, refused: Replies, now: datetime) -> None:
    quote = codec.read_quote(refused("route_not_found"), now)
    assert quote == Quote(None, orderable=False, why=("route_not_found",), reason=Reason.UNSERVICEABLE)


@pytest.mark.parametrize(
    ("code", "error"),
    [("requests_limit_exceeded", Throttled), ("invalid_auth_token", Unavailable), ("service_unavailable", Unavailable)],
)
def test_a_temporary_error_of_a_request_for_a_price_is_no_refusal(
    codec: Borzo, refused: Replies, now: datetime, code: str, error: type[CarrierError]
) -> None:
    with pytest.raises(error):
        codec.read_quote(refused(code), now)


@pytest.mark.quirk("B-54")
def test_only_the_zpl_labels_of_our_order_are_read(codec: Borzo, attempt: AttemptView, document: Documents) -> None:
    call = codec.labels(attempt, "zpl")
    query = (("type", "zpl"), ("order_id[]", "1250032"))
    assert _summary(call) == (Operation.QUERY, "GET", "/api/business/1.6/labels", query)
    content = b"^XA\n\n^FO600,40^GFA,779,779,19,,3FC,7FE,:IF,:::::IF0FFCI03IFI0F..."
    expected = tuple(Label("application/zpl", content, point) for point in ("2783321", "2783322", "2783323"))
    assert codec.read_labels(Reply(200, document("labels_zpl")), attempt) == expected


@pytest.mark.quirk("B-54")
def test_pdf_labels_are_in_base_64_in_another_field(codec: Borzo, attempt: AttemptView, document: Documents) -> None:
    sample = document("labels_pdf")
    with pytest.raises(Unreadable, match="base 64"):
        codec.read_labels(Reply(200, sample), attempt)  # the sample is shortened with dots
    whole = sample.replace(
        b"JVBERi0xLjQKMSAwIG9iago8PAovVGl0bGUgKP7/AGwAYQBiAGUAbAAuAHAAZABm...", b64encode(b"%PDF-1.4")
    )
    labels = codec.read_labels(Reply(200, whole), attempt)
    assert labels[:1] == (Label("application/pdf", b"%PDF-1.4", "2783321"),)
    assert [label.point for label in labels] == ["2783321", "2783322", "2783323"]


def test_a_label_without_content_is_unreadable_and_an_empty_list_has_none(codec: Borzo, attempt: AttemptView) -> None:
    row = b'{"is_successful": true, "labels": [{"type": "pdf", "order_id": 1250032, "content": "^XA"}]}'
    with pytest.raises(Unreadable, match="no content"):
        codec.read_labels(Reply(200, row), attempt)
    assert codec.read_labels(Reply(200, b'{"is_successful": true, "labels": []}'), attempt) == ()


@pytest.mark.quirk("B-53")
def test_the_documented_courier_is_located(codec: Borzo, attempt: AttemptView, document: Documents) -> None:
    call = codec.locate(attempt)
    assert _summary(call) == (Operation.QUERY, "GET", "/api/business/1.6/courier", (("order_id", "1250032"),))
    assert codec.read_location(Reply(200, document("courier")), attempt) == Courier(
        "Name Surname", "+5511900000001", latitude=-23.562747, longitude=-46.6576753
    )


@pytest.mark.quirk("B-53")
@pytest.mark.parametrize("changes", [{"latitude": None, "longitude": None}, {"longitude": None}, {"latitude": "x"}])
def test_a_courier_who_is_not_on_the_way_has_no_position(
    codec: Borzo, attempt: AttemptView, document: Documents, changes: dict[str, object]
) -> None:
    courier = json.loads(document("courier"))["courier"] | changes
    answers: list[object] = [courier, None, [], "nobody"]
    for answer in answers:
        reply = Reply(200, json.dumps({"is_successful": True, "courier": answer}).encode())
        assert codec.read_location(reply, attempt) is None


@pytest.mark.parametrize("ref", [None, "", "abc"])
def test_a_query_about_an_order_without_an_id_is_refused(codec: Borzo, attempt: AttemptView, ref: str | None) -> None:
    unknown = replace(attempt, ref=ref)
    asks: list[Callable[[], Call]] = [lambda: codec.labels(unknown, "pdf"), lambda: codec.locate(unknown)]
    for ask in asks:
        with pytest.raises(Refused):
            ask()


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b'{"is_successful": false}', b'{"is_successful": "true"}'])
def test_an_undocumented_answer_to_a_query_is_unreadable(
    codec: Borzo, attempt: AttemptView, now: datetime, body: bytes
) -> None:
    reply = Reply(200, body)
    reads: list[Callable[[], object]] = [
        lambda: codec.read_quote(reply, now),
        lambda: codec.read_labels(reply, attempt),
        lambda: codec.read_location(reply, attempt),
        lambda: codec.read_verification(reply),
    ]
    for read in reads:
        with pytest.raises(Unreadable):
            read()
