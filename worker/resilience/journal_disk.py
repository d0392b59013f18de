"""The disk of the call journal: whether it keeps what was written, however the machine ends."""

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from worker.folders import make_private

LEAST_FREE = 100_000_000
"""The free bytes below which a disk is nearly full."""
MOUNTS = Path("/proc/self/mounts")
ESCAPED = re.compile(r"\\([0-7]{3})")
"""A space, tab, line end or backslash in the path of a mount."""
VOLATILE = {
    "tmpfs": "is in memory: a restart of the machine loses the journal",
    "ramfs": "is in memory: a restart of the machine loses the journal",
    "overlay": "is the layer of a container: its end loses the journal",
}
REMOTE = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "fuse.glusterfs", "ceph"})


def journal_faults(folder: Path, least_free: int = LEAST_FREE, mounts: Path = MOUNTS) -> list[str]:
    """Write to the journal's folder as the journal does, and return what is wrong with its disk.

    Raises OSError if the folder cannot be written.
    """
    return [*disk_faults(folder, least_free), *_faults(folder, mounts)]


def disk_faults(folder: Path, least_free: int = LEAST_FREE) -> list[str]:
    """Write to a folder and sync it; return a line if its disk is nearly full. Raises OSError if that is impossible."""
    make_private(folder)
    with tempfile.NamedTemporaryFile(dir=folder, prefix="check-") as file:
        file.write(b"order-sync check\n")
        file.flush()
        os.fsync(file.fileno())
    free = shutil.disk_usage(folder).free
    return [f"only {free // 1_000_000} MB are free on the disk of {folder}: make room"] if free < least_free else []


def _faults(folder: Path, mounts: Path) -> Iterator[str]:
    kind = _file_system(folder.resolve(), mounts)
    if kind in VOLATILE:
        yield f"{folder} {VOLATILE[kind]}; set ORDER_SYNC_JOURNAL_FOLDER to a local disk"
    if kind in REMOTE:
        yield f"{folder} is on a file system of the network ({kind}); set ORDER_SYNC_JOURNAL_FOLDER to a local disk"


def _file_system(folder: Path, mounts: Path) -> str:
    """Return the type of the file system of a folder; empty where the system does not show it."""
    if sys.platform != "linux":
        return ""
    # A later mount at the same place hides an earlier one.
    fields = (line.split() for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines())
    kinds = {ESCAPED.sub(_character, point): kind for _, point, kind, *_ in fields}
    return next((kinds[str(each)] for each in (folder, *folder.parents) if str(each) in kinds), "")


def _character(escaped: re.Match[str]) -> str:
    return chr(int(escaped[1], 8))
