"""fleet.destinations: which addresses of a host may be connected to, and who waits for whose name server."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest

from fleet import destinations
from fleet.addresses import Allowance, BadPrefixes, parse_prefixes
from fleet.destinations import (
    Destination,
    Destinations,
    ForbiddenAddress,
    ForbiddenHost,
    ForbiddenPort,
    NoDestination,
    Resolve,
    SlowName,
    UnknownName,
    is_this_machine,
)

PUBLIC, PUBLIC_6 = "93.184.216.34", "2606:2800:220:1::34"
SPELLED = ("127.1", "0x7f.1", "2130706433", "[::1]", "::ffff:127.0.0.1", "017700000001", "10.0.0.1.")
NO_HOSTS = (
    "", ".", "a..b", "a b", "256.1.1.1", "1.2.3.08", "a.1", "x" * 64, "a." * 127 + "com", "fe80::1%lo", "127.0.0.1%00",
    "bücher.example", "１２７.０.０.１", "a/b", "a@b", "::1::", "a:80",
)  # fmt: skip

Make = Callable[..., Destinations]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    made: list[Destinations] = []

    def one(allowance: str = "", denied: str = "", resolve: Resolve | None = None, **more: timedelta) -> Destinations:
        found = Destinations(Allowance.parse(allowance), denied=parse_prefixes(denied), resolve=resolve, **more)
        made.append(found)
        return found

    yield one
    for each in made:
        each.close()


def answering(*addresses: str) -> Resolve:
    async def resolve(name: str) -> list[str]:
        return list(addresses)

    return resolve


@pytest.mark.parametrize("host", SPELLED)
async def test_a_literal_is_read_as_browsers_read_it_and_not_looked_up(make: Make, host: str) -> None:
    async def nobody(name: str) -> list[str]:
        raise AssertionError(name)

    with pytest.raises(ForbiddenAddress, match="refused non-public address"):
        await make(resolve=nobody).find(host, 80)


@pytest.mark.parametrize("host", NO_HOSTS)
async def test_what_is_no_host_is_refused_before_anybody_is_asked(make: Make, host: str) -> None:
    with pytest.raises(ForbiddenHost, match="refused host"):
        await make(resolve=answering(PUBLIC)).find(host, 80)


@pytest.mark.parametrize("port", [0, 1, 22, 25, 110, 443 + 2, 1023, 65_536, -1])
async def test_a_port_that_is_no_web_is_refused(make: Make, port: int) -> None:
    with pytest.raises(ForbiddenPort, match=f"refused port {port}"):
        await make(resolve=answering(PUBLIC)).find("a.example", port)


@pytest.mark.parametrize("port", [80, 443, 1024, 8080, 65_535])
async def test_public_addresses_are_found_and_others_left_out(make: Make, port: int) -> None:
    found = make(resolve=answering("10.0.0.1", PUBLIC, "64:ff9b::a9fe:a9fe", PUBLIC_6, PUBLIC))
    assert await found.find("A.example.", port) == Destination((PUBLIC, PUBLIC_6), port)


async def test_what_is_allowed_by_name_leads_to_its_target(make: Make) -> None:
    found = make("a.test=127.0.0.1:8123", resolve=answering(PUBLIC))
    assert await found.find("a.test", 25) == Destination(("127.0.0.1",), 8123)


async def test_a_public_network_may_be_denied(make: Make) -> None:
    found = make(denied="93.184.216.0/24, 2606:2800::/32", resolve=answering(PUBLIC, PUBLIC_6))
    with pytest.raises(ForbiddenAddress):
        await found.find("a.example", 80)
    with pytest.raises(ForbiddenAddress):
        await found.find(PUBLIC, 80)
    with pytest.raises(BadPrefixes, match="is no network"):
        parse_prefixes("93.184.216.34/24")


def test_this_machines_own_addresses_are_known() -> None:
    assert is_this_machine("127.0.0.1")
    assert is_this_machine("::1")
    assert not is_this_machine("192.0.2.1")
    assert not is_this_machine("2001:db8::1")


async def test_names_without_an_answer(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(name: str) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    async def never(name: str) -> list[str]:
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr(destinations, "LOOK_UP_WITHIN", timedelta(seconds=0.05))
    for resolve, kind in ((unknown, UnknownName), (answering(), UnknownName), (never, SlowName)):
        with pytest.raises(kind):
            await make(resolve=resolve).find("a.example", 80)


async def test_those_who_ask_for_a_name_at_once_share_a_look_up_and_later_ones_its_answer(make: Make) -> None:
    asked: list[str] = []

    async def resolve(name: str) -> list[str]:
        asked.append(name)
        await asyncio.sleep(0)
        return [PUBLIC]

    found = make(resolve=resolve)
    await asyncio.gather(*(found.find("a.example", port) for port in (80, 443, 8080)))
    await found.find("a.example", 80)
    assert asked == ["a.example"]
    forgetful = make(resolve=resolve, fresh=timedelta(0))
    await forgetful.find("a.example", 80)
    await forgetful.find("a.example", 80)
    assert asked == ["a.example"] * 3


async def test_who_leaves_does_not_take_the_answer_from_others(make: Make) -> None:
    let = asyncio.Event()

    async def resolve(name: str) -> list[str]:
        await let.wait()
        return [PUBLIC]

    found = make(resolve=resolve)
    first, second = (asyncio.create_task(found.find("a.example", 80)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    let.set()
    assert (await second).addresses == (PUBLIC,)


async def test_a_name_server_that_stalls_costs_whoever_asked_it(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(destinations, "LOOK_UP_WITHIN", timedelta(seconds=0.2))
    running: set[str] = set()

    async def resolve(name: str) -> list[str]:
        if name.startswith("slow"):
            running.add(name)
            await asyncio.Event().wait()
        return [PUBLIC]

    found = make(resolve=resolve)
    slow = [asyncio.create_task(found.find(f"slow{n}.example", 80, {"u1": 2, "n1": 3})) for n in range(9)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (await found.find("fast.example", 80, {"u2": 2, "n1": 3})).addresses == (PUBLIC,)
    assert len(running) == 2
    # one that has yet to wait for its turn keeps nobody else from the same name
    slow.append(asyncio.create_task(found.find("wanted.example", 80, {"u1": 2, "n1": 3})))
    await asyncio.sleep(0)
    assert (await found.find("wanted.example", 80, {"u2": 2, "n1": 3})).addresses == (PUBLIC,)
    ends = await asyncio.gather(*slow, return_exceptions=True)
    assert all(isinstance(end, NoDestination) for end in ends)
    # a look-up that nobody waits for any more still has its thread
    with pytest.raises(SlowName):
        await found.find("slow9.example", 80, {"u1": 2, "n1": 3})
    assert len(running) == 2
