"""The table of the troubles: how each is caused, how it is shown, and how it is settled."""

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from schemas.status import AttentionReason as A
from tests.chaos.proxy import Mode
from tests.troubles.scene import STORE, Scene
from worker.domain.trouble import Severity
from worker.services.system_troubles import SystemTrouble as T

Act = Callable[[Scene], object]
SURE = {"I am sure": "yes"}
SAID_NO = {"Your reason": "they said no", **SURE}


@dataclass(frozen=True)
class Case:
    """One trouble."""

    name: str
    title: str
    """The title of its card, of its entry in `order-sync status` and of its message."""
    kind: str
    severity: Severity
    cause: Act
    settle: Act
    settled_by: str
    alert: Mapping[str, str]
    """Labels of the alert that fires."""
    flower: str = ""
    """The reason in the red row of Flower; empty if the trouble is not a task's."""
    order_id: str = ""
    batch: str = "orders"
    """Troubles of one batch are present at the same time."""
    at_desk: bool = True
    """Whether it is settled at the desk; otherwise its cause ends."""


def _attention(reason: A) -> dict[str, str]:
    return {"alertname": "AttentionNeeded", "reason": reason.value}


def _waits(kind: T) -> dict[str, str]:
    return {"alertname": "TroubleWaits", "kind": kind.value}


def _card(title: str, button: str, fields: Mapping[str, str] | None = None) -> Act:
    return lambda scene: scene.press(title, button, fields)


def _dealt_with(title: str) -> Act:
    return _card(title, "It is dealt with…", {"Your reason": "called them"})


def _lost_answer(order_id: str, carrier: str, creates: int = 2) -> Case:
    title = f"Is a courier coming? {carrier} gave no clear answer about order {order_id}"

    def cause(scene: Scene) -> None:
        """Lose creates. After the first, look-ups may prove that there is no order, and another create is sent."""
        sandbox = scene.environment.sandbox
        sandbox.begin_fault("error_before", api=carrier, operation="create", times=creates, match=order_id)
        scene.place(order_id, carrier)

    return Case(
        f"lost_answer_{carrier}",
        title,
        A.OUTCOME_UNKNOWN,
        Severity.UNKNOWN_OUTCOME,
        cause,
        _card(title, "It does not exist…", SAID_NO),
        "It does not exist",
        _attention(A.OUTCOME_UNKNOWN),
        flower="outcome unknown",
        order_id=order_id,
    )


def _unknown_store() -> Case:
    title = "Store 77 is not in the store directory"
    return Case(
        "unknown_store",
        title,
        A.UNKNOWN_STORE,
        Severity.WAITING,
        lambda scene: scene.place("2001", store="77"),
        _card(title, "Add the store…", {"The store, as in stores.toml": STORE.format(id=77)}),
        "Add the store",
        _attention(A.UNKNOWN_STORE),
    )


def _no_configured_carrier() -> Case:
    title = "No carrier of store 78 has an account"
    return Case(
        "no_configured_carrier",
        title,
        A.NO_CONFIGURED_CARRIER,
        Severity.WAITING,
        lambda scene: scene.place("2002", store="78"),
        _card(title, "Add the store…", {"The store, as in stores.toml": STORE.format(id=78)}),
        "Add the store",
        _attention(A.NO_CONFIGURED_CARRIER),
    )


def _unmapped_status() -> Case:
    title = "borzo reports a status that we do not know: delivery:left_in_locker"

    def cause(scene: Scene) -> None:
        scene.place("2003", "borzo")
        scene.has_courier("2003", "borzo")
        scene.set_status("2003", "borzo", "active/parcel_picked_up", "picked_up")
        scene.set_status("2003", "borzo", "active/left_in_locker")

    return Case(
        "unmapped_status",
        title,
        T.UNMAPPED_STATUS,
        Severity.WAITING,
        cause,
        _card(title, "Say what it means…", {"It means": "delivered"}),
        "Say what it means",
        _waits(T.UNMAPPED_STATUS),
    )


def _duplicate() -> Case:
    title = "Is a courier coming? borzo calls order 2007 a duplicate"
    return Case(
        "duplicate_at_carrier",
        title,
        A.DUPLICATE_AT_CARRIER,
        Severity.UNKNOWN_OUTCOME,
        lambda scene: scene.place("2007", "borzo", script="refused=order_is_duplicate"),
        _card(title, "It does not exist…", SAID_NO),
        "It does not exist",
        _attention(A.DUPLICATE_AT_CARRIER),
        flower="refused (duplicate)",
        order_id="2007",
    )


