"""The pictures of one task, for all its viewers on this replica.

The first viewer sets a watch mark, which has the node capture; the mark is renewed while anybody looks. The view
follows the task from slot to slot, keeps the newest picture only, and encodes it once.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property

import orjson
import structlog
from redis.exceptions import RedisError

from control_plane import telemetry
from control_plane.errors import NotFound
from control_plane.models import Stage
from control_plane.services import Tasks
from control_plane.streams.reader import Entry, StreamReader
from fleet import ids
from fleet.errors import BadMessage, BadName, StoreUnavailable
from fleet.keys import Keys
from fleet.messages import Frame

BOUNDARY = b"frame"
STAGE_CHECK_S = 0.5  # how late a viewer sees that its task moved to another slot
WATCH_RENEWAL_S = 3.0  # a mark lasts 10 s; two renewals may get lost
HEARTBEAT_S = 10.0
"""A page that does not change sends no pictures; proxies cut what is silent, so the last one is sent again."""

log = structlog.get_logger(__name__)


@dataclass
class Picture:
    """The newest frame, in the encodings that viewers share; ``position`` is its place in the slot's stream."""

    frame: Frame
    position: tuple[int, int]

    @cached_property
    def part(self) -> bytes:
        """One part of ``multipart/x-mixed-replace``. The boundary that ends it comes at once: browsers show a
        part only when they have seen the next boundary."""
        jpeg = self.frame.jpeg
        head = b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg)
        return head + jpeg + b"\r\n--" + BOUNDARY + b"\r\n"

    @cached_property
    def caption(self) -> str:
        """JSON that goes before the picture on a WebSocket: what it shows, for boxes to be drawn on it."""
        frame = self.frame
        return orjson.dumps(
            {
                "type": "frame",
                "seq": frame.seq,
                "unit": frame.unit,
                "tab": frame.tab,
                "captured_us": frame.captured_us,
                "viewport_width": frame.viewport_width,
                "viewport_height": frame.viewport_height,
                "scroll_x": frame.scroll_x,
                "scroll_y": frame.scroll_y,
                "bytes": len(frame.jpeg),
            }
        ).decode()


class LiveView:
    """The viewers of one task. ``views`` is the registry it leaves with its last viewer."""

    def __init__(
        self,
        tenant: str,
        task: str,
        keys: Keys,
        reader: StreamReader,
        queue: Tasks,
        replica: str,
        views: dict[str, LiveView],
    ) -> None:
        self._tenant, self._task, self._keys = tenant, task, keys
        self._reader, self._queue, self._replica, self._views = reader, queue, replica, views
        self._viewers: dict[object, tuple[int, int]] = {}
        self._stage: Stage | None = None
        self._followed: str | None = None
        self.picture: Picture | None = None
        self.count = 0
        self.changed = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._newcomer = False

    @asynccontextmanager
    async def viewer(self, quality: int, fps: int) -> AsyncIterator[Viewer]:
        """Look at the task: ``quality`` is JPEG's (1 to 100), the best that is asked for is captured."""
        mark = object()
        self._viewers[mark] = (quality, fps)
        self._newcomer = True
        self._wake.set()
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep(), name=f"live-view-{self._task}")
        try:
            yield Viewer(self, fps)
        finally:
            del self._viewers[mark]
            if not self._viewers:
                await self.close()

    async def close(self) -> None:
        """Stop watching; the node stops capturing when the mark has run out."""
        self._viewers.clear()
        if self._views.get(self._task) is self:
            del self._views[self._task]
        # Not cancelled: redis-py was seen to swallow that. Woken without viewers, it ends by itself.
        self._wake.set()
        if self._keeper is not None:
            await asyncio.wait({self._keeper})
        self._follow(None)

    async def _keep(self) -> None:
        """Keep the watch mark and follow the task from slot to slot for as long as anybody looks."""
        due = 0.0
        while self._viewers:
            self._wake.clear()
            try:
                moved = await self._find_stage()
                if self._viewers and self._stage is not None and (moved or self._newcomer or time.monotonic() >= due):
                    self._newcomer = False
                    quality = max(quality for quality, _ in self._viewers.values())
                    fps = max(fps for _, fps in self._viewers.values())
                    await self._queue.watch(self._task, self._replica, quality, fps)
                    due = time.monotonic() + WATCH_RENEWAL_S
            except (StoreUnavailable, RedisError, OSError) as exc:
                log.info("could not renew a watch mark", task=self._task, error=str(exc))
            except NotFound:
                self._follow(None)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STAGE_CHECK_S):
                    await self._wake.wait()

    async def _find_stage(self) -> bool:
        """Follow the task to the slot that shows it; True when that is another unit than before."""
        stage = await self._queue.stage(self._tenant, self._task)
        if stage == self._stage:
            return False
        self._stage = stage
        self._follow(None if stage is None else self._keys.frames(stage.node, str(stage.index)))
        return True

    def _follow(self, key: str | None) -> None:
        if key == self._followed:
            return
        if self._followed is not None:
            self._reader.unfollow(self._followed, self._deliver)
        self._followed = key
        if key is not None:
            self._reader.follow(key, "0-0", self._deliver)

    def _deliver(self, entries: list[Entry]) -> None:
        try:
            entry, fields = entries[-1]
            frame = Frame.from_fields(fields)
            task, _ = ids.split_unit_id(frame.unit)
        except (BadMessage, BadName) as exc:
            log.warning("a frame does not parse", task=self._task, error=str(exc))
            return
        if task != self._task:  # the slot has gone on to somebody else's unit: none of this viewer's business
            return
        self.picture = Picture(frame, ids.stream_position(entry) or (0, 0))
        self.count += 1
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()


class Viewer:
    """One viewer's pace: newest picture only, at most ``fps`` a second."""

    def __init__(self, view: LiveView, fps: int) -> None:
        self._view, self._interval = view, 1 / fps
        self._seen = 0
        self._due = 0.0

    async def next(self, timeout: float = HEARTBEAT_S) -> Picture | None:
        """The next picture; after ``timeout`` seconds without one the last again, or None when there is none."""
        await asyncio.sleep(max(0.0, self._due - time.monotonic()))
        view = self._view
        if view.count == self._seen:
            try:
                async with asyncio.timeout(timeout):
                    await view.changed.wait()
            except TimeoutError:
                pass
        if self._seen and view.count > self._seen + 1:
            telemetry.FRAMES_DROPPED.inc(view.count - self._seen - 1)
        self._seen = view.count
        self._due = time.monotonic() + self._interval
        return view.picture

    async def newer_than(self, position: tuple[int, int], timeout: float) -> Picture | None:
        """The first picture behind ``position`` of its stream; None when ``timeout`` seconds brought none."""
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            picture = await self.next(timeout=left)
            if picture is not None and picture.position > position:
                return picture
        return None
