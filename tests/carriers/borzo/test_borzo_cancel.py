"""Cancelling an order."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import pytest

from schemas.status import CancelledBy, Reason
from schemas.status import DeliveryStatus as S
from worker.carriers.borzo import Borzo
from worker.carriers.port import AttemptView, Raw
from worker.errors import Refused, Uncertain
from worker.http.call import Operation, Reply

Listed = Callable[..., Reply]


def test_a_cancel_carries_the_order_id(codec: Borzo, attempt: AttemptView, now: datetime) -> None:
    call = codec.cancel(attempt, now, allow_paid=False)
    assert (call.operation, call.method, call.path, call.body, call.attempt_ids) == (
        Operation.CANCEL,
        "POST",
        "/api/business/1.6/cancel-order",
        b'{"order_id": 1250032}',
        (attempt.id,),
    )


@pytest.mark.parametrize("ref", [None, "", "abc", "²"])
def test_an_order_without_an_id_cannot_be_cancelled(
    codec: Borzo, attempt: AttemptView, now: datetime, ref: str | None
) -> None:
    with pytest.raises(Refused):
        codec.cancel(replace(attempt, ref=ref), now, allow_paid=True)


@pytest.mark.quirk("B-71")
def test_the_documented_cancel_is_accepted_and_reads_as_cancelled(
    codec: Borzo, attempt: AttemptView, document: Callable[[str], bytes], listed: Listed, now: datetime
) -> None:
    codec.read_cancel(Reply(200, document("cancel_order")), attempt)
    asked = replace(attempt, cancel_requested=True)
    reply = listed(json.loads(document("cancel_order"))["order"])
    [seen] = codec.read(codec.track([asked], now)[0], reply, [asked], now).observations[attempt.id]
    assert (seen.status, seen.cancelled_by, seen.reason_text, seen.raw) == (
        S.CANCELLED,
        CancelledBy.MERCHANT,
        "O cliente não está respondendo",
        Raw("order", "canceled", "O cliente não está respondendo"),
    )


@pytest.mark.quirk("B-99")
def test_a_late_cancel_is_refused(codec: Borzo, attempt: AttemptView, refused: Listed) -> None:
    with pytest.raises(Refused, match=r"^order_cannot_be_canceled$"):
        codec.read_cancel(refused("order_cannot_be_canceled"), attempt)


@pytest.mark.quirk("B-99")
@pytest.mark.parametrize("reply", [Reply(500, b""), Reply(200, b"{}"), Reply(200, b'{"is_successful": false}')])
def test_an_unclear_answer_leaves_the_outcome_of_a_cancel_unknown(
    codec: Borzo, attempt: AttemptView, reply: Reply
) -> None:
    with pytest.raises(Uncertain):
        codec.read_cancel(reply, attempt)


def test_a_refused_cancel_has_a_reason(refused: Listed, codec: Borzo, attempt: AttemptView) -> None:
    with pytest.raises(Refused) as refusal:
        codec.read_cancel(refused("invalid_parameters"), attempt)
    assert refusal.value.reason is Reason.VALIDATION
