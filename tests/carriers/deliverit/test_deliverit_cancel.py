"""Cancels of driver orders: the cut-offs, and the documented replies."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from schemas.status import Reason
from tests.carriers.deliverit.replies import CANCELED, DENY_NOT_ALLOWED, REFERENCE, UNDERWAY, error_of, make_reply
from worker.carriers.deliverit import DeliverIt
from worker.carriers.port import AttemptView
from worker.errors import CarrierError, Refused, Throttled, Uncertain, Unreadable
from worker.http.call import Operation


@pytest.mark.quirk("D-02", "D-43")
def test_a_cancel_goes_to_the_accounts_own_origin(codec: DeliverIt, attempt: AttemptView, now: datetime) -> None:
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
def test_the_cut_off_counts_from_the_pickup_time_that_the_list_showed_last(
    codec: DeliverIt, attempt: AttemptView
) -> None:
    earlier = replace(attempt, codec_state={**attempt.codec_state, "listed_pickup": "2026-11-21T17:20:00+00:00"})
    moment = datetime(2026, 11, 21, 17, 10, tzinfo=UTC)
    assert codec.cancel(attempt, moment, allow_paid=False).method == "POST"
    assert isinstance(error_of(lambda: codec.cancel(earlier, moment, allow_paid=True)), Refused)


@pytest.mark.parametrize("ref", [None, f"#{REFERENCE}"])
def test_an_order_without_a_known_cancel_link_cannot_be_cancelled(
    codec: DeliverIt, attempt: AttemptView, now: datetime, ref: str | None
) -> None:
    error = error_of(lambda: codec.cancel(replace(attempt, ref=ref, codec_state={}), now, allow_paid=True))
    assert isinstance(error, Refused)
    assert error.reason is Reason.UNKNOWN


@pytest.mark.quirk("D-32")
def test_a_cancel_uses_the_newest_link(codec: DeliverIt, attempt: AttemptView, now: datetime) -> None:
    shown = replace(attempt, ref="A" * 20, codec_state={"cancel_token": "B" * 20, "earlier_cancel_tokens": "A" * 20})
    assert codec.cancel(shown, now, allow_paid=True).path.endswith("/cancel/14/" + "B" * 20)


@pytest.mark.quirk("D-41")
def test_a_cancel_succeeds_without_an_error(codec: DeliverIt, attempt: AttemptView) -> None:
    codec.read_cancel(make_reply(200, CANCELED), attempt)


@pytest.mark.quirk("D-09", "D-41", "D-42")
@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        pytest.param(200, UNDERWAY, Refused(Reason.DEADLINE_PASSED), id="D-41"),
        pytest.param(400, UNDERWAY, Refused(Reason.DEADLINE_PASSED), id="D-42"),
        pytest.param(400, DENY_NOT_ALLOWED, Refused(Reason.UNKNOWN), id="400-other"),
        pytest.param(401, DENY_NOT_ALLOWED, Unreadable(""), id="401-D-09"),
        pytest.param(403, "", Unreadable(""), id="403"),
        pytest.param(429, "", Throttled(""), id="429"),
        pytest.param(200, "{}", Uncertain(""), id="200-without-error"),
        pytest.param(200, "ok", Uncertain(""), id="200-text"),
        pytest.param(202, CANCELED, Uncertain(""), id="202"),
        pytest.param(400, "<html>", Uncertain(""), id="400-html"),
        pytest.param(500, UNDERWAY, Uncertain(""), id="500"),
    ],
)
def test_any_other_reply_to_a_cancel_is_no_success(
    codec: DeliverIt, attempt: AttemptView, status: int, body: str, error: CarrierError
) -> None:
    raised = error_of(lambda: codec.read_cancel(make_reply(status, body), attempt))
    assert type(raised) is type(error)
    assert getattr(raised, "reason", None) == getattr(error, "reason", None)
