"""Events as Server-Sent Events."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable

from control_plane.streams.events import array, retry_ms
from control_plane.streams.hub import Hub

PING_S = 15.0
REVOCATION_CHECK_S = 10.0


async def event_stream(
    hub: Hub,
    task: str,
    asked: tuple[int, int] | None,
    valid: Callable[[], Awaitable[bool]],
    batch_s: float = 0.0,
) -> AsyncIterator[bytes]:
    """The body: what happened in a task behind ``asked``, and what happens; with ``batch_s``, a message is an array of
    all that came within so many seconds. Ends when the key is revoked or the replica stops; the server cancels it when
    the client goes. A body that is never sent follows nothing."""
    stopped = hub.stopped
    tail, start = await hub.tail(task, asked, None)
    try:
        yield b"retry: %d\n\n" % retry_ms()
        if start.gap:
            yield _message(start.after, f'{{"type":"gap","id":"{start.after}"}}')
        checked = pinged = time.monotonic()
        while not stopped.is_set():
            # Short waits notice a stop and a revocation; they cost one timer a second.
            events = await tail.next(timeout=1.0, gather_s=batch_s)
            if events and batch_s:
                yield _message(events[-1].id, array(events))
            elif events:
                yield b"".join(_message(event.id, event.text) for event in events)
            now = time.monotonic()
            if events or now - pinged > PING_S:
                pinged = now
                if not events:
                    yield b": ping\n\n"
            if now - checked > REVOCATION_CHECK_S:
                checked = now
                if not await valid():
                    return
    finally:
        tail.close()


def _message(identifier: str, text: str) -> bytes:
    return f"id: {identifier}\ndata: {text}\n\n".encode()
