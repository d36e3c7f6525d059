"""The trap: a proxy in one network namespace, and in another one a world that owns every address it must not reach.

A packet that should not have left would arrive: the world answers for every forbidden network, has a listener on each
port that the vectors name, and counts packets on its end of the cable. Loopback is watched inside.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import dns.flags
import dns.message
import dns.rdatatype
import dns.rrset

from fleet.credentials import Holder, authorization, node_key
from tests.integration.egress.process import SECRET, Process
from tests.namespaces import Namespace, Packet, Sniffer, joined, name_server

T = TypeVar("T")

WITHOUT_CHECK = """
import egress.head, fleet.destinations as d
d.is_public = lambda address: True
d.is_this_machine = lambda address: False
d.spelled = lambda host: None
d.usable_host = egress.head.usable_host = lambda host: host.strip("[]").rstrip(".")
d.FIRST_FREE_PORT = 0
from egress.__main__ import main
main()
"""
"""A proxy with all its checks of addresses and ports taken out, to see that the trap works."""

PROXY, PROXY_PORT = "10.200.0.1", 3128
"""Where clients reach the proxy: the one address inside that it is right to speak to."""

INSIDE, INSIDE_6 = "93.184.215.1", "2606:2800:220::1"
"""The proxy's machine, on the Internet by itself."""
OUTSIDE, OUTSIDE_6 = "93.184.215.2", "2606:2800:220::2"
NAME_SERVER = "93.184.216.53"
SITE, SITE_6 = "93.184.216.34", "2606:2800:220:1::34"
"""A public web site."""

WORLD_4 = (
    "10.0.0.0/8", "100.64.0.0/10", "168.63.129.16/32", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
    "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
    "0.0.0.0/8", "240.0.0.0/4", "93.184.216.0/24",
)  # fmt: skip
WORLD_6 = (
    "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
    "4000::/3", "fc00::/7", "fec0::/10", "2a00:1450:4001:800::/64", "2606:2800:220:1::/64", "::ffff:0:0:0/96",
)  # fmt: skip

PORTS = (22, 25, 80, 443, 3128, 6379, 8000, 8080)

Answer = Callable[[str, int], Sequence[str]]
"""Of a name: given the type of the question and how often it was asked before, records as ``TYPE data``."""


class World:
    """All of it, on a thread of its own; made by `world`."""

    def __init__(self, inside: Namespace, outside: Namespace) -> None:
        self.inside, self.outside = inside, outside
        self.names: dict[str, Answer] = {}
        self.asked: Counter[tuple[str, str]] = Counter()
        """Questions to the name server, by name and type."""
        self.pages: dict[str, bytes] = {}
        """Answers of the public site, by path."""
        self.visits: list[str] = []
        """``address:port host path`` of each request that came to a listener."""
        self.right = {(PROXY, PROXY_PORT)}
        """Addresses and ports inside that it is right to speak to."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="world")
        self._sniffers: list[Sniffer] = []
        self._sockets: list[socket.socket] = []
        self._servers: list[asyncio.Server] = []
        self._transport: asyncio.BaseTransport | None = None

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Done on the world's own loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(120)

    def start(self) -> None:
        self.inside.ip("addr", "add", f"{PROXY}/32", "dev", "lo")
        for prefix in WORLD_4:
            self.outside.ip("route", "add", "local", prefix, "dev", "lo")
        for prefix in WORLD_6:
            self.outside.ip("-6", "route", "add", "local", prefix, "dev", "lo")
        self._sniffers = [self.outside.sniffer("out0"), self.inside.sniffer("lo")]
        for port in PORTS:
            self._sockets += [self.outside.listener(every, port) for every in ("0.0.0.0", "::")]
            self._sockets += [self.inside.listener(own, port) for own in ("127.0.0.1", "::1", INSIDE, INSIDE_6)]
        self._thread.start()
        self.call(self._serve())

    def answer_on_the_link(self, addresses: Iterable[str]) -> None:
        """Link-local addresses: no route leads to them, so the world's end of the cable has to have each."""
        for address in addresses:
            self.outside.ip("-6", "addr", "add", f"{address}/64", "dev", "out0", "nodad")

    def stop(self) -> None:
        if self._thread.is_alive():
            self.call(self._close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._loop.close()
        for sniffer in self._sniffers:
            sniffer.close()

    def arrivals(self) -> list[Packet]:
        """Packets since the last question that came where none may."""
        outside, inside = (sniffer.packets() for sniffer in self._sniffers)
        return [p for p in outside if not _is_public(p)] + [p for p in inside if not self._is_right(p)]

    def ask(self, raw: bytes, timeout: float = 15) -> bytes:
        """Say ``raw`` to the proxy and read until it closes; as much as comes."""
        with self.inside.connect(PROXY, PROXY_PORT, timeout) as client:
            answer = b""
            with contextlib.suppress(ConnectionError):
                client.sendall(raw)
                while data := client.recv(65_536):
                    answer += data
            return answer

    def _is_right(self, packet: Packet) -> bool:
        ends = {(packet.source, packet.source_port), (packet.target, packet.target_port)}
        return bool(ends & self.right)

    async def _serve(self) -> None:
        for each in self._sockets:
            self._servers.append(await asyncio.start_server(self._visit, sock=each))
        self._transport, _ = await self._loop.create_datagram_endpoint(
            lambda: _NameServer(self), sock=self.outside.datagrams(NAME_SERVER, 53)
        )

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        if self._transport is not None:
            self._transport.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0)

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address, port = writer.get_extra_info("sockname")[:2]
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            async with asyncio.timeout(10):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            path = head.split(" ")[1]
            host = next((line[6:] for line in head.split("\r\n") if line.lower().startswith("host: ")), "")
            self.visits.append(f"{address}:{port} {host} {path}")
            writer.write(self.pages.get(path.partition("?")[0], ok(b"arrived")))
            writer.write_eof()
            async with asyncio.timeout(2):
                while await reader.read(65_536):
                    pass  # closed with something unread, the answer would be lost
        writer.close()


