"""Erase what the tables hold about the people of a delivery, beside the delivery, its order and its attempts."""

import re
from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, delete, select, update

from worker.database.tables import (
    ATTEMPT,
    CALLBACK,
    CARRIER_CALL,
    DEAD_LETTER,
    EARLY_CANCELLATION,
    EVENT,
    OPERATOR_ACTION,
    PUBLICATION,
)
from worker.domain.delivery import Change
from worker.domain.erasure import erase_event


def delete_records(connection: Connection, changes: Sequence[Change]) -> None:
    """Delete the calls, callbacks and cancellations of erased deliveries, and the reasons that operators gave.

    Of the operators' actions, who did what and when stays.
    """
    ids = [change.delivery.id for change in changes]
    attempts = select(ATTEMPT.c.id).where(ATTEMPT.c.delivery_id.in_(ids))
    connection.execute(delete(CARRIER_CALL).where(CARRIER_CALL.c.attempt_id.in_(attempts)))
    connection.execute(delete(CALLBACK).where(CALLBACK.c.attempt_id.in_(attempts)))
    connection.execute(delete(EARLY_CANCELLATION).where(EARLY_CANCELLATION.c.delivery_id.in_(ids)))
    about = update(OPERATOR_ACTION).where(OPERATOR_ACTION.c.delivery_id.in_(ids))
    connection.execute(about.values(reason=""))


def erase_events(connection: Connection, delivery_id: str) -> None:
    """Erase the personal data in the events of a delivery."""
    found = connection.execute(select(EVENT.c.position, EVENT.c.body).where(EVENT.c.key == delivery_id))
    rewritten = [{"this": each.position, "new": erase_event(each.body)} for each in found]
    if rewritten:
        this = update(EVENT).where(EVENT.c.position == bindparam("this"))
        connection.execute(this.values(body=bindparam("new")), rewritten)


def has_unpublished(connection: Connection, delivery_id: str) -> bool:
    """Return whether an event of a delivery waits to be published."""
    waiting = select(EVENT.c.position).join(PUBLICATION, PUBLICATION.c.position == EVENT.c.position)
    these = waiting.where(EVENT.c.key == delivery_id, PUBLICATION.c.stream_id.is_(None))
    return connection.execute(these.limit(1)).first() is not None


def dead_letters_about(connection: Connection, order_id: str) -> dict[str, bool]:
    """Return the ids of the dead letters that contain an order id, and whether an operator has dealt with each.

    All dead letters are read, because nothing else says what an unreadable message is about.
    """
    pattern = names(order_id)
    rows = connection.execute(select(DEAD_LETTER.c.id, DEAD_LETTER.c.raw, DEAD_LETTER.c.settled_at))
    return {each.id: each.settled_at is not None for each in rows if pattern.search(each.raw)}


def delete_dead_letters(connection: Connection, ids: Sequence[str]) -> None:
    """Delete dead letters."""
    connection.execute(delete(DEAD_LETTER).where(DEAD_LETTER.c.id.in_(ids)))


def names(order_id: str) -> re.Pattern[bytes]:
    """Return the pattern of an order id that is not a part of a longer word."""
    return re.compile(rb"(?<![\w-])" + re.escape(order_id.encode()) + rb"(?![\w-])")
