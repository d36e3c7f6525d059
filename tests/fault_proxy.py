"""A TCP proxy between a client and an HTTP server that fails as networks and servers do, request by request."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from enum import Enum, auto

from tests.tcp_proxy import reset

PIECE = 64 * 1024
SLOW_PART_S = 2.5
"""How long a slow request's body is under way, in pieces."""

SLOW_DOWN = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>%s</Code><Message>as the test wants it</Message><RequestId>1</RequestId></Error>"""


class Fault(Enum):
    """What becomes of a request."""

    DEAF = auto()  # its body is not read, and nothing is answered
    SILENT = auto()  # it is read, and nothing is answered
    RESET = auto()  # the connection is reset in the middle of its body
    SLOW_DOWN = auto()  # 503, as S3 says it
    INTERNAL_ERROR = auto()  # 500, as S3 says it
    SLOW = auto()  # it arrives whole, but slowly
    ANSWER_LOST = auto()  # it is done, and the connection is reset before the answer


@dataclass
class _Rule:
    fault: Fault
    matching: re.Pattern[str]
    times: int


@dataclass
class FaultProxy:
    """``async with FaultProxy(port) as proxy``: a server on ``proxy.endpoint`` that passes requests on to ``port``."""

    target: int
    requests: list[str] = field(default_factory=list)
    """Request lines, in the order of arrival."""
    _rules: list[_Rule] = field(default_factory=list)
    _server: asyncio.Server | None = None
    _handling: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> FaultProxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._handling:
            task.cancel()
        await asyncio.gather(*self._handling, return_exceptions=True)

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def fail(self, fault: Fault, matching: str, times: int = 1_000_000) -> None:
        """Have requests whose first line matches fail, so many of them."""
        self._rules.append(_Rule(fault, re.compile(matching), times))

    def heal(self) -> None:
        """Pass everything on from now; requests that hang stay so."""
        self._rules.clear()

    def end_hanging(self) -> None:
        """Close all connections there are, those of requests that hang among them."""
        for task in self._handling:
            task.cancel()

    def count(self, matching: str) -> int:
        """How many requests have arrived whose first line matches."""
        return sum(bool(re.search(matching, line)) for line in self.requests)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handling.add(task)
        task.add_done_callback(self._handling.discard)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # either side went away, which is what this is for
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request: the connection is not used again, so that faults meet requests one by one."""
        head = await reader.readuntil(b"\r\n\r\n")
        line = head.split(b"\r\n", 1)[0].decode()
        self.requests.append(line)
        length = int((re.search(rb"(?i)\r\ncontent-length: *(\d+)", head) or [0, 0])[1])
        if re.search(rb"(?i)\r\nexpect: *100-continue", head):
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        head = re.sub(rb"(?i)\r\n(expect|connection):[^\r]*", b"", head)
        fault = self._fault(line)
        match fault:
            case Fault.DEAF:
                await asyncio.Event().wait()
            case Fault.SILENT:
                await reader.readexactly(length)
                await asyncio.Event().wait()
            case Fault.RESET:
                await reader.readexactly(length // 2)
                reset(writer)
            case Fault.SLOW_DOWN | Fault.INTERNAL_ERROR:
                await reader.readexactly(length)
                status, code = (503, b"SlowDown") if fault is Fault.SLOW_DOWN else (500, b"InternalError")
                body = SLOW_DOWN % code
                writer.write(b"HTTP/1.1 %d Fault\r\nContent-Type: application/xml\r\n" % status)
                writer.write(b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
                await writer.drain()
            case _:
                await self._pass_on(head, length, reader, writer, fault)

    async def _pass_on(
        self, head: bytes, length: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, fault: Fault | None
    ) -> None:
        pause_s = SLOW_PART_S / max(1, length / PIECE) if fault is Fault.SLOW else 0.0
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self.target)
        try:
            to_server.write(head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
            while length:
                piece = await reader.readexactly(min(length, PIECE))
                length -= len(piece)
                to_server.write(piece)
                await to_server.drain()
                await asyncio.sleep(pause_s)
            answer = await from_server.read()
            if fault is Fault.ANSWER_LOST:
                reset(writer)
            else:
                writer.write(answer)
                await writer.drain()
        finally:
            to_server.close()

    def _fault(self, line: str) -> Fault | None:
        for rule in self._rules:
            if rule.times and rule.matching.search(line):
                rule.times -= 1
                return rule.fault
        return None
