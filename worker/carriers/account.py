"""The settings of an account at any carrier.

`CarrierAccount` adds the read interval, the wait for callbacks, the postal codes and the pickup hours to the settings
of every `ApiAccount`: the origin, the time limits and the rate limit.
"""

import re
from datetime import time
from typing import Annotated

from pydantic import Field

from worker.http.account import ApiAccount

_COUNTRY = re.compile(r"^[A-Za-z]{2}(?:[-\s]+(?=\d)|(?=\d{4,}$))")
HOUR = r"([01]\d|2[0-3]):[0-5]\d"
Hours = Annotated[str, Field(pattern=rf"^$|^{HOUR}-{HOUR}$")]
"""Hours of the day, such as `11:00-22:00`. They may cross midnight; an empty text means the whole day."""


class CarrierAccount(ApiAccount):
    """One account at a carrier. Times are in seconds."""

    poll_interval: float = Field(gt=0)
    """The shortest interval between two reads, in seconds. If this value doubles, all longer intervals double too."""
    callback_wait: float = Field(default=0, ge=0)
    """Seconds to wait for a callback before an operator is asked about a create whose outcome is unknown."""
    postal_codes: str = ""
    """Prefixes of the postal codes that the couriers serve, such as `50,51`; empty excludes no address."""
    hours: Hours = ""
    """When couriers come for a pickup, by the store's clock, such as `11:00-22:00`; empty means at any time."""

    @property
    def money(self) -> tuple[str, ...]:
        """What `order-sync check` says about the settings that may cost money."""
        return ()

    @property
    def risks(self) -> tuple[str, ...]:
        """What `order-sync check` warns of."""
        return ()

    def reaches(self, postal_code: str) -> bool:
        """Return whether the couriers serve a postal code.

        True when the settings list no postal codes, or when the address has no postal code.
        """
        prefixes = tuple(spelling for code in self.postal_codes.split(",") for spelling in _spellings(code))
        spellings = _spellings(postal_code)
        return not prefixes or not spellings or any(spelling.startswith(prefixes) for spelling in spellings)

    def is_open(self, clock: time) -> bool:
        """Return whether the couriers come for a pickup at this time of the day."""
        return not self.hours or is_within(self.hours, clock)


def is_within(hours: str, clock: time) -> bool:
    """Return whether a time of the day is within `Hours` that are not empty."""
    begin, end = map(time.fromisoformat, hours.split("-"))
    return begin <= clock < end if begin < end else clock >= begin or clock < end


def without_country(postal_code: str) -> str:
    """Return a postal code without its country code: `DK-5000` becomes `5000`."""
    return _COUNTRY.sub("", postal_code.strip())


def _spellings(code: str) -> set[str]:
    """Return a postal code with and without its country code.

    Some countries write the country code as a part of every postal code.
    """
    return {bare for each in (code, without_country(code)) if (bare := _bare(each))}


def _bare(code: str) -> str:
    """Return the letters and digits of a postal code in upper case."""
    return "".join(filter(str.isalnum, code)).upper()
