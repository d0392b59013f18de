"""Notify people of troubles: one message when a cause begins and one when it is over, never one for each order.

Several causes that begin together are one message. A channel that cannot be reached is tried again until it has
accepted the message; the other channels do not wait for it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from worker import log
from worker.clock import Clock
from worker.database import leases, notices
from worker.database.connection import DatabaseError
from worker.database.database import Database
from worker.database.notices import Notice
from worker.domain.trouble import Trouble
from worker.errors import NotSentError
from worker.services.system_troubles import database_unavailable
from worker.services.troubles import Troubles

logger = log.get(__name__)
LEASE, LEASE_SECONDS = "notifications", 60.0
LASTS = timedelta(seconds=30)
"""How long a trouble must be present before the first message, and be gone before the second one."""
LISTED = 20
"""The most troubles that one message names."""
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
    _leads: bool = field(default=False, init=False)
    _outage: Notice | None = field(default=None, init=False)
    """The outage of the database, which cannot be stored. The process that had the lease then sends both messages."""

    def run(self, holder: str) -> None:
        """Send messages about what began or ended since the last run. `holder` is the name of this process."""
        now = self.clock()
        try:
            self._leads = self.database.write(leases.take, LEASE, holder, now, LEASE_SECONDS)
        except DatabaseError:
            self._notify_of_outage(now)
            return
        self._notify_of_end_of_outage()
        if not self._leads:
            return
        found = {each.key: each for each in self.troubles.find()}
        titles = {key: each.title for key, each in found.items()}
        known = self.database.write(notices.refresh, self.channels.keys(), titles, now)
        for name in self.channels:
            mine = [each for each in known if each.channel == name]
            began = [each for each in mine if not each.notified and now - each.since >= LASTS and each.key in found]
            if began and self._send(name, *_beginning([found[each.key] for each in began])):
                self.database.write(notices.mark_notified, began)
            over = [each for each in mine if each.notified and each.gone_since and now - each.gone_since >= LASTS]
            if over and self._send(name, *_end(over)):
                self.database.write(notices.forget, over)

    def _notify_of_outage(self, now: datetime) -> None:
        trouble = database_unavailable()
        if self._outage is None:
            self._outage = Notice("", trouble.key, trouble.title, now)
        if self._leads and not self._outage.notified and now - self._outage.since >= LASTS:
            self._outage = Notice("", trouble.key, trouble.title, self._outage.since, notified=True)
            for name in self.channels:
                self._send(name, *_beginning([trouble]))

    def _notify_of_end_of_outage(self) -> None:
        outage, self._outage = self._outage, None
        if outage is not None and outage.notified:
            for name in self.channels:
                self._send(name, *_end([outage]))

    def _send(self, channel: str, title: str, body: str) -> bool:
        try:
            self.channels[channel](title, body)
        except NotSentError as error:
            logger.warning("notification.not_sent", channel=channel, error=str(error))
            return False
        return True


def _beginning(troubles: Sequence[Trouble]) -> tuple[str, str]:
    if len(troubles) == 1:
        return troubles[0].title, _described(troubles[0])
    return f"{len(troubles)} troubles need somebody", _listed(each.title for each in troubles)


def _described(trouble: Trouble) -> str:
    counted = "1 order." if trouble.count == 1 else f"{trouble.count} orders."
    due = f"The first is due at {trouble.deadline:%H:%M} UTC." if trouble.deadline else ""
    return " ".join(filter(None, [trouble.explanation, counted if trouble.count else "", due]))


def _end(over: Sequence[Notice]) -> tuple[str, str]:
    if len(over) == 1:
        return f"Over: {over[0].title}", "Nothing more is to be done about it."
    return f"{len(over)} troubles are over", _listed(each.title for each in over)


def _listed(titles: Iterable[str]) -> str:
    lines = [f"- {title}" for title in titles]
    more = len(lines) - LISTED
    return "\n".join([*lines[:LISTED], f"and {more} more"] if more > 0 else lines)
