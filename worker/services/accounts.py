"""Give the codec of each carrier account, and the operators' mappings of its unmapped statuses."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType

from worker.carriers.port import Carrier
from worker.clock import Clock
from worker.database import accounts
from worker.database.database import Database
from worker.domain.lifecycle import StatusMappings
from worker.http.gateway import Gateway

MAPPINGS_FRESH = timedelta(seconds=5)
"""How long a process uses the status mappings that it read."""


@dataclass
class CarrierAccounts:
    """Give the codecs of the carrier accounts. The metadata that a log-in returns is stored for all processes."""

    codecs: Mapping[str, Carrier]
    """The codec of each account, without the metadata that a log-in returns."""
    bind: Callable[[str, Mapping[str, str]], Carrier]
    """Builds the codec of an account from the metadata that the log-in returned."""
    database: Database
    gateway: Gateway
    clock: Clock
    _logged_in: dict[str, Carrier] = field(default_factory=dict)
    _mappings: tuple[datetime | None, Mapping[str, StatusMappings]] = (None, MappingProxyType({}))

    def logged_in(self, account: str) -> Carrier:
        """Return the codec of an account. If the carrier needs a log-in, log in first.

        Raises KeyError for an unknown account, and CarrierError when the log-in fails.
        """
        codec = self.without_login(account)
        if codec is None:
            codec = self._logged_in[account] = self._log_in(account)
        return codec

    def without_login(self, account: str) -> Carrier | None:
        """Return the codec of an account; None if the carrier needs a log-in first. Raises KeyError."""
        if account not in self._logged_in:
            if account not in self.codecs:
                raise KeyError(account)
            codec = self.bind(account, self.database.read(accounts.account_metadata, account))
            if codec.needs_login:
                return None
            self._logged_in[account] = codec
        return self._logged_in[account]

    def _log_in(self, account: str) -> Carrier:
        codec = self.codecs[account]
        metadata = codec.read_probe(self.gateway.send_one(account, codec.probe()))
        self.database.write(accounts.put_account_metadata, account, metadata)
        return self.bind(account, metadata)

    def status_mappings(self, account: str) -> StatusMappings:
        """Return the mappings of an account's unmapped statuses. A change takes effect within `MAPPINGS_FRESH`."""
        now = self.clock()
        read_at, mappings = self._mappings
        if read_at is None or abs(now - read_at) >= MAPPINGS_FRESH:
            mappings = self.database.read(accounts.status_mappings)
            self._mappings = now, mappings
        return mappings.get(account, {})
