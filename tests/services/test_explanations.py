"""The stored inputs of a delivery are decided again, and only what today's code decides differently is reported."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from schemas.status import DeliveryStatus, Reason
from tests.services.gateways import ScriptedGateway
from tests.services.simulation import Simulation
from tests.services.test_callbacks import borzo_callback, receive
from worker.carriers.borzo import Borzo
from worker.carriers.cervo import Cervo
from worker.carriers.port import AttemptView, Booked, Booking, Callback, CallbackKey, Carrier, Observation, Raw
from worker.database import accounts, callbacks
from worker.domain.explanation import Finding, Input
from worker.errors import Refused, Sent, Uncertain, Unreadable
from worker.http.call import Operation, Outcome, Reply
from worker.services.accounts import CarrierAccounts
from worker.services.explanation import Explanations

S, SECOND = DeliveryStatus, timedelta(seconds=1)


def explained(simulation: Simulation, codecs: Mapping[str, Carrier] | None = None) -> list[Finding]:
    """Decide the delivery again, with these codecs in place of today's."""
    made = simulation.container
    found = made.codecs if codecs is None else codecs
    accounts_ = CarrierAccounts(found, lambda name, _: found[name], made.database, made.gateway, made.clock)
    terms = {name: each for name, each in made.terms.items() if name in found}
    return Explanations(made.database, accounts_, terms, made.clock).of(simulation.delivery())


def of(findings: list[Finding], kind: Input) -> list[tuple[str, str | None, bool]]:
    return [(each.then, each.today, each.differs) for each in findings if each.input is kind]


def replaced(simulation: Simulation, account: str, kind: type[Any]) -> dict[str, Carrier]:
    """Return the codecs, with one of another class at this account."""
    codecs = dict(simulation.container.codecs)
    codecs[account] = kind(codecs[account].account, {})
    return codecs


@pytest.mark.parametrize("store_id", ["34", "21", "17"])
def test_nothing_is_decided_differently_by_the_same_code(simulation: Simulation, store_id: str) -> None:
    simulation.place(store_id=store_id)
    found: list[Finding] = []
    while simulation.status() != "delivered":
        simulation.until(lambda it, since=simulation.now: it.now > since)  # type: ignore[misc]
        found = simulation.container.explanations.of(simulation.delivery())
        assert [each for each in found if each.differs] == []
    kinds = {Input.CARRIER, Input.CALL, Input.STATUS, Input.STEP, Input.ALARM}
    assert {each.input for each in found} - {Input.CALLBACK} == kinds
    assert [each.at for each in found] == sorted(each.at for each in found)


@pytest.mark.parametrize("store_id", ["34", "21", "17"])
def test_no_finding_contains_the_customer(simulation: Simulation, store_id: str) -> None:
    simulation.place("refused", store_id=store_id)
    simulation.work()
    order = simulation.delivery().order
    shown = " ".join(map(str, simulation.container.explanations.of(simulation.delivery())))
    for secret in (order.customer.name, order.customer.phone, order.dropoff.street):
        assert secret not in shown


def test_nothing_is_sent(simulation: Simulation, gateway: ScriptedGateway) -> None:
    simulation.place_at("borzo", "2011")
    gateway.take_sent()
    assert simulation.container.explanations.of(simulation.delivery())
    assert gateway.take_sent() == {}


# --- statuses ---


def test_a_status_with_another_meaning_in_todays_table_differs(simulation: Simulation) -> None:
    class Today(Cervo):
        def meanings(self, raw: Raw) -> frozenset[DeliveryStatus | None]:
            return frozenset({S.DROPOFF_ENROUTE}) if raw.code == "3" else super().meanings(raw)

    simulation.place_at("cervo", "2011")
    simulation.until(lambda it: it.status() == "delivered")
    found = explained(simulation, replaced(simulation, "cervo", Today))
    assert [(each.subject, each.then, each.today) for each in found if each.differs] == [
        ("order:3 of cervo", "picked_up", "dropoff_enroute")
    ]


def test_a_status_that_an_operator_has_mapped_since_differs(simulation: Simulation) -> None:
    simulation.place_at("borzo", "2011")
    receive(simulation, borzo_callback(simulation, "teleported", simulation.now))
    same = ("unmapped", "unmapped", False)
    assert of(explained(simulation), Input.STATUS)[-1] == same
    mapping = ("borzo", "delivery:teleported", S.DROPOFF_ARRIVED, simulation.now)
    simulation.container.database.write(accounts.put_mapping, *mapping)
    assert of(explained(simulation), Input.STATUS)[-1] == ("unmapped", "dropoff_arrived", True)


# --- callbacks ---


def test_a_callback_that_is_read_differently_today_differs(simulation: Simulation) -> None:
    class Today(Borzo):
        def read_callback(self, callback: Callback, attempt: AttemptView, now: datetime) -> tuple[Observation, ...]:
            seen = super().read_callback(callback, attempt, now)
            return tuple(replace(each, status=S.PICKUP_ARRIVED) for each in seen)

    simulation.place_at("borzo", "2011")
    at = simulation.now
    receive(simulation, borzo_callback(simulation, "courier_assigned", at))
    text = f"delivery:courier_assigned observed {at.isoformat()}"
    assert of(explained(simulation), Input.CALLBACK) == [
        (f"courier_assigned {text}", f"courier_assigned {text}", False)
    ]
    assert of(explained(simulation, replaced(simulation, "borzo", Today)), Input.CALLBACK) == [
        (f"courier_assigned {text}", f"pickup_arrived {text}", True)
    ]


