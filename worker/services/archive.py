"""The archive: deliveries that ended long ago, with their events, in compressed files by month instead of the database.

A file is a sequence of gzip members; each has a JSON document for each delivery of one transaction, in lines. The
transaction commits after its member is on the disk and was read back. The database has the length of each file at the
last commit. Bytes beyond it are from a transaction that did not commit, so their deliveries are still in the database.
They are moved away before the next member is written. So each delivery is either in the database or in a file.
"""

import gzip
import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from fcntl import LOCK_EX, LOCK_NB, flock
from io import FileIO
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from worker.database import archive
from worker.database.archive import Place
from worker.database.connection import Connection
from worker.database.database import Database
from worker.database.retention import Page
from worker.folders import create_private, make_private

SUFFIX = ".jsonl.gz"
GZIP = 16 + zlib.MAX_WBITS
"""The format of a gzip member."""


class ArchiveError(Exception):
    """The folder of the archive cannot be used, or is not as this database left it; an operator must look at it."""


@dataclass(frozen=True)
class Archive:
    """Move deliveries into files, and find them there."""

    database: Database
    folder: Path

    def move(self, connection: Connection, limit: datetime, _after: int = 0) -> Page:
        """Move the oldest deliveries that were placed before `limit` and have ended, at most a page of one month.

        The first page of a month only records that its file begins. Raises ArchiveError; then nothing is moved.
        """
        found = archive.oldest(connection, limit)
        documents = archive.documents(connection, found)
        if not documents:
            return Page(0)
        name = f"{archive.month(found[0].created_at)}{SUFFIX}"
        try:
            if archive.begin_file(connection, name):
                self._check_folder(connection, name)
                return Page(0, 0)
            begin, end = self._append(connection, name, documents.values())
        except OSError as error:
            raise ArchiveError(str(error)) from error
        archive.finish(connection, Place(name, begin), end, list(documents))
        return Page(len(documents), 0)

    def find(self, name: str, source: str = "") -> Iterator[dict[str, Any]]:
        """Yield the archived deliveries with an id, or of the orders with an id. Raises ArchiveError and OSError.

        Without a source, an order is found only while a message of its source is stored.
        """
        for delivery_id, place in self.database.read(archive.find, name, source).items():
            yield self._read(delivery_id, place)

    # --- the files ----------------------------------------------------------------------------------------------------

    def _path(self, name: str) -> Path:
        return self.folder / name

    def _check_folder(self, connection: Connection, name: str) -> None:
        """Raise ArchiveError if a new file would not be beside the other files of this database."""
        if self._path(name).exists():
            raise ArchiveError(f"{self._path(name)} was not written by this database: use another folder")
        newest = archive.newest_file(connection)
        if newest is not None and not self._path(newest).exists():
            raise ArchiveError(f"{self._path(newest)} is missing: the folder is not mounted, or is another host's")

    def _append(self, connection: Connection, name: str, documents: Iterable[bytes]) -> tuple[int, int]:
        """Write documents behind the recorded size, and read them back; return the recorded size and the new one."""
        member, path = gzip.compress(b"".join(each + b"\n" for each in documents), mtime=0), self._path(name)
        make_private(self.folder)
        create_private(path)
        with path.open("r+b", buffering=0) as file:  # what could not be written must not be written when it is closed
            # The size is read under this lock. A process that slept until the database ended its transaction would
            # otherwise write over what another one has archived meanwhile.
            flock(file, LOCK_EX | LOCK_NB)
            size = archive.size(connection, name)
            self._set_aside(file, path, size)
            try:
                file.seek(size)
                left = memoryview(member)
                while left:
                    left = left[file.write(left) :]
                os.fsync(file.fileno())
            except OSError:
                file.truncate(size)  # a full disk gets its space back
                raise
            _sync(self.folder)
            file.seek(size)
            if file.read() != member:
                raise ArchiveError(f"{path} does not contain what was written to it: the disk is broken")
        return size, size + len(member)

    def _set_aside(self, file: FileIO, path: Path, size: int) -> None:
        """Move what is behind the recorded size to a file of its own."""
        length = file.seek(0, os.SEEK_END)
        if length < size:
            raise ArchiveError(f"{path} has {length} bytes instead of {size}: it was changed, or is another host's")
        if length == size:
            return
        aside = path.with_name(f"{path.name}.uncommitted-at-{size}")
        create_private(aside)
        file.seek(size)
        with aside.open("wb") as copy:
            copy.write(file.read())
            copy.flush()
            os.fsync(copy.fileno())
        file.truncate(size)

    def _read(self, delivery_id: str, place: Place) -> dict[str, Any]:
        path = self._path(place.file)
        with path.open("rb") as file:
            file.seek(place.position)
            decompress, text = zlib.decompressobj(GZIP), bytearray()
            try:
                while not decompress.eof and (block := file.read(2**16)):
                    text += decompress.decompress(block)
            except zlib.error as error:
                raise ArchiveError(f"{path} is damaged at {place.position}: {error}") from None
        for line in text.splitlines():
            document: dict[str, Any] = from_json(line)
            if document["delivery_id"] == delivery_id:
                return document
        raise ArchiveError(f"{path} does not contain the delivery at {place.position}")


def _sync(folder: Path) -> None:
    """Let the name of a new file outlast a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
