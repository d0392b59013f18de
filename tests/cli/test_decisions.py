"""What an operator decides about one delivery: an offer accepted or denied, a delivery tried again."""

from datetime import timedelta

import pytest

from schemas.status import DeliveryStatus, Reason
from tests.cli import test_cli as cli
from tests.cli.test_cli import Ended, Operator, submit
from tests.web.edge import NOW, sample
from worker.carriers.port import Booked, Observation, Offer, Raw
from worker.container import Container
from worker.database import deliveries
from worker.errors import Refused, Uncertain
from worker.local.demo.orders import placed

operator, house, delivery = cli.operator, cli.house, cli.delivery

CREATED = Booked(Observation(DeliveryStatus.CREATED, Raw("reply", "1"), ref="99"))


@pytest.fixture
def offered(house: Container) -> None:
    """Let DeliverIt offer a pickup an hour late."""
    house.ingest.store_documents([("1-0", placed(sample("2011", "17")).encode())])
    asked = NOW + timedelta(minutes=15)
    awaiting = Observation(DeliveryStatus.AWAITING_CONFIRMATION, Raw("reply", "pushed"), ref="F64u3fbx")
    submit(house, Booked(awaiting, Offer(asked, asked + timedelta(hours=1))))


@pytest.mark.usefixtures("offered")
def test_an_open_offer_is_shown_with_what_was_asked_for_and_until_when_it_waits(operator: Operator) -> None:
    (shown,) = operator("show", "2011", "--json").documents
    (attempt,) = shown["attempts"]
    assert {key: attempt[key] for key in ("pickup_at", "offered_at", "rule_until", "ruling")} == {
        "pickup_at": "2026-11-21T17:15:00Z",
        "offered_at": "2026-11-21T18:15:00Z",
        "rule_until": "2026-11-21T17:03:00Z",
        "ruling": None,
    }
    assert shown["attention"] == "offer_waits"


@pytest.mark.usefixtures("offered")
@pytest.mark.parametrize("word", ["accept", "deny"])
def test_an_offer_is_ruled_on_once(word: str, operator: Operator, house: Container) -> None:
    assert operator(word, "2011") == Ended(0, f"2011: awaiting_confirmation the answer is {word}\n", "")
    assert operator(word, "2011") == Ended(
        1, "", "order-sync: nothing to do: the delivery is awaiting_confirmation, its next step is confirm\n"
    )
    (attempt,) = house.database.read(deliveries.find, "2011")[0].attempts
    (shown,) = operator("show", "2011", "--json").documents[0]["attempts"]
    assert (attempt.offer_decision, shown["ruling"], shown["rule_until"]) == (word, word, None)


@pytest.mark.usefixtures("delivery")
@pytest.mark.parametrize("word", ["accept", "deny"])
def test_where_nothing_is_offered_there_is_nothing_to_rule_on(word: str, operator: Operator) -> None:
    assert operator(word, "2011") == Ended(
        1, "", "order-sync: no carrier offers another time: the delivery is queued\n"
    )


@pytest.mark.usefixtures("delivery")
def test_a_rejected_delivery_is_tried_again_and_the_answer_can_be_read_by_a_program(
    operator: Operator, house: Container
) -> None:
    submit(house, Refused(Reason.CARRIER_CLOSED, "closed"))
    ended = operator("retry", "2011", "--json")
    (told,) = ended.documents
    assert (ended.code, told["status"], told["detail"], told["next_step"]) == (0, "queued", "retry", "book")


@pytest.mark.usefixtures("delivery")
@pytest.mark.parametrize(
    ("outcome", "instead"),
    [
        (CREATED, "cervo has the order: run `order-sync cancel ID` first"),
        (Uncertain("?"), "cervo may have the order: run `order-sync resolve ID exists REF` or `absent`"),
    ],
)
def test_what_cannot_be_tried_again_is_refused_with_what_to_do_instead(
    outcome: object, instead: str, operator: Operator, house: Container
) -> None:
    submit(house, outcome)
    assert operator("retry", "2011") == Ended(1, "", f"order-sync: {instead}\n")


@pytest.mark.usefixtures("delivery")
@pytest.mark.parametrize("command", [("cancel",), ("retry",)])
def test_what_a_decision_led_to_is_written_as_the_list_writes_it(command: tuple[str], operator: Operator) -> None:
    told = operator(*command, "2011", "--json").documents
    assert told == operator("deliveries", "--json").documents
