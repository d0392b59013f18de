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


class Notifying:
    """A simulation with two processes that notify two channels."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation, self.team, self.pager = simulation, Channel(), Channel()
        self.channels: dict[str, Send] = {"team": self.team.send, "pager": self.pager.send}
        self.processes = {"one": self.process(), "two": self.process()}

    def process(self, database: Database | None = None) -> Notifications:
        services = self.simulation.container
        clock = lambda: self.simulation.now  # noqa: E731
        return Notifications(database or services.database, services.troubles, self.channels, clock)

    def run(self, times: int = 1) -> None:
        """Let time pass, and let both processes notify, some times."""
        for _ in range(times):
            self.simulation.pass_time(LASTS.total_seconds())
            for name, process in self.processes.items():
                process.run(name)

    def pause(self) -> None:
        self.simulation.container.database.write(accounts.pause, "borzo", "operator", "holiday", self.simulation.now)

    def resume(self) -> None:
        self.simulation.container.database.write(accounts.resume, "borzo", "operator", self.simulation.now)


@pytest.fixture
def notifying(simulation: Simulation) -> Notifying:
    return Notifying(simulation)


def test_a_trouble_is_told_once_on_each_channel_and_so_is_its_end(notifying: Notifying) -> None:
    notifying.pause()
    notifying.run(5)
    assert notifying.team.received == notifying.pager.received
    ((title, body),) = notifying.team.received
    assert "borzo" in title
    assert body
    notifying.resume()
    notifying.run(5)
    assert notifying.team.titles == notifying.pager.titles == [title, f"Over: {title}"]


def test_orders_that_join_a_trouble_are_no_further_message(notifying: Notifying) -> None:
    notifying.pause()
    notifying.simulation.place_at("borzo", "1", "2")
    notifying.run(3)
    notifying.simulation.place_at("borzo", "3", "4")
    notifying.run(3)
    assert len(notifying.team.received) == 1
    assert "2 orders" in notifying.team.received[0][1]


def test_a_trouble_that_is_short_tells_nobody(notifying: Notifying) -> None:
    notifying.pause()
    notifying.run()
    notifying.resume()
    notifying.run(5)
    assert notifying.team.received == []


def test_a_trouble_that_comes_back_at_once_is_not_over(notifying: Notifying) -> None:
    notifying.pause()
    notifying.run(3)
    notifying.resume()
    notifying.run()
    notifying.pause()
    notifying.run(5)
    assert len(notifying.team.received) == 1


def test_troubles_that_begin_together_are_one_message(notifying: Notifying) -> None:
    notifying.pause()
    notifying.simulation.container.database.write(
        accounts.pause, "cervo", "operator", "holiday", notifying.simulation.now
    )
    notifying.run(3)
    ((title, body),) = notifying.team.received
    assert title == "2 troubles need somebody"
    assert ["cervo" in body, "borzo" in body, body.count("\n")] == [True, True, 1]


def test_a_channel_that_is_out_of_order_is_told_later_and_delays_no_other(notifying: Notifying) -> None:
    notifying.team.works = False
    notifying.pause()
    notifying.run(3)
    assert [len(notifying.team.received), len(notifying.pager.received)] == [0, 1]
    notifying.team.works = True
    notifying.run(3)
    assert [len(notifying.team.received), len(notifying.pager.received)] == [1, 1]


def test_another_process_goes_on_when_the_one_that_told_has_died(notifying: Notifying) -> None:
    notifying.pause()
    notifying.run(3)
    del notifying.processes["one"]
    notifying.resume()
    notifying.run(int(LEASE_SECONDS / LASTS.total_seconds()) + 6)
    assert len(notifying.team.received) == 2


def test_a_channel_that_is_added_later_hears_of_what_lasts(notifying: Notifying) -> None:
    notifying.pause()
    notifying.run(3)
    late = Channel()
    notifying.channels["late"] = late.send
    notifying.run(3)
    assert late.titles == notifying.team.titles


def test_a_channel_that_is_removed_is_forgotten_while_its_troubles_last(notifying: Notifying) -> None:
    notifying.pause()
    notifying.run(3)
    pager = notifying.channels.pop("pager")
    notifying.run()
    notifying.channels["pager"] = pager
    notifying.run(3)
    assert [len(notifying.team.received), len(notifying.pager.received)] == [1, 2]


def test_a_carrier_that_fails_again_and_again_is_one_trouble_until_it_has_worked_for_two_minutes(
    notifying: Notifying,
) -> None:
    for _ in range(10):
        notifying.pause()
        notifying.run()
        notifying.resume()
        notifying.run()
    assert notifying.team.titles == [PAUSED]
    notifying.run(4)
    assert notifying.team.titles == [PAUSED, f"Over: {PAUSED}"]


def test_nothing_is_over_while_redis_is_away_and_hides_what_is_wrong(
    notifying: Notifying, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = notifying.simulation.container.bus
    monkeypatch.setattr(bus, "lags", lambda _now: {("orders", "order-sync"): 900.0})
    notifying.run(3)
    monkeypatch.setattr(bus, "lags", unreachable)
    notifying.run(10)
    assert notifying.team.titles == ["Messages are not read", "Redis does not answer"]


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
    severity: Severity, hours: str, count: int, zones: list[str | None], sent: list[str], notifying: Notifying
) -> None:
    notifying.simulation.now = NIGHT
    orders = tuple(TroubledOrder("d", "2011", "demo", "17", "queued", None, zone, FRESHNESS) for zone in zones)
    notifying.processes = {"one": notifying.process()}
    notifying.processes["one"].quiet = {"team": hours}
    notifying.processes["one"].troubles = Found(Trouble("key", "kind", severity, "Title", "", count, orders))  # type: ignore[assignment]
    notifying.run(3)
    assert (notifying.team.titles, notifying.pager.titles) == (sent, ["Title"])
    notifying.simulation.now = NIGHT + timedelta(hours=14)
    notifying.run(2)
    assert notifying.team.titles == ["Title"]


def test_a_trouble_with_a_long_key_prevents_no_notification(notifying: Notifying, postgres_url: str) -> None:
    with closing(Database(postgres_url)) as database:
        notifying.processes = {"one": notifying.process(database)}
        path = "".join(chr(0x4E00 + number * 7 % 20_000) for number in range(5000))
        notifying.processes["one"].troubles = Found(*titled(f"dead_letters:{path}"))  # type: ignore[assignment]
        notifying.run(2)
    assert len(notifying.team.titles) == 1


class Found:
    """The troubles that are found."""

    def __init__(self, *troubles: Trouble) -> None:
        self.troubles = troubles

    def find(self) -> list[Trouble]:
        return list(self.troubles)


def titled(*keys: str) -> tuple[Trouble, ...]:
    """Return troubles with these keys."""
    return tuple(Trouble(key, key.partition(":")[0], Severity.WAITING, f"Title of {key}", "") for key in keys)


def test_an_order_s_trouble_is_not_over_while_more_orders_need_an_operator_than_have_a_trouble(
    notifying: Notifying,
) -> None:
    found = Found(*titled("went_backwards:1", "unknown_store:2"))
    notifying.processes = {"one": notifying.process()}
    notifying.processes["one"].troubles = found  # type: ignore[assignment]
    notifying.run(2)
    found.troubles = titled("went_backwards:3", "went_backwards:*")
    notifying.run(7)
    assert notifying.team.titles == [
        "2 troubles need somebody",
        "2 troubles need somebody",
        "Over: Title of unknown_store:2",
    ]
    found.troubles = titled("went_backwards:3")
    notifying.run(5)
    assert notifying.team.titles[3:] == ["2 troubles are over"]


def test_nothing_is_over_while_commits_wait_for_a_standby(notifying: Notifying) -> None:
    found = Found(*titled("no_worker"))
    notifying.processes = {"one": notifying.process()}
    notifying.processes["one"].troubles = found  # type: ignore[assignment]
    notifying.run(2)
    found.troubles = titled("commits_wait_for_standby")
    notifying.run(7)
    assert notifying.team.titles == ["Title of no_worker", "Title of commits_wait_for_standby"]


def unreachable(*_: object) -> None:
    raise ConnectionError


@pytest.mark.fault("F-11")
def test_another_process_notifies_people_at_once_when_the_first_one_ends(notifying: Notifying) -> None:
    one, two = notifying.processes["one"], notifying.processes["two"]
    notifying.pause()
    one.run("one")
    notifying.simulation.pass_time(LASTS.total_seconds())
    two.run("two")
    assert notifying.team.titles == []
    two.end("two")
    one.end("one")
    two.run("two")
    assert notifying.team.titles == [PAUSED]


def test_a_process_that_waited_too_long_for_a_channel_leaves_the_others_to_the_next_process(
    notifying: Notifying,
) -> None:
    def hang(_title: str, _body: str) -> None:
        notifying.simulation.now += timedelta(seconds=2 * LEASE_SECONDS)
        notifying.processes["two"].run("two")
        raise NotSentError("timed out")

    notifying.pause()
    notifying.run()
    notifying.channels["team"] = hang
    notifying.simulation.pass_time(LASTS.total_seconds())
    notifying.processes["one"].channels = {"team": hang, "pager": notifying.pager.send}
    notifying.processes["two"].channels = {"team": notifying.team.send, "pager": notifying.pager.send}
    notifying.processes["one"].run("one")
    assert notifying.pager.titles == [PAUSED]


def test_a_channel_that_was_out_of_order_is_notified_of_an_outage_of_the_database_later(
    notifying: Notifying, tmp_path: Path
) -> None:
    with closing(Unreachable(f"sqlite:///{tmp_path}/notices.db")) as database:
        database.create()
        notifying.processes = {"one": notifying.process(database)}
        notifying.run()
        notifying.team.works = False
        with database.outage():
            notifying.run(3)
            notifying.team.works = True
            notifying.run(3)
    assert notifying.team.titles == notifying.pager.titles == ["The database does not answer"]


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


def test_an_outage_of_the_database_is_told_by_the_process_that_told_before(
    notifying: Notifying, tmp_path: Path
) -> None:
    with closing(Unreachable(f"sqlite:///{tmp_path}/notices.db")) as database:
        database.create()
        notifying.processes = {"one": notifying.process(database), "two": notifying.process(database)}
        notifying.run()
        with database.outage():
            notifying.run(4)
            assert len(notifying.team.received) == 1
        notifying.run(5)
    assert [notifying.team.titles[0], notifying.team.titles[1]] == [
        notifying.team.titles[0],
        f"Over: {notifying.team.titles[0]}",
    ]
    assert "database" in notifying.team.titles[0]


def test_the_end_of_an_outage_is_told_although_another_process_leads_by_then(
    notifying: Notifying, tmp_path: Path
) -> None:
    with closing(Unreachable(f"sqlite:///{tmp_path}/notices.db")) as database:
        database.create()
        notifying.processes = {"one": notifying.process(database), "two": notifying.process(database)}
        notifying.run()
        with database.outage():
            notifying.run(4)
        notifying.processes = dict(reversed(notifying.processes.items()))
        notifying.run(6)
    assert notifying.team.titles == ["The database does not answer", "Over: The database does not answer"]


def test_a_message_names_no_more_than_twenty_troubles(notifying: Notifying) -> None:
    for number in range(25):
        document = json.loads(order_document(order_id=str(number)))
        document["data"]["store_id"] = f"unknown-{number}"
        notifying.simulation.put(json.dumps(document))
    notifying.run(3)
    ((title, body),) = notifying.team.received
    assert title == "25 troubles need somebody"
    assert body.splitlines()[20:] == ["and 5 more"]
