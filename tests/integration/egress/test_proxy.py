"""The egress proxy on real sockets: what it reaches, what it refuses, and how a connection ends."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import pytest

from egress import connection, listeners
from egress.access import Access
from egress.listeners import SlotListener
from egress.proxy import EgressProxy
from egress.routes import Direct
from egress.shares import Limits
from fleet.addresses import Allowance
from fleet.destinations import Destinations, Resolve
from fleet.refusals import Category
from tests.integration.browser_node.conftest import Site
from tests.support import wait_until


class Running:
    """A proxy as an agent has it, with one slot that a unit has."""

    def __init__(self, allowance: str, limits: Limits, resolve: Resolve | None) -> None:
        self.accesses: list[Access] = []
        destinations = Destinations(Allowance.parse(allowance), resolve=resolve)
        self.proxy = EgressProxy(Direct(destinations, limits.connect), limits, self.accesses.append)
        self.listener: SlotListener = self.proxy.slot_listener("n1")
        self.listener.lend("tsk_0.0", 0, lambda words: None)
        self.port = 0

    async def reasons(self, count: int) -> list[str]:
        """Of the accesses, once there are so many: they are written down at the end, which a client may see before."""
        await wait_until(lambda: len(self.accesses) >= count)
        return [access.reason for access in self.accesses]


Start = Callable[..., Awaitable[Running]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """``await start(allowance, limits, resolve)``."""
    started: list[Running] = []

    async def run(allowance: str = "", limits: Limits | None = None, resolve: Resolve | None = None) -> Running:
        running = Running(allowance, limits or Limits(), resolve)
        running.port = int((await running.proxy.listen(running.listener)).rpartition(":")[2])
        started.append(running)
        return running

    yield run
    for running in started:
        await running.proxy.stop()


@pytest.fixture
async def proxy(site: Site, start: Start) -> Running:
    return await start(site.allowance)


async def say(port: int, request: bytes) -> bytes:
    """Send and read until the proxy closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(), 60)
    writer.close()
    await writer.wait_closed()
    return answer


