"""What a dead process left in the journal settles its creates, and nothing else does."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from tests.services.simulation import Simulation
from worker.database import deliveries
from worker.domain.delivery import Change, Delivery, Step
from worker.errors import Unavailable
from worker.resilience.call_journal import CallJournal, JournalFile
from worker.runtime.steps import JournalReader, Repeated

CARRIERS = pytest.mark.parametrize("shop", ["34", "21", "17"], ids=["cervo", "borzo", "deliverit"])
AWAY = OperationalError("", None, Exception("the database is away"))


class Killed(BaseException):
    """The end of a process, as far as one can play it: nothing catches it, and what it held is let go."""


class Instead:
    """Something of the house one of whose methods does something else."""

    def __init__(self, real: Any, method: str, does: Callable[..., Any]) -> None:
        self._real, self._method, self._does = real, method, does

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        return partial(self._does, found) if name == self._method else found


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Simulation]:
    made = Simulation(tmp_path)
    yield made
    made.close()


def dies(*_: Any, **__: Any) -> Any:
    raise Killed


def book(street: Simulation) -> None:
    """Let a process take up what waits, and die of it."""
    with pytest.raises(Killed):
        street.work()


def before_sending(street: Simulation, carrier: str) -> None:
    codec = street.container.accounts.logged_in(carrier)
    street.container.replace_codec(carrier, Instead(codec, "book", dies))


def at_the_door(street: Simulation, _carrier: str) -> None:
    street.container.gateway = Instead(street.container.gateway, "send", dies)  # type: ignore[assignment]


def with_the_reply(street: Simulation, carrier: str) -> None:
    codec = street.container.accounts.logged_in(carrier)
    street.container.replace_codec(carrier, Instead(codec, "read_booking", dies))


def dead(street: Simulation, shop: str, where: Callable[[Simulation, str], None]) -> None:
    """Let a process die somewhere in a create, and start another."""
    street.place(store_id=shop)
    carrier, gateway = street.delivery().carrier or "", street.container.gateway
    where(street, carrier)
    book(street)
    street.container.gateway = gateway
    street.container.forget_services()


def replayed(street: Simulation) -> str:
    street.container.crash_recovery.recover()
    return street.status()


def pages(street: Simulation) -> list[Path]:
    return sorted(street.container.settings.journal_folder.iterdir())


# --- what follows from a page ---


@pytest.mark.fault("F-04")
@CARRIERS
def test_a_reply_that_nobody_could_read_any_more_is_read_from_the_journal(street: Simulation, shop: str) -> None:
    dead(street, shop, with_the_reply)
    assert street.delivery().attempts[0].state == "submitting"
    assert replayed(street) in {"created", "awaiting_confirmation"}
    assert (street.delivery().attempts[0].ref, pages(street)) == (street.ledger()[0][1], [])
    street.until(lambda it: it.status() == "delivered")
    assert len(street.ledger()) == 1
    assert "submit_unknown" not in street.told()


@pytest.mark.fault("F-02")
@CARRIERS
def test_what_was_never_sent_is_sent_by_the_next_process(street: Simulation, shop: str) -> None:
    dead(street, shop, before_sending)
    assert (replayed(street), street.delivery().attempts[0].state) == ("queued", "queued")
    assert (street.ledger(), pages(street)) == ([], [])
    street.until(lambda it: it.status() == "delivered")
    assert len(street.ledger()) == 1
    assert "submit_unknown" not in street.told()


@pytest.mark.fault("F-03")
@CARRIERS
def test_what_may_have_been_sent_and_brought_no_reply_stays_in_doubt(street: Simulation, shop: str) -> None:
    dead(street, shop, at_the_door)
    assert (replayed(street), street.delivery().attempts[0].state) == ("queued", "submitting")
    street.until(lambda it: it.status() == "submit_unknown")


def parked(street: Simulation) -> None:
    street.until(lambda it: it.delivery().attention == "outcome_unknown")
    assert street.delivery().attempts[0].awaiting_operator


@pytest.mark.parametrize(
    ("where", "status"), [(with_the_reply, "created"), (before_sending, "queued")], ids=["answered", "never sent"]
)
def test_a_journal_that_comes_back_late_takes_back_what_was_left_to_a_person(
    tmp_path: Path, where: Callable[[Simulation, str], None], status: str
) -> None:
    street = Simulation(tmp_path, PUBLIC_URL="")  # no callback tells
    dead(street, "34", where)
    parked(street)
    assert (replayed(street), street.delivery().attention) == (status, None)
    street.until(lambda it: it.status() == "delivered")
    assert len(street.ledger()) == 1
    street.close()


def test_the_journal_names_an_order_of_which_only_a_callback_was_heard(street: Simulation) -> None:
    dead(street, "34", with_the_reply)
    street.until(lambda it: it.status() == "courier_assigned")
    assert street.delivery().attempts[0].ref is None
    assert (replayed(street), street.delivery().attempts[0].ref) == ("courier_assigned", street.ledger()[0][1])


@pytest.mark.fault("F-22")
def test_what_the_database_could_not_take_is_stored_as_soon_as_it_is_back(street: Simulation) -> None:
    real = street.container.database

    def away_after_the_intent(persist: Callable[..., Any], function: Any, *args: Any) -> Any:
        if function is deliveries.update and any(each.attempts for each in real.read(deliveries.load, list(args[0]))):
            raise AWAY
        return persist(function, *args)

    street.place()
    street.container.database = Instead(real, "persist", away_after_the_intent)  # type: ignore[assignment]
    street.work()
    assert replayed(street) == "queued"
    street.container.database = real
    assert (replayed(street), pages(street)) == ("created", [])
    assert street.delivery().attempts[0].ref == street.ledger()[0][1]


def test_an_intent_whose_commit_nobody_heard_of_is_known_to_be_unsent(street: Simulation) -> None:
    """The connection broke with the commit's answer, and the repeated transaction found nothing to begin."""
    real = street.container.database

    def unheard(persist: Callable[..., Any], function: Any, *args: Any) -> Any:
        if function is deliveries.update:
            persist(function, *args)
        return persist(function, *args)

    street.place()
    street.container.database = Instead(real, "persist", unheard)  # type: ignore[assignment]
    street.work()
    street.container.database = real
    assert (street.delivery().attempts[0].state, street.ledger()) == ("submitting", [])
    assert (replayed(street), street.delivery().attempts[0].state) == ("queued", "queued")
    street.until(lambda it: it.status() == "delivered")
    assert len(street.ledger()) == 1


