"""What outlasts a process that dies while it creates orders: a page for each batch, in a folder of its host.

An attempt's intent names its page. A line is on the disk before the call that it tells of, so an attempt that does not
stand on the page it names was never sent. Whoever writes a page holds its lock: one that nobody holds was left behind.
"""

import base64
import errno
import fcntl
import json
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from worker import log
from worker.domain.delivery import Change, Delivery, Step
from worker.errors import CarrierError, Unavailable
from worker.http.call import Reply
from worker.http.gateway import Outcome

logger = log.get(__name__)
LARGEST = 64_000
"""Bytes of the largest body that is kept; without a larger one its create is in doubt, as if no journal were there."""
HEADERS = ("date", "retry-after")
"""What a codec may read in a reply besides its body."""
NAMES = "[0-9a-f]" * 16
"""The pages among whatever else lies in their folder."""


@dataclass(frozen=True, slots=True)
class JournalEntries:
    """What stands on a page: the attempts that may have been sent, and what is known of each that came back."""

    sent: set[int] = field(default_factory=set)
    outcomes: dict[int, Outcome] = field(default_factory=dict)

    def take(self, note: Mapping[str, Any]) -> None:
        """Take one line in."""
        self.sent.update(note.get("sending", ()))
        for attempt, outcome in note.get("outcomes", ()):
            self.outcomes[attempt] = _outcome(outcome)


class JournalFile:
    """What one batch of creates leaves behind until its outcomes are committed. One without a file keeps nothing."""

    def __init__(self, path: Path | None = None, held: int | None = None) -> None:
        self._path, self._held = path, held
        self._open: set[str] = set()

    @property
    def name(self) -> str:
        """What an attempt is told to call it; empty when it keeps nothing."""
        return self._path.name if self._path else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        """Let it go: from here on anybody may read it."""
        if self._held is not None:
            os.close(self._held)

    def attach(self, change: Change | None) -> Change | None:
        """Put the page's name on the attempt that a change begins."""
        attempt = change.delivery.active if change and self.name else None
        if change is None or attempt is None:
            return change
        self._open.add(change.delivery.id)
        return replace(change, delivery=change.delivery.with_attempt(replace(attempt, journal_file=self.name)))

    def detach(self, delivery: Delivery) -> Change | None:
        """Take the name off again, before a call goes out of which the page does not tell."""
        attempt = delivery.active
        if attempt is None or attempt.journal_file != self.name:
            return None
        return Change(delivery.with_attempt(replace(attempt, journal_file=None)))

    def log_sent(self, attempts: Iterable[int]) -> bool:
        """Write down that these are about to be sent; false when that was not possible."""
        named = list(attempts)
        return not named or self._write({"sending": named})

    def log_replies(self, outcomes: Iterable[tuple[int, Outcome]]) -> None:
        """Write down what came back, before anybody reads it."""
        told = [(attempt, noted) for attempt, outcome in outcomes if (noted := _note(outcome))]
        if told:
            self._write({"outcomes": told})

    def mark_stored(self, deliveries: Iterable[str]) -> None:
        """Note that the outcomes of these are committed."""
        self._open.difference_update(deliveries)

    @property
    def done(self) -> bool:
        """Whether every attempt that was given the page's name has its outcome in the database."""
        return not self._open

    def read(self) -> JournalEntries:
        """Read what stands there; a line that was cut off never led to a call."""
        notes = JournalEntries()
        for line in self._path.read_bytes().splitlines() if self._path else ():
            with suppress(json.JSONDecodeError):
                notes.take(json.loads(line))
        return notes

    def remove(self) -> None:
        """Remove it, with all that it holds of anybody."""
        if self._path:
            _attempted(self._path.unlink)

    def _write(self, note: Mapping[str, Any]) -> bool:
        held = self._held
        return held is None or _attempted(lambda: _append(held, note))


class CallJournal:
    """The folder of the pages. A disk that is full or gone stops no create: its doubts are settled without a page."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def page(self, step: Step) -> Iterator[JournalFile]:
        """Open a page for a batch; it is removed at the end unless something of it is not in the database.

        Only creates have one with a file: whatever else is asked of a carrier may be asked again.
        """
        opened: list[JournalFile] = []
        if step is Step.BOOK:
            _attempted(lambda: opened.append(self._new()))
        with opened[0] if opened else JournalFile() as page:
            yield page
            if page.done:
                page.remove()

    def abandoned(self) -> Iterator[JournalFile]:
        """Give each page that nobody writes, held while it is looked at."""
        for path in sorted(self._folder.glob(NAMES)):
            if page := _take(path):
                with page:
                    yield page

    def _new(self) -> JournalFile:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / secrets.token_hex(8)
        # Under its own name only once it is locked: before that, it would look as if it had been left.
        hidden = path.with_name(f".{path.name}")
        held = os.open(hidden, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o600)
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        hidden.rename(path)
        return JournalFile(path, held)


def _take(path: Path) -> JournalFile | None:
    """Lock a page; None while somebody else holds it, or when they were done with it just now."""
    with suppress(FileNotFoundError):
        held = os.open(path, os.O_RDWR)
        if _locked(held) and os.fstat(held).st_nlink:
            return JournalFile(path, held)
        os.close(held)
    return None


def _locked(held: int) -> bool:
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _attempted(work: Callable[[], object]) -> bool:
    """Do something on the disk; what the disk refuses is noted, and everything goes on without."""
    try:
        work()
    except OSError as error:
        logger.error("journal.failed", error=error.strerror)
        return False
    return True


def _append(held: int, note: Mapping[str, Any]) -> None:
    line = f"\n{json.dumps(note)}\n".encode()  # begun anew: the one before may have been cut off
    if os.write(held, line) < len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(held)


def _note(outcome: Outcome) -> dict[str, Any] | None:
    """Write an outcome down; None when it says nothing, or too much."""
    if isinstance(outcome, Unavailable):
        return {"unsent": str(outcome)}
    if isinstance(outcome, CarrierError) or len(outcome.body) > LARGEST:
        return None
    headers = {name: outcome.headers[name] for name in HEADERS if name in outcome.headers}
    return {"status": outcome.status, "headers": headers, "body": base64.b64encode(outcome.body).decode()}


def _outcome(noted: Mapping[str, Any]) -> Outcome:
    if "unsent" in noted:
        return Unavailable(noted["unsent"])
    return Reply(noted["status"], base64.b64decode(noted["body"]), noted["headers"])
