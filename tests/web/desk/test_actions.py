"""What an operator does is shown before, done once, and recorded with their name and reason."""

from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import Any

import fakeredis
import pytest

from schemas.status import AttentionReason, Evidence
from tests.sample_store import STORE
from tests.services.simulation import START, Simulation
from tests.web.desk.conftest import Open
from tests.web.desk.operator_browser import Browser
from tests.web.desk.test_pages import lose_an_answer, place_at_unknown_store
from worker.bus.streams import Bus
from worker.database import accounts, operator_actions, shops
from worker.database.database import Database
from worker.database.diagnostics import commit_wait
from worker.domain.delivery import Change
from worker.domain.operator import Operator
from worker.domain.trouble import Action, Freshness, Severity, Trouble, TroubledOrder
from worker.services.operations import SENT_BEFORE
from worker.services.system_troubles import COMMITS_WAIT, NO_STANDBY
from worker.web.desk.action_forms import ACTION_FORMS
from worker.web.desk.choices import choices, order_choices


def recorded(simulation: Simulation) -> list[tuple[str, str, str, str | None]]:
    """Return what operators did, oldest first."""
    found = simulation.container.database.read(operator_actions.newest, 100)
    return [(each.operator, each.action, each.reason, each.subject) for each in reversed(found)]


def test_a_preview_says_what_will_happen_to_which_orders_and_changes_nothing(
    browser: Browser, simulation: Simulation
) -> None:
    lose_an_answer(simulation)
    page = browser.get(browser.get("/").links["It does not exist…"])
    assert page.lines == [
        "It does not exist",
        "The next carrier is asked, or this one again.",
        "This is about",
        "order 2011 store 34, submit_unknown, cervo",
        "Your reason",
        "If the carrier does have the order, a second courier will come. I am sure.",
        "It does not exist Back",
        "It is recorded with your name, maria.",
    ]
    assert recorded(simulation) == []
    assert simulation.status() == "submit_unknown"


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({}, "Write your reason: a second courier may come."),
        ({"reason": "  ", "sure": "yes"}, "Write your reason: a second courier may come."),
        ({"reason": "they said no"}, "Confirm that you are sure: a second courier may come."),
    ],
)
def test_what_may_bring_a_second_courier_needs_a_reason_and_a_confirmation(
    browser: Browser, simulation: Simulation, fields: dict[str, str], error: str
) -> None:
    lose_an_answer(simulation)
    page = browser.send(browser.get(browser.get("/").links["It does not exist…"]), **fields)
    assert (page.status, page.lines[1], simulation.status(), recorded(simulation)) == (422, error, "submit_unknown", [])


def test_an_unknown_outcome_is_settled_and_gone_from_the_first_page(browser: Browser, simulation: Simulation) -> None:
    lose_an_answer(simulation)
    page = browser.get(browser.get("/").links["It does not exist…"])
    after = browser.send(page, reason="they said no", sure="yes")
    assert (after.path, after.lines[0]) == ("/", "Done: It does not exist, order 2011.")
    assert "It does not exist…" not in after.links
    assert recorded(simulation) == [("maria", "resolve absent", "they said no", None)]


def test_a_reason_is_stored_without_nul_which_postgresql_refuses(browser: Browser, simulation: Simulation) -> None:
    simulation.place_at("cervo", "2011")
    browser.send(browser.get(f"/do/cancel?delivery={simulation.delivery().id}"), reason="shop\0 closed")
    assert recorded(simulation) == [("maria", "cancel", "shop closed", None)]