def test_a_login_that_fails_says_nothing_about_a_reply(street: Simulation) -> None:
    dead(street, "17", with_the_reply)

    def shut_out(_login: Any, _account: str) -> Any:
        raise Unavailable("no login")

    street.container.accounts = Instead(street.container.accounts, "logged_in", shut_out)  # type: ignore[assignment]
    assert (replayed(street), len(pages(street))) == ("queued", 1)
    street.container.forget_services()
    assert (replayed(street), pages(street)) == ("created", [])


def test_a_page_tells_nothing_of_an_attempt_that_was_begun_anew_since(street: Simulation) -> None:
    dead(street, "34", before_sending)
    (before,) = street.delivery().attempts

    def anew(it: Delivery) -> Change:
        return Change(it.with_attempt(replace(before, journal_file="another page")))

    street.decide(anew)
    replayed(street)
    assert street.delivery().attempts == (replace(before, journal_file="another page"),)


@pytest.mark.fault("F-05")
def test_a_page_that_is_replayed_twice_changes_nothing_more(street: Simulation) -> None:
    dead(street, "34", with_the_reply)
    (page,) = pages(street)
    kept = page.read_bytes()
    replayed(street)
    once = street.delivery()
    page.write_bytes(kept)
    replayed(street)
    assert street.delivery() == once


