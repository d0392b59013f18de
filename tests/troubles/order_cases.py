"""The troubles of orders, which an operator settles at the desk."""

from collections.abc import Mapping
from typing import Any

from schemas.platform_status import PlatformStatus
from schemas.status import AttentionReason as A
from tests.troubles.case import SURE, Act, Case, card, waits
from tests.troubles.scene import STORE, Scene
from worker.services.system_troubles import SystemTrouble as T

DEALT_WITH, ABSENT = "It is dealt with…", "It does not exist…"
CALLED, SAID_NO = {"Your reason": "called them"}, {"Your reason": "they said no", **SURE}
PICKED_UP = "active/parcel_picked_up"


def _attention(
    reason: A,
    title: str,
    cause: Act,
    button: str = DEALT_WITH,
    fields: Mapping[str, str] | None = CALLED,
    **more: Any,
) -> Case:
    """Return the trouble of an attention reason, which a button of its card settles."""
    given = {"name": reason.value, "alert": {"alertname": "AttentionNeeded", "reason": reason.value}, **more}
    settle, settled_by = card(title, button, fields), button.removesuffix("…")
    return Case(title=title, kind=reason, cause=cause, settle=settle, settled_by=settled_by, **given)


def _without_store(reason: A, order_id: str, store: str, title: str) -> Case:
    fields = {"The store, as in stores.toml": STORE.format(id=store)}

    def cause(scene: Scene) -> None:
        scene.place(order_id, store=store)

    return _attention(reason, title, cause, "Add the store…", fields)


def _lost_answer(order_id: str, carrier: str, creates: int) -> Case:
    """Lose so many creates. Where look-ups prove that there is no order, one more create is sent by itself."""

    def cause(scene: Scene) -> None:
        sandbox = scene.environment.sandbox
        sandbox.begin_fault("error_before", api=carrier, operation="create", times=creates, match=order_id)
        scene.place(order_id, carrier)

    title = f"Is a courier coming? {carrier} gave no clear answer about order {order_id}"
    more = {"name": f"lost_answer_{carrier}", "flower": "outcome unknown", "order_id": order_id}
    return _attention(A.OUTCOME_UNKNOWN, title, cause, ABSENT, SAID_NO, **more)


def _duplicate() -> Case:
    def cause(scene: Scene) -> None:
        scene.place("2007", "borzo", script="refused=order_is_duplicate")

    title = "Is a courier coming? borzo calls order 2007 a duplicate"
    more = {"flower": r"refused \(duplicate\)", "order_id": "2007"}
    return _attention(A.DUPLICATE_AT_CARRIER, title, cause, ABSENT, SAID_NO, **more)


def _surplus_courier() -> Case:
    """Let a carrier create an order after it was proven absent and created again, and refuse to cancel it."""

    def cause(scene: Scene) -> None:
        sandbox = scene.environment.sandbox
        sandbox.begin_fault("late", api="borzo", operation="create", match="2008", delay=300)
        sandbox.begin_fault("refused", api="borzo", operation="cancel", times=None, body="invalid_order")
        scene.place("2008", "borzo")

    title = "A surplus courier of borzo may come for order 2008"
    return _attention(A.SURPLUS_COURIER, title, cause)


def _cancel_refused() -> Case:
    def cause(scene: Scene) -> None:
        scene.book("2009", "borzo")
        scene.set_status("2009", "borzo", PICKED_UP, "picked_up")
        scene.cancel("2009")

    return _attention(A.CANCEL_REFUSED, "borzo refuses to cancel order 2009", cause)


def _after_pickup(reason: A, order_id: str, status: str, title: str) -> Case:
    """Let a carrier report a status once the courier has the goods."""

    def cause(scene: Scene) -> None:
        scene.book(order_id, "borzo")
        scene.set_status(order_id, "borzo", PICKED_UP, "picked_up")
        scene.set_status(order_id, "borzo", status)

    return _attention(reason, title, cause)


def _changed(reason: A, order_id: str, title: str, **fields: Any) -> Case:
    """Change an order once a carrier has it."""

    def cause(scene: Scene) -> None:
        scene.book(order_id, "cervo")
        scene.change(order_id, **fields)

    return _attention(reason, title, cause)


def _unmapped_status() -> Case:
    def cause(scene: Scene) -> None:
        scene.book("2003", "borzo")
        scene.set_status("2003", "borzo", PICKED_UP, "picked_up")
        scene.set_status("2003", "borzo", "active/left_in_locker")

    title, kind = "borzo reports a status that we do not know: delivery:left_in_locker", T.UNMAPPED_STATUS
    settle = card(title, "Say what it means…", {"It means": "delivered"})
    return Case(kind.value, title, kind, cause, settle, "Say what it means", waits(kind))


def _dead_letter() -> Case:
    def cause(scene: Scene) -> None:
        scene.environment.redis.xadd("orders", {"event": b"\xff"})

    title, alert = "1 message could not be read", {"alertname": "DeadLetters"}
    settle = card(title, "Discard…")
    return Case("dead_letter", title, T.DEAD_LETTERS, cause, settle, "Discard", alert)


def _offer() -> Case:
    def cause(scene: Scene) -> None:
        scene.place("2016", "deliverit", script="offered_late")

    title = "deliverit offers another pickup time for order 2016"
    return _attention(A.OFFER_WAITS, title, cause, "Accept the time…", None, batch="offer")


ORDER_CASES = (
    _surplus_courier(),
    _lost_answer("2004", "cervo", 1),
    _lost_answer("2005", "borzo", 2),
    _lost_answer("2006", "deliverit", 2),
    _without_store(A.UNKNOWN_STORE, "2001", "77", "Store 77 is not in the store directory"),
    _without_store(A.NO_CONFIGURED_CARRIER, "2002", "78", "No carrier of store 78 has an account"),
    _unmapped_status(),
    _duplicate(),
    _cancel_refused(),
    _changed(
        A.ORDER_CHANGED_AFTER_DISPATCH,
        "2010",
        "cervo does not know that order 2010 has changed",
        notes="sandbox:happy the blue door",
    ),
    _changed(
        A.PLATFORM_PICKUP_FAILED,
        "2011",
        "The platform says that a driver could not pick up order 2011",
        status=PlatformStatus.PICK_UP_FAILED_BY_DRIVER,
    ),
    _changed(
        A.PLATFORM_CANCELED_BY_DRIVER,
        "2012",
        "The platform says that a driver cancelled order 2012",
        status=PlatformStatus.CANCELED_BY_DRIVER,
    ),
    _dead_letter(),
    _after_pickup(
        A.GOODS_WITH_COURIER, "2013", "canceled/canceled", "The courier of borzo still has the goods of order 2013"
    ),
    _after_pickup(A.WENT_BACKWARDS, "2014", "available/planned", "borzo shows order 2014 at an earlier status"),
    _changed(
        A.ORDER_CHANGED_WITHOUT_REVISION,
        "2015",
        "The platform demo changed orders without a new revision",
        revision=1,
        notes="sandbox:happy third floor",
    ),
    _offer(),
)
