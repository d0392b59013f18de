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
def simulation(tmp_path: Path) -> Iterator[Simulation]:
    made = Simulation(tmp_path)
    yield made
    made.close()


def dies(*_: Any, **__: Any) -> Any:
    raise Killed


def book(simulation: Simulation) -> None:
    """Let a process take up what waits, and die of it."""
    with pytest.raises(Killed):
        simulation.work()


def before_sending(simulation: Simulation, carrier: str) -> None:
    codec = simulation.container.accounts.logged_in(carrier)
    simulation.container.replace_codec(carrier, Instead(codec, "book", dies))


def at_the_door(simulation: Simulation, _carrier: str) -> None:
    simulation.container.gateway = Instead(simulation.container.gateway, "send", dies)  # type: ignore[assignment]


def with_the_reply(simulation: Simulation, carrier: str) -> None:
    codec = simulation.container.accounts.logged_in(carrier)
    simulation.container.replace_codec(carrier, Instead(codec, "read_booking", dies))


def dead(simulation: Simulation, shop: str, where: Callable[[Simulation, str], None]) -> None:
    """Let a process die somewhere in a create, and start another."""
    simulation.place(store_id=shop)
    carrier, gateway = simulation.delivery().carrier or "", simulation.container.gateway
    where(simulation, carrier)
    book(simulation)
    simulation.container.gateway = gateway
    simulation.container.forget_services()


def replayed(simulation: Simulation) -> str:
    simulation.container.crash_recovery.recover()
    return simulation.status()


def pages(simulation: Simulation) -> list[Path]:
    return sorted(simulation.container.settings.journal_folder.iterdir())


# --- what follows from a page ---


@pytest.mark.fault("F-04")
@CARRIERS
def test_a_reply_that_nobody_could_read_any_more_is_read_from_the_journal(simulation: Simulation, shop: str) -> None:
    dead(simulation, shop, with_the_reply)
    assert simulation.delivery().attempts[0].state == "submitting"
    assert replayed(simulation) in {"created", "awaiting_confirmation"}
    assert (simulation.delivery().attempts[0].ref, pages(simulation)) == (simulation.ledger()[0][1], [])
    simulation.until(lambda it: it.status() == "delivered")
    assert len(simulation.ledger()) == 1
    assert "submit_unknown" not in simulation.published()


@pytest.mark.fault("F-02")
@CARRIERS
def test_what_was_never_sent_is_sent_by_the_next_process(simulation: Simulation, shop: str) -> None:
    dead(simulation, shop, before_sending)
    assert (replayed(simulation), simulation.delivery().attempts[0].state) == ("queued", "queued")
    assert (simulation.ledger(), pages(simulation)) == ([], [])
    simulation.until(lambda it: it.status() == "delivered")
    assert len(simulation.ledger()) == 1
    assert "submit_unknown" not in simulation.published()


@pytest.mark.fault("F-03")
@CARRIERS
def test_what_may_have_been_sent_and_brought_no_reply_stays_in_doubt(simulation: Simulation, shop: str) -> None:
    dead(simulation, shop, at_the_door)
    assert (replayed(simulation), simulation.delivery().attempts[0].state) == ("queued", "submitting")
    simulation.until(lambda it: it.status() == "submit_unknown")


def parked(simulation: Simulation) -> None:
    simulation.until(lambda it: it.delivery().attention == "outcome_unknown")
    assert simulation.delivery().attempts[0].awaiting_operator


@pytest.mark.parametrize(
    ("where", "status"), [(with_the_reply, "created"), (before_sending, "queued")], ids=["answered", "never sent"]
)
def test_a_journal_that_comes_back_late_takes_back_what_was_left_to_a_person(
    tmp_path: Path, where: Callable[[Simulation, str], None], status: str
) -> None:
    simulation = Simulation(tmp_path, PUBLIC_URL="")  # no callback tells
    dead(simulation, "34", where)
    parked(simulation)
    assert (replayed(simulation), simulation.delivery().attention) == (status, None)
    simulation.until(lambda it: it.status() == "delivered")
    assert len(simulation.ledger()) == 1
    simulation.close()


