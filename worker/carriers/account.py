"""What the accounts of all carriers have in common, and what makes an address safe to send a credential to."""

from datetime import time
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def origin(url: str, *, allow_http: bool) -> str:
    """Return an address that is an origin alone. Raises ValueError, without the address: it may hold a password."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or url != "".join(url.split()):
        raise ValueError("must be an origin, such as https://example.com")
    if parts.username or parts.password:
        raise ValueError("must not hold credentials")
    if parts.path.strip("/") or parts.query or parts.fragment or parts.port == 0:
        raise ValueError("must be an origin alone, without a path")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK and not allow_http:
        raise ValueError("is plain http; set ALLOW_HTTP=true beside it if that is meant")
    return url


RATE = r"^$|^[1-9]\d*/(second|minute|hour|day)(;[1-9]\d*/(second|minute|hour|day))*$"
Rate = Annotated[str, Field(pattern=RATE)]
"""So many calls in every sliding window, such as `80/minute;4500/day`; empty is no limit."""


HOUR = r"([01]\d|2[0-3]):[0-5]\d"
Hours = Annotated[str, Field(pattern=rf"^$|^{HOUR}-{HOUR}$")]
"""Between which clock times a courier comes, such as `11:00-22:00`, also over midnight; empty is always."""


class Account(BaseModel):
    """One account at a carrier: the settings that every carrier has. Times are in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str
    kind: str
    """Which carrier this account is at; the name itself, when it is one of them."""
    allow_http: bool = False
    """Allow plain http beyond loopback."""
    base_url: str
    """The origin of its API, without a path."""
    connect_timeout: float = Field(default=5, gt=0)
    """Seconds to connect in."""
    read_timeout: float = Field(default=30, gt=0)
    """Seconds between two parts of an answer."""
    deadline: float = Field(default=45, gt=0)
    """Seconds for a whole call, whatever happens."""
    rate: Rate = ""
    """The budget of all processes together, such as `80/minute;4500/day`."""
    poll_interval: float = Field(gt=0)
    """Seconds between two reads at their closest; every other cadence is stretched with it."""
    callback_wait: float = Field(default=0, ge=0)
    """Seconds to wait for a callback before a create in doubt is left to a person."""
    postal_codes: str = ""
    """How the postal codes begin that its couriers go to, such as `50,51`; by default nothing is known of that."""
    hours: Hours = ""
    """Between which times by the store's clock its couriers come for a pickup, such as `11:00-22:00`."""

    @field_validator("base_url")
    @classmethod
    def _is_origin(cls, url: str, info: ValidationInfo) -> str:
        return origin(url, allow_http=info.data.get("allow_http", False))

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
