"""The call journal: files that survive a process that dies while it creates orders.

Each batch of creates has a file in a folder of its host. The transaction that commits an attempt also stores the name
of its file. The file records each create on the disk before the create is sent. So if an attempt names a file that does
not contain the attempt, its create was never sent. The process that writes a file holds a lock on the file, so a file
without a lock was abandoned.
"""

import base64
import errno
import fcntl
import json
import os
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from worker import log
from worker.domain.delivery import Change, Delivery, Step, replace
from worker.errors import CarrierError, Unavailable
from worker.folders import make_private, write_private
from worker.http.call import Outcome, Reply

logger = log.get(__name__)
MAX_BODY = 64_000
"""The largest reply, in bytes, that is recorded. After a crash, a create with a larger reply has an unknown outcome."""
HEADERS = ("date", "retry-after")
"""The headers that are recorded. In the reply to a create, a codec must not read any other header."""
FILE_NAMES = "[0-9a-f]" * 16
"""The glob pattern of the journal's file names; the folder may contain other files."""


@dataclass(slots=True)
class JournalEntries:
    """The content of a file: the attempts whose creates may have been sent, and the recorded outcomes."""

    sent: set[int] = field(default_factory=set)
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    database: str = ""
    """The id of the database in which the attempts were committed."""

    def add(self, line: Mapping[str, Any]) -> None:
        """Add the content of one line of the file."""
        self.sent.update(line.get("sending", ()))
        self.database = line.get("database", self.database)
        for attempt, outcome in line.get("outcomes", ()):
            self.outcomes[attempt] = _read_outcome(outcome)


