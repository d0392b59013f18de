"""The tables, row by row, and the document's own lists against which they are complete."""

import itertools

import pytest

from schemas.status import DeliveryStatus, Evidence, Reason
from worker.carriers.deliverit.status import (
    ACCEPT_REFUSALS,
    CANCEL_REFUSALS,
    CREATE_REFUSALS,
    CREATED,
    DENY_REFUSALS,
    MILESTONES,
    RULES,
    MessageTable,
    Progress,
    reason_for,
    rule_for,
)
from worker.carriers.deliverit.wire import RawRow

S, E = DeliveryStatus, Evidence

DOCUMENTED_ROW_KEYS = {
    "created_at", "name", "telephone", "address", "city", "zip", "remarks", "deliveryPrice", "pickupTime",
    "driverArrive", "driverLeft", "arriveAtCustomer", "done", "distance", "canceUrl", "cancel", "canceled_at",
}  # fmt: skip
STATUS_BEARING = {"driverArrive", "driverLeft", "arriveAtCustomer", "done", "cancel", "canceled_at"}

ROW_TABLE = [
    pytest.param(Progress(cancelled=True), S.CANCELLED, E.OBSERVED, "cancel", id="row-1"),
    pytest.param(
        Progress(cancelled=True, driver_left=True, done=True), S.DELIVERED, E.OBSERVED, "done", id="row-1-done-D-63"
    ),
    pytest.param(Progress(driver_left=True, done=True), S.DELIVERED, E.OBSERVED, "done", id="row-2-left"),
    pytest.param(Progress(arrive_at_customer=True, done=True), S.DELIVERED, E.OBSERVED, "done", id="row-2-customer"),
    pytest.param(Progress(done=True), S.DELIVERED, E.WEAK, "done", id="row-3-D-63"),
    pytest.param(Progress(driver_arrive=True, done=True), S.DELIVERED, E.WEAK, "done", id="row-3-arrived-only"),
    pytest.param(Progress(arrive_at_customer=True), S.DROPOFF_ARRIVED, E.OBSERVED, "arriveAtCustomer", id="row-4"),
    pytest.param(Progress(driver_arrive=True, driver_left=True), S.PICKED_UP, E.OBSERVED, "driverLeft", id="row-5"),
    pytest.param(Progress(driver_arrive=True), S.PICKUP_ARRIVED, E.OBSERVED, "driverArrive", id="row-6"),
    pytest.param(Progress(), S.CREATED, E.OBSERVED, "N/A", id="row-7-D-64"),
]


@pytest.mark.parametrize(("signs", "status", "evidence", "code"), ROW_TABLE)
def test_each_rule_has_its_status(signs: Progress, status: DeliveryStatus, evidence: Evidence, code: str) -> None:
    rule = rule_for(signs)
    assert (rule.status, rule.evidence, rule.code) == (status, evidence, code)


def test_every_combination_of_events_has_a_status_and_every_rule_is_reached() -> None:
    reached = [rule_for(Progress(*marks)) for marks in itertools.product((False, True), repeat=5)]
    assert set(map(id, reached)) == set(map(id, RULES))


@pytest.mark.quirk("D-25", "D-61")
def test_every_documented_key_is_read_or_says_nothing_about_progress() -> None:
    said = {*MILESTONES.values(), "cancel", "canceled_at"}
    read = {field.replace("_", "") for field in RawRow.model_fields}
    assert said == STATUS_BEARING
    # canceUrl is read as cancel_url; names, cities and distances are not read at all (D-61)
    assert {key.lower().replace("_", "") for key in DOCUMENTED_ROW_KEYS} - read == {
        "name",
        "city",
        "distance",
        "canceurl",
    }


@pytest.mark.quirk("D-20", "D-21")
def test_a_201_is_a_confirmation_or_an_offer_and_every_other_pair_contradicts_itself() -> None:
    assert CREATED == {(False, False): S.CREATED, (True, True): S.AWAITING_CONFIRMATION}  # D-20, D-21


@pytest.mark.quirk("D-08", "D-23", "D-30", "D-34", "D-42")
@pytest.mark.parametrize(
    ("table", "message", "reason"),
    [
        pytest.param(CREATE_REFUSALS, "Sorry. DeliverIt is closed.", Reason.CARRIER_CLOSED, id="D-23"),
        pytest.param(CREATE_REFUSALS, "Telephone cannot be empty", Reason.VALIDATION, id="D-23-empty"),
        pytest.param(CREATE_REFUSALS, "Missing input", Reason.VALIDATION, id="D-23-missing"),
        pytest.param(CREATE_REFUSALS, "Some strange error has occured. Please try again.", Reason.UNKNOWN, id="D-08"),
        pytest.param(
            ACCEPT_REFUSALS,
            "You cannot accept this anymore. Time limit reached or order does not exist. Please create new order",
            Reason.OFFER_LAPSED,
            id="D-30",
        ),
        pytest.param(ACCEPT_REFUSALS, "You should not be here", Reason.UNKNOWN, id="accept-other"),
        pytest.param(DENY_REFUSALS, "You should not be here", Reason.UNKNOWN, id="D-34"),
        pytest.param(
            CANCEL_REFUSALS,
            "You cannot cancel this order. The driver is on the way. Contact DeliverIt +45 93 866 766",
            Reason.DEADLINE_PASSED,
            id="D-42",
        ),
    ],
)
def test_each_documented_message_has_one_reason(table: MessageTable, message: str, reason: Reason) -> None:
    assert reason_for(table, message) == reason
