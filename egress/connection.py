"""One client connection: requests to one origin, or a tunnel to it, until a side closes or a cap is reached.

One connection speaks to one origin only. Answers pass unparsed, so what an origin said too much would otherwise be
taken for the answer of the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from egress.access import CUT, FAILED, PASSED, REFUSED, Access, OnAccess
from egress.head import HEAD_LIMIT, RequestHead, chunk_size, parse_head
from egress.refused import CAPS, NOT_REACHED, Refused
from egress.routes import Opened, Route
from egress.shares import Limits, Share, Shares
from fleet.credentials import Holder
from fleet.refusals import Category

CHUNK = 64 << 10

HALF_CLOSED = timedelta(seconds=10)
"""How long an origin may go on once the client has said all: Chrome closes a tunnel and reads no more."""

CLOSE_WITHIN = timedelta(seconds=5)
"""For what is still to be sent at a close; a peer that does not read is cut off."""


class ClientReader(asyncio.StreamReader):
    """What a client says. ``gone`` is set once it will say no more, also while nobody reads."""

    def __init__(self) -> None:
        super().__init__(limit=HEAD_LIMIT, loop=asyncio.get_running_loop())
        self.gone = asyncio.Event()

    def feed_eof(self) -> None:
        super().feed_eof()
        self.gone.set()

    def set_exception(self, exc: Exception) -> None:
        super().set_exception(exc)
        self.gone.set()


class Client(Protocol):
    """Who listens for connections, and knows whose they are."""

    def holder_of(self, request: RequestHead) -> Holder:
        """Raises Refused with 407."""

    def own_answer(self, raw: bytes) -> bytes:
        """What is said to a head that asks for the proxy itself; empty when it does not."""

    def reached(self, host: str) -> None:
        """Called for each connection to an origin."""

    def refused(self, host: str, refusal: Refused) -> None:
        """Called for each refusal."""

    def capped(self, holder: Holder, category: Category, words: str) -> None:
        """A cap of the unit or the node was met; ``words`` say which, and may be told to the tenant."""

    def identified(self, connection: Connection) -> None:
        """The first head of a connection is there."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What all connections of a proxy share."""

    route: Route
    shares: Shares
    limits: Limits
    on_access: OnAccess


