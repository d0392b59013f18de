"""The meaning of the answers to a create and to a cancel."""

from dataclasses import replace
from datetime import datetime

import pytest

from schemas.status import DeliveryStatus, Reason
from worker.carriers.cervo import Cervo
from worker.carriers.port import AttemptView, Booked, Booking, Observation, Raw
from worker.errors import Refused, Unavailable, Uncertain
from worker.http.call import Reply

DOCUMENTED_ID = b"99999"
DOCUMENTED_ERROR = b'{ "Customer is required , ..." }'


# The answer to a create


@pytest.mark.fault("F-30")
@pytest.mark.quirk("C-21")
@pytest.mark.parametrize(
    ("body", "ref"),
    [
        (DOCUMENTED_ID, "99999"),
        (b'"99999"', "99999"),
        (b"'99999'", "99999"),
        (b"\xef\xbb\xbf99999\r\n", "99999"),
        (b" 1 ", "1"),
        (b"9" * 19, "9" * 19),
    ],
)
def test_a_bare_id_is_a_success(codec: Cervo, booking: Booking, now: datetime, body: bytes, ref: str) -> None:
    booked = codec.read_booking(booking, Reply(200, body, {"content-type": "text/html"}), now)
    assert booked == Booked(Observation(DeliveryStatus.CREATED, Raw("response", "200"), ref=ref))


@pytest.mark.fault("F-30")
@pytest.mark.quirk("C-21", "C-22", "C-23")
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b""),
        (200, b"<html><body>login</body></html>"),
        (200, b"0"),
        (200, b"-5"),
        (200, b"099"),
        (200, b"9" * 20),
        (200, b"NaN"),
        (200, b"null"),
        (200, b"1.5"),
        (200, b'{"id": 99999}'),
        (200, "٩٩".encode()),
        (200, b"\xff\xfe9\x009\x00"),
        (200, DOCUMENTED_ERROR),
        (201, DOCUMENTED_ID),
        (202, DOCUMENTED_ID),
        (204, b""),
        (301, b""),
        (400, b""),
        (400, b"Order duplicated, a new id is required"),
        (400, b"<html>The field is required</html>"),
        (404, b"not found"),
        (408, b"Customer is required"),
        (409, b"order exists, id is invalid"),
        (500, b""),
        (500, b"invalid operation"),
        (500, b"this is an id required by"),
        (502, b"<html>The upstream is required</html>"),
        (503, b"come again"),
        (504, b""),
    ],
)
def test_any_other_answer_to_a_create_is_an_unknown_outcome(
    codec: Cervo, booking: Booking, now: datetime, status: int, body: bytes
) -> None:
    with pytest.raises(Uncertain):
        codec.read_booking(booking, Reply(status, body), now)


@pytest.mark.fault("F-72")
@pytest.mark.quirk("C-23")
@pytest.mark.parametrize(
    ("status", "body", "known"),
    [
        (400, b'{ "Id is duplicated" }', True),
        (409, b"order exists, id is invalid", True),
        (500, b"The order already exists", True),
        (422, b"id must be unique", True),
        (400, b"The customer does not exist", False),
        (400, b"", False),
        (502, b"<html>it already exists</html>", False),
    ],
)
def test_only_an_answer_that_names_an_existing_order_refuses_a_resubmitted_create_as_a_duplicate(
    codec: Cervo, booking: Booking, now: datetime, status: int, body: bytes, *, known: bool
) -> None:
    with pytest.raises(Refused if known else Uncertain) as caught:
        codec.read_booking(replace(booking, resubmitted=True), Reply(status, body), now)
    assert getattr(caught.value, "reason", None) == (Reason.DUPLICATE if known else None)
    with pytest.raises(Uncertain):
        codec.read_booking(booking, Reply(status, body), now)


