"""The troubles of accounts and of the system itself."""

import signal
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import httpx

from tests.chaos.proxy import Mode
from tests.troubles.case import SURE, Act, Case, card, waits
from tests.troubles.scene import Scene
from worker.services.refused_callbacks import MOST_REFUSED
from worker.services.system_troubles import SystemTrouble as T

RESUME = "Resume now…"


def _paused(account: str, by: str) -> dict[str, str]:
    return {"alertname": "CarrierPaused", "carrier": account, "by": by}


def _by_itself(name: str, kind: T, title: str, cause: Act, end: Act, settled_by: str, **more: Any) -> Case:
    """Return a trouble that is over when its cause is."""
    given = {"alert": waits(kind), "at_desk": False, **more}
    return Case(name=name, kind=kind, title=title, cause=cause, settle=end, settled_by=settled_by, **given)


# --- accounts ---------------------------------------------------------------------------------------------------------


def _credentials() -> Case:
    def cause(scene: Scene) -> None:
        scene.environment.sandbox.begin_fault("unauthorized", api="cervo", times=None)
        scene.place("2021", "cervo")

    def settle(scene: Scene) -> None:
        scene.environment.sandbox.end_faults()
        scene.press(title, RESUME)

    title = "cervo refuses our credentials"
    return Case(
        "credentials_refused",
        title,
        T.ACCOUNT_PAUSED,
        cause,
        settle,
        "the right token, and Resume now",
        _paused("cervo", "carrier"),
        flower=r"waiting \(account paused\)",
        order_id="2021",
        batch="accounts",
    )


def _paused_by_operator() -> Case:
    def cause(scene: Scene) -> None:
        scene.pause("deliverit")
        scene.place("2022", "deliverit")

    title = "deliverit is paused by an operator"
    return Case(
        "account_paused",
        title,
        T.ACCOUNT_PAUSED,
        cause,
        card(title, RESUME),
        "Resume now",
        _paused("deliverit", "operator"),
        flower=r"waiting \(account paused\)",
        order_id="2022",
        batch="accounts",
    )


def _carrier_fails(name: str, kind: T, title: str, fault: str, **more: Any) -> Case:
    orders = [f"{name}-{number}" for number in range(8)]

    def cause(scene: Scene) -> None:
        scene.environment.sandbox.begin_fault(fault, api="borzo", times=None)
        for each in orders:
            scene.place(each, "borzo")

    more |= {"alert": {"alertname": "BreakerOpen", "carrier": "borzo"}}
    return _by_itself(
        name, kind, title, cause, _end_faults, "the carrier: it answers again", order_id=orders[0], **more
    )


def _end_faults(scene: Scene) -> None:
    scene.environment.sandbox.end_faults()


def _creates_held() -> Case:
    def cause(scene: Scene) -> None:
        scene.environment.run("carriers", "hold", "--by", "maria", "--reason", "an audit")
        scene.place("2024", "cervo")

    title = "No order is sent to any carrier"
    return Case(
        "creates_held",
        title,
        T.CREATES_HELD,
        cause,
        card(title, "Send creates again…", {"Your reason": "the audit is over", **SURE}),
        "Send creates again",
        _paused("*", "operator"),
        flower=r"waiting \(creates held\)",
        order_id="2024",
        batch="held",
    )


# --- the system itself ------------------------------------------------------------------------------------------------


def _beat_stopped() -> Case:
    def cause(scene: Scene) -> None:
        scene.environment.end(scene.environment.beat, signal.SIGTERM)

    def end(scene: Scene) -> None:
        scene.environment.begin_again(scene.environment.beat)

    return _by_itself("beat_stopped", T.NO_BEAT, "Beat sends no sweeps", cause, end, "starting beat", batch="accounts")


def _worker_stopped() -> Case:
    def cause(scene: Scene) -> None:
        scene.environment.end(scene.environment.worker, signal.SIGKILL)

    def end(scene: Scene) -> None:
        scene.environment.begin_again(scene.environment.worker)

    more = {"alert": {"alertname": "NoSweep"}, "batch": "worker"}
    return _by_itself("worker_stopped", T.NO_WORKER, "No worker runs", cause, end, "starting a worker", **more)


