"""People hear of each trouble once when it begins and once when it is over, on every channel."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from schemas.status import Evidence
from tests.services.simulation import Simulation, order_document
from worker.database import accounts
from worker.database.database import Database
from worker.domain.trouble import Freshness, Severity, Trouble, TroubledOrder
from worker.errors import NotSentError
from worker.services.notifications import LASTS, LEASE_SECONDS, Notifications, Send

PAUSED = "borzo is paused by an operator"
NIGHT = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)
FRESHNESS = Freshness(NIGHT, None, Evidence.OBSERVED, None, None)
"""21:00 in Copenhagen and 17:00 in São Paulo."""


class Channel:
    """A channel that can be out of order."""

    def __init__(self) -> None:
        self.received: list[tuple[str, str]] = []
        self.works = True

    @property
    def titles(self) -> list[str]:
        return [title for title, _ in self.received]

    def send(self, title: str, body: str) -> None:
        if not self.works:
            raise NotSentError("the service did not accept the message")
        self.received.append((title, body))


class Told:
    """A simulation with two processes that tell two channels."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation, self.team, self.pager = simulation, Channel(), Channel()
        self.channels: dict[str, Send] = {"team": self.team.send, "pager": self.pager.send}
        self.processes = {"one": self.process(), "two": self.process()}

    def process(self, database: Database | None = None) -> Notifications:
        services = self.simulation.container
        clock = lambda: self.simulation.now  # noqa: E731
        return Notifications(database or services.database, services.troubles, self.channels, clock)

    def run(self, times: int = 1) -> None:
        """Let time pass, and let both processes tell, some times."""
        for _ in range(times):
            self.simulation.pass_time(LASTS.total_seconds())
            for name, process in self.processes.items():
                process.run(name)

    def pause(self) -> None:
        self.simulation.container.database.write(accounts.pause, "borzo", "operator", "holiday", self.simulation.now)

    def resume(self) -> None:
        self.simulation.container.database.write(accounts.resume, "borzo", "operator", self.simulation.now)


@pytest.fixture
def told(simulation: Simulation) -> Told:
    return Told(simulation)


def test_a_trouble_is_told_once_on_each_channel_and_so_is_its_end(told: Told) -> None:
    told.pause()
    told.run(5)
    assert told.team.received == told.pager.received
    ((title, body),) = told.team.received
    assert "borzo" in title
    assert body
    told.resume()
    told.run(5)
    assert told.team.titles == told.pager.titles == [title, f"Over: {title}"]


def test_orders_that_join_a_trouble_are_no_further_message(told: Told) -> None:
    told.pause()
    told.simulation.place_at("borzo", "1", "2")
    told.run(3)
    told.simulation.place_at("borzo", "3", "4")
    told.run(3)
    assert len(told.team.received) == 1
    assert "2 orders" in told.team.received[0][1]


def test_a_trouble_that_is_short_tells_nobody(told: Told) -> None:
    told.pause()
    told.run()
    told.resume()
    told.run(5)
    assert told.team.received == []


def test_a_trouble_that_comes_back_at_once_is_not_over(told: Told) -> None:
    told.pause()
    told.run(3)
    told.resume()
    told.run()
    told.pause()
    told.run(5)
    assert len(told.team.received) == 1


def test_troubles_that_begin_together_are_one_message(told: Told) -> None:
    told.pause()
    told.simulation.container.database.write(accounts.pause, "cervo", "operator", "holiday", told.simulation.now)
    told.run(3)
    ((title, body),) = told.team.received
    assert title == "2 troubles need somebody"
    assert ["cervo" in body, "borzo" in body, body.count("\n")] == [True, True, 1]


def test_a_channel_that_is_out_of_order_is_told_later_and_delays_no_other(told: Told) -> None:
    told.team.works = False
    told.pause()
    told.run(3)
    assert [len(told.team.received), len(told.pager.received)] == [0, 1]
    told.team.works = True
    told.run(3)
    assert [len(told.team.received), len(told.pager.received)] == [1, 1]


def test_another_process_goes_on_when_the_one_that_told_has_died(told: Told) -> None:
    told.pause()
    told.run(3)
    del told.processes["one"]
    told.resume()
    told.run(int(LEASE_SECONDS / LASTS.total_seconds()) + 6)
    assert len(told.team.received) == 2


def test_a_channel_that_is_added_later_hears_of_what_lasts(told: Told) -> None:
    told.pause()
    told.run(3)
    late = Channel()
    told.channels["late"] = late.send
    told.run(3)
    assert late.titles == told.team.titles


