"""Addresses of Redis servers, written so that redis-py and kombu understand them in the same way.

Many options in the query of an address work in only one of the two libraries. The other library ignores or rejects
these options. So only `OPTIONS` and `TLS_OPTIONS` are allowed. For each library, an option is written into the part of
the address from which this library reads it. Timeouts, health checks and the client's name are not options, because
the code sets them.
"""

from dataclasses import dataclass, field
from typing import Self
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

SCHEMES = frozenset({"redis", "rediss", "unix"})
TLS_OPTIONS = frozenset({"ssl_ca_certs", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname", "ssl_keyfile"})
OPTIONS = frozenset({"db", "password", "username"})
TLS_VALUES = {"ssl_cert_reqs": ("required", "none"), "ssl_check_hostname": ("true", "false")}
WRONG = "must be a redis://, rediss:// or unix:// address"
AS_PERCENT = "write special characters of a password as %XX"
UNREADABLE = f"{WRONG}; {AS_PERCENT}"
DEFAULT_PORT = 6379
MASK = "***"


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """The parts of an address: either the name of a `host` or the `path` of a Unix socket. The other one is empty."""

    scheme: str
    host: str
    port: int
    path: str
    db: int
    username: str
    password: str = field(repr=False)
    tls: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, url: str) -> Self:
        """Parse an address. Raises ValueError for an unusable address. The error's text contains no secrets."""
        parts = split_address(url, SCHEMES, WRONG)
        is_socket = parts.scheme == "unix"
        if is_socket and (parts.hostname or not parts.path.strip("/")):
            raise ValueError(UNREADABLE)
        options = read_options(parts.query, OPTIONS, tls=parts.scheme == "rediss")
        db = options.get("db") or ("" if is_socket else parts.path.strip("/")) or "0"
        if not (db.isascii() and db.isdigit()):
            raise ValueError("must have the number of a database as its path or its option db")
        return cls(
            scheme=parts.scheme,
            host="" if is_socket else parts.hostname or "localhost",
            port=parts.port or DEFAULT_PORT,
            path=unquote(parts.path) if is_socket else "",
            db=int(db),
            username=unquote(parts.username or "") or options.get("username", ""),
            password=unquote(parts.password or "") or options.get("password", ""),
            tls=tuple((name, value) for name, value in sorted(options.items()) if name in TLS_OPTIONS),
        )

    def __str__(self) -> str:
        """Return the address as redis-py reads it."""
        return self._write(self.scheme, "db")

    @property
    def for_kombu(self) -> str:
        """The address as kombu reads it."""
        return self._write("redis+socket" if self.path else self.scheme, "virtual_host")

    @property
    def masked(self) -> str:
        """The address without its password."""
        return self._write(self.scheme, "db", mask=MASK)

    def _write(self, scheme: str, socket_db: str, mask: str = "") -> str:
        password = self.password and (mask or quote(self.password, safe=""))
        user = f"{quote(self.username, safe='')}:{password}@" if self.username or self.password else ""
        if self.path:
            return f"{scheme}://{user}{quote(self.path)}?{socket_db}={self.db}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        query = f"?{urlencode(self.tls)}" if self.tls else ""
        return f"{scheme}://{user}{host}:{self.port}/{self.db}{query}"


def split_address(url: str, schemes: frozenset[str], wrong: str) -> SplitResult:
    """Split an address, whose port can be read. Raises ValueError with the text `wrong`, which contains no secrets."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:  # the text of this error contains a part of the address
        raise ValueError(f"{wrong}; {AS_PERCENT}") from None
    if parts.scheme not in schemes:
        raise ValueError(wrong)
    if parts.fragment or "@" in parts.query:
        raise ValueError(f"{wrong}; {AS_PERCENT}")
    return parts


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
