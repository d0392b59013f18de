"""Deliveries are found by what they have in common, and by any number that somebody reads out."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import event

from schemas.status import AttemptState, AttentionReason, DeliveryStatus
from tests.database.samples import ID, LATER, NOW, begun, changed, place
from worker.carriers.port import reference_of
from worker.database import search
from worker.database.database import Database
from worker.database.search import ANY, Filter
from worker.domain.delivery import Change

REASONS = (AttentionReason.CANCEL_REFUSED, AttentionReason.UNKNOWN_STORE)


def found(database: Database, wanted: Filter, limit: int = 10) -> list[str]:
    return [each.order.order_id for each in database.read(search.search, wanted, limit)]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Filter(), ["1", "3", "2"]),
        (Filter(attention=ANY), ["1"]),
        (Filter(attention="unknown_store"), ["1"]),
        (Filter(attention="store"), []),
        (Filter(unfinished=True), ["1", "3"]),
        (Filter(status=DeliveryStatus.QUEUED), ["1", "3"]),
        (Filter(status=DeliveryStatus.CANCELLED), ["2"]),
        (Filter(carrier="deliverit", store="17"), ["1", "3", "2"]),
        (Filter(carrier="borzo"), []),
        (Filter(before=NOW + timedelta(seconds=2)), ["1", "2"]),
    ],
)
def test_deliveries_that_need_an_operator_come_first_and_then_the_newest(
    wanted: Filter, expected: list[str], database: Database
) -> None:
    for number, delivery_id in enumerate(place(database, "1", "2", "3"), 1):
        created_at = NOW + timedelta(seconds=number)
        changed(database, [delivery_id], lambda each, at=created_at: Change(replace(each, created_at=at)))  # type: ignore[misc]
    (first,), (second,) = ([each.id for each in database.read(search.find, name, [])] for name in "12")
    changed(database, [first], lambda each: Change(replace(each, attention_reasons=REASONS)))
    ended = {"status": DeliveryStatus.CANCELLED, "step": None, "next_run_at": None}
    changed(database, [second], lambda each: Change(replace(each, **ended)))  # type: ignore[arg-type]
    assert found(database, wanted) == expected
    assert found(database, wanted, 1) == expected[:1]


def test_a_delivery_is_found_by_each_of_its_numbers(database: Database) -> None:
    place(database, "2011", "2012")
    changed(database, [ID], lambda each: begun(each, ref="F64u3fbx", state=AttemptState.CREATED))
    our_id = 2**53 - 1
    names = [ID, "2011", "F64u3fbx", str(our_id), reference_of(our_id), reference_of(our_id).lower()]
    assert [[each.id for each in database.read(search.find, name, ["deliverit"])] for name in names] == [[ID]] * 6
    unknown = ["2013", "f64u3fbx", "1", "9" * 17, reference_of(1), "'"]
    assert [database.read(search.find, name, ["deliverit"]) for name in unknown] == [[]] * 6
    assert database.read(search.find, "F64u3fbx", ["borzo"]) == []


def test_a_delivery_of_the_last_two_days_is_found_by_the_end_of_a_phone_number(database: Database) -> None:
    place(database)
    phone = "+4520304050"
    for digits, expected in (("4050", [ID]), ("20304050", [ID]), ("050", []), ("4051", []), ("%050", []), (phone, [])):
        assert [each.id for each in database.read(search.find_by_phone, digits, LATER)] == expected
    assert database.read(search.find_by_phone, "4050", NOW + timedelta(days=2, seconds=1)) == []


def test_the_owner_of_a_carriers_order_is_found_by_its_id_or_by_our_attempt(database: Database) -> None:
    place(database, "2011", "2012")
    changed(database, [ID], lambda each: begun(each, ref="F64u3fbx", state=AttemptState.CREATED))
    our_id = 2**53 - 1
    assert database.read(search.owners, "deliverit", ["F64u3fbx", "other"], {our_id, 1}) == (
        {"F64u3fbx": "2011"},
        {our_id: "2011"},
    )
    assert database.read(search.owners, "borzo", ["F64u3fbx"], set()) == ({}, {})


def test_the_orders_of_a_time_span_are_read_in_pages_the_oldest_first(database: Database) -> None:
    for number, delivery_id in enumerate(place(database, "1", "2", "3", "4")):
        created_at = NOW - timedelta(seconds=number)
        changed(database, [delivery_id], lambda each, at=created_at: Change(replace(each, created_at=at)))  # type: ignore[misc]
    span = (NOW - timedelta(seconds=2), NOW)
    pages = [database.read(search.placed, *span, 1, skip=skip) for skip in range(3)]
    assert [[each.order.order_id for each in page] for page in pages] == [["3"], ["2"], []]


def test_a_search_without_an_index_examines_the_newest_deliveries(database: Database) -> None:
    statements: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    for wanted, bounded in (
        (Filter(carrier="cervo"), True),
        (Filter(status=DeliveryStatus.FAILED), True),
        (Filter(carrier="cervo", store="17"), False),
        (Filter(status=DeliveryStatus.CREATED), False),
        (Filter(), False),
    ):
        statements.clear()
        database.read(search.search, wanted, 50)
        assert statements[-1].count("LIMIT") == 1 + bounded, wanted
