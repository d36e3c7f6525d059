"""Events and pictures over WebSockets: bounded in memory, ended when nobody reads, a key is revoked or we stop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import orjson
from quart import websocket
from redis.exceptions import RedisError

from control_plane import telemetry
from control_plane.auth import offered_subprotocol
from control_plane.errors import Problem
from control_plane.streams.events import Resume, array, retry_ms
from control_plane.streams.frames import Viewer
from control_plane.streams.hub import Tail
from fleet.cancellation import end_all
from fleet.errors import FleetError

WRITE_TIMEOUT_S = 6.0
"""How long one message may take to leave; what is stuck longer is cut."""

REVOCATION_CHECK_S = 10.0
MAX_PONGS = 16  # pings answered at most when they come faster than pongs leave

GOING_AWAY, POLICY, RESTART = 1001, 1008, 1012
COME_AGAIN = "connect again, behind the last message you saw"

STORE_ERRORS = (RedisError, FleetError, Problem)
"""What a part raises that asks the store in vain."""

StillValid = Callable[[], Awaitable[bool]]
Hear = Callable[["Socket", str], Awaitable[None]]


class Socket:
    """The current WebSocket: one writer at a time, each message with a deadline."""

    def __init__(self, valid: StillValid, stopped: asyncio.Event, hear: Hear | None = None) -> None:
        """``hear`` is told what the client says, other than pings."""
        self._valid, self._stopped, self._hear = valid, stopped, hear
        self._lock = asyncio.Lock()
        self._closed = False
        self._pings = 0
        self._pinged = asyncio.Event()

    async def send(self, message: str | bytes) -> None:
        """Raises TimeoutError when the client does not take it. What comes after our closing is not sent."""
        async with self._lock, asyncio.timeout(WRITE_TIMEOUT_S):
            if not self._closed:
                await websocket.send(message)

    async def send_json(self, message: dict[str, Any]) -> None:
        """As ``send``."""
        await self.send(orjson.dumps(message).decode())

    async def close(self, code: int, reason: str) -> None:
        """Say goodbye. Nothing may follow it, and the parts that send are still at work."""
        async with self._lock, asyncio.timeout(WRITE_TIMEOUT_S):
            self._closed = True
            await websocket.close(code, reason)

    async def run(self, sending: Coroutine[Any, Any, None], message: str, start: str | None, **more: Any) -> None:
        """Accept, say ``connected`` (and ``more``), and send until the client leaves or must."""
        await websocket.accept(subprotocol=offered_subprotocol())
        greeting: dict[str, Any] = {"type": "connected", "message": message, "retry_ms": retry_ms(), **more}
        greeting |= {} if start is None else {"id": start}
        await self.send_json(greeting)
        parts = [sending, self._listen(), self._answer_pings(), self._watch_key(), self._watch_stop()]
        tasks = [asyncio.create_task(part) for part in parts]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end_all(tasks)
        for task in done:
            failure = task.exception()
            if isinstance(failure, TimeoutError):
                telemetry.STREAMS_CUT.labels("slow").inc()
            elif isinstance(failure, STORE_ERRORS):
                telemetry.STREAMS_CUT.labels("store").inc()
                await self.close(RESTART, COME_AGAIN)
            elif failure is not None:
                raise failure

    async def _listen(self) -> None:
        """Read all that comes, at once, so that nothing piles up before us."""
        while True:
            said = await websocket.receive()
            if said == "ping":
                self._pings = min(MAX_PONGS, self._pings + 1)
                self._pinged.set()
            elif self._hear is not None:
                await self._hear(self, said if isinstance(said, str) else "")

    async def _answer_pings(self) -> None:
        while True:
            await self._pinged.wait()
            self._pinged.clear()
            while self._pings:
                self._pings -= 1
                await self.send('{"type":"pong"}')

    async def _watch_key(self) -> None:
        while await self._valid():  # noqa: ASYNC110 - asks the store, which sets no event of ours
            await asyncio.sleep(REVOCATION_CHECK_S)
        telemetry.STREAMS_CUT.labels("revoked").inc()
        await self.close(POLICY, "the key was revoked")

    async def _watch_stop(self) -> None:
        await self._stopped.wait()
        await self.close(RESTART, COME_AGAIN)


async def send_events(socket: Socket, tail: Tail, start: Resume, batch_s: float = 0.0) -> None:
    """A message an event; with ``batch_s`` an array of all that came within so many seconds."""
    if start.gap:
        await socket.send_json({"type": "gap", "id": start.after})
    while True:
        events = await tail.next(gather_s=batch_s)
        for message in [array(events)] if batch_s else [event.text for event in events]:
            await socket.send(message)


async def send_pictures(socket: Socket, viewer: Viewer) -> None:
    """A text message that says what the picture shows, then the JPEG as a binary one."""
    while True:
        picture = await viewer.next()
        if picture is not None:
            await socket.send(picture.caption)
            await socket.send(picture.frame.jpeg)
