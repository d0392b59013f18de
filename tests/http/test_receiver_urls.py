"""Which URLs a subscriber may have, and to which addresses they may lead."""

import pytest

from worker.http.receiver_url import check_url, forbidden_address, host_of, is_public

PRIVATE = [
    "0.0.0.0", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254", "169.254.169.254",
    "168.63.129.16", "172.16.0.1", "192.0.0.1", "192.0.2.1", "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
    "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::7f00:1", "::10.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::",
    "2002:a9fe:a9fe::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "2606:4700::1%1", "fec0::1", "ff02::1",
    "localhost", "", "127.1", "0177.0.0.1",
]  # fmt: skip
PUBLIC = [
    "1.1.1.1", "8.8.8.8", "172.32.0.1", "192.88.98.1", "100.128.0.1", "2606:4700::1111", "2a00:1450:400f::200e",
    "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1",
]  # fmt: skip
ALLOWED = [
    "https://example.com",
    "https://example.com:8443/hooks?key=a%20b",
    "https://[2606:4700::1111]/x",
    "https://a_b.example/",
]
REFUSED = {
    "example.com/hooks": "must be a full one",
    "ftp://example.com": "must be a full one",
    "https://": "must be a full one",
    "https://example.com:0/pass": "must be a full one",
    "https://example.com:99999/": "a port from 1 to 65535",
    "https://user:pass@example.com/": "neither credentials nor a fragment",
    "https://@example.com/": "neither credentials nor a fragment",
    "https://example.com/#here": "neither credentials nor a fragment",
    "https://example.com\\@evil.example/": "none that a URL cannot have",
    "https://example.com/ x": "none that a URL cannot have",
    "https://example.com/\r\nHost: evil": "none that a URL cannot have",
    "https://bücher.example/": "none that a URL cannot have",
    "https://example.com/" + "x" * 2000: "at most 2000 characters",
    "http://example.com/": "plain http",
    "http://127.0.0.1:8080/": "plain http",
}  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_inside_a_network_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(address)


def test_one_private_address_of_a_host_forbids_the_host() -> None:
    assert forbidden_address(["8.8.8.8", "::ffff:10.0.0.1"]) == "::ffff:10.0.0.1"
    assert forbidden_address(["8.8.8.8", "2606:4700::1111"]) is None


@pytest.mark.parametrize("url", ALLOWED)
def test_a_full_https_url_is_allowed(url: str) -> None:
    assert check_url(url, ()) == url


@pytest.mark.parametrize(("url", "why"), REFUSED.items(), ids=range(len(REFUSED)))
def test_any_other_url_is_refused_without_being_repeated(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as raised:
        check_url(url, ("other.example",))
    assert not any(secret in str(raised.value) for secret in ("pass", "evil", "hooks?"))


def test_plain_http_is_allowed_to_the_listed_hosts() -> None:
    for hosts in (("127.0.0.1", "kitchen.internal"), ("*",)):
        for url in ("http://127.0.0.1:8080/", "http://kitchen.internal/"):
            assert check_url(url, hosts) == url
    assert host_of("https://Example.COM:1/x") == "example.com"