def _platform_down() -> Case:
    def cause(scene: Scene) -> None:
        scene.environment.sandbox.begin_fault("error_before", api="ordering", times=None)
        scene.place("2023", "cervo")

    title = "Statuses cannot be written to the platform"
    settled_by = "the platform: it answers again"
    return _by_itself("platform_down", T.PLATFORM_NOT_WRITTEN, title, cause, _end_faults, settled_by, batch="platform")


def _archive_broken() -> Case:
    def cause(scene: Scene) -> None:
        scene.environment.archive.write_text("a file in place of the folder")
        scene.end_long_ago("2025", timedelta(days=500))
        scene.book("2026", "cervo")  # the newest event is never archived
        scene.environment.run("purge", code=1)

    def end(scene: Scene) -> None:
        scene.environment.archive.unlink()
        scene.environment.run("purge")

    title, settled_by = "Old records are not removed", "a folder for the archive, and `order-sync purge`"
    return _by_itself("archive_broken", T.RECORDS_NOT_REMOVED, title, cause, end, settled_by, batch="archive")


def _callbacks_refused() -> Case:
    def cause(scene: Scene) -> None:
        for _ in range(MOST_REFUSED + 1):
            answer = httpx.post(f"{scene.environment.callbacks}/borzo", content=b"{}")
            assert answer.status_code == HTTPStatus.UNAUTHORIZED

    def end(scene: Scene) -> None:
        """Send no more of them."""

    title, end_of_it = "Callbacks of borzo are refused", "a quarter of an hour without them"
    return _by_itself("callbacks_refused", T.CALLBACKS_REFUSED, title, cause, end, end_of_it)


def _subscriber_behind() -> Case:
    def cause(scene: Scene) -> None:
        scene.book("2030", "cervo")
        scene.environment.redis.xgroup_create("deliveries", "kitchen", id="0")

    def end(scene: Scene) -> None:
        scene.environment.redis.xgroup_destroy("deliveries", "kitchen")

    title, alert = "The subscriber kitchen is behind", {"alertname": "StreamLag", "group": "kitchen"}
    return _by_itself("subscriber_behind", T.SUBSCRIBER_BEHIND, title, cause, end, "removing the group", alert=alert)


def _redis_full() -> Case:
    def cause(scene: Scene) -> None:
        scene.environment.redis.config_set("maxmemory", "1")
        scene.pause("cervo")

    def end(scene: Scene) -> None:
        scene.environment.redis.config_set("maxmemory", "0")
        scene.press("cervo is paused by an operator", RESUME)

    more = {"alert": {"alertname": "EventsNotPublished"}, "batch": "redis full"}
    title = "Events are not published"
    return _by_itself("redis_full", T.EVENTS_UNPUBLISHED, title, cause, end, "giving Redis memory", **more)


def _server_away(name: str, kind: T, title: str, part: str) -> Case:
    """Refuse the connections to a server; `part` is the part of the metrics that is measured there."""

    def turn(scene: Scene, mode: Mode) -> None:
        links = {"bus": scene.environment.redis_link, "database": scene.environment.database_link}
        scene.environment.network.turn(links[part], mode)

    more = {"alert": {"alertname": "MetricsMissing", "part": part}, "batch": name}
    return _by_itself(
        name,
        kind,
        title,
        lambda scene: turn(scene, Mode.REFUSE),
        lambda scene: turn(scene, Mode.PASS),
        "the server: it answers again",
        **more,
    )


SUBSCRIBER_CASE = _subscriber_behind()
"""It takes the longest until it shows, so it comes first."""
SYSTEM_CASES = (
    _credentials(),
    _paused_by_operator(),
    _carrier_fails(
        "carrier_down",
        T.CARRIER_UNAVAILABLE,
        "borzo does not answer",
        "drop_before",
        flower=r"outcome unknown|waiting \(unavailable\)",  # the second once the breaker is open
        batch="accounts",
    ),
    _callbacks_refused(),
    _beat_stopped(),
    _carrier_fails(
        "carrier_throttles", T.CARRIER_THROTTLED, "borzo asked for fewer calls", "rate_limited", batch="throttled"
    ),
    _creates_held(),
    _platform_down(),
    _archive_broken(),
    _worker_stopped(),
    _redis_full(),
    _server_away("redis_away", T.REDIS_UNAVAILABLE, "Redis does not answer", "bus"),
    _server_away("database_away", T.DATABASE_UNAVAILABLE, "The database does not answer", "database"),
)
