"""The disk of the call journal: a disk that loses what was written is reported."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from worker.resilience.journal_disk import MOUNTS, journal_faults

MEMORY = Path("/dev/shm")


def mounted(tmp_path: Path, kind: str) -> Path:
    """Write a table of mounts in which `tmp_path` is a file system of this kind."""
    table = tmp_path / "mounts"
    table.write_text(
        f"/dev/sda1 / ext4 rw 0 0\nserver:/x {tmp_path} {kind} rw 0 0\nnone {tmp_path}/other ramfs rw 0 0\n"
    )
    return table


def test_a_local_disk_with_room_has_no_fault_and_keeps_no_file_of_the_check(tmp_path: Path) -> None:
    assert journal_faults(tmp_path / "journal", 0, mounted(tmp_path, "ext4")) == []
    assert list((tmp_path / "journal").iterdir()) == []


@pytest.mark.skipif(not MEMORY.is_dir() or not MOUNTS.exists(), reason="there is no file system in memory here")
def test_a_folder_in_memory_is_reported() -> None:
    with TemporaryDirectory(dir=MEMORY) as folder:
        (fault,) = journal_faults(Path(folder), 0)
    advice = "set ORDER_SYNC_JOURNAL_FOLDER to a local disk"
    assert fault == f"{folder} is in memory: a restart of the machine loses the journal; {advice}"


@pytest.mark.skipif(not MOUNTS.exists(), reason="this system has no table of mounts")
@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("nfs4", "is on a file system of the network (nfs4)"),
        ("overlay", "is the layer of a container: its end loses the journal"),
    ],
)
def test_a_folder_that_may_vanish_is_reported(tmp_path: Path, kind: str, fault: str) -> None:
    expected = f"{tmp_path} {fault}; set ORDER_SYNC_JOURNAL_FOLDER to a local disk"
    assert journal_faults(tmp_path, 0, mounted(tmp_path, kind)) == [expected]


@pytest.mark.skipif(not MOUNTS.exists(), reason="this system has no table of mounts")
def test_a_mount_whose_path_has_spaces_is_found_and_the_last_of_several_counts(tmp_path: Path) -> None:
    folder = tmp_path / "my journal"
    folder.mkdir()
    point = str(folder).replace(" ", "\\040")
    table = tmp_path / "mounts"
    table.write_text(f"/dev/sda1 / ext4 rw 0 0\nauto {point} autofs rw 0 0\nserver:/x {point} nfs4 rw 0 0\n")
    (fault,) = journal_faults(folder, 0, table)
    assert fault.startswith(f"{folder} is on a file system of the network (nfs4)")


def test_a_disk_that_is_nearly_full_is_reported(tmp_path: Path) -> None:
    (fault,) = journal_faults(tmp_path, 2**63, mounted(tmp_path, "ext4"))
    assert fault.endswith(f"MB are free on the disk of {tmp_path}: make room")
