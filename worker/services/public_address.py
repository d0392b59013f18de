"""Prove that the public address reaches our own web process, as the callbacks of carriers must.

This process stores a secret for a number that is used once, and sends the number to the public address. Only a web
process with the same database can sign the number with the secret. No callback is stored.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from urllib.parse import urlsplit

from worker.clock import Clock
from worker.database import leases
from worker.database.connection import Connection, without_standby
from worker.database.database import Database
from worker.errors import SettingsError, Unavailable
from worker.http.account import ApiAccount
from worker.http.call import Call, Operation, Reply
from worker.http.gateway import Gateway

ACCOUNT = "public address"
"""The name of the public address in the gateway. It cannot be the name of an account."""
FOLDER = "_check"
"""The part of the address after /callbacks. It cannot be the name of an account."""
ELSEWHERE = "no such callback address"
"""What our web process answers at an address with /callbacks that it does not know."""
UNSIGNED = "no such check"
"""What our web process answers when its database does not have the number."""
NO_DATABASE = "the database does not answer"
"""What our web process answers when it cannot read its database."""
OURS = {
    UNSIGNED: "reaches an Order Sync with another database: compare ORDER_SYNC_DATABASE_URL of the web process",
    NO_DATABASE: "reaches a web process whose database does not answer: look at its log and ORDER_SYNC_DATABASE_URL",
    ELSEWHERE: "reaches the web process under another path: the proxy must remove the part before /callbacks",
}
"""What is wrong when a web process of ours answers without a signature."""
PREFIX = "check."
NUMBER = re.compile(r"[0-9a-f]{32}")
SECONDS = 15.0
BAD_GATEWAY = frozenset({502, 503, 504})
NO_ACCESS = frozenset({401, 403, 407})
PROXY = "it must forward POST requests below /callbacks to ORDER_SYNC_WEB_ADDRESS"


def account(url: str) -> ApiAccount:
    """Return the public address as an account of the gateway."""
    parts = urlsplit(url)
    origin = f"{parts.scheme}://{parts.netloc}"
    return ApiAccount(name=ACCOUNT, kind=ACCOUNT, base_url=origin, allow_http=True, deadline=SECONDS)


@dataclass(frozen=True)
class PublicAddress:
    """Send the number, and sign it."""

    database: Database
    gateway: Gateway
    url: str
    clock: Clock

    def prove(self) -> None:
        """Send a number to the public address. Raises SettingsError unless our web process signs it."""
        number, secret = secrets.token_hex(16), secrets.token_urlsafe(32)
        self.database.write(_remember, number, secret, self)
        try:
            reply = self.gateway.send_one(ACCOUNT, Call(Operation.PROBE, "POST", self._path(number)))
        except Unavailable as error:
            raise SettingsError(self._unreachable(str(error))) from None
        finally:
            self.database.write(without_standby(leases.drop), f"{PREFIX}{number}", secret)
        if not hmac.compare_digest(reply.body, _signature(secret, number).encode()):
            raise SettingsError(f"{self.url} {_explain(reply)}")

    def _path(self, number: str) -> str:
        return f"{urlsplit(self.url).path}/callbacks/{FOLDER}/{number}"

    def _unreachable(self, why: str) -> str:
        if "certificate" in why or "SSL" in why or "TLS" in why:
            return f"{self.url} has a fault in TLS, so carriers will not call it ({why}): look at its certificate"
        if "not sent" in why:
            return f"nothing answers at {self.url} ({why}): start the web process and its proxy, and look at the DNS"
        return f"{self.url} gives no complete answer ({why}): look at the proxy, the web process and the firewall"

    def answer(self, number: str) -> str | None:
        """Return the signature of a number; None if the number is unknown or too old."""
        if not NUMBER.fullmatch(number):
            return None
        found = self.database.read(leases.find, f"{PREFIX}{number}")
        if found is None or found[1] < self.clock():
            return None
        return _signature(found[0], number)


@without_standby
def _remember(connection: Connection, number: str, secret: str, address: PublicAddress) -> None:
    now = address.clock()
    leases.take(connection, f"{PREFIX}{number}", secret, now, 2 * SECONDS)
    leases.drop_ended(connection, PREFIX, now)


def _signature(secret: str, number: str) -> str:
    return hmac.new(secret.encode(), number.encode(), hashlib.sha256).hexdigest()


def _explain(reply: Reply) -> str:
    """Return why an answer is not the signature of our web process."""
    text = reply.body.decode(errors="replace").strip()
    if text in OURS:
        return OURS[text]
    if reply.status in BAD_GATEWAY:
        return f"reaches a proxy, which answers {reply.status}: start the web process; {PROXY}"
    if reply.status in NO_ACCESS:
        return f"answers {reply.status}: carriers have no password for the proxy; {PROXY}"
    if 300 <= reply.status < 400:  # noqa: PLR2004 - the redirects
        return f"answers with a redirect ({reply.status}), which carriers may not follow; {PROXY}"
    return f"is answered by another server ({reply.status}): correct ORDER_SYNC_PUBLIC_URL or, at the proxy, {PROXY}"
