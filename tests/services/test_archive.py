"""An archived delivery is in exactly one place: in the database, or once in a file, whatever happens in between."""

import gzip
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import event

from schemas.events import delivery_id
from schemas.status import AttemptState, AttentionReason, DeliveryStatus
from tests.database.samples import NOW, begun, place, rows
from tests.services.simulation import Simulation
from tests.services.test_erasing import TEXTS, customer
from worker.database import deliveries, outbox
from worker.database.connection import Connection, DatabaseError
from worker.database.database import Database
from worker.domain.delivery import Change, Delivery
from worker.services.archive import Archive, ArchiveError

LATER = NOW + timedelta(days=1)
FILE = "2026-11.jsonl.gz"
OLD = ("1", "2", "3")


class Died(Exception):
    """The process dies before it commits."""


@pytest.fixture
def archive(database: Database, tmp_path: Path) -> Archive:
    """Return an archive with three old deliveries in the database, and a newer one with the newest event."""
    place(database, *OLD)
    end(database, *OLD)
    place(database, "newest")
    waiting = database.read(outbox.unpublished, 100)
    database.write(outbox.mark_published, [(each.position, f"{each.position:0>13}-0000000000") for each in waiting])
    return Archive(database, tmp_path / "archive")


def end(database: Database, *order_ids: str, **more: Any) -> None:
    ended = {"status": DeliveryStatus.DELIVERED, "step": None, "next_run_at": None, "alarm_at": None, **more}

    def decide(delivery: Delivery) -> Change:
        return Change(replace(delivery, **ended))

    database.write(deliveries.update, [delivery_id("platform", each) for each in order_ids], decide)


def move(archive: Archive, limit: datetime = LATER) -> int:
    """Move page after page, each in a transaction; return how many deliveries were moved."""
    count = 0
    while (page := archive.database.write(archive.move, limit)).after is not None:
        count += page.count
    return count


def in_files(archive: Archive) -> list[str]:
    """Return the order ids in the files."""
    texts = [gzip.decompress(path.read_bytes()) for path in archive.folder.glob("*.gz")]
    return sorted(json.loads(line)["order_id"] for text in texts for line in text.splitlines())


def in_database(database: Database) -> list[str]:
    return sorted(row["order_id"] for row in rows(database, "delivery"))


def test_deliveries_are_moved_with_all_that_is_about_them(archive: Archive) -> None:
    stored = {row["key"]: row for row in rows(archive.database, "event")}
    assert move(archive) == 3
    assert (in_files(archive), in_database(archive.database)) == (["1", "2", "3"], ["newest"])
    for table, key in (("placed_order", "delivery_id"), ("event", "key")):
        assert [row[key] for row in rows(archive.database, table)] == [delivery_id("platform", "newest")]
    assert len(rows(archive.database, "publication")) == 1
    (document,) = archive.find("2")
    assert document["delivery"]["status"] == "delivered"
    assert [each["sequence"] for each in document["events"]] == [stored[document["delivery_id"]]["sequence"]]
    assert list(archive.find(document["delivery_id"])) == [document]
    assert list(archive.find("newest")) == []


def test_a_second_run_changes_nothing(archive: Archive) -> None:
    move(archive)
    before = (archive.folder / FILE).read_bytes()
    assert move(archive) == 0
    assert (archive.folder / FILE).read_bytes() == before


def test_the_files_are_readable_by_their_owner_alone(archive: Archive) -> None:
    move(archive)
    modes = [path.stat().st_mode & 0o777 for path in (archive.folder, archive.folder / FILE)]
    assert modes == [0o700, 0o600]


def test_what_is_not_over_stays_in_the_database(archive: Archive) -> None:
    end(archive.database, "1", attention_reasons=(AttentionReason.GOODS_WITH_COURIER,))
    end(archive.database, "2", next_run_at=LATER)
    assert move(archive, NOW) == 0
    assert move(archive) == 1
    assert (in_files(archive), in_database(archive.database)) == (["3"], ["1", "2", "newest"])


def test_a_delivery_with_a_surplus_courier_stays(archive: Archive) -> None:
    key = delivery_id("platform", "1")
    archive.database.write(deliveries.update, [key], lambda each: begun(each, surplus=True, state=AttemptState.CREATED))
    end(archive.database, "1")
    assert move(archive) == 2
    assert (in_files(archive), in_database(archive.database)) == (["2", "3"], ["1", "newest"])


