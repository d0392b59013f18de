"""Who decides what the program cannot decide, and why."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Operator:
    """A person who acts, and their reason."""

    name: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class OperatorAction:
    """What an operator did, as it is recorded for good."""

    at: datetime
    operator: str
    action: str
    """The command of `order-sync`, without its arguments."""
    reason: str = ""
    delivery_id: str | None = None
    subject: str | None = None
    """What the action is about, if it is no delivery, or with what it was done: an account, a carrier's id, a store."""
