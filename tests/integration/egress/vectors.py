"""The vectors: every way we know to make a proxy connect where it must not, as data with names.

Each is said to the real proxy as a plain request and as a tunnel. ``KINDS`` is the table of docs/egress.md.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from tests.integration.egress.world import INSIDE, INSIDE_6, PROXY, SITE, SITE_6, Answer


@dataclass(frozen=True, slots=True)
class Vector:
    """``host`` as it stands in a URL, in bytes as they are sent. ``names`` is what the name server says of it."""

    kind: str
    name: str
    host: str
    port: int | str = 80
    names: tuple[tuple[str, Answer], ...] = ()

    @property
    def authority(self) -> str:
        return f"{self.host}:{self.port}"


FORBIDDEN_4 = {
    "this network": "0.1.2.3",
    "this host": "0.0.0.0",
    "private 10/8": "10.0.0.1",
    "shared": "100.64.0.1",
    "metadata of one cloud": "100.100.100.200",
    "loopback": "127.0.0.1",
    "loopback, last": "127.255.255.254",
    "host agent of one cloud": "168.63.129.16",
    "metadata": "169.254.169.254",
    "metadata of containers": "169.254.170.2",
    "private 172.16/12": "172.31.255.254",
    "protocol assignments": "192.0.0.192",
    "documentation 1": "192.0.2.1",
    "relays of 6to4": "192.88.99.1",
    "private 192.168/16": "192.168.1.1",
    "benchmarks": "198.19.0.1",
    "documentation 2": "198.51.100.1",
    "documentation 3": "203.0.113.1",
    "multicast": "224.0.0.251",
    "reserved": "240.0.0.1",
    "broadcast": "255.255.255.255",
}

FORBIDDEN_6 = {
    "loopback": "::1",
    "loopback, written out": "0:0:0:0:0:0:0:1",
    "loopback, with zeros": "0000:0000:0000:0000:0000:0000:0000:0001",
    "unspecified": "::",
    "unique local": "fc00::1",
    "metadata": "fd00:ec2::254",
    "metadata, upper case": "FD00:EC2::254",
    "metadata of another cloud": "fd20:ce::254",
    "link-local": "fe80::1",
    "link-local metadata": "fe80::a9fe:a9fe",
    "site-local": "fec0::1",
    "multicast, node": "ff01::1",
    "multicast, link": "ff02::1",
    "multicast, global": "ff0e::1",
    "documentation": "2001:db8::1",
    "new documentation": "3fff::1",
    "discard": "100::1",
    "orchid": "2001:10::1",
    "orchid 2": "2001:20::1",
    "benchmarks": "2001:2::1",
    "segment routing": "5f00::1",
    "not assigned": "4000::1",
}

WRAPPED = ("127.0.0.1", "10.0.0.1", "100.64.0.1", "169.254.169.254", "172.16.0.1", "192.168.1.1")


def decimal_octal_hex() -> Iterator[Vector]:
    """Each forbidden IPv4 network in every spelling that inet_aton, and so a browser, takes."""
    for what, address in FORBIDDEN_4.items():
        for form, host in _spellings(address).items():
            yield Vector(f"IPv4, {form}", what, host)


def _spellings(address: str) -> dict[str, str]:
    number = int(IPv4Address(address))
    a, b, c, d = IPv4Address(address).packed
    return {
        "dotted": address,
        "trailing dot": f"{address}.",
        "decimal": str(number),
        "hex": f"0x{number:x}",
        "hex, upper case and padded": f"0X{number:016X}",
        "octal": f"0{number:o}",
        "octal parts": f"0{a:o}.0{b:o}.0{c:o}.0{d:o}",
        "hex parts": f"0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}",
        "two parts": f"{a}.{number & 0xFFFFFF}",
        "three parts": f"{a}.{b}.{number & 0xFFFF}",
        "mixed parts": f"0x{a:x}.0{b:o}.{number & 0xFFFF}",
        "padded octal": f"{a}.{b}.{c}.000000{d:o}",
    }


def ipv6() -> Iterator[Vector]:
    for what, address in FORBIDDEN_6.items():
        yield Vector("IPv6", what, f"[{address}]")


def wrapped() -> Iterator[Vector]:
    """An IPv4 address inside an IPv6 one, in each of the ways that a router or a kernel would unwrap."""
    for address in WRAPPED:
        v4 = IPv4Address(address)
        number = int(v4)
        high, low = f"{number >> 16:x}", f"{number & 0xFFFF:x}"
        teredo = number ^ 0xFFFF_FFFF
        for kind, text in (
            ("mapped", f"::ffff:{address}"),
            ("mapped", f"::ffff:{high}:{low}"),
            ("mapped", f"::FFFF:{high}:{low}".upper()),
            ("mapped", f"0:0:0:0:0:ffff:{address}"),
            ("compatible", f"::{address}"),
            ("compatible", f"::{high}:{low}"),
            ("translated", f"::ffff:0:{address}"),
            ("NAT64", f"64:ff9b::{address}"),
            ("NAT64", f"64:ff9b::{high}:{low}"),
            ("NAT64, local prefix", f"64:ff9b:1::{high}:{low}"),
            ("NAT64, local prefix", f"64:ff9b:1:{high}:{low[:2] or '0'}:{low}::"),
            ("6to4", f"2002:{high}:{low}::1"),
            ("6to4", f"2002:{high}:{low}:ffff:ffff:ffff:ffff:ffff"),
            ("Teredo, client", f"2001:0:5db8:d722:0:3fff:{teredo >> 16:x}:{teredo & 0xFFFF:x}"),
            ("Teredo, server", f"2001:0:{high}:{low}:8000:63bf:3fff:fdd2"),
            ("ISATAP", f"2a00:1450:4001:800:0:5efe:{high}:{low}"),
            ("ISATAP", f"2a00:1450:4001:800:200:5efe:{address}"),
            ("ISATAP, link-local", f"fe80::5efe:{address}"),
        ):
            IPv6Address(text)  # what the kind's name promises has to be an address
            yield Vector(f"IPv4 in IPv6, {kind}", address, f"[{text}]")


def link_local() -> set[str]:
    """The addresses of that kind among the vectors; nobody is asked for one but who has it."""
    texts = [*FORBIDDEN_6.values(), *(vector.host.strip("[]") for vector in wrapped())]
    return {str(address) for address in map(IPv6Address, texts) if address.is_link_local}


def zones() -> Iterator[Vector]:
    for host in (
        "[fe80::1%lo]", "[fe80::1%25lo]", "[fe80::1%1]", "[fe80::a9fe:a9fe%in0]", "[::1%lo]", "[::1%251]",
        f"[{SITE_6}%in0]", "[::ffff:127.0.0.1%lo]", "127.0.0.1%lo", "fe80::1%lo", "[fe80::1%2525lo]",
    ):  # fmt: skip
        yield Vector("zones", host, host)


def idna() -> Iterator[Vector]:
    """What browsers and IDNA map to digits and dots, as raw bytes, percent-encoded and as it would be in Punycode."""
    for text in (
        "１２７.０.０.１", "127。0。0。1", "127．0．0．1", "127｡0｡0｡1", "①②⑦.⓪.⓪.①", "１６９。２５４。１６９。２５４",
        "𝟏𝟐𝟕.𝟎.𝟎.𝟏", "𝟣𝟬.𝟢.𝟢.𝟣", "①⓪.⓪.⓪.①", "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ", "ｌｏｃａｌｈｏｓｔ", "loc\u00adalhost", "local\u200bhost",
        "loc\u2060alhost", "locaⅼhost", "ℓocalhost", "１０.0.0.1", "2130706433\u200d", "⑯⑨.254.①⑥⑨.254",
        "127\u00b70\u00b70\u00b71",
    ):  # fmt: skip
        raw = text.encode()
        yield Vector("IDNA, raw UTF-8", text, raw.decode("latin-1"))
        yield Vector("IDNA, percent-encoded", text, "".join(f"%{byte:02X}" for byte in raw))
        punycode = ".".join("xn--" + label.encode("punycode").decode() for label in text.split("."))
        if all(c.isalnum() or c in "-." for c in punycode):
            yield Vector("IDNA, Punycode", text, punycode)


def percent() -> Iterator[Vector]:
    for host in (
        "%31%32%37.0.0.1", "127%2e0%2e0%2e1", "%6c%6f%63%61%6c%68%6f%73%74", "127.0.0.1%00.site.example",
        "127.0.0.1%0a", "127.0.0.1%20", "10.0.0.1%23.site.example", "10.0.0.1%2f.site.example", "%30x7f.1",
        "[%3a%3a1]", "%5b::1%5d", "10.0.0.1%3a80", "10%252e0.0.1",
    ):  # fmt: skip
        yield Vector("percent-encoded", host, host)


def malformed() -> Iterator[Vector]:
    """Hosts that one program reads as an address, another one as a name, and a third one not at all."""
    for host in (
        "127.0.0.1.", "127.0.0.1..", ".127.0.0.1", "127..0.1", "127.0.0.1\0", "127.0.0.1\0.site.example", "10.0.0.1\t",
        "10.0.0.1\x0b", "10.0.0.1\x7f", "127.0.0.1;site.example", "10.0.0.1,site.example", "10.0.0.1 site.example",
        "10.0.0.1\\.site.example", "10.0.0.1|site.example", "[::1", "::1", "[::1]]", "[[::1]]", "[::1].site.example",
        "[127.0.0.1]", "[0x7f000001]", "256.0.0.1", "127.0.0.256", "127.0.0.1.5", "0x7f.0x", "127.0.0.08", "127.0.0.0x",
        "4294967295", "4294967296", "18446744073709551617", "-127.0.0.1", "+127.0.0.1", "1e3", "127.0.0.1e0",
        "0b1111111.1", "127.0.0.1/24", "10.0.0.1-", "_10.0.0.1", "1.0.0.127.in-addr.arpa", "10.0.0.1'", '10.0.0.1"',
        "10.0.0.1`", "{10.0.0.1}", "*", "*.10.0.0.1", "", ".", "..", "a" * 64 + ".example", "a." * 127 + "example",
        "site..example", "-", "!10.0.0.1", "10.0.0.1!", "$10.0.0.1", "10.0.0.1&site.example", "10.0.0.1=site.example",
    ):  # fmt: skip
        yield Vector("malformed hosts", repr(host[:30]), host)


def userinfo() -> Iterator[Vector]:
    for host in (
        "site.example@169.254.169.254", "site.example:80@169.254.169.254", "169.254.169.254@site.example",
        "user:password@10.0.0.1", "@10.0.0.1", ":@10.0.0.1", "site.example%40@10.0.0.1", "a@b@10.0.0.1",
        "site.example\\@10.0.0.1", "site.example#@10.0.0.1", "site.example?@10.0.0.1", "site.example/@10.0.0.1",
        "site.example;@10.0.0.1", "site.example&@10.0.0.1#@site.example", "[::1]@site.example", "site.example@[::1]",
        f"{SITE}@127.0.0.1", "127.0.0.1:80\\@site.example", "site.example:@127.0.0.1",
    ):  # fmt: skip
        yield Vector("user names", host, host)


def ports() -> Iterator[Vector]:
    for port in (1, 7, 21, 22, 23, 25, 53, 110, 111, 143, 389, 445, 587, 631, 993, 995, 1023):
        yield Vector("ports of a public site", str(port), SITE, port)
    for port in (
        "0",
        "00080x",
        "65536",
        "99999",
        "080",
        "0x50",
        "8_0",
        "80:80",
        "80 ",
        "-80",
        "+80",
        "８０",
        "4294967376",
    ):
        sent = port.encode().decode("latin-1")
        yield Vector("malformed ports", port, "10.0.0.1", sent)
    for port in (22, 25, 6379, 8000, 8080, 3128, 443):
        yield Vector("ports of a private host", str(port), "10.0.0.1", port)


def own_machine() -> Iterator[Vector]:
    for host in (INSIDE, f"[{INSIDE_6}]", str(int(IPv4Address(INSIDE)))):
        for port in (80, 443, 8000, 3128):
            yield Vector("the proxy's own machine", f"{host}:{port}", host, port)
    for port in (80, 3128, 8080):
        yield Vector("the proxy's own machine", f"{PROXY}:{port}", PROXY, port)
        yield Vector("the proxy's own machine", f"127.0.0.1:{port}", "127.0.0.1", port)


def _a(*addresses: str) -> Answer:
    """A or AAAA records, as asked."""

    def answer(kind: str, before: int) -> list[str]:
        return [f"{kind} {address}" for address in addresses if (":" in address) == (kind == "AAAA")]

    return answer


def _named(kind: str, what: str, answer: Answer, number: int) -> Vector:
    name = f"n{number}.{kind.replace(' ', '-').replace(',', '').lower()}.example"
    return Vector(kind, what, name, names=((name, answer),))


def names() -> Iterator[Vector]:
    number = 0
    for what, address in FORBIDDEN_4.items():
        yield _named("names, A", what, _a(address), number := number + 1)
    for what, address in FORBIDDEN_6.items():
        yield _named("names, AAAA", what, _a(address), number := number + 1)
    for address in WRAPPED:
        for form in (f"::ffff:{address}", f"64:ff9b::{address}", f"::{address}"):
            yield _named("names, AAAA", f"wrapped {form}", _a(form), number := number + 1)
    for host in ("127.0.0.1.nip.example", "10.0.0.1.xip.example", "7f000001.rebind.example", "internal", "metadata"):
        yield Vector("names, A", host, host, names=((host, _a("10.0.0.1")),))
    for host in ("Metadata.Google.Internal", "metadata.google.internal."):
        yield Vector("names, A", host, host, names=(("metadata.google.internal", _a("169.254.169.254")),))


def chains() -> Iterator[Vector]:
    """CNAMEs that end where nobody may go, all in one answer as a resolver gives them."""
    for hops in (1, 2, 3, 5, 8):
        for address in ("127.0.0.1", "169.254.169.254", "fd00:ec2::254"):
            name = f"c{hops}-{address.replace('.', '-').replace(':', '-')}.example"

            def answer(kind: str, before: int, name: str = name, hops: int = hops, address: str = address) -> list[str]:
                links = [name, *(f"hop{i}.{name}" for i in range(hops))]
                records = [f"{a}| CNAME {b}." for a, b in itertools.pairwise(links)]
                if (":" in address) == (kind == "AAAA"):
                    records.append(f"{links[-1]}| {kind} {address}")
                return records

            yield Vector("CNAME chains", f"{hops} to {address}", name, names=((name, answer),))


def localhost() -> Iterator[Vector]:
    """Names that a resolver knows without asking anybody, and that some know as loopback by their end."""
    for host in (
        "localhost", "LOCALHOST", "localhost.", "LocalHost.", "ip6-localhost", "ip6-loopback", "localhost.localdomain",
        "localhost6", "foo.localhost", "a.b.localhost", "localhost.localhost", "loopback", "broadcasthost",
        "host.docker.internal",
    ):  # fmt: skip
        yield Vector("names of loopback", host, host)


def rebinding() -> Iterator[Vector]:
    """Names whose answers change: each is asked for twice, and whatever the second answer says is not connected to."""
    private = ("127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.1.1")
    for address in private:

        def first_public(kind: str, before: int, address: str = address) -> list[str]:
            return [f"A {address if before else SITE}"] if kind == "A" else []

        def first_private(kind: str, before: int, address: str = address) -> list[str]:
            return [f"A {SITE if before else address}"] if kind == "A" else []

        def by_family(kind: str, before: int, address: str = address) -> list[str]:
            return [f"A {address}"] if kind == "A" else [f"AAAA {SITE_6}"]

        end = address.replace(".", "-")
        for what, answer in (
            ("public, then", first_public),
            ("at first", first_private),
            ("for IPv4 alone", by_family),
        ):
            name = f"{what.replace(' ', '-').replace(',', '')}-{end}.rebind.example"
            yield Vector("names that change", f"{what} {address}", name, names=((name, answer),))


def mixed() -> Iterator[Vector]:
    """Answers of public and private addresses together: the public ones may be reached, the others not."""
    for address in ("127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fd00:ec2::254", "64:ff9b::a9fe:a9fe"):
        for what, addresses in (
            ("before", (address, SITE)),
            ("behind", (SITE, address)),
            ("between", (SITE, address, SITE_6)),
        ):
            name = f"{what}-{address.replace('.', '-').replace(':', 'x')}.mixed.example"
            yield Vector("mixed answers", f"{address} {what}", name, names=((name, _a(*addresses)),))


MAY_REACH_THE_SITE = {"names that change", "mixed answers", "user names"}
"""Kinds of which some name the public site, which then answers. All others are refused."""

ALL: tuple[Vector, ...] = tuple(
    vector
    for make in (
        decimal_octal_hex, ipv6, wrapped, zones, idna, percent, malformed, userinfo, ports, own_machine, names, chains,
        localhost, rebinding, mixed,
    )
    for vector in make()
)  # fmt: skip

KINDS: tuple[str, ...] = tuple(dict.fromkeys(vector.kind for vector in ALL))
