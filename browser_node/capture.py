"""Frames of a slot's stage tab, while somebody watches and not a moment longer.

CDP's screencast sends a picture when the page changes and waits for its acknowledgement before it sends many
more, so the pace is set by when a picture is acknowledged. A page that does not change sends nothing: the first
picture is then taken by hand, and the last one is sent again as a sign that the page stands still.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import redis
import structlog
from playwright.async_api import CDPSession, Error, Page

from browser_node.chrome import WINDOW
from fleet.connect import Store
from fleet.messages import Frame

FIRST_PICTURE = timedelta(milliseconds=200)
"""A page that changes has sent a picture by then."""

STILL_EVERY = timedelta(seconds=5)
"""How often the picture of a page that stands still is sent again."""

STREAM_TTL = timedelta(seconds=60)

CDP_TIMEOUT = timedelta(seconds=5)
"""A tab that answers no CDP call for this long is stuck."""

TRY_AGAIN = timedelta(milliseconds=200)
"""A tab that is just leaving one page for another refuses a screencast; one that is gone soon leaves the stage."""

QUALITY = (10, 90)
FPS = (1, 30)
"""What may be asked for: Chrome paints at most 32 pictures of a page a second on two cores."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Stage:
    unit: str
    tab: str
    page: Page


@dataclass(frozen=True, slots=True)
class _Wish:
    quality: int
    fps: int


