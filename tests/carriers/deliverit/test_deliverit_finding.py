"""Look-ups of creates with an unknown outcome: which row is adopted, and what proves absence."""

from dataclasses import replace
from datetime import datetime

import pytest

from schemas.status import DeliveryStatus
from tests.carriers.deliverit.replies import (
    LINK,
    NO_ORDERS,
    REFERENCE,
    TOKEN,
    make_list,
    make_row,
)
from worker.carriers.deliverit import DeliverIt
from worker.carriers.port import (
    AttemptView,
    Reading,
    reference_of,
)
from worker.http.call import Call, Reply

S = DeliveryStatus


@pytest.mark.quirk("D-60")
def test_a_row_with_our_reference_is_adopted(
    codec: DeliverIt, unknown: AttemptView, finding: Call, now: datetime
) -> None:
    reading = codec.read(finding, make_list(make_row()), [unknown], now)
    (seen,) = reading.observations[unknown.id]
    assert (seen.status, seen.ref, seen.codec_state["cancel_token"]) == (S.CREATED, TOKEN, TOKEN)
    assert (reading.absent, reading.duplicates) == (frozenset(), {})


@pytest.mark.quirk("D-52")
def test_an_adopted_row_without_a_link_has_our_reference_as_its_ref(
    codec: DeliverIt, unknown: AttemptView, finding: Call, now: datetime
) -> None:
    (seen,) = codec.read(finding, make_list(make_row(canceUrl=None)), [unknown], now).observations[unknown.id]
    assert seen.ref == f"#{REFERENCE}"
    (later,) = codec.read(finding, make_list(make_row()), [replace(unknown, ref=seen.ref)], now).observations[
        unknown.id
    ]
    assert later.ref == TOKEN


@pytest.mark.quirk("D-54")
@pytest.mark.parametrize("reply", [Reply(404, NO_ORDERS.encode()), make_list()], ids=["404-D-54", "empty"])
def test_an_empty_day_proves_absence(
    codec: DeliverIt, unknown: AttemptView, finding: Call, reply: Reply, now: datetime
) -> None:
    assert codec.read(finding, reply, [unknown], now) == Reading(absent=frozenset({unknown.id}))


def test_absence_is_reported_only_for_the_attempts_that_a_look_up_covers(
    codec: DeliverIt, unknown: AttemptView, finding: Call, tracking: Call, now: datetime
) -> None:
    assert codec.read(replace(finding, attempt_ids=()), make_list(), [unknown], now) == Reading()
    assert codec.read(tracking, make_list(), [unknown], now) == Reading()


@pytest.mark.quirk("D-13", "D-61")
@pytest.mark.parametrize(
    ("other", "absent"),
    [
        pytest.param(make_row(remarks="", canceUrl=None), False, id="similar-D-61"),
        pytest.param(make_row(remarks="", canceUrl=None, telephone=None), False, id="similar-without-phone"),
        pytest.param({}, False, id="nothing-known"),
        pytest.param(7, False, id="unreadable"),
        pytest.param(make_row(remarks="", telephone="+4599999999"), True, id="another-phone"),
        pytest.param(make_row(remarks="", zip="5200"), True, id="another-zip-D-13"),
        pytest.param(make_row(remarks="", created_at={"date": "2026-11-21 17:30:00"}), True, id="long-before"),
        pytest.param(make_row(remarks=f"#{reference_of(7)} 2012"), True, id="another-reference"),
        pytest.param(
            make_row(remarks=f"#{reference_of(7)} and #{REFERENCE}"), False, id="another-reference-before-ours"
        ),
    ],
)
def test_absence_is_proved_only_when_no_row_may_be_ours(
    codec: DeliverIt, unknown: AttemptView, finding: Call, now: datetime, other: object, *, absent: bool
) -> None:
    reading = codec.read(finding, make_list(other), [unknown], now)
    assert reading == Reading(absent=frozenset({unknown.id}) if absent else frozenset())


def test_an_attempt_whose_row_was_listed_before_is_never_absent(
    codec: DeliverIt, unknown: AttemptView, finding: Call, now: datetime
) -> None:
    listed_before = replace(unknown, codec_state={"listed_on": "2026-11-21"})
    reading = codec.read(finding, make_list(), [listed_before], now)
    assert reading.absent == frozenset()
    assert reading.observations[unknown.id][0].notes == ("rows_vanished",)


@pytest.mark.fault("F-37")
@pytest.mark.quirk("D-60")
def test_the_oldest_of_two_with_our_tag_is_adopted_and_the_other_named(
    codec: DeliverIt, unknown: AttemptView, finding: Call, now: datetime
) -> None:
    younger = make_row(created_at={"date": "2026-11-21 18:01:00"}, canceUrl=f"{LINK}/uyPtNITg5cAOoKDViG2e")
    reading = codec.read(finding, make_list(younger, make_row(), make_row()), [unknown], now)
    assert reading.observations[unknown.id][0].ref == TOKEN
    assert reading.duplicates == {unknown.id: ("uyPtNITg5cAOoKDViG2e",)}


def test_a_cancelled_row_with_our_reference_is_neither_adopted_nor_a_duplicate(
    codec: DeliverIt, unknown: AttemptView, finding: Call, now: datetime
) -> None:
    older = make_row(created_at={"date": "2026-11-21 17:59:00"}, canceUrl=f"{LINK}/uyPtNITg5cAOoKDViG2e", cancel=1)
    reading = codec.read(finding, make_list(older, make_row()), [unknown], now)
    assert [(one.status, one.ref) for one in reading.observations[unknown.id]] == [(S.CREATED, TOKEN)]
    assert reading.duplicates == {}