def test_the_delivery_with_the_newest_event_stays(archive: Archive) -> None:
    end(archive.database, "newest")
    assert move(archive) == 3
    assert in_database(archive.database) == ["newest"]


def test_an_old_delivery_that_stays_does_not_keep_newer_ones(archive: Archive) -> None:
    key = delivery_id("platform", "1")
    archive.database.write(deliveries.update, [key], lambda each: begun(each, surplus=True, state=AttemptState.CREATED))
    end(archive.database, "1", created_at=NOW - timedelta(days=60))
    assert move(archive) == 2
    assert (in_files(archive), in_database(archive.database)) == (["2", "3"], ["1", "newest"])


# --- faults -----------------------------------------------------------------------------------------------------------


def test_a_process_that_dies_before_the_commit_loses_and_doubles_nothing(archive: Archive) -> None:
    def die(connection: Connection) -> None:
        archive.move(connection, LATER)
        raise Died

    with suppress(Died):
        archive.database.write(die)  # before the file is recorded
    archive.database.write(archive.move, LATER)
    with suppress(Died):
        archive.database.write(die)  # after a whole member was written
    assert (in_files(archive), in_database(archive.database)) == (["1", "2", "3"], ["1", "2", "3", "newest"])
    assert move(archive) == 3
    assert (in_files(archive), in_database(archive.database)) == (["1", "2", "3"], ["newest"])


def test_a_part_of_a_member_is_set_aside(archive: Archive) -> None:
    archive.database.write(archive.move, LATER)
    archive.folder.mkdir()
    (archive.folder / FILE).write_bytes(b"half a member")
    assert move(archive) == 3
    assert (in_files(archive), in_database(archive.database)) == (["1", "2", "3"], ["newest"])
    assert (archive.folder / f"{FILE}.uncommitted-at-0").read_bytes() == b"half a member"


def test_a_full_disk_moves_nothing(archive: Archive) -> None:
    archive.database.write(archive.move, LATER)
    archive.folder.mkdir()
    (archive.folder / FILE).symlink_to("/dev/full")
    with pytest.raises(ArchiveError, match=r"No space|Invalid"):
        archive.database.write(archive.move, LATER)
    assert in_database(archive.database) == ["1", "2", "3", "newest"]
    (archive.folder / FILE).unlink()
    assert move(archive) == 3
    assert in_files(archive) == ["1", "2", "3"]


def test_a_file_of_another_database_is_not_touched(archive: Archive) -> None:
    archive.folder.mkdir()
    (archive.folder / FILE).write_bytes(b"theirs")
    with pytest.raises(ArchiveError, match="was not written by this database"):
        archive.database.write(archive.move, LATER)
    assert (archive.folder / FILE).read_bytes() == b"theirs"
    assert in_database(archive.database) == ["1", "2", "3", "newest"]


def test_a_file_that_lost_bytes_is_reported(archive: Archive) -> None:
    move(archive)
    (archive.folder / FILE).write_bytes(b"")
    place(archive.database, "4", "5")
    end(archive.database, "4")
    waiting = archive.database.read(outbox.unpublished, 100)
    archive.database.write(outbox.mark_published, [(each.position, f"{each.position:0>13}-0") for each in waiting])
    with pytest.raises(ArchiveError, match="it was changed, or is another host's"):
        archive.database.write(archive.move, LATER)
    assert "4" in in_database(archive.database)