class SlotCapture:
    """The camera of one slot. `run` does the work; the rest only says what is wanted."""

    def __init__(self) -> None:
        self.seq = 0
        self._stage: _Stage | None = None
        self._wish: _Wish | None = None
        self._until = 0.0
        self._casting = False
        self._changed = asyncio.Event()

    def show(self, unit: str, page: Page, tab: str) -> None:
        """Frames show ``page`` from now on."""
        if self._stage is None or self._stage.page is not page or self._stage.unit != unit:
            self._changed.set()
        self._stage = _Stage(unit, tab, page)

    def clear(self) -> None:
        """The unit is over; there is nothing to show."""
        self._stage = None
        self._changed.set()

    def watch(self, seconds: int, quality: int, fps: int, *, fresh: bool = False) -> None:
        """Capture for ``seconds`` from now, 0 stops; values beyond `QUALITY` and `FPS` are bounded.

        ``fresh`` begins anew, with a picture of now.
        """
        wish = _Wish(_bounded(quality, QUALITY), _bounded(fps, FPS)) if seconds > 0 else None
        self._until = asyncio.get_running_loop().time() + seconds
        # the same wish again is news to a camera that stopped: its watch had run out, or its tab had failed
        if wish != self._wish or fresh or not self._casting:
            self._wish = wish
            self._changed.set()

    @property
    def watched(self) -> bool:
        return self._wish is not None and asyncio.get_running_loop().time() < self._until

    async def run(self, client: Store, stream: str, boot: str) -> None:
        """Append frames to ``stream`` until cancelled. Without a watcher and a stage it only waits."""
        while True:
            self._changed.clear()
            if self._stage is None or self._wish is None or not self.watched:
                await self._changed.wait()
                continue
            sink = _FrameSink(client, stream, boot, self)
            self._casting = True
            try:
                await self._cast(self._stage, self._wish, sink)
            except (Error, TimeoutError) as exc:
                log.debug("screencast_ended", error=str(exc)[:200])
                await self._change(TRY_AGAIN)
            finally:
                self._casting = False

    async def _change(self, limit: timedelta) -> None:
        """Return when something changes, after ``limit`` at the latest."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit.total_seconds()):
                await self._changed.wait()

    async def _cast(self, stage: _Stage, wish: _Wish, sink: _FrameSink) -> None:
        session = await _timed(stage.page.context.new_cdp_session(stage.page))
        try:
            pictures = _Pictures(session)
            await _timed(session.send(
                "Page.startScreencast",
                {"format": "jpeg", "quality": wish.quality, "maxWidth": WINDOW[0], "maxHeight": WINDOW[1]},
            ))  # fmt: skip
            try:
                await self._relay(stage, wish, pictures, sink)
            finally:
                await _if_it_can(session.send("Page.stopScreencast"))
        finally:
            await _if_it_can(session.detach())

    async def _relay(self, stage: _Stage, wish: _Wish, pictures: _Pictures, sink: _FrameSink) -> None:
        """Until the stage or the wish changes, or the last watcher has left."""
        loop = asyncio.get_running_loop()
        patience = FIRST_PICTURE.total_seconds()
        last: _Picture | None = None
        while self.watched and not self._changed.is_set():
            started = loop.time()
            fresh = await self._either(pictures, min(patience, max(0.0, self._until - started)))
            if fresh:
                last = pictures.take()
            elif self._changed.is_set() or not self.watched:
                break
            elif last is None:
                last = await _screenshot(pictures.session, wish.quality)
            await sink.send(stage, last)
            patience = STILL_EVERY.total_seconds()
            rest = 1 / wish.fps - (loop.time() - started)
            if fresh and rest > 0:
                await asyncio.sleep(rest)
            await pictures.acknowledge()

    async def _either(self, pictures: _Pictures, timeout: float) -> bool:
        """Whether a picture came within ``timeout`` seconds, and before anything changed."""
        changed = asyncio.create_task(self._changed.wait())
        arrived = asyncio.create_task(pictures.arrived.wait())
        try:
            await asyncio.wait({changed, arrived}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            return pictures.arrived.is_set() and not self._changed.is_set()
        finally:
            changed.cancel()
            arrived.cancel()


@dataclass(frozen=True, slots=True)
class _Picture:
    jpeg: bytes
    captured_us: int
    width: int
    height: int
    scroll_x: float
    scroll_y: float


class _Pictures:
    """What a screencast sends: only the newest is kept, all are acknowledged together."""

    def __init__(self, session: CDPSession) -> None:
        self.session = session
        self.arrived = asyncio.Event()
        self._newest: tuple[dict[str, Any], int] | None = None
        self._unacknowledged: list[int] = []
        session.on("Page.screencastFrame", self._on_frame)

    def _on_frame(self, frame: dict[str, Any]) -> None:
        self._newest = (frame, time.time_ns() // 1000)
        self._unacknowledged.append(frame["sessionId"])
        self.arrived.set()

    def take(self) -> _Picture:
        assert self._newest is not None
        (frame, captured_us), self._newest = self._newest, None
        self.arrived.clear()
        seen = frame["metadata"]
        return _Picture(
            base64.b64decode(frame["data"]), captured_us, round(seen["deviceWidth"]), round(seen["deviceHeight"]),
            float(seen["scrollOffsetX"]), float(seen["scrollOffsetY"]),
        )  # fmt: skip

    async def acknowledge(self) -> None:
        waiting, self._unacknowledged = self._unacknowledged, []
        for number in waiting:
            await _timed(self.session.send("Page.screencastFrameAck", {"sessionId": number}))


class _FrameSink:
    """Numbers frames and appends them, newest only. A frame the store does not take is dropped."""

    def __init__(self, client: Store, stream: str, boot: str, capture: SlotCapture) -> None:
        self._client, self._stream, self._boot, self._capture = client, stream, boot, capture
        self._renew = 0.0

    async def send(self, stage: _Stage, picture: _Picture) -> None:
        self._capture.seq += 1
        frame = Frame(
            boot=self._boot, unit=stage.unit, tab=stage.tab, seq=self._capture.seq,
            captured_us=picture.captured_us, viewport_width=picture.width, viewport_height=picture.height,
            scroll_x=picture.scroll_x, scroll_y=picture.scroll_y, jpeg=picture.jpeg,
        )  # fmt: skip
        try:
            await self._client.xadd(self._stream, frame.to_fields(), maxlen=1, approximate=False)
            now = time.monotonic()
            if now >= self._renew:
                await self._client.expire(self._stream, STREAM_TTL)
                self._renew = now + STREAM_TTL.total_seconds() / 2
        except (redis.RedisError, OSError) as exc:
            log.debug("frame_dropped", error=str(exc)[:200])


async def _screenshot(session: CDPSession, quality: int) -> _Picture:
    metrics = await _timed(session.send("Page.getLayoutMetrics"))
    shot = await _timed(session.send("Page.captureScreenshot", {"format": "jpeg", "quality": quality}))
    view = metrics["cssLayoutViewport"]
    return _Picture(
        base64.b64decode(shot["data"]), time.time_ns() // 1000, round(view["clientWidth"]),
        round(view["clientHeight"]), float(view["pageX"]), float(view["pageY"]),
    )  # fmt: skip


async def _if_it_can(call: Any) -> None:
    """For the way out: an error of a tab that is gone must not replace a cancellation that is on its way."""
    with contextlib.suppress(Error, TimeoutError):
        await _timed(call)


async def _timed(call: Any) -> Any:
    async with asyncio.timeout(CDP_TIMEOUT.total_seconds()):
        return await call


def _bounded(value: int, limits: tuple[int, int]) -> int:
    return max(limits[0], min(value, limits[1]))
