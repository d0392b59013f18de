"""Folders and files that only their owner may read: they hold orders, logs and passwords."""

import os
from pathlib import Path


def make_private(folder: Path) -> None:
    """Create a folder and its missing parents, all with mode 0700. An existing folder keeps its mode."""
    for each in () if folder.is_dir() else (*reversed(folder.parents), folder):
        each.mkdir(mode=0o700, exist_ok=True)


def create_private(path: Path) -> None:
    """Create an empty file with mode 0600, and its folder. An existing file stays as it is."""
    make_private(path.parent)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))


def write_private(path: Path, text: str) -> None:
    """Write a file with mode 0600."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o600)
        file.write(text)
