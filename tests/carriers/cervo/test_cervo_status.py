"""Every row of the status table, against the API document's own list."""

from dataclasses import replace

import pytest

from schemas.status import CancelledBy, DeliveryStatus
from worker.carriers.cervo.status import STATUS_OF_WORD, Verdict, verdict
from worker.carriers.port import AttemptView

S = DeliveryStatus

DOCUMENTED_CODES = """
1 New
2 Accepted by driver
3 Order on hand
4 Completed
5 Canceled by driver
0 Canceled
"""

ROWS = {
    "New": S.CREATED,
    "Accepted by driver": S.COURIER_ASSIGNED,
    "Order on hand": S.PICKED_UP,
    "Completed": S.DELIVERED,
    "Canceled by driver": S.COURIER_WITHDRAWN,
    "Canceled": S.CANCELLED,
}


def documented() -> dict[str, str]:
    return dict(line.split(" ", 1) for line in DOCUMENTED_CODES.strip().splitlines())


def test_the_table_has_every_documented_code_and_no_other() -> None:
    assert {code: ROWS[text] for code, text in documented().items()} == STATUS_OF_WORD


@pytest.mark.quirk("C-32", "C-33", "C-34", "C-35")
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("1", Verdict(S.CREATED)),
        ("2", Verdict(S.COURIER_ASSIGNED)),
        ("3", Verdict(S.PICKED_UP)),
        ("4", Verdict(S.DELIVERED)),
        ("5", Verdict(S.COURIER_WITHDRAWN)),
        ("0", Verdict(S.CANCELLED, cancelled_by=CancelledBy.UNKNOWN)),
        ("6", Verdict(None)),
        ("7", Verdict(None)),
        ("00", Verdict(None)),
        ("-0", Verdict(None)),
        ("4.0", Verdict(None)),
        ("Completed", Verdict(None)),
    ],
    ids=["1", "2", "C-35", "4", "C-34", "C-33", "C-32", "7", "00", "-0", "4.0", "label"],
)
def test_a_code_means_one_thing_while_the_goods_are_in_the_shop(
    attempt: AttemptView, code: str, expected: Verdict
) -> None:
    assert verdict(code, attempt, goods_gone=False) == expected


@pytest.mark.quirk("C-34")
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("1", Verdict(S.CREATED)),
        ("2", Verdict(S.COURIER_ASSIGNED)),
        ("3", Verdict(S.PICKED_UP)),
        ("4", Verdict(S.DELIVERED)),
        ("5", Verdict(S.CANCELLED, "with_items", CancelledBy.COURIER)),
        ("0", Verdict(S.CANCELLED, "with_items", CancelledBy.UNKNOWN)),
        ("6", Verdict(None)),
    ],
)
def test_an_end_after_pickup_is_an_end_with_the_goods(attempt: AttemptView, code: str, expected: Verdict) -> None:
    assert verdict(code, attempt, goods_gone=True) == expected


def test_a_cancel_is_the_merchant_s_only_when_we_asked_for_it(attempt: AttemptView) -> None:
    asked = replace(attempt, cancel_requested=True)
    assert verdict("0", asked, goods_gone=False) == Verdict(S.CANCELLED, cancelled_by=CancelledBy.MERCHANT)


@pytest.mark.quirk("C-34")
def test_a_withdrawal_that_ended_an_attempt_stays_its_end(attempt: AttemptView) -> None:  # on a tail read
    ended = replace(attempt, state="cancelled", rank=100)
    assert verdict("5", ended, goods_gone=False) == Verdict(S.CANCELLED, cancelled_by=CancelledBy.COURIER)
