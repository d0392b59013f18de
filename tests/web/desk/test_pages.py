"""The pages show what needs an operator, and no customer's data."""

import json
import re
from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any

import fakeredis
import pytest
from kombu.exceptions import OperationalError

from tests.services.simulation import Simulation, order_document
from tests.web.desk.operator_browser import Browser
from worker.bus.streams import Bus
from worker.carriers.port import Callback, reference_of
from worker.database import accounts, callbacks, operator_actions
from worker.domain.delivery import Change
from worker.resilience.circuit_breaker import CircuitBreaker
from worker.resilience.rate_limiter import RateLimiter
from worker.web.desk.pages import Cached, countdown

HOSTILE = "<script>alert(1)</script>\u202e<img src=x onerror=alert(1)>"


def customer_of(simulation: Simulation) -> tuple[str, str, str]:
    order = simulation.delivery().order
    return order.customer.name, order.customer.phone, order.dropoff.street


def place_at_unknown_store(simulation: Simulation, *order_ids: str, store_id: str = "77") -> None:
    for order_id in order_ids:
        document = json.loads(order_document(order_id=order_id))
        document["data"]["store_id"] = store_id
        simulation.put(json.dumps(document))
    simulation.pass_time()


def lose_an_answer(simulation: Simulation) -> None:
    """Make the outcome of an order's create unknown."""
    simulation.inject_fault("error_before", "cervo", operation="create", times=1)
    simulation.place_at("cervo", "2011")
    simulation.until(lambda it: it.delivery().attention is not None)


def test_the_first_page_says_when_nothing_needs_anybody(browser: Browser) -> None:
    page = browser.get("/")
    assert page.lines[-2:] == [
        "Nothing needs you.",
        (
            "The worst comes first: goods on the road, unknown outcomes, late orders, waiting orders, the system. "
            "What you do here is recorded with your name and reason."
        ),
    ]


def test_an_unknown_outcome_is_a_card_with_what_to_ask_the_carrier(browser: Browser, simulation: Simulation) -> None:
    lose_an_answer(simulation)
    page, delivery = browser.get("/"), simulation.delivery()
    (attempt,) = delivery.attempts
    begin = page.lines.index(
        next(each for each in page.lines if each.startswith("Is a courier coming? cervo gave no clear answer"))
    )
    assert page.lines[begin].startswith(
        "Is a courier coming? cervo gave no clear answer about order 2011 1 order unknown outcome deadline"
    )
    tag, payment = reference_of(attempt.id), delivery.order.payment
    assert page.lines[begin + 2] == (
        f"Ask cervo: “Do you have our order 2011 with the reference {tag}, sent at 20:00:01?” Order 2011, "
        f"our number {attempt.id}, tag {tag}, sent 20:00:01, pickup 20:15:01 (Asia/Riyadh), {payment.amount} "
        f"{payment.currency} The order"
    )
    assert [each for each in page.links if each.endswith("…")] == ["It exists…", "It does not exist…", "Cancel…"]


def test_the_worst_card_comes_first(browser: Browser, simulation: Simulation) -> None:
    place_at_unknown_store(simulation, "1", "2")
    lose_an_answer(simulation)
    text = " ".join(browser.get("/").lines)
    assert text.index("Is a courier coming?") < text.index("Store 77 is not in the store directory 2 orders")


def test_a_card_is_gone_when_its_trouble_is(browser: Browser, simulation: Simulation) -> None:
    simulation.container.database.write(accounts.pause, "borzo", "operator", "holiday", simulation.now)
    assert "borzo is paused" in " ".join(browser.get("/").lines)
    page = browser.get(browser.get("/").links["Resume now…"])
    assert browser.send(page).lines[:3] == ["Done: Resume now, borzo.", "What needs you", "under way 0"]


@pytest.mark.parametrize("path", ["/", "/deliveries", "/carriers", "/messages", "/system"])
def test_no_page_shows_a_customer(browser: Browser, simulation: Simulation, path: str) -> None:
    lose_an_answer(simulation)
    text = browser.get(path).reply.text
    assert not [each for each in customer_of(simulation) if each in text]


