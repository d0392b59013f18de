"""The host names of the accounts: all lead to the servers of a run, and a fault may delay or fail their look-ups."""

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.chaos.conditions import Conditions

DOMAIN = ".localhost"
FAILED = "failed"
"""The condition in which the name servers answer that they cannot look up the name."""


def host_of(account: str) -> str:
    """Return the host name of an account."""
    return f"{account}{DOMAIN}"


@dataclass(frozen=True)
class NameServers:
    """Look-ups under conditions: the condition `names.<account>` is the seconds that each takes, or FAILED."""

    conditions: Conditions
    sleep: Callable[[float], None] = time.sleep
    address: str = "127.0.0.1"
    """Where the names lead."""

    def look_up(self, host: str | bytes, port: int, **options: int) -> list[tuple[Any, ...]]:
        """Return the addresses of an account's host, as `socket.getaddrinfo` does. Raises OSError."""
        name = host.decode() if isinstance(host, bytes) else host  # httpx's pool writes names as bytes
        condition = self.conditions.read(f"names.{name.removesuffix(DOMAIN)}", "0")
        if condition == FAILED:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        self.sleep(float(condition))
        return [*socket.getaddrinfo(self.address, port, **options)]
