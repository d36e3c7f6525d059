"""The pictures of one task, for all its viewers on this replica.

The first viewer sets a watch mark, which has the node capture; the mark is renewed while anybody looks. The view
follows the task from slot to slot, keeps the newest picture only, and encodes it once.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from functools import cached_property

import orjson
import structlog
from redis.exceptions import RedisError

from control_plane import telemetry
from control_plane.errors import NotFound
from control_plane.models import Stage
from control_plane.services import Tasks
from control_plane.streams.events import START
from control_plane.streams.reader import Entry, StreamReader
from fleet import ids
from fleet.cancellation import end_all
from fleet.errors import BadMessage, BadName, FleetError
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
    """The newest frame, in the encodings that viewers share."""

    frame: Frame

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
    """The viewers of one task. From the first viewer on it keeps itself in ``views``, until none is left."""

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
        self._viewers: dict[Viewer, tuple[int, int]] = {}
        self._stage: Stage | None = None
        self._followed: str | None = None
        self.picture: Picture | None = None
        self.count = 0
        self.changed = asyncio.Event()
        self._called = asyncio.Event()
        self._watch_due = 0.0
        self._keeper: asyncio.Task[None] | None = None

    def join(self, quality: int, fps: int) -> Viewer:
        """Look at the task: ``quality`` is JPEG's (1 to 100), the best that is asked for is captured. The node is
        asked at once, so that pictures from before are followed by one from now. To be undone with ``leave``."""
        viewer = Viewer(self, fps)
        self._viewers[viewer] = (quality, fps)
        self._watch_due = 0.0
        self._called.set()
        if self._keeper is None:
            self._views[self._task] = self
            self._keeper = asyncio.create_task(self._keep(), name=f"live-view-{self._task}")
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """Wait for nothing: the keeper notices that it was the last viewer, and ends."""
        del self._viewers[viewer]
        if not self._viewers:
            self._called.set()

    async def close(self) -> None:
        """End although there may be viewers."""
        if self._keeper is not None:
            await end_all([self._keeper])

    async def _keep(self) -> None:
        """Follow the task and have it captured while there are viewers; the node stops when the mark has run out.

        Ends by looking, not by being cancelled: redis-py loses a cancellation now and then.
        """
        try:
            while self._viewers:
                self._called.clear()
                try:
                    await self._find_stage()
                    await self._renew()
                except NotFound:
                    self._show(None)
                except (FleetError, RedisError, OSError) as exc:
                    self._watch_due = 0.0
                    log.info("could not renew a watch mark", task=self._task, error=str(exc))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(STAGE_CHECK_S):
                        await self._called.wait()
        finally:
            self._show(None)
            self._keeper = None
            del self._views[self._task]

    async def _find_stage(self) -> None:
        """Follow the task to the slot that shows it, from here on: what the slot showed before is not the task now."""
        stage = await self._queue.stage(self._tenant, self._task)
        if stage == self._stage:
            return
        if stage is None:
            self._show(None)
        else:
            key = self._keys.frames(stage.node, str(stage.index))
            self._show(stage, key, await self._reader.newest(key))
        self._watch_due = 0.0

    async def _renew(self) -> None:
        """Ask for pictures when it is time, or somebody new wants one."""
        now = time.monotonic()
        if self._stage is None or not self._viewers or now < self._watch_due:
            return
        self._watch_due = now + WATCH_RENEWAL_S  # set before asking: who joins meanwhile has it asked again
        quality = max(quality for quality, _ in self._viewers.values())
        fps = max(fps for _, fps in self._viewers.values())
        await self._queue.watch(self._task, self._replica, quality, fps)

    def _show(self, stage: Stage | None, key: str | None = None, after: str = START) -> None:
        self._stage = stage
        if key == self._followed:
            return
        if self._followed is not None:
            self._reader.unfollow(self._followed, self._deliver)
        self._followed = key
        if key is not None:
            self._reader.follow(key, after, self._deliver)

    def _deliver(self, entries: list[Entry]) -> None:
        try:
            frame = Frame.from_fields(entries[-1][1])
            task, _ = ids.split_unit_id(frame.unit)
        except (BadMessage, BadName) as exc:
            log.warning("a frame does not parse", task=self._task, error=str(exc))
            return
        if task != self._task:  # the slot has gone on to somebody else's unit: none of this viewer's business
            return
        self.picture = Picture(frame)
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

    async def fresh(self, timeout: float) -> Picture | None:
        """The first picture that comes from now on; None when ``timeout`` seconds brought none."""
        try:
            async with asyncio.timeout(timeout):
                await self._view.changed.wait()
        except TimeoutError:
            return None
        return self._view.picture
