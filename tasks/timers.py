"""The sweep: hand out whatever is due. It owns progress; every message elsewhere is only a hint."""

from collections.abc import Mapping
from typing import Any

from celery import current_app, shared_task

from worker import enqueue
from worker.app import carrier_queues
from worker.container import Container, container
from worker.database.deliveries import Due
from worker.domain import lifecycle
from worker.domain.delivery import LOCAL_STEPS, Change, Delivery, Step
from worker.errors import Unavailable
from worker.ordering_api import codec as ordering_codec
from worker.services import account_health, write_back

LIMIT = 2000
CALLBACKS_LIMIT = 500
FULL = 100
"""Hints waiting in a queue above which nothing more is handed out to it: they would only be handed out again."""


@shared_task(name="timers.sweep")
def sweep() -> None:
    """Hand out due deliveries, unpublished events, unapplied callbacks and orders to fetch."""
    made = container()
    now = made.clock()
    full = _full(made)
    due = made.database.claim(now, LIMIT, except_carriers=full)
    waiting = made.database.claim_callbacks(now, CALLBACKS_LIMIT)
    groups = _grouped(due)
    found = _handed_out(made, groups)
    found += [("callbacks.apply", [callback_id]) for callback_id in waiting]
    found += account_health.probes(made)
    if ordering_codec.ACCOUNT not in full:
        found += write_back.due(made, now)
    if made.database.awaits_publishing():
        found.append(enqueue.publish())
    if made.database.awaits_fetch(now):
        found.append(("orders.fetch", []))
    enqueue.send(found)
    _stay_indoors(made, [each.id for each in due if each.step in LOCAL_STEPS])
    for (step, carrier), ids in groups.items():
        if carrier not in made.terms:  # its account left the settings: otherwise this step would be due for ever
            account_health.put_off(made, carrier, ids, step, Unavailable(f"no account is named {carrier}"))


def _grouped(due: list[Due]) -> dict[tuple[Step, str], list[str]]:
    groups: dict[tuple[Step, str], list[str]] = {}
    for each in due:
        if each.carrier is not None:
            groups.setdefault((each.step, each.carrier), []).append(each.id)
    return groups


def _handed_out(made: Container, groups: Mapping[tuple[Step, str], list[str]]) -> list[enqueue.WakeUp]:
    """Make the fewest tasks: reads that share one request go together."""
    found: list[enqueue.WakeUp] = []
    for (step, carrier), ids in groups.items():
        if carrier in made.terms:
            size = made.terms[carrier].capabilities.track_batch if step is Step.TRACK else enqueue.BATCH
            found += enqueue.batches(step, carrier, ids, size)
    return found


def _stay_indoors(made: Container, ids: list[str]) -> None:
    """Do here what needs no carrier: give waiting deliveries their store, and give alarms."""
    if not ids:
        return
    waiting = {each.order.store_id for each in made.database.load(ids)}
    shops = {**made.file_shops, **made.database.shops(waiting)}
    now = made.clock()

    def decide(delivery: Delivery) -> Change | None:
        if delivery.step is not Step.ROUTE:
            return lifecycle.fire_alarms(delivery, made.terms, now)
        return lifecycle.route(delivery, shops.get(delivery.order.store_id), made.terms, now)

    enqueue.enqueue_next_steps(made.database.update(ids, decide), now)


def _full(made: Container) -> list[str]:
    """Name the carriers whose queues are full, and the platform if its queue is."""
    queues = {queue: name for name in made.terms for queue in carrier_queues(name)} | {
        "platform": ordering_codec.ACCOUNT
    }
    with current_app.connection_or_acquire() as connection:
        channel = connection.default_channel
        return sorted({name for queue, name in queues.items() if _depth(channel, queue) > FULL})


def _depth(channel: Any, queue: str) -> int:
    # Not passively: on Redis an empty queue is one that does not exist.
    declared: Any = current_app.amqp.queues[queue](channel).queue_declare()
    return int(declared.message_count)
