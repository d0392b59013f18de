"""What `order-sync show` says that an operator can do, and where an order stands that is at no carrier just now."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from schemas.status import Cause, DeliveryStatus, Reason
from tests.cli import test_cli as cli
from tests.cli.test_cli import Operator, ask_for_a_person, submit
from tests.web.edge import NOW, sample
from worker.carriers.port import Booked, Observation, Raw
from worker.cli.advice import ASKED, change_of
from worker.config.settings import load
from worker.container import Container
from worker.database import accounts, deliveries
from worker.domain import lifecycle
from worker.errors import Refused
from worker.local.demo.orders import placed

operator, house, delivery = cli.operator, cli.house, cli.delivery
RELIABILITY = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
CREATED = Booked(Observation(DeliveryStatus.CREATED, Raw("reply", "1"), ref="99"))


def documented() -> set[str]:
    """Read the words of the table of what a person is asked for."""
    _, _, rest = RELIABILITY.read_text().partition("## When an operator is needed")
    rows = [line.split("|")[1] for line in rest.partition("\n## ")[0].splitlines() if line.startswith("| `")]
    return {word for row in rows for word in re.findall(r"`(\w+)`", row)}


def test_every_word_that_a_person_is_asked_with_has_its_advice() -> None:
    assert set(ASKED) == documented()


def test_no_advice_names_a_command_that_is_not_there() -> None:
    named = {word for text in ASKED.values() for word in re.findall(r"`order-sync ([a-z-]+)", text)}
    assert named <= {"accept", "cancel", "carriers", "check", "deny", "resolve", "stores"}


@pytest.mark.usefixtures("delivery")
def test_what_waits_for_a_person_is_shown_with_what_to_type(operator: Operator, house: Container) -> None:
    ask_for_a_person(house, "offer_waits, went_backwards")
    told = [
        "offer_waits: `order-sync accept 2011`, or `order-sync deny 2011`",
        "went_backwards: look on the carrier's screen; then `order-sync attended 2011`",
    ]
    (shown,) = operator("show", "2011", "--json").documents
    lines = [line.split(maxsplit=1)[1] for line in operator("show", "2011").lines if line.startswith("to_do")]
    assert (shown["to_do"], lines) == (told, told)


@pytest.mark.usefixtures("delivery")
def test_a_word_that_nobody_knows_is_shown_with_how_to_explain_it(operator: Operator, house: Container) -> None:
    submit(house, CREATED)
    (found,) = house.database.read(deliveries.find, "2011")
    seen = [Observation(None, Raw("order", "6"))]
    house.database.persist(
        deliveries.update,
        [found.id],
        lambda each: lifecycle.apply_observations(each, 7, seen, house.terms, NOW, Cause.POLL),
    )
    (shown,) = operator("show", "2011", "--json").documents
    assert shown["to_do"] == ["nobody knows order:6: `order-sync carriers map cervo order:6 STATUS`"]
    assert operator("show", "2011").lines[-1].endswith("delivery.status_unrecognized created order:6")


def test_an_order_that_waits_for_its_shop_says_so(operator: Operator) -> None:
    operator.set(ORDERING__BASE_URL="http://127.0.0.1:9", ORDERING__API_KEY="a-key", ORDERING__GATE="accepted")
    gated = Container(load(), clock=lambda: NOW)
    gated.ingest.store_documents([("1-0", placed(sample("2011", "34")).encode())])
    gated.database.close()
    (shown,) = operator("show", "2011", "--json").documents
    assert shown["to_do"] == [
        "it goes when the shop says accepted: on the platform, or an `order.updated` with that status"
    ]


def test_an_order_on_its_way_to_the_next_carrier_is_listed_with_that_one_and_its_pause(
    operator: Operator, house: Container
) -> None:
    house.ingest.store_documents([("1-0", placed(sample("2011", "17")).encode())])
    house.database.write(accounts.pause, "borzo", "operator", "a holiday", NOW)
    submit(house, Refused(Reason.VALIDATION, "no street"))
    (shown,) = operator("show", "2011", "--json").documents
    assert (shown["status"], shown["detail"], shown["carrier"], shown["carrier_ref"], shown["paused"]) == (
        "queued",
        "fallback",
        "borzo",
        None,
        "by operator since 2026-11-21T17:00:00Z: a holiday",
    )
    assert operator("retry", "2011").out == "2011: queued fallback (borzo is paused)\n"


@pytest.mark.usefixtures("delivery")
def test_a_change_is_shown_as_far_as_the_carrier_has_it(house: Container) -> None:
    submit(house, CREATED)
    (found,) = house.database.read(deliveries.find, "2011")
    (attempt,) = found.attempts
    other = replace(attempt, sent_fingerprint="another")
    states = [
        attempt,
        replace(other, sent_fingerprint="", pending_fingerprint=found.fingerprint),
        other,
        replace(other, amend_refused=True),
        replace(other, ended_at=NOW),
    ]
    assert [change_of(found, each) for each in states] == [None, "asked", "waits", "refused", None]
