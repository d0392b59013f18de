import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from structlog.testing import capture_logs

import worker.app
from schemas.status import AttentionReason, Cause, DeliveryStatus, Reason
from tests.web.edge import ENVIRONMENT, NOW, sample
from worker import cli, container
from worker.carriers.port import Booked, Observation, Raw, reference_of
from worker.config.settings import NO_REDIS, load
from worker.container import Container
from worker.database import accounts, deliveries, inbox, outbox
from worker.database.database import Database
from worker.domain import lifecycle
from worker.domain.delivery import Change, Step
from worker.domain.lifecycle.reopening import duplicate_id
from worker.errors import Refused, Uncertain
from worker.http.call import CallClass, Operation
from worker.local.demo.orders import MALFORMED, placed
from worker.local.supervisor import hold

NOBODY = "redis://127.0.0.1:1/0"


@dataclass
class Ended:
    """How a command ended: its code and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


class Operator:
    """The command line in the hands of a test, in a folder of its own, with settings from variables alone."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capfd = monkeypatch, capfd

    def set(self, **variables: str) -> None:
        for name, value in variables.items():
            self._monkeypatch.setenv(f"ORDER_SYNC_{name}", value)

    def __call__(self, *arguments: str, stdin: bytes = b"") -> Ended:
        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        self._capfd.readouterr()
        try:
            with capture_logs(), pytest.raises(SystemExit) as ended:
                cli.main(arguments)
        finally:
            container.close()
        sys.stdout.flush()
        captured = self._capfd.readouterr()
        code = ended.value.code
        return Ended(code if isinstance(code, int) else 0, captured.out, captured.err)


@pytest.fixture
def operator(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path, sqlite_url: str
) -> Operator:
    monkeypatch.chdir(tmp_path)
    made = Operator(monkeypatch, capfd)
    made.set(**{**ENVIRONMENT, "DATABASE_URL": sqlite_url, "REDIS_URL": NOBODY})
    return made


@pytest.fixture
def orders(operator: Operator, redis_url: str, prefix: str) -> Iterator[Callable[[], list[Any]]]:
    """Let the operator have a bus; give what stands on its orders stream."""
    stream = f"{prefix}orders"
    operator.set(REDIS_URL=redis_url, ORDERS_STREAM=stream, EVENTS_STREAM=f"{prefix}deliveries")
    with redis.Redis.from_url(redis_url) as client:
        yield lambda: [(key.decode(), fields[b"event"]) for key, fields in client.xrange(stream)]
        client.delete(stream)


@pytest.fixture
def house(operator: Operator) -> Iterator[Container]:  # noqa: ARG001 - its variables are the settings
    made = Container(load(), clock=lambda: NOW)
    worker.app.create_app(made.settings)
    yield made
    made.database.close()


@pytest.fixture
def delivery(house: Container) -> str:
    """Take an order in; give its delivery's id."""
    house.ingest.store_documents([("1-0", placed(sample("2011", "34")).encode())])
    return house.database.read(deliveries.find, "2011")[0].id


def submit(house: Container, outcome: Any) -> None:
    (found,) = house.database.read(deliveries.find, "2011")
    house.database.persist(
        deliveries.update, [found.id], lambda each: lifecycle.begin_booking(each, 7, "token", house.terms, NOW)
    )
    house.database.persist(
        deliveries.update, [found.id], lambda each: lifecycle.apply_create_outcome(each, 7, outcome, house.terms, NOW)
    )


def ask_for_a_person(house: Container, word: str) -> None:
    (found,) = house.database.read(deliveries.find, "2011")
    reasons = tuple(map(AttentionReason, word.split(", ")))
    house.database.persist(deliveries.update, [found.id], lambda each: Change(replace(each, attention_reasons=reasons)))


def write(name: str, text: str) -> str:
    Path(name).write_text(text)
    return name


# --- how it ends ---


def test_no_argument_and_an_unknown_command_are_wrong_usage(operator: Operator) -> None:
    assert [operator(*arguments).code for arguments in ((), ("nope",), ("show",), ("place", "a", "b"))] == [2] * 4


