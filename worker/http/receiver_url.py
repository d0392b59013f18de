"""The URL of a subscriber: which ones are allowed, and to which addresses they may lead. Pure.

Whoever chooses a URL must not reach servers inside our network with it. The addresses are checked after the look-up,
because a name may get another address at any time.
"""

import re
from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

MAX_URL = 2000
ANY_HOST = "*"
"""Allows every host to have a private address."""
_TEXT = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")
"""The characters of a URL (RFC 3986). Programs read other characters, such as a backslash, in different ways."""
_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")
_GLOBAL_UNICAST = ip_network("2000::/3")
_WITH_IPV4: tuple[tuple[IPv6Network, int], ...] = (
    (IPv6Network("::ffff:0:0/96"), 0),  # mapped
    (IPv6Network("64:ff9b::/96"), 0),  # translated (NAT64)
    (IPv6Network("2002::/16"), 80),  # tunnelled (6to4)
)
"""The networks of IPv6 addresses that lead to an IPv4 address, and the number of bits after it."""
_PUBLIC_BUT_INSIDE = frozenset({IPv4Address("168.63.129.16")})
"""Addresses of cloud providers that look public, and that reach a service of the machine's own host (Azure)."""


def host_of(url: str) -> str:
    """Return the host of a URL that was checked."""
    return urlsplit(url).hostname or ""


def check_url(url: str, private_hosts: Collection[str]) -> str:
    """Return the URL if a subscriber may have it. Raises ValueError.

    Plain http is allowed only to `private_hosts`. The text of the error does not contain the URL, because a URL may
    contain a secret.
    """
    if len(url) > MAX_URL or not _TEXT.fullmatch(url):
        raise ValueError(f"the URL must have at most {MAX_URL} characters, and none that a URL cannot have")
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname or ""
    except ValueError:  # the text of this error contains a part of the URL
        raise ValueError("the URL must have a host, and a port from 1 to 65535 if any") from None
    if parts.scheme not in {"http", "https"} or not _HOST.fullmatch(host) or port == 0:
        raise ValueError("the URL must be a full one, such as https://example.com/hooks")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise ValueError("the URL must contain neither credentials nor a fragment")
    if parts.scheme == "http" and not is_private_host(host, private_hosts):
        raise ValueError(
            f"the URL is plain http; use https, or list {host} in ORDER_SYNC_WEBHOOKS__PRIVATE_HOSTS to allow it"
        )
    return url


def is_private_host(host: str, private_hosts: Collection[str]) -> bool:
    """Return whether a host may have any address, and be called over plain http."""
    return ANY_HOST in private_hosts or host in private_hosts


def forbidden_address(addresses: Collection[str]) -> str | None:
    """Return the first of a host's addresses that is not a public one; None if all are public."""
    return next((each for each in addresses if not is_public(each)), None)


def is_public(address: str) -> bool:
    """Return whether an address is one of the public internet, also if it leads to an IPv4 address."""
    try:
        found = ip_address(address)
    except ValueError:  # such as an address with an unusual zone
        return False
    if isinstance(found, IPv6Address):
        embedded = _embedded(found)
        if embedded is None:
            return found.scope_id is None and found in _GLOBAL_UNICAST and found.is_global
        found = embedded
    if found in _PUBLIC_BUT_INSIDE or found.is_multicast or found.is_reserved:
        return False
    return found.is_global


def _embedded(address: IPv6Address) -> IPv4Address | None:
    for network, after in _WITH_IPV4:
        if address in network:
            return IPv4Address((int(address) >> after) & 0xFFFF_FFFF)
    return None
