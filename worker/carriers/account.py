"""What the accounts of all carriers have in common, beside what every API account has."""

from datetime import time
from typing import Annotated

from pydantic import Field

from worker.http.account import ApiAccount

HOUR = r"([01]\d|2[0-3]):[0-5]\d"
Hours = Annotated[str, Field(pattern=rf"^$|^{HOUR}-{HOUR}$")]
"""Between which clock times a courier comes, such as `11:00-22:00`, also over midnight; empty is always."""


class CarrierAccount(ApiAccount):
    """One account at a carrier: the settings that every carrier has. Times are in seconds."""

    poll_interval: float = Field(gt=0)
    """Seconds between two reads at their closest; every other cadence is stretched with it."""
    callback_wait: float = Field(default=0, ge=0)
    """Seconds to wait for a callback before a create in doubt is left to a person."""
    postal_codes: str = ""
    """How the postal codes begin that its couriers go to, such as `50,51`; by default nothing is known of that."""
    hours: Hours = ""
    """Between which times by the store's clock its couriers come for a pickup, such as `11:00-22:00`."""

    def reaches(self, postal_code: str) -> bool:
        """Tell whether its couriers go there, as far as the settings and the address say."""
        beginnings = tuple(filter(None, map(_bare, self.postal_codes.split(","))))
        code = _bare(postal_code)
        return not beginnings or not code or code.startswith(beginnings)

    def is_open(self, clock: time) -> bool:
        """Tell whether its couriers come for a pickup at this time of the day."""
        if not self.hours:
            return True
        opens, closes = map(time.fromisoformat, self.hours.split("-"))
        return opens <= clock < closes if opens < closes else clock >= opens or clock < closes


def _bare(code: str) -> str:
    """Write a postal code without what people put between its letters and digits."""
    return "".join(filter(str.isalnum, code)).upper()
