"""Conditions inside the processes of a run that change while they run: each is a file, which a process reads each time.

A condition without a file is the ordinary one.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

VARIABLE = "CHAOS_CONDITIONS"


@dataclass(frozen=True)
class Conditions:
    """The folder of the conditions; without one, every condition is the ordinary one."""

    folder: Path | None

    @classmethod
    def inherited(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Return the conditions of the parent process."""
        folder = environ.get(VARIABLE)
        return cls(Path(folder) if folder else None)

    @property
    def variable(self) -> dict[str, str]:
        """The environment variable that hands these conditions to a child process."""
        return {VARIABLE: str(self.folder)} if self.folder else {}

    def begin(self, name: str, value: str) -> None:
        """Set a condition; no process ever reads a part of the value."""
        assert self.folder is not None
        self.folder.mkdir(parents=True, exist_ok=True)
        written = self.folder / f".{name}"
        written.write_text(value)
        written.rename(self.folder / name)

    def end(self, name: str) -> None:
        """Return to the ordinary condition."""
        assert self.folder is not None
        (self.folder / name).unlink(missing_ok=True)

    def read(self, name: str, ordinary: str) -> str:
        """Return the value of a condition."""
        if self.folder is not None:
            with suppress(FileNotFoundError):
                return (self.folder / name).read_text()
        return ordinary
