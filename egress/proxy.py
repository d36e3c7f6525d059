"""The proxy: listeners, the connections that they take, and what all of them share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import structlog

from egress.access import PASSED, Access, OnAccess
from egress.connection import ClientReader, Connection, Parts, close
from egress.listeners import Listener, OpenListener, SlotListener
from egress.refused import Refused
from egress.routes import Route
from egress.shares import Limits, Shares
from fleet.refusals import Category

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Totals:
    """Since the start. ``up`` and ``down`` are bytes of connections that have ended."""

    connections: int = 0
    not_passed: int = 0
    up: int = 0
    down: int = 0


class EgressProxy:
    """Listens from `listen` until `stop`. ``on_access`` is called at the end of each connection."""

    def __init__(self, route: Route, limits: Limits, on_access: OnAccess) -> None:
        self.totals = Totals()
        self._route, self._limits, self._on_access = route, limits, on_access
        self._shares = Shares(limits)
        self._parts = Parts(route, self._shares, limits, self._ended)
        self._served: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []

    def slot_listener(self, node: str) -> SlotListener:
        """One for a slot of the agent; `listen` has it listen."""
        return SlotListener(node, self._shares.forget)

    def open_listener(self, secrets: tuple[str, ...]) -> OpenListener:
        """One for whoever proves who they are."""
        return OpenListener(secrets, self._state)

    async def listen(self, listener: Listener, host: str = "127.0.0.1", port: int = 0) -> str:
        """Returns ``host:port``, which is the listener's address from then on. Raises OSError."""

        def accept() -> asyncio.StreamReaderProtocol:
            reader = ClientReader()
            return asyncio.StreamReaderProtocol(reader, lambda _, writer: self._accept(listener, reader, writer))

        server = await asyncio.get_running_loop().create_server(accept, host, port)
        self._servers.append(server)
        bound, at = server.sockets[0].getsockname()[:2]
        listener.address = f"[{bound}]:{at}" if ":" in bound else f"{bound}:{at}"
        return listener.address

    async def drain(self, limit: timedelta) -> None:
        """Take no more connections; return when those that are open have ended, or after ``limit``."""
        for server in self._servers:
            server.close()
        if self._served:
            await asyncio.wait(self._served, timeout=limit.total_seconds())

    async def stop(self) -> None:
        """Close the ports and every connection."""
        for server in self._servers:
            server.close()
        for task in self._served:
            task.cancel()
        await asyncio.gather(*self._served, return_exceptions=True)
        self._route.close()

    def _state(self) -> dict[str, str | int]:
        totals = self.totals
        return {
            "status": "ready" if all(server.is_serving() for server in self._servers) else "draining",
            "open": len(self._served),
            "units": len(self._shares),
            "connections": totals.connections,
            "not_passed": totals.not_passed,
            "up": totals.up,
            "down": totals.down,
        }

    async def _accept(self, listener: Listener, reader: ClientReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._served.add(task)
        peer = str((writer.get_extra_info("peername") or ("",))[0])
        try:
            if len(self._served) > self._limits.connections:
                writer.write(Refused(Category.FULL, "too many connections").answer())
                await close(writer)
                return
            connection = Connection(self._parts, listener, reader, writer)
            listener.enter(connection, peer)
            try:
                await connection.serve()
            finally:
                listener.leave(connection)
        except asyncio.CancelledError:
            pass  # `stop`: the connection goes with the proxy
        except Exception:
            log.exception("connection_failed")  # a fault of ours costs one connection
        finally:
            self._served.discard(task)

    def _ended(self, access: Access) -> None:
        totals = self.totals
        totals.connections += 1
        totals.not_passed += access.verdict != PASSED
        totals.up += access.up
        totals.down += access.down
        self._on_access(access)