def test_a_callback_is_read_for_the_state_of_its_attempt_at_that_time(simulation: Simulation) -> None:
    simulation.place_at("borzo", "2011")
    for status in ("active", "parcel_picked_up", "active"):  # the second `active` is after the pickup
        simulation.now += SECOND
        receive(simulation, borzo_callback(simulation, status, simulation.now))
    found = of(explained(simulation), Input.CALLBACK)
    assert [then.split()[0] for then, _, _ in found] == ["courier_assigned", "picked_up", "dropoff_enroute"]
    assert [then == today for then, today, _ in found] == [True] * 3


def test_a_callback_that_is_unreadable_today_differs(simulation: Simulation) -> None:
    class Today(Borzo):
        def callback_key(self, callback: Callback) -> CallbackKey:  # noqa: ARG002
            raise Unreadable("too new")

    simulation.place_at("borzo", "2011")
    receive(simulation, borzo_callback(simulation, "courier_assigned", simulation.now))
    ((_, today, differs),) = of(explained(simulation, replaced(simulation, "borzo", Today)), Input.CALLBACK)
    assert (today, differs) == ("unreadable: too new", True)


def test_a_callback_about_another_order_today_differs(simulation: Simulation) -> None:
    class Today(Borzo):
        def callback_key(self, callback: Callback) -> CallbackKey:
            return replace(super().callback_key(callback), ref="1")

    simulation.place_at("borzo", "2011")
    receive(simulation, borzo_callback(simulation, "courier_assigned", simulation.now))
    ((_, today, differs),) = of(explained(simulation, replaced(simulation, "borzo", Today)), Input.CALLBACK)
    assert (today, differs) == (f"about delivery 1 at {simulation.now.isoformat()}", True)


def test_a_callback_without_the_state_of_its_attempt_is_undecided(simulation: Simulation) -> None:
    simulation.place_at("borzo", "2011")
    callback = borzo_callback(simulation, "courier_assigned", simulation.now)
    key = simulation.container.codecs["borzo"].callback_key(callback)
    (attempt,) = simulation.delivery().attempts
    simulation.container.database.write(callbacks.save, "borzo", callback, simulation.now, key, attempt.id)
    assert of(explained(simulation), Input.CALLBACK) == [("not applied yet", None, False)]


# --- calls ---


class Strict(Cervo):
    """A codec that accepts no answer to a create."""

    def read_booking(self, booking: Booking, reply: Reply, now: datetime) -> Booked:  # noqa: ARG002
        raise Uncertain("no answer is good enough")


def create(simulation: Simulation, gateway: ScriptedGateway, outcome: Outcome) -> None:
    """Place an order whose create ends so."""
    gateway.outcome = lambda _account, call: outcome if call.operation is Operation.CREATE else None
    simulation.place_at("cervo", "2011")


def test_a_reply_with_another_verdict_today_differs(simulation: Simulation, gateway: ScriptedGateway) -> None:
    create(simulation, gateway, Reply(200, b"4711", sent=Sent(simulation.now, 0.3)))
    assert of(explained(simulation), Input.CALL) == [("answered", "answered", False)]
    found = explained(simulation, replaced(simulation, "cervo", Strict))
    assert of(found, Input.CALL) == [("answered", "uncertain: no answer is good enough", True)]


def test_a_hidden_part_of_a_reply_never_makes_a_difference(simulation: Simulation) -> None:
    simulation.place_at("borzo", "2011")

    class Today(Borzo):
        def read_booking(self, booking: Booking, reply: Reply, now: datetime) -> Booked:  # noqa: ARG002
            raise Refused(Reason.UNKNOWN, "no")

    found = explained(simulation, replaced(simulation, "borzo", Today))
    assert of(found, Input.CALL) == [("answered", None, False)]


def test_a_reply_that_is_cut_off_says_so(simulation: Simulation) -> None:
    simulation.place_at("borzo", "2011")
    (call,) = [each for each in explained(simulation) if each.input is Input.CALL]
    assert (call.today, call.note) == (None, "the recorded reply is cut off")


def test_a_call_without_a_reply_cannot_be_decided(simulation: Simulation, gateway: ScriptedGateway) -> None:
    error = Uncertain("connection lost")
    error.sent = Sent(simulation.now, 0.3)
    create(simulation, gateway, error)
    (call,) = [each for each in explained(simulation) if each.input is Input.CALL]
    assert (call.then, call.today, call.note) == ("uncertain: connection lost", None, "no reply came")


# --- an account that is gone ---


def test_a_delivery_whose_account_is_no_longer_configured_is_explained(simulation: Simulation) -> None:
    simulation.place_at("borzo", "2011")
    receive(simulation, borzo_callback(simulation, "courier_assigned", simulation.now))
    codecs = {name: each for name, each in simulation.container.codecs.items() if name != "borzo"}
    found = explained(simulation, codecs)
    assert of(found, Input.CARRIER) == [("asked (attempt 1)", "no account has this name", True)]
    others = [each for each in found if each.input in {Input.CALLBACK, Input.STATUS, Input.CALL}]
    assert {each.today for each in others} == {None}
    assert not any(each.differs for each in others)
