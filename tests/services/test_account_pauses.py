"""Accounts that are paused or removed: their own orders wait or go elsewhere, and no other account notices."""

from datetime import timedelta

import pytest

from tests.services.gateways import ScriptedGateway
from tests.services.simulation import Simulation
from worker.database import accounts


def reject_token(simulation: Simulation, account: str) -> None:
    simulation.inject_fault("unauthorized", account, times=None)


def accept_token(simulation: Simulation) -> None:
    simulation.sandbox.faults.clear()


# --- paused ---


@pytest.mark.fault("F-35")
@pytest.mark.quirk("C-02")
@pytest.mark.parametrize("carrier", ["cervo", "borzo"])
def test_a_rejected_token_pauses_the_account_until_a_probe_succeeds(
    carrier: str, simulation: Simulation, gateway: ScriptedGateway
) -> None:
    reject_token(simulation, carrier)
    simulation.place_at(carrier, "1", "2", "3")
    gateway.take_sent()
    simulation.until(
        lambda it: it.now >= it.container.database.read(accounts.paused)[carrier].since + timedelta(minutes=12)
    )
    assert gateway.take_sent() == {(carrier, "probe"): 2}
    assert simulation.statuses("1", "2", "3") == ["queued"] * 3
    accept_token(simulation)
    simulation.until(lambda it: it.container.database.read(accounts.paused) == {}, step=10)
    simulation.pass_time(3)
    assert simulation.statuses("1", "2", "3") == ["created"] * 3
    assert gateway.take_sent() == {(carrier, "probe"): 1, (carrier, "create"): 3}
    assert [len(simulation.delivery(order_id).attempts) for order_id in ("1", "2", "3")] == [1, 1, 1]
    assert [(each["type"], each["sequence"], each["data"]["by"]) for each in simulation.events(carrier)] == [
        ("carrier.paused", "0000000001", "carrier"),
        ("carrier.resumed", "0000000002", "probe"),
    ]


@pytest.mark.fault("F-35")
def test_a_paused_account_does_not_affect_the_others(simulation: Simulation) -> None:
    reject_token(simulation, "borzo")
    simulation.place_at("borzo", "1")
    simulation.place_at("cervo", "2")
    assert simulation.statuses("1", "2") == ["queued", "created"]


def test_an_order_that_waits_for_a_paused_account_requests_attention(simulation: Simulation) -> None:
    reject_token(simulation, "borzo")
    simulation.place_at("borzo", "1")
    simulation.until(lambda it: it.delivery("1").attention is not None)
    assert simulation.delivery("1").attempts[0].number == 1
    assert simulation.delivery("1").failures == 0


def test_no_probe_resumes_an_account_that_an_operator_paused(simulation: Simulation, gateway: ScriptedGateway) -> None:
    simulation.container.database.write(accounts.pause, "borzo", "operator", "the shop is closed", simulation.now)
    simulation.place_at("borzo", "1")
    simulation.until(lambda it: it.now >= it.delivery("1").created_at + timedelta(minutes=20), step=60)
    assert (simulation.status("1"), gateway.take_sent()) == ("queued", {})
    assert simulation.container.database.write(accounts.resume, "borzo", "operator", simulation.now)
    simulation.pass_time()
    assert (simulation.status("1"), gateway.take_sent()) == ("created", {("borzo", "create"): 1})


def test_a_refused_login_pauses_the_account(simulation: Simulation) -> None:
    reject_token(simulation, "deliverit")
    simulation.place(store_id="17")
    simulation.work()
    assert (simulation.status(), list(simulation.container.database.read(accounts.paused))) == ("queued", ["deliverit"])
    assert simulation.delivery().attempts == ()


@pytest.mark.quirk("C-02")
def test_an_order_that_waits_for_a_paused_account_keeps_its_attempt(simulation: Simulation) -> None:
    simulation.inject_fault("unauthorized", "borzo", operation="create")
    simulation.place(store_id="21")
    simulation.work()
    assert (simulation.status(), simulation.published()) == ("queued", ["queued"])
    simulation.until(lambda it: it.status() == "delivered")
    assert len(simulation.delivery().attempts) == 1


def test_an_order_whose_only_account_is_paused_requests_attention_and_is_rejected_after_its_pickup_time(
    simulation: Simulation,
) -> None:
    simulation.inject_fault("unauthorized", "cervo", operation="create", times=None)
    simulation.place()
    simulation.until(lambda it: it.delivery().attention is not None, step=60)
    simulation.until(lambda it: it.delivery().final, step=600)
    requested = [event["time"] for event in simulation.events() if event["type"] == "delivery.attention_required"]
    assert [moment[11:16] for moment in requested] == ["17:10"]
    assert simulation.published()[-2:] == ["rejected", "delivery.dispatch_failed"]
    assert (simulation.events()[-1]["data"]["reason"], simulation.ledger()) == ("deadline_passed", [])


# --- removed from the settings ---


def without(simulation: Simulation, *accounts: str) -> None:
    """Remove these accounts, as a restart with other settings does."""
    simulation.container.terms = {
        name: terms for name, terms in simulation.container.terms.items() if name not in accounts
    }


def test_a_preorder_whose_account_was_removed_goes_to_the_next_carrier(simulation: Simulation) -> None:
    simulation.place(store_id="17", deliver_at="2026-11-21T20:00:00+00:00")
    assert simulation.delivery().carrier == "deliverit"
    without(simulation, "deliverit")
    simulation.until(lambda it: bool(it.ledger()), step=300)
    assert [each for each, _ in simulation.ledger()] == ["borzo"]
    assert simulation.now - simulation.delivery().created_at < timedelta(hours=3)


def test_a_preorder_whose_only_account_was_removed_requests_attention(simulation: Simulation) -> None:
    simulation.place(store_id="21", deliver_at="2026-11-21T20:00:00+00:00")
    without(simulation, "borzo")
    simulation.until(lambda it: it.delivery().attention == "no_configured_carrier", step=300)
    simulation.until(lambda it: it.status() != "queued", step=300)
    assert simulation.status() == "rejected"


def test_an_order_at_a_removed_account_is_published_as_no_longer_tracked(simulation: Simulation) -> None:
    simulation.place(store_id="17")
    simulation.until(lambda it: it.status() == "created")
    without(simulation, "deliverit")
    simulation.until(lambda it: it.delivery().attention is not None, step=3600)
    assert simulation.published()[2:] == ["delivery.tracking_lost", "delivery.attention_required"]
    assert simulation.delivery().attention == "still_open_after_a_day"