def test_help_is_no_failure(operator: Operator) -> None:
    ended = operator("--help")
    assert (ended.code, ended.err) == (0, "")


def test_settings_that_cannot_work_are_named_line_by_line(operator: Operator) -> None:
    operator.set(LOG_LEVEL="LOUD", TYPO="1")
    assert operator("deliveries") == Ended(
        2,
        "",
        "order-sync: the settings cannot work:\n"
        "log_level: Input should be 'DEBUG', 'INFO', 'WARNING' or 'ERROR'\n"
        "typo: there is no such setting\n",
    )


def test_a_database_without_tables_is_one_line_with_advice(operator: Operator) -> None:
    operator.set(DATABASE_URL="sqlite:///empty.db")
    ended = operator("deliveries")
    assert (ended.code, ended.out, ended.err.count("\n")) == (1, "", 1)
    assert ended.err == (
        "order-sync: OperationalError: (sqlite3.OperationalError) no such table: delivery "
        "(look at ORDER_SYNC_DATABASE_URL, or run `order-sync db upgrade`; --debug shows where)\n"
    )


def test_a_redis_that_is_away_is_one_line_with_advice(operator: Operator) -> None:
    ended = operator("place", write("order.json", '{"order_id": "2011"}'))
    assert (ended.code, ended.out, ended.err.count("\n")) == (1, "", 1)
    assert ended.err.endswith(
        "Connection refused. (look at ORDER_SYNC_REDIS_URL and ORDER_SYNC_BUS_URL; --debug shows where)\n"
    )


@pytest.mark.parametrize("arguments", [("place", "nowhere.json", "--debug"), ("--debug", "place", "nowhere.json")])
def test_debug_shows_where_it_failed(arguments: tuple[str, ...]) -> None:
    with pytest.raises(FileNotFoundError):
        cli.main(arguments)


def test_asking_for_help_imports_nothing_heavy() -> None:
    heavy = {"alembic", "celery", "flower", "httpx", "redis", "sqlalchemy", "starlette", "uvicorn", "worker.sandbox"}
    script = "import sys, worker.cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & heavy == set()


# --- place ---


def test_an_order_is_wrapped_and_put_on_the_bus(operator: Operator, orders: Callable[[], list[Any]]) -> None:
    ended = operator("place", write("order.json", '{"order_id": "São"}'))
    ((identity, document),) = orders()
    event = json.loads(document)
    assert ended == Ended(0, f"{identity}\n", "")
    assert len(event.pop("id")) == 36
    assert event == {
        "specversion": "1.0",
        "source": "platform",
        "type": "order.placed",
        "data": {"order_id": "São"},
    }


def test_a_cloud_event_is_put_on_the_bus_as_it_is(operator: Operator, orders: Callable[[], list[Any]]) -> None:
    document = placed(sample("2011", "17"))
    ended = operator("place", "-", stdin=document.encode())
    assert (ended.code, [json.loads(each) for _, each in orders()]) == (0, [json.loads(document)])


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"{", "standard input is not JSON: Expecting property name"),
        (b"", "standard input is not JSON: Expecting value"),
        (b"\xff\xff{}", "standard input is not JSON: 'utf-8' codec"),
        (b"[" * 100_000, "standard input is not JSON: maximum recursion depth"),
        (b"[1]", "standard input holds no JSON object"),
    ],
)
def test_what_is_no_object_is_not_put_on_the_bus(text: bytes, complaint: str, operator: Operator) -> None:
    ended = operator("place", "-", stdin=text)
    assert (ended.code, ended.out, ended.err.count("\n")) == (1, "", 1)
    assert ended.err.startswith(f"order-sync: {complaint}")


def test_what_would_become_a_dead_letter_is_not_put_on_the_bus(
    operator: Operator, orders: Callable[[], list[Any]]
) -> None:
    ended = operator("place", write("order.json", '{"order_id": "2011", "store_id": "34"}'))
    assert ended == Ended(
        1,
        "",
        "order-sync: order.json cannot be read: data: customer: Field required; dropoff: Field required; "
        "payment: Field required\n",
    )
    assert orders() == []