def test_a_process_that_slept_until_its_transaction_ended_overwrites_nothing(
    archive: Archive, postgres_url: str
) -> None:
    if archive.database.engine.dialect.name == "sqlite":
        return  # the transaction of a sleeping process excludes all others
    archive.database.write(archive.move, LATER)
    end(archive.database, "3", attention_reasons=(AttentionReason.GOODS_WITH_COURIER,))
    other = Archive(Database(postgres_url), archive.folder)
    slept: list[str] = []

    def sleep(connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        if slept or "archive_file" not in statement or "FOR UPDATE" not in statement:
            return
        slept.append(statement)
        process = connection.connection.driver_connection.info.backend_pid  # type: ignore[union-attr]
        with psycopg.connect(postgres_url) as admin:
            admin.execute("SELECT pg_terminate_backend(%s, 5000)", [process])
        end(other.database, "3", attention_reasons=())
        with suppress(ArchiveError):
            move(other)

    event.listen(archive.database.engine, "after_cursor_execute", sleep)
    with pytest.raises(DatabaseError):
        archive.database.write(archive.move, LATER)
    move(archive)
    assert [[each["order_id"] for each in archive.find(one)] for one in OLD] == [["1"], ["2"], ["3"]]
    assert (in_files(archive), in_database(archive.database)) == (["1", "2", "3"], ["newest"])
    other.database.close()


def test_a_new_month_begins_only_beside_the_files_of_the_earlier_ones(archive: Archive) -> None:
    move(archive)
    place(archive.database, "4", "5")
    end(archive.database, "4", created_at=NOW + timedelta(days=30))
    waiting = archive.database.read(outbox.unpublished, 100)
    archive.database.write(outbox.mark_published, [(each.position, f"{each.position:0>13}-0") for each in waiting])
    elsewhere = Archive(archive.database, archive.folder.with_name("elsewhere"))
    with pytest.raises(ArchiveError, match=f"{FILE} is missing: the folder is not mounted, or is another host's"):
        move(elsewhere, NOW + timedelta(days=60))
    assert "4" in in_database(archive.database)
    assert move(archive, NOW + timedelta(days=60)) == 1


def test_a_damaged_file_is_reported(archive: Archive) -> None:
    move(archive)
    path = archive.folder / FILE
    path.write_bytes(b"?" * path.stat().st_size)
    with pytest.raises(ArchiveError, match="is damaged at 0: "):
        list(archive.find("2"))


def test_two_processes_at_once_move_each_delivery_once(archive: Archive) -> None:
    with ThreadPoolExecutor(2) as pool:
        moved = list(pool.map(lambda _: move(archive), range(2)))
    move(archive)  # a page of the other one was locked
    assert sum(moved) <= 3
    assert (in_files(archive), in_database(archive.database)) == (["1", "2", "3"], ["newest"])


# --- the whole product ------------------------------------------------------------------------------------------------


@pytest.fixture
def simulation(tmp_path: Path) -> Iterator[Simulation]:
    made = Simulation(tmp_path, ARCHIVE_FOLDER=str(tmp_path / "archive"), KEEP_CUSTOMERS_DAYS="1000")
    yield made
    made.close()


def archived(simulation: Simulation) -> dict[str, int]:
    """Let an order be delivered and archived."""
    simulation.place(**customer())
    simulation.until(lambda each: each.delivery().step is None)
    simulation.now += timedelta(days=401)
    simulation.place(store_id="21", order_id="2012")
    simulation.work()
    return simulation.container.retention.delete_old().removed


def test_the_purge_archives_instead_of_deleting(simulation: Simulation) -> None:
    assert archived(simulation)["deliveries"] == 1
    assert simulation.container.archive is not None
    (document,) = simulation.container.archive.find("2011")
    assert [each["sequence"] for each in document["events"]] == list(range(1, len(document["events"]) + 1))


def test_an_archive_contains_no_personal_data(simulation: Simulation, tmp_path: Path) -> None:
    archived(simulation)
    (path,) = (tmp_path / "archive").iterdir()
    text = gzip.decompress(path.read_bytes()).decode()
    assert [each for each in TEXTS if each in text] == []


def test_a_message_about_an_archived_order_brings_no_second_courier(simulation: Simulation) -> None:
    archived(simulation)
    before = simulation.ledger()
    simulation.place(**customer(), revision=2)
    simulation.work()
    simulation.cancel()
    simulation.work()
    assert simulation.ledger() == before
    assert [each["order_id"] for each in rows(simulation.container.database, "delivery")] == ["2012"]


def test_a_process_without_the_folder_deletes_no_delivery_of_a_database_with_an_archive(simulation: Simulation) -> None:
    assert archived(simulation)["deliveries"] == 1
    simulation.until(lambda each: each.delivery("2012").step is None)
    simulation.now += timedelta(days=401)
    simulation.place(store_id="21", order_id="2013")
    simulation.work()
    without = replace(simulation.container.retention, archive=None)
    assert without.delete_old().removed.keys() & {"deliveries", "events"} == set()
    assert simulation.container.retention.delete_old().removed == {"deliveries": 1}


def test_a_fault_of_the_archive_stops_nothing_else(simulation: Simulation, tmp_path: Path) -> None:
    (tmp_path / "archive").write_text("a file in place of the folder")
    removed = archived(simulation)
    assert "deliveries" not in removed
    assert simulation.status("2011") == "delivered"
    assert "messages" in removed
    (tmp_path / "archive").unlink()
    assert simulation.container.retention.delete_old().removed == {"deliveries": 1}
