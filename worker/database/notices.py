"""Which channel was notified of which trouble. A channel has a notice for each trouble until the trouble is over."""

from collections.abc import Collection
from dataclasses import asdict, dataclass, fields
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select, tuple_

from worker.database.connection import without_standby
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


_COLUMNS = [NOTICE.c[field.name] for field in fields(Notice)]


def load(connection: Connection) -> list[Notice]:
    """Return all notices, the oldest first."""
    rows = connection.execute(select(*_COLUMNS).order_by(NOTICE.c.since, NOTICE.c.key)).mappings()
    return [Notice(**row) for row in rows]


@without_standby
def replace(connection: Connection, known: Collection[Notice], by: Collection[Notice]) -> None:
    """Replace known notices by others."""
    gone, new = set(known) - set(by), set(by) - set(known)
    if gone:
        these = tuple_(NOTICE.c.channel, NOTICE.c.key).in_([(each.channel, each.key) for each in gone])
        connection.execute(delete(NOTICE).where(these))
    if new:
        connection.execute(insert(NOTICE), [asdict(each) for each in new])
