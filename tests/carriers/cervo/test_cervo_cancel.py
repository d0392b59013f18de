"""GET /cancelorder, and what Cervo has no call for."""

from dataclasses import replace
from datetime import datetime

import pytest

from schemas.status import Reason
from worker.carriers.cervo import Cervo
from worker.carriers.port import AttemptView
from worker.errors import Refused, Unavailable, Uncertain
from worker.http.call import Reply


@pytest.mark.quirk("C-48")
def test_a_cancel_after_pickup_needs_leave(codec: Cervo, attempt: AttemptView, now: datetime) -> None:
    gone = replace(attempt, rank=50)
    with pytest.raises(Refused, match="the courier has the goods"):
        codec.cancel(gone, now, allow_paid=False)
    assert codec.cancel(gone, now, allow_paid=True).query == (("id", "25"),)


@pytest.mark.quirk("C-24")
@pytest.mark.parametrize("ref", [None, "2011 or 1=1"])
def test_a_cancel_without_cervo_s_id_is_for_a_person(
    codec: Cervo, attempt: AttemptView, now: datetime, ref: str | None
) -> None:
    with pytest.raises(Refused, match="by hand"):
        codec.cancel(replace(attempt, ref=ref), now, allow_paid=True)


@pytest.mark.quirk("C-47")
@pytest.mark.parametrize("body", [b"", b"OK", b"<html></html>"])
def test_a_cancel_that_was_taken_says_no_more(codec: Cervo, attempt: AttemptView, body: bytes) -> None:
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
def test_any_other_answer_to_a_cancel_leaves_doubt(codec: Cervo, attempt: AttemptView, status: int) -> None:
    with pytest.raises(Uncertain):
        codec.read_cancel(Reply(status, b""), attempt)


def test_a_date_to_come_again_is_left_out_where_no_clock_is(codec: Cervo, attempt: AttemptView) -> None:
    with pytest.raises(Unavailable) as error:
        codec.read_cancel(Reply(429, b"", {"retry-after": "Sat, 29 Apr 2023 08:01:00 GMT"}), attempt)
    assert error.value.retry_after is None
