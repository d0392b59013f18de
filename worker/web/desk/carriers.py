"""The page of the carriers: whether each account may be called, how it answers, and which statuses are unknown."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from worker.container import Container
from worker.database import accounts, carrier_calls, measurements
from worker.database.accounts import EVERY_ACCOUNT
from worker.database.carrier_calls import RecentCalls
from worker.database.connection import Connection
from worker.web.desk.pages import Cached, Pages

MEASURED_TIME = timedelta(hours=1)
"""The calls of this time are measured."""


@dataclass(frozen=True)
class Activity:
    """The newest calls and the newest callback of an account."""

    calls: RecentCalls | None
    """None without a call within `MEASURED_TIME`."""
    callback_at: datetime | None


@dataclass(frozen=True)
class CarriersPage:
    """Show the accounts."""

    services: Container
    pages: Pages
    activity: Cached[Mapping[str, Activity]]

    def show(self, request: Request) -> Response:
        """Show the accounts: pauses, breakers, budgets, calls, callbacks, unmapped and mapped statuses."""
        read = self.services.database.read
        paused, unmapped = read(accounts.paused), read(accounts.unmapped_statuses)
        mapped, activity = read(accounts.status_mappings), self.activity.get()
        rows = [
            self._row(name)
            | {
                "pause": paused.get(name),
                "activity": activity.get(name),
                "unmapped": [each for each in unmapped.get(name, []) if each not in mapped.get(name, {})],
                "mapped": mapped.get(name, {}),
            }
            for name in sorted(self.services.api_accounts)
        ]
        return self.pages.render(request, "carriers.html", rows=rows, held=paused.get(EVERY_ACCOUNT))

    def _row(self, name: str) -> dict[str, Any]:
        services, account = self.services, self.services.api_accounts[name]
        return {
            "name": name,
            "kind": account.kind,
            "breakers": services.breaker.statuses(name),
            "budget": services.rate_limiter.used(name, account.rate),
            "sends_callbacks": name in services.callback_accounts,
        }


def activity_of(services: Container) -> Mapping[str, Activity]:
    """Return the newest calls and callback of each carrier account."""
    return services.database.read(_activity, sorted(services.codecs), services.clock() - MEASURED_TIME)


def _activity(connection: Connection, names: list[str], since: datetime) -> dict[str, Activity]:
    callbacks_at = measurements.callbacks_at(connection, names)
    calls = carrier_calls.recent(connection, since)
    return {name: Activity(calls.get(name), callbacks_at.get(name)) for name in names}