class Waiting(Database):
    """A database whose commits wait for a standby."""

    def read(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        return COMMITS_WAIT * 2 if query is commit_wait else super().read(query, *args, **kwargs)


def test_an_action_is_refused_at_once_while_commits_wait_for_a_standby(
    browser: Browser, simulation: Simulation
) -> None:
    simulation.place_at("cervo", "2011")
    form = browser.get(f"/do/cancel?delivery={simulation.delivery().id}")
    usual = simulation.container.operations
    with closing(Waiting(simulation.container.settings.database_url)) as waiting:
        simulation.container.operations = replace(usual, database=waiting)
        page = browser.send(form, reason="shop closed")
    simulation.container.operations = usual
    assert (page.status, page.lines[1]) == (503, f"Nothing was done. {NO_STANDBY}")
    browser.send(form, reason="shop closed")
    assert recorded(simulation) == [("maria", "cancel", "shop closed", None)]


def test_an_action_that_could_not_begin_for_half_a_minute_is_not_done_later(
    browser: Browser, simulation: Simulation
) -> None:
    class Slow(Database):
        def write(self, change: Any, *args: Any, **kwargs: Any) -> Any:
            simulation.now += timedelta(seconds=31)
            return super().write(change, *args, **kwargs)

    simulation.place_at("cervo", "2011")
    form = browser.get(f"/do/cancel?delivery={simulation.delivery().id}")
    with closing(Slow(simulation.container.settings.database_url)) as slow:
        simulation.container.operations = replace(simulation.container.operations, database=slow)
        page = browser.send(form, reason="shop closed")
    assert (page.status, page.lines[1]) == (503, "Nothing was done: the database was too slow.")
    assert recorded(simulation) == []


def test_a_form_that_is_sent_twice_acts_once(browser: Browser, simulation: Simulation) -> None:
    simulation.place_at("cervo", "2011")
    page = browser.get(f"/do/cancel?delivery={simulation.delivery().id}")
    first = browser.send(page, reason="the shop called")
    second = browser.send(page, reason="the shop called")
    assert [first.lines[0], second.lines[0]] == [
        "Done: Cancel, order 2011.",
        SENT_BEFORE,
    ]
    assert recorded(simulation) == [("maria", "cancel", "the shop called", None)]


def test_all_orders_of_a_card_are_cancelled_at_once(browser: Browser, simulation: Simulation) -> None:
    place_at_unknown_store(simulation, "1", "2", "3")
    page = browser.get(browser.get("/").links["Cancel: all 3…"])
    assert page.lines[2] == "This is about these 3"
    after = browser.send(page, reason="closed")
    assert after.lines[0] == "Done: Cancel, 3 of 3."
    assert simulation.statuses("1", "2", "3") == ["cancelled"] * 3
    assert recorded(simulation) == [("maria", "cancel", "closed", None)] * 3


def test_each_order_of_a_card_has_buttons_of_its_own(browser: Browser, simulation: Simulation) -> None:
    place_at_unknown_store(simulation, "1", "2")
    first, second = (simulation.delivery(each).id for each in ("1", "2"))
    addresses = [each for each in browser.get("/").addresses if each.startswith("/do/")]
    assert addresses == [
        f"/do/cancel?delivery={first}&back=/",
        f"/do/cancel?delivery={second}&back=/",
        "/do/stores-load?trouble=unknown_store%3A77&back=/",
        "/do/cancel?trouble=unknown_store%3A77&back=/",
    ]


def test_an_unknown_outcome_is_resolved_one_order_at_a_time() -> None:
    freshness = Freshness(START, None, Evidence.OBSERVED, None, None)
    orders = tuple(
        TroubledOrder(each, each, "platform", "34", "submit_unknown", None, None, freshness) for each in ("1", "2")
    )
    actions = (Action.RESOLVE_EXISTS, Action.RESOLVE_ABSENT, Action.CANCEL)
    card = Trouble("k", "k", Severity.UNKNOWN_OUTCOME, "", "", count=2, orders=orders, actions=actions)
    assert [each.label for each in choices(card)] == ["Cancel: all 2…"]
    assert {key: [each.address for each in found] for key, found in order_choices(card).items()} == {
        key: [f"/do/resolve-exists?delivery={key}", f"/do/resolve-absent?delivery={key}", f"/do/cancel?delivery={key}"]
        for key in ("1", "2")
    }


def test_what_is_left_undone_is_said(browser: Browser, simulation: Simulation) -> None:
    place_at_unknown_store(simulation, "1", "2")
    page = browser.get(browser.get("/").links["Cancel: all 2…"])
    browser.send(browser.get(f"/do/cancel?delivery={simulation.delivery('1').id}"))
    after = browser.send(page)
    assert after.lines[0] == "Done: Cancel, 1 of 2. Not done: order 1: there was nothing to do any more"


def test_an_action_that_changes_nothing_says_so(browser: Browser, simulation: Simulation) -> None:
    simulation.place_at("cervo", "2011")
    page = browser.get(f"/do/retry?delivery={simulation.delivery().id}")
    after = browser.send(page, reason="why not", sure="yes")
    assert (after.status, after.lines[1]) == (
        409,
        "Nothing was done. order 2011: cervo has the order: run `order-sync cancel ID` first",
    )
    assert recorded(simulation) == []


def test_a_store_is_added_and_its_orders_go_on(browser: Browser, simulation: Simulation) -> None:
    place_at_unknown_store(simulation, "1", "2")
    page = browser.get(browser.get("/").links["Add the store…"])
    assert browser.send(page, stores="[stores.77]").status == 409
    after = browser.send(browser.get(browser.get("/").links["Add the store…"]), stores=STORE)
    assert after.lines[0] == "Done: Add the store, Order Sync."
    assert list(simulation.container.database.read(shops.load_shops)) == ["77"]


def test_an_account_is_paused_and_resumed(browser: Browser, simulation: Simulation) -> None:
    browser.send(browser.get(browser.get("/carriers").links["Pause cervo…"]), reason="holiday")
    assert list(simulation.container.database.read(accounts.paused)) == ["cervo"]
    after = browser.send(browser.get(browser.get("/carriers").links["Resume cervo…"]))
    assert (after.path, after.lines[0]) == ("/carriers", "Done: Resume now, cervo.")
    assert recorded(simulation) == [
        ("maria", "carriers pause", "holiday", "cervo"),
        ("maria", "carriers resume", "", "cervo"),
    ]


def test_a_status_is_mapped_and_an_end_needs_a_confirmation(browser: Browser, simulation: Simulation) -> None:
    address = "/do/carriers-map?account=cervo&subject=order:99"
    assert browser.send(browser.get(address)).lines[1] == "Fill in: It means."
    assert browser.send(browser.get(address), status="queued").lines[1] == "Choose: It means."
    risky = browser.send(browser.get(address), status="failed")
    assert (risky.status, risky.lines[1]) == (422, "Write your reason: a second courier may come.")
    browser.send(browser.get(address), status="picked_up")
    mapped = simulation.container.database.read(accounts.status_mappings)
    assert {key: {raw: each.value for raw, each in of.items()} for key, of in mapped.items()} == {
        "cervo": {"order:99": "picked_up"}
    }


def test_the_order_exists_under_a_number(browser: Browser, simulation: Simulation) -> None:
    lose_an_answer(simulation)
    page = browser.get(browser.get("/").links["It exists…"])
    assert browser.send(page).lines[1] == "Fill in: The carrier's number of the order."
    browser.send(browser.get(browser.get("/").links["It exists…"]), ref="4711")
    assert [each.ref for each in simulation.delivery().attempts] == ["4711"]


def test_a_message_is_replayed_from_its_card_once_redis_answers(browser: Browser, simulation: Simulation) -> None:
    simulation.put('{"specversion": "1.0"}')
    bus, server = simulation.container.bus, fakeredis.FakeServer()
    page = browser.get(browser.get("/").links["Replay…"])
    server.connected = False
    simulation.container.bus = Bus(fakeredis.FakeRedis(server=server), orders="orders", events="deliveries")
    failed = browser.send(page)
    assert (failed.status, failed.lines[1].endswith(": Redis does not answer")) == (409, True)
    simulation.container.bus = bus
    assert browser.send(failed).lines[0].startswith("Done: Replay, message ")


def test_who_acted_is_who_logged_in(open_browser: Open, simulation: Simulation) -> None:
    browser = open_browser()
    browser.log_in("Joe")
    browser.send(browser.get("/do/carriers-pause?account=cervo"), by="maria", operator="maria", user="maria")
    assert recorded(simulation) == [("joe", "carriers pause", "", "cervo")]


@pytest.mark.parametrize("action", [each for each in ACTION_FORMS if ACTION_FORMS[each].on == "order"])
def test_each_action_about_orders_has_a_preview(browser: Browser, simulation: Simulation, action: Action) -> None:
    simulation.place_at("cervo", "2011")
    page = browser.get(f"/do/{action.replace(' ', '-')}?delivery={simulation.delivery().id}")
    assert (page.status, page.lines[1]) == (200, ACTION_FORMS[action].effect)


@pytest.mark.parametrize(("field", "value"), [("once", ""), ("once", "x' OR 1=1"), ("csrf", "")])
def test_a_form_with_a_forged_token_does_nothing(
    browser: Browser, simulation: Simulation, field: str, value: str
) -> None:
    page = browser.send(browser.get("/do/carriers-pause?account=cervo"), **{field: value})
    assert (page.status in {400, 403}, recorded(simulation)) == (True, [])


def test_a_link_never_leads_away_from_the_desk(browser: Browser) -> None:
    page = browser.get("/do/carriers-pause?account=cervo&back=https://evil.example")
    assert page.links["Back"] == "/"


CHANGED = "it has changed since you saw it. Go back and look again"


def test_a_form_about_a_lost_create_never_settles_the_next_create(
    open_browser: Open, browser: Browser, simulation: Simulation
) -> None:
    simulation.inject_fault("error_before", "cervo", operation="create", times=2)
    simulation.place_at("cervo", "2011")
    simulation.until(lambda it: it.delivery().attention is not None)
    other = open_browser()
    other.log_in("joe")
    absent, exists = (other.get(other.get("/").links[each]) for each in ("It does not exist…", "It exists…"))
    browser.send(browser.get(browser.get("/").links["It does not exist…"]), reason="they said no", sure="yes")
    simulation.until(lambda it: len(it.delivery().attempts) == 2 and it.delivery().attention is not None)
    late = other.send(absent, reason="they said no", sure="yes"), other.send(exists, ref="4711")
    assert [(each.status, each.lines[1]) for each in late] == [
        (409, f"Nothing was done. order 2011: {CHANGED}"),
        (409, f"Nothing was done. order 2011: {CHANGED}"),
    ]
    assert simulation.status() == "submit_unknown"
    assert recorded(simulation) == [("maria", "resolve absent", "they said no", None)]
    again = other.send(late[0], reason="they said no", sure="yes")
    assert again.status == 409


def test_an_order_that_was_called_absent_too_early_can_still_be_called_existing(
    open_browser: Open, browser: Browser, simulation: Simulation
) -> None:
    lose_an_answer(simulation)
    other = open_browser()
    other.log_in("joe")
    exists = other.get(other.get("/").links["It exists…"])
    browser.send(browser.get(browser.get("/").links["It does not exist…"]), reason="they said no", sure="yes")
    simulation.until(lambda it: it.status() == "created")
    assert other.send(exists, ref="4711").lines[0] == "Done: It exists, order 2011."
    assert [(each.ref == "4711", each.surplus) for each in simulation.delivery().attempts] == [
        (True, True),
        (False, False),
    ]


def test_a_reason_that_nobody_saw_is_not_closed(browser: Browser, simulation: Simulation) -> None:
    place_at_unknown_store(simulation, "1")
    page = browser.get(f"/do/attended?delivery={simulation.delivery('1').id}")
    seen = simulation.delivery("1").attention_reasons
    more = (*seen, AttentionReason.SURPLUS_COURIER)
    simulation.decide(lambda it: Change(replace(it, attention_reasons=more)), "1")
    assert browser.send(page).lines[1] == f"Nothing was done. order 1: {CHANGED}"
    assert simulation.delivery("1").attention_reasons == more


def test_a_pause_and_a_hold_that_nobody_saw_go_on(browser: Browser, simulation: Simulation) -> None:
    operations, joe = simulation.container.operations, Operator("joe", "the carrier called")
    operations.pause("cervo", joe)
    operations.hold(joe)
    resume, release = browser.get("/do/carriers-resume?account=cervo"), browser.get("/do/carriers-release")
    operations.resume("cervo", joe)
    operations.release(joe)
    simulation.pass_time(60)
    operations.pause("cervo", joe)
    operations.hold(joe)
    sure = {"reason": "checked", "sure": "yes"}
    assert [browser.send(each, **sure).status for each in (resume, release)] == [409, 409]
    assert sorted(simulation.container.database.read(accounts.paused)) == ["*", "cervo"]


def test_a_browser_keeps_the_cookie_that_says_what_is_left_undone(browser: Browser, simulation: Simulation) -> None:
    names = [f"{number:02}{'日' * 60}" for number in range(20)]
    place_at_unknown_store(simulation, *names)
    page = browser.get(browser.get("/").links["Cancel: all 20…"])
    for name in names[:-1]:
        simulation.cancel("77", name)
    simulation.read()
    after = browser.send(page)
    assert after.lines[0].startswith("Done: Cancel, 1 of 20. Not done: order ")
    assert len(after.reply.history[0].headers["set-cookie"]) < 4096