def test_a_customer_is_shown_to_who_asks_and_the_asking_is_recorded(browser: Browser, simulation: Simulation) -> None:
    lose_an_answer(simulation)
    delivery = simulation.delivery()
    address, customer = f"/deliveries/{delivery.id}", customer_of(simulation)
    page = browser.get(address)
    shown = browser.send(page, f"{address}/customer", reason="calling them")
    assert [[each in text for each in customer] for text in (page.reply.text, shown.reply.text)] == [
        [False] * 3,
        [True] * 3,
    ]
    (action,) = simulation.container.database.read(operator_actions.of_delivery, delivery.id)
    assert (action.operator, action.action, action.reason) == ("maria", "show customer", "calling them")


def test_a_customer_is_not_shown_without_a_reason(browser: Browser, simulation: Simulation) -> None:
    lose_an_answer(simulation)
    delivery = simulation.delivery()
    page = browser.send(browser.get(f"/deliveries/{delivery.id}"), f"/deliveries/{delivery.id}/customer", reason=" ")
    assert (page.status, "Write your reason." in page.lines) == (422, True)
    assert f"Phone •••{delivery.order.customer.phone[-2:]}" in page.lines
    assert not [each for each in customer_of(simulation) if each in page.reply.text]
    assert simulation.container.database.read(operator_actions.of_delivery, delivery.id) == []


def test_an_operator_can_call_the_courier(browser: Browser, simulation: Simulation) -> None:
    simulation.place_at("borzo", "2011")
    simulation.until(lambda it: it.delivery().courier is not None)
    courier = simulation.delivery().courier
    assert courier is not None
    links = browser.get(f"/deliveries/{simulation.delivery().id}").links
    assert courier.phone is not None
    assert links[courier.phone] == f"tel:{courier.phone.replace('+', '%2B')}"


def test_a_delivery_says_how_old_its_status_is_and_when_its_carrier_is_asked_next(
    browser: Browser, simulation: Simulation
) -> None:
    simulation.place_at("cervo", "2011")
    simulation.pass_time(20)
    page = browser.get(f"/deliveries/{simulation.delivery().id}")
    assert page.lines[0].startswith("2011 · ")
    assert page.lines[1].startswith(f"{simulation.status().replace('_', ' ')}")
    assert "next read" in page.lines[1]
    assert "event 1 status_changed: queued" in " ".join(page.lines)


def test_the_script_gets_the_seconds_to_count_a_deadline_down(browser: Browser, simulation: Simulation) -> None:
    simulation.place_at("cervo", "2011")
    page = browser.get(f"/deliveries/{simulation.delivery().id}")
    assert '<span data-seconds="900">in 15:00</span>' in page.reply.text


def test_a_delivery_that_has_ended_has_no_deadline(browser: Browser, simulation: Simulation) -> None:
    place_at_unknown_store(simulation, "1")
    address = f"/deliveries/{simulation.delivery('1').id}"
    browser.send(browser.get(browser.get(address).links["Cancel…"]))
    ended = browser.get(address)
    assert "data-seconds" not in ended.reply.text
    assert "deadline none" in ended.lines


def test_a_delivery_is_decided_again_on_a_page_of_its_own(browser: Browser, simulation: Simulation) -> None:
    simulation.place_at("cervo", "2011")
    delivery = simulation.delivery()
    assert browser.get(f"/deliveries/{delivery.id}").links["Decide again"] == f"/deliveries/{delivery.id}/explain"
    page = browser.get(f"/deliveries/{delivery.id}/explain")
    assert page.lines[1] == "None of the 5 inputs is certainly decided differently today. Nothing was sent or changed."
    simulation.decide(lambda it: Change(replace(it, alarm_at=simulation.now)))
    page = browser.get(f"/deliveries/{delivery.id}/explain")
    assert page.lines[1] == "1 of 5 inputs are decided differently today. Nothing was sent or changed."
    assert any("next alarm" in each and "differs" in each for each in page.lines)
    assert not any(secret in page.reply.text for secret in customer_of(simulation))
    assert browser.get("/deliveries/nobody/explain").status == 404


def test_hostile_texts_of_a_carrier_and_a_platform_stay_texts(browser: Browser, simulation: Simulation) -> None:
    place_at_unknown_store(simulation, HOSTILE[:60], store_id=HOSTILE[:60])
    simulation.container.database.write(accounts.pause, "borzo", "carrier", HOSTILE, simulation.now)
    pages = [browser.get(path) for path in ("/", "/deliveries", "/carriers", f"/deliveries?text={HOSTILE}")]
    for page in pages:
        assert page.status == 200
        assert page.tags.count("script") == 1
        assert "img" not in page.tags
        assert "\u202e" not in page.reply.text
    assert "&lt;script&gt;alert(1)" in pages[0].reply.text


