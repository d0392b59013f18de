"""An account at an HTTP API: its origin, its time limits and its rate limit. Pure."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def origin(url: str, *, allow_http: bool) -> str:
    """Return the URL if it consists only of an origin: the scheme, the host and perhaps a port.

    Raises ValueError for any other URL. Without `allow_http`, plain http is allowed only to loopback. The error's text
    does not contain the URL, because a URL may contain a password.
    """
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:  # the text of this error contains a part of the URL
        raise ValueError("must have a port from 1 to 65535") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or url != "".join(url.split()):
        raise ValueError("must be an origin, such as https://example.com")
    if parts.username or parts.password:
        raise ValueError("must not hold credentials")
    if parts.path.strip("/") or parts.query or parts.fragment or port == 0:
        raise ValueError("must be an origin alone, without a path")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK and not allow_http:
        raise ValueError("is plain http; set ALLOW_HTTP=true for this account to allow it")
    return url


RATE = r"^$|^[1-9]\d*/(second|minute|hour|day)(;[1-9]\d*/(second|minute|hour|day))*$"
Rate = Annotated[str, Field(pattern=RATE)]
"""A rate limit such as `80/minute;4500/day`, for sliding windows of time. An empty text means no limit."""


class ApiAccount(BaseModel):
    """One account at an API. Times are in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str
    kind: str
    """The carrier of this account; by default the account's own name."""
    allow_http: bool = False
    """Allow plain http to hosts other than loopback."""
    base_url: str
    """The origin of the API, without a path."""
    connect_timeout: float = Field(default=5, gt=0)
    """The longest time in seconds to connect."""
    read_timeout: float = Field(default=30, gt=0)
    """The longest wait in seconds for the next part of a response."""
    deadline: float = Field(default=45, gt=0)
    """The longest time in seconds for a whole call."""
    rate: Rate = ""
    """The rate limit of all processes together, such as `80/minute;4500/day`."""

    @field_validator("base_url")
    @classmethod
    def _is_origin(cls, url: str, info: ValidationInfo) -> str:
        return origin(url, allow_http=info.data.get("allow_http", False))
