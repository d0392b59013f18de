"""The links in their answers: read for the token in them, never followed.

Following one would send the password in clear, or to another host (D-02): the samples name three origins, one of them
plain http and one a development server (D-01).
"""

import re
from dataclasses import dataclass
from typing import TypeGuard
from urllib.parse import urlsplit

TOKEN = re.compile(r"[A-Za-z0-9]{8,64}")
_COMPANY, _TOKEN = r"(?P<company>[0-9]{1,18})", rf"(?P<token>{TOKEN.pattern})"
DRIVER = re.compile(rf"/api/v1/orderdriver/(?P<verb>accept|deny|cancel)/{_COMPANY}/{_TOKEN}")
DETAILS = re.compile(rf"/api/v1/orderinfo/{_COMPANY}/{_TOKEN}/(?P<verb>update|cancel)")
"""A link of a driver order, and one of a transferred order, whose own number is the token (D-72)."""


@dataclass(frozen=True, slots=True)
class Link:
    """What a link says: whose company, which token and on which host."""

    company: str
    token: str
    host: str


def read_link(url: str | None, verb: str, company: str | None, kind: re.Pattern[str] = DRIVER) -> Link | None:
    """Read a link of one kind and verb that belongs to our company; None for anything else (D-02)."""
    try:
        parts = urlsplit(url or "")
        host = parts.hostname or ""
    except ValueError:
        return None
    found = kind.fullmatch(parts.path)
    if company is None or not found or found["verb"] != verb or int(found["company"]) != int(company):
        return None
    return Link(company, found["token"], host)


def path_of(verb: str, company: str, token: str) -> str:
    """Write the path of a link anew, for the account's own origin (DeliverIt, "Accept push", "Deny push", "Cancel")."""
    return f"/api/v1/orderdriver/{verb}/{company}/{token}"


def details_path(verb: str, company: str, number: str) -> str:
    """Write the path of a transferred order (DeliverIt, "Update customer info", "Destroy customer info")."""
    return f"/api/v1/orderinfo/{company}/{number}/{verb}"


def is_token(ref: str | None) -> TypeGuard[str]:
    """Tell a cancel token from the stand-in that an order without one has."""
    return ref is not None and TOKEN.fullmatch(ref) is not None


def stand_in(tag: str) -> str:
    """Name an order whose cancel link was never shown, by our own tag; no token has a `#` in it."""
    return f"#{tag}"
