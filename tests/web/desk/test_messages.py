"""A message that could not be read is corrected at the desk; the original is kept, and who did it and why."""

import json

import fakeredis
import pytest
from sqlalchemy import select

from tests.services.simulation import Simulation, order_document
from tests.web.desk.operator_browser import Browser, Page
from worker.bus.streams import Bus
from worker.database import operator_actions
from worker.database.tables import DEAD_LETTER
from worker.domain.operator import Operator
from worker.services.operations import Operations
from worker.web.desk.messages import NO_LETTER

BROKEN = json.dumps({**json.loads(order_document()), "specversion": "0.1"})


@pytest.fixture
def address(browser: Browser, simulation: Simulation) -> str:
    """Let a message arrive that cannot be read; return the address of its page."""
    simulation.put(BROKEN)
    (found,) = [each for each in browser.get("/messages").links.values() if each.startswith("/messages/")]
    return found


def correct(browser: Browser, address: str, text: str, reason: str = "they sent an old version") -> Page:
    shown = browser.send(browser.get(address), address)
    return browser.send(shown, f"{address}/corrected", text=text, reason=reason)


def test_a_corrected_message_becomes_an_order_and_the_original_is_kept(
    browser: Browser, simulation: Simulation, address: str
) -> None:
    page = correct(browser, address, order_document())
    assert (page.path, page.lines[0]) == (
        "/messages",
        "Done: the corrected message was replayed. The original is kept.",
    )
    simulation.read()
    assert simulation.delivery().order.order_id == "2011"
    read = simulation.container.database.read
    assert read(lambda connection: connection.scalar(select(DEAD_LETTER.c.raw))) == BROKEN.encode()
    action, shown = read(operator_actions.newest, 9)
    assert [(each.operator, each.action, each.reason, each.subject) for each in (shown, action)] == [
        ("maria", "dead-letters show", "", address.rpartition("/")[2]),
        ("maria", "dead-letters correct", "they sent an old version", address.rpartition("/")[2]),
    ]


@pytest.mark.parametrize(
    ("text", "reason", "fault"),
    [
        ("{", "why", "The corrected message cannot be read: message: not JSON"),
        (BROKEN, "why", "The corrected message cannot be read: specversion: "),
        (order_document(), " ", "Write your reason."),
    ],
)
def test_a_text_that_cannot_be_read_is_shown_again_with_its_fault(
    browser: Browser, simulation: Simulation, address: str, text: str, reason: str, fault: str
) -> None:
    page = correct(browser, address, text, reason)
    assert page.status == 422
    assert any(each.startswith(fault) for each in page.lines)
    assert page.text == text
    assert simulation.redis.xlen("orders") == 1
    assert browser.get(address).status == 200


class Meanwhile(Operations):
    """Operations before which another operator discards the message."""

    letter_id = ""

    def claim_form(self, token: str) -> str | None:
        self.discard(self.letter_id, Operator("joe"))
        return super().claim_form(token)


def test_a_message_that_another_operator_settles_meanwhile_is_not_called_replayed(
    browser: Browser, simulation: Simulation, address: str
) -> None:
    real = simulation.container.operations
    Meanwhile.letter_id = address.rpartition("/")[2]
    simulation.container.operations = Meanwhile(real.database, real.bus, real.defaults, real.clock)
    page = correct(browser, address, order_document())
    assert (page.status, NO_LETTER in page.lines) == (422, True)
    assert simulation.redis.xlen("orders") == 1


def test_an_entry_with_other_fields_is_corrected_as_its_fields(browser: Browser, simulation: Simulation) -> None:
    document = json.loads(order_document())
    data = json.dumps(document.pop("data"))
    simulation.redis.xadd("orders", {**{f"ce_{name}": value for name, value in document.items()}, "data": "{"})
    simulation.read()
    (address,) = [each for each in browser.get("/messages").links.values() if each.startswith("/messages/")]
    fields = json.loads(browser.send(browser.get(address), address).text)
    fault = "The corrected message cannot be read: message: not a JSON object of texts"
    assert fault in correct(browser, address, "[]").lines
    assert correct(browser, address, json.dumps({**fields, "data": data})).path == "/messages"
    simulation.read()
    assert simulation.delivery().order.order_id == "2011"


def test_a_corrected_message_is_replayed_once(browser: Browser, simulation: Simulation, address: str) -> None:
    shown = browser.send(browser.get(address), address)
    fields = {"text": order_document(), "reason": "twice"}
    browser.send(shown, f"{address}/corrected", **fields)
    assert browser.send(shown, f"{address}/corrected", **fields).status == 404
    assert simulation.redis.xlen("orders") == 2


def test_a_corrected_message_stays_while_redis_does_not_answer(
    browser: Browser, simulation: Simulation, address: str
) -> None:
    server = fakeredis.FakeServer()
    server.connected = False
    simulation.container.bus = Bus(fakeredis.FakeRedis(server=server), orders="orders", events="deliveries")
    page = correct(browser, address, order_document())
    assert (page.status, "Redis does not answer. Try again in a moment." in page.lines) == (422, True)


def test_a_line_break_of_the_original_stays_one(browser: Browser, simulation: Simulation) -> None:
    simulation.put(BROKEN.replace(", ", ",\r\n", 1))
    (address,) = [each for each in browser.get("/messages").links.values() if each.startswith("/messages/")]
    assert browser.send(browser.get(address), address).text == BROKEN.replace(", ", ",\n", 1)


def test_the_newest_messages_are_listed_without_their_customers(browser: Browser, simulation: Simulation) -> None:
    simulation.place_at("cervo", "1")
    simulation.add("{")
    page = browser.get("/messages")
    assert page.lines[-2:] == [
        "unknown cannot be read message: not JSON 0 s",
        "1 order.placed demo 0 s",
    ]
    assert simulation.delivery("1").order.customer.name not in page.reply.text


def test_the_orders_that_must_be_fetched_are_listed(browser: Browser, simulation: Simulation) -> None:
    simulation.add(
        json.dumps(
            {"specversion": "1.0", "id": "n", "source": "shop", "type": "order.placed", "data": {"order_id": "7"}}
        )
    )
    simulation.unserved = frozenset({"platform"})
    simulation.read()
    lines = browser.get("/messages").lines
    begin = lines.index("Orders to fetch from the platform")
    assert lines[begin + 1 : begin + 3] == ["Order From Age Tries Next try", "7 shop 0 s 0 in 0:00"]
