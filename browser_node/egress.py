"""The egress proxy: the only way out of a Chrome. Resolves a name once, checks, connects to that very address.

Every request names its target to the proxy, redirects and sub-resources included, so a page cannot reach what is
not public by any detour: a rebinding name is resolved here and pinned. Plain requests are rewritten to origin
form and their framing checked; ``CONNECT`` opens a tunnel. Ports are 80, 443 and those from 1024: sites do run
on 8080 and 8443, but nothing on a mail or SSH port is a web site.

A refusal is a 403 with the reason in ``X-Leadfleet-Egress``; a site that does not answer is a 502 or 504. For
``CONNECT`` Chrome hides both from the page, so `EgressProxy.refusal` tells the last reason by host.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

import structlog

from fleet.addresses import Allowance, is_public, normal_host

HEAD_LIMIT = 64 << 10
"""Longest request head; Chrome's own limit for a header is 256 KB, cookies of real sites stay below 16 KB."""

CHUNK = 64 << 10

NAMES_KEPT = 1024
NAMES_FRESH = timedelta(seconds=60)
"""A page opens dozens of connections to a few names; a resolver is asked once a minute for each."""

ADDRESSES_TRIED = 4

REFUSALS_KEPT = 256

_METHOD = re.compile(r"[A-Z]{1,20}\Z")
_FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_HOP_BY_HOP = {
    "connection", "keep-alive", "proxy-connection", "proxy-authorization", "proxy-authenticate", "te", "trailer",
    "upgrade", "host", "expect",
}  # fmt: skip

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class EgressLimits:
    """What one connection, and all of them, may use."""

    connections: int = 512
    connection_bytes: int = 256 << 20
    connect: timedelta = timedelta(seconds=10)
    idle: timedelta = timedelta(seconds=90)


class Refused(Exception):
    """The request is answered by the proxy itself. ``status`` is 400, 403, 502, 503 or 504."""

    def __init__(self, status: int, reason: str) -> None:
        self.status, self.reason = status, reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class RequestHead:
    """A parsed request to the proxy. ``length`` is the body's, None when it is chunked."""

    method: str
    host: str
    port: int
    head: bytes  # what goes to the origin; empty for CONNECT
    length: int | None


