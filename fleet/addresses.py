"""Which network addresses the fleet may reach: the public Internet, and what was allowed by name.

The prefix list is our own. ``ipaddress.is_global`` of Python 3.11 says True for NAT64 and 6to4 wrappings of
the cloud's metadata address, for ``::127.0.0.1``, ``fec0::1`` and Azure's 168.63.129.16.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from fleet.errors import FleetError

_NOT_PUBLIC_4 = tuple(
    IPv4Network(prefix)
    for prefix in (
        "0.0.0.0/8",  # this network; Linux connects 0.0.0.0 to itself
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier NAT; also the metadata service of one cloud
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's host agent
        "169.254.0.0/16",  # link-local: the metadata service of most clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)

_GLOBAL_UNICAST_6 = IPv6Network("2000::/3")
"""All public IPv6 addresses so far. Outside lie ::/96, mapped IPv4, NAT64, ULA, link-local, multicast."""

_NOT_PUBLIC_6 = tuple(
    IPv6Network(prefix)
    for prefix in (
        "2001::/23",  # protocol assignments; Teredo wraps IPv4 addresses
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4 wraps IPv4 addresses
        "3fff::/20",  # documentation
    )
)


_ISATAP = (0x0000_5EFE, 0x0200_5EFE)
"""The upper half of an ISATAP interface identifier; the lower one is an IPv4 address, whatever the prefix."""

_LABEL = re.compile(r"[a-z0-9_-]{1,63}\Z")
_NUMBER = re.compile(r"(0x[0-9a-f]*|[0-9]+)\Z")
LONGEST_NAME = 253


class BadHost(FleetError):
    """A host that is neither a name nor an address."""

    def __init__(self, host: str, why: str) -> None:
        super().__init__(f"{host[:80]!a} is no host: {why}")


class BadPrefixes(FleetError):
    """A list of networks that does not parse."""

    def __init__(self, entry: str) -> None:
        super().__init__(f"{entry!r} is no network: write prefixes such as '52.94.76.0/22', separated by commas")


class BadAllowance(FleetError):
    """A list of local targets that does not parse."""

    def __init__(self, entry: str) -> None:
        super().__init__(
            f"the egress allowance {entry!r} does not parse: write host=address:port, with an IP address, "
            "such as '*.town.test=127.0.0.1:8123'"
        )


def is_public(address: str | IPv4Address | IPv6Address) -> bool:
    """Whether an IP address belongs to the public Internet; whatever is no IP address does not."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv4Address):
        return not any(parsed in prefix for prefix in _NOT_PUBLIC_4)
    if parsed.scope_id is not None or parsed not in _GLOBAL_UNICAST_6:
        return False
    if int(parsed) >> 32 & 0xFFFF_FFFF in _ISATAP:
        return False
    return not any(parsed in prefix for prefix in _NOT_PUBLIC_6)


def spelled(host: str) -> IPv4Address | IPv6Address | None:
    """The address that a host spells, None for a name. ``host`` is lower case and has no brackets.

    The spellings of IPv4 are those of ``inet_aton``, which browsers share: 127.1, 2130706433, 0x7f.1, 0177.0.0.1. A
    host whose last label is a number is an address or nothing, as it is to browsers. Raises BadHost.
    """
    if ":" in host:
        try:
            address = IPv6Address(host)
        except ValueError as exc:
            raise BadHost(host, "it does not parse as an IPv6 address") from exc
        if address.scope_id is not None:
            raise BadHost(host, "a zone is known on one machine alone")
        return address
    if not _NUMBER.match(host.rpartition(".")[2]):
        return None
    if not re.fullmatch(r"[0-9a-fx.]+", host):
        raise BadHost(host, "its last label is a number, and it is no IPv4 address")
    try:
        return IPv4Address(socket.inet_aton(host))
    except OSError as exc:
        raise BadHost(host, "its last label is a number, and it is no IPv4 address") from exc


def usable_host(host: str) -> str:
    """``host`` as it is looked up (`normal_host`). Raises BadHost for what is neither a name nor an address.

    Names are in ASCII: who shows them to people has encoded them (IDNA) before they come here.
    """
    usable = normal_host(host)
    if spelled(usable) is None:
        if not usable or len(usable) > LONGEST_NAME:
            raise BadHost(host, f"a name has 1 to {LONGEST_NAME} characters")
        if not all(map(_LABEL.match, usable.split("."))):
            raise BadHost(host, "its labels are not 1 to 63 of the characters a-z, 0-9, '-' and '_'")
    return usable


Prefixes = tuple[IPv4Network | IPv6Network, ...]


def parse_prefixes(text: str) -> Prefixes:
    """Networks, separated by commas. Raises BadPrefixes."""
    found = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        try:
            found.append(ipaddress.ip_network(part))
        except ValueError as exc:
            raise BadPrefixes(part) from exc
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Entry:
    host: str  # lower case; "*.suffix" means every name below the suffix
    port: int | None  # None: any port that is asked for
    target: tuple[str, int]

    def matches(self, host: str, port: int) -> bool:
        if self.port is not None and self.port != port:
            return False
        if self.host.startswith("*."):
            return host.endswith(self.host[1:]) and len(host) > len(self.host) - 1
        return host == self.host


@dataclass(frozen=True, slots=True)
class Allowance:
    """Names that lead to a fixed address, public or not: the sample town, test servers. Empty by default."""

    entries: tuple[_Entry, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Allowance:
        """Read ``host=address:port`` entries, separated by commas.

        ``host`` may begin with ``*.`` and may end with a ``:port``, which then is the only one that matches.
        IPv6 addresses stand in brackets. Raises BadAllowance.
        """
        return cls(tuple(_entry(part.strip()) for part in text.split(",") if part.strip()))

    def target(self, host: str, port: int) -> tuple[str, int] | None:
        """The ``(address, port)`` to connect to for ``host:port``, None when it was not allowed by name."""
        wanted = normal_host(host)
        for entry in self.entries:
            if entry.matches(wanted, port):
                return entry.target
        return None

    def names(self, host: str) -> bool:
        """Whether some port of ``host`` was allowed by name."""
        wanted = normal_host(host)
        return any(entry.matches(wanted, entry.port or 0) for entry in self.entries)


def bound_host(bind: str) -> str:
    """The host of ``host:port`` to listen on, an IPv6 address without its brackets."""
    return bind.rpartition(":")[0].strip("[]")


def is_address(text: str) -> bool:
    """Whether this is an IP address, and no name."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on ``host``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def normal_host(host: str) -> str:
    """A host as it is compared: lower case, without brackets and without the dot of the root."""
    return host.lower().removeprefix("[").removesuffix("]").removesuffix(".")


def _entry(text: str) -> _Entry:
    name, found, target = text.partition("=")
    host, port = _host_and_port(name.strip())
    address, target_port = _host_and_port(target.strip())
    if not found or not host or target_port is None:
        raise BadAllowance(text)
    try:
        ipaddress.ip_address(address)  # a name would be resolved later, by whoever then answers for it
    except ValueError as exc:
        raise BadAllowance(text) from exc
    return _Entry(normal_host(host), port, (address, target_port))


def _host_and_port(text: str) -> tuple[str, int | None]:
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        digits = rest.removeprefix(":")
    else:
        host, _, digits = text.partition(":")
    if not digits:
        return host, None
    if not digits.isdecimal() or not 0 < int(digits[:6]) < 65536:
        raise BadAllowance(text)
    return host, int(digits)
