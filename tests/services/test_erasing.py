"""An order's personal data are erased everywhere: in every table, every file and every key of Redis.

The customer's texts are unique, so that each can be searched for in all of them.
"""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import SQLModel

from tests.database.samples import rows
from tests.services.simulation import Simulation, order_document
from worker.database import inbox, leases, operator_actions, search
from worker.domain.delivery import Step
from worker.domain.operator import Operator, OperatorAction
from worker.http.call import Reply
from worker.local.demo.orders import message
from worker.services.erasing import Erased
from worker.services.retention import LEASE_SECONDS

NAME, PHONE, STREET, UNIT, NOTE, ITEM, WHY = (
    "Zephyrine Quux", "+5511987650123", "Rua Xilofone", "Bloco Wombat", "cuidado com o ocelote",
    "Torta de marmelo", "o avestruz fugiu",
)  # fmt: skip
TEXTS = (NAME, PHONE, STREET, UNIT, NOTE, ITEM, WHY)
MARIA = Operator("maria", WHY)


def customer(**more: Any) -> dict[str, Any]:
    document = json.loads(order_document())["data"]
    return {
        "customer": {"name": NAME, "phone": PHONE},
        "dropoff": {**document["dropoff"], "street": STREET, "unit": UNIT, "notes": NOTE},
        "items": [{"name": ITEM, "quantity": 1}],
        **more,
    }


def stored(simulation: Simulation) -> Iterator[str]:
    """Yield every row of every table and every value of Redis as text."""
    for table in SQLModel.metadata.sorted_tables:
        for row in rows(simulation.container.database, table.name):
            yield f"{table.name}: {' '.join(map(_text, row.values()))}"
    for key in simulation.redis.scan_iter():
        yield f"{_text(key)}: {simulation.redis.dump(key).decode('utf-8', 'replace')}"


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def found_in(simulation: Simulation, folder: Path, texts: tuple[str, ...] = TEXTS) -> dict[str, set[str]]:
    """Return where each text is: in which tables, keys and files. A text may be spelled as JSON."""
    places = [each.partition(": ") for each in stored(simulation)]
    places += [(path.name, "", _text(path.read_bytes())) for path in folder.rglob("*") if path.is_file()]
    found: dict[str, set[str]] = {}
    for where, _, content in places:
        for text in texts:
            if text in content or json.dumps(text)[1:-1] in content:
                found.setdefault(text, set()).add(where)
    return found


def live(simulation: Simulation) -> None:
    """Let an order be placed, changed and cancelled, with callbacks, a dead letter and an operator."""
    container = simulation.container
    simulation.place(store_id="21", **customer(revision=1))
    simulation.work()
    simulation.pass_time(60)
    send(simulation, "order.updated", json.loads(order_document(store_id="21", **customer(revision=2)))["data"])
    simulation.work()
    container.decisions.refresh(simulation.delivery().id, MARIA)
    send(simulation, "order.cancelled", {"order_id": "2011", "reason": WHY})
    simulation.until(lambda it: it.delivery().final)
    simulation.until(lambda it: it.delivery().next_run_at is None)
    simulation.work()


def letter(simulation: Simulation) -> str:
    """Put a message of the order on the bus that cannot be read; return the id of its dead letter."""
    broken = json.loads(order_document(order_id="2011", **customer()))["data"]
    del broken["store_id"]
    send(simulation, "order.updated", broken)
    (letter,) = simulation.container.database.read(lambda it: inbox.dead_letters(it, 10))
    return str(letter["id"])


def send(simulation: Simulation, kind: str, data: dict[str, Any]) -> None:
    simulation.put(message(kind, f"{kind} {data.get('revision')}", data))


def crash(simulation: Simulation, folder: Path) -> Path:
    """Leave a journal file behind, with the reply to the order's create."""
    attempt = simulation.delivery().attempts[0].id
    with simulation.container.journal.open(Step.BOOK) as file:
        file.log_sent([attempt, 8])
        file.log_replies([(attempt, Reply(200, NAME.encode(), {})), (8, Reply(200, b"another", {}))])
        content = (folder / "journal" / file.name).read_bytes()
    left = folder / "journal" / file.name
    left.write_bytes(content)
    return left


def test_an_erased_order_is_found_nowhere(simulation: Simulation, tmp_path: Path) -> None:
    live(simulation)
    container = simulation.container
    identity = letter(simulation)
    container.operations.discard(identity, Operator("maria"))
    before = found_in(simulation, tmp_path)
    assert before.keys() == set(TEXTS)
    assert {"placed_order", "callback", "dead_letter", "operator_action", "orders"} <= set().union(*before.values())
    journal = crash(simulation, tmp_path)
    assert container.erasing.blocker(simulation.delivery()) is None
    erased = container.erasing.erase(simulation.delivery(), Operator("ann", "asked for by mail"))
    assert erased is not None
    assert (erased.dead_letters, erased.journal_files) == (1, 1)
    assert min(erased.orders_entries, erased.events_entries) > 0
    assert found_in(simulation, tmp_path) == {}
    assert next(container.journal.abandoned()).read().outcomes == {8: Reply(200, b"another", {})}
    assert journal.stat().st_mode & 0o777 == 0o600
    assert container.database.read(search.find_by_phone, PHONE[-6:], simulation.now) == []


def test_the_courier_is_erased_as_well(simulation: Simulation, tmp_path: Path) -> None:
    simulation.place(store_id="21")
    simulation.until(lambda it: it.delivery().courier is not None)
    courier = simulation.delivery().courier
    assert courier is not None
    texts = tuple(filter(None, (courier.name, courier.phone)))
    simulation.until(lambda it: it.delivery().final)
    simulation.until(lambda it: it.delivery().next_run_at is None)
    assert {"event", "deliveries"} <= set().union(*found_in(simulation, tmp_path, texts).values())
    simulation.container.erasing.erase(simulation.delivery(), MARIA)
    assert found_in(simulation, tmp_path, texts) == {}