def test_a_page_does_not_raise_an_offer_that_was_denied_since(street: Simulation) -> None:
    street.place("offered_late", store_id="17")
    with_the_reply(street, "deliverit")
    book(street)
    street.container.forget_services()
    (page,) = pages(street)
    kept = page.read_bytes()
    assert replayed(street) == "awaiting_confirmation"
    page.write_bytes(kept)  # as a neighbour keeps it there for as long as its own call takes
    street.until(lambda it: it.delivery().attempts[0].state == "rejected")
    denied = street.delivery()
    replayed(street)
    assert (street.delivery(), "delivery.conflict" in street.told()) == (denied, False)


def test_a_bug_while_reading_a_reply_is_a_doubt_and_leaves_no_page(street: Simulation) -> None:
    dead(street, "34", with_the_reply)

    def breaks(*_: Any) -> Any:
        raise KeyError("a bug")

    codec = street.container.accounts.logged_in("cervo")
    street.container.replace_codec("cervo", Instead(codec, "read_booking", breaks))
    assert (replayed(street), pages(street)) == ("submit_unknown", [])


def test_a_page_that_is_no_page_is_thrown_away(street: Simulation) -> None:
    dead(street, "34", with_the_reply)
    (page,) = pages(street)
    page.write_bytes(b'[]\n{"outcomes": [[1, {}]]}\n')
    assert (replayed(street), pages(street)) == ("queued", [])


def test_a_page_that_somebody_writes_is_left_alone(street: Simulation) -> None:
    seen: list[str] = []
    real = street.container.gateway

    def meanwhile(send: Callable[..., Any], *what: Any, **how: Any) -> Any:
        seen.append(replayed(street))
        return send(*what, **how)

    street.container.gateway = Instead(real, "send", meanwhile)  # type: ignore[assignment]
    street.place()
    street.work()
    street.container.gateway = real
    assert (seen, street.status(), pages(street)) == (["queued"], "created", [])


# --- a disk that refuses ---


def test_a_create_goes_out_without_a_journal_where_there_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    street = Simulation(tmp_path, JOURNAL_FOLDER=str(tmp_path / "file" / "journal"))
    street.place()
    street.work()
    assert (street.status(), street.delivery().attempts[0].journal_file) == ("created", None)
    street.close()


def test_a_create_whose_page_cannot_be_written_names_none(street: Simulation, tmp_path: Path) -> None:
    """Otherwise the next process would take it for one that was never sent."""
    seen: list[str | None] = []
    real = street.container.gateway

    def send(found: Callable[..., Any], *what: Any, **how: Any) -> Any:
        seen.append(street.delivery().attempts[0].journal_file)
        return found(*what, **how)

    class FullDisk(CallJournal):
        @contextmanager
        def open(self, step: Step) -> Iterator[JournalFile]:
            full = os.open("/dev/full", os.O_WRONLY)
            with super().open(step) as page, JournalFile(tmp_path / page.name, full) as unwritable:
                yield unwritable

    street.container.journal = FullDisk(street.container.settings.journal_folder)
    street.container.gateway = Instead(real, "send", send)  # type: ignore[assignment]
    street.place()
    street.work()
    street.container.gateway = real
    assert (seen, street.status(), pages(street)) == ([None], "created", [])


# --- with a worker ---


@pytest.mark.parametrize("end", ["stop", "terminate"])
def test_a_worker_looks_into_the_journal_as_soon_as_it_starts(street: Simulation, end: str) -> None:
    dead(street, "34", with_the_reply)
    assert JournalReader in street.app.steps["worker"]
    step = JournalReader(None)
    step.start(None)
    getattr(step, end)(None)
    assert (street.status(), pages(street)) == ("created", [])


def test_what_goes_wrong_while_replaying_does_not_end_the_thread() -> None:
    asked = []

    def breaks() -> None:
        asked.append(1)
        loop.stop()
        raise PermissionError

    loop = Repeated(breaks)
    loop.run()
    assert asked == [1]