class JournalFile:
    """The record of one batch of creates until their outcomes are committed. Without a path it records nothing."""

    def __init__(self, path: Path | None = None, descriptor: int | None = None) -> None:
        self._path, self._descriptor = path, descriptor
        self._expected: set[str] = set()

    @property
    def name(self) -> str:
        """The name of the file, which attempts store; empty when nothing is recorded."""
        return self._path.name if self._path else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        """Release the lock: from now on another process may recover the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)

    def attach(self, change: Change) -> Change:
        """Return the change with the name of this file set on its attempt, and expect the outcome of that attempt.

        The outcome is expected even if the transaction fails, because its commit may have succeeded before the error.
        """
        attempt = change.begun
        if attempt is None or not self.name:
            return change
        self._expected.add(change.delivery.id)
        return replace(change, delivery=change.delivery.with_attempt(replace(attempt, journal_file=self.name)))

    def detach(self, delivery: Delivery) -> Change | None:
        """Return the change that removes the name of this file from the active attempt.

        None if there is no active attempt, or if its `journal_file` is not this file. The change is needed when the
        disk fails before the creates are sent. Otherwise, after a crash, the attempt would count as never sent, because
        its `journal_file` does not contain it.
        """
        attempt = delivery.active
        if attempt is None or attempt.journal_file != self.name:
            return None
        return Change(delivery.with_attempt(replace(attempt, journal_file=None)))

    def mark_stored(self, delivery_ids: Iterable[str]) -> None:
        """Record that the outcomes of these deliveries are committed."""
        self._expected.difference_update(delivery_ids)

    @property
    def done(self) -> bool:
        """Whether every expected outcome is in the database."""
        return not self._expected

    def log_sent(self, attempt_ids: Iterable[int], database: str = "") -> bool:
        """Record that the creates of these attempts are about to be sent; return False when the disk fails."""
        sending = list(attempt_ids)
        return not sending or self._write({"sending": sending, "database": database})

    def log_replies(self, outcomes: Iterable[tuple[int, Outcome]]) -> None:
        """Record outcomes. They must be recorded before a codec parses them."""
        written = [(attempt, line) for attempt, outcome in outcomes if (line := _write_outcome(outcome))]
        if written:
            self._write({"outcomes": written})

    def read(self) -> JournalEntries:
        """Read the file. An incomplete line is ignored.

        The creates in such a line were never sent, and the outcomes in such a line stay unknown.
        """
        entries = JournalEntries()
        for line in self._lines():
            entries.add(line)
        return entries

    def _lines(self) -> Iterator[dict[str, Any]]:
        for line in self._path.read_bytes().splitlines() if self._path else ():
            with suppress(json.JSONDecodeError):
                yield json.loads(line)

    @property
    def age(self) -> float:
        """The seconds since the last line was written, or since the file was created; by the clock of the disk."""
        return time.time() - self._path.stat().st_mtime if self._path else 0.0

    def forget(self, attempt_ids: Collection[int]) -> bool:
        """Remove the recorded outcomes of these attempts; return whether the file had any.

        The file is replaced by a copy, which has no lock and so counts as abandoned.
        """
        lines = [_without(attempt_ids, line) for line in self._lines()]
        if self._path is None or lines == list(self._lines()):
            return False
        hidden = self._path.with_name(f".{self._path.name}")
        write_private(hidden, "".join(f"\n{json.dumps(line)}\n" for line in lines))
        hidden.replace(self._path)
        return True

    def remove(self) -> None:
        """Remove the file and the personal data in it."""
        if self._path:
            _attempt(self._path.unlink)

    def _write(self, line: Mapping[str, Any]) -> bool:
        descriptor = self._descriptor
        return descriptor is None or _attempt(lambda: _append(descriptor, line))


class CallJournal:
    """The journal files of this host.

    Creates are sent even if the disk fails, but a crash may then lose their outcomes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def open(self, step: Step) -> Iterator[JournalFile]:
        """Open a file for a batch. At the end, remove the file unless an outcome is still to be stored.

        Only a batch of creates has a file, because every other call to a carrier may be repeated.
        """
        opened: list[JournalFile] = []
        if step is Step.BOOK:
            _attempt(lambda: opened.append(self._create()))
        with opened[0] if opened else JournalFile() as file:
            try:
                yield file
            finally:
                if file.done:
                    file.remove()

    def abandoned(self) -> Iterator[JournalFile]:
        """Yield each file that no process writes any more. The file is locked while the caller handles it."""
        for path in sorted(self._folder.glob(FILE_NAMES)):
            if file := _lock(path):
                with file:
                    yield file

    def _create(self) -> JournalFile:
        make_private(self._folder)
        path = self._folder / secrets.token_hex(8)
        # The file gets its final name only once it is locked; without a lock it would count as abandoned.
        hidden = path.with_name(f".{path.name}")
        descriptor = os.open(hidden, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        hidden.rename(path)
        return JournalFile(path, descriptor)


def _lock(path: Path) -> JournalFile | None:
    """Lock a file and return it; None while another process holds the lock, or when the file was just removed."""
    with suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_RDWR)
        if _locked(descriptor) and os.fstat(descriptor).st_nlink:
            return JournalFile(path, descriptor)
        os.close(descriptor)
    return None


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _attempt(work: Callable[[], object]) -> bool:
    """Run work on the disk; when it fails, log the failure and return False."""
    try:
        work()
    except OSError as error:
        logger.error("journal.failed", error=error.strerror)
        return False
    return True


def _append(descriptor: int, line: Mapping[str, Any]) -> None:
    data = f"\n{json.dumps(line)}\n".encode()  # a line break first, because the last line may be incomplete
    if os.write(descriptor, data) < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(descriptor)


def _without(attempt_ids: Collection[int], line: dict[str, Any]) -> dict[str, Any]:
    """Return a line of a file without the outcomes of these attempts."""
    if "outcomes" not in line:
        return line
    return {**line, "outcomes": [each for each in line["outcomes"] if each[0] not in attempt_ids]}


def _write_outcome(outcome: Outcome) -> dict[str, Any] | None:
    """Return an outcome as JSON data; None for a reply that is too large, and for any error but Unavailable."""
    if isinstance(outcome, Unavailable):
        return {"unsent": str(outcome)}
    if isinstance(outcome, CarrierError) or len(outcome.body) > MAX_BODY:
        return None
    headers = {name: outcome.headers[name] for name in HEADERS if name in outcome.headers}
    return {"status": outcome.status, "headers": headers, "body": base64.b64encode(outcome.body).decode()}


def _read_outcome(written: Mapping[str, Any]) -> Outcome:
    if "unsent" in written:
        return Unavailable(written["unsent"])
    return Reply(written["status"], base64.b64decode(written["body"]), written["headers"])