def test_a_file_that_is_not_there_is_named(operator: Operator) -> None:
    assert operator("place", "nowhere.json") == Ended(
        1,
        "",
        "order-sync: nowhere.json: No such file or directory (--debug shows where)\n",
    )


# --- deliveries ---

SUMMARY = {
    "order_id": "2011",
    "store_id": "34",
    "status": "queued",
    "detail": None,
    "reason": None,
    "carrier": "cervo",
    "carrier_ref": None,
    "next_step": "book",
    "next_run_at": "2026-11-21T17:00:00Z",
    "attention": None,
}


def test_deliveries_are_listed_as_json_or_as_a_table(operator: Operator, delivery: str) -> None:
    assert operator("deliveries", "--json").documents == [{"delivery_id": delivery, **SUMMARY}]
    table = operator("deliveries").out
    assert [word in table for word in ("2011", "queued", "cervo", "book")] == [True] * 4


def test_only_open_deliveries_are_listed_when_asked(operator: Operator, house: Container, delivery: str) -> None:
    assert operator("cancel", "2011") == Ended(0, "2011: cancelled\n", "")
    listed = [
        [each["delivery_id"] for each in operator("deliveries", "--json", *more).documents] for more in ([], ["--open"])
    ]
    assert (listed, house.database.read(deliveries.find, "2011")[0].final) == ([[delivery], []], True)


def test_a_delivery_is_shown_by_its_order_or_its_own_id(operator: Operator, house: Container, delivery: str) -> None:
    submit(house, Uncertain("no answer"))
    (by_order,), (by_id,) = (operator("show", name, "--json").documents for name in ("2011", delivery))
    assert by_order == by_id
    assert [(each["number"], each["carrier"], each["state"]) for each in by_order["attempts"]] == [
        (1, "cervo", "submit_unknown")
    ]
    assert [each["data"]["status"] for each in by_order["events"]] == ["queued", "submit_unknown"]
    lines = operator("show", "2011").lines
    assert lines[0].split() == ["delivery_id", delivery]
    assert lines[-1].split()[0] == "2"


@pytest.mark.parametrize("command", [("show",), ("cancel",), ("refresh",), ("resolve", "absent")])
def test_what_is_not_there_cannot_be_operated(command: tuple[str, ...], operator: Operator) -> None:
    name, *rest = command
    assert operator(name, "4711", *rest) == Ended(1, "", "order-sync: there is no delivery 4711\n")


@pytest.mark.usefixtures("delivery")
def test_what_is_piped_is_cut_off_nowhere(operator: Operator, house: Container) -> None:
    submit(house, Booked(Observation(status=DeliveryStatus.CREATED, raw=Raw("reply", "1"), ref="9" * 60)))
    ask_for_a_person(house, "order_changed_after_dispatch")
    heading, row = operator("deliveries").lines
    assert heading.split() == ["order", "status", "detail", "attention", "carrier", "ref", "next", "at"]
    assert row.split()[:5] == ["2011", "created", "order_changed_after_dispatch", "cervo", "9" * 60]


def test_what_is_over_and_waits_for_a_person_is_listed_until_somebody_attended(
    operator: Operator, house: Container, delivery: str
) -> None:
    operator("cancel", "2011")
    ask_for_a_person(house, "goods_with_courier")
    waiting = operator("deliveries", "--json", "--open").documents
    done = [operator("attended", "2011") for _ in range(2)]
    assert [(each["delivery_id"], each["attention"]) for each in waiting] == [(delivery, "goods_with_courier")]
    assert done == [
        Ended(0, "2011: cancelled\n", ""),
        Ended(1, "", "order-sync: nothing to do: the delivery is cancelled, its next step is none\n"),
    ]
    assert operator("deliveries", "--json", "--open").documents == []


@pytest.mark.usefixtures("delivery")
def test_a_doubt_needs_a_ruling_and_is_not_merely_attended(operator: Operator, house: Container) -> None:
    submit(house, Uncertain("no answer"))
    (found,) = house.database.read(deliveries.find, "2011")
    house.database.persist(
        deliveries.update, [found.id], lambda each: lifecycle.no_lookup_available(each, house.terms, NOW)
    )
    assert operator("attended", "2011") == Ended(
        1, "", "order-sync: an unknown outcome must be resolved: `order-sync resolve ID exists REF`, or `absent`\n"
    )
    assert house.database.read(deliveries.find, "2011")[0].attention == "outcome_unknown"


