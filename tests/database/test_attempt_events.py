"""The events about attempts are read in parts of the outbox, with the pickup time that only the attempt knows."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from schemas.events import EventType
from schemas.status import AttemptState, CancelledBy, Cause, DeliveryStatus, Reason
from tests.database.samples import ID, LATER, NOW, RULES, begun, changed, place, put_row, rows
from tests.domain.scenario import observed
from worker.carriers.port import Observation, Price
from worker.database import attempt_events
from worker.database.database import Database
from worker.domain import lifecycle
from worker.domain.report import AttemptEvent

S = DeliveryStatus
ATTEMPT = 2**53 - 1
PRICE = Price(Decimal("89.50"), "DKK")
PLACED = AttemptEvent(
    type=EventType.STATUS_CHANGED,
    delivery_id=ID,
    sequence=1,
    store_id="17",
    status=S.QUEUED,
    previous_status=None,
    carrier=None,
    attempt=0,
    cause=Cause.MESSAGE,
    observed_at=NOW,
)


def observe(database: Database, *seen: Observation) -> None:
    """Apply what callbacks report an hour after the create."""
    changed(
        database, [ID], lambda each: lifecycle.apply_observations(each, ATTEMPT, seen, RULES, LATER, Cause.CALLBACK)
    )


def test_events_about_attempts_are_read_in_their_order_and_others_are_left_out(database: Database) -> None:
    place(database)
    changed(database, [ID], lambda each: begun(each, state=AttemptState.CREATED))
    observe(
        database,
        observed("courier_assigned", occurred_at=NOW),
        observed("courier_assigned", price=PRICE),
        observed("picked_up"),
        observed(None, "teleported"),
        observed("cancelled", reason=Reason.NO_COURIER, cancelled_by=CancelledBy.COURIER),
    )
    at_carrier = replace(PLACED, carrier="deliverit", attempt=1, cause=Cause.CALLBACK, observed_at=LATER)
    found = database.read(attempt_events.between, 0, database.read(attempt_events.newest_position))
    assert found[:4] == [
        PLACED,
        replace(
            at_carrier,
            sequence=2,
            status=S.COURIER_ASSIGNED,
            previous_status=S.QUEUED,
            occurred_at=NOW,
            raw="order:word",
        ),
        replace(
            at_carrier,
            sequence=4,
            status=S.PICKED_UP,
            previous_status=S.COURIER_ASSIGNED,
            raw="order:word",
            price=("DKK", PRICE.amount),
            pickup_at=LATER,
        ),
        replace(
            at_carrier,
            sequence=5,
            type=EventType.STATUS_UNRECOGNIZED,
            status=S.PICKED_UP,
            previous_status=S.COURIER_ASSIGNED,
            raw="order:teleported",
            price=("DKK", PRICE.amount),
            pickup_at=LATER,
        ),
    ]
    assert [(each.type, each.reason, each.cancelled_by) for each in found[4:]] == [
        (EventType.ATTEMPT_ENDED, Reason.NO_COURIER, CancelledBy.COURIER),
        (EventType.STATUS_CHANGED, Reason.NO_COURIER, CancelledBy.COURIER),
    ]


def test_a_part_of_the_outbox_begins_after_one_position_and_ends_at_another(database: Database) -> None:
    ids = place(database, "1", "2", "3")
    newest = database.read(attempt_events.newest_position)
    parts = [database.read(attempt_events.between, newest - 3 + part, newest - 2 + part) for part in range(3)]
    assert [[each.delivery_id for each in part] for part in parts] == [[each] for each in ids]


def test_an_event_of_a_newer_version_with_an_unknown_status_is_left_out(database: Database) -> None:
    place(database)
    (row,) = rows(database, "event")
    body = row["body"].replace('"status":"queued"', '"status":"teleported"')
    put_row(database, "event", **{**row, "position": row["position"] + 1, "sequence": 2, "body": body})
    assert database.read(attempt_events.between, 0, row["position"] + 1) == [PLACED]


def test_the_place_of_a_time_is_found_although_positions_have_gaps(database: Database) -> None:
    times = {3: 0, 4: 1, 90: 2, 91: 2, 1000: 4}
    for position, minutes in times.items():
        row = {"position": position, "sequence": position, "created_at": NOW + timedelta(minutes=minutes)}
        put_row(database, "event", key="k", subject="", body="", **row)
    places = [database.read(attempt_events.position_before, NOW + timedelta(minutes=each)) for each in range(-1, 6)]
    assert [[each for each in times if each > place] for place in places] == [
        [each for each, minutes in times.items() if minutes >= since] for since in range(-1, 6)
    ]


def test_an_empty_outbox_has_no_place(database: Database) -> None:
    assert database.read(attempt_events.position_before, NOW) == 0