class Connection:
    """`serve` returns when it is over and closed; `end` has it end."""

    def __init__(self, parts: Parts, client: Client, reader: ClientReader, writer: asyncio.StreamWriter) -> None:
        self._parts, self._client, self._limits = parts, client, parts.limits
        self._reader, self._writer = reader, writer
        self._access = Access()
        self._share: Share | None = None
        self._origin: tuple[str, int] | None = None
        self._upstream: Opened | None = None
        self._answers: asyncio.Task[None] | None = None
        self._serving: asyncio.Task[None] | None = None
        self._touched = asyncio.get_running_loop().time()

    @property
    def holder(self) -> Holder | None:
        return self._access.holder

    async def serve(self) -> None:
        self._serving = asyncio.current_task()
        try:
            async with asyncio.timeout(self._limits.life.total_seconds()) as life:
                await self._requests()
        except TimeoutError:
            if life.expired():
                self._cut(Category.CAP, f"a connection lives {self._limits.life.total_seconds():g} s at most")
        except (OSError, EOFError, asyncio.LimitOverrunError):
            pass  # either side left, or broke the protocol: the other notices by its closed connection
        finally:
            try:
                await self._close()
            finally:
                self._account()

    def end(self, reason: str) -> None:
        """Whose it is needs it no more."""
        self._access.reason = self._access.reason or reason
        if self._serving is not None:
            self._serving.cancel()

    def _cut(self, category: Category, reason: str) -> None:
        """A cap was met: nothing more passes."""
        if self._access.verdict != CUT:
            self._access.verdict, self._access.reason = CUT, reason
            if self.holder is not None:
                words = category.sentence if category is Category.SPENT else reason
                self._client.capped(self.holder, category, words)
        self._writer.close()

    async def _requests(self) -> None:
        while True:
            try:
                raw = await self._next_head()
                if not raw:
                    return
                if own := self._client.own_answer(raw):
                    self._writer.write(own)
                    return
                if await self._request(parse_head(raw)):
                    return
            except Refused as refusal:
                await self._refuse(refusal)
                return

    async def _request(self, request: RequestHead) -> bool:
        """Whether that was the last one of this connection."""
        upstream = await self._upstream_for(request)
        self._access.requests += 1
        if request.method == "CONNECT":
            self._writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await self._tunnel(upstream)
            return True
        upstream.writer.write(request.head)
        self._sent(len(request.head))
        await self._drain(upstream.writer)  # a request without a body waits for an origin that does not read, too
        await self._copy_body(request, upstream.writer)
        return False

    async def _next_head(self) -> bytes:
        """Empty when the client is done. Raises Refused with 408 and 431."""
        begun = b""
        try:
            if self._origin is not None:
                begun = await self._read(self._reader, 1)
                if not begun:
                    return b""
            async with asyncio.timeout(self._limits.head.total_seconds()):
                return begun + await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return b""
        except asyncio.LimitOverrunError as exc:
            raise Refused(Category.MALFORMED, f"a request head is longer than {HEAD_LIMIT >> 10} KB", 431) from exc
        except TimeoutError as exc:
            raise Refused(Category.MALFORMED, "no request head came in time", 408) from exc

    async def _upstream_for(self, request: RequestHead) -> Opened:
        if self._upstream is not None:
            if request.origin != self._origin or request.method == "CONNECT":
                raise Refused(Category.MALFORMED, "one connection speaks to one origin", 421)
            return self._upstream
        access = self._access
        access.method, access.host, access.port = request.method, request.host, request.port
        access.holder = holder = self._client.holder_of(request)
        self._client.identified(self)
        self._share = self._parts.shares.take(holder)
        self._upstream = upstream = await self._opened(holder, request.host, request.port)
        self._client.reached(request.host)
        self._origin, access.address = request.origin, upstream.address
        self._answers = asyncio.create_task(self._answer(upstream), name="egress-answers")
        return upstream

    async def _opened(self, holder: Holder, host: str, port: int) -> Opened:
        """Raises Refused, and ConnectionAbortedError as soon as the client has left: nobody waits for it any more."""
        opening = asyncio.create_task(self._parts.route.open(holder, host, port), name="egress-open")
        leaving = asyncio.create_task(self._reader.gone.wait(), name="egress-leaving")
        try:
            await asyncio.wait({opening, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if opening.done():
                return opening.result()
            self._access.verdict, self._access.reason = FAILED, "the client left before its origin was reached"
            raise ConnectionAbortedError(self._access.reason)
        except BaseException:
            opening.cancel()
            opening.add_done_callback(_close_unused)
            raise
        finally:
            leaving.cancel()

    async def _answer(self, upstream: Opened) -> None:
        """The origin's bytes to the client; an origin that closes ends the connection, which tells the client."""
        with contextlib.suppress(OSError, TimeoutError):
            await self._pump(upstream.reader, self._writer, self._received)
        self._writer.close()

    async def _tunnel(self, upstream: Opened) -> None:
        assert self._answers is not None
        sent = asyncio.create_task(self._pump(self._reader, upstream.writer, self._sent), name="egress-tunnel")
        try:
            await asyncio.wait({sent, self._answers}, return_when=asyncio.FIRST_COMPLETED)
            if not self._answers.done() and self._access.verdict != CUT:
                with contextlib.suppress(OSError):
                    upstream.writer.write_eof()
                await asyncio.wait({self._answers}, timeout=HALF_CLOSED.total_seconds())
        finally:
            await _end(sent)

    async def _copy_body(self, request: RequestHead, target: asyncio.StreamWriter) -> None:
        if request.length is not None:
            await self._copy_exactly(request.length, target)
            return
        while True:
            line = await self._line()
            size = chunk_size(line)
            target.write(b"%x\r\n" % size)
            await self._copy_exactly(size, target)
            if size == 0:
                break
            if await self._line() != b"\r\n":
                raise ConnectionAbortedError("malformed chunk")
            target.write(b"\r\n")
        left = HEAD_LIMIT
        while (trailer := await self._line()) != b"\r\n":
            left -= len(trailer)
            if left < 0:
                raise ConnectionAbortedError("trailers without end")
        target.write(b"\r\n")
        await self._drain(target)

    async def _copy_exactly(self, size: int, target: asyncio.StreamWriter) -> None:
        while size:
            data = await self._read(self._reader, min(size, CHUNK))
            if not data:
                raise asyncio.IncompleteReadError(b"", size)
            size -= len(data)
            target.write(data)
            if not self._sent(len(data)):
                raise ConnectionAbortedError("cut")
            await self._drain(target)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, count: Callable[[int], bool]
    ) -> None:
        """Copy until the end, a cap, or a time in which neither side said anything."""
        while data := await self._read(reader, CHUNK):
            writer.write(data)
            if not count(len(data)):
                return
            await self._drain(writer)

    async def _line(self) -> bytes:
        async with asyncio.timeout(self._limits.idle.total_seconds()):
            return await self._reader.readuntil(b"\r\n")

    async def _read(self, reader: asyncio.StreamReader, size: int) -> bytes:
        """Up to ``size`` bytes. A side that listens may be silent while the other one speaks."""
        loop, idle = asyncio.get_running_loop(), self._limits.idle.total_seconds()
        while True:
            try:
                async with asyncio.timeout_at(self._touched + idle):
                    data = await reader.read(size)
            except TimeoutError:
                if loop.time() - self._touched >= idle:
                    raise
            else:
                self._touched = loop.time()
                return data

    async def _drain(self, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(self._limits.idle.total_seconds()):
            await writer.drain()

    def _sent(self, size: int) -> bool:
        self._access.up += size
        return self._moved(size)

    def _received(self, size: int) -> bool:
        self._access.down += size
        if self._access.down > self._limits.connection_bytes:
            self._cut(Category.CAP, f"a connection receives {self._limits.connection_bytes >> 20} MB at most")
            return False
        return self._moved(size)

    def _moved(self, size: int) -> bool:
        """Whether more may pass."""
        assert self._share is not None
        if spent := self._share.moved(size):
            self._cut(Category.SPENT, spent)
        return not spent

    async def _refuse(self, refusal: Refused) -> None:
        access = self._access
        access.verdict = FAILED if refusal.category in NOT_REACHED else REFUSED
        access.reason = refusal.reason
        self._client.refused(access.host, refusal)
        if access.holder is not None and refusal.category in CAPS:
            self._client.capped(access.holder, refusal.category, refusal.category.sentence)
        if self._upstream is None:  # else the origin may be in the middle of an answer, and closing says enough
            self._writer.write(refusal.answer())
            await self._drain(self._writer)

    async def _close(self) -> None:
        if self._answers is not None:
            await _end(self._answers)
        if self._upstream is not None:
            await close(self._upstream.writer)
        await close(self._writer)

    def _account(self) -> None:
        """Whatever interrupted the closing."""
        self._writer.transport.abort()
        if self._upstream is not None:
            self._upstream.writer.transport.abort()
        if self._share is not None:
            self._share.release()
        if self._access.method or self._access.verdict != PASSED:
            self._parts.on_access(self._access)


async def close(writer: asyncio.StreamWriter) -> None:
    """Close, whatever the peer does."""
    writer.close()
    try:
        async with asyncio.timeout(CLOSE_WITHIN.total_seconds()):
            await writer.wait_closed()
    except (OSError, TimeoutError):
        pass
    finally:
        writer.transport.abort()


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()  # it says how a side left; the connection is over anyway


def _close_unused(opening: asyncio.Task[Opened]) -> None:
    """A connection that was made in the very moment in which nobody wanted it any more."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().writer.transport.abort()