class _NameServer(asyncio.DatagramProtocol):
    def __init__(self, world: World) -> None:
        self._world = world

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, peer: tuple[str | Any, int]) -> None:
        question = dns.message.from_wire(data)
        answer = dns.message.make_response(question)
        answer.flags |= dns.flags.RA
        name = question.question[0].name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.question[0].rdtype)
        records = self._world.names.get(name)
        if records is None:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        else:
            for text in records(kind, self._world.asked[name, kind]):
                owner, _, record = text.rpartition("| ")
                of, _, value = record.partition(" ")
                answer.answer.append(dns.rrset.from_text(f"{owner.strip() or name}.", 0, "IN", of, value))
        self._world.asked[name, kind] += 1
        self._transport.sendto(answer.to_wire(), peer)  # type: ignore[attr-defined]


@contextlib.contextmanager
def world() -> Iterator[World]:
    """Made and taken down."""
    with contextlib.ExitStack() as stack:
        inside, outside = Namespace("in"), Namespace("out")
        stack.callback(outside.close)
        stack.callback(inside.close)
        cable = joined(inside, outside, (f"{INSIDE}/24", f"{OUTSIDE}/24"), (f"{INSIDE_6}/64", f"{OUTSIDE_6}/64"))
        stack.enter_context(cable)
        stack.enter_context(name_server(inside, NAME_SERVER))
        made = World(inside, outside)
        stack.callback(made.stop)
        made.start()
        yield made


@contextlib.contextmanager
def proxy_in(world: World, program: Sequence[str] = ("-m", "egress"), **settings: str) -> Iterator[Process]:
    """``python -m egress``, or another ``program``, inside."""
    given = {"bind": f"{PROXY}:{PROXY_PORT}", "secret": SECRET, **settings}
    process = world.call(Process.start(world.inside.exec, program, **given))
    try:
        yield process
    finally:
        world.call(process.stop())


def proof(unit: str = "-", fence: int = 0) -> str:
    """The line of a head that proves node ``n1``."""
    return f"Proxy-Authorization: {authorization(node_key(SECRET, 'n1'), Holder('n1', unit, fence))}\r\n"


def ok(body: bytes, fields: str = "", status: str = "200 OK") -> bytes:
    """An answer of a site."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
    return f"{head}{fields}\r\n".encode() + body


def _is_public(packet: Packet) -> bool:
    """Whether it was on its way to the site or the name server."""
    if packet.target == NAME_SERVER:
        return (packet.protocol, packet.target_port) == (socket.IPPROTO_UDP, 53)
    return packet.target in {SITE, SITE_6} and packet.target_port in {80, 443, 8080}