def test_the_first_page_has_the_figures_of_the_last_day(browser: Browser, simulation: Simulation) -> None:
    place_at_unknown_store(simulation, "1", "2")
    simulation.place_at("cervo", "3")
    browser.send(browser.get(f"/do/cancel?delivery={simulation.delivery('1').id}"))
    simulation.now += timedelta(seconds=7)
    assert browser.get("/").lines[1:7] == [
        "under way 2",
        "delivered (24 h) 0",
        "not delivered (24 h) 1",
        "oldest status (cervo) 7 s",
        "events unsent 1",
        "last sweep 7 s ago",
    ]


# --- the list ---


def orders(browser: Browser, query: str) -> list[str]:
    page = browser.get(f"/deliveries?{query}")
    assert page.status == 200
    return [label for label, address in page.links.items() if address.startswith("/deliveries/")]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["3", "2", "1"]),
        ("attention=any", ["3"]),
        ("attention=unknown_store", ["3"]),
        ("attention=outcome_unknown", []),
        ("carrier=borzo", ["2"]),
        ("store=34", ["1"]),
        ("store=34&carrier=borzo", []),
        ("status=nonsense", ["3", "2", "1"]),
        ("older=1h", []),
        ("older=nonsense&page=nonsense", ["3", "2", "1"]),
        ("page=2", []),
        ("text=2", ["2"]),
        ("text=2&carrier=cervo", []),
        ("text=%00", []),
        ("text=nothing", []),
    ],
)
def test_the_filters_are_in_the_address(browser: Browser, simulation: Simulation, query: str, found: list[str]) -> None:
    simulation.place_at("cervo", "1")
    simulation.now += timedelta(seconds=1)
    simulation.place_at("borzo", "2")
    simulation.now += timedelta(seconds=1)
    place_at_unknown_store(simulation, "3")
    assert orders(browser, query) == found


def test_an_order_is_found_by_the_last_digits_of_the_customers_phone(browser: Browser, simulation: Simulation) -> None:
    simulation.place_at("cervo", "1")
    assert orders(browser, f"text={simulation.delivery('1').order.customer.phone[-5:]}") == ["1"]


def test_a_long_list_has_pages(browser: Browser, simulation: Simulation) -> None:
    place_at_unknown_store(simulation, *map(str, range(51)))
    page = browser.get("/deliveries?attention=any")
    assert page.links["Next page"] == "/deliveries?attention=any&page=2"
    second = browser.get(page.links["Next page"])
    assert len([each for each in second.links.values() if each.startswith("/deliveries/")]) == 1
    assert second.links["Previous page"] == "/deliveries?attention=any&page=1"


# --- the other pages ---


def test_a_dead_letter_is_shown_to_who_asks_and_can_be_replayed(browser: Browser, simulation: Simulation) -> None:
    simulation.put('{"specversion": "1.0", "phone": "+4566112233"}')
    page = browser.get("/messages")
    (address,) = [each for each in page.links.values() if each.startswith("/messages/")]
    letter = browser.get(address)
    assert "+4566112233" not in letter.reply.text
    assert "+4566112233" in browser.send(letter, address).reply.text
    discarded = browser.send(browser.get(letter.links["Discard…"]))
    assert "Every message could be read." in discarded.lines
    assert browser.get(address).status == 404
    found = simulation.container.database.read(operator_actions.newest, 9)
    assert [each.action for each in found] == ["dead-letters discard", "dead-letters show"]


def test_the_system_page_shows_the_parts_and_what_operators_did(browser: Browser) -> None:
    browser.send(browser.get("/do/carriers-pause?account=borzo"), reason="holiday")
    page = browser.get("/system")
    assert page.lines[-1] == "0 s maria carriers pause borzo holiday"
    assert "Outbox" in " ".join(page.lines)


