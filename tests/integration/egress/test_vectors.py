"""Every vector is said to the real proxy, in a world that would answer: nothing arrives, and each refusal says why.

That the trap works is seen too: without the check the same vectors do arrive.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import pytest

from tests.integration.egress.vectors import ALL, KINDS, MAY_REACH_THE_SITE, Vector
from tests.integration.egress.world import SITE, SITE_6, WITHOUT_CHECK, World, proof, proxy_in
from tests.namespaces import Packet
from tests.support import REPOSITORY

FORGETS_NAMES = """
import datetime, fleet.destinations as d
d.Destinations.__init__.__kwdefaults__["fresh"] = datetime.timedelta(0)
from egress.__main__ import main
main()
"""

NEVER_BY_TCP = ("multicast", "broadcast")
"""What names of such vectors begin with: the kernel connects to none of them."""

PLAINLY = (
    "10.0.0.1", "169.254.169.254", "0.1.2.3", "240.0.0.1", "127.0.0.1", "::1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::1",
    "::ffff:127.0.0.1", "fd00:ec2::254", "2a00:1450:4001:800:0:5efe:a9fe:a9fe", "fec0::1", "2001:0:a9fe:a9fe::1",
)  # fmt: skip


@dataclass
class Outcome:
    """What the vectors of one kind did. ``arrived`` are packets that came where none may."""

    vectors: int = 0
    reached: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)
    arrived: list[Packet] = field(default_factory=list)
    without_check: int = 0


@pytest.fixture(scope="module")
def outcomes(trap: World) -> dict[str, Outcome]:
    """By kind, of one run over all vectors with the proxy as it is, and one with its checks taken out."""
    found = {kind: Outcome() for kind in KINDS}
    with proxy_in(trap):
        for vector in ALL:
            _measure(trap, vector, found[vector.kind])
    assert trap.arrivals() == []
    trap.asked.clear()
    with proxy_in(trap, ("-c", WITHOUT_CHECK), connect_s="0.3"):
        for vector in ALL:
            trap.ask(_tunnel(vector))
            found[vector.kind].without_check += any(packet.opens for packet in trap.arrivals())
    return found


def _measure(trap: World, vector: Vector, outcome: Outcome) -> None:
    outcome.vectors += 1
    for raw in (_plain(vector), _tunnel(vector)):
        answer = trap.ask(raw)
        if answer.startswith((b"HTTP/1.1 2", b"HTTP/1.0 2")):
            outcome.reached.append(vector.name)
        elif b"\r\nX-Leadfleet-Egress: " not in answer:
            outcome.unexplained.append(f"{vector.name}: {answer[:80]!r}")
        outcome.arrived += trap.arrivals()


def _plain(vector: Vector) -> bytes:
    return f"GET http://{vector.authority}/ HTTP/1.1\r\nConnection: close\r\n{proof()}\r\n".encode("latin-1")


def _tunnel(vector: Vector) -> bytes:
    return f"CONNECT {vector.authority} HTTP/1.1\r\n{proof()}\r\n".encode("latin-1") + b"GET / HTTP/1.0\r\n\r\n"


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_arrives_and_the_refusal_says_why(outcomes: dict[str, Outcome], kind: str) -> None:
    outcome = outcomes[kind]
    assert outcome.arrived == []
    assert outcome.unexplained == []
    assert outcome.reached == [] or kind in MAY_REACH_THE_SITE


def test_there_are_enough_of_them(outcomes: dict[str, Outcome]) -> None:
    assert len({(v.kind, v.host, v.port) for v in ALL}) == len(ALL) >= 450


# That the trap works.


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.startswith(("IPv", "names", "CNAME"))])
def test_without_the_check_they_arrive(outcomes: dict[str, Outcome], kind: str) -> None:
    """All but those that the kernel itself connects to nothing for, and names that only a few resolvers know."""
    reachable = [v for v in ALL if v.kind == kind and not v.name.startswith(NEVER_BY_TCP)]
    known = 0 if kind in {"names of loopback", "names that change"} else len(reachable)
    assert outcomes[kind].without_check >= max(known, 1)


def test_without_the_check_mixed_answers_arrive(outcomes: dict[str, Outcome]) -> None:
    """Which of a name's addresses comes first is the resolver's choice, so not every one of them."""
    assert outcomes["mixed answers"].without_check > 3


@pytest.mark.parametrize("address", PLAINLY)
def test_a_plain_client_beside_the_proxy_arrives(trap: World, address: str) -> None:
    trap.arrivals()
    with trap.inside.connect(address, 80) as client:
        assert [packet for packet in trap.arrivals() if packet.opens]
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        while client.recv(4096):
            pass
    trap.arrivals()


def test_a_public_site_is_reached(trap: World) -> None:
    hosts = (SITE, f"[{SITE_6}]", "site.example", "SITE.example.", "xn--bcher-kva.example")
    with proxy_in(trap):
        for host, port in itertools.product(hosts, (80, 443, 8080)):
            vector = Vector("", "", host, port)
            for raw in (_plain(vector), _tunnel(vector)):
                trap.visits.clear()
                assert trap.ask(raw).endswith(b"arrived"), vector
                (visit,) = trap.visits
                assert visit.startswith((f"{SITE}:{port} ", f"{SITE_6}:{port} "))
    assert trap.arrivals() == []


# Names whose answers change.


def test_a_name_is_asked_about_once_and_its_address_is_pinned(trap: World) -> None:
    """What checks a name and then connects to the name asks twice, and gets the second answer."""
    vector = next(v for v in ALL if v.name == "public, then 127.0.0.1")
    trap.asked.clear()
    trap.visits.clear()
    with proxy_in(trap):
        for _ in range(3):
            assert trap.ask(_plain(vector)).endswith(b"arrived")
    assert trap.asked == {(vector.host, "A"): 1, (vector.host, "AAAA"): 1}
    assert trap.visits == [f"{SITE}:80 {vector.host}:80 /"] * 3
    assert trap.arrivals() == []


def test_an_answer_that_has_become_private_is_refused(trap: World) -> None:
    """With a proxy that keeps no answer, so that the second question is asked at all."""
    trap.asked.clear()
    with proxy_in(trap, ("-c", FORGETS_NAMES)):
        for vector in (v for v in ALL if v.name.startswith("public, then")):
            assert trap.ask(_plain(vector)).endswith(b"arrived")
            assert b"X-Leadfleet-Egress: forbidden\r\n" in trap.ask(_plain(vector))
    assert trap.arrivals() == []


def test_of_a_mixed_answer_the_public_addresses_are_used(trap: World) -> None:
    with proxy_in(trap):
        for vector in (v for v in ALL if v.kind == "mixed answers"):
            trap.visits.clear()
            assert trap.ask(_plain(vector)).endswith(b"arrived")
            assert trap.visits[0].startswith((f"{SITE}:80 ", f"{SITE_6}:80 "))
    assert trap.arrivals() == []


# What is told about it.


def test_the_documentation_holds_the_table_of_this_run(outcomes: dict[str, Outcome]) -> None:
    """Kinds, vectors and arrivals; the last column depends on the kernel, and is as it was when it was written."""
    page = (REPOSITORY / "docs/egress.md").read_text(encoding="utf-8")
    rows = [f"| {kind} | {o.vectors} | {len(o.arrived)} | {o.without_check} |" for kind, o in outcomes.items()]
    missing = [row for row in rows if row.rpartition("| ")[0].rpartition("| ")[0] not in page]
    total = f"**{sum(o.vectors for o in outcomes.values())} vectors"
    assert missing == [], "\n".join(["docs/egress.md lacks rows; all of them:", *rows])
    assert total in page