@pytest.mark.usefixtures("delivery")
def test_a_courier_too_many_is_shown_with_how_its_cancel_stands(operator: Operator, house: Container) -> None:
    submit(house, Booked(Observation(status=DeliveryStatus.CREATED, raw=Raw("reply", "1"), ref="99")))
    (found,), beside = house.database.read(deliveries.find, "2011"), duplicate_id("cervo", "100")
    for decide in (
        lambda each: lifecycle.record_duplicates(each, 7, ["100"], house.terms, NOW, Cause.RECONCILE),
        lambda each: lifecycle.begin_call(each, Step.CANCEL, house.terms, NOW),
        lambda each: lifecycle.apply_cancel_outcome(each, beside, Refused(Reason.UNKNOWN), house.terms, NOW),
    ):
        house.database.persist(deliveries.update, [found.id], decide)
    (shown,) = operator("show", "2011", "--json").documents
    assert [(each["ref"], each["our_tag"], each["surplus"], each["cancel"]) for each in shown["attempts"]] == [
        ("99", "00000000007", False, None),
        ("100", reference_of(beside), True, "refused"),
    ]
    lines = operator("show", "2011").lines
    assert [line.split(" ", 4)[-1] for line in lines[-2:]] == [
        "delivery.conflict created duplicate",
        "delivery.attention_required created surplus_courier",
    ]


@pytest.mark.usefixtures("delivery")
def test_what_holds_a_delivery_back_is_shown(operator: Operator, house: Container) -> None:
    house.database.write(accounts.pause, "cervo", "operator", "a holiday", NOW)
    submit(house, Uncertain("no answer"))
    told = operator("cancel", "2011", "--reason", "closed").out
    (shown,) = operator("show", "2011", "--json").documents
    assert told == "2011: submit_unknown a cancel is requested (cervo is paused)\n"
    assert (shown["cancel_wish"], shown["paused"]) == (
        "merchant",
        "by operator since 2026-11-21T17:00:00Z: a holiday",
    )


@pytest.mark.fault("F-50")
@pytest.mark.usefixtures("delivery")
def test_what_platforms_and_carriers_say_is_no_markup(operator: Operator, house: Container) -> None:
    submit(house, Uncertain("[/red] [bold]no[/bold] answer"))
    ended = operator("show", "2011")
    assert (ended.code, ended.err) == (0, "")


@pytest.mark.usefixtures("delivery")
def test_a_cancel_that_comes_too_late_says_so(operator: Operator) -> None:
    operator("cancel", "2011")
    assert operator("cancel", "2011") == Ended(
        1, "", "order-sync: nothing to do: the delivery is cancelled, its next step is none\n"
    )


@pytest.mark.usefixtures("delivery")
def test_a_refresh_makes_a_courier_order_due_at_once(operator: Operator, house: Container) -> None:
    seen = Observation(status=DeliveryStatus.CREATED, raw=Raw("reply", "1"), ref="99")
    submit(house, Booked(seen))
    before = house.database.read(deliveries.find, "2011")[0].next_run_at
    assert operator("refresh", "2011") == Ended(0, "2011: created\n", "")
    after = house.database.read(deliveries.find, "2011")[0].next_run_at
    assert (before is not None, before != after) == (True, True)


@pytest.mark.usefixtures("delivery")
def test_a_delivery_that_is_over_can_be_read_again(operator: Operator, house: Container) -> None:
    submit(house, Booked(Observation(status=DeliveryStatus.DELIVERED, raw=Raw("reply", "4"), ref="99")))
    assert operator("refresh", "2011") == Ended(0, "2011: delivered\n", "")
    (found,) = house.database.read(deliveries.find, "2011")
    assert (found.step, found.step_attempt_id) == (Step.TRACK, 7)


