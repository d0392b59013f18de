"""What the addresses of Redis and RabbitMQ have in common: the parts before their query, and the options of TLS."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

TLS_OPTIONS = frozenset({"ssl_ca_certs", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname", "ssl_keyfile"})
TLS_VALUES = {"ssl_cert_reqs": ("required", "none"), "ssl_check_hostname": ("true", "false")}
AS_PERCENT = "write special characters of a password as %XX"
MASK = "***"


class Host(NamedTuple):
    """A server's name or IP address, and its port."""

    name: str
    port: int

    def __str__(self) -> str:
        """Return the host as an address contains it."""
        return f"[{self.name}]:{self.port}" if ":" in self.name else f"{self.name}:{self.port}"


@dataclass(frozen=True, slots=True)
class AddressParts:
    """The parts of an address. A host's name is empty if the address has none."""

    scheme: str
    username: str
    password: str = field(repr=False)
    hosts: tuple[Host, ...]
    path: str
    query: str


def split_address(url: str, ports: Mapping[str, int], wrong: str) -> AddressParts:
    """Split an address with one of the schemes in `ports`, and with one host or several, separated by commas.

    Raises ValueError with the text `wrong`, which contains no secrets.
    """
    scheme, _, rest = url.partition("://")
    if scheme not in ports:
        raise ValueError(wrong)
    end = min(f"{rest}/?#".index(each) for each in "/?#")
    credentials, at_sign, hosts = rest[:end].rpartition("@")
    try:
        each = [urlsplit(f"{scheme}://{credentials}{at_sign}{host}{rest[end:]}") for host in hosts.split(",")]
        found = tuple(Host(parts.hostname or "", parts.port or ports[scheme]) for parts in each)
    except ValueError:  # the text of this error contains a part of the address
        raise ValueError(f"{wrong}; {AS_PERCENT}") from None
    parts = each[0]
    # An address may have a password with a special character, or the user again before each host.
    misread = (
        "@" in parts.query or (scheme != "unix" and "@" in parts.path) or ("@" in credentials and "," in credentials)
    )
    if misread or parts.fragment or (len(found) > 1 and not all(host.name for host in found)):
        raise ValueError(f"{wrong}; {AS_PERCENT}")
    return AddressParts(
        scheme=scheme,
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        hosts=found,
        path=parts.path,
        query=parts.query,
    )


def read_options(query: str, plain: frozenset[str], *, tls: bool) -> dict[str, str]:
    """Return the options of an address: those in `plain`, and with `tls` also `TLS_OPTIONS`.

    Raises ValueError for an option or a value that is not allowed.
    """
    options = dict(parse_qsl(query, keep_blank_values=True))
    allowed = plain | TLS_OPTIONS if tls else plain
    if unknown := sorted(options.keys() - allowed):
        allowed_texts = f"only {', '.join(sorted(allowed))}" if allowed else "nor any other"
        raise ValueError(f"cannot have the option {unknown[0]}, {allowed_texts}")
    if tls:
        options.setdefault("ssl_cert_reqs", "required")  # without it kombu accepts any certificate
    for name, values in TLS_VALUES.items():
        if options.get(name, values[0]) not in values:
            raise ValueError(f"the option {name} must be {' or '.join(values)}")
    return options
