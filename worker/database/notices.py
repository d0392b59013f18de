"""Which channel was notified of which trouble. Each channel has a notice for each trouble until the trouble is over."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, delete, insert, select, tuple_, update

from worker.database.tables import NOTICE


@dataclass(frozen=True, slots=True)
class Notice:
    """A trouble, as one channel knows it."""

    channel: str
    key: str
    """The key of the trouble."""
    title: str
    since: datetime
    """When the trouble was first seen."""
    notified: bool = False
    """Whether the channel was notified that the trouble began."""
    gone_since: datetime | None = None
    """When the trouble was first missing; None while it is present."""


def refresh(
    connection: Connection, channels: Collection[str], present: Mapping[str, str], now: datetime
) -> list[Notice]:
    """Bring the notices up to date and return them. `present` are the titles of the present troubles by key.

    A trouble that is gone before its notification is forgotten, and so is a channel that no longer exists.
    """
    columns = [NOTICE.c[field.name] for field in fields(Notice)]
    known = [Notice(**row) for row in connection.execute(select(*columns)).mappings()]
    gone = [each for each in known if each.key not in present]
    _forget(connection, [each for each in gone if not each.notified or each.channel not in channels])
    _set_gone(connection, [each for each in gone if each.gone_since is None], now)
    _set_gone(connection, [each for each in known if each.key in present and each.gone_since is not None], None)
    names = {(each.channel, each.key) for each in known}
    new = [
        Notice(channel, key, title, now)
        for channel in channels
        for key, title in present.items()
        if (channel, key) not in names
    ]
    if new:
        connection.execute(insert(NOTICE), [asdict(each) for each in new])
    rows = connection.execute(select(*columns).order_by(NOTICE.c.since, NOTICE.c.key)).mappings()
    return [Notice(**row) for row in rows]


def mark_notified(connection: Connection, notices: Iterable[Notice]) -> None:
    """Record that channels were notified that troubles began."""
    connection.execute(update(NOTICE).where(_are(notices)).values(notified=True))


def forget(connection: Connection, notices: Iterable[Notice]) -> None:
    """Forget troubles that are over."""
    _forget(connection, list(notices))


def _forget(connection: Connection, notices: Collection[Notice]) -> None:
    if notices:
        connection.execute(delete(NOTICE).where(_are(notices)))


def _set_gone(connection: Connection, notices: Collection[Notice], since: datetime | None) -> None:
    if notices:
        connection.execute(update(NOTICE).where(_are(notices)).values(gone_since=since))


def _are(notices: Iterable[Notice]) -> ColumnElement[bool]:
    return tuple_(NOTICE.c.channel, NOTICE.c.key).in_([(each.channel, each.key) for each in notices])
