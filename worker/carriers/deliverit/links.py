"""The links in their answers: read for the token in them, never followed.

Following one would send the password in clear, or to another host (D-02): the samples name three origins, one of them
plain http and one a development server (D-01).
"""

import re
from dataclasses import dataclass
from typing import TypeGuard
from urllib.parse import urlsplit

LINK_PATH = re.compile(r"/api/v1/orderdriver/(accept|deny|cancel)/([0-9]{1,18})/([A-Za-z0-9]{8,64})")
TOKEN = re.compile(r"[A-Za-z0-9]{8,64}")


@dataclass(frozen=True, slots=True)
class Link:
    """What a link says: whose company, which token and on which host."""

    company: str
    token: str
    host: str


def read_link(url: str | None, verb: str, company: str | None) -> Link | None:
    """Read a link of one verb that belongs to our company; None for anything else (D-02)."""
    try:
        parts = urlsplit(url or "")
        host = parts.hostname or ""
    except ValueError:
        return None
    found = LINK_PATH.fullmatch(parts.path)
    if company is None or not found or found[1] != verb or int(found[2]) != int(company):
        return None
    return Link(company, found[3], host)


def path_of(verb: str, company: str, token: str) -> str:
    """Write the path of a link anew, for the account's own origin (DeliverIt, "Accept push", "Deny push", "Cancel")."""
    return f"/api/v1/orderdriver/{verb}/{company}/{token}"


def is_token(ref: str | None) -> TypeGuard[str]:
    """Tell a cancel token from the stand-in that an order without one has."""
    return ref is not None and TOKEN.fullmatch(ref) is not None


def stand_in(tag: str) -> str:
    """Name an order whose cancel link was never shown, by our own tag; no token has a `#` in it."""
    return f"#{tag}"
