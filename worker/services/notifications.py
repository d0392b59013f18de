"""Notify people of troubles: one message when a cause begins and one when it is over, never one for each order.

Several causes that begin together are one message. A cause that comes and goes is one cause until it has been gone for
a while. A channel that does not accept a message gets it later, and the other channels do not wait for that.

The lease and the notices are stored without a standby, because a missing standby is a trouble too. If a fail-over loses
them, a message comes twice.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from worker import log
from worker.clock import Clock
from worker.database import leases, notices
from worker.database.connection import DatabaseError, without_standby
from worker.database.database import Database
from worker.database.notices import Notice
from worker.domain.attention import key_of_more
from worker.domain.trouble import Trouble, is_quiet
from worker.errors import NotSentError
from worker.services.system_troubles import SystemTrouble, database_unavailable
from worker.services.troubles import Troubles
from worker.wording import counted

logger = log.get(__name__)
LEASE, LEASE_SECONDS = "notifications", 60.0
LASTS = timedelta(seconds=30)
"""How long ago a trouble must have begun before the first message."""
OVER = timedelta(minutes=2)
"""How long a trouble must be gone before it is over. Until then, it goes on when it comes back."""
MAX_KEY = 500
"""The most characters of a trouble's key that are stored, because PostgreSQL refuses an index entry of 2,700 bytes. The
key may contain the path of a fault in a message."""
LISTED = 20
"""The most troubles that one message names."""
take_lease, drop_lease = without_standby(leases.take), without_standby(leases.drop)
Send = Callable[[str, str], None]
"""Sends a message with a title and a body. Raises NotSentError."""


@dataclass
class Notifications:
    """Send messages about what began and what is over. Of all processes, only the one with the lease sends them."""

    database: Database
    troubles: Troubles
    channels: Mapping[str, Send]
    """The channels by name."""
    clock: Clock
    quiet: Mapping[str, str] = field(default_factory=dict)
    """The quiet hours of channels by name, by the clocks of the stores."""
    _leads: bool = field(default=False, init=False)
    _outages: dict[str, list[Notice]] = field(default_factory=dict, init=False)
    """The notices of an outage of the database by channel, which cannot be stored. Only the process that had the lease
    sends their messages."""

    def run(self, holder: str) -> None:
        """Send messages about what began or ended since the last run. `holder` is the name of this process."""
        try:
            self._leads = self._take_lease(holder)
            found = self.troubles.find() if self._leads else []
        except DatabaseError:
            found = [database_unavailable()]
        outage = {each.key: each for each in found if each.kind == SystemTrouble.DATABASE_UNAVAILABLE}
        if self._leads or self._outages:
            self._notify_of_outage(outage)
        if self._leads and not outage:
            self._notify_of({each.key[:MAX_KEY]: each for each in found}, holder)

    def end(self, holder: str) -> None:
        """Let another process notify people at once, because this one ends."""
        with suppress(DatabaseError):
            self.database.write(drop_lease, LEASE, holder)

    def _take_lease(self, holder: str) -> bool:
        return self.database.write(take_lease, LEASE, holder, self.clock(), LEASE_SECONDS)

    def _notify_of_outage(self, outage: Mapping[str, Trouble]) -> None:
        notified = {name: self._notify(name, self._outages.get(name, []), outage) for name in self.channels}
        self._outages = {name: known for name, known in notified.items() if known}

    def _notify_of(self, found: Mapping[str, Trouble], holder: str) -> None:
        known = self.database.read(notices.load)
        removed = [each for each in known if each.channel not in self.channels]
        self.database.write(notices.replace, removed, [])
        for name in self.channels:
            if not self._take_lease(holder):
                return  # the other channels took so long that another process goes on
            mine = [each for each in known if each.channel == name]
            self.database.write(notices.replace, mine, self._notify(name, mine, found))

    def _notify(self, channel: str, known: Sequence[Notice], found: Mapping[str, Trouble]) -> list[Notice]:
        """Send a channel the messages that are due; return the channel's notices from now on."""
        now = self.clock()
        current = _refreshed(channel, known, found, now)
        quiet = self.quiet.get(channel, "")
        urgent = {key for key, each in found.items() if not is_quiet(each, quiet, now)}
        began = [each for each in current if each.key in urgent and not each.notified and now - each.since >= LASTS]
        if began and self._send(channel, *_beginning([found[each.key] for each in began])):
            current = [replace(each, notified=each.notified or each in began) for each in current]
        gone = [each for each in current if each.gone_since is not None and now - each.gone_since >= OVER]
        over = [each for each in gone if each.notified]
        if over and not self._send(channel, *_end(over)):
            return current
        return [each for each in current if each not in gone]

    def _send(self, channel: str, title: str, body: str) -> bool:
        try:
            self.channels[channel](title, body)
        except NotSentError as error:
            logger.warning("notification.not_sent", channel=channel, error=str(error))
            return False
        return True


def _refreshed(channel: str, known: Sequence[Notice], found: Mapping[str, Trouble], now: datetime) -> list[Notice]:
    """Return a channel's notices of the troubles that are present, or that were present a short time ago."""
    old = [replace(each, gone_since=each.gone_since or now if _is_gone(each.key, found) else None) for each in known]
    keys = {each.key for each in known}
    return old + [Notice(channel, key, each.title, now) for key, each in found.items() if key not in keys]


HIDING = (
    SystemTrouble.REDIS_UNAVAILABLE,
    SystemTrouble.RABBITMQ_UNAVAILABLE,
    SystemTrouble.COMMITS_WAIT_FOR_STANDBY,
)
"""While one of these lasts, other troubles may be hidden, so none counts as gone."""


def _is_gone(key: str, found: Mapping[str, Trouble]) -> bool:
    """Return whether a trouble is certainly gone.

    While Redis or RabbitMQ is away, the troubles of carriers and streams are unknown. While commits wait for a standby,
    late work is not shown. While many orders need an operator, not all have a trouble of their own.
    """
    return not {key, *HIDING, key_of_more(key.partition(":")[0])} & found.keys()


def _beginning(troubles: Sequence[Trouble]) -> tuple[str, str]:
    if len(troubles) == 1:
        return troubles[0].title, _described(troubles[0])
    return f"{len(troubles)} troubles need somebody", _listed(each.title for each in troubles)


def _described(trouble: Trouble) -> str:
    orders = f"{counted(trouble.count, 'order', 'orders')}." if trouble.count else ""
    due = f"The first is due at {trouble.deadline:%H:%M} UTC." if trouble.deadline else ""
    return " ".join(filter(None, [trouble.explanation, orders, due]))


def _end(over: Sequence[Notice]) -> tuple[str, str]:
    if len(over) == 1:
        return f"Over: {over[0].title}", "It has been gone for two minutes."
    return f"{len(over)} troubles are over", _listed(each.title for each in over)


def _listed(titles: Iterable[str]) -> str:
    lines = [f"- {title}" for title in titles]
    more = len(lines) - LISTED
    return "\n".join([*lines[:LISTED], f"and {more} more"] if more > 0 else lines)
