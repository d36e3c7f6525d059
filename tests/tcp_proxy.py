"""A TCP proxy between any client and any server that fails as networks do: silently, one way only, slowly, abruptly."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass, field
from enum import Enum, auto

PIECE = 64 * 1024


class Way(Enum):
    """A direction through the proxy."""

    REQUESTS = auto()
    REPLIES = auto()


@dataclass
class TcpProxy:
    """``async with TcpProxy(port) as proxy``: what connects to ``proxy.port`` talks to ``port``, as faults allow.

    ``cut`` makes the bytes of a way vanish as an unplugged cable does: no error, no end, until ``heal`` resets what
    stood in it, because TCP would have lost its place by then. ``hold`` keeps the bytes of a way until ``release``, as
    a network does whose queues are full: they arrive late, and whole. ``refuse`` turns new connections away.
    """

    target: int
    port: int = 0
    """Where it listens; 0 takes a free port."""
    delay_s: float = 0.0
    """How long each piece is under way."""
    bytes_per_s: float = 0.0
    """The pace of each connection and way; 0 is as fast as it goes."""
    deaf_after: bytes = b""
    """Once a request holds these bytes it passes, and replies vanish from then on."""
    forbids: bytes = b""
    """A request that holds these bytes has its connection reset, as by a proxy that does not let something through."""
    swallows: bytes = b""
    """A request that holds these bytes is never answered, and its connection stays open."""
    connections: int = 0
    """How many there were."""
    passed: dict[Way, int] = field(default_factory=lambda: dict.fromkeys(Way, 0))
    """Bytes that came through."""
    dropped: dict[Way, int] = field(default_factory=lambda: dict.fromkeys(Way, 0))
    """Bytes that vanished."""
    held: dict[Way, bytearray] = field(default_factory=lambda: {way: bytearray() for way in Way})
    """What waits for ``release``, of all connections in the order it came."""
    _cut: set[Way] = field(default_factory=set)
    _holding: set[Way] = field(default_factory=set)
    _released: asyncio.Event = field(default_factory=asyncio.Event)
    _refusing: bool = False
    _server: asyncio.Server | None = None
    _open: dict[asyncio.StreamWriter, asyncio.StreamWriter] = field(default_factory=dict)
    _handling: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> TcpProxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._handling:
            task.cancel()
        await asyncio.gather(*self._handling, return_exceptions=True)

    def cut(self, *ways: Way) -> None:
        """Have bytes vanish from now on: both ways unless told which."""
        self._cut.update(ways or Way)

    def hold(self, *ways: Way) -> None:
        """Keep bytes from now on: of both ways unless told which."""
        self._holding.update(ways or Way)

    def release(self) -> None:
        """Let what was held arrive, even on connections whose clients have given up."""
        self._holding.clear()
        for held in self.held.values():
            held.clear()
        self._released.set()
        self._released = asyncio.Event()

    def refuse(self) -> None:
        """Turn new connections away, as a host whose server is down does."""
        self._refusing = True

    def heal(self) -> None:
        """Let everything through again; connections that lost bytes are reset."""
        if self._cut:
            self.reset()
        self._cut.clear()
        self._refusing = False
        self.delay_s = self.bytes_per_s = 0.0

    def reset(self) -> None:
        """Reset every connection there is."""
        for client, server in list(self._open.items()):
            reset(client)
            reset(server)

    def half_close(self) -> None:
        """Tell every client that its server will say nothing more, while it may still send."""
        for client in self._open:
            with contextlib.suppress(OSError):
                client.write_eof()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # a task of our own: one that asyncio makes of a coroutine here complains when it is cancelled (Python 3.11)
        task = asyncio.create_task(self._relay(reader, writer))
        self._handling.add(task)
        task.add_done_callback(self._handling.discard)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            reset(writer)
            return
        self.connections += 1
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            reset(writer)
            return
        self._open[writer] = to_server
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass(Way.REQUESTS, reader, to_server))
                both.create_task(self._pass(Way.REPLIES, from_server, writer))
        except* OSError:
            pass  # either side went away, which is what this is for
        finally:
            del self._open[writer]
            writer.close()
            to_server.close()

    async def _pass(self, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(PIECE):
            if way is Way.REQUESTS and self.forbids and self.forbids in piece:
                raise ConnectionResetError(f"a request holds {self.forbids!r}")
            if way is Way.REQUESTS and self.swallows and self.swallows in piece:
                continue
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            if self.bytes_per_s:
                await asyncio.sleep(len(piece) / self.bytes_per_s)
            if way in self._holding:
                self.held[way] += piece
                while way in self._holding:
                    await self._released.wait()
            if way in self._cut:
                self.dropped[way] += len(piece)
                continue
            if way is Way.REQUESTS and self.deaf_after and self.deaf_after in piece:
                self._cut.add(Way.REPLIES)
            writer.write(piece)
            await writer.drain()
            self.passed[way] += len(piece)
        if way not in self._cut:
            writer.write_eof()


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with RST instead of an orderly FIN."""
    with contextlib.suppress(OSError):
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()