@pytest.mark.parametrize(
    "words",
    [("maybe",), ("exists",), ("absent", "99"), ("exists", "")],
    ids=["unknown", "no ref", "a ref", "empty ref"],
)
def test_resolving_needs_a_reference_just_when_the_order_exists(words: tuple[str, ...], operator: Operator) -> None:
    assert operator("resolve", "2011", *words) == Ended(
        2, "", "order-sync: say `resolve ID exists REF` or `resolve ID absent`\n"
    )


@pytest.mark.usefixtures("delivery")
def test_an_unknown_create_is_resolved_to_what_the_operator_saw(
    operator: Operator,
    house: Container,
) -> None:
    submit(house, Uncertain("no answer"))
    ended = operator("resolve", "2011", "exists", "99")
    (found,) = house.database.read(deliveries.find, "2011")
    assert (ended.code, ended.err, [attempt.ref for attempt in found.attempts]) == (0, "", ["99"])


# --- events ---


@pytest.mark.usefixtures("delivery")
def test_events_are_written_as_they_were_told(operator: Operator, house: Container) -> None:
    house.ingest.store_documents([("2-0", placed(sample("2012", "34")).encode())])
    told = [json.loads(body) for _, body in house.database.read(outbox.events)]
    assert operator("events").documents == told
    assert operator("events", "--order", "2012").documents == [told[1]]
    assert operator("events", "--order", "4711") == Ended(0, "", "")


@pytest.mark.usefixtures("delivery")
def test_events_are_written_from_a_time_on(operator: Operator, house: Container) -> None:
    later = Container(load(), clock=lambda: NOW + timedelta(minutes=5))
    later.ingest.store_documents([("2-0", placed(sample("2012", "34")).encode())])
    later.database.close()
    told = [json.loads(body) for _, body in house.database.read(outbox.events)]
    since = [operator("events", "--since", word).documents for word in ("2026-11-21T17:00:00Z", "2026-11-21T17:00:01Z")]
    assert since == [told, told[1:]]
    ended = operator("events", "--since", "7")
    assert (ended.code, ended.err) == (
        2,
        "order-sync: --since 7 is neither a time nor an age such as 30m, 2h or 1d\n",
    )


def test_the_events_of_an_order_without_a_delivery_are_found_by_its_id(operator: Operator, house: Container) -> None:
    skipped = placed(sample("2013", "34")).replace('"delivery_type": "delivery"', '"delivery_type": "pickup"')
    house.ingest.store_documents([("3-0", skipped.encode())])
    (told,) = operator("events", "--order", "2013").documents
    assert (told["type"], told["subject"]) == ("order.skipped", "2013")


# --- dead letters ---


@pytest.fixture
def letter(house: Container) -> str:
    house.ingest.store_documents([("1-0", MALFORMED.encode())])
    return str(house.database.read(inbox.dead_letters, 1)[0]["id"])


def test_dead_letters_are_listed_and_shown_as_they_came(operator: Operator, letter: str) -> None:
    (listed,) = operator("dead-letters", "--json").documents
    assert (listed["id"], listed["received_at"]) == (letter, "2026-11-21T17:00:00Z")
    assert sorted(listed) == ["id", "reason", "received_at"]
    assert operator("dead-letters").lines == [f"{letter} 2026-11-21T17:00:00Z {listed['reason']}"]
    assert operator("dead-letters", "show", letter) == Ended(0, MALFORMED + "\n", "")


def test_a_dead_letter_is_put_on_the_bus_again(
    operator: Operator, letter: str, orders: Callable[[], list[Any]]
) -> None:
    ended = operator("dead-letters", "replay", letter)
    assert (ended.code, [document for _, document in orders()]) == (0, [MALFORMED.encode()])
    assert operator("dead-letters").out == ""


def test_a_dead_letter_stays_when_the_bus_does_not_take_it(operator: Operator, letter: str) -> None:
    assert operator("dead-letters", "replay", letter).code == 1
    assert [each["id"] for each in operator("dead-letters", "--json").documents] == [letter]


def test_a_discarded_letter_is_gone(operator: Operator, letter: str) -> None:
    assert operator("dead-letters", "discard", letter) == Ended(0, "", "")
    for verb in ("show", "replay", "discard"):
        assert operator("dead-letters", verb, letter) == Ended(1, "", f"order-sync: there is no dead letter {letter}\n")


