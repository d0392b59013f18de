"""Run commands in a test, and prepare the delivery that they show or change."""

import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from schemas.status import AttentionReason
from tests.web.edge import NOW
from worker import cli
from worker.carriers.port import Booked
from worker.container import Container, close
from worker.database import deliveries
from worker.domain import lifecycle
from worker.domain.delivery import Change, Delivery
from worker.errors import CarrierError

UNAVAILABLE_REDIS = "redis://127.0.0.1:1/0"


@dataclass
class Result:
    """The exit code of a command, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


class CommandLine:
    """The command line, with settings from environment variables only."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capfd = monkeypatch, capfd

    def set(self, **variables: str) -> None:
        """Set environment variables, given without their prefix."""
        for name, value in variables.items():
            self._monkeypatch.setenv(f"ORDER_SYNC_{name}", value)

    def unset(self, *variables: str) -> None:
        """Remove environment variables, given without their prefix."""
        for name in variables:
            self._monkeypatch.delenv(f"ORDER_SYNC_{name}")

    def __call__(self, *arguments: str, stdin: bytes = b"") -> Result:
        """Run a command."""
        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        self._capfd.readouterr()
        try:
            with capture_logs(), pytest.raises(SystemExit) as exit_:
                cli.main(arguments)
        finally:
            close()
        sys.stdout.flush()
        captured = self._capfd.readouterr()
        code = exit_.value.code
        return Result(code if isinstance(code, int) else 0, captured.out, captured.err)


def find(container: Container) -> Delivery:
    """Read the delivery of the order 2011."""
    (found,) = container.database.read(deliveries.find, "2011")
    return found


def change(container: Container, decide: Callable[[Delivery], Change | None]) -> None:
    """Apply a decision to the delivery of the order 2011."""
    container.database.persist(deliveries.update, [find(container).id], decide)


def apply_create_outcome(container: Container, outcome: Booked | CarrierError) -> None:
    """Begin a create with the attempt id 7, and apply its outcome."""
    change(container, lambda each: lifecycle.begin_booking(each, 7, "token", container.terms, NOW))
    change(container, lambda each: lifecycle.apply_create_outcome(each, 7, outcome, container.terms, NOW))


def request_attention(container: Container, *reasons: AttentionReason) -> None:
    """Let the delivery need an operator."""
    change(container, lambda each: Change(replace(each, attention_reasons=reasons)))


def write_file(name: str, text: str) -> str:
    """Write a file in the current folder, and return its name."""
    Path(name).write_text(text)
    return name