def _surplus_courier() -> Case:
    title = "A surplus courier of borzo may come for order 2008"

    def cause(scene: Scene) -> None:
        """Let the carrier create an order late, after it was proven absent and created again; refuse its cancel."""
        sandbox = scene.environment.sandbox
        sandbox.begin_fault("late", api="borzo", operation="create", match="2008", delay=300)
        sandbox.begin_fault("refused", api="borzo", operation="cancel", times=None, body="invalid_order")
        scene.place("2008", "borzo")

    return Case(
        "surplus_courier",
        title,
        A.SURPLUS_COURIER,
        Severity.GOODS_ON_THE_ROAD,
        cause,
        _dealt_with(title),
        "It is dealt with",
        _attention(A.SURPLUS_COURIER),
    )


def _cancel_refused() -> Case:
    title = "borzo refuses to cancel order 2009"

    def cause(scene: Scene) -> None:
        scene.place("2009", "borzo")
        scene.has_courier("2009", "borzo")
        scene.set_status("2009", "borzo", "active/parcel_picked_up", "picked_up")
        scene.cancel("2009")

    return Case(
        "cancel_refused",
        title,
        A.CANCEL_REFUSED,
        Severity.GOODS_ON_THE_ROAD,
        cause,
        _dealt_with(title),
        "It is dealt with",
        _attention(A.CANCEL_REFUSED),
    )


def _changed_after_dispatch() -> Case:
    title = "cervo does not know that order 2010 has changed"

    def cause(scene: Scene) -> None:
        scene.place("2010", "cervo")
        scene.has_courier("2010", "cervo")
        scene.change("2010", notes="sandbox:happy the blue door")

    return Case(
        "order_changed_after_dispatch",
        title,
        A.ORDER_CHANGED_AFTER_DISPATCH,
        Severity.GOODS_ON_THE_ROAD,
        cause,
        _dealt_with(title),
        "It is dealt with",
        _attention(A.ORDER_CHANGED_AFTER_DISPATCH),
    )


def _platform_status(name: str, reason: A, order_id: str, status: int, text: str) -> Case:
    title = f"The platform says that a driver {text} order {order_id}"

    def cause(scene: Scene) -> None:
        scene.place(order_id, "cervo")
        scene.has_courier(order_id, "cervo")
        scene.change(order_id, status=status)

    return Case(
        name,
        title,
        reason,
        Severity.WAITING,
        cause,
        _dealt_with(title),
        "It is dealt with",
        _attention(reason),
    )


def _dead_letter() -> Case:
    title = "1 message could not be read"
    return Case(
        "dead_letter",
        title,
        T.DEAD_LETTERS,
        Severity.WAITING,
        lambda scene: scene.environment.redis.xadd("orders", {"event": b"\xff"}),
        _card(title, "Discard…"),
        "Discard",
        {"alertname": "DeadLetters"},
    )


def _goods_with_courier() -> Case:
    title = "The courier of borzo still has the goods of order 2013"

    def cause(scene: Scene) -> None:
        scene.place("2013", "borzo")
        scene.has_courier("2013", "borzo")
        scene.set_status("2013", "borzo", "active/parcel_picked_up", "picked_up")
        scene.set_status("2013", "borzo", "canceled/canceled")

    return Case(
        "goods_with_courier",
        title,
        A.GOODS_WITH_COURIER,
        Severity.GOODS_ON_THE_ROAD,
        cause,
        _dealt_with(title),
        "It is dealt with",
        _attention(A.GOODS_WITH_COURIER),
    )


def _went_backwards() -> Case:
    title = "borzo shows order 2014 at an earlier status"

    def cause(scene: Scene) -> None:
        scene.place("2014", "borzo")
        scene.has_courier("2014", "borzo")
        scene.set_status("2014", "borzo", "active/parcel_picked_up", "picked_up")
        scene.set_status("2014", "borzo", "available/planned")

    return Case(
        "went_backwards",
        title,
        A.WENT_BACKWARDS,
        Severity.GOODS_ON_THE_ROAD,
        cause,
        _dealt_with(title),
        "It is dealt with",
        _attention(A.WENT_BACKWARDS),
    )