class EgressProxy:
    """Listens on a free loopback port from `start` until `stop`."""

    def __init__(self, allowance: Allowance, limits: EgressLimits | None = None) -> None:
        self._allowance, self._limits = allowance, limits or EgressLimits()
        self._names: OrderedDict[tuple[str, int], tuple[float, list[str]]] = OrderedDict()
        self._refusals: OrderedDict[str, str] = OrderedDict()
        self._served: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> str:
        """Returns ``host:port``."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=HEAD_LIMIT)
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"{host}:{port}"

    async def stop(self) -> None:
        """Close the port and every connection."""
        if self._server is not None:
            self._server.close()
        for task in self._served:
            task.cancel()
        await asyncio.gather(*self._served, return_exceptions=True)

    def refusal(self, host: str) -> str:
        """Why the last refused request to ``host`` was refused; empty when none was."""
        return self._refusals.get(normal_host(host), "")

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._served.add(task)
        try:
            if len(self._served) > self._limits.connections:
                writer.write(_answer(Refused(503, "too many connections")))
            else:
                await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            pass  # either side left; the other notices by its closed connection
        except asyncio.CancelledError:
            pass  # `stop`: the connection goes with the proxy
        finally:
            self._served.discard(task)
            await _close(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Requests of one client connection, until one of both sides closes."""
        upstream: _Upstream | None = None
        try:
            while True:
                raw = await self._next_head(reader)
                if not raw:
                    return
                try:
                    request = parse_head(raw)
                    if upstream is None or not upstream.serves(request):
                        if upstream is not None:
                            await upstream.close()
                            upstream = None
                        upstream = await self._connect(request, writer)
                except Refused as refusal:
                    log.debug("egress_refused", reason=refusal.reason, status=refusal.status)
                    writer.write(_answer(refusal))
                    await writer.drain()
                    return
                if request.method == "CONNECT":
                    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    await upstream.tunnel(reader)
                    return
                upstream.writer.write(request.head)
                await self._copy_body(request, reader, upstream.writer)
        finally:
            if upstream is not None:
                await upstream.close()

    async def _next_head(self, reader: asyncio.StreamReader) -> bytes:
        try:
            async with asyncio.timeout(self._limits.idle.total_seconds()):
                return await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return b""

    async def _copy_body(
        self, request: RequestHead, reader: asyncio.StreamReader, target: asyncio.StreamWriter
    ) -> None:
        if request.length is None:
            while True:
                line = await reader.readuntil(b"\r\n")
                size = _chunk_size(line)
                target.write(line)
                await self._copy_exactly(size, reader, target)
                # the CRLF after a chunk, or the trailers after the last one
                end = await reader.readuntil(b"\r\n")
                while size == 0 and end != b"\r\n":
                    end = await reader.readuntil(b"\r\n")  # trailers are dropped
                target.write(b"\r\n")
                if size == 0:
                    break
        else:
            await self._copy_exactly(request.length, reader, target)
        await target.drain()

    async def _copy_exactly(self, size: int, reader: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while size:
            async with asyncio.timeout(self._limits.idle.total_seconds()):
                data = await reader.read(min(size, CHUNK))
            if not data:
                raise asyncio.IncompleteReadError(b"", size)
            size -= len(data)
            target.write(data)
            await target.drain()

    async def _connect(self, request: RequestHead, client: asyncio.StreamWriter) -> _Upstream:
        try:
            addresses, port = await self._addresses(request.host, request.port)
        except Refused as refusal:
            self._remember(request.host, refusal)
            raise
        found: Exception | None = None
        for address in addresses[:ADDRESSES_TRIED]:
            try:
                async with asyncio.timeout(self._limits.connect.total_seconds()):
                    reader, writer = await asyncio.open_connection(address, port)
            except (OSError, TimeoutError) as exc:
                found = exc
                continue
            log.debug("egress", method=request.method, host=request.host, port=request.port, address=address)
            return _Upstream((request.host, request.port), reader, writer, client, self._limits)
        status = 504 if isinstance(found, TimeoutError) else 502
        raise Refused(status, f"could not connect to {request.host}:{request.port}")

    async def _addresses(self, host: str, port: int) -> tuple[list[str], int]:
        """Where to connect to: the allowed target, or the public addresses of the name. Raises Refused."""
        allowed = self._allowance.target(host, port)
        if allowed is not None:
            return [allowed[0]], allowed[1]
        if port not in {80, 443} and port < 1024:
            raise Refused(403, f"refused port {port}")
        addresses = await self._resolve(host, port)
        public = [address for address in addresses if is_public(address)]
        if not public:
            raise Refused(403, f"refused non-public address {addresses[0]}")
        return public, port

    async def _resolve(self, host: str, port: int) -> list[str]:
        loop = asyncio.get_running_loop()
        expires, addresses = self._names.get((host, port), (0.0, []))
        if expires > loop.time():
            return addresses
        try:
            async with asyncio.timeout(self._limits.connect.total_seconds()):
                found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except TimeoutError as exc:
            raise Refused(504, f"no answer for the name {host}") from exc
        except (OSError, UnicodeError) as exc:
            raise Refused(502, f"unknown name {host}") from exc
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        self._names[host, port] = (loop.time() + NAMES_FRESH.total_seconds(), addresses)
        if len(self._names) > NAMES_KEPT:
            self._names.popitem(last=False)
        return addresses

    def _remember(self, host: str, refusal: Refused) -> None:
        self._refusals[host] = refusal.reason
        self._refusals.move_to_end(host)
        if len(self._refusals) > REFUSALS_KEPT:
            self._refusals.popitem(last=False)


class _Upstream:
    """A connection to an origin; its answers flow to the client as they come.

    Chrome does not pipeline: when it sends the next request it has read the last answer, so answers need no
    parsing, and an origin that closes ends the client's connection, which is how it learns of the end.
    """

    def __init__(
        self, origin: tuple[str, int], reader: asyncio.StreamReader, writer: asyncio.StreamWriter,
        client: asyncio.StreamWriter, limits: EgressLimits,
    ) -> None:  # fmt: skip
        self.writer = writer
        self._origin, self._reader, self._client, self._limits = origin, reader, client, limits
        self._answers = asyncio.create_task(self._flow(), name="egress-answers")

    def serves(self, request: RequestHead) -> bool:
        return self._origin == (request.host, request.port) and request.method != "CONNECT"

    async def tunnel(self, reader: asyncio.StreamReader) -> None:
        """Bytes both ways until one side is done."""
        sent = asyncio.create_task(_pump(reader, self.writer, self._limits), name="egress-tunnel")
        try:
            await asyncio.wait({sent, self._answers}, return_when=asyncio.FIRST_COMPLETED)
            if not self._answers.done():
                # the client has said all it wants to say; the origin may still answer
                await asyncio.wait({self._answers}, timeout=self._limits.idle.total_seconds())
        finally:
            await _end(sent)

    async def close(self) -> None:
        await _end(self._answers)
        await _close(self.writer)

    async def _flow(self) -> None:
        await _pump(self._reader, self._client, self._limits)
        self._client.close()  # not when cancelled: the client goes on with another origin


def parse_head(raw: bytes) -> RequestHead:
    """Check and rewrite a request head as the proxy received it. Raises Refused with 400 or 403.

    Strict on purpose: a head that two programs could read differently is how requests are smuggled.
    """
    try:
        lines = raw.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        method, target, version = lines[0].split(" ")
    except ValueError as exc:
        raise Refused(400, "malformed request line") from exc
    if not _METHOD.match(method) or version not in {"HTTP/1.1", "HTTP/1.0"}:
        raise Refused(400, "malformed request line")
    fields = [_field(line) for line in lines[1:]]
    if method == "CONNECT":
        host, port = _authority(target, None)
        return RequestHead(method, host, port, b"", 0)
    if not target.lower().startswith("http://"):
        raise Refused(403, "refused scheme")
    parts = urlsplit(target)
    host, port = _authority(parts.netloc.rpartition("@")[2], 80)
    dropped = _HOP_BY_HOP | {
        name.strip().lower() for key, value in fields if key.lower() == "connection" for name in value.split(",")
    }
    kept = [(name, value) for name, value in fields if name.lower() not in dropped]
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    origin = f"{method} {path} HTTP/1.1\r\nHost: {parts.netloc.rpartition('@')[2]}\r\n"
    head = origin + "".join(f"{name}: {value}\r\n" for name, value in kept) + "\r\n"
    return RequestHead(method, host, port, head.encode("latin-1"), _body_length(fields))


def _field(line: str) -> tuple[str, str]:
    name, found, value = line.partition(":")
    if not found or not _FIELD_NAME.match(name) or any(c in value for c in "\r\n\0"):
        raise Refused(400, "malformed header")
    return name, value.strip(" \t")


def _body_length(fields: list[tuple[str, str]]) -> int | None:
    lengths = {value for name, value in fields if name.lower() == "content-length"}
    codings = [value.lower() for name, value in fields if name.lower() == "transfer-encoding"]
    if (lengths and codings) or len(lengths) > 1 or codings not in ([], ["chunked"]):
        raise Refused(400, "ambiguous body length")
    if codings:
        return None
    length = lengths.pop() if lengths else "0"
    if not length.isascii() or not length.isdecimal() or len(length) > 12:
        raise Refused(400, "malformed body length")
    return int(length)


def _authority(text: str, default_port: int | None) -> tuple[str, int]:
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/?#\[\]@]+)(?::(\d{1,5}))?", text)
    if match is None or (match[2] is None and default_port is None):
        raise Refused(400, "malformed target")
    port = int(match[2]) if match[2] else default_port or 0
    if not 0 < port < 65536:
        raise Refused(400, "malformed target")
    return normal_host(match[1]), port


def _chunk_size(line: bytes) -> int:
    digits = line.partition(b";")[0].strip()
    if not re.fullmatch(rb"[0-9A-Fa-f]{1,8}", digits):
        raise ConnectionAbortedError("malformed chunk")
    return int(digits, 16)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limits: EgressLimits) -> None:
    """Copy until the end, the byte limit or an idle time-out."""
    left = limits.connection_bytes
    with contextlib.suppress(OSError, TimeoutError):
        while left > 0:
            async with asyncio.timeout(limits.idle.total_seconds()):
                data = await reader.read(CHUNK)
                if not data:
                    return
                left -= len(data)
                writer.write(data)
                await writer.drain()


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, OSError):
        await task


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError, asyncio.CancelledError):
        await writer.wait_closed()


def _answer(refusal: Refused) -> bytes:
    reason = refusal.reason.encode("ascii", "replace")
    phrase = {400: b"Bad Request", 403: b"Forbidden", 502: b"Bad Gateway", 503: b"Busy", 504: b"Timeout"}
    return (
        b"HTTP/1.1 %d %b\r\nX-Leadfleet-Egress: %b\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n"
        b"Connection: close\r\n\r\n%b" % (refusal.status, phrase[refusal.status], reason, len(reason), reason)
    )
