"""The table of troubles is complete, and the run writes what it saw."""

from pathlib import Path

import httpx

from schemas.status import AttentionReason
from tests.troubles.cases import CASES
from tests.troubles.environment import Webhook
from tests.troubles.run import BEGIN, END, Proof, write_table
from worker.services.system_troubles import SystemTrouble

NOT_CAUSED = {
    AttentionReason.NOT_DISPATCHED_IN_TIME: "another trouble always causes it and is shown in its place",
    AttentionReason.REFERENCE_MISSING: "the simulated carriers always give their number",
    AttentionReason.STILL_OPEN_AFTER_A_DAY: "lasts a day",
    SystemTrouble.ACCOUNT_MISSING: "needs other settings",
    SystemTrouble.COMMITS_WAIT_FOR_STANDBY: "needs a standby: tests/database/test_fail_over.py causes it",
    SystemTrouble.QUEUE_NOT_SERVED: "needs other workers",
    SystemTrouble.NEWER_VERSION_NEEDED: "needs a newer version",
    SystemTrouble.ORDERS_UNREAD: "comes with a stopped worker",
    SystemTrouble.CALLBACKS_NOT_STORED: "the desk is away too",
    SystemTrouble.CALLBACKS_MISSING: "takes hours to be sure",
    SystemTrouble.RABBITMQ_UNAVAILABLE: "needs a bus on RabbitMQ",
    SystemTrouble.SUBSCRIBER_DISABLED: "takes a day",
    SystemTrouble.ORDERS_NOT_FETCHED: "needs messages without orders",
}


def test_every_kind_of_trouble_is_caused_or_has_a_reason_why_not() -> None:
    caused = {each.kind for each in CASES}
    assert caused.isdisjoint(NOT_CAUSED)
    assert caused | NOT_CAUSED.keys() == {*AttentionReason, *SystemTrouble}


def test_the_table_has_what_was_seen_of_each_trouble(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    seen = Proof(CASES[3], shown_after=12.3, notified=(1, 1), harm="unknown_outcome", in_flower="1 outcome unknown")
    write_table(page, [seen])
    written = page.read_text().splitlines()
    assert (written[0], written[-1], written.count(BEGIN), written.count(END)) == ("before", "after", 1, 1)
    assert written[7] == (
        "| Is a courier coming? borzo gave no clear answer about order 2005 | unknown outcome | 12 s "
        "| 1 outcome unknown | yes | AttentionNeeded | 1 and 1 | It does not exist | never |"
    )


def test_messages_are_counted_by_the_trouble_that_they_name() -> None:
    with Webhook() as webhook:
        for title, message in (
            ("a", "why"),
            ("2 troubles need somebody", "- a\n- b"),
            ("Over: a", "nothing"),
            ("2 troubles are over", "- b\n- c"),
        ):
            httpx.post(f"http://127.0.0.1:{webhook.port}/", json={"title": title, "message": message})
        assert [webhook.count(each) for each in "abc"] == [(2, 1), (1, 1), (0, 1)]
