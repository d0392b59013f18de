"""The settings that the accounts of all carriers share, beyond those of every API account."""

from datetime import time
from typing import Annotated

from pydantic import Field

from worker.http.account import ApiAccount

HOUR = r"([01]\d|2[0-3]):[0-5]\d"
Hours = Annotated[str, Field(pattern=rf"^$|^{HOUR}-{HOUR}$")]
"""The hours in which a courier comes, such as `11:00-22:00`. They may cross midnight; empty means always."""


class CarrierAccount(ApiAccount):
    """One account at a carrier. Times are in seconds."""

    poll_interval: float = Field(gt=0)
    """The shortest time in seconds between two reads; all other intervals between reads grow in proportion."""
    callback_wait: float = Field(default=0, ge=0)
    """Seconds to wait for a callback before an operator is asked about a create whose outcome is unknown."""
    postal_codes: str = ""
    """Prefixes of the postal codes that the couriers serve, such as `50,51`; empty means unknown."""
    hours: Hours = ""
    """When couriers come for a pickup, by the store's clock, such as `11:00-22:00`; empty means always."""

    def reaches(self, postal_code: str) -> bool:
        """Return whether the couriers serve a postal code.

        True when the settings list no postal codes, or when the address has none.
        """
        prefixes = tuple(filter(None, map(_bare, self.postal_codes.split(","))))
        code = _bare(postal_code)
        return not prefixes or not code or code.startswith(prefixes)

    def is_open(self, clock: time) -> bool:
        """Return whether the couriers come for a pickup at this time of the day."""
        if not self.hours:
            return True
        opens, closes = map(time.fromisoformat, self.hours.split("-"))
        return opens <= clock < closes if opens < closes else clock >= opens or clock < closes


def _bare(code: str) -> str:
    """Return the letters and digits of a postal code in upper case."""
    return "".join(filter(str.isalnum, code)).upper()