def _changed_without_revision() -> Case:
    title = "The platform demo changed orders without a new revision"

    def cause(scene: Scene) -> None:
        scene.place("2015", "cervo")
        scene.has_courier("2015", "cervo")
        scene.change("2015", revision=1, notes="sandbox:happy third floor")

    return Case(
        "changed_without_revision",
        title,
        A.ORDER_CHANGED_WITHOUT_REVISION,
        Severity.WAITING,
        cause,
        _dealt_with(title),
        "It is dealt with",
        _attention(A.ORDER_CHANGED_WITHOUT_REVISION),
    )


def _offer() -> Case:
    title = "deliverit offers another pickup time for order 2016"
    return Case(
        "offer_waits",
        title,
        A.OFFER_WAITS,
        Severity.LATE,
        lambda scene: scene.place("2016", "deliverit", script="offered_late"),
        _card(title, "Accept the time…"),
        "Accept the time",
        _attention(A.OFFER_WAITS),
        batch="offer",
    )


# --- accounts ---------------------------------------------------------------------------------------------------------


def _credentials() -> Case:
    title = "cervo refuses our credentials"

    def cause(scene: Scene) -> None:
        scene.environment.sandbox.begin_fault("unauthorized", api="cervo", times=None)
        scene.place("2021", "cervo")

    def settle(scene: Scene) -> None:
        scene.environment.sandbox.end_faults()
        scene.press(title, "Resume now…")

    return Case(
        "credentials_refused",
        title,
        T.ACCOUNT_PAUSED,
        Severity.WAITING,
        cause,
        settle,
        "the right token, and Resume now",
        {"alertname": "CarrierPaused", "carrier": "cervo", "by": "carrier"},
        flower="waiting (account paused)",
        order_id="2021",
        batch="accounts",
    )


def _paused() -> Case:
    title = "deliverit is paused by an operator"

    def cause(scene: Scene) -> None:
        scene.pause("deliverit")
        scene.place("2022", "deliverit")

    return Case(
        "account_paused",
        title,
        T.ACCOUNT_PAUSED,
        Severity.WAITING,
        cause,
        _card(title, "Resume now…"),
        "Resume now",
        {"alertname": "CarrierPaused", "carrier": "deliverit", "by": "operator"},
        flower="waiting (account paused)",
        order_id="2022",
        batch="accounts",
    )


def _carrier_fault(name: str, kind: T, title: str, fault: str, batch: str, flower: str, severity: Severity) -> Case:
    orders = [f"{name}-{number}" for number in range(8)]

    def cause(scene: Scene) -> None:
        scene.environment.sandbox.begin_fault(fault, api="borzo", times=None)
        for each in orders:
            scene.place(each, "borzo")

    return Case(
        name,
        title,
        kind,
        severity,
        cause,
        lambda scene: scene.environment.sandbox.end_faults(),
        "the carrier: it answers again",
        {"alertname": "BreakerOpen", "carrier": "borzo"},
        flower=flower,
        order_id=orders[0],
        batch=batch,
        at_desk=False,
    )


def _creates_held() -> Case:
    title = "No order is sent to any carrier"

    def cause(scene: Scene) -> None:
        scene.environment.run("carriers", "hold", "--by", "maria", "--reason", "an audit")
        scene.place("2024", "cervo")

    return Case(
        "creates_held",
        title,
        T.CREATES_HELD,
        Severity.WAITING,
        cause,
        _card(title, "Send creates again…", {"Your reason": "the audit is over", **SURE}),
        "Send creates again",
        {"alertname": "CarrierPaused", "carrier": "*", "by": "operator"},
        flower="waiting (creates held)",
        order_id="2024",
        batch="held",
    )


# --- the system itself ------------------------------------------------------------------------------------------------


def _beat_stopped() -> Case:
    return Case(
        "beat_stopped",
        "Beat sends no sweeps",
        T.NO_BEAT,
        Severity.SYSTEM,
        lambda scene: scene.environment.end(scene.environment.beat, signal.SIGTERM),
        lambda scene: scene.environment.begin_again(scene.environment.beat),
        "starting beat",
        _waits(T.NO_BEAT),
        batch="accounts",
        at_desk=False,
    )


