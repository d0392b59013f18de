"""Every call for an attempt is recorded with its outcome, and shown in the timeline of its delivery."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from tests.services.gateways import ScriptedGateway
from tests.services.simulation import Simulation
from worker.database import carrier_calls
from worker.database.carrier_calls import RecordedCall
from worker.database.retention import PAGE
from worker.database.tables import CARRIER_CALL
from worker.domain.operator import Operator
from worker.errors import Unavailable
from worker.http.call import Call, Operation, Outcome, Verdict
from worker.services.timeline import Kind


def recorded(simulation: Simulation) -> list[RecordedCall]:
    attempts = [each.id for each in simulation.delivery().attempts]
    return simulation.container.database.read(carrier_calls.of_attempts, attempts)


def words(simulation: Simulation) -> list[tuple[str, int | None, str]]:
    return [(each.operation, each.status, each.verdict.value) for each in recorded(simulation)]


def test_an_accepted_create_is_recorded(simulation: Simulation) -> None:
    simulation.place(store_id="21")
    simulation.work()
    delivery = simulation.delivery()
    (call,) = recorded(simulation)
    assert (call.attempt_id, call.delivery_id, call.account) == (delivery.attempts[0].id, delivery.id, "borzo")
    assert (call.operation, call.status, call.verdict, call.reason) == ("create", 200, Verdict.ANSWERED, None)
    assert call.request.startswith("POST /api/")
    assert call.reply is not None
    assert '"is_successful":true' in call.reply


def test_a_refusal_is_recorded_with_its_reason(simulation: Simulation) -> None:
    simulation.place("refused", store_id="21")
    simulation.work()
    call = recorded(simulation)[0]
    assert (call.operation, call.verdict) == ("create", Verdict.REFUSED)
    assert call.reason


def test_a_call_without_a_reply_has_no_status(simulation: Simulation) -> None:
    simulation.inject_fault("error_before", "borzo", operation="create")
    simulation.place(store_id="21")
    simulation.work()
    assert words(simulation)[0][2] == "uncertain"


@pytest.mark.parametrize("store_id", ["34", "21", "17"])
def test_no_record_contains_the_customer(simulation: Simulation, store_id: str) -> None:
    simulation.place(store_id=store_id)
    simulation.until(lambda it: it.status() == "delivered")
    order = simulation.delivery().order
    stored = " ".join(f"{each.request} {each.reply} {each.reason}" for each in recorded(simulation))
    for secret in (order.customer.name, order.customer.phone, order.dropoff.street):
        assert secret not in stored


def test_reads_that_repeat_what_is_known_are_not_recorded(simulation: Simulation) -> None:
    simulation.place(store_id="17")
    simulation.until(lambda it: it.status() == "delivered")
    reads = [each for each in recorded(simulation) if each.operation == "read"]
    changes = [each for each in simulation.published() if each]
    assert 0 < len(reads) <= len(changes)
    assert all(each.reply and ":" in each.reply for each in reads)


def test_a_failed_read_is_recorded(simulation: Simulation) -> None:
    simulation.place(store_id="17")
    simulation.work()
    simulation.inject_fault("error_before", "deliverit")
    simulation.until(lambda it: any(each.verdict is Verdict.UNAVAILABLE for each in recorded(it)))


def test_a_call_that_was_not_sent_is_not_recorded(simulation: Simulation, gateway: ScriptedGateway) -> None:
    def outcome(_account: str, call: Call) -> Outcome | None:
        return Unavailable("not sent") if call.operation is Operation.CREATE else None

    gateway.outcome = outcome
    simulation.place(store_id="21")
    simulation.work()
    assert recorded(simulation) == []


def test_a_repeated_transaction_records_a_call_once(simulation: Simulation) -> None:
    simulation.place(store_id="21")
    simulation.work()
    simulation.container.database.write(carrier_calls.record, recorded(simulation))
    assert len(recorded(simulation)) == 1


def test_old_calls_are_deleted_and_newer_ones_are_kept(simulation: Simulation) -> None:
    database, retention = simulation.container.database, simulation.container.retention
    simulation.place(store_id="21")
    simulation.work()
    (call,) = recorded(simulation)
    many = [call.sent_at - timedelta(seconds=number) for number in range(1, PAGE + 2)]
    copies = [RecordedCall(**{**carrier_calls.row(call), "sent_at": each}) for each in many]
    database.write(carrier_calls.record, copies)
    simulation.now = call.sent_at + timedelta(days=30)
    assert retention.delete_old().removed == {"calls": len(copies)}
    assert recorded(simulation) == [call]
    simulation.now += timedelta(seconds=1)
    retention.purge()
    assert database.read(lambda connection: connection.scalar(select(func.count()).select_from(CARRIER_CALL))) == 0


def test_a_timeline_has_all_that_happened_in_the_stores_own_time(simulation: Simulation) -> None:
    simulation.let_clock_run()
    simulation.place(store_id="21")
    simulation.work()
    simulation.container.decisions.refresh(simulation.delivery().id, Operator("maria", "the shop asked"))
    simulation.until(lambda it: it.status() == "delivered")
    entries = simulation.container.timelines.of(simulation.delivery())
    assert [each.at for each in entries] == sorted(each.at for each in entries)
    assert {each.kind for each in entries} == set(Kind)
    assert {str(each.at.tzinfo) for each in entries} == {"America/Sao_Paulo"}
    assert [each.kind for each in entries[:4]] == [Kind.MESSAGE, Kind.EVENT, Kind.CALL, Kind.EVENT]
    assert "maria did refresh: the shop asked" in [each.text for each in entries]
    assert not any(each.trouble for each in entries)


def test_a_failed_call_and_a_request_for_attention_are_troubles_of_the_timeline(simulation: Simulation) -> None:
    simulation.inject_fault("error_before", "cervo", operation="create")
    simulation.place()
    simulation.until(lambda it: it.delivery().attention is not None)
    troubles = [each.kind for each in simulation.container.timelines.of(simulation.delivery()) if each.trouble]
    assert troubles == [Kind.CALL, Kind.EVENT]