def test_an_erasure_is_recorded_and_what_identifies_nobody_stays(simulation: Simulation) -> None:
    live(simulation)
    before, events = simulation.delivery(), len(simulation.container.timelines.of(simulation.delivery()))
    simulation.container.erasing.erase(before, Operator("ann", "asked for by mail"))
    after = simulation.delivery()
    same = ("id", "status", "created_at", "changed_at", "sequence", "carrier", "price", "cancelled_by", "store")
    assert [getattr(after, name) for name in same] == [getattr(before, name) for name in same]
    assert after.order.payment.amount == before.order.payment.amount
    assert [each.ref for each in after.attempts] == [each.ref for each in before.attempts]
    assert 0 < len(simulation.container.timelines.of(after)) < events
    assert simulation.container.explanations.of(after) == []
    assert [(each.operator, each.action, each.reason) for each in actions(simulation)] == [
        ("maria", "refresh", ""),
        ("ann", "erase", "asked for by mail"),
    ]


def actions(simulation: Simulation) -> list[OperatorAction]:
    return simulation.container.database.read(operator_actions.of_delivery, simulation.delivery().id)


def test_a_later_message_does_not_bring_the_data_back(simulation: Simulation, tmp_path: Path) -> None:
    live(simulation)
    simulation.container.erasing.erase(simulation.delivery(), Operator("ann"))
    send(simulation, "order.updated", json.loads(order_document(store_id="21", **customer(revision=3)))["data"])
    simulation.work()
    assert simulation.delivery().is_erased
    assert simulation.delivery().attention is None
    repeated = simulation.container.erasing.erase(simulation.delivery(), Operator("ann"))
    assert repeated == Erased(dead_letters=0, orders_entries=1, events_entries=0, journal_files=0)
    assert found_in(simulation, tmp_path) == {}


def test_an_erased_order_is_not_retried(simulation: Simulation) -> None:
    simulation.place("refused", store_id="21")
    simulation.until(lambda it: it.delivery().final)
    simulation.container.erasing.erase(simulation.delivery(), MARIA)
    blocker = simulation.container.decisions.retry_blocker(simulation.delivery())
    assert blocker == "the customer's data were erased: place the order again under a new id"


def open_delivery(simulation: Simulation) -> None:
    simulation.place(store_id="21")
    simulation.work()


def waiting_letter(simulation: Simulation) -> None:
    live(simulation)
    letter(simulation)


@pytest.mark.parametrize(
    ("prepare", "blocker"),
    [(open_delivery, "the delivery has not ended, it is "), (waiting_letter, "a dead letter contains its order id: ")],
)
def test_what_is_still_needed_is_not_erased(
    simulation: Simulation, prepare: Callable[[Simulation], None], blocker: str
) -> None:
    prepare(simulation)
    assert (simulation.container.erasing.blocker(simulation.delivery()) or "").startswith(blocker)


def test_a_delivery_that_is_reopened_after_the_check_is_not_erased(simulation: Simulation) -> None:
    open_delivery(simulation)
    assert simulation.container.erasing.erase(simulation.delivery(), MARIA) is None
    assert (simulation.delivery().is_erased, actions(simulation)) == (False, [])


# --- the purge ---


def test_after_90_days_the_purge_leaves_nothing_of_the_customer(simulation: Simulation, tmp_path: Path) -> None:
    live(simulation)
    ended = simulation.delivery().changed_at
    simulation.now = ended + timedelta(days=90)
    simulation.app.tasks["maintenance.purge"]()
    assert NAME in str(simulation.delivery().order)
    simulation.now += timedelta(seconds=1)
    simulation.container.operations.discard(letter(simulation), Operator("maria"))
    simulation.app.tasks["maintenance.purge"]()
    assert {place for places in found_in(simulation, tmp_path / "journal").values() for place in places} == {
        "dead_letter",
        "orders",
    }
    assert simulation.delivery().is_erased
    simulation.now += timedelta(days=30, seconds=1)
    assert simulation.container.retention.delete_old().removed == {"dead letters": 1}


def test_after_400_days_nothing_of_a_delivery_is_left_but_its_last_event(simulation: Simulation) -> None:
    live(simulation)
    simulation.now += timedelta(days=401)
    removed = simulation.container.retention.delete_old().removed
    assert (removed["customers"], removed["messages"]) == (1, 3)
    assert {each.partition(":")[0] for each in stored(simulation)} & {"message", "callback", "carrier_call"} == set()
    assert simulation.delivery().is_erased  # its newest event is the newest of the bus
    simulation.place(store_id="21", order_id="2012")
    simulation.work()
    assert simulation.container.retention.delete_old().removed == {"events": 1, "deliveries": 1}
    tables = {each.partition(":")[0] for each in stored(simulation) if "2011" in each}
    assert not tables & {"delivery", "placed_order", "attempt", "event"}


def test_a_second_purge_leaves_the_work_to_the_first(simulation: Simulation) -> None:
    live(simulation)
    simulation.now += timedelta(days=91)
    simulation.container.database.write(leases.take, "purge", "another", simulation.now, LEASE_SECONDS)
    assert simulation.container.retention.delete_old().removed == {}
    simulation.now += timedelta(seconds=LEASE_SECONDS + 1)
    assert simulation.container.retention.delete_old().removed["customers"] == 1