def _platform_down() -> Case:
    def cause(scene: Scene) -> None:
        scene.environment.sandbox.begin_fault("error_before", api="ordering", times=None)
        scene.place("2023", "cervo")

    return Case(
        "platform_down",
        "Statuses cannot be written to the platform",
        T.PLATFORM_NOT_WRITTEN,
        Severity.SYSTEM,
        cause,
        lambda scene: scene.environment.sandbox.end_faults(),
        "the platform: it answers again",
        _waits(T.PLATFORM_NOT_WRITTEN),
        batch="platform",
        at_desk=False,
    )


def _subscriber_behind() -> Case:
    return Case(
        "subscriber_behind",
        "The subscriber kitchen is behind",
        T.SUBSCRIBER_BEHIND,
        Severity.SYSTEM,
        _add_group,
        lambda scene: scene.environment.redis.xgroup_destroy("deliveries", "kitchen"),
        "removing the group",
        {"alertname": "StreamLag", "group": "kitchen"},
        at_desk=False,
    )


def _add_group(scene: Scene) -> None:
    scene.place("2030", "cervo")
    scene.has_courier("2030", "cervo")
    scene.environment.redis.xgroup_create("deliveries", "kitchen", id="0")


def _worker_stopped() -> Case:
    def cause(scene: Scene) -> None:
        scene.environment.end(scene.environment.worker, signal.SIGKILL)

    return Case(
        "worker_stopped",
        "No worker runs",
        T.NO_WORKER,
        Severity.SYSTEM,
        cause,
        lambda scene: scene.environment.begin_again(scene.environment.worker),
        "starting a worker",
        {"alertname": "NoSweep"},
        batch="worker",
        at_desk=False,
    )


def _redis_full() -> Case:
    def cause(scene: Scene) -> None:
        scene.environment.redis.config_set("maxmemory", "1")
        scene.pause("cervo")

    def settle(scene: Scene) -> None:
        scene.environment.redis.config_set("maxmemory", "0")
        scene.press("cervo is paused by an operator", "Resume now…")

    return Case(
        "redis_full",
        "Events are not published",
        T.EVENTS_UNPUBLISHED,
        Severity.SYSTEM,
        cause,
        settle,
        "giving Redis memory, and Resume now",
        {"alertname": "EventsNotPublished"},
        batch="redis full",
    )


def _link_down(name: str, kind: T, title: str, server: str, part: str) -> Case:
    def turn(scene: Scene, mode: Mode) -> None:
        links = {"redis": scene.environment.redis_link, "database": scene.environment.database_link}
        scene.environment.network.turn(links[server], mode)

    return Case(
        name,
        title,
        kind,
        Severity.SYSTEM,
        lambda scene: turn(scene, Mode.REFUSE),
        lambda scene: turn(scene, Mode.PASS),
        "the server: it answers again",
        {"alertname": "MetricsMissing", "part": part},
        batch=server,
        at_desk=False,
    )


CASES = (
    _subscriber_behind(),
    _surplus_courier(),
    _lost_answer("2004", "cervo", 1),
    _lost_answer("2005", "borzo"),
    _lost_answer("2006", "deliverit"),
    _unknown_store(),
    _no_configured_carrier(),
    _unmapped_status(),
    _duplicate(),
    _cancel_refused(),
    _changed_after_dispatch(),
    _platform_status("platform_pickup_failed", A.PLATFORM_PICKUP_FAILED, "2011", 10, "could not pick up"),
    _platform_status("platform_driver_cancelled", A.PLATFORM_CANCELED_BY_DRIVER, "2012", 6, "cancelled"),
    _dead_letter(),
    _goods_with_courier(),
    _went_backwards(),
    _changed_without_revision(),
    _offer(),
    _credentials(),
    _paused(),
    _carrier_fault(
        "carrier_down",
        T.CARRIER_UNAVAILABLE,
        "borzo does not answer",
        "drop_before",
        "accounts",
        "outcome unknown",
        Severity.WAITING,
    ),
    _beat_stopped(),
    _carrier_fault(
        "carrier_throttles",
        T.CARRIER_THROTTLED,
        "borzo asked for fewer calls",
        "rate_limited",
        "throttled",
        "",
        Severity.WAITING,
    ),
    _creates_held(),
    _platform_down(),
    _worker_stopped(),
    _redis_full(),
    _link_down("redis_away", T.REDIS_UNAVAILABLE, "Redis does not answer", "redis", "bus"),
    _link_down("database_away", T.DATABASE_UNAVAILABLE, "The database does not answer", "database", "database"),
)
