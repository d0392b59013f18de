"""Addresses of RabbitMQ, written so that py-amqp and kombu understand them in the same way.

Options of TLS have the same names as in the address of Redis. kombu reads them from a setting of its own, not from the
address, and without them both libraries would accept any certificate.
"""

import ssl
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import quote, unquote

from worker.addresses.parts import AS_PERCENT, MASK, Host, read_options, split_address

PORTS = {"amqp": 5672, "amqps": 5671}
"""The port of each scheme, if an address has none."""
WRONG = "must be an amqp:// or amqps:// address"
UNREADABLE = f"{WRONG}; {AS_PERCENT}"


def is_amqp(url: str) -> bool:
    """Return whether an address is one of RabbitMQ."""
    return url.partition(":")[0] in PORTS


@dataclass(frozen=True, slots=True)
class AmqpUrl:
    """The parts of an address. The user is `guest` and the virtual host is `/` if the address names none.

    Several hosts are the nodes of one cluster.
    """

    scheme: str
    hosts: tuple[Host, ...]
    virtual_host: str
    username: str
    password: str = field(repr=False)
    tls: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, url: str) -> Self:
        """Parse an address. Raises ValueError for an unusable address. The error's text contains no secrets."""
        parts = split_address(url, PORTS, WRONG)
        if "/" in parts.path[1:]:
            raise ValueError(UNREADABLE)
        options = read_options(parts.query, frozenset(), tls=parts.scheme == "amqps")
        return cls(
            scheme=parts.scheme,
            hosts=tuple(Host(name or "localhost", port) for name, port in parts.hosts),
            virtual_host=unquote(parts.path[1:]) or "/",
            username=parts.username or "guest",
            password=parts.password or "guest",
            tls=tuple(sorted(options.items())),
        )

    def __str__(self) -> str:
        """Return the address with all its options."""
        query = "&".join(f"{name}={quote(value, safe='/')}" for name, value in self.tls)
        return f"{self._write(self._hosts, quote(self.password, safe=''))}{'?' if query else ''}{query}"

    @property
    def for_kombu(self) -> str:
        """The address as kombu reads it, which gets `ssl` from a setting."""
        return ";".join(self._write(str(host), quote(self.password, safe="")) for host in self.hosts)

    @property
    def masked(self) -> str:
        """The address without its password."""
        return self._write(self._hosts, MASK)

    @property
    def servers(self) -> tuple[dict[str, Any], ...]:
        """The arguments of py-amqp's connection to each host."""
        return tuple(
            {
                "host": str(host),
                "userid": self.username,
                "password": self.password,
                "virtual_host": self.virtual_host,
                "ssl": with_server_name(self.ssl, host.name) if self.ssl else False,
            }
            for host in self.hosts
        )

    @property
    def ssl(self) -> dict[str, Any] | None:
        """The options of TLS as py-amqp takes them; None without TLS.

        If the name of the server is checked, `server_hostname` is None until `with_server_name` sets it.
        """
        if self.scheme == "amqp":
            return None
        options = dict(self.tls)
        verified = options["ssl_cert_reqs"] == "required"
        return {
            "cert_reqs": ssl.CERT_REQUIRED if verified else ssl.CERT_NONE,
            **({"server_hostname": None} if verified and options.get("ssl_check_hostname") != "false" else {}),
            **{key: options.get(f"ssl_{key}") for key in ("ca_certs", "certfile", "keyfile")},
        }

    @property
    def _hosts(self) -> str:
        return ",".join(map(str, self.hosts))

    def _write(self, hosts: str, password: str) -> str:
        user = f"{quote(self.username, safe='')}:{password}"
        return f"{self.scheme}://{user}@{hosts}/{quote(self.virtual_host, safe='')}"


def with_server_name(options: dict[str, Any], host: str) -> dict[str, Any]:
    """Return options of TLS with the name that the certificate must have, if it is checked and not set yet."""
    return {**options, "server_hostname": host} if options.get("server_hostname", host) is None else options
