"""A subscriber gets every event at least once, those of a delivery in order, whatever its receiver does."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from standardwebhooks import Webhook
from structlog.testing import capture_logs

from schemas.events import EventType, event_id
from tests.services.webhook_receivers import BROKEN, MARIA, OK, SECRET, Deliverers, ScriptedSender, failing
from worker.database import event_feed, leases, subscribers
from worker.database.database import Database
from worker.domain.subscriber import BlockedKey
from worker.errors import Unavailable, Uncertain
from worker.http.call import Outcome, Reply
from worker.services.webhooks import LEASE_SECONDS

REFUSED, SILENT = Unavailable("no connection (ConnectionRefusedError)"), Uncertain("no answer within 15 s")


@pytest.fixture
def deliverers(database: Database) -> Deliverers:
    return Deliverers(database)


# --- what is sent -----------------------------------------------------------------------------------------------------


def test_a_subscriber_gets_the_events_that_come_up_after_it_was_added(deliverers: Deliverers) -> None:
    deliverers.happen(("a", 1))
    deliverers.add()
    assert deliverers.deliver() == []
    deliverers.happen(("a", 2), ("b", 1), ("a", 3))
    assert deliverers.deliver() == [("a", 2), ("b", 1), ("a", 3)]
    assert deliverers.deliver() == []
    found = deliverers.subscriber()
    assert (found.position, found.accepted, found.failed, found.accepted_at) == (4, 3, 0, deliverers.now)


def test_a_request_is_the_stored_event_signed_with_its_id(deliverers: Deliverers) -> None:
    deliverers.add()
    deliverers.happen(("a", 1))
    deliverers.deliver()
    ((post,), body) = deliverers.sender.posts, deliverers.feed.read(0).events[0].body
    headers = dict(post.headers)
    identity, at = event_id("a", 1), deliverers.now
    assert (post.url, post.body.decode()) == ("https://kitchen.example/hook", body)
    assert headers == {
        "Content-Type": "application/cloudevents+json; charset=utf-8",
        "User-Agent": "order-sync",
        "Accept-Encoding": "identity",
        "Connection": "close",
        "webhook-id": identity,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(SECRET).sign(identity, at, body),
    }


def test_only_events_of_the_wanted_types_are_sent(deliverers: Deliverers) -> None:
    deliverers.add(EventType.QUARANTINED)
    deliverers.happen(("a", 1), ("b", 1))
    deliverers.happen(("c", 1), kind=EventType.QUARANTINED)
    deliverers.happen(("d", 1))
    assert deliverers.deliver() == [("c", 1)]
    assert deliverers.subscriber().position == 4
    assert deliverers.due() == []


def test_a_backlog_is_sent_batch_after_batch(deliverers: Deliverers) -> None:
    deliverers.add()
    events = [(f"key {number % 7}", number) for number in range(350)]
    deliverers.happen(*events)
    assert sorted(deliverers.deliver()) == sorted(events)


# --- an event that fails ----------------------------------------------------------------------------------------------


@pytest.mark.fault("F-101")
def test_a_failing_event_holds_back_only_its_own_delivery(deliverers: Deliverers) -> None:
    deliverers.add()
    deliverers.happen(("a", 1), ("b", 1), ("a", 2), ("b", 2), ("a", 3))
    deliverers.sender.answer = failing(("a", 2))
    assert deliverers.deliver() == [("a", 1), ("b", 1), ("a", 2), ("b", 2)]
    assert (deliverers.subscriber().position, deliverers.blocked()) == (5, {"a": (3, "HTTP 500")})
    deliverers.happen(("a", 4), ("b", 3))
    assert deliverers.deliver() == [("b", 3)]
    deliverers.pass_time(seconds=6)
    deliverers.sender.answer = failing()
    assert deliverers.due() == ["kitchen"]
    assert deliverers.deliver() == [("a", 2), ("a", 3), ("a", 4)]
    assert (deliverers.blocked(), deliverers.due()) == ({}, [])


def test_a_failing_event_is_tried_again_less_and_less_often(deliverers: Deliverers) -> None:
    deliverers.add()
    deliverers.happen(("a", 1))
    deliverers.sender.answer = failing(("a", 1))
    waits: list[float] = []
    for _ in range(12):
        assert deliverers.deliver() == [("a", 1)]
        (row,) = deliverers.database.read(subscribers.blocked, "kitchen")
        waits.append((row.try_at - deliverers.now).total_seconds())
        deliverers.now = row.try_at
    assert waits[:4] == [5, 5, 5, 7.5]
    assert waits == sorted(waits)
    assert waits[-1] == pytest.approx(waits[-2] * 1.5)


@pytest.mark.parametrize(
    "outcome", [Reply(301, b""), Reply(302, b""), Reply(404, b""), Reply(503, b""), Reply(100, b"")]
)
def test_only_2xx_accepts_an_event(deliverers: Deliverers, outcome: Reply) -> None:
    deliverers.add()
    deliverers.happen(("a", 1))
    deliverers.sender.answer = failing(("a", 1), outcome=outcome)
    deliverers.deliver()
    assert deliverers.blocked() == {"a": (1, f"HTTP {outcome.status}")}


def test_an_operator_may_skip_the_event_that_fails(deliverers: Deliverers) -> None:
    deliverers.add()
    deliverers.happen(("a", 1), ("a", 2))
    deliverers.sender.answer = failing(("a", 1))
    deliverers.deliver()
    assert deliverers.subscribers.skip("kitchen", "order a", MARIA) == [1]
    assert deliverers.subscribers.skip("kitchen", "order a", MARIA) == []
    assert deliverers.deliver() == [("a", 2)]
    assert deliverers.blocked() == {}


# --- a receiver that fails --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [REFUSED, Reply(429, b""), Reply(503, b"", {"retry-after": "1"})])
def test_a_receiver_that_cannot_be_reached_is_left_alone_and_no_key_is_blocked(
    deliverers: Deliverers, outcome: Reply | Unavailable
) -> None:
    deliverers.add()
    deliverers.happen(*((str(number), 1) for number in range(50)))
    deliverers.sender.answer = lambda _key, _sequence: outcome
    assert deliverers.deliver() == [("0", 1)]
    assert deliverers.deliver() == []
    assert (deliverers.blocked(), deliverers.subscriber().position, deliverers.due()) == ({}, 0, [])


@pytest.mark.parametrize("outcome", [BROKEN, SILENT])
def test_a_receiver_that_fails_for_every_event_blocks_only_a_few_keys(
    deliverers: Deliverers, outcome: Reply | Uncertain
) -> None:
    deliverers.add()
    deliverers.sender.answer = lambda _key, _sequence: outcome
    for number in range(50):
        deliverers.happen((str(number), 1))
        deliverers.deliver()
    assert len(deliverers.blocked()) == 4
    assert deliverers.subscriber().try_at == deliverers.now + timedelta(seconds=5)


def test_a_receiver_that_was_left_alone_is_tried_with_one_event_and_then_gets_all(deliverers: Deliverers) -> None:
    deliverers.add()
    events = [(str(number), 1) for number in range(50)]
    deliverers.happen(*events)
    deliverers.sender.answer = lambda _key, _sequence: SILENT
    deliverers.deliver()
    deliverers.pass_time(seconds=6)
    assert deliverers.due() == ["kitchen"]
    assert deliverers.deliver() == [("0", 1)]
    deliverers.pass_time(minutes=10)
    deliverers.sender.answer = failing()
    assert deliverers.deliver() == events
    assert (deliverers.subscriber().failing_since, deliverers.subscriber().try_at) == (None, None)


def test_events_of_the_same_delivery_stay_in_order_when_the_receiver_comes_back(deliverers: Deliverers) -> None:
    deliverers.add()
    events = [(key, sequence) for sequence in (1, 2, 3) for key in ("a", "b", "c")]
    deliverers.happen(*events)
    deliverers.sender.answer = failing(("b", 2), outcome=REFUSED)
    deliverers.deliver()
    deliverers.sender.answer = failing()
    for _ in range(3):
        deliverers.pass_time(hours=1)
        deliverers.deliver()
    for key in ("a", "b", "c"):
        first_times = list(dict.fromkeys(sequence for sent, sequence in deliverers.sender.sent if sent == key))
        assert first_times == [1, 2, 3]


@pytest.mark.parametrize(("wanted", "wait"), [("120", 120), ("86400", 3600), ("0", 5), ("soon", 5)])
def test_a_receiver_may_say_when_it_wants_the_next_request_within_an_hour(
    deliverers: Deliverers, wanted: str, wait: int
) -> None:
    deliverers.add()
    deliverers.happen(("a", 1))
    deliverers.sender.answer = failing(("a", 1), outcome=Reply(429, b"", {"retry-after": wanted}))
    deliverers.deliver()
    assert deliverers.subscriber().try_at == deliverers.now + timedelta(seconds=wait)


# --- the end of a receiver --------------------------------------------------------------------------------------------


@pytest.mark.fault("F-101")
def test_a_receiver_that_accepts_nothing_for_a_day_is_disabled_and_continues_without_a_gap(
    deliverers: Deliverers,
) -> None:
    deliverers.add()
    deliverers.happen(("a", 1), ("b", 1))
    deliverers.sender.answer = lambda _key, _sequence: REFUSED
    began = deliverers.now
    with capture_logs() as logs:
        while deliverers.subscriber().disabled_at is None:
            deliverers.deliver()
            deliverers.happen((str(deliverers.now), 1))
            deliverers.pass_time(minutes=15)
    assert timedelta(days=1) <= deliverers.now - began < timedelta(days=1, hours=1)
    because = "it has accepted nothing for a day (no connection (ConnectionRefusedError))"
    assert deliverers.subscriber().disabled_because == because
    assert [(each["event"], each["log_level"]) for each in logs] == [
        ("webhook.failed", "warning"),
        ("webhook.disabled", "error"),
    ]
    assert (deliverers.due(), deliverers.deliver()) == ([], [])
    deliverers.sender.answer = failing()
    assert deliverers.subscribers.enable("kitchen", MARIA)
    sent = deliverers.deliver()
    assert sent == [(each.key, each.sequence) for each in deliverers.feed.read(0, limit=1000).events]
    assert not deliverers.subscribers.enable("kitchen", MARIA)


def test_a_receiver_that_is_gone_is_disabled_at_once(deliverers: Deliverers) -> None:
    deliverers.add()
    deliverers.happen(("a", 1), ("b", 1))
    deliverers.sender.answer = failing(("a", 1), outcome=Reply(410, b""))
    assert deliverers.deliver() == [("a", 1)]
    assert deliverers.subscriber().disabled_because == "HTTP 410: the receiver is gone"
    deliverers.sender.answer = failing()
    deliverers.subscribers.enable("kitchen", MARIA)
    assert deliverers.deliver() == [("a", 1), ("b", 1)]


# --- several processes ------------------------------------------------------------------------------------------------


def test_a_second_process_sends_nothing_while_the_first_one_has_the_lease(deliverers: Deliverers) -> None:
    deliverers.add()
    deliverers.happen(("a", 1))
    lease = f"{subscribers.LEASE_PREFIX}kitchen"
    deliverers.database.write(leases.take, lease, "another process", deliverers.now, LEASE_SECONDS)
    assert (deliverers.due(), deliverers.deliver()) == ([], [])
    deliverers.pass_time(seconds=LEASE_SECONDS + 1)
    assert deliverers.due() == ["kitchen"]
    assert deliverers.deliver() == [("a", 1)]


@pytest.mark.fault("F-100")
def test_a_process_that_dies_before_it_stores_the_answers_repeats_the_events(deliverers: Deliverers) -> None:
    deliverers.add()
    deliverers.happen(("a", 1), ("a", 2))
    deliverers.sender.dies_before_storing = True
    deliverers.deliver()
    ids = [dict(each.headers)["webhook-id"] for each in deliverers.sender.posts]
    deliverers.pass_time(seconds=LEASE_SECONDS + 1)
    deliverers.sender.dies_before_storing = False
    assert deliverers.deliver() == [("a", 1), ("a", 2)]
    assert [dict(each.headers)["webhook-id"] for each in deliverers.sender.posts] == ids * 2


@pytest.mark.fault("F-100")
def test_answers_that_come_after_the_lease_was_lost_are_not_stored(deliverers: Deliverers) -> None:
    deliverers.add()
    deliverers.happen(("a", 1), ("b", 1))
    other = deliverers.process(ScriptedSender())

    def slowly(key: str, _sequence: int) -> Reply:
        if key == "a":
            deliverers.pass_time(seconds=LEASE_SECONDS + 1)
            other.deliver("kitchen")
        return BROKEN

    deliverers.sender.answer = slowly
    deliverers.deliver()
    assert (deliverers.subscriber().accepted, deliverers.subscriber().failed, deliverers.blocked()) == (2, 0, {})


@pytest.mark.fault("F-104")
@pytest.mark.parametrize("action", ["remove", "disable"])
def test_a_removed_or_disabled_subscriber_gets_no_further_batch(deliverers: Deliverers, action: str) -> None:
    deliverers.add()
    deliverers.happen(*((f"key {number}", 1) for number in range(150)))

    def end(_key: str, _sequence: int) -> Reply:
        getattr(deliverers.subscribers, action)("kitchen", MARIA)
        return OK

    deliverers.sender.answer = end
    assert len(deliverers.deliver()) == 100


# --- events again -----------------------------------------------------------------------------------------------------


def test_one_order_is_sent_again_in_order_and_new_events_follow(deliverers: Deliverers) -> None:
    deliverers.add()
    deliverers.happen(("a", 1), ("b", 1), ("a", 2))
    deliverers.deliver()
    assert deliverers.subscribers.replay_order("kitchen", "order a", MARIA) == 2
    assert deliverers.queue.sent == [("webhooks.deliver", ["kitchen"])]
    deliverers.happen(("a", 3))
    assert deliverers.deliver() == [("a", 1), ("a", 2), ("a", 3)]
    assert deliverers.blocked() == {}


def test_all_events_since_a_time_are_sent_again(deliverers: Deliverers) -> None:
    deliverers.add()
    deliverers.happen(("a", 1))
    deliverers.pass_time(minutes=2)
    since = deliverers.now
    deliverers.happen(("b", 1), ("a", 2))
    deliverers.deliver()
    assert deliverers.subscribers.replay_since("kitchen", since, MARIA) == 1
    assert deliverers.deliver() == [("b", 1), ("a", 2)]


def test_what_failed_is_sent_again_at_once(deliverers: Deliverers) -> None:
    deliverers.add()
    deliverers.happen(("a", 1), ("b", 1))
    deliverers.sender.answer = failing(("a", 1))
    deliverers.deliver()
    deliverers.sender.answer = failing()
    assert (deliverers.deliver(), deliverers.subscribers.retry("kitchen", MARIA)) == ([], 1)
    assert deliverers.deliver() == [("a", 1)]


@pytest.mark.fault("F-104")
def test_a_replay_that_an_operator_asks_for_during_a_batch_is_not_lost(deliverers: Deliverers) -> None:
    deliverers.add()
    deliverers.happen(("a", 1), ("a", 2), ("b", 1))
    deliverers.deliver()
    deliverers.happen(("c", 1), ("a", 3))
    operators = deliverers.subscribers
    requests: Iterator[Callable[[], object]] = iter(
        [
            lambda: operators.replay_order("kitchen", "order a", MARIA),
            lambda: operators.replay_since("kitchen", deliverers.now, MARIA),
        ]
    )

    def answer(_key: str, _sequence: int) -> Reply:
        request = next(requests, None)
        if request is not None:
            request()
        return OK

    deliverers.sender.answer = answer
    sent = deliverers.deliver()
    assert sent[:2] == [("c", 1), ("a", 3)]
    assert {*sent[2:]} == {("a", 1), ("a", 2), ("a", 3), ("b", 1), ("c", 1)}
    assert deliverers.blocked() == {}


@pytest.mark.fault("F-104")
def test_a_replay_during_a_batch_also_sends_the_events_before_one_that_fails(deliverers: Deliverers) -> None:
    deliverers.add()
    deliverers.happen(("a", 1))
    deliverers.deliver()
    deliverers.happen(("a", 2), ("b", 1))

    def replay_and_refuse(key: str, _sequence: int) -> Outcome:
        if key == "a":
            deliverers.subscribers.replay_since("kitchen", deliverers.now, MARIA)
            deliverers.sender.answer = failing()
        return BROKEN if key == "a" else OK

    deliverers.sender.answer = replay_and_refuse
    assert deliverers.deliver() == [("a", 2), ("b", 1), ("a", 1), ("b", 1), ("a", 2)]


def test_an_event_that_fails_beyond_the_cursor_may_be_skipped(deliverers: Deliverers) -> None:
    deliverers.add()
    deliverers.happen(("a", 1), ("b", 1), ("a", 2))
    refused = BlockedKey("b", 2, deliverers.now, deliverers.now, "HTTP 500")  # as after a batch that was cut short
    deliverers.database.write(subscribers.block, "kitchen", refused)
    assert deliverers.subscribers.skip("kitchen", "order b", MARIA) == [1]
    deliverers.sender.answer = failing()
    assert deliverers.deliver() == [("a", 1), ("a", 2)]


@pytest.mark.fault("F-104")
def test_answers_for_a_subscriber_that_was_removed_do_not_count_for_a_new_one(deliverers: Deliverers) -> None:
    deliverers.add()
    deliverers.happen(("a", 1))

    def remove_and_add(_key: str, _sequence: int) -> Reply:
        deliverers.subscribers.remove("kitchen", MARIA)
        deliverers.add()
        return Reply(410, b"")

    deliverers.sender.answer = remove_and_add
    deliverers.deliver()
    deliverers.happen(("a", 2))
    deliverers.sender.answer = failing()
    assert deliverers.deliver() == [("a", 2)]
    assert deliverers.subscriber().disabled_at is None


def test_nothing_is_replayed_to_a_subscriber_that_is_disabled_or_does_not_exist(deliverers: Deliverers) -> None:
    deliverers.add()
    deliverers.subscribers.disable("kitchen", MARIA)
    for name in ("kitchen", "nobody"):
        assert deliverers.subscribers.replay_order(name, "order a", MARIA) is None
        assert deliverers.subscribers.replay_since(name, deliverers.now, MARIA) is None
        assert deliverers.subscribers.retry(name, MARIA) is None


# --- secrets ----------------------------------------------------------------------------------------------------------


def test_during_a_rotation_an_event_is_signed_with_both_secrets(deliverers: Deliverers) -> None:
    deliverers.add()
    new = deliverers.subscribers.rotate("kitchen", "", MARIA)
    assert new is not None
    deliverers.happen(("a", 1))
    deliverers.deliver()
    assert deliverers.subscribers.end_rotation("kitchen", MARIA)
    assert not deliverers.subscribers.end_rotation("kitchen", MARIA)
    deliverers.happen(("a", 2))
    deliverers.deliver()
    verified = []
    for post in deliverers.sender.posts:
        headers, at = dict(post.headers), deliverers.now
        valid = headers["webhook-signature"].split(" ")
        verified.append(
            [Webhook(key).sign(headers["webhook-id"], at, post.body.decode()) in valid for key in (new, SECRET)]
        )
    assert verified == [[True, True], [True, False]]
    assert new not in repr(deliverers.sender.posts)


# --- deleted events ---------------------------------------------------------------------------------------------------


@pytest.mark.fault("F-105")
def test_a_subscriber_whose_next_events_were_deleted_is_disabled_and_not_silently_continued(
    deliverers: Deliverers,
) -> None:
    deliverers.add()
    deliverers.happen(("a", 1), ("a", 2))
    deliverers.database.write(event_feed.record_deleted, 1)
    assert deliverers.deliver() == []
    disabled = deliverers.subscriber()
    assert (disabled.disabled_because, deliverers.subscribers.missing_before(disabled)) == (
        "events after this position were deleted",
        1,
    )
    assert deliverers.subscribers.enable("kitchen", MARIA)
    assert deliverers.deliver() == [("a", 2)]
