"""The demo: its settings, and its display on a wide terminal, on a narrow one and without one."""

import json
from contextlib import closing
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from schemas.messages import read_message
from schemas.status import DeliveryStatus
from tests.services.simulation import Simulation
from worker.config.settings import load
from worker.database import deliveries, write_backs
from worker.local.demo import CHANGE_NOT_SENT, SHOP_ACCEPTED, apply_event, environment
from worker.local.demo.orders import SAMPLES, first_message, next_message, sample_order
from worker.local.demo.show import OrderView, display, table

ROOT = Path(__file__).resolve().parents[2]
CREATED = {"status": "created", "detail": None, "carrier": "deliverit", "courier": None}


def test_the_demo_reads_no_setting_of_its_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    Path("order-sync.toml").write_text('broker_url = "redis://somewhere/0"\n')
    Path(".env").write_text("ORDER_SYNC_CARRIERS__BORZO_2__KIND=borzo\nORDER_SYNC_CARRIERS__BORZO_2__TOKEN=real\n")
    monkeypatch.setenv("ORDER_SYNC_BUS_URL", "redis://elsewhere/0")
    settings = load(environment("redis://127.0.0.1:1/0", 8100, 8000, 8001, 5555))
    assert (settings.broker, settings.bus) == ("redis://127.0.0.1:1/0", "redis://127.0.0.1:1/0")
    assert sorted(settings.accounts) == ["borzo", "cervo", "deliverit"]


def test_the_settings_of_the_demo_mean_the_same_in_another_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    ours = environment("redis://127.0.0.1:1/0", 8100, 8000, 8001, 5555)
    here = tmp_path / "var" / "demo"
    assert [ours[f"ORDER_SYNC_{name}"] for name in ("DATABASE_URL", "JOURNAL_FOLDER", "FLOWER_FOLDER")] == [
        f"sqlite:///{here}/order-sync.db", f"{here}/journal", f"{here}/flower",
    ]  # fmt: skip


def test_the_order_of_the_documents_is_free_in_the_demo_and_gets_a_courier_there(tmp_path: Path) -> None:
    ours = environment("redis://127.0.0.1:1/0", 8100, 8000, 8001, 5555)
    wanted = {name.removeprefix("ORDER_SYNC_"): value for name, value in ours.items() if "_ORDERING__" in name}
    with closing(Simulation(tmp_path, **wanted)) as simulation:
        for each in SAMPLES:
            simulation.put(first_message(each))
        simulation.put((ROOT / "docs" / "order-placed.json").read_bytes())
        simulation.work()
        (delivery,) = simulation.container.database.read(deliveries.find, "2011")
        assert (delivery.status, delivery.carrier) == (DeliveryStatus.CREATED, "deliverit")
        tomorrow = simulation.now + timedelta(days=1)
        assert simulation.container.database.read(write_backs.count_waiting, tomorrow) == 0


def test_an_order_waits_in_the_demo_until_it_has_the_status_that_the_demo_names(tmp_path: Path) -> None:
    ours = environment("redis://127.0.0.1:1/0", 8100, 8000, 8001, 5555)
    document = sample_order("7", "17", "")
    status = document["data"].pop("status")
    with closing(Simulation(tmp_path, ORDERING__GATE=ours["ORDER_SYNC_ORDERING__GATE"])) as simulation:
        simulation.put(json.dumps(document).encode())
        simulation.work()
        (waiting,) = simulation.container.database.read(deliveries.find, "7")
        accepted = {**document["data"], "status": status, "revision": 2}
        simulation.put(json.dumps({**document, "id": "2", "type": "order.updated", "data": accepted}).encode())
        simulation.work()
        (sent,) = simulation.container.database.read(deliveries.find, "7")
    assert [(each.status, each.detail) for each in (waiting, sent)] == [
        (DeliveryStatus.QUEUED, "waiting_for_shop"), (DeliveryStatus.CREATED, None),
    ]  # fmt: skip
    assert f'"status": {status},' in SHOP_ACCEPTED


@pytest.mark.parametrize("width", [40, 80, 95, 125, 200])
def test_the_table_fits_the_terminal(width: int) -> None:
    orders = [OrderView(sample) for sample in SAMPLES]
    for each in orders:
        each.apply({**CREATED, "status": "awaiting_confirmation", "courier": {"name": "Maximiliana Longname"}})
    console = Console(file=StringIO(), width=width, force_terminal=True, color_system=None)
    with console.capture() as drawn:
        console.print(table(orders, width))
    lines = drawn.get().splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) == len(SAMPLES) + 5


def test_without_a_terminal_each_change_is_one_line() -> None:
    out = StringIO()
    one, other = OrderView(SAMPLES[0]), OrderView(SAMPLES[1])
    with display(Console(file=out, width=30), [one, other]) as refresh:
        for data in [CREATED, CREATED, {**CREATED, "status": "pickup_arrived"}]:
            refresh(one if one.apply(data) else None)
    assert [line.split()[2:] for line in out.getvalue().splitlines()] == [
        ["2010", "deliverit", "created"],
        ["2010", "deliverit", "pickup_arrived"],
    ]


def test_an_event_with_the_same_status_and_detail_changes_nothing() -> None:
    order = OrderView(SAMPLES[0])
    assert [order.apply(CREATED), order.apply(CREATED), order.apply({**CREATED, "detail": "reassigned"})] == [
        True,
        False,
        True,
    ]


def test_the_next_message_of_a_sample_follows_only_the_status_that_it_waits_for() -> None:
    statuses = [
        (DeliveryStatus.QUEUED, None),
        (DeliveryStatus.QUEUED, "waiting_for_shop"),
        (DeliveryStatus.CREATED, None),
    ]
    messages = {each.order_id: [next_message(each, *status) for status in statuses] for each in SAMPLES}
    types = {
        order_id: [message and read_message(message.encode()).type for message in found]
        for order_id, found in messages.items()
        if any(found)
    }
    assert types == {
        "2015": [None, "order.updated", None],
        "2025": [None, None, "order.updated"],
        "2033": [None, None, "order.cancelled"],
    }


def test_only_the_early_sample_comes_before_its_shop_has_accepted_it() -> None:
    statuses = {each.order_id: json.loads(first_message(each))["data"]["status"] for each in SAMPLES}
    assert {order_id for order_id, status in statuses.items() if status == 0} == {"2015"}
    assert set(statuses.values()) == {0, 7}


def test_an_order_whose_change_did_not_reach_its_carrier_did_not_end_as_scripted() -> None:
    (sample,) = [each for each in SAMPLES if each.changed]
    orders, published = {sample.order_id: OrderView(sample)}, list[str]()
    delivered = {**CREATED, "carrier": "borzo", "status": "delivered", "reason_text": None}
    as_scripted = []
    for reason in (None, CHANGE_NOT_SENT):
        event = {
            "subject": sample.order_id,
            "type": "delivery.attention_required",
            "data": delivered | {"reason_text": reason},
        }
        apply_event(orders, event, published.append)
        as_scripted.append(orders[sample.order_id].as_scripted)
    assert as_scripted == [True, False]
