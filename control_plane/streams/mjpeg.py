"""Pictures as ``multipart/x-mixed-replace``, which every browser shows in a plain ``<img>``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from control_plane import telemetry
from control_plane.streams.frames import BOUNDARY, HEARTBEAT_S, Viewer

CONTENT_TYPE = f"multipart/x-mixed-replace; boundary={BOUNDARY.decode()}"
REVOCATION_CHECK_S = 10.0


async def picture_stream(
    looking: AbstractAsyncContextManager[Viewer],
    valid: Callable[[], Awaitable[bool]],
    stopped: asyncio.Event,
    part_headers: bytes = b"",
) -> AsyncIterator[bytes]:
    """The body; ``part_headers`` are lines that each part has besides its own. A client that reads slowly gets the
    picture that is newest when it has room again; when it goes the server cancels this, which ends the watch."""
    async with looking as viewer:
        with telemetry.VIEWERS.labels("mjpeg").track_inprogress():
            yield b"--" + BOUNDARY + b"\r\n"
            checked = time.monotonic()
            shown, shown_at = None, 0.0
            while not stopped.is_set():
                picture = await viewer.next(timeout=1.0)
                now = time.monotonic()
                if picture is not None and (picture is not shown or now - shown_at > HEARTBEAT_S):
                    shown, shown_at = picture, now
                    yield part_headers + picture.part if part_headers else picture.part
                if now - checked > REVOCATION_CHECK_S:
                    checked = now
                    if not await valid():
                        return
