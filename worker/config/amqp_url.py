"""Addresses of RabbitMQ, written so that py-amqp and kombu understand them in the same way.

Options of TLS have the same names as in the address of Redis. kombu reads them from a setting of its own, not from the
address, and without them both libraries would accept any certificate.
"""

import ssl
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import quote, unquote

from worker.config.redis_url import AS_PERCENT, MASK, read_options, split_address

SCHEMES = frozenset({"amqp", "amqps"})
WRONG = "must be an amqp:// or amqps:// address"
UNREADABLE = f"{WRONG}; {AS_PERCENT}"
PORTS = {"amqp": 5672, "amqps": 5671}


def is_amqp(url: str) -> bool:
    """Return whether an address is one of RabbitMQ."""
    return url.partition(":")[0] in SCHEMES


@dataclass(frozen=True, slots=True)
class AmqpUrl:
    """The parts of an address. The user is `guest` and the virtual host is `/` if the address names none."""

    scheme: str
    host: str
    port: int
    virtual_host: str
    username: str
    password: str = field(repr=False)
    tls: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, url: str) -> Self:
        """Parse an address. Raises ValueError for an unusable address. The error's text contains no secrets."""
        parts = split_address(url, SCHEMES, WRONG)
        if "/" in parts.path[1:]:
            raise ValueError(UNREADABLE)
        options = read_options(parts.query, frozenset(), tls=parts.scheme == "amqps")
        return cls(
            scheme=parts.scheme,
            host=parts.hostname or "localhost",
            port=parts.port or PORTS[parts.scheme],
            virtual_host=unquote(parts.path[1:]) or "/",
            username=unquote(parts.username or "guest"),
            password=unquote(parts.password or "guest"),
            tls=tuple(sorted(options.items())),
        )

    def __str__(self) -> str:
        """Return the address with all its options."""
        query = "&".join(f"{name}={quote(value, safe='/')}" for name, value in self.tls)
        return f"{self.for_kombu}{'?' if query else ''}{query}"

    @property
    def for_kombu(self) -> str:
        """The address as kombu reads it, which gets `ssl` from a setting."""
        return self._write(quote(self.password, safe=""))

    @property
    def masked(self) -> str:
        """The address without its password."""
        return self._write(MASK)

    @property
    def options(self) -> dict[str, Any]:
        """The arguments of py-amqp's connection."""
        return {
            "host": f"{self._host}:{self.port}",
            "userid": self.username,
            "password": self.password,
            "virtual_host": self.virtual_host,
            "ssl": self.ssl or False,
        }

    @property
    def ssl(self) -> dict[str, Any] | None:
        """The options of TLS as py-amqp takes them; None without TLS."""
        if self.scheme == "amqp":
            return None
        options = dict(self.tls)
        verified = options["ssl_cert_reqs"] == "required"
        named = verified and options.get("ssl_check_hostname") != "false"
        return {
            "cert_reqs": ssl.CERT_REQUIRED if verified else ssl.CERT_NONE,
            **({"server_hostname": self.host} if named else {}),
            **{key: options.get(f"ssl_{key}") for key in ("ca_certs", "certfile", "keyfile")},
        }

    def _write(self, password: str) -> str:
        user = f"{quote(self.username, safe='')}:{password}"
        return f"{self.scheme}://{user}@{self._host}:{self.port}/{quote(self.virtual_host, safe='')}"

    @property
    def _host(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host
