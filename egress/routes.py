"""How a connection to an origin is made: straight to one of its addresses, or through a further egress proxy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from egress.dial import dial
from egress.refused import STATUS, Refused
from fleet.credentials import CONTROL_PLANE, Holder, authorization
from fleet.destinations import (
    LOOK_UP_WITHIN,
    Destinations,
    ForbiddenAddress,
    ForbiddenHost,
    ForbiddenPort,
    NoDestination,
    SlowName,
    UnknownName,
)
from fleet.refusals import HEADER, Category

UNIT_LOOK_UPS = 8
"""At once: a page names a few dozen hosts, and a look-up takes milliseconds."""

NODE_LOOK_UPS = 32

REPLICA_LOOK_UPS = 64
"""As many as it sends webhooks at once, of which one tenant has half: nobody's names keep another's waiting."""

PROOF = "/proof"
"""Asked for at a proxy, it says 200 to who is known to it and 407 to who is not."""

ANSWER_LIMIT = 16 << 10
"""Longest answer of the further proxy to a CONNECT."""

TO_THE_PROXY = timedelta(seconds=2)
"""Beyond what the further proxy itself may take: one turn to it and back on a busy machine."""

_CATEGORY: dict[type[NoDestination], Category] = {
    ForbiddenHost: Category.MALFORMED, ForbiddenPort: Category.FORBIDDEN, ForbiddenAddress: Category.FORBIDDEN,
    UnknownName: Category.UNKNOWN_NAME, SlowName: Category.TIMEOUT,
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
    """Looks the name up, checks, and connects to what was checked; ``connect`` is for all its addresses together."""

    def __init__(self, destinations: Destinations, connect: timedelta) -> None:
        self._destinations, self._connect = destinations, connect

    async def open(self, holder: Holder, host: str, port: int) -> Opened:
        try:
            destination = await self._destinations.find(host, port, _askers(holder))
        except NoDestination as exc:
            raise Refused(_CATEGORY[type(exc)], str(exc)) from exc
        try:
            (reader, writer), address = await dial(destination.addresses, destination.port, self._connect)
        except (OSError, TimeoutError) as exc:
            category = Category.TIMEOUT if isinstance(exc, TimeoutError) else Category.UNREACHABLE
            raise Refused(category, f"could not connect to {host}:{port}") from exc
        return Opened(reader, writer, address)

    def close(self) -> None:
        self._destinations.close()


class Through:
    """Has a further proxy at ``proxy`` (host, port) connect, with the credentials of whoever asks. Looks up nothing.

    ``key`` gives the node's key, empty while it has none: it comes with the registration. ``on_doubt(key)`` hears that
    the proxy did not take what was made with it, or was not there. What that proxy refuses is refused here as well.
    Plain requests go through a tunnel too, so CONNECT is all that is said to it for a page.
    """

    def __init__(
        self, proxy: tuple[str, int], key: Callable[[], str], connect: timedelta, on_doubt: Callable[[str], None]
    ) -> None:
        self._proxy, self._key, self._on_doubt = proxy, key, on_doubt
        self._connect, self._answer = connect, LOOK_UP_WITHIN + connect + TO_THE_PROXY
        self._place = "{}:{}".format(*proxy)

    async def open(self, holder: Holder, host: str, port: int) -> Opened:
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        opened, status, category = await self._ask(holder, f"CONNECT {target} HTTP/1.1", target)
        if status == 200:
            return opened
        opened.writer.transport.abort()
        if category is Category.UNPROVEN:
            # to Chrome this would be a question for a password; it is a matter between the node and the proxy
            raise Refused(Category.NO_WAY_OUT, f"the egress proxy {self._place} does not know this node")
        raise Refused(category, f"the egress proxy {self._place}: {category.sentence}")

    async def is_known(self, holder: Holder) -> bool:
        """Whether the proxy takes our credentials. Raises Refused where it cannot be asked."""
        opened, _, category = await self._ask(holder, f"GET {PROOF} HTTP/1.1", self._place)
        opened.writer.transport.abort()
        return category is not Category.UNPROVEN

    def close(self) -> None:
        pass

    async def _ask(self, holder: Holder, first: str, host: str) -> tuple[Opened, int, Category]:
        """The connection, and what it answered. Raises Refused when it did not."""
        key = self._key()
        try:
            async with asyncio.timeout(self._connect.total_seconds()):
                reader, writer = await asyncio.open_connection(*self._proxy, limit=ANSWER_LIMIT)
        except (OSError, TimeoutError) as exc:
            self._on_doubt(key)
            raise Refused(Category.NO_WAY_OUT, f"the egress proxy {self._place} takes no connection") from exc
        proof = f"Proxy-Authorization: {authorization(key, holder)}\r\n" if key else ""
        try:
            writer.write(f"{first}\r\nHost: {host}\r\n{proof}\r\n".encode())
            async with asyncio.timeout(self._answer.total_seconds()):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except BaseException as exc:
            writer.transport.abort()
            if isinstance(exc, OSError | EOFError | TimeoutError | asyncio.LimitOverrunError):
                self._on_doubt(key)
                raise Refused(Category.NO_WAY_OUT, f"the egress proxy {self._place} gave no answer") from exc
            raise
        status, category = _status_and_category(head)
        if category is Category.UNPROVEN:
            self._on_doubt(key)
        return Opened(reader, writer, ""), status, category


def _askers(holder: Holder) -> dict[str, int]:
    """Who waits for a look-up, and how many each may have at once."""
    if holder.node == CONTROL_PLANE:
        return {holder.machine: REPLICA_LOOK_UPS}
    return {holder.user: UNIT_LOOK_UPS, holder.machine: NODE_LOOK_UPS}


def _status_and_category(head: str) -> tuple[int, Category]:
    first, *fields = head.split("\r\n")
    digits = first.partition(" ")[2][:3]
    status = int(digits) if digits.isdecimal() else 0
    said = [field.partition(":")[2].strip() for field in fields if field.lower().startswith(f"{HEADER.lower()}:")]
    if status == STATUS[Category.UNPROVEN]:
        return status, Category.UNPROVEN
    return status, Category.of("".join(said[:1])) or Category.UNREACHABLE
