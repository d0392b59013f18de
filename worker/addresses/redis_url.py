"""Addresses of Redis servers, written so that redis-py and kombu understand them in the same way.

Many options in the query of an address work in only one of the two libraries. The other library ignores or rejects
these options. So only the options below are allowed, and each library gets them as arguments, not in an address.
Timeouts, health checks and the client's name are not options, because the code sets them.
"""

from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import quote, unquote, urlencode

from worker.addresses.parts import AS_PERCENT, MASK, TLS_OPTIONS, Host, read_options, split_address

SENTINEL_SCHEMES = frozenset({"redis+sentinel", "rediss+sentinel"})
PORTS = {"redis": 6379, "rediss": 6379, "unix": 0, **dict.fromkeys(SENTINEL_SCHEMES, 26379)}
"""The port of each scheme, if an address has none."""
SENTINEL_OPTIONS = frozenset({"sentinel_password", "sentinel_username"})
OPTIONS = frozenset({"db", "password", "username"})
WRONG = "must be a redis://, rediss://, redis+sentinel://, rediss+sentinel:// or unix:// address"
UNREADABLE = f"{WRONG}; {AS_PERCENT}"


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """The parts of an address: either the `hosts`, or the `path` of a Unix socket.

    If there is the name of a `master`, the hosts are Sentinels. Otherwise there is one host.
    """

    scheme: str
    hosts: tuple[Host, ...]
    path: str
    master: str
    db: int
    username: str
    password: str = field(repr=False)
    sentinel_username: str
    sentinel_password: str = field(repr=False)
    tls: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, url: str) -> Self:
        """Parse an address. Raises ValueError for an unusable address. The error's text contains no secrets."""
        parts = split_address(url, PORTS, WRONG)
        is_socket, by_sentinel = parts.scheme == "unix", parts.scheme in SENTINEL_SCHEMES
        if is_socket and (parts.hosts[0].name or not parts.path.strip("/")):
            raise ValueError(UNREADABLE)
        if len(parts.hosts) > 1 and not by_sentinel:
            raise ValueError("can have several hosts only if they are Sentinels (redis+sentinel://)")
        plain = OPTIONS | SENTINEL_OPTIONS if by_sentinel else OPTIONS
        options = read_options(parts.query, plain, tls=parts.scheme.startswith("rediss"))
        master, _, number = parts.path.strip("/").partition("/") if by_sentinel else ("", "", parts.path.strip("/"))
        if by_sentinel and not master:
            raise ValueError("must have the name of the master as its path")
        db = options.get("db") or ("" if is_socket else number) or "0"
        if not (db.isascii() and db.isdigit()):
            raise ValueError("must have the number of a database as its path or its option db")
        return cls(
            scheme=parts.scheme,
            hosts=() if is_socket else tuple(Host(name or "localhost", port) for name, port in parts.hosts),
            path=unquote(parts.path) if is_socket else "",
            master=unquote(master),
            db=int(db),
            username=parts.username or options.get("username", ""),
            password=parts.password or options.get("password", ""),
            sentinel_username=options.get("sentinel_username", ""),
            sentinel_password=options.get("sentinel_password", ""),
            tls=tuple((name, value) for name, value in sorted(options.items()) if name in TLS_OPTIONS),
        )

    def __str__(self) -> str:
        """Return the address with all its options."""
        return self._write(self._user(), self.sentinel_password)

    @property
    def masked(self) -> str:
        """The address without its passwords."""
        return self._write(self._user(MASK), self.sentinel_password and MASK)

    @property
    def for_kombu(self) -> str:
        """The address as kombu reads it, which gets `ssl` and the name of the master from settings."""
        if self.path:
            return f"redis+socket://{self._user()}{quote(self.path)}?virtual_host={self.db}"
        scheme = "sentinel" if self.master else self.scheme
        return ";".join(f"{scheme}://{self._user()}{host}/{self.db}" for host in self.hosts)

    @property
    def ssl(self) -> dict[str, Any] | None:
        """The options of TLS as redis-py takes them; None without TLS."""
        if not self.tls:
            return None
        options = dict(self.tls)
        named = options["ssl_cert_reqs"] == "required" and options.get("ssl_check_hostname") != "false"
        return {**options, "ssl_check_hostname": named}

    @property
    def login(self) -> dict[str, Any]:
        """The arguments of a connection to a server of Redis, except its host."""
        return {"db": self.db, **self._credentials(self.username, self.password)}

    @property
    def sentinel_login(self) -> dict[str, Any]:
        """The arguments of a connection to a Sentinel, except its host."""
        return {
            **self._credentials(self.sentinel_username, self.sentinel_password),
            **({"ssl": True, **self.ssl} if self.ssl else {}),
        }

    @staticmethod
    def _credentials(username: str, password: str) -> dict[str, Any]:
        return {"username": username or None, "password": password or None}

    def _user(self, mask: str = "") -> str:
        password = self.password and (mask or quote(self.password, safe=""))
        return f"{quote(self.username, safe='')}:{password}@" if self.username or self.password else ""

    def _write(self, user: str, sentinel_password: str) -> str:
        if self.path:
            return f"{self.scheme}://{user}{quote(self.path)}?db={self.db}"
        master = f"/{quote(self.master, safe='')}" if self.master else ""
        sentinel = {"sentinel_password": sentinel_password, "sentinel_username": self.sentinel_username}
        query = urlencode({**{name: value for name, value in sentinel.items() if value}, **dict(self.tls)}, safe="*/")
        hosts = ",".join(map(str, self.hosts))
        return f"{self.scheme}://{user}{hosts}{master}/{self.db}{'?' if query else ''}{query}"
