"""How a connection to an origin is made: straight to one of its addresses, or through a further egress proxy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from egress.refused import HEADER, PROOF_MISSING, Refused
from fleet.credentials import Holder, authorization
from fleet.destinations import (
    Destinations,
    ForbiddenAddress,
    ForbiddenHost,
    ForbiddenPort,
    NoDestination,
    SlowName,
    UnknownName,
)

ADDRESSES_TRIED = 4

UNIT_LOOK_UPS, NODE_LOOK_UPS = 8, 32
"""At once: a page names a few dozen hosts, and a look-up takes milliseconds."""

ANSWER_LIMIT = 16 << 10
"""Longest answer of the further proxy to a CONNECT."""

_STATUS: dict[type[NoDestination], int] = {
    ForbiddenHost: 400, ForbiddenPort: 403, ForbiddenAddress: 403, UnknownName: 502, SlowName: 504,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Opened:
    """A connection to an origin; whoever asked for it closes it. ``address`` is empty where it is not known."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    address: str


class Route(Protocol):
    """A way to origins."""

    async def open(self, holder: Holder, host: str, port: int) -> Opened:
        """Raises Refused."""

    def close(self) -> None: ...


class Direct:
    """Looks the name up, checks, and connects to what was checked."""

    def __init__(self, destinations: Destinations, connect: timedelta) -> None:
        self._destinations, self._connect = destinations, connect

    async def open(self, holder: Holder, host: str, port: int) -> Opened:
        try:
            askers = {holder.user: UNIT_LOOK_UPS, holder.node: NODE_LOOK_UPS}
            destination = await self._destinations.find(host, port, askers)
        except NoDestination as exc:
            raise Refused(_STATUS[type(exc)], str(exc)) from exc
        found: Exception | None = None
        for address in destination.addresses[:ADDRESSES_TRIED]:
            try:
                async with asyncio.timeout(self._connect.total_seconds()):
                    reader, writer = await asyncio.open_connection(address, destination.port)
            except (OSError, TimeoutError) as exc:
                found = exc
                continue
            return Opened(reader, writer, address)
        status = 504 if isinstance(found, TimeoutError) else 502
        raise Refused(status, f"could not connect to {host}:{port}")

    def close(self) -> None:
        self._destinations.close()


class Through:
    """Has a further proxy at ``proxy`` (host, port) connect, with the credentials of whoever asks. Looks up nothing.

    ``key`` gives the node's key, empty while it has none: it comes with the registration. What that proxy refuses is
    refused here in its words. Plain requests go through a tunnel as well, so the one thing said to it is CONNECT.
    """

    def __init__(self, proxy: tuple[str, int], key: Callable[[], str], connect: timedelta) -> None:
        self._proxy, self._key = proxy, key
        # the further proxy tries several addresses, each for so long, and looks the name up before
        self._connect, self._answer = connect, connect * (ADDRESSES_TRIED + 1)

    async def open(self, holder: Holder, host: str, port: int) -> Opened:
        place = "{}:{}".format(*self._proxy)
        try:
            async with asyncio.timeout(self._connect.total_seconds()):
                reader, writer = await asyncio.open_connection(*self._proxy, limit=ANSWER_LIMIT)
        except (OSError, TimeoutError) as exc:
            raise Refused(502, f"the egress proxy {place} takes no connection") from exc
        try:
            await self._ask(reader, writer, holder, host, port)
        except BaseException as exc:
            writer.transport.abort()
            if isinstance(exc, OSError | EOFError | TimeoutError | asyncio.LimitOverrunError):
                raise Refused(502, f"the egress proxy {place} gave no answer") from exc
            raise
        return Opened(reader, writer, "")

    def close(self) -> None:
        pass

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, holder: Holder, host: str, port: int
    ) -> None:
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        key = self._key()
        proof = f"Proxy-Authorization: {authorization(key, holder)}\r\n" if key else ""
        writer.write(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{proof}\r\n".encode())
        async with asyncio.timeout(self._answer.total_seconds()):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status, reason = _status_and_reason(head)
        if status == 200:
            return
        if status == PROOF_MISSING:
            # to Chrome this would be a question for a password; it is a matter between the node and the proxy
            raise Refused(502, f"the egress proxy does not know this node: {reason}")
        raise Refused(status if 400 <= status < 600 else 502, reason or f"the egress proxy answered {status}")


def _status_and_reason(head: str) -> tuple[int, str]:
    first, *fields = head.split("\r\n")
    digits = first.partition(" ")[2][:3]
    reasons = [field.partition(":")[2].strip() for field in fields if field.lower().startswith(f"{HEADER.lower()}:")]
    return int(digits) if digits.isdecimal() else 502, "".join(reasons[:1])