@pytest.mark.quirk("C-22")
@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        (400, DOCUMENTED_ERROR, '{ "Customer is required , ..." }'),
        (500, DOCUMENTED_ERROR, '{ "Customer is required , ..." }'),
        (422, b"Invalid price", "Invalid price"),
        (400, b"storelat REQUIRED", "storelat REQUIRED"),
    ],
)
def test_a_validation_error_is_a_refusal(
    codec: Cervo, booking: Booking, now: datetime, status: int, body: bytes, text: str
) -> None:
    with pytest.raises(Refused) as refusal:
        codec.read_booking(booking, Reply(status, body), now)
    assert (refusal.value.reason, refusal.value.text) == (Reason.VALIDATION, text)


def test_a_refusal_has_none_of_the_customer_s_data(codec: Cervo, booking: Booking, now: datetime) -> None:
    text = (
        "Mobile +966599000111 of testing CUSTOMER (a@b.sa, 059 900 0111) at address Of the customer is invalid"
        + "." * 999
    )
    with pytest.raises(Refused) as refusal:
        codec.read_booking(booking, Reply(400, text.encode()), now)
    redacted = "Mobile *** of *** *** ***) at *** is invalid"
    assert (refusal.value.text[: len(redacted)], len(refusal.value.text)) == (redacted, 300)


@pytest.mark.fault("F-35")
@pytest.mark.quirk("C-02")
@pytest.mark.parametrize("status", [401, 403])
def test_a_rejected_token_pauses_the_account_and_fails_no_order(
    codec: Cervo, booking: Booking, now: datetime, status: int
) -> None:
    with pytest.raises(Unavailable) as error:
        codec.read_booking(booking, Reply(status, b"Customer is required"), now)
    assert error.value.account


@pytest.mark.quirk("C-04")
@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ({}, None),
        ({"retry-after": "30"}, 30.0),
        ({"retry-after": "Sat, 29 Apr 2023 08:01:00 GMT"}, 60.0),
        ({"retry-after": "Sat, 29 Apr 2023 08:01:00 GMT", "date": "Sat, 29 Apr 2023 08:00:20 GMT"}, 40.0),
    ],
)
def test_a_rate_limit_says_when_to_try_again(
    codec: Cervo, booking: Booking, now: datetime, header: dict[str, str], wait: float | None
) -> None:
    with pytest.raises(Unavailable) as error:
        codec.read_booking(booking, Reply(429, b"", header), now)
    assert (error.value.retry_after, error.value.account) == (wait, False)


# The answer to a cancel


@pytest.mark.quirk("C-47")
@pytest.mark.parametrize("body", [b"", b"OK", b"<html></html>"])
def test_a_cancel_answered_with_200_is_accepted_whatever_its_body(
    codec: Cervo, attempt: AttemptView, body: bytes
) -> None:
    codec.read_cancel(Reply(200, body), attempt)  # C-47


@pytest.mark.quirk("C-47")
@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", ""),
        (b"<html>Bad Request</html>", ""),
        (b"Order of Testing customer is on hand", "Order of *** is on hand"),
    ],
)
def test_a_cancel_answered_with_400_is_refused(codec: Cervo, attempt: AttemptView, body: bytes, text: str) -> None:
    with pytest.raises(Refused) as refusal:
        codec.read_cancel(Reply(400, body), attempt)
    assert (refusal.value.reason, refusal.value.text) == (Reason.UNKNOWN, text)


@pytest.mark.parametrize("status", [201, 204, 302, 404, 408, 500, 502, 504])
def test_any_other_answer_to_a_cancel_is_an_unknown_outcome(codec: Cervo, attempt: AttemptView, status: int) -> None:
    with pytest.raises(Uncertain):
        codec.read_cancel(Reply(status, b""), attempt)


def test_a_retry_date_is_ignored_where_no_clock_is_given(codec: Cervo, attempt: AttemptView) -> None:
    with pytest.raises(Unavailable) as error:
        codec.read_cancel(Reply(429, b"", {"retry-after": "Sat, 29 Apr 2023 08:01:00 GMT"}), attempt)
    assert error.value.retry_after is None
