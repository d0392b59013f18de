"""What is published of a courier must be what their carrier had, in the same order."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.chaos.history import History
from tests.chaos.whole_history import EVENTS, WHOLE, broken, courier, event, stored

STATUS_OF = {
    "planned": "created",
    "courier_assigned": "courier_assigned",
    "courier_departed": "pickup_enroute",
    "parcel_picked_up": "picked_up",
    "finished": "delivered",
}
PLANNED = {"entity": "delivery", "code": "planned"}
WORDS = (
    "available/planned",
    "active/courier_assigned",
    "reactivated/planned",
    "active/courier_assigned",
    "active/courier_departed",
    "active/parcel_picked_up",
    "completed/finished",
)


def published(*codes: str, entity: str = "delivery", kind: str = "delivery.status_changed") -> History:
    """Return a history of a courier with all words, in which these codes were published."""
    history = [{"word": word, "at": f"2026-11-21T08:0{minute}:00+00:00"} for minute, word in enumerate(WORDS, 3)]
    told = [
        event(
            number,
            STATUS_OF.get(code, "created"),
            kind,
            carrier="borzo",
            carrier_ref="99",
            raw={"entity": entity, "code": code},
        )
        for number, code in enumerate(codes, start=1)
    ]
    on_bus = tuple(each["id"] for each in (*told, *EVENTS))
    couriers = ({**courier("99"), "history": history},)
    return replace(WHOLE, couriers=couriers, outbox=tuple(map(stored, told)), bus=tuple(told), on_bus=on_bus)


@pytest.mark.parametrize(
    "codes",
    [
        ("planned", "courier_assigned", "planned", "courier_assigned", "parcel_picked_up", "finished"),
        ("courier_assigned", "courier_assigned", "finished"),
        ("planned", "planned", "parcel_picked_up"),
    ],
    ids=["all", "some unseen", "twice"],
)
def test_the_carriers_statuses_in_their_order_are_no_violation(codes: tuple[str, ...]) -> None:
    assert broken(published(*codes)) == []


@pytest.mark.parametrize(
    "codes", [("courier_departed", "courier_assigned"), ("left_in_locker",)], ids=["an older one", "one it never had"]
)
def test_a_status_that_the_carrier_did_not_have_then_or_later_is_found(codes: tuple[str, ...]) -> None:
    assert broken(published(*codes)) == ["R13"]


def test_an_order_and_its_delivery_have_statuses_of_their_own() -> None:
    histories = (published("completed", entity="order"), published("finished", entity="order"))
    assert [broken(each) for each in histories] == [[], ["R13"]]


def test_only_a_change_of_the_status_counts() -> None:
    assert broken(published("courier_departed", "courier_assigned", kind="delivery.regression_seen")) == []


@pytest.mark.parametrize(
    ("statuses", "published_statuses"),
    [
        (("courier_departed", "active"), (("active", "courier_assigned"), ("courier_departed", "pickup_enroute"))),
        (
            ("courier_assigned", "delayed", "courier_assigned"),
            (("delayed", "on_hold"), ("courier_assigned", "courier_assigned"), ("delayed", "on_hold")),
        ),
    ],
    ids=["than a vague one", "than a hold, and the courier has it again later"],
)
def test_an_older_status_that_is_a_step_forward_is_only_late(
    statuses: Sequence[str], published_statuses: Sequence[tuple[str, str]]
) -> None:
    words = [{"word": f"active/{code}", "at": "2026-11-21T08:09:00+00:00"} for code in statuses]
    events = tuple(
        event(number, status, carrier="borzo", carrier_ref="99", raw={"entity": "delivery", "code": code})
        for number, (code, status) in enumerate(published_statuses, start=1)
    )
    history = replace(
        published(), couriers=({**courier("99"), "history": words},), outbox=tuple(map(stored, events)), bus=events
    )
    assert broken(history) == []


def test_a_delivery_that_an_older_status_reopens_is_found() -> None:
    reopened = event(2, "created", "delivery.reopened", carrier="borzo", carrier_ref="99", raw=PLANNED)
    history = published("finished")
    outbox = (*history.outbox, stored(reopened))
    assert broken(replace(history, outbox=outbox, bus=(*history.bus, reopened))) == ["R13"]
