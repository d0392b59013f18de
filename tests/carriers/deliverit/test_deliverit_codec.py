"""Requests and answers: login, create, accept, deny and cancel, with the document's own payloads."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from schemas.order import Order
from schemas.status import DeliveryStatus, Reason
from worker.carriers.account import CarrierAccount
from worker.carriers.deliverit import DeliverIt, DeliverItAccount
from worker.carriers.port import (
    AttemptView,
    Booked,
    Booking,
    Cadence,
    Callback,
    Capabilities,
    Carrier,
    Observation,
    Offer,
    Price,
    Raw,
)
from worker.errors import CarrierError, Forged, Refused, Throttled, Unavailable, Uncertain, Unreadable
from worker.http.call import Call, Operation, Reply

TAG = "132TMY8NEP0"
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
EMPTY = '{"DeliverItOpen": true, "error": true, "message": "Telephone cannot be empty"}'
ACCEPTED = """{"DeliverItOpen": true, "order_driver": true, "time": "19:23", "arriveAtCustomer": "19:42",
"message": "The trip is saved and the driver will arrive at restaurant at 19:23",
"cancelurl": "https://dev.butik.deliverit.dk/api/v1/orderdriver/cancel/149/RYGKaXMCSN94WfqPEivy"}"""
REPEATED = """{"DeliverItOpen": true, "order_driver": false,
"message": "You have already accepted this trip or it has not been pushed. Nothing to do",
"cancelurl": "http://butik.deliverit.dk/api/v1/orderdriver/cancel/14/uyPtNITg5cAOoKDViG2e"}"""
LAPSED = """{"DeliverItOpen": true, "order_driver": false, "message":
"You cannot accept this anymore. Time limit reached or order does not exist. Please create new order"}"""
NOT_HERE = '{"DeliverItOpen": true, "order_driver": false, "message": "You should not be here"}'
DENIED = '{"error": false, "message": "The order is now canceled"}'
NOT_DENIED = '{"error": true, "message": "You should not be here"}'
CANCELED = '{"error": false, "message": "Okay, the order is canceled"}'
UNDERWAY = """{"error": true,
"message": "You cannot cancel this order. The driver is on the way. Contact DeliverIt +45 93 866 766"}"""


def said(status: int, body: str | bytes | dict[str, Any], **headers: str) -> Reply:
    raw = json.dumps(body) if isinstance(body, dict) else body
    return Reply(
        status, raw.encode() if isinstance(raw, str) else raw, {k.replace("_", "-"): v for k, v in headers.items()}
    )


def dropoff(booking: Booking, **changes: Any) -> Booking:
    order = booking.order
    return replace(booking, order=order.model_copy(update={"dropoff": order.dropoff.model_copy(update=changes)}))


def customer(booking: Booking, **changes: Any) -> Booking:
    order = booking.order
    return replace(booking, order=order.model_copy(update={"customer": order.customer.model_copy(update=changes)}))


def fields(call: Call) -> dict[str, str]:
    return dict(parse_qsl(call.body.decode(), keep_blank_values=True))


def known_by_no_login(account: DeliverItAccount) -> DeliverIt:
    return DeliverIt(account.model_copy(update={"company": None}), {})


def error_of(act: Callable[[], object]) -> CarrierError:
    with pytest.raises(CarrierError) as caught:
        act()
    return caught.value


@pytest.fixture
def offered(attempt: AttemptView) -> AttemptView:
    refs = {"accept": "acceptTOKEN01", "deny": "denyTOKEN0001", "cancel": "F64u3fbxNdaoTyAcOisM"}
    return replace(
        attempt, state="awaiting_confirmation", codec_state={**refs, "pickup": "2026-11-21T18:30:00+00:00"}, rank=3
    )


# --- the account ---------------------------------------------------------------------------------------------------


def test_the_defaults_are_those_of_the_contract() -> None:
    account = DeliverItAccount(name="deliverit", kind="deliverit", username="a", password=SecretStr("b"))
    assert account.model_dump(exclude={"password"}) == {
        "name": "deliverit", "kind": "deliverit", "base_url": "https://butik.deliverit.dk", "allow_http": False,
        "connect_timeout": 5, "read_timeout": 30, "deadline": 45, "rate": "", "poll_interval": 30, "callback_wait": 0,
        "postal_codes": "", "hours": "", "username": "a", "company": None, "timezone": "Europe/Copenhagen",
        "max_push": 15, "offer_wait": 180, "mode": "book", "encoding": "form",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"mode": "sell"}, "'book' or 'transfer'"),
        ({"timezone": "Europe/Odense"}, "not an IANA time zone"),
        ({"username": "a:b"}, "colon"),
        ({"company": "odense"}, "pattern"),
        ({"encoding": "xml"}, "'form' or 'json'"),
        ({"max_push": -1}, "greater than or equal to 0"),
        ({"offer_wait": 0}, "greater than 0"),
        ({"offer_wait": 181}, "less than or equal to 180"),
    ],
)
def test_a_wrong_setting_is_refused_in_words(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        DeliverItAccount(
            **{"name": "deliverit", "kind": "deliverit", "username": "a", "password": SecretStr("b"), **changes}
        )


def test_a_company_may_be_written_as_a_number(account: DeliverItAccount) -> None:
    assert DeliverItAccount(**{**account.model_dump(), "company": 14}) == account


def test_the_codec_is_a_carrier(codec: DeliverIt, account: DeliverItAccount) -> None:
    carrier: Carrier = codec
    kinds: dict[str, type[Carrier]] = {"deliverit": DeliverIt}
    assert kinds[carrier.kind].account_type is DeliverItAccount
    assert carrier.account == account
    assert carrier.capabilities == Capabilities(
        find=True, cadence=Cadence(30, 30, 60, 60, together=True), track_batch=1000,
        max_creates=2, max_shift=15, callbacks="none", max_body=10_000_000,
    )  # fmt: skip


def test_another_kind_of_account_is_refused() -> None:
    with pytest.raises(TypeError):
        DeliverIt(CarrierAccount(name="x", kind="x", base_url="https://x", poll_interval=1), {})


# --- login ---------------------------------------------------------------------------------------------------------


@pytest.mark.quirk("D-03", "D-05")
def test_the_probe_is_the_login(codec: DeliverIt) -> None:
    call = codec.probe()
    assert call == Call(
        Operation.PROBE, "POST", "/api/v1/login",
        headers=(
            ("Authorization", "Basic " + base64.b64encode("shop@example.com:æble:1".encode()).decode()),  # D-03, D-05
            ("Accept", "application/json"),
            ("Content-Type", "application/x-www-form-urlencoded"),
        ),
        body=b"username=shop%40example.com&password=%C3%A6ble%3A1",
    )  # fmt: skip


def test_no_credential_shows_when_a_call_is_printed(codec: DeliverIt) -> None:
    assert "Basic" not in repr(codec.probe())
    assert "password" not in repr(codec.probe())


@pytest.mark.quirk("D-04")
@pytest.mark.parametrize("status", [200, 201])
def test_the_login_tells_the_company(account: DeliverItAccount, status: int) -> None:
    unset = known_by_no_login(account)
    assert unset.read_probe(said(status, '{"login": true, "company": 1, "msg": "Welcome"}')) == {"company": "1"}


def test_a_login_without_a_company_confirms_the_setting(codec: DeliverIt) -> None:
    assert codec.read_probe(said(201, '{"login": true, "msg": "Welcome"}')) == {"company": "14"}


@pytest.mark.quirk("D-04")
def test_another_company_than_the_setting_says_is_fatal(codec: DeliverIt) -> None:
    error = error_of(lambda: codec.read_probe(said(201, '{"login": true, "company": 1, "msg": "Welcome"}')))
    assert isinstance(error, Refused)
    assert (error.reason, error.text) == (Reason.CONFIG, "the login belongs to company 1, the setting says 14")


@pytest.mark.parametrize(
    ("status", "body", "shut_out"),
    [
        (401, '{"login": false, "msg": "nope, try again"}', True),
        (403, "", True),
        (201, '{"login": false, "msg": "nope, try again"}', True),
        (500, "", False),
        (429, "", False),
    ],
)
def test_a_failed_login_shuts_out_the_account(codec: DeliverIt, status: int, body: str, *, shut_out: bool) -> None:
    error = error_of(lambda: codec.read_probe(said(status, body)))
    assert isinstance(error, Unavailable)
    assert error.account is shut_out


@pytest.mark.parametrize(("status", "body"), [(201, "hello"), (404, "{}"), (201, '{"login": true, "company": "../1"}')])
def test_a_login_that_cannot_be_read_tells_nothing(account: DeliverItAccount, status: int, body: str) -> None:
    assert isinstance(error_of(lambda: known_by_no_login(account).read_probe(said(status, body))), Unreadable)


def test_nothing_is_asked_before_the_company_is_known(
    account: DeliverItAccount,
    booking: Booking,
    attempt: AttemptView,
    offered: AttemptView,
    tracking: Call,
    now: datetime,
) -> None:
    unset = known_by_no_login(account)
    acts: list[Callable[[], object]] = [
        lambda: unset.book(booking, now),
        lambda: unset.track([attempt], now),
        lambda: unset.find([attempt], now),
        lambda: unset.read(tracking, said(200, '{"error": false, "orders": []}'), [attempt], now),
        lambda: unset.confirm(offered, accept=True),
        lambda: unset.cancel(attempt, now, allow_paid=False),
    ]
    assert [type(error_of(act)) for act in acts] == [Unavailable] * len(acts)


@pytest.mark.quirk("D-04")
@pytest.mark.parametrize(
    ("company", "facts", "needed"),
    [
        ("14", {}, True),
        ("14", {"company": "14"}, False),
        ("14", {"company": "1"}, True),
        (None, {}, True),
        (None, {"company": "1"}, False),
    ],
)
def test_a_login_is_needed_until_it_has_told_the_company(
    account: DeliverItAccount, company: str | None, facts: dict[str, str], *, needed: bool
) -> None:
    assert DeliverIt(account.model_copy(update={"company": company}), facts).needs_login is needed


def test_the_company_of_the_login_serves_when_none_is_set(account: DeliverItAccount, offered: AttemptView) -> None:
    told = DeliverIt(account.model_copy(update={"company": None}), {"company": "149"})
    assert told.confirm(offered, accept=True).path == "/api/v1/orderdriver/accept/149/acceptTOKEN01"


# --- create --------------------------------------------------------------------------------------------------------


def test_a_booking_is_written_in_their_fields(codec: DeliverIt, booking: Booking, now: datetime) -> None:
    call = codec.book(booking, now)
    assert (call.operation, call.method, call.path) == (Operation.CREATE, "POST", "/api/v1/orderdriver/create")
    assert call.attempt_ids == (booking.attempt_id,)
    assert fields(call) == {
        "firstname": "Anna", "lastname": "Marie Holm",
        "street": "Hovedgaden 1", "zip": "5000", "city": "Odense C",
        "time": "2026-11-21 20:15",
        "telephone": "20304050",
        "remarks": f"#{TAG} 2011 / 2. tv / Ring the bell",
        "latitude": "55.3957969", "longitude": "10.3912053",
    }  # fmt: skip


@pytest.mark.quirk("D-06")
def test_json_has_the_documented_types(account: DeliverItAccount, booking: Booking, now: datetime) -> None:
    call = DeliverIt(account.model_copy(update={"encoding": "json"}), {}).book(booking, now)
    assert dict(call.headers)["Content-Type"] == "application/json"
    assert json.loads(call.body) == {
        "firstname": "Anna", "lastname": "Marie Holm", "street": "Hovedgaden 1", "zip": 5000, "city": "Odense C",
        "time": "2026-11-21 20:15", "telephone": 20304050, "remarks": f"#{TAG} 2011 / 2. tv / Ring the bell",
        "latitude": 55.3957969, "longitude": 10.3912053,
    }  # fmt: skip


@pytest.mark.quirk("D-12")
@pytest.mark.parametrize(
    ("street", "sent", "unit"),
    [
        ("Vestergade 1, 2. tv", "Vestergade 1", "2. tv"),
        ("Vestergade 12B, st. th", "Vestergade 12B", "st. th"),
        ("Vestergade 12 B st. th.", "Vestergade 12 B", "st. th."),
        ("Vestergade 1, kld.", "Vestergade 1", "kld."),
        ("Vestergade 1, lejl. 4", "Vestergade 1", "lejl. 4"),
        ("Vestergade 1-3, 3. sal", "Vestergade 1-3", "3. sal"),
        ("Vestergade 1, 3 sal", "Vestergade 1", "3 sal"),
        ("Vestergade 1, Appartment 7", "Vestergade 1", "Appartment 7"),
        ("Vestergade 1 apt 7", "Vestergade 1", "apt 7"),
        ("Vestergade 1, floor 2", "Vestergade 1", "floor 2"),
        ("Vestergade 1, basement", "Vestergade 1", "basement"),
        ("10. Februar Vej 5, 1. mf", "10. Februar Vej 5", "1. mf"),
        ("St. Kongensgade 5", "St. Kongensgade 5", ""),
        ("H.C. Andersens Gade 12", "H.C. Andersens Gade 12", ""),
        ("Vestergade 1, 5000 Odense", "Vestergade 1, 5000 Odense", ""),
        ("Strandvejen", "Strandvejen", ""),
    ],
)
def test_the_floor_and_the_door_move_from_the_street_to_the_remarks(
    codec: DeliverIt, booking: Booking, now: datetime, street: str, sent: str, unit: str
) -> None:
    written = fields(codec.book(dropoff(booking, street=street, notes=""), now))
    assert (written["street"], written["remarks"]) == (sent, f"#{TAG} 2011 / {unit}" if unit else f"#{TAG} 2011")


@pytest.mark.quirk("D-10")
def test_the_tag_stands_first_however_long_the_notes_are(codec: DeliverIt, booking: Booking, now: datetime) -> None:
    remarks = fields(codec.book(dropoff(booking, notes="ring\n#22222222222\x00 " * 99, unit="2. tv"), now))["remarks"]
    assert remarks.startswith(f"#{TAG} 2011 / 2. tv / ring #22222222222 ring")  # D-10
    assert len(remarks) == 250


@pytest.mark.quirk("D-11")
@pytest.mark.parametrize(
    ("name", "first", "last"), [("Anna", "Anna", ""), ("Anna  Holm", "Anna", "Holm"), ("A B C", "A", "B C")]
)
def test_a_name_of_one_word_is_a_first_name(
    codec: DeliverIt, booking: Booking, now: datetime, name: str, first: str, last: str
) -> None:
    written = fields(codec.book(customer(booking, name=name), now))
    assert (written["firstname"], written["lastname"]) == (first, last)


@pytest.mark.quirk("D-16")
@pytest.mark.parametrize("phone", ["+4520304050", "0045 20304050", "20 30 40 50", "20304050", "+45 (20) 30-40-50"])
def test_a_danish_phone_is_sent_as_eight_digits(codec: DeliverIt, booking: Booking, now: datetime, phone: str) -> None:
    assert fields(codec.book(customer(booking, phone=phone), now))["telephone"] == "20304050"  # D-16


@pytest.mark.quirk("D-16")
@pytest.mark.parametrize("phone", ["+46701234567", "+45123456789", "1234", "none", "+"])
def test_any_other_phone_is_refused_before_the_call(
    codec: DeliverIt, booking: Booking, now: datetime, phone: str
) -> None:
    error = error_of(lambda: codec.book(customer(booking, phone=phone), now))
    assert isinstance(error, Refused)
    assert (error.reason, error.text) == (Reason.VALIDATION, "customer.phone")


@pytest.mark.quirk("D-13", "D-17")
@pytest.mark.parametrize(
    ("field", "value"),
    [("latitude", None), ("longitude", None), ("postal_code", ""), ("postal_code", "50001"), ("street", " , ")],
)
def test_what_the_carrier_needs_is_checked_before_the_call(
    codec: DeliverIt, booking: Booking, now: datetime, field: str, value: str | None
) -> None:
    error = error_of(lambda: codec.book(dropoff(booking, **{field: value}), now))
    assert isinstance(error, Refused)
    assert (error.reason, error.text) == (Reason.VALIDATION, f"dropoff.{field}")


def test_a_name_of_spaces_is_refused(codec: DeliverIt, booking: Booking, now: datetime) -> None:
    error = error_of(lambda: codec.book(customer(booking, name="  "), now))
    assert isinstance(error, Refused)
    assert (error.reason, error.text) == (Reason.VALIDATION, "customer.name")


@pytest.mark.quirk("D-19")
def test_an_order_with_money_to_collect_is_refused(codec: DeliverIt, booking: Booking, now: datetime) -> None:
    unpaid = booking.order.payment.model_copy(update={"prepaid": False, "method": "cash"})
    order: Order = booking.order.model_copy(update={"payment": unpaid})
    error = error_of(lambda: codec.book(replace(booking, order=order), now))
    assert isinstance(error, Refused)
    assert error.reason is Reason.UNSERVICEABLE


@pytest.mark.quirk("D-14", "D-15")
@pytest.mark.parametrize(
    ("pickup_at", "sent"),
    [
        pytest.param("2026-11-21T23:30:00+00:00", "2026-11-22 00:30", id="after-midnight"),
        pytest.param("2026-07-01T16:30:00+00:00", "2026-07-01 18:30", id="summer"),
        pytest.param("2026-11-21T19:15:00.000001+00:00", "2026-11-21 20:16", id="rounded-up"),
        pytest.param("2026-10-25T00:30:00+00:00", "2026-10-25 02:30", id="autumn-first"),
        pytest.param("2026-10-25T01:30:00+00:00", "2026-10-25 02:30", id="autumn-second"),
    ],
)
def test_the_time_is_the_shops_with_its_date(
    codec: DeliverIt, booking: Booking, now: datetime, pickup_at: str, sent: str
) -> None:
    assert fields(codec.book(replace(booking, pickup_at=datetime.fromisoformat(pickup_at)), now))["time"] == sent


@pytest.mark.quirk("D-14")
def test_a_time_in_the_skipped_hour_is_refused(codec: DeliverIt, booking: Booking, now: datetime) -> None:
    skipped = datetime(2027, 3, 28, 2, 30, tzinfo=codec._zone)
    error = error_of(lambda: codec.book(replace(booking, pickup_at=skipped), now))
    assert isinstance(error, Refused)
    assert error.reason is Reason.VALIDATION


PLACED = Observation(
    status=DeliveryStatus.CREATED,
    raw=Raw("create", "created"),
    ref="F64u3fbxNdaoTyAcOisM",
    codec_state={
        "cancel": "F64u3fbxNdaoTyAcOisM", "pickup": "2026-11-21T19:15:00+00:00", "order_id": "11823", "price": "60",
    },
    pickup_eta=datetime(2026, 11, 21, 19, 15, tzinfo=UTC),
    dropoff_eta=datetime(2026, 11, 21, 19, 26, tzinfo=UTC),
    price=Price(Decimal(60), "DKK", "excluded"),
)  # fmt: skip


@pytest.mark.quirk("D-20", "D-24", "D-27")
def test_a_201_without_a_push_is_created(codec: DeliverIt, booking: Booking, now: datetime) -> None:
    assert codec.read_booking(booking, said(201, CREATED), now) == Booked(PLACED)


@pytest.mark.quirk("D-20", "D-28")
def test_a_201_with_a_push_is_an_offer(codec: DeliverIt, booking: Booking, now: datetime) -> None:
    asked, given = datetime(2026, 11, 21, 19, 15, tzinfo=UTC), datetime(2026, 11, 21, 19, 25, tzinfo=UTC)
    observation = replace(
        PLACED,
        status=DeliveryStatus.AWAITING_CONFIRMATION,
        raw=Raw("create", "push"),
        codec_state={
            **PLACED.codec_state,
            "accept": "acceptTOKEN01",
            "deny": "denyTOKEN0001",
            "pickup": given.isoformat(),
        },
        pickup_eta=given,
        dropoff_eta=datetime(2026, 11, 21, 19, 36, tzinfo=UTC),
    )
    assert codec.read_booking(booking, said(201, PUSHED), now) == Booked(observation, Offer(asked, given))


def test_an_offer_without_a_cancel_link_is_still_an_offer(codec: DeliverIt, booking: Booking, now: datetime) -> None:
    booked = codec.read_booking(booking, said(201, {**PUSHED, "cancelUrl": ""}), now)
    assert booked.offer is not None
    assert (booked.observation.ref, booked.observation.notes) == (f"#{TAG}", ("cancel_link_missing",))


@pytest.mark.quirk("D-21")
def test_a_moved_time_without_a_push_is_told(codec: DeliverIt, booking: Booking, now: datetime) -> None:
    booked = codec.read_booking(booking, said(201, {**json.loads(CREATED), "time": "20:20"}), now)
    assert booked.observation.status is DeliveryStatus.CREATED
    assert booked.observation.notes == ("pickup_time_changed",)
    assert booked.observation.codec_state["pickup"] == "2026-11-21T19:20:00+00:00"


@pytest.mark.quirk("D-26")
def test_times_after_midnight_belong_to_the_next_day(codec: DeliverIt, booking: Booking, now: datetime) -> None:
    late = replace(booking, pickup_at=datetime(2026, 11, 21, 22, 50, tzinfo=UTC))
    body = {**json.loads(CREATED), "time": "23:50", "arrive_at_customer": "00:05"}
    booked = codec.read_booking(late, said(201, body), now)
    assert booked.observation.pickup_eta == datetime(2026, 11, 21, 22, 50, tzinfo=UTC)
    assert booked.observation.dropoff_eta == datetime(2026, 11, 21, 23, 5, tzinfo=UTC)


@pytest.mark.quirk("D-14")
def test_a_time_that_the_wall_shows_twice_is_marked(codec: DeliverIt, booking: Booking, now: datetime) -> None:
    twice = replace(booking, pickup_at=datetime(2026, 10, 25, 1, 30, tzinfo=UTC))
    booked = codec.read_booking(twice, said(201, {**json.loads(CREATED), "time": "02:30"}), now)
    assert booked.observation.notes == ("pickup_time_ambiguous",)
    assert booked.observation.pickup_eta == twice.pickup_at


def test_a_link_on_another_host_is_told_and_never_followed(codec: DeliverIt, booking: Booking, now: datetime) -> None:
    link = "https://dev.butik.deliverit.dk/api/v1/orderdriver/cancel/14/RYGKaXMCSN94WfqPEivy"
    booked = codec.read_booking(booking, said(201, {**json.loads(CREATED), "cancelUrl": link}), now)
    assert (booked.observation.ref, booked.observation.notes) == ("RYGKaXMCSN94WfqPEivy", ("link_host_differs",))


@pytest.mark.quirk("D-23")
@pytest.mark.parametrize(
    ("status", "body", "reason", "text"),
    [
        pytest.param(400, CLOSED, Reason.CARRIER_CLOSED, "Sorry. DeliverIt is closed.", id="closed-D-23"),
        pytest.param(400, EMPTY, Reason.VALIDATION, "Telephone cannot be empty", id="empty"),
        pytest.param(400, '{"error": true, "message": "No"}', Reason.UNKNOWN, "No", id="other"),
        pytest.param(400, '{"error": true, "message": "%s"}' % ("x" * 999), Reason.UNKNOWN, "x" * 300, id="long"),
    ],
)
def test_a_documented_400_refuses_a_create(
    codec: DeliverIt, booking: Booking, now: datetime, status: int, body: str, reason: Reason, text: str
) -> None:
    error = error_of(lambda: codec.read_booking(booking, said(status, body), now))
    assert isinstance(error, Refused)
    assert (error.reason, error.text) == (reason, text)


@pytest.mark.quirk("D-02", "D-21", "D-22", "D-60")
@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(201, {**PUSHED, "acceptUrl": ""}, id="push-without-accept-D-21"),
        pytest.param(201, {**PUSHED, "acceptUrl": f"{HOST}/accept/15/acceptTOKEN01"}, id="accept-of-another-company"),
        pytest.param(201, {**PUSHED, "push": False}, id="accept-without-push-D-21"),
        pytest.param(201, {**PUSHED, "time": "soon"}, id="push-without-time"),
        pytest.param(201, {**json.loads(CREATED), "order_driver": False}, id="order-driver-false-D-22"),
        pytest.param(201, {"DeliverItOpen": True}, id="order-driver-missing-D-22"),
        pytest.param(
            201, {**json.loads(CREATED), "cancelUrl": f"{HOST}/cancel/15/F64u3fbxNdaoTyAcOisM"}, id="foreign-D-02"
        ),
        pytest.param(201, {**json.loads(CREATED), "cancelUrl": ""}, id="no-cancel-link"),
        pytest.param(201, "<html>", id="unparsable-D-60"),
        pytest.param(201, "", id="empty"),
        pytest.param(200, CREATED, id="another-2xx"),
        pytest.param(302, "", id="redirect"),
        pytest.param(400, "<html>Bad Request</html>", id="400-html"),
        pytest.param(400, '{"error": false, "message": "Telephone cannot be empty"}', id="400-without-error"),
        pytest.param(400, '{"error": true}', id="400-without-message"),
        pytest.param(422, EMPTY, id="undocumented-4xx"),
        pytest.param(408, "", id="408"),
        pytest.param(500, EMPTY, id="500-D-60"),
        pytest.param(502, "", id="502"),
    ],
)
def test_any_other_answer_leaves_a_create_in_doubt(
    codec: DeliverIt, booking: Booking, now: datetime, status: int, body: str | dict[str, Any]
) -> None:
    assert isinstance(error_of(lambda: codec.read_booking(booking, said(status, body), now)), Uncertain)


def test_a_create_sent_before_the_company_was_known_stays_in_doubt(
    account: DeliverItAccount, booking: Booking, now: datetime
) -> None:
    unset = known_by_no_login(account)
    assert isinstance(error_of(lambda: unset.read_booking(booking, said(201, CREATED), now)), Uncertain)
    assert isinstance(error_of(lambda: unset.read_booking(booking, said(400, CLOSED), now)), Refused)


@pytest.mark.parametrize(
    ("reply", "account_shut", "wait"),
    [
        (said(401, NOT_HERE), True, None),
        (said(403, ""), True, None),
        (said(429, ""), False, None),
        (said(429, "", retry_after="30"), False, 30.0),
        (said(429, "", retry_after="Sat, 21 Nov 2026 17:02:00 GMT"), False, 120.0),
    ],
)
def test_a_create_that_was_turned_away_may_be_sent_again(
    codec: DeliverIt, booking: Booking, now: datetime, reply: Reply, wait: float | None, *, account_shut: bool
) -> None:
    error = error_of(lambda: codec.read_booking(booking, reply, now))
    assert isinstance(error, Unavailable)
    assert (error.account, error.retry_after) == (account_shut, wait)


# --- accept and deny -----------------------------------------------------------------------------------------------


@pytest.mark.quirk("D-02")
@pytest.mark.parametrize(
    ("accept", "path"),
    [
        (True, "/api/v1/orderdriver/accept/14/acceptTOKEN01"),
        (False, "/api/v1/orderdriver/deny/14/denyTOKEN0001"),
    ],
)
def test_an_offer_is_answered_on_our_own_origin(
    codec: DeliverIt, offered: AttemptView, path: str, *, accept: bool
) -> None:
    call = codec.confirm(offered, accept=accept)
    assert (call.operation, call.method, call.path, call.body) == (Operation.CONFIRM, "POST", path, b"")  # D-02
    assert call.attempt_ids == (offered.id,)


def test_an_offer_without_a_link_cannot_be_answered(codec: DeliverIt, attempt: AttemptView) -> None:
    assert isinstance(error_of(lambda: codec.confirm(attempt, accept=True)), Refused)
    assert isinstance(error_of(lambda: codec.confirm(attempt, accept=False)), Refused)


@pytest.mark.quirk("D-01", "D-32")
def test_an_accepted_offer_is_created_with_its_new_cancel_link(
    account: DeliverItAccount, offered: AttemptView, now: datetime
) -> None:
    codec = DeliverIt(account.model_copy(update={"company": "149"}), {})
    assert codec.read_confirmation(said(202, ACCEPTED), offered, accept=True, now=now) == Observation(
        status=DeliveryStatus.CREATED,
        raw=Raw("accept", "202"),
        ref="RYGKaXMCSN94WfqPEivy",
        codec_state={
            "cancel": "RYGKaXMCSN94WfqPEivy",
            "cancel_history": "F64u3fbxNdaoTyAcOisM",
            "pickup": "2026-11-21T18:23:00+00:00",
            "pickup_shown": "2026-11-21T18:23:00+00:00",
        },
        pickup_eta=datetime(2026, 11, 21, 18, 23, tzinfo=UTC),
        dropoff_eta=datetime(2026, 11, 21, 18, 42, tzinfo=UTC),
        notes=("link_host_differs",),  # D-01
    )


@pytest.mark.quirk("D-33")
def test_a_repeated_accept_is_created_while_an_offer_is_held(
    codec: DeliverIt, offered: AttemptView, now: datetime
) -> None:
    observation = codec.read_confirmation(said(200, REPEATED), offered, accept=True, now=now)  # D-33
    assert observation.status is DeliveryStatus.CREATED
    assert (observation.ref, observation.raw) == ("uyPtNITg5cAOoKDViG2e", Raw("accept", "200"))
    assert observation.pickup_eta == datetime(2026, 11, 21, 18, 30, tzinfo=UTC)


def test_an_accept_without_a_link_keeps_the_old_one(codec: DeliverIt, offered: AttemptView, now: datetime) -> None:
    body = {**json.loads(ACCEPTED), "cancelurl": ""}
    observation = codec.read_confirmation(said(202, body), offered, accept=True, now=now)
    assert (observation.ref, observation.notes) == (None, ("cancel_link_missing",))


def test_a_denied_offer_is_rejected(codec: DeliverIt, offered: AttemptView, now: datetime) -> None:
    assert codec.read_confirmation(said(200, DENIED), offered, accept=False, now=now) == Observation(
        status=DeliveryStatus.REJECTED, raw=Raw("deny", "200"), reason=Reason.TIME_DENIED
    )


@pytest.mark.quirk("D-30", "D-34")
@pytest.mark.parametrize(
    ("accept", "status", "body", "reason"),
    [
        pytest.param(True, 400, LAPSED, Reason.OFFER_LAPSED, id="D-30"),
        pytest.param(True, 400, NOT_HERE, Reason.UNKNOWN, id="accept-400"),
        pytest.param(False, 400, NOT_DENIED, Reason.UNKNOWN, id="D-34"),
        pytest.param(False, 200, NOT_DENIED, Reason.UNKNOWN, id="deny-200-error"),
    ],
)
def test_a_refused_confirmation_leaves_it_to_a_look_up(
    codec: DeliverIt, offered: AttemptView, now: datetime, status: int, body: str, reason: Reason, *, accept: bool
) -> None:
    error = error_of(lambda: codec.read_confirmation(said(status, body), offered, accept=accept, now=now))
    assert isinstance(error, Refused)
    assert error.reason is reason


@pytest.mark.quirk("D-09")
@pytest.mark.parametrize(
    ("accept", "status", "body", "error"),
    [
        pytest.param(True, 401, NOT_HERE, Unreadable, id="accept-401-D-09"),
        pytest.param(False, 401, NOT_HERE, Unreadable, id="deny-401-D-09"),
        pytest.param(True, 429, "", Throttled, id="accept-429"),
        pytest.param(True, 202, "<html>", Uncertain, id="accept-202-unparsable"),
        pytest.param(True, 202, REPEATED, Uncertain, id="accept-202-order-driver-false"),
        pytest.param(True, 200, DENIED, Uncertain, id="accept-200-other"),
        pytest.param(True, 400, "<html>", Uncertain, id="accept-400-html"),
        pytest.param(True, 500, ACCEPTED, Uncertain, id="accept-500"),
        pytest.param(False, 200, "{}", Uncertain, id="deny-200-without-error"),
        pytest.param(False, 500, NOT_DENIED, Uncertain, id="deny-500"),
    ],
)
def test_any_other_confirmation_decides_nothing(
    codec: DeliverIt,
    offered: AttemptView,
    now: datetime,
    status: int,
    body: str,
    error: type[CarrierError],
    *,
    accept: bool,
) -> None:
    raised = error_of(lambda: codec.read_confirmation(said(status, body), offered, accept=accept, now=now))
    assert type(raised) is error


@pytest.mark.quirk("D-33")
def test_a_repeat_without_an_offer_in_hand_decides_nothing(
    codec: DeliverIt, attempt: AttemptView, now: datetime
) -> None:
    raised = error_of(lambda: codec.read_confirmation(said(200, REPEATED), attempt, accept=True, now=now))
    assert isinstance(raised, Uncertain)  # D-33


# --- cancel --------------------------------------------------------------------------------------------------------


@pytest.mark.quirk("D-02", "D-43")
def test_a_cancel_goes_to_our_own_origin(codec: DeliverIt, attempt: AttemptView, now: datetime) -> None:
    call = codec.cancel(attempt, now, allow_paid=False)
    assert (call.operation, call.method, call.body) == (Operation.CANCEL, "POST", b"")
    assert call.path == "/api/v1/orderdriver/cancel/14/F64u3fbxNdaoTyAcOisM"


@pytest.mark.quirk("D-40")
@pytest.mark.parametrize(
    ("seconds", "allow_paid"),
    [
        pytest.param(21 * 60 + 1, False, id="free"),
        pytest.param(20 * 60, True, id="charged"),
        pytest.param(16 * 60 + 1, True, id="charged-last"),
    ],
)
def test_a_cancel_is_possible_until_a_minute_before_its_cut_off(
    codec: DeliverIt, attempt: AttemptView, seconds: int, *, allow_paid: bool
) -> None:
    moment = attempt.pickup_at - timedelta(seconds=seconds)
    assert codec.cancel(attempt, moment, allow_paid=allow_paid).method == "POST"


@pytest.mark.quirk("D-40")
@pytest.mark.parametrize(
    ("seconds", "allow_paid"),
    [
        pytest.param(21 * 60, False, id="charged-by-skew"),
        pytest.param(16 * 60, True, id="impossible-by-skew"),
        pytest.param(15 * 60, True, id="impossible"),
        pytest.param(-60, True, id="past"),
    ],
)
def test_a_cancel_is_refused_from_a_minute_before_its_cut_off(
    codec: DeliverIt, attempt: AttemptView, seconds: int, *, allow_paid: bool
) -> None:
    moment = attempt.pickup_at - timedelta(seconds=seconds)
    error = error_of(lambda: codec.cancel(attempt, moment, allow_paid=allow_paid))
    assert isinstance(error, Refused)
    assert error.reason is Reason.DEADLINE_PASSED


@pytest.mark.quirk("D-40")
def test_the_cut_off_counts_from_the_time_the_list_showed_last(codec: DeliverIt, attempt: AttemptView) -> None:
    earlier = replace(attempt, codec_state={**attempt.codec_state, "pickup_shown": "2026-11-21T17:20:00+00:00"})
    moment = datetime(2026, 11, 21, 17, 10, tzinfo=UTC)
    assert codec.cancel(attempt, moment, allow_paid=False).method == "POST"
    assert isinstance(error_of(lambda: codec.cancel(earlier, moment, allow_paid=True)), Refused)


@pytest.mark.parametrize("ref", [None, f"#{TAG}"])
def test_an_order_whose_link_was_never_shown_cannot_be_cancelled(
    codec: DeliverIt, attempt: AttemptView, now: datetime, ref: str | None
) -> None:
    error = error_of(lambda: codec.cancel(replace(attempt, ref=ref, codec_state={}), now, allow_paid=True))
    assert isinstance(error, Refused)
    assert error.reason is Reason.UNKNOWN


@pytest.mark.quirk("D-32")
def test_the_newest_link_that_was_shown_is_the_one_to_cancel_by(
    codec: DeliverIt, attempt: AttemptView, now: datetime
) -> None:
    shown = replace(attempt, ref="A" * 20, codec_state={"cancel": "B" * 20, "cancel_history": "A" * 20})
    assert codec.cancel(shown, now, allow_paid=True).path.endswith("/cancel/14/" + "B" * 20)


@pytest.mark.quirk("D-41")
def test_a_cancel_counts_only_without_an_error(codec: DeliverIt, attempt: AttemptView) -> None:
    codec.read_cancel(said(200, CANCELED), attempt)


@pytest.mark.quirk("D-09", "D-41", "D-42")
@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        pytest.param(200, UNDERWAY, Refused(Reason.DEADLINE_PASSED), id="D-41"),
        pytest.param(400, UNDERWAY, Refused(Reason.DEADLINE_PASSED), id="D-42"),
        pytest.param(400, NOT_DENIED, Refused(Reason.UNKNOWN), id="400-other"),
        pytest.param(401, NOT_DENIED, Unreadable(""), id="401-D-09"),
        pytest.param(403, "", Unreadable(""), id="403"),
        pytest.param(429, "", Throttled(""), id="429"),
        pytest.param(200, "{}", Uncertain(""), id="200-without-error"),
        pytest.param(200, "ok", Uncertain(""), id="200-text"),
        pytest.param(202, CANCELED, Uncertain(""), id="202"),
        pytest.param(400, "<html>", Uncertain(""), id="400-html"),
        pytest.param(500, UNDERWAY, Uncertain(""), id="500"),
    ],
)
def test_any_other_answer_is_no_cancel(
    codec: DeliverIt, attempt: AttemptView, status: int, body: str, error: CarrierError
) -> None:
    raised = error_of(lambda: codec.read_cancel(said(status, body), attempt))
    assert type(raised) is type(error)
    assert getattr(raised, "reason", None) == getattr(error, "reason", None)


# --- callbacks, and everything at once -----------------------------------------------------------------------------


def test_there_are_no_callbacks(codec: DeliverIt, attempt: AttemptView, now: datetime) -> None:
    callback = Callback("POST", b"{}")
    with pytest.raises(Forged):
        codec.authenticate(callback)
    with pytest.raises(Unreadable):
        codec.callback_key(callback)
    assert codec.read_callback(callback, attempt, now) == ()


JSONISH = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=20)
    | st.sampled_from(["N/A", "20:15", "1", f"#{TAG}"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [*PUSHED, "error", "message", "orders", "remarks", "created_at", "pickupTime", "canceUrl", "done"]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=12,
)
BODIES = st.binary(max_size=60) | JSONISH.map(lambda value: json.dumps(value).encode())


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(status=st.sampled_from([200, 201, 202, 302, 400, 401, 404, 429, 500]), body=BODIES)
def test_no_answer_raises_anything_but_a_carrier_error(
    codec: DeliverIt, booking: Booking, offered: AttemptView, finding: Call, now: datetime, status: int, body: bytes
) -> None:
    reply = Reply(status, body)
    acts: list[Callable[[], object]] = [
        lambda: codec.read_probe(reply),
        lambda: codec.read_booking(booking, reply, now),
        lambda: codec.read_confirmation(reply, offered, accept=True, now=now),
        lambda: codec.read_confirmation(reply, offered, accept=False, now=now),
        lambda: codec.read_cancel(reply, offered),
        lambda: codec.read(finding, reply, [offered], now),
    ]
    for act in acts:
        try:
            act()
        except CarrierError:
            continue