def test_the_pages_say_when_redis_does_not_answer(browser: Browser, simulation: Simulation) -> None:
    server = fakeredis.FakeServer()
    server.connected = False
    unreachable = fakeredis.FakeRedis(server=server)
    simulation.container.bus = Bus(unreachable, orders="orders", events="deliveries")
    simulation.container.breaker = CircuitBreaker(unreachable)
    simulation.container.rate_limiter = RateLimiter(unreachable)
    assert "Consumer groups Unknown: Redis does not answer." in " ".join(browser.get("/system").lines)
    assert "Newest messages Unknown: Redis does not answer." in " ".join(browser.get("/messages").lines)
    assert "Calls used unknown (Redis does not answer)" in " ".join(browser.get("/carriers").lines)


def test_the_carriers_page_shows_how_an_account_answers(browser: Browser, simulation: Simulation) -> None:
    simulation.inject_fault("error_before", "cervo", operation="create", times=1)
    simulation.place_at("cervo", "1")
    simulation.place_at("borzo", "2")
    simulation.now += timedelta(seconds=7)
    lines = browser.get("/carriers").lines
    shown = [each for each in lines if each.startswith(("Last", "Calls of"))]
    assert [re.sub(r"\d+ ms", "N ms", each) for each in shown] == [
        "Calls of the last hour 1: median N ms, 95% within N ms",
        "Last call create 7 s ago: HTTP 200, answered",
        "Last callback none yet",
        "Calls of the last hour 1: median N ms, 95% within N ms",
        "Last call create 7 s ago: HTTP 500, uncertain: the create was answered with HTTP 500",
        "Last callback none yet",
        "Calls of the last hour none",
        "Last callback this carrier sends none",
    ]


def test_the_carriers_page_says_when_a_carrier_last_called(browser: Browser, simulation: Simulation) -> None:
    simulation.container.database.write(callbacks.save, "borzo", Callback("POST", b"{}"), simulation.now)
    simulation.now += timedelta(minutes=3)
    assert "Last callback 3 min ago" in browser.get("/carriers").lines


def test_the_system_page_shows_the_groups_and_the_queues(browser: Browser, simulation: Simulation) -> None:
    simulation.place_at("cervo", "1")
    simulation.redis.xgroup_create("deliveries", "billing", id="0")
    simulation.redis.xreadgroup("billing", "reader", {"deliveries": ">"}, count=1)
    text = re.sub(r"seen \d+ s", "seen 0 s", "\n".join(browser.get("/system").lines))
    assert text[text.index("Consumer groups") :].splitlines()[:7] == [
        "Consumer groups",
        "Group Stream Behind Not read Not acknowledged Readers",
        "order-sync orders up to date 0 0 tests: seen 0 s ago",
        "billing deliveries up to date 1 1 reader: 1 not acknowledged, seen 0 s ago",
        "Queues",
        "All 12 queues no task waits",
        "What operators did last",
    ]


def test_the_system_page_shows_what_waits_in_a_queue(browser: Browser, simulation: Simulation) -> None:
    simulation.app.send_task("deliveries.book", queue="carrier.cervo", args=["cervo", []])
    assert "carrier.cervo 1 task waits" in browser.get("/system").lines


class UnreachableQueue:
    """A broker that does not answer."""

    def depths(self, _queues: object) -> dict[str, int]:
        raise OperationalError


def test_the_system_page_says_when_the_broker_does_not_answer(browser: Browser, simulation: Simulation) -> None:
    queue: Any = UnreachableQueue()
    simulation.container.queue = queue
    assert "Queues Unknown: the broker does not answer." in " ".join(browser.get("/system").lines)


def test_a_value_is_measured_at_most_once_in_its_seconds_and_again_after_an_action() -> None:
    now, measured = [0.0], count()
    value = Cached(lambda: next(measured), 10.0, lambda: now[0])
    found = [value.get(), value.get()]
    now[0] = 10.0
    found.append(value.get())
    value.forget()
    assert [*found, value.get()] == [0, 0, 1, 2]


@pytest.mark.parametrize("path", ["/nowhere", "/deliveries/nowhere", "/messages/nowhere", "/do/nothing", "/do/retry"])
def test_an_address_without_a_page_says_so(browser: Browser, path: str) -> None:
    page = browser.get(path)
    assert (page.status, page.lines[0]) == (404, "That was not possible")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(372, "in 6:12"), (0, "in 0:00"), (-125, "2:05 ago"), (5999, "in 99:59"), (6000, "in 100 min")],
)
def test_a_deadline_counts_down(simulation: Simulation, seconds: int, text: str) -> None:
    assert countdown(simulation.now + timedelta(seconds=seconds), simulation.now) == text
