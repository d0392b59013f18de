"""A SQLite database can be read only by its owner, and keeps no text that was replaced."""

import os
from pathlib import Path

import pytest

from tests.database.samples import ORDER, message, order, place, store_messages
from worker.database.database import Database


def test_the_files_of_a_new_database_can_be_read_by_their_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        database = Database(f"sqlite:///{tmp_path}/var/new.db")
        database.create()
        modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "var").iterdir()}
        database.close()
    finally:
        os.umask(before)
    assert modes == {"new.db": 0o600, "new.db-wal": 0o600, "new.db-shm": 0o600}
    assert (tmp_path / "var").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_replaced_text_is_in_no_file_after_the_database_is_compacted(database: Database, tmp_path: Path) -> None:
    street = ORDER.dropoff.street.encode()
    place(database)
    another = ORDER.dropoff.model_copy(update={"street": "Elsewhere 1"})
    store_messages(database, message(order(revision=2, dropoff=another), "second"))
    assert [path.name for path in tmp_path.iterdir() if street in path.read_bytes()] != []
    database.compact()
    assert [path.name for path in tmp_path.iterdir() if street in path.read_bytes()] == []
