"""The demo: what it sets, and how it shows what it sees on a terminal, a narrow one, and none."""

import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from schemas.messages import read_message
from schemas.status import DeliveryStatus
from worker.config.settings import load
from worker.local.demo import UNCHANGED, environment, take
from worker.local.demo.orders import SAMPLES, first_word, next_word
from worker.local.demo.show import Seen, display, table

CREATED = {"status": "created", "detail": None, "carrier": "deliverit", "courier": None}


def test_the_demo_reads_no_setting_of_its_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    Path("order-sync.toml").write_text('broker_url = "redis://somewhere/0"\n')
    monkeypatch.setenv("ORDER_SYNC_BUS_URL", "redis://elsewhere/0")
    settings = load(environment("redis://127.0.0.1:1/0", 8100, 8000, 5555))
    assert (settings.broker, settings.bus) == ("redis://127.0.0.1:1/0", "redis://127.0.0.1:1/0")
    assert sorted(settings.accounts) == ["borzo", "cervo", "deliverit"]


@pytest.mark.parametrize("width", [40, 80, 95, 125, 200])
def test_the_table_fits_the_terminal_whatever_happens(width: int) -> None:
    seen = [Seen(sample) for sample in SAMPLES]
    for each in seen:
        each.take({**CREATED, "status": "awaiting_confirmation", "courier": {"name": "Maximiliana Longname"}})
    console = Console(file=StringIO(), width=width, force_terminal=True, color_system=None)
    with console.capture() as drawn:
        console.print(table(seen, width))
    lines = drawn.get().splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) == len(SAMPLES) + 5


def test_without_a_terminal_each_change_is_one_line() -> None:
    out = StringIO()
    one, other = Seen(SAMPLES[0]), Seen(SAMPLES[1])
    with display(Console(file=out, width=30), [one, other]) as show:
        for told in [CREATED, CREATED, {**CREATED, "status": "pickup_arrived"}]:
            show(one if one.take(told) else None)
    assert [line.split()[2:] for line in out.getvalue().splitlines()] == [
        ["2011", "deliverit", "created"],
        ["2011", "deliverit", "pickup_arrived"],
    ]


def test_an_event_that_changes_no_status_is_no_news() -> None:
    seen = Seen(SAMPLES[0])
    assert [seen.take(CREATED), seen.take(CREATED), seen.take({**CREATED, "detail": "reassigned"})] == [
        True,
        False,
        True,
    ]


def test_a_sample_is_answered_only_when_its_delivery_stands_where_it_waits() -> None:
    stands = [
        (DeliveryStatus.QUEUED, None),
        (DeliveryStatus.QUEUED, "waiting_for_shop"),
        (DeliveryStatus.CREATED, None),
    ]
    words = {each.order_id: [next_word(each, *stand) for stand in stands] for each in SAMPLES}
    said = {
        order_id: [word and read_message(word.encode()).type for word in told]
        for order_id, told in words.items()
        if any(told)
    }
    assert said == {
        "2015": [None, "order.updated", None],
        "2025": [None, None, "order.updated"],
        "2033": [None, None, "order.cancelled"],
    }


def test_only_the_early_sample_comes_before_its_shop_has_accepted_it() -> None:
    statuses = {each.order_id: json.loads(first_word(each))["data"]["status"] for each in SAMPLES}
    assert {order_id for order_id, status in statuses.items() if status == 0} == {"2015"}
    assert set(statuses.values()) == {0, 7}


def test_an_order_whose_change_reached_nobody_is_not_as_scripted() -> None:
    (sample,) = [each for each in SAMPLES if each.changed]
    seen, placed = {sample.order_id: Seen(sample)}, list[str]()
    asked = {**CREATED, "carrier": "borzo", "status": "delivered", "reason_text": None}
    rights = []
    for text in (None, UNCHANGED):
        event = {
            "subject": sample.order_id,
            "type": "delivery.attention_required",
            "data": asked | {"reason_text": text},
        }
        take(seen, event, placed.append)
        rights.append(seen[sample.order_id].right)
    assert rights == [True, False]