def test_a_channel_that_is_removed_is_forgotten_while_its_troubles_last(told: Told) -> None:
    told.pause()
    told.run(3)
    pager = told.channels.pop("pager")
    told.run()
    told.channels["pager"] = pager
    told.run(3)
    assert [len(told.team.received), len(told.pager.received)] == [1, 2]


def test_a_carrier_that_fails_again_and_again_is_one_trouble_until_it_has_worked_for_two_minutes(told: Told) -> None:
    for _ in range(10):
        told.pause()
        told.run()
        told.resume()
        told.run()
    assert told.team.titles == [PAUSED]
    told.run(4)
    assert told.team.titles == [PAUSED, f"Over: {PAUSED}"]


def test_nothing_is_over_while_redis_is_away_and_hides_what_is_wrong(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = told.simulation.container.bus
    monkeypatch.setattr(bus, "lags", lambda _now: {("orders", "order-sync"): 900.0})
    told.run(3)
    monkeypatch.setattr(bus, "lags", unreachable)
    told.run(10)
    assert told.team.titles == ["Messages are not read", "Redis does not answer"]


@pytest.mark.parametrize(
    ("severity", "hours", "count", "zones", "sent"),
    [
        (Severity.WAITING, "18:00-07:00", 2, ["Europe/Copenhagen", "Europe/London"], []),
        (Severity.WAITING, "18:00-07:00", 2, ["Europe/Copenhagen", "America/Sao_Paulo"], ["Title"]),
        (Severity.WAITING, "18:00-07:00", 2, ["Europe/Copenhagen", None], ["Title"]),
        (Severity.WAITING, "18:00-07:00", 3, ["Europe/Copenhagen", "Europe/Paris"], ["Title"]),
        (Severity.WAITING, "22:00-07:00", 1, ["Europe/Copenhagen"], ["Title"]),
        (Severity.WAITING, "", 1, ["Europe/Copenhagen"], ["Title"]),
        (Severity.LATE, "18:00-07:00", 1, ["Europe/Copenhagen"], ["Title"]),
        (Severity.UNKNOWN_OUTCOME, "18:00-07:00", 1, ["Europe/Copenhagen"], ["Title"]),
        (Severity.SYSTEM, "18:00-07:00", 0, [], ["Title"]),
    ],
)
def test_orders_that_can_wait_are_not_reported_in_the_quiet_hours_of_their_stores(
    severity: Severity, hours: str, count: int, zones: list[str | None], sent: list[str], told: Told
) -> None:
    told.simulation.now = NIGHT
    orders = tuple(TroubledOrder("d", "2011", "demo", "17", "queued", None, zone, FRESHNESS) for zone in zones)
    told.processes = {"one": told.process()}
    told.processes["one"].quiet = {"team": hours}
    told.processes["one"].troubles = Found(Trouble("key", "kind", severity, "Title", "", count, orders))  # type: ignore[assignment]
    told.run(3)
    assert (told.team.titles, told.pager.titles) == (sent, ["Title"])
    told.simulation.now = NIGHT + timedelta(hours=14)
    told.run(2)
    assert told.team.titles == ["Title"]


def test_a_trouble_with_a_long_key_prevents_no_notification(told: Told, postgres_url: str) -> None:
    with closing(Database(postgres_url)) as database:
        told.processes = {"one": told.process(database)}
        path = "".join(chr(0x4E00 + number * 7 % 20_000) for number in range(5000))
        told.processes["one"].troubles = Found(*titled(f"dead_letters:{path}"))  # type: ignore[assignment]
        told.run(2)
    assert len(told.team.titles) == 1


class Found:
    """The troubles that are found."""

    def __init__(self, *troubles: Trouble) -> None:
        self.troubles = troubles

    def find(self) -> list[Trouble]:
        return list(self.troubles)


def titled(*keys: str) -> tuple[Trouble, ...]:
    """Return troubles with these keys."""
    return tuple(Trouble(key, key.partition(":")[0], Severity.WAITING, f"Title of {key}", "") for key in keys)


def test_an_order_s_trouble_is_not_over_while_more_orders_need_an_operator_than_have_a_trouble(told: Told) -> None:
    found = Found(*titled("went_backwards:1", "unknown_store:2"))
    told.processes = {"one": told.process()}
    told.processes["one"].troubles = found  # type: ignore[assignment]
    told.run(2)
    found.troubles = titled("went_backwards:3", "went_backwards:*")
    told.run(7)
    assert told.team.titles == [
        "2 troubles need somebody",
        "2 troubles need somebody",
        "Over: Title of unknown_store:2",
    ]
    found.troubles = titled("went_backwards:3")
    told.run(5)
    assert told.team.titles[3:] == ["2 troubles are over"]


def test_nothing_is_over_while_commits_wait_for_a_standby(told: Told) -> None:
    found = Found(*titled("no_worker"))
    told.processes = {"one": told.process()}
    told.processes["one"].troubles = found  # type: ignore[assignment]
    told.run(2)
    found.troubles = titled("commits_wait_for_standby")
    told.run(7)
    assert told.team.titles == ["Title of no_worker", "Title of commits_wait_for_standby"]


def unreachable(*_: object) -> None:
    raise ConnectionError


@pytest.mark.fault("F-11")
def test_another_process_notifies_people_at_once_when_the_first_one_ends(told: Told) -> None:
    one, two = told.processes["one"], told.processes["two"]
    told.pause()
    one.run("one")
    told.simulation.pass_time(LASTS.total_seconds())
    two.run("two")
    assert told.team.titles == []
    two.end("two")
    one.end("one")
    two.run("two")
    assert told.team.titles == [PAUSED]


def test_a_process_that_waited_too_long_for_a_channel_leaves_the_others_to_the_next_process(told: Told) -> None:
    def hang(_title: str, _body: str) -> None:
        told.simulation.now += timedelta(seconds=2 * LEASE_SECONDS)
        told.processes["two"].run("two")
        raise NotSentError("timed out")

    told.pause()
    told.run()
    told.channels["team"] = hang
    told.simulation.pass_time(LASTS.total_seconds())
    told.processes["one"].channels = {"team": hang, "pager": told.pager.send}
    told.processes["two"].channels = {"team": told.team.send, "pager": told.pager.send}
    told.processes["one"].run("one")
    assert told.pager.titles == [PAUSED]


def test_a_channel_that_was_out_of_order_is_notified_of_an_outage_of_the_database_later(
    told: Told, tmp_path: Path
) -> None:
    with closing(Unreachable(f"sqlite:///{tmp_path}/notices.db")) as database:
        database.create()
        told.processes = {"one": told.process(database)}
        told.run()
        told.team.works = False
        with database.outage():
            told.run(3)
            told.team.works = True
            told.run(3)
    assert told.team.titles == told.pager.titles == ["The database does not answer"]


class Unreachable(Database):
    """A database that can be unreachable."""

    reachable = True

    @contextmanager
    def outage(self) -> Iterator[None]:
        self.reachable = False
        yield
        self.reachable = True

    def write(self, *arguments: object, **named: object) -> object:  # type: ignore[override]
        if not self.reachable:
            raise OperationalError("", {}, Exception("unreachable"))
        return super().write(*arguments, **named)  # type: ignore[arg-type]


def test_an_outage_of_the_database_is_told_by_the_process_that_told_before(told: Told, tmp_path: Path) -> None:
    with closing(Unreachable(f"sqlite:///{tmp_path}/notices.db")) as database:
        database.create()
        told.processes = {"one": told.process(database), "two": told.process(database)}
        told.run()
        with database.outage():
            told.run(4)
            assert len(told.team.received) == 1
        told.run(5)
    assert [told.team.titles[0], told.team.titles[1]] == [told.team.titles[0], f"Over: {told.team.titles[0]}"]
    assert "database" in told.team.titles[0]


def test_the_end_of_an_outage_is_told_although_another_process_leads_by_then(told: Told, tmp_path: Path) -> None:
    with closing(Unreachable(f"sqlite:///{tmp_path}/notices.db")) as database:
        database.create()
        told.processes = {"one": told.process(database), "two": told.process(database)}
        told.run()
        with database.outage():
            told.run(4)
        told.processes = dict(reversed(told.processes.items()))
        told.run(6)
    assert told.team.titles == ["The database does not answer", "Over: The database does not answer"]


def test_a_message_names_no_more_than_twenty_troubles(told: Told) -> None:
    for number in range(25):
        document = json.loads(order_document(order_id=str(number)))
        document["data"]["store_id"] = f"unknown-{number}"
        told.simulation.put(json.dumps(document))
    told.run(3)
    ((title, body),) = told.team.received
    assert title == "25 troubles need somebody"
    assert body.splitlines()[20:] == ["and 5 more"]
