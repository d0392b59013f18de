"""Whatever receivers, processes and operators do, every event arrives, and those of a delivery in order."""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from schemas.events import EventType
from tests.services.webhook_receivers import BROKEN, MARIA, OK, Deliverers, ScriptedSender, first_times
from worker.database.database import Database
from worker.errors import Unavailable, Uncertain
from worker.http.call import Outcome, Reply
from worker.services.webhooks import LEASE_SECONDS, Webhooks

OUTCOMES: tuple[Outcome, ...] = (
    *[OK] * 20, *[BROKEN] * 4, Reply(302, b""), Reply(429, b"", {"retry-after": "30"}), Reply(410, b""),
    Unavailable("no connection (ConnectionRefusedError)"), Uncertain("no answer within 15 s"),
)  # fmt: skip
ALL, QUARANTINED = "all", "quarantined"
KEYS = "abcdefghij"
STEPS = 150


class Chaos:
    """Two processes that send to two subscribers, and everything that can happen to them."""

    def __init__(self, database: Database, seed: int) -> None:
        self.random = random.Random(seed)
        self.deliverers = Deliverers(database)
        self.senders = [ScriptedSender(), ScriptedSender()]
        self.processes: list[Webhooks] = [self.deliverers.process(each, self.random.choice) for each in self.senders]
        self.sequences: Counter[str] = Counter()
        self.wanted: dict[str, dict[str, list[int]]] = {name: defaultdict(list) for name in (ALL, QUARANTINED)}
        self.got: dict[str, list[tuple[str, int]]] = {name: [] for name in (ALL, QUARANTINED)}
        self.deliverers.add(name=ALL)
        self.deliverers.add(EventType.QUARANTINED, name=QUARANTINED)

    def run(self) -> None:
        steps = [self.happen] * 6 + [self.deliver] * 8 + [self.pass_time] * 4 + [self.operate] * 2
        for _ in range(STEPS):
            self.random.choice(steps)()
        self.recover()

    def happen(self) -> None:
        kind = self.random.choice([EventType.SKIPPED, EventType.QUARANTINED])
        events = []
        for key in self.random.choices(KEYS, k=self.random.randint(1, 12)):
            self.sequences[key] += 1
            events.append((key, self.sequences[key]))
            self.wanted[ALL][key].append(self.sequences[key])
            if kind is EventType.QUARANTINED:
                self.wanted[QUARANTINED][key].append(self.sequences[key])
        self.deliverers.happen(*events, kind=kind)

    def deliver(self) -> None:
        process, name = self.random.randrange(2), self.random.choice([ALL, QUARANTINED])
        sender, poison = self.senders[process], self.random.choice(KEYS)
        sender.dies_before_storing = self.random.random() < 0.2
        sender.answer = lambda key, _sequence: BROKEN if key == poison else self.random.choice(OUTCOMES)
        self._deliver(process, name)

    def _deliver(self, process: int, name: str) -> None:
        sender = self.senders[process]
        answer, before = sender.answer, len(sender.posts)
        handled: list[tuple[str, int]] = []

        def handle(key: str, sequence: int) -> Outcome:
            outcome = answer(key, sequence)
            # What was not answered may have been handled all the same.
            if outcome == OK or (isinstance(outcome, Uncertain) and self.random.random() < 0.5):
                handled.append((key, sequence))
            return outcome

        sender.answer = handle
        self.processes[process].deliver(name)
        assert {each.url for each in sender.posts[before:]} <= {f"https://{name}.example/hook"}
        self.got[name] += handled

    def pass_time(self) -> None:
        self.deliverers.pass_time(seconds=self.random.choice([1, 10, 70, 600, 4000]))

    def operate(self) -> None:
        operators, name = self.deliverers.subscribers, self.random.choice([ALL, QUARANTINED])
        actions: list[Callable[[], object]] = [
            lambda: operators.replay_order(name, f"order {self.random.choice(KEYS)}", MARIA),
            lambda: operators.replay_since(name, self.deliverers.now, MARIA),
            lambda: operators.retry(name, MARIA),
            lambda: operators.disable(name, MARIA),
            lambda: operators.enable(name, MARIA),
            lambda: operators.rotate(name, "", MARIA),
        ]
        self.random.choice(actions)()

    def recover(self) -> None:
        """Let the receivers accept everything, and let the sweep wake up what is due until nothing is."""
        for sender in self.senders:
            sender.answer, sender.dies_before_storing = lambda _key, _sequence: OK, False
        for name in (ALL, QUARANTINED):
            self.deliverers.subscribers.enable(name, MARIA)
        self.deliverers.pass_time(seconds=LEASE_SECONDS + 4000)
        while due := self.deliverers.due():
            for name in due:
                sender = self.senders[0]
                sender.answer = lambda _key, _sequence: OK
                self._deliver(0, name)
            self.deliverers.pass_time(seconds=1)


@pytest.fixture
def sqlite(sqlite_url: str) -> Iterator[Database]:
    with closing(Database(sqlite_url)) as database:
        yield database


@pytest.fixture
def postgres(postgres_url: str) -> Iterator[Database]:
    with closing(Database(postgres_url)) as database:
        yield database


def check(database: Database, seed: int) -> None:
    chaos = Chaos(database, seed)
    chaos.run()
    assert {name: first_times(got) for name, got in chaos.got.items()} == chaos.wanted
    assert [chaos.deliverers.blocked(name) for name in (ALL, QUARANTINED)] == [{}, {}]


@pytest.mark.fault("F-100")
@pytest.mark.parametrize("seed", range(8))
def test_every_event_arrives_and_those_of_a_delivery_in_order(sqlite: Database, seed: int) -> None:
    check(sqlite, seed)


def test_the_same_holds_on_postgresql(postgres: Database) -> None:
    check(postgres, 100)
