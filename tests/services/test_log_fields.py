"""A log line says which order, delivery, attempt and account it is about."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from structlog.contextvars import get_contextvars, merge_contextvars
from structlog.testing import capture_logs

from tests.services.simulation import Simulation
from worker.enqueue import log_fields

FIELDS = ("task", "order_id", "delivery_id", "attempt", "account", "log_level")


@pytest.mark.parametrize(
    ("name", "arguments", "fields"),
    [
        ("deliveries.book", ["borzo", ["1"]], {"account": "borzo", "delivery_id": "1"}),
        ("deliveries.track", ["borzo", ["1", "2"]], {"account": "borzo"}),
        ("carriers.probe", ["cervo"], {"account": "cervo"}),
        ("platform.write_back", ["1"], {"delivery_id": "1"}),
        ("callbacks.apply", ["7"], {"callback_id": "7"}),
        ("timers.sweep", [], {}),
        ("orders.receive", [{"data": {"customer": {"name": "Freja"}}}], {}),
    ],
)
def test_a_task_adds_what_it_is_about_to_every_log_line(
    name: str, arguments: list[object], fields: dict[str, object]
) -> None:
    assert log_fields(name, arguments) == {"task": name, **fields}


@pytest.fixture
def simulation(tmp_path: Path) -> Iterator[Simulation]:
    """Return a simulation whose orders come from the platform."""
    with closing(Simulation(tmp_path, ORDERING__SOURCE="demo")) as simulated:
        yield simulated


class Broken:
    """A codec that cannot build a request."""

    def __init__(self, codec: Any) -> None:
        self._codec = codec

    def __getattr__(self, name: str) -> Any:
        return getattr(self._codec, name)

    def book(self, *_: object) -> None:
        raise TypeError


def fields_of(lines: list[Any], event: str) -> list[tuple[object, ...]]:
    return [tuple(each.get(name) for name in FIELDS) for each in lines if each["event"] == event]


def test_a_codec_that_fails_is_logged_with_the_order_of_its_call(simulation: Simulation) -> None:
    simulation.container.replace_codec("borzo", Broken(simulation.container.codecs["borzo"]))
    simulation.place(store_id="21")
    with capture_logs([merge_contextvars]) as lines:
        simulation.work()
    about = ("2011", simulation.delivery().id, 1, "borzo")
    assert fields_of(lines, "carrier.codec_failed") == [("deliveries.book", *about, "error")]


def test_a_write_to_the_platform_is_logged_with_its_order(simulation: Simulation) -> None:
    simulation.ask("POST", "/sandbox/ordering/orders", {"id": 2011})
    simulation.place()
    with capture_logs([merge_contextvars]) as lines:
        simulation.until(lambda it: it.status() == "delivered")
    written = fields_of(lines, "platform.written")
    assert set(written) == {("platform.write_back", "2011", simulation.delivery().id, None, None, "info")}


def test_what_a_task_adds_to_log_lines_ends_with_the_task(simulation: Simulation) -> None:
    simulation.place()
    simulation.work()
    assert get_contextvars() == {}