# --- stores ---


def test_stores_are_loaded_into_the_database_and_win_over_the_file(operator: Operator) -> None:
    directory = Path(ENVIRONMENT["STORES_FILE"]).read_text()
    write("mine.toml", directory.replace("Najd Grill", "Najd [/red] Grill"))
    assert operator("stores", "load", "mine.toml") == Ended(0, "3 stores loaded, 0 waiting orders let go\n", "")
    assert [each["name"] for each in operator("stores", "list", "--json").documents] == [
        "Pizzeria Odense",
        "Cantina da Mooca",
        "Najd [/red] Grill",
    ]
    assert operator("stores", "list").lines[2].startswith("34 Najd [/red] Grill Riyadh cervo")


def test_an_order_that_waits_for_its_store_is_let_go(operator: Operator) -> None:
    operator.set(STORES_FILE="nowhere.toml")
    house = Container(load(), clock=lambda: NOW)
    house.ingest.store_documents([("1-0", placed(sample("2011", "34")).encode())])
    house.database.close()
    ended = operator("stores", "load", ENVIRONMENT["STORES_FILE"])
    assert ended == Ended(0, "3 stores loaded, 1 waiting orders let go\n", "")


def test_a_faulty_directory_is_not_loaded(operator: Operator) -> None:
    write("mine.toml", "[stores.1]\nname = 'x'\n")
    ended = operator("stores", "load", "mine.toml")
    assert (ended.code, ended.err.splitlines()[1]) == (2, "mine.toml: stores.1.phone: must be set")
    assert len(operator("stores", "list").lines) == 3


# --- the database, and everything ---


def test_an_upgrade_makes_the_tables_and_again_does_nothing(operator: Operator) -> None:
    operator.set(DATABASE_URL="sqlite:///new/fresh.db")
    assert [operator("db", "upgrade") for _ in range(2)] == [Ended(0, "", "")] * 2
    made = Database("sqlite:///new/fresh.db")
    made.ping()
    made.close()


@pytest.fixture
def carriers(operator: Operator, sandbox: str) -> None:
    operator.set(**{f"CARRIERS__{name}__BASE_URL": sandbox for name in ("CERVO", "BORZO", "DELIVERIT")})
    operator.set(CARRIERS__BORZO__RATE="")


@pytest.mark.usefixtures("carriers", "orders")
def test_a_check_says_one_line_for_each_thing_that_works(operator: Operator) -> None:
    ended = operator("check")
    assert (ended.code, ended.err) == (0, "")
    assert [line.split(":")[0] for line in ended.lines] == [
        "ok      database",
        "ok      redis",
        "ok      journal",
        "ok      carrier borzo",
        "ok      carrier cervo",
        "ok      carrier deliverit",
    ]


@pytest.mark.quirk("O-10")
@pytest.mark.usefixtures("carriers", "orders")
def test_a_check_says_whether_the_platform_lets_us_in_and_what_we_see_there(operator: Operator) -> None:
    origin = os.environ["ORDER_SYNC_CARRIERS__CERVO__BASE_URL"]
    operator.set(ORDERING__BASE_URL=origin, ORDERING__API_KEY="sandbox-ordering-key")
    let_in = operator("check").lines[-1]
    operator.set(ORDERING__API_KEY="another key")
    shut_out = operator("check")
    assert let_in == (
        "ok      platform: orders of the source 'platform' are written back; "
        "no order is visible to this key: is it an administrator's or a business owner's?"
    )
    assert (shut_out.code, shut_out.lines[-1]) == (1, "failed  platform: Unavailable the platform answered 401")


@pytest.mark.usefixtures("carriers")
def test_a_check_names_everything_that_does_not_work(operator: Operator) -> None:
    operator.set(DATABASE_URL="sqlite:///empty.db", CARRIERS__BORZO__TOKEN="wrong")
    ended = operator("check")
    told = {line.split(":")[0]: line for line in ended.lines}
    assert ended.code == 1
    assert [word for word in told if word.startswith("failed")] == [
        "failed  database",
        "failed  redis",
        "failed  carrier borzo",
    ]
    assert "wrong" not in ended.out


