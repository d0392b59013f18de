"""Log the failing calls of an account: one warning for each cause, however many orders it affects, and one end."""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from worker import log
from worker.errors import CarrierError, Throttled
from worker.http.call import CallClass
from worker.http.redaction import redact_contacts, single_line

logger = log.get(__name__)
QUIET = timedelta(seconds=30)
"""How long calls must have succeeded without a failure before the failing is over."""
MAX_CAUSES = 20
"""The most causes that are logged until the failing is over."""


@dataclass
class _Failing:
    since: datetime
    until: datetime
    causes: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class FailureLog:
    """Remember which causes are logged. Each process logs what it sees by itself."""

    hosts: Mapping[str, str]
    """The host of each account."""
    _failing: dict[tuple[str, CallClass], _Failing] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def record(
        self, account: str, call_class: CallClass, errors: Iterable[CarrierError], now: datetime, *, answered: bool
    ) -> None:
        """Log the new causes among these errors of calls, or the end of the failing.

        `answered` is true if another call of the same class succeeded.
        """
        found = {single_line(redact_contacts(str(each))): each for each in errors}
        if not found and (account, call_class) not in self._failing:
            return
        with self._lock:
            if found:
                self._log_causes(account, call_class, found, now)
            elif answered:
                self._log_end(account, call_class, now)

    def opened(self, account: str, call_class: CallClass) -> None:
        """Log that the breaker of an account has opened."""
        logger.warning("carrier.breaker_opened", **self.about(account), kind=call_class.value)

    def about(self, account: str) -> dict[str, str | None]:
        """Return the fields of every log line about an account."""
        return {"account": account, "host": self.hosts.get(account)}

    def _log_causes(
        self, account: str, call_class: CallClass, found: Mapping[str, CarrierError], now: datetime
    ) -> None:
        failing = self._failing.setdefault((account, call_class), _Failing(now, now))
        failing.until = now
        for cause, error in found.items():
            if cause not in failing.causes and len(failing.causes) < MAX_CAUSES:
                failing.causes.add(cause)
                event = "carrier.throttled" if isinstance(error, Throttled) else "carrier.call_failed"
                logger.warning(event, **self.about(account), kind=call_class.value, cause=cause)

    def _log_end(self, account: str, call_class: CallClass, now: datetime) -> None:
        failing = self._failing.get((account, call_class))
        if failing is not None and now - failing.until >= QUIET:
            del self._failing[account, call_class]
            seconds = round((failing.until - failing.since).total_seconds())
            logger.info("carrier.recovered", **self.about(account), kind=call_class.value, seconds=seconds)
