"""GET /cancelorder, and what Cervo has no call for."""

from dataclasses import replace
from datetime import datetime
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.status import Reason
from worker.carriers.cervo import Cervo, CervoAccount
from worker.carriers.port import Attempt, Call, Operation, Reply
from worker.errors import CarrierError, Refused, Unavailable, Uncertain


@pytest.mark.parametrize(
    ("location", "path", "query", "headers"),
    [
        ("query", "/apis/v2/cancelorder", (("id", "25"),), ()),
        ("path", "/apis/v2/cancelorder/25", (), ()),
        ("header", "/apis/v2/cancelorder", (), (("id", "25"),)),
    ],
)
def test_a_cancel_is_a_get_that_nobody_may_keep(
    account: CervoAccount,
    attempt: Attempt,
    now: datetime,
    location: str,
    path: str,
    query: tuple[tuple[str, str], ...],
    headers: tuple[tuple[str, str], ...],
) -> None:  # C-45, C-46
    codec = Cervo(account.model_copy(update={"id_location": location}), {})
    shown = (("Authorization", "Bearer WlhGWUtWT2Y2cTZhZ"), ("Accept", "*/*"), ("Cache-Control", "no-store"))
    assert codec.cancel(attempt, now, allow_paid=False) == Call(
        Operation.CANCEL, "GET", path, covers=(2011,), query=query, headers=(*shown, *headers)
    )


def test_a_cancel_after_pickup_needs_leave(codec: Cervo, attempt: Attempt, now: datetime) -> None:  # C-48
    gone = replace(attempt, rank=50)
    with pytest.raises(Refused, match="the courier has the goods"):
        codec.cancel(gone, now, allow_paid=False)
    assert codec.cancel(gone, now, allow_paid=True).query == (("id", "25"),)


@pytest.mark.parametrize("ref", [None, "2011 or 1=1"])
def test_a_cancel_without_cervo_s_id_is_for_a_person(
    codec: Cervo, attempt: Attempt, now: datetime, ref: str | None
) -> None:  # C-24
    with pytest.raises(Refused, match="by hand"):
        codec.cancel(replace(attempt, ref=ref), now, allow_paid=True)


def cancel(codec: Cervo, attempt: Attempt, now: datetime, reply: Reply) -> None:
    codec.read_cancel(codec.cancel(attempt, now, allow_paid=False), reply, attempt)


@pytest.mark.parametrize("body", [b"", b"OK", b"<html></html>"])
def test_a_cancel_that_was_taken_says_no_more(codec: Cervo, attempt: Attempt, now: datetime, body: bytes) -> None:
    cancel(codec, attempt, now, Reply(200, body))  # C-47


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", ""),
        (b"<html>Bad Request</html>", ""),
        (b"Order of Testing customer is on hand", "Order of *** is on hand"),
    ],
)
def test_a_cancel_answered_with_400_is_refused(
    codec: Cervo, attempt: Attempt, now: datetime, body: bytes, text: str
) -> None:  # C-47
    with pytest.raises(Refused) as refusal:
        cancel(codec, attempt, now, Reply(400, body))
    assert (refusal.value.reason, refusal.value.text) == (Reason.UNKNOWN, text)


@pytest.mark.parametrize("status", [201, 204, 302, 404, 408, 500, 502, 504])
def test_any_other_answer_to_a_cancel_leaves_doubt(codec: Cervo, attempt: Attempt, now: datetime, status: int) -> None:
    with pytest.raises(Uncertain):
        cancel(codec, attempt, now, Reply(status, b""))


@pytest.mark.parametrize(("status", "shut_out", "wait"), [(401, True, None), (403, True, None), (429, False, 7.0)])
def test_a_cancel_that_was_not_let_in_may_be_made_again(
    codec: Cervo, attempt: Attempt, now: datetime, status: int, *, shut_out: bool, wait: float | None
) -> None:  # C-02
    with pytest.raises(Unavailable) as error:
        cancel(codec, attempt, now, Reply(status, b"", {"retry-after": "7"}))
    assert (error.value.account, error.value.retry_after) == (shut_out, wait)


def test_a_date_to_come_again_is_left_out_where_no_clock_is(codec: Cervo, attempt: Attempt, now: datetime) -> None:
    with pytest.raises(Unavailable) as error:
        cancel(codec, attempt, now, Reply(429, b"", {"retry-after": "Sat, 29 Apr 2023 08:01:00 GMT"}))
    assert error.value.retry_after is None


@given(status=st.integers(100, 599), body=st.binary())
def test_no_answer_to_a_cancel_raises_anything_but_carrier_errors(
    codec: Cervo, attempt: Attempt, now: datetime, status: int, body: bytes
) -> None:
    try:
        cancel(codec, attempt, now, Reply(status, body))
    except CarrierError:
        return
    assert status == 200


def test_nothing_is_ever_to_be_confirmed(codec: Cervo, attempt: Attempt, now: datetime) -> None:
    with pytest.raises(Refused) as refusal:
        codec.confirm(attempt, accept=True)
    assert refusal.value.reason is Reason.CONFIG
    with pytest.raises(Refused):
        codec.read_confirmation(cast("Call", None), Reply(200, b""), attempt, accept=True, now=now)
