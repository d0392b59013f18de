"""The journal of a process that died settles the creates whose outcome it proves, and no others."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from schemas.status import AttentionReason
from tests.services.gateways import RepliesInOneGroup
from tests.services.simulation import Simulation
from worker.database import deliveries
from worker.domain.delivery import Change, Delivery, Step
from worker.errors import Unavailable
from worker.resilience.call_journal import CallJournal, JournalFile
from worker.runtime.steps import JournalReader, Repeated
from worker.services.accounts import CarrierAccounts

CARRIERS = pytest.mark.parametrize("shop", ["34", "21", "17"], ids=["cervo", "borzo", "deliverit"])
DATABASE_DOWN = OperationalError("", None, Exception("the database is down"))


class Killed(BaseException):
    """The end of a process, as far as a test can simulate it: no handler catches it, and its locks are released."""


class Replaced:
    """A part of the container one of whose methods is replaced; the replacement gets the real one first."""

    def __init__(self, real: Any, method: str, replacement: Callable[..., Any]) -> None:
        self._real, self._method, self._replacement = real, method, replacement

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._real, name)
        return partial(self._replacement, real) if name == self._method else real


def die(*_: Any, **__: Any) -> Any:
    raise Killed


def run_until_killed(simulation: Simulation) -> None:
    """Run the tasks that wait until one kills the process."""
    with pytest.raises(Killed):
        simulation.work()


def before_sending(simulation: Simulation, carrier: str) -> None:
    """Let the process die after the intent is committed."""
    codec = simulation.container.accounts.logged_in(carrier)
    simulation.container.replace_codec(carrier, Replaced(codec, "book", die))


def before_a_reply(simulation: Simulation, _carrier: str) -> None:
    """Let the process die after the journal lists the create as sent."""
    simulation.container.gateway = Replaced(simulation.container.gateway, "send", die)  # type: ignore[assignment]


def after_the_reply(simulation: Simulation, carrier: str) -> None:
    """Let the process die after the journal has the reply."""
    codec = simulation.container.accounts.logged_in(carrier)
    simulation.container.replace_codec(carrier, Replaced(codec, "read_booking", die))


def crash(simulation: Simulation, shop: str, where: Callable[[Simulation, str], None]) -> None:
    """Place an order, let the process die during its create, and start another process."""
    simulation.place(store_id=shop)
    carrier, gateway = simulation.delivery().carrier or "", simulation.container.gateway
    where(simulation, carrier)
    run_until_killed(simulation)
    simulation.container.gateway = gateway
    simulation.container.forget_services()


def recover(simulation: Simulation) -> str:
    """Settle what the journal holds; return the status of the delivery."""
    simulation.container.crash_recovery.recover()
    return simulation.status()


def files(simulation: Simulation) -> list[Path]:
    """Return the files of the journal."""
    return sorted(simulation.container.settings.journal_folder.iterdir())


# --- what a file settles ---


@pytest.mark.fault("F-04")
@CARRIERS
def test_a_reply_that_came_before_the_crash_is_read_from_the_journal(simulation: Simulation, shop: str) -> None:
    crash(simulation, shop, after_the_reply)
    assert simulation.delivery().attempts[0].state == "submitting"
    assert recover(simulation) in {"created", "awaiting_confirmation"}
    assert (simulation.delivery().attempts[0].ref, files(simulation)) == (simulation.ledger()[0][1], [])
    simulation.until(lambda it: it.status() == "delivered")
    assert len(simulation.ledger()) == 1
    assert "submit_unknown" not in simulation.published()


@pytest.mark.fault("F-02")
@CARRIERS
def test_a_create_that_was_never_sent_is_sent_by_the_next_process(simulation: Simulation, shop: str) -> None:
    crash(simulation, shop, before_sending)
    assert (recover(simulation), simulation.delivery().attempts[0].state) == ("queued", "queued")
    assert (simulation.ledger(), files(simulation)) == ([], [])
    simulation.until(lambda it: it.status() == "delivered")
    assert len(simulation.ledger()) == 1
    assert "submit_unknown" not in simulation.published()


@pytest.mark.fault("F-03")
@CARRIERS
def test_a_create_that_may_have_been_sent_and_has_no_reply_keeps_its_unknown_outcome(
    simulation: Simulation, shop: str
) -> None:
    crash(simulation, shop, before_a_reply)
    assert (recover(simulation), simulation.delivery().attempts[0].state) == ("queued", "submitting")
    simulation.until(lambda it: it.status() == "submit_unknown")


@pytest.mark.fault("F-114")
@pytest.mark.parametrize(
    ("shop", "end"),
    [
        ("34", ("courier_assigned", AttentionReason.REFERENCE_MISSING)),  # a callback came
        ("21", ("delivered", None)),
        ("17", ("delivered", None)),
    ],
    ids=["cervo", "borzo", "deliverit"],
)
def test_a_reply_that_was_lost_with_its_disk_is_looked_up_or_asked_for_and_no_second_create_is_sent(
    simulation: Simulation, shop: str, end: tuple[str, AttentionReason | None]
) -> None:
    crash(simulation, shop, after_the_reply)
    shutil.rmtree(simulation.container.settings.journal_folder)
    recover(simulation)
    simulation.until(lambda it: it.status() == "delivered" or bool(it.delivery().attention))
    assert (simulation.status(), simulation.delivery().attention) == end
    assert len(simulation.ledger()) == 1


def test_the_wake_up_task_of_a_recovered_delivery_is_sent_at_once(simulation: Simulation) -> None:
    crash(simulation, "21", after_the_reply)
    simulation.cancel(store_id="21")
    simulation.let_clock_run()
    assert recover(simulation) == "created"
    simulation.work()
    assert simulation.ledger("cancel") == simulation.ledger()


def wait_for_operator(simulation: Simulation) -> None:
    """Let time pass until the unknown outcome is left to an operator."""
    simulation.until(lambda it: it.delivery().attention == "outcome_unknown")
    assert simulation.delivery().attempts[0].awaiting_operator


@pytest.mark.parametrize(
    ("where", "status"), [(after_the_reply, "created"), (before_sending, "queued")], ids=["answered", "never sent"]
)
def test_a_journal_that_comes_back_late_resolves_an_attempt_that_awaits_an_operator(
    tmp_path: Path, where: Callable[[Simulation, str], None], status: str
) -> None:
    simulation = Simulation(tmp_path, PUBLIC_URL="")  # no callback can tell that the order exists
    crash(simulation, "34", where)
    wait_for_operator(simulation)
    assert (recover(simulation), simulation.delivery().attention) == (status, None)
    simulation.until(lambda it: it.status() == "delivered")
    assert len(simulation.ledger()) == 1
    simulation.close()


def test_the_journal_supplies_the_carrier_s_id_of_an_order_known_only_from_a_callback(simulation: Simulation) -> None:
    crash(simulation, "34", after_the_reply)
    simulation.until(lambda it: it.status() == "courier_assigned")
    assert simulation.delivery().attempts[0].ref is None
    assert (recover(simulation), simulation.delivery().attempts[0].ref) == (
        "courier_assigned",
        simulation.ledger()[0][1],
    )


@pytest.mark.fault("F-22")
def test_an_outcome_that_the_database_could_not_store_is_stored_once_it_is_back(simulation: Simulation) -> None:
    real = simulation.container.database

    def down_after_the_intent(persist: Callable[..., Any], function: Any, *args: Any) -> Any:
        if function is deliveries.update and any(each.attempts for each in real.read(deliveries.load, list(args[0]))):
            raise DATABASE_DOWN
        return persist(function, *args)

    simulation.place()
    simulation.container.database = Replaced(real, "persist", down_after_the_intent)  # type: ignore[assignment]
    simulation.work()
    assert recover(simulation) == "queued"
    simulation.container.database = real
    assert (recover(simulation), files(simulation)) == ("created", [])
    assert simulation.delivery().attempts[0].ref == simulation.ledger()[0][1]


def test_an_intent_whose_commit_was_not_acknowledged_is_known_to_be_unsent(simulation: Simulation) -> None:
    """The connection broke before the commit was acknowledged, and the repeated transaction found nothing to begin."""
    real = simulation.container.database

    def commit_twice(persist: Callable[..., Any], function: Any, *args: Any) -> Any:
        if function is deliveries.update:
            persist(function, *args)
        return persist(function, *args)

    simulation.place()
    simulation.container.database = Replaced(real, "persist", commit_twice)  # type: ignore[assignment]
    simulation.work()
    simulation.container.database = real
    assert (simulation.delivery().attempts[0].state, simulation.ledger()) == ("submitting", [])
    assert (recover(simulation), simulation.delivery().attempts[0].state) == ("queued", "queued")
    simulation.until(lambda it: it.status() == "delivered")
    assert len(simulation.ledger()) == 1


def test_a_failed_log_in_leaves_the_reply_for_the_next_recovery(simulation: Simulation) -> None:
    crash(simulation, "17", after_the_reply)

    def reject_log_in(_login: Any, _account: str) -> Any:
        raise Unavailable("log-in rejected")

    simulation.container.accounts = Replaced(simulation.container.accounts, "logged_in", reject_log_in)  # type: ignore[assignment]
    assert (recover(simulation), len(files(simulation))) == ("queued", 1)
    simulation.container.forget_services()
    assert (recover(simulation), files(simulation)) == ("created", [])


def test_a_file_changes_nothing_of_an_attempt_that_was_begun_again_since(simulation: Simulation) -> None:
    crash(simulation, "34", before_sending)
    (before,) = simulation.delivery().attempts

    def begin_again(delivery: Delivery) -> Change:
        return Change(delivery.with_attempt(replace(before, journal_file="another file")))

    simulation.decide(begin_again)
    recover(simulation)
    assert simulation.delivery().attempts == (replace(before, journal_file="another file"),)


@pytest.mark.fault("F-05")
def test_an_error_does_not_count_for_an_attempt_that_is_begun_again_while_it_is_parsed(simulation: Simulation) -> None:
    simulation.inject_fault("error_before", "cervo", operation="create")
    crash(simulation, "34", after_the_reply)
    (before,) = simulation.delivery().attempts
    again = replace(before, journal_file="another file")

    def begin_again(read_booking: Callable[..., Any], *what: Any) -> Any:
        simulation.decide(lambda delivery: Change(delivery.with_attempt(again)))
        return read_booking(*what)

    codec = simulation.container.accounts.logged_in("cervo")
    simulation.container.replace_codec("cervo", Replaced(codec, "read_booking", begin_again))
    assert (recover(simulation), simulation.delivery().attempts) == ("queued", (again,))


@pytest.mark.fault("F-05")
def test_a_second_recovery_from_the_same_file_changes_nothing(simulation: Simulation) -> None:
    crash(simulation, "34", after_the_reply)
    (file,) = files(simulation)
    content = file.read_bytes()
    recover(simulation)
    once = simulation.delivery()
    file.write_bytes(content)
    recover(simulation)
    assert simulation.delivery() == once


def test_a_file_does_not_restore_an_offer_that_was_denied_since(simulation: Simulation) -> None:
    simulation.place("offered_late", store_id="17")
    after_the_reply(simulation, "deliverit")
    run_until_killed(simulation)
    simulation.container.forget_services()
    (file,) = files(simulation)
    content = file.read_bytes()
    assert recover(simulation) == "awaiting_confirmation"
    file.write_bytes(content)  # another process may keep the file during a call of its own
    simulation.until(lambda it: it.delivery().attempts[0].state == "rejected")
    denied = simulation.delivery()
    recover(simulation)
    assert (simulation.delivery(), "delivery.conflict" in simulation.published()) == (denied, False)


def test_a_bug_while_parsing_a_reply_makes_the_outcome_unknown_and_removes_the_file(simulation: Simulation) -> None:
    crash(simulation, "34", after_the_reply)

    def fail(*_: Any) -> Any:
        raise KeyError("a bug")

    codec = simulation.container.accounts.logged_in("cervo")
    simulation.container.replace_codec("cervo", Replaced(codec, "read_booking", fail))
    assert (recover(simulation), files(simulation)) == ("submit_unknown", [])


@pytest.mark.fault("F-71")
def test_an_unreadable_file_is_kept_until_the_outcome_of_its_create_is_known(simulation: Simulation) -> None:
    crash(simulation, "34", after_the_reply)
    (file,) = files(simulation)
    file.write_bytes(b'[]\n{"outcomes": [[1, {}]]}\n')
    assert (recover(simulation), files(simulation)) == ("queued", [file])
    simulation.until(lambda it: it.status() == "delivered")
    recover(simulation)
    assert files(simulation) == []


@contextmanager
def without_account(simulation: Simulation, account: str) -> Iterator[None]:
    """Take an account out of the settings for a while."""
    services = simulation.container
    accounts, terms = services.accounts, services.terms
    others = {name: codec for name, codec in accounts.codecs.items() if name != account}
    services.terms = {name: each for name, each in terms.items() if name != account}
    services.accounts = CarrierAccounts(others, accounts.bind, accounts.database, accounts.gateway, accounts.clock)
    yield
    services.terms, services.accounts = terms, accounts


@pytest.mark.fault("F-71", "F-74")
@CARRIERS
def test_a_reply_is_kept_while_its_account_is_not_in_the_settings(simulation: Simulation, shop: str) -> None:
    crash(simulation, shop, after_the_reply)
    (file,) = files(simulation)
    with without_account(simulation, simulation.delivery().attempts[0].carrier):
        assert (recover(simulation), files(simulation)) == ("queued", [file])
        simulation.until(lambda it: it.delivery().attention is not None, limit=120)
        assert (recover(simulation), files(simulation)) == ("submit_unknown", [file])
        assert simulation.delivery().attention == "outcome_unknown"
        assert simulation.now - simulation.delivery().created_at < timedelta(minutes=20)
    assert (recover(simulation) in {"created", "awaiting_confirmation"}, files(simulation)) == (True, [])
    assert (simulation.delivery().attempts[0].ref, simulation.delivery().attention) == (
        simulation.ledger()[0][1],
        None,
    )


@pytest.mark.fault("F-71")
def test_an_error_with_one_create_of_a_file_delays_no_other(simulation: Simulation) -> None:
    simulation.lose_wake_ups = True
    for order_id in ("1", "2"):
        simulation.place(order_id=order_id)
    simulation.work()
    simulation.container.gateway = RepliesInOneGroup(simulation.container.gateway)  # type: ignore[assignment]
    after_the_reply(simulation, "cervo")
    with pytest.raises(Killed):
        simulation.app.tasks["deliveries.book"]("cervo", [simulation.delivery(each).id for each in ("1", "2")])
    simulation.container.forget_services()
    real, first = simulation.container.database, simulation.delivery("1").id

    def fail_for_order_1(persist: Callable[..., Any], function: Any, *args: Any) -> Any:
        if function is deliveries.update and first in args[0]:
            raise ValueError("cannot be stored")
        return persist(function, *args)

    simulation.container.database = Replaced(real, "persist", fail_for_order_1)  # type: ignore[assignment]
    simulation.container.crash_recovery.recover()
    assert (simulation.statuses("1", "2"), len(files(simulation))) == (["queued", "created"], 1)
    simulation.container.database = real
    simulation.container.crash_recovery.recover()
    assert (simulation.statuses("1", "2"), files(simulation)) == (["created", "created"], [])


@pytest.mark.fault("F-72", "F-73")
def test_a_reply_that_is_found_after_its_create_was_sent_again_shows_a_surplus_courier(tmp_path: Path) -> None:
    """The host with the reply was down meanwhile, and this Cervo accepts an id twice."""
    with closing(Simulation(tmp_path, CARRIERS__CERVO__RESUBMIT_IN_DOUBT="true", PUBLIC_URL="")) as simulation:
        simulation.sandbox.world.config = replace(simulation.sandbox.world.config, step=6000)
        crash(simulation, "34", after_the_reply)
        (file,) = files(simulation)
        content = file.read_bytes()
        file.unlink()
        simulation.until(lambda it: it.status() == "created")
        (_, first), (_, second) = simulation.ledger()
        file.write_bytes(content)
        recover(simulation)
        assert [(each.ref, each.surplus) for each in simulation.delivery().attempts] == [(second, False), (first, True)]
        simulation.until(lambda it: bool(it.ledger("cancel")))
        assert (simulation.ledger("cancel"), files(simulation)) == ([("cervo", first)], [])
        assert "delivery.conflict" in simulation.published()


def test_a_file_that_a_process_writes_is_left_alone(simulation: Simulation) -> None:
    seen: list[str] = []
    real = simulation.container.gateway

    def recover_first(send: Callable[..., Any], *what: Any, **how: Any) -> Any:
        seen.append(recover(simulation))
        return send(*what, **how)

    simulation.container.gateway = Replaced(real, "send", recover_first)  # type: ignore[assignment]
    simulation.place()
    simulation.work()
    simulation.container.gateway = real
    assert (seen, simulation.status(), files(simulation)) == (["queued"], "created", [])


# --- a disk that fails ---


def test_a_create_goes_out_without_a_journal_where_there_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    simulation = Simulation(tmp_path, JOURNAL_FOLDER=str(tmp_path / "file" / "journal"))
    simulation.place()
    simulation.work()
    assert (simulation.status(), simulation.delivery().attempts[0].journal_file) == ("created", None)
    simulation.close()


def test_a_create_whose_file_cannot_be_written_has_no_journal_file(simulation: Simulation, tmp_path: Path) -> None:
    """With a file name, the next process would treat it as never sent."""
    seen: list[str | None] = []
    real = simulation.container.gateway

    def send(real_send: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        seen.append(simulation.delivery().attempts[0].journal_file)
        return real_send(*args, **kwargs)

    class FullDisk(CallJournal):
        @contextmanager
        def open(self, step: Step) -> Iterator[JournalFile]:
            full = os.open("/dev/full", os.O_WRONLY)
            with super().open(step) as file, JournalFile(tmp_path / file.name, full) as unwritable:
                yield unwritable

    simulation.container.journal = FullDisk(simulation.container.settings.journal_folder)
    simulation.container.gateway = Replaced(real, "send", send)  # type: ignore[assignment]
    simulation.place()
    simulation.work()
    simulation.container.gateway = real
    assert (seen, simulation.status(), files(simulation)) == ([None], "created", [])


# --- in a worker ---


@pytest.mark.parametrize("end", ["stop", "terminate"])
def test_a_worker_recovers_from_the_journal_as_soon_as_it_starts(simulation: Simulation, end: str) -> None:
    crash(simulation, "34", after_the_reply)
    assert JournalReader in simulation.app.steps["worker"]
    step = JournalReader(None)
    step.start(None)
    getattr(step, end)(None)
    assert (simulation.status(), files(simulation)) == ("created", [])


def test_an_error_during_recovery_does_not_end_the_thread() -> None:
    calls = []

    def fail() -> None:
        calls.append(1)
        loop.stop()
        raise PermissionError

    loop = Repeated(fail, 5.0, "journal.recovery_failed")
    loop.run()
    assert calls == [1]


@pytest.mark.fault("F-02", "F-70")
def test_a_file_that_no_attempt_names_yet_is_kept_while_its_transaction_may_still_be_committed(
    simulation: Simulation,
) -> None:
    """The commit got no answer, and the server carries it out after the reader gave up."""
    folder = simulation.container.settings.journal_folder
    simulation.place()
    file = simulation.container.journal
    with suppress(Killed), file.open(Step.BOOK) as page:
        change = simulation.container.carrier_actions.book.claim(simulation.delivery())
        assert change is not None
        attached = page.attach(change)
        raise Killed
    simulation.container.crash_recovery.recover()
    simulation.decide(lambda _: attached)
    simulation.container.crash_recovery.recover()
    simulation.until(lambda it: it.status() == "created", step=5)
    assert (len(simulation.ledger()), list(folder.iterdir())) == (1, [])


def test_a_file_that_no_attempt_ever_names_is_removed_in_the_end(simulation: Simulation) -> None:
    folder = simulation.container.settings.journal_folder
    simulation.place()
    with suppress(Killed), simulation.container.journal.open(Step.BOOK) as page:
        change = simulation.container.carrier_actions.book.claim(simulation.delivery())
        assert change is not None
        page.attach(change)
        raise Killed
    simulation.container.crash_recovery.recover()
    (path,) = folder.iterdir()
    os.utime(path, (0, 0))
    simulation.container.crash_recovery.recover()
    assert list(folder.iterdir()) == []