def test_the_journal_names_an_order_of_which_only_a_callback_was_heard(simulation: Simulation) -> None:
    dead(simulation, "34", with_the_reply)
    simulation.until(lambda it: it.status() == "courier_assigned")
    assert simulation.delivery().attempts[0].ref is None
    assert (replayed(simulation), simulation.delivery().attempts[0].ref) == (
        "courier_assigned",
        simulation.ledger()[0][1],
    )


@pytest.mark.fault("F-22")
def test_what_the_database_could_not_take_is_stored_as_soon_as_it_is_back(simulation: Simulation) -> None:
    real = simulation.container.database

    def away_after_the_intent(persist: Callable[..., Any], function: Any, *args: Any) -> Any:
        if function is deliveries.update and any(each.attempts for each in real.read(deliveries.load, list(args[0]))):
            raise AWAY
        return persist(function, *args)

    simulation.place()
    simulation.container.database = Instead(real, "persist", away_after_the_intent)  # type: ignore[assignment]
    simulation.work()
    assert replayed(simulation) == "queued"
    simulation.container.database = real
    assert (replayed(simulation), pages(simulation)) == ("created", [])
    assert simulation.delivery().attempts[0].ref == simulation.ledger()[0][1]


def test_an_intent_whose_commit_nobody_heard_of_is_known_to_be_unsent(simulation: Simulation) -> None:
    """The connection broke with the commit's answer, and the repeated transaction found nothing to begin."""
    real = simulation.container.database

    def unheard(persist: Callable[..., Any], function: Any, *args: Any) -> Any:
        if function is deliveries.update:
            persist(function, *args)
        return persist(function, *args)

    simulation.place()
    simulation.container.database = Instead(real, "persist", unheard)  # type: ignore[assignment]
    simulation.work()
    simulation.container.database = real
    assert (simulation.delivery().attempts[0].state, simulation.ledger()) == ("submitting", [])
    assert (replayed(simulation), simulation.delivery().attempts[0].state) == ("queued", "queued")
    simulation.until(lambda it: it.status() == "delivered")
    assert len(simulation.ledger()) == 1


def test_a_login_that_fails_says_nothing_about_a_reply(simulation: Simulation) -> None:
    dead(simulation, "17", with_the_reply)

    def shut_out(_login: Any, _account: str) -> Any:
        raise Unavailable("no login")

    simulation.container.accounts = Instead(simulation.container.accounts, "logged_in", shut_out)  # type: ignore[assignment]
    assert (replayed(simulation), len(pages(simulation))) == ("queued", 1)
    simulation.container.forget_services()
    assert (replayed(simulation), pages(simulation)) == ("created", [])


def test_a_page_tells_nothing_of_an_attempt_that_was_begun_anew_since(simulation: Simulation) -> None:
    dead(simulation, "34", before_sending)
    (before,) = simulation.delivery().attempts

    def anew(it: Delivery) -> Change:
        return Change(it.with_attempt(replace(before, journal_file="another page")))

    simulation.decide(anew)
    replayed(simulation)
    assert simulation.delivery().attempts == (replace(before, journal_file="another page"),)


@pytest.mark.fault("F-05")
def test_a_page_that_is_replayed_twice_changes_nothing_more(simulation: Simulation) -> None:
    dead(simulation, "34", with_the_reply)
    (page,) = pages(simulation)
    kept = page.read_bytes()
    replayed(simulation)
    once = simulation.delivery()
    page.write_bytes(kept)
    replayed(simulation)
    assert simulation.delivery() == once


