"""What a trouble is in a run: how it is caused, how it is shown, and how it is settled."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.troubles.scene import Scene

Act = Callable[[Scene], object]
SURE = {"I am sure": "yes"}


@dataclass(frozen=True)
class Case:
    """One trouble."""

    name: str
    title: str
    """The title of its card, of its entry in `order-sync status` and of its message."""
    kind: str
    cause: Act
    settle: Act
    settled_by: str
    alert: Mapping[str, str]
    """Labels of the alert that fires."""
    flower: str = ""
    """A regular expression for the reason in the red row of Flower; empty if the trouble is not a task's."""
    order_id: str = ""
    """The order whose task Flower shows."""
    batch: str = "orders"
    """Troubles of one batch are present at the same time."""
    at_desk: bool = True
    """Whether it is settled at the desk; otherwise its cause ends."""


def card(title: str, button: str, fields: Mapping[str, str] | None = None) -> Act:
    """Return what presses a button of a card, and fills in the fields of its form by their labels."""
    return lambda scene: scene.press(title, button, fields)


def waits(kind: str) -> dict[str, str]:
    """Return the labels of the alert that watches every kind of trouble."""
    return {"alertname": "TroubleWaits", "kind": kind}