@pytest.mark.quirk("B-34")
@pytest.mark.usefixtures("carriers", "orders")
def test_a_check_names_a_card_that_the_account_does_not_have(operator: Operator) -> None:
    operator.set(CARRIERS__BORZO__PAYMENT_METHOD="bank_card", CARRIERS__BORZO__BANK_CARD_ID="81")
    ended = operator("check")
    assert ended.code == 1
    assert "failed  carrier borzo: Refused bank_card_id: the account has no such card" in ended.lines


def test_a_check_names_a_journal_that_cannot_be_written(operator: Operator) -> None:
    operator.set(JOURNAL_FOLDER=write("taken", ""))
    ended = operator("check")
    assert (ended.code, ended.lines[2]) == (1, "failed  journal: FileExistsError [Errno 17] File exists: 'taken'")


def test_a_check_fails_at_a_redis_that_evicts(
    operator: Operator, embedded_redis: Callable[..., AbstractContextManager[str]]
) -> None:
    with embedded_redis() as url, redis.Redis.from_url(url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        operator.set(REDIS_URL=url)
        assert (
            operator("check")
            .lines[1]
            .startswith("failed  redis: SettingsError maxmemory-policy is allkeys-lru, it must be noeviction")
        )


@pytest.mark.parametrize("command", ["up", "demo"])
def test_a_second_fleet_does_not_start_in_the_folder_of_the_first(command: str, operator: Operator) -> None:
    Path("var").mkdir()
    Path("var/redis.url").write_text("of the first")
    operator.set(REDIS_URL="")
    with hold(Path(f"var/{command}.lock")):
        ended = operator(command)
    assert ended == Ended(1, "", f"order-sync: `order-sync {command}` runs in this folder already\n")
    assert Path("var/redis.url").read_text() == "of the first"


def test_a_check_without_a_redis_says_what_to_do(operator: Operator) -> None:
    operator.set(REDIS_URL="")
    ended = operator("check")
    assert (ended.code, ended.lines[1]) == (1, f"failed  redis: SettingsError {NO_REDIS}")


# --- carriers ---


def test_the_accounts_are_listed_with_what_holds_them_back(
    operator: Operator, house: Container, embedded_redis: Callable[..., AbstractContextManager[str]]
) -> None:
    house.database.write(accounts.pause, "borzo", "carrier", "HTTP 401", NOW)
    with embedded_redis() as url:
        operator.set(REDIS_URL=url)
        mine = Container(load())
        mine.breaker.report("cervo", CallClass.READ, good=0, bad=5)
        mine.rate_limiter.take("cervo", "1/second", Operation.PROBE, 0)
        listed, documents = operator("carriers"), operator("carriers", "--json").documents
    assert [line.split("  ")[:3] for line in listed.lines] == [
        ["borzo", "borzo", "paused by carrier since 2026-11-21T17:00:00Z: HTTP 401"],
        ["cervo", "cervo", "goes"],
        ["deliverit", "deliverit", "goes"],
    ]
    assert documents[0]["paused"] == {"since": "2026-11-21T17:00:00Z", "by": "carrier", "because": "HTTP 401"}
    assert documents[1]["breakers"]["read"]["state"] == "open"
    assert documents[1]["budget"] == [{"limit": 1, "seconds": 1, "used": 0}]
    assert documents[2] == {
        "carrier": "deliverit",
        "kind": "deliverit",
        "paused": None,
        "breakers": {kind: {"state": "closed", "wait": 0} for kind in ("create", "cancel", "read")},
        "budget": [],
        "unknown_words": [],
        "explained_words": {},
    }


def test_without_redis_the_accounts_are_listed_all_the_same(operator: Operator) -> None:
    ended = operator("carriers")
    assert (ended.code, ended.lines[1]) == (
        0,
        "cervo  cervo  goes  breakers unknown (Redis is away)  budget unknown (Redis is away)",
    )


def test_an_operator_pauses_an_account_and_resumes_it(operator: Operator, house: Container) -> None:
    paused = [operator("carriers", "pause", "cervo", "--reason", "a holiday") for _ in range(2)]
    assert [(each.code, each.out, each.err) for each in paused] == [
        (0, "cervo: paused\n", ""),
        (1, "", "order-sync: cervo is paused already\n"),
    ]
    assert [(pause.by, pause.because) for pause in house.database.read(accounts.paused).values()] == [
        ("operator", "a holiday")
    ]
    resumed = [operator("carriers", "resume", "cervo") for _ in range(2)]
    assert [(each.code, each.out, each.err) for each in resumed] == [
        (0, "cervo: resumed\n", ""),
        (1, "", "order-sync: cervo is not paused\n"),
    ]


def test_the_platforms_account_is_listed_and_paused_like_a_carriers(operator: Operator) -> None:
    operator.set(ORDERING__BASE_URL="http://127.0.0.1:9", ORDERING__API_KEY="a-key")
    paused = operator("carriers", "pause", "ordering")
    assert (paused.code, paused.out, paused.err) == (0, "ordering: paused\n", "")
    assert operator("carriers").lines[-1].startswith("ordering  ordering  paused by operator since ")


def test_an_account_that_is_not_there_is_named_beside_those_that_are(operator: Operator) -> None:
    ended = operator("carriers", "pause", "uber")
    assert (ended.code, ended.err) == (1, "order-sync: there is no account uber; there are borzo, cervo, deliverit\n")


@pytest.mark.quirk("C-32", "B-70")
def test_an_operator_says_what_an_unknown_word_means_and_takes_it_back(
    operator: Operator, house: Container, delivery: str
) -> None:
    seen = [Observation(None, Raw("order", "6"))]
    house.database.persist(
        deliveries.update, [delivery], lambda each: lifecycle.begin_booking(each, 7, "token", house.terms, NOW)
    )
    made = Booked(Observation(DeliveryStatus.CREATED, None, ref="99999"))
    house.database.persist(
        deliveries.update, [delivery], lambda each: lifecycle.apply_create_outcome(each, 7, made, house.terms, NOW)
    )
    house.database.persist(
        deliveries.update,
        [delivery],
        lambda each: lifecycle.apply_observations(each, 7, seen, house.terms, NOW, Cause.POLL),
    )
    shown = [operator("carriers").lines[1].split("  ")[-1]]
    mapped = operator("carriers", "map", "cervo", "order:6", "delivered")
    shown.append(operator("carriers").lines[1].split("  ")[-1])
    documents = operator("carriers", "--json").documents
    removed = [operator("carriers", "map", "cervo", "order:6", "--remove") for _ in range(2)]
    assert (mapped.code, mapped.out) == (0, "cervo: order:6 means delivered, deliveries changed: 1\n")
    assert house.database.read(deliveries.load, [delivery])[0].status == DeliveryStatus.DELIVERED
    assert shown == ["unknown words order:6", "explained words order:6 = delivered"]
    assert (documents[1]["unknown_words"], documents[1]["explained_words"]) == ([], {"order:6": "delivered"})
    assert [(each.code, each.out, each.err) for each in removed] == [
        (0, "cervo: order:6 means nothing any more\n", ""),
        (1, "", "order-sync: cervo: order:6 has no meaning\n"),
    ]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("cervo", "order:6", "queued"), "queued is no status that a carrier can report; there are awaiting_con"),
        (("cervo", "order:6", "submit_unknown"), "submit_unknown is no status that a carrier can report"),
        (("cervo", "order:6", "gone"), "gone is no status that a carrier can report"),
        (("cervo", "6", "delivered"), "6 is no carrier status: write it as `order-sync carriers` shows it"),
        (("cervo", "order:6"), "say what the status means, or --remove"),
        (("cervo", "order:6", "delivered", "--remove"), "say what the status means, or --remove"),
    ],
)
def test_a_word_is_explained_by_one_of_our_statuses(
    operator: Operator, arguments: tuple[str, ...], complaint: str
) -> None:
    ended = operator("carriers", "map", *arguments)
    assert (ended.code, ended.err.startswith(f"order-sync: {complaint}")) == (2, True)