def test_a_page_does_not_raise_an_offer_that_was_denied_since(simulation: Simulation) -> None:
    simulation.place("offered_late", store_id="17")
    with_the_reply(simulation, "deliverit")
    book(simulation)
    simulation.container.forget_services()
    (page,) = pages(simulation)
    kept = page.read_bytes()
    assert replayed(simulation) == "awaiting_confirmation"
    page.write_bytes(kept)  # as a neighbour keeps it there for as long as its own call takes
    simulation.until(lambda it: it.delivery().attempts[0].state == "rejected")
    denied = simulation.delivery()
    replayed(simulation)
    assert (simulation.delivery(), "delivery.conflict" in simulation.published()) == (denied, False)


def test_a_bug_while_reading_a_reply_is_a_doubt_and_leaves_no_page(simulation: Simulation) -> None:
    dead(simulation, "34", with_the_reply)

    def breaks(*_: Any) -> Any:
        raise KeyError("a bug")

    codec = simulation.container.accounts.logged_in("cervo")
    simulation.container.replace_codec("cervo", Instead(codec, "read_booking", breaks))
    assert (replayed(simulation), pages(simulation)) == ("submit_unknown", [])


def test_a_page_that_is_no_page_is_thrown_away(simulation: Simulation) -> None:
    dead(simulation, "34", with_the_reply)
    (page,) = pages(simulation)
    page.write_bytes(b'[]\n{"outcomes": [[1, {}]]}\n')
    assert (replayed(simulation), pages(simulation)) == ("queued", [])


def test_a_page_that_somebody_writes_is_left_alone(simulation: Simulation) -> None:
    seen: list[str] = []
    real = simulation.container.gateway

    def meanwhile(send: Callable[..., Any], *what: Any, **how: Any) -> Any:
        seen.append(replayed(simulation))
        return send(*what, **how)

    simulation.container.gateway = Instead(real, "send", meanwhile)  # type: ignore[assignment]
    simulation.place()
    simulation.work()
    simulation.container.gateway = real
    assert (seen, simulation.status(), pages(simulation)) == (["queued"], "created", [])


# --- a disk that refuses ---


def test_a_create_goes_out_without_a_journal_where_there_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    simulation = Simulation(tmp_path, JOURNAL_FOLDER=str(tmp_path / "file" / "journal"))
    simulation.place()
    simulation.work()
    assert (simulation.status(), simulation.delivery().attempts[0].journal_file) == ("created", None)
    simulation.close()


def test_a_create_whose_page_cannot_be_written_names_none(simulation: Simulation, tmp_path: Path) -> None:
    """Otherwise the next process would take it for one that was never sent."""
    seen: list[str | None] = []
    real = simulation.container.gateway

    def send(found: Callable[..., Any], *what: Any, **how: Any) -> Any:
        seen.append(simulation.delivery().attempts[0].journal_file)
        return found(*what, **how)

    class FullDisk(CallJournal):
        @contextmanager
        def open(self, step: Step) -> Iterator[JournalFile]:
            full = os.open("/dev/full", os.O_WRONLY)
            with super().open(step) as page, JournalFile(tmp_path / page.name, full) as unwritable:
                yield unwritable

    simulation.container.journal = FullDisk(simulation.container.settings.journal_folder)
    simulation.container.gateway = Instead(real, "send", send)  # type: ignore[assignment]
    simulation.place()
    simulation.work()
    simulation.container.gateway = real
    assert (seen, simulation.status(), pages(simulation)) == ([None], "created", [])


# --- with a worker ---


@pytest.mark.parametrize("end", ["stop", "terminate"])
def test_a_worker_looks_into_the_journal_as_soon_as_it_starts(simulation: Simulation, end: str) -> None:
    dead(simulation, "34", with_the_reply)
    assert JournalReader in simulation.app.steps["worker"]
    step = JournalReader(None)
    step.start(None)
    getattr(step, end)(None)
    assert (simulation.status(), pages(simulation)) == ("created", [])


def test_what_goes_wrong_while_replaying_does_not_end_the_thread() -> None:
    asked = []

    def breaks() -> None:
        asked.append(1)
        loop.stop()
        raise PermissionError

    loop = Repeated(breaks)
    loop.run()
    assert asked == [1]
