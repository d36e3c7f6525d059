"""fleet.addresses: every way to write a private address is refused, and an allowance names its target."""

from __future__ import annotations

import pytest

from fleet.addresses import Allowance, BadAllowance, is_public

PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "93.184.216.34",
    "172.15.255.255",
    "172.32.0.1",
    "100.63.255.255",
    "100.128.0.1",
    "168.63.129.15",
    "192.0.1.1",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2a00:1450:4001:800::200e",
    "2001:4860:4860::8888",
    "2001:200::1",
]

NOT_PUBLIC = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.255",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "168.63.129.16",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:10::1",
    "2001:db8::1",
    "2002:a9fe:a9fe::",
    "2002:7f00:1::",
    "3fff::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700::1%eth0",
    "fec0::1",
    "ff02::1",
    "",
    "localhost",
    "127.1",
    "0x7f000001",
    "2130706433",
    "example.com",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_everything_else_is_not(address: str) -> None:
    assert not is_public(address)


def test_a_wildcard_covers_the_names_below_it_and_not_the_name_itself() -> None:
    allowance = Allowance.parse("*.town.test=127.0.0.1:8123")
    assert allowance.target("bakery.town.test", 80) == ("127.0.0.1", 8123)
    assert allowance.target("a.b.Town.Test.", 443) == ("127.0.0.1", 8123)
    assert allowance.target("town.test", 80) is None
    assert allowance.target(".town.test", 80) is None
    assert allowance.target("eviltown.test", 80) is None
    assert allowance.target("town.test.evil.example", 80) is None


def test_a_port_before_the_sign_is_the_only_one_that_matches() -> None:
    allowance = Allowance.parse(" 127.0.0.1:8000=127.0.0.1:8000 , page.test=[::1]:9000")
    assert allowance.target("127.0.0.1", 8000) == ("127.0.0.1", 8000)
    assert allowance.target("127.0.0.1", 6379) is None
    assert allowance.target("page.test", 80) == ("::1", 9000)
    assert allowance.target("[page.test]", 80) == ("::1", 9000)


def test_a_host_is_named_whatever_its_port() -> None:
    allowance = Allowance.parse("127.0.0.1:8000=127.0.0.1:8000,*.town.test=127.0.0.1:8123")
    assert allowance.names("127.0.0.1")
    assert allowance.names("bakery.Town.test")
    assert not allowance.names("town.test")


def test_nothing_is_allowed_by_default() -> None:
    assert Allowance.parse("").target("localhost", 80) is None
    assert Allowance().target("127.0.0.1", 80) is None


@pytest.mark.parametrize(
    "text",
    [
        "town.test",
        "town.test=",
        "=127.0.0.1:80",
        "a.test=127.0.0.1",
        "a.test=localhost:80",
        "a.test=127.0.0.1:0",
        "a.test=127.0.0.1:70000",
        "a.test=127.0.0.1:x",
        "a.test:0=127.0.0.1:80",
        "a.test=127.0.0.1:99999999999",
    ],
)
def test_what_does_not_parse_says_so(text: str) -> None:
    with pytest.raises(BadAllowance, match=r"town\.test=127"):
        Allowance.parse(text)
