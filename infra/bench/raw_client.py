"""A client that reads slowly or never, as a laptop that was closed does."""

from __future__ import annotations

import asyncio
import base64
import secrets
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

SMALL = 4_096
"""Bytes of a receive buffer: the kernel takes hardly more for a client that does not read."""


@dataclass
class RawClient:
    """Reads only what it is told to: all else stays at the server, but for a few KB."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    port: int
    """Its own, by which the server's end is found."""

    @classmethod
    async def open(cls, url: str, path: str, key: str, **headers: str) -> RawClient:
        """Ask for ``path`` and read the head of the answer, which must be good."""
        host, port = urlsplit(url).hostname or "", urlsplit(url).port or 80
        made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        made.setblocking(False)
        await asyncio.get_running_loop().sock_connect(made, (host, port))
        reader, writer = await asyncio.open_connection(sock=made, limit=SMALL)
        lines = [f"GET {path} HTTP/1.1", f"Host: {host}:{port}", f"X-API-Key: {key}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.split(b" ", 2)[1] in {b"101", b"200"}, head
        return cls(reader, writer, made.getsockname()[1])

    @classmethod
    async def open_socket(cls, url: str, path: str, key: str) -> RawClient:
        """The same as a WebSocket."""
        nonce = base64.b64encode(secrets.token_bytes(16)).decode()
        upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
        return await cls.open(url, path, key, **upgrade, **{"Sec-WebSocket-Key": nonce})

    async def part(self) -> bytes:
        """The next JPEG of an MJPEG stream; EOFError or OSError when the server has ended it."""
        length = 0
        while (line := await self.reader.readline()) != b"\r\n" or not length:
            if line.lower().startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
            if not line:
                raise EOFError("the stream has ended")
        return await self.reader.readexactly(length)

    def close(self) -> None:
        self.writer.close()