async def get(port: int, url: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {url} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    status = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
    writer.close()
    await writer.wait_closed()
    return status


NOT_PUBLIC = [
    "127.0.0.1:{site}",
    "localhost:{site}",
    "[::1]:{site}",
    "0.0.0.0:{site}",
    "[::ffff:127.0.0.1]:{site}",
    "127.1:{site}",
    "2130706433:{site}",
    "169.254.169.254:80",
    "10.0.0.1:443",
    "192.168.1.1:8080",
    "[fd00:ec2::254]:80",
    "[64:ff9b::a9fe:a9fe]:80",
    "[2002:a9fe:a9fe::]:80",
    "168.63.129.16:80",
    "100.100.100.200:80",
]


@pytest.mark.parametrize("target", NOT_PUBLIC)
async def test_what_is_not_public_is_refused_with_the_reason(proxy: Running, site: Site, target: str) -> None:
    authority = target.format(site=site.port)
    answer = await get(proxy.port, f"http://{authority}/")
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b"X-Leadfleet-Egress: forbidden\r\n" in answer
    tunnel = await say(proxy.port, f"CONNECT {authority} HTTP/1.1\r\n\r\n".encode())
    assert tunnel.startswith(b"HTTP/1.1 403 ")
    assert site.asked == []
    assert all(reason.startswith("refused non-public address ") for reason in await proxy.reasons(2))


async def test_a_name_that_resolves_to_loopback_is_refused_whatever_it_said_before(site: Site, start: Start) -> None:
    """Rebinding: the check is on the address that is connected to, not on an earlier answer for the name."""

    async def rebound(host: str) -> list[str]:
        return ["127.0.0.1"]

    running = await start(resolve=rebound)
    answer = await get(running.port, f"http://rebind.example:{site.port}/")
    assert b"X-Leadfleet-Egress: forbidden\r\n" in answer
    assert running.listener.refusal("rebind.example") is Category.FORBIDDEN
    assert await running.reasons(1) == ["refused non-public address 127.0.0.1"]


async def test_who_asks_learns_no_address(start: Start) -> None:
    """A page may read what its own name turned to: the name server that we ask may know more than the Internet's."""

    async def inward(host: str) -> list[str]:
        return ["10.20.30.40"]

    running = await start(resolve=inward)
    for request in (b"GET http://intranet.example/ HTTP/1.1\r\n\r\n", b"CONNECT intranet.example:443 HTTP/1.1\r\n\r\n"):
        answer = await say(running.port, request)
        assert b"10.20.30.40" not in answer
        assert answer.endswith(b"it is not a web site on the public Internet")
    assert await running.reasons(2) == ["refused non-public address 10.20.30.40"] * 2


@pytest.mark.parametrize("port", [22, 25, 110, 143, 445, 993])
async def test_ports_that_are_no_web_are_refused(proxy: Running, port: int) -> None:
    assert b": forbidden\r\n" in await say(proxy.port, f"CONNECT 1.1.1.1:{port} HTTP/1.1\r\n\r\n".encode())
    assert await proxy.reasons(1) == [f"refused port {port}"]


async def test_an_unknown_name_and_a_closed_port_are_the_sites_fault(proxy: Running, start: Start) -> None:
    assert b" 502 " in await get(proxy.port, "http://nowhere.invalid/")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        allowed = await start(f"closed.test=127.0.0.1:{closed.getsockname()[1]}")
        assert b" 502 " in await get(allowed.port, "http://closed.test/")


async def test_one_connection_speaks_to_one_origin(proxy: Running, site: Site) -> None:
    """Else what the first origin sends too much is taken for the answer of the second one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    for path in ("1", "2"):
        writer.write(f"GET http://a.site.test/{path} HTTP/1.1\r\nHost: evil.example\r\n\r\n".encode())
        answer = await asyncio.wait_for(reader.readuntil(b"</h1>"), 60)
        assert answer.startswith(b"HTTP/1.1 200 ")
    writer.write(b"GET http://b.site.test/3 HTTP/1.1\r\n\r\n")
    assert await asyncio.wait_for(reader.read(), 60) == b""
    writer.close()
    await writer.wait_closed()
    assert site.asked == ["GET a.site.test/1", "GET a.site.test/2"]
    assert await proxy.reasons(1) == ["one connection speaks to one origin"]


async def test_bodies_arrive_whole_chunked_or_not(proxy: Running, site: Site) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"POST http://a.site.test/1 HTTP/1.1\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000)
    await asyncio.wait_for(reader.readuntil(b"</h1>"), 60)
    writer.write(
        b"POST http://a.site.test/2 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;x=y\r\n!\r\n0\r\n\r\n"
    )
    await asyncio.wait_for(reader.readuntil(b"</h1>"), 60)
    writer.close()
    await writer.wait_closed()
    assert site.bodies == [b"x" * 200_000, b"hello!"]


async def test_a_tunnel_passes_bytes_both_ways(proxy: Running, site: Site) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"CONNECT a.site.test:443 HTTP/1.1\r\n\r\n")
    assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
    writer.write(b"GET /through HTTP/1.1\r\nHost: a.site.test\r\n\r\n")
    await asyncio.wait_for(reader.readuntil(b"</h1>"), 60)
    writer.close()
    await writer.wait_closed()
    assert site.asked == ["GET a.site.test/through"]


async def test_a_connection_is_cut_at_its_byte_limit_and_when_it_is_silent(site: Site, start: Start) -> None:
    quiet = timedelta(seconds=0.2)
    running = await start(site.allowance, Limits(connection_bytes=100, idle=quiet, head=quiet))
    answer = await say(running.port, b"GET http://a.site.test/ HTTP/1.1\r\n\r\n")
    assert b"</h1>" in answer  # one read is not cut in the middle; the connection is closed behind it
    await wait_until(lambda: running.accesses)
    assert b" 408 " in await say(running.port, b"GET http://a.site.test/ HT")
    await wait_until(lambda: len(running.accesses) == 2)
    assert [access.verdict for access in running.accesses] == ["cut", "refused"]


async def test_past_the_limit_of_connections_it_says_so(site: Site, start: Start) -> None:
    running = await start(site.allowance, Limits(connections=1))
    _, held = await asyncio.open_connection("127.0.0.1", running.port)
    assert b" 503 " in await say(running.port, b"")
    held.close()
    await held.wait_closed()


async def test_a_page_learns_nothing_of_the_proxy_itself(proxy: Running) -> None:
    for target in ("/health", f"http://127.0.0.1:{proxy.port}/health", f"http://localhost:{proxy.port}/health"):
        answer = await say(proxy.port, f"GET {target} HTTP/1.1\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 403 ")


# Units of an agent.


async def hold(running: Running) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """An open tunnel."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(b"CONNECT a.site.test:443 HTTP/1.1\r\n\r\n")
    assert b" 200 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
    return reader, writer


async def let_go(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await writer.wait_closed()


async def test_connections_end_with_their_unit_and_the_next_one_begins_anew(site: Site, start: Start) -> None:
    running = await start(site.allowance, Limits(unit_connections=2))
    told: list[str] = []
    running.listener.lend("tsk_a.0", 1, told.append)
    held = [await hold(running) for _ in range(2)]
    assert b" 429 " in await get(running.port, "http://a.site.test/")
    assert b" 429 " in await get(running.port, "http://a.site.test/")
    assert told == ["as many connections are open as may be"]
    assert running.listener.refusal("a.site.test") is Category.CAP
    running.listener.free()
    for ended, writer in held:
        assert await asyncio.wait_for(ended.read(), 60) == b""
        await let_go(writer)
    running.listener.free()
    assert len(running.proxy._shares) == 0
    running.listener.lend("tsk_b.0", 2, told.append)
    assert b" 200 " in await get(running.port, "http://a.site.test/")
    assert running.listener.refusal("a.site.test") is None
    ended_with_it = [access for access in running.accesses if access.reason == "the unit is over"]
    assert [(a.holder.user, a.verdict) for a in ended_with_it if a.holder] == [("n1.tsk_a.0.1", "passed")] * 2


async def test_a_unit_that_connects_while_it_ends_leaves_nothing_behind(start: Start) -> None:
    """The connection is not even made: it waits for a name server."""
    asked, never = asyncio.Event(), asyncio.Event()

    async def stall(name: str) -> list[str]:
        asked.set()
        await never.wait()
        return []

    running = await start(resolve=stall)
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(b"CONNECT slow.example:443 HTTP/1.1\r\n\r\n")
    await asked.wait()
    running.listener.free()
    assert await asyncio.wait_for(reader.read(), 60) == b""
    await let_go(writer)
    await wait_until(lambda: not running.listener.connections)


@pytest.mark.parametrize("limit", ["NAMELESS_OF_A_PEER", "NAMELESS"])
async def test_of_connections_that_say_nothing_the_oldest_make_room(
    start: Start, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    """Else whoever holds them keeps everybody out who comes from the same address."""
    monkeypatch.setattr(listeners, limit, 3)
    running = await start()
    silent = [await asyncio.open_connection("127.0.0.1", running.port) for _ in range(3)]
    await wait_until(lambda: len(running.listener.connections) == 3)
    assert b" 403 " in await get(running.port, "http://10.0.0.1/")
    assert await asyncio.wait_for(silent[0][0].read(), 60) == b""
    await wait_until(lambda: len(running.listener.connections) == 2)
    for _, writer in silent:
        await let_go(writer)


async def test_between_two_units_nobody_gets_through(start: Start, site: Site) -> None:
    """What a Chrome asks for behind the end of its unit is on nobody's account."""
    running = await start(site.allowance)
    running.listener.free()
    for request in (b"GET http://a.site.test/icon HTTP/1.1\r\n\r\n", b"CONNECT a.site.test:443 HTTP/1.1\r\n\r\n"):
        answer = await say(running.port, request)
        assert answer.startswith(b"HTTP/1.1 403 ")
        assert b"X-Leadfleet-Egress: no_unit\r\n" in answer
    assert await running.reasons(2) == ["no unit has this slot of n1"] * 2
    assert {access.verdict for access in running.accesses} == {"refused"}
    running.listener.lend("tsk_b.0", 2, lambda words: None)
    assert b" 200 " in await get(running.port, "http://a.site.test/")
    assert site.asked == ["GET a.site.test/"]


async def test_a_refusal_is_forgotten_when_the_host_is_reached(start: Start, site: Site) -> None:
    running = await start(site.allowance, Limits(unit_connections=1))
    _, writer = await hold(running)
    assert b" 429 " in await get(running.port, "http://a.site.test/")
    assert running.listener.refusal("a.site.test") is Category.CAP
    await let_go(writer)
    await running.reasons(2)
    assert b" 200 " in await get(running.port, "http://a.site.test/")
    assert running.listener.refusal("a.site.test") is None


async def test_a_download_is_not_cut_because_the_client_listens(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence is that of both sides: who downloads for minutes says nothing meanwhile."""
    quiet = timedelta(seconds=0.3)
    monkeypatch.setattr(connection, "HALF_CLOSED", timedelta(0))

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(10):
            writer.write(b"x")
            await asyncio.sleep(0.1)
        writer.close()

    async with await asyncio.start_server(drip, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        running = await start(f"a.site.test=127.0.0.1:{port}", Limits(idle=quiet))
        reader, writer = await hold(running)
        assert await asyncio.wait_for(reader.read(), 60) == b"x" * 10
        await let_go(writer)


async def test_a_client_that_reads_nothing_does_not_hold_an_origin_for_ever(start: Start) -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while True:
                writer.write(b"x" * 65_536)
                await writer.drain()

    async with await asyncio.start_server(flood, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        running = await start(f"a.site.test=127.0.0.1:{port}", Limits(idle=timedelta(seconds=0.3)))
        _, writer = await asyncio.open_connection("127.0.0.1", running.port, limit=1024)
        writer.write(b"CONNECT a.site.test:443 HTTP/1.1\r\n\r\n")
        await wait_until(lambda: running.accesses, 15)
        assert running.accesses[0].down > 0
        writer.transport.abort()


async def test_an_error_is_not_written_into_an_answer_that_has_begun(start: Start) -> None:
    """The client would take it for a part of what the origin says."""
    begun, over = asyncio.Event(), asyncio.Event()

    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf of it")
        begun.set()
        await reader.read()
        writer.close()
        over.set()

    async with await asyncio.start_server(slowly, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        running = await start(f"*.site.test=127.0.0.1:{port}", Limits(head=timedelta(seconds=0.3)))
        for second in (
            b"GET http://b.site.test/ HTTP/1.1\r\n\r\n", b"GET nothing\r\n\r\n", b"GET ftp://a/ HTTP/1.1\r\n\r\n",
            b"GET http://a.site.test/ HTTP/1.1\r\nX: " + b"x" * (70 << 10), b"CONNECT a.site.test:443 HTTP/1.1\r\n\r\n",
            b"GET http://a.site.test/ HT",
        ):  # fmt: skip
            begun.clear()
            over.clear()
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
            writer.write(b"GET http://a.site.test/ HTTP/1.1\r\n\r\n")
            await begun.wait()
            first = await asyncio.wait_for(reader.readuntil(b"half of it"), 60)
            writer.write(second)
            assert await asyncio.wait_for(reader.read(), 60) == b"", (first, second)
            await let_go(writer)
            await over.wait()


async def test_who_leaves_before_the_origin_is_reached_holds_nothing(start: Start) -> None:
    asked, answer, asker_left = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def stall(name: str) -> list[str]:
        asked.set()
        await answer.wait()
        asker_left.set()
        return []

    running = await start(resolve=stall)
    _, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(b"CONNECT slow.example:443 HTTP/1.1\r\n\r\n")
    await asked.wait()
    await let_go(writer)
    assert await running.reasons(1) == ["the client left before its origin was reached"]
    assert not asker_left.is_set(), "nobody waited for the name"
    assert not running.listener.connections
    answer.set()


async def test_a_client_that_sends_heads_waits_for_an_origin_that_does_not_read(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request without a body is all head: without the wait, the proxy would hold all of them in memory."""
    monkeypatch.setattr(connection, "CLOSE_WITHIN", timedelta(0))
    sent, head = 40 << 20, b"GET http://a.site.test/ HTTP/1.1\r\nX: " + b"x" * 60_000 + b"\r\n\r\n"
    held: list[asyncio.StreamWriter] = []

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)  # its buffer of 2 KB is full at once, and then the kernel's

    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
    listening.bind(("127.0.0.1", 0))
    async with await asyncio.start_server(deaf, sock=listening, limit=1024):
        port = listening.getsockname()[1]
        running = await start(f"a.site.test=127.0.0.1:{port}", Limits(idle=timedelta(seconds=1)))
        _, writer = await asyncio.open_connection("127.0.0.1", running.port)
        with contextlib.suppress(ConnectionError):
            for _ in range(sent // len(head)):
                writer.write(head)
                await writer.drain()
        (access,) = await wait_until(lambda: running.accesses, 30) or []
        assert 0 < access.up < sent / 2
        for each in (writer, *held):
            each.transport.abort()


async def test_a_tunnel_that_is_cut_ends_at_once_although_its_origin_says_nothing(start: Start) -> None:
    seen, closed = asyncio.Event(), asyncio.Event()

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65_536):
            pass
        await seen.wait()
        writer.close()
        await writer.wait_closed()
        closed.set()

    async with await asyncio.start_server(swallow, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        running = await start(f"a.site.test=127.0.0.1:{port}", Limits(unit_bytes=1 << 20))
        _, writer = await hold(running)
        writer.write(b"x" * (2 << 20))
        await wait_until(lambda: running.accesses, connection.HALF_CLOSED.total_seconds() / 2)
        assert (running.accesses[0].verdict, running.accesses[0].reason) == ("cut", "the unit has moved 1 MB")
        writer.transport.abort()
        seen.set()
        await closed.wait()
