import json
import os
import stat
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tests.database.samples import begun
from tests.domain.scenario import a_blank, an_order
from worker.domain.delivery import Change, Delivery, Step
from worker.errors import Unavailable, Uncertain
from worker.http.call import Reply
from worker.resilience.call_journal import MAX_BODY, CallJournal, JournalEntries, JournalFile

CHANGE = begun(a_blank(an_order()))
"""The beginning of an attempt."""


def expect(page: JournalFile, *delivery_ids: str) -> None:
    """Begin an attempt of each delivery under the name of this file."""
    for each in delivery_ids:
        page.attach(replace(CHANGE, delivery=replace(CHANGE.delivery, id=each)))


class Killed(BaseException):
    """The end of a process: nothing catches it."""


# --- the contents ---


def test_a_file_holds_what_was_sent_and_what_came_back(tmp_path: Path) -> None:
    journal = CallJournal(tmp_path)
    reply = Reply(200, b'{"id": "7\xc3\xa5"}', {"date": "today", "retry-after": "3", "set-cookie": "secret"})
    unsent = Unavailable("not sent: ConnectError")
    large = Reply(200, b"x" * (MAX_BODY + 1))
    with journal.open(Step.BOOK) as page:
        expect(page, "a delivery")
        assert page.log_sent([1, 2, 3, 4])
        page.log_replies([(1, reply), (2, unsent), (3, large)])
        page.log_replies([(4, Uncertain("who knows"))])
    (left,) = journal.abandoned()
    notes = left.read()
    assert notes.sent == {1, 2, 3, 4}
    assert {key: (type(got), str(got)) for key, got in notes.outcomes.items() if key == 2} == {
        2: (Unavailable, "not sent: ConnectError")
    }
    assert notes.outcomes[1] == Reply(200, reply.body, {"date": "today", "retry-after": "3"})
    assert sorted(notes.outcomes) == [1, 2]


def test_a_line_that_was_cut_off_is_ignored_and_spoils_no_other(tmp_path: Path) -> None:
    journal = CallJournal(tmp_path)
    with journal.open(Step.BOOK) as page:
        expect(page, "a delivery")
        page.log_sent([1])
        (path,) = tmp_path.iterdir()
        with path.open("ab") as file:
            file.write(b'\n{"sending": [2')
        page.log_sent([3])
    (left,) = journal.abandoned()
    assert left.read() == JournalEntries({1, 3}, {})


# --- its name on the attempts ---


def test_attaching_only_names_the_file_on_the_attempt_that_begins(tmp_path: Path) -> None:
    with CallJournal(tmp_path).open(Step.BOOK) as page:
        (attempt,) = CHANGE.delivery.attempts
        named = replace(attempt, journal_file=page.name)
        assert page.attach(CHANGE) == replace(CHANGE, delivery=CHANGE.delivery.with_attempt(named))


def test_a_change_without_an_attempt_is_left_as_it_is(tmp_path: Path) -> None:
    rejected = Change(a_blank(an_order()))
    with CallJournal(tmp_path).open(Step.BOOK) as page:
        assert page.attach(rejected) == rejected
        assert page.done


def test_detaching_removes_the_name_of_this_file_alone(tmp_path: Path) -> None:
    journal = CallJournal(tmp_path)
    with journal.open(Step.BOOK) as page, journal.open(Step.BOOK) as other:
        named: Delivery = page.attach(CHANGE).delivery
        assert (page.detach(named), other.detach(named)) == (Change(CHANGE.delivery), None)


def test_a_file_is_removed_once_every_expected_outcome_is_stored(tmp_path: Path) -> None:
    with CallJournal(tmp_path).open(Step.BOOK) as page:
        expect(page, "a", "b")
        page.mark_stored(["a"])
        assert not page.done
        page.mark_stored(["b"])
    assert list(tmp_path.iterdir()) == []


def test_a_batch_that_fails_before_it_expects_an_outcome_leaves_no_file(tmp_path: Path) -> None:
    with suppress(Killed), CallJournal(tmp_path).open(Step.BOOK):
        raise Killed
    assert list(tmp_path.iterdir()) == []


# --- files and locks ---


@pytest.mark.parametrize("step", [Step.CONFIRM, Step.CANCEL])
def test_only_creates_have_a_file(tmp_path: Path, step: Step) -> None:
    with CallJournal(tmp_path / "journal").open(step) as page:
        assert (page.name, page.log_sent([1])) == ("", True)
        assert page.attach(CHANGE) == CHANGE
    assert not (tmp_path / "journal").exists()


def test_no_other_user_may_read_a_file(tmp_path: Path) -> None:
    folder = tmp_path / "var" / "journal"
    with CallJournal(folder).open(Step.BOOK):
        (path,) = folder.iterdir()
        assert [stat.S_IMODE(each.stat().st_mode) for each in (folder, path)] == [0o700, 0o600]


def test_a_file_has_one_holder_at_a_time(tmp_path: Path) -> None:
    journal, other = CallJournal(tmp_path), CallJournal(tmp_path)
    with suppress(Killed), journal.open(Step.BOOK) as page:
        expect(page, "a")
        assert list(other.abandoned()) == []
        raise Killed
    held = journal.abandoned()
    assert next(held).name == page.name
    assert list(other.abandoned()) == []
    held.close()  # type: ignore[attr-defined]
    assert [each.name for each in other.abandoned()] == [page.name]


def test_other_files_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "README").touch()
    (tmp_path / ".0123456789abcdef").touch()
    assert list(CallJournal(tmp_path).abandoned()) == []


def test_a_missing_folder_holds_no_files(tmp_path: Path) -> None:
    assert list(CallJournal(tmp_path / "nowhere").abandoned()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_full_disk_is_reported_before_anything_is_sent(tmp_path: Path) -> None:
    with JournalFile(tmp_path / "page", os.open("/dev/full", os.O_WRONLY)) as page:
        assert not page.log_sent([1])


@pytest.mark.fault("F-96")
def test_a_line_counts_as_recorded_only_once_it_is_flushed_to_the_disk(tmp_path: Path) -> None:
    """A pipe takes the line and cannot be flushed, so without the flush the line would count as recorded."""
    reading, writing = os.pipe()
    with JournalFile(tmp_path / "page", writing) as page:
        assert not page.log_sent([1])
    with open(reading, "rb") as written:  # noqa: PTH123 - a descriptor
        assert json.loads(written.read()) == {"sending": [1], "database": ""}


ONE_FILE = """
import sys
from pathlib import Path
from worker.domain.delivery import Step
from worker.resilience.call_journal import CallJournal

with CallJournal(Path(sys.argv[1])).open(Step.BOOK) as page:
    page.log_sent([5])
    print(page.name, flush=True)
    sys.stdin.read()
"""


def test_a_killed_process_leaves_its_file_unlocked_with_all_that_it_wrote(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ONE_FILE, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        name = process.stdout.readline().strip()
        assert list(CallJournal(tmp_path).abandoned()) == []
        process.kill()
    assert [(page.name, page.read()) for page in CallJournal(tmp_path).abandoned()] == [(name, JournalEntries({5}, {}))]
