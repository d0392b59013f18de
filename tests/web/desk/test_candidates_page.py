"""The desk lists what a carrier has near an order whose id is not known, only when an operator presses a button."""

from tests.services.gateways import ScriptedGateway
from tests.services.simulation import Simulation
from tests.services.test_carrier_searches import book_by_hand, lose_create
from tests.web.desk.conftest import Open
from tests.web.desk.operator_browser import Browser, Page
from tests.web.desk.test_actions import recorded
from tests.web.desk.test_pages import lose_an_answer
from worker.errors import Unavailable


def address(simulation: Simulation) -> str:
    return f"/deliveries/{simulation.delivery().id}"


def list_candidates(browser: Browser, simulation: Simulation) -> Page:
    """Press the button of the delivery's page."""
    page = browser.get(address(simulation))
    return browser.send(page, f"{address(simulation)}/candidates")


def test_a_candidate_is_followed_with_its_number_filled_in(browser: Browser, simulation: Simulation) -> None:
    lose_create(simulation, "21", "borzo", created=False)
    ref = book_by_hand(simulation, "borzo")
    simulation.pass_time(10)
    page = list_candidates(browser, simulation)
    text = " ".join(page.lines)
    assert f"What borzo has near order 2011 {ref} likely phone number matches, address matches, pickup address" in text
    assert "Status available Price 18.00 BRL Phone matches Address matches It is this one…" in text
    assert "client_order_id" in text
    assert "Before you say that it does not exist It was sent only" in text
    preview = browser.get(page.links["It is this one…"])
    assert preview.lines[0] == "It exists"
    after = browser.send(preview, ref=ref, reason="its phone number matches")
    assert (after.path, after.lines[0]) == (address(simulation), "Done: It exists, order 2011.")
    assert [each.ref for each in simulation.delivery().attempts] == [ref]
    assert recorded(simulation) == [("maria", "resolve exists", "its phone number matches", ref)]


def test_the_number_of_a_candidate_is_in_the_field_of_the_form(browser: Browser, simulation: Simulation) -> None:
    lose_create(simulation, "21", "borzo", created=True)
    page = list_candidates(browser, simulation)
    ((_, ref),) = simulation.ledger()
    assert f'name="ref" value="{ref}"' in browser.get(page.links["It is this one…"]).reply.text


def test_no_page_asks_the_carrier_before_the_button_is_pressed(browser: Browser, simulation: Simulation) -> None:
    lose_create(simulation, "21", "borzo", created=True)
    gateway = ScriptedGateway(simulation)
    listing = f"{address(simulation)}/candidates"
    pages = [browser.get("/"), browser.get(address(simulation)), browser.get(listing)]
    assert ([each.status for each in pages], gateway.sent) == ([200, 200, 405], [])
    assert browser.post(listing).status == 403
    assert gateway.sent == []
    list_candidates(browser, simulation)
    assert set(gateway.sent) == {("borzo", "query")}


def test_the_card_of_an_unknown_outcome_has_the_button(browser: Browser, simulation: Simulation) -> None:
    lose_an_answer(simulation)
    page = browser.send(browser.get("/"), f"{address(simulation)}/candidates")
    attempt = simulation.delivery().attempts[0]
    text = " ".join(page.lines)
    assert "cervo does not list such orders. Search for this one on its own screen." in text
    assert f"order_id 2011 id {attempt.id} sent at" in text


def test_an_error_of_the_carrier_is_shown_as_a_sentence(browser: Browser, simulation: Simulation) -> None:
    lose_create(simulation, "21", "borzo", created=True)
    ScriptedGateway(simulation).outcome = lambda _account, _call: Unavailable("connection refused")
    page = list_candidates(browser, simulation)
    assert (page.status, page.lines[1]) == (200, "borzo could not be asked: connection refused.")


def test_there_is_no_button_once_the_number_is_known(browser: Browser, simulation: Simulation) -> None:
    simulation.place_at("borzo", "2011")
    page = browser.get(address(simulation))
    assert f"{address(simulation)}/candidates" not in page.forms
    csrf = page.forms[f"{address(simulation)}/customer"]["csrf"]
    assert browser.post(f"{address(simulation)}/candidates", csrf=csrf).status == 404


def test_a_form_says_when_it_is_too_early_to_call_an_order_absent(browser: Browser, simulation: Simulation) -> None:
    lose_create(simulation, "21", "borzo", created=False)
    simulation.pass_time(30)
    form = f"/do/resolve-absent?delivery={simulation.delivery().id}"
    assert "It was sent only 30 s ago, so the carrier may still be creating it." in " ".join(browser.get(form).lines)


def test_slow_carriers_leave_threads_for_the_other_pages(open_browser: Open, simulation: Simulation) -> None:
    lose_create(simulation, "21", "borzo", created=True)
    browsers = [open_browser() for _ in range(3)]
    forms = []
    for each in browsers:
        each.log_in()
        forms.append(each.get(address(simulation)))
    answers: list[Page] = []

    def press_next_button(*_: object) -> Unavailable:
        if forms:
            answers.append(browsers[len(forms) - 1].send(forms.pop(), f"{address(simulation)}/candidates"))
        return Unavailable("connection refused")

    ScriptedGateway(simulation).outcome = press_next_button
    press_next_button()
    assert [each.status for each in answers] == [503, 200, 200]
    assert "Other lists of carriers are being read. Try again in a moment." in " ".join(answers[0].lines)
