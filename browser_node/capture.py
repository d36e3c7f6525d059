"""Frames of a slot's stage tab, while somebody watches and not a moment longer.

CDP's screencast sends a picture when the page changes and waits for its acknowledgement before it sends many
more, so the pace is set by when a picture is acknowledged. About a page that stands still it says nothing, nor does
it make up for a picture that it dropped; but begun again it sends one at once, whatever the page is busy with. A
screenshot is no substitute: it waits for the page's main thread, and what goes with it for a navigation to end.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import math
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

PATIENCE = timedelta(milliseconds=100)
"""How long a picture that is due is waited for before the screencast is begun again: a page that changes sends one
within this on a machine with time."""

FIRST_PICTURE = timedelta(seconds=1)
"""When a screencast that was begun and sent nothing is begun again. It sends within 50 ms, on busy cores within 0.5 s;
begun again sooner it might never get there."""

MAY_DROP = 3
"""After this many pictures a last one may be missing: Chrome drops what comes while three are not acknowledged."""

RETRY_AFTER = timedelta(milliseconds=500)
"""How long a tab that failed is left alone: a stage that comes instead is shown at once."""

DRAWN_WITHIN = timedelta(milliseconds=50)
"""Chrome draws what it has laid out within two of 60 frames a second; a picture captured sooner may not show it."""

PICTURE_WITHIN = timedelta(seconds=2)
"""How long a page is held for the picture that its boxes belong to. It takes 0.15 s; busy cores take longer."""

SAME_SCROLL_PX = 1.5

STREAM_TTL = timedelta(seconds=60)

CDP_TIMEOUT = timedelta(seconds=5)
"""A tab that answers no CDP call for this long is stuck; capture starts afresh."""

PARTING = timedelta(milliseconds=200)
"""How long the end of a screencast is waited for. Detaching waits for a navigation that is under way, for as long as
a site may take to answer; what was said is done by the driver all the same, and the next screencast need not wait."""

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


@dataclass(frozen=True, slots=True)
class _Question:
    """Who waits for a picture of ``page`` that was captured after ``since`` (Unix time) at ``scroll``."""

    page: Page
    scroll: tuple[float, float]
    since: float
    seq: asyncio.Future[int]

    def is_answered_by(self, stage: _Stage, picture: _Picture) -> bool:
        moved = (picture.scroll_x - self.scroll[0], picture.scroll_y - self.scroll[1])
        is_there = all(abs(part) <= SAME_SCROLL_PX for part in moved)
        return stage.page is self.page and picture.drawn >= self.since and is_there

    def answer(self, seq: int) -> None:
        if not self.seq.done():
            self.seq.set_result(seq)


class SlotCapture:
    """The camera of one slot. `run` does the work; the rest only says what is wanted."""

    def __init__(self) -> None:
        self.seq = 0
        self._stage: _Stage | None = None
        self._wish: _Wish | None = None
        self._until = 0.0
        self._asked = 0.0
        self._due = math.inf
        self._question: _Question | None = None
        self._sent: tuple[int, Page] | None = None
        self._went_out = asyncio.Event()
        self._news = asyncio.Event()  # says only that it is worth looking again: all that counts is state

    def show(self, unit: str, page: Page, tab: str) -> None:
        """Frames show ``page`` from now on."""
        self._stage = _Stage(unit, tab, page)
        self._no_picture()
        self._news.set()

    def clear(self) -> None:
        """The unit is over; there is nothing to show."""
        self._stage = self._sent = None
        self._no_picture()
        self._news.set()

    def watch(self, seconds: int, quality: int, fps: int) -> None:
        """Capture for ``seconds`` from now, 0 stops; values beyond `QUALITY` and `FPS` are bounded.

        Whoever asks gets a picture that came after the question, also of a page that stands still.
        """
        self._asked = now = asyncio.get_running_loop().time()
        self._wish = _Wish(_bounded(quality, QUALITY), _bounded(fps, FPS)) if seconds > 0 else None
        self._until = now + seconds
        self._due = min(self._due, now + PATIENCE.total_seconds())
        self._news.set()

    async def picture(self, page: Page, scroll: tuple[float, float]) -> int:
        """The ``seq`` of a frame of ``page`` at ``scroll`` (CSS pixels) that shows what is laid out now, once it is in
        the stream; 0 when nobody watches, another page is on stage, or none came within `PICTURE_WITHIN`."""
        if not self.watched or self._stage is None or self._stage.page is not page:
            return 0
        loop = asyncio.get_running_loop()
        since = time.time() + DRAWN_WITHIN.total_seconds()
        self._question = question = _Question(page, scroll, since, loop.create_future())
        self._due = min(self._due, loop.time() + PATIENCE.total_seconds())
        self._news.set()
        try:
            return await asyncio.wait_for(question.seq, PICTURE_WITHIN.total_seconds())
        except TimeoutError:
            return 0
        finally:
            self._question = None

    async def next_picture(self, after: int) -> tuple[int, Page]:
        """The ``seq`` of the newest frame in the stream and what it shows, once it is beyond ``after``."""
        while self._sent is None or self._sent[0] <= after:
            self._went_out.clear()
            await self._went_out.wait()
        return self._sent

    def _no_picture(self) -> None:
        if self._question is not None:
            self._question.answer(0)

    @property
    def watched(self) -> bool:
        return self._wish is not None and asyncio.get_running_loop().time() < self._until

    async def run(self, client: Store, stream: str, boot: str) -> None:
        """Append frames to ``stream`` until cancelled. Without a watcher and a stage it only waits."""
        while True:
            stage, wish = self._stage, self._wish
            if stage is None or wish is None or not self.watched:
                await self._hear(math.inf)
                continue
            try:
                await self._cast(stage, wish, _FrameSink(client, stream, boot, self))
            except (Error, TimeoutError) as exc:  # the tab is gone or stuck
                log.debug("screencast_ended", error=str(exc)[:200])
                await self._stay(stage, wish, RETRY_AFTER.total_seconds())

    async def _cast(self, stage: _Stage, wish: _Wish, sink: _FrameSink) -> None:
        session = await _timed(stage.page.context.new_cdp_session(stage.page))
        try:
            pictures = _Pictures(session, self._news, wish.quality)
            await pictures.begin()
            try:
                await self._relay(stage, wish, pictures, sink)
            finally:
                await _if_it_can(session.send("Page.stopScreencast"))
        finally:
            await _if_it_can(session.detach())

    async def _relay(self, stage: _Stage, wish: _Wish, pictures: _Pictures, sink: _FrameSink) -> None:
        """Until the stage or the wish changes, or the last watcher has left."""
        loop = asyncio.get_running_loop()
        self._due = loop.time() + FIRST_PICTURE.total_seconds()
        while self._wanted(stage, wish):
            if pictures.waiting:
                taken = loop.time()
                if pictures.arrived >= self._asked:
                    self._due = math.inf
                picture = pictures.take()
                if await sink.send(stage, picture):
                    self._sent = (self.seq, stage.page)
                    self._went_out.set()
                    self._answer(stage, picture)
                await self._stay(stage, wish, taken + 1 / wish.fps - loop.time(), unless_awaited=True)
                await pictures.acknowledge()
                if pictures.in_a_row >= MAY_DROP:
                    self._due = min(self._due, loop.time() + PATIENCE.total_seconds())
            elif loop.time() >= self._due:
                self._due = loop.time() + FIRST_PICTURE.total_seconds()
                await pictures.begin_again()
            else:
                await self._hear(min(self._due, self._until) - loop.time())

    def _answer(self, stage: _Stage, picture: _Picture) -> None:
        """Tell who waits for this picture; another one is due when it is not what they wait for."""
        if self._question is None:
            return
        if self._question.is_answered_by(stage, picture):
            self._question.answer(self.seq)
        else:
            self._due = min(self._due, asyncio.get_running_loop().time() + PATIENCE.total_seconds())

    def _wanted(self, stage: _Stage, wish: _Wish) -> bool:
        return self.watched and (self._stage, self._wish) == (stage, wish)

    async def _stay(self, stage: _Stage, wish: _Wish, seconds: float, *, unless_awaited: bool = False) -> None:
        """Wait for ``seconds``, or until something else is wanted, or a page is held for its picture."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while self._wanted(stage, wish) and (left := end - loop.time()) > 0:
            if unless_awaited and self._question is not None and not self._question.seq.done():
                return
            await self._hear(min(left, self._until - loop.time()))

    async def _hear(self, seconds: float) -> None:
        """Wait for news, at most ``seconds``; the caller has looked at the state in this very step."""
        self._news.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if seconds == math.inf else seconds):
                await self._news.wait()


@dataclass(frozen=True, slots=True)
class _Picture:
    jpeg: bytes
    captured_us: int
    drawn: float
    """When it was captured, Unix time by Chrome's clock, which is this machine's."""
    width: int
    height: int
    scroll_x: float
    scroll_y: float


class _Pictures:
    """What a screencast sends: only the newest is kept, all are acknowledged together."""

    def __init__(self, session: CDPSession, news: asyncio.Event, quality: int) -> None:
        self.in_a_row = 0
        """Pictures since the screencast began."""
        self.arrived = 0.0
        """When the newest came, in the loop's time."""
        self._session, self._news, self._quality = session, news, quality
        self._unacknowledged: list[int] = []
        self._newest: tuple[dict[str, Any], int] | None = None
        session.on("Page.screencastFrame", self._on_frame)

    async def begin(self) -> None:
        self.in_a_row = 0
        wanted = {"format": "jpeg", "quality": self._quality, "maxWidth": WINDOW[0], "maxHeight": WINDOW[1]}
        await _timed(self._session.send("Page.startScreencast", wanted))

    async def begin_again(self) -> None:
        await _timed(self._session.send("Page.stopScreencast"))
        await self.begin()

    @property
    def waiting(self) -> bool:
        return self._newest is not None

    def _on_frame(self, frame: dict[str, Any]) -> None:
        self._newest, self.arrived = (frame, time.time_ns() // 1000), asyncio.get_running_loop().time()
        self._unacknowledged.append(frame["sessionId"])
        self.in_a_row += 1
        self._news.set()

    def take(self) -> _Picture:
        assert self._newest is not None
        (frame, captured_us), self._newest = self._newest, None
        seen = frame["metadata"]
        return _Picture(
            base64.b64decode(frame["data"]), captured_us, float(seen.get("timestamp", 0)),
            round(seen["deviceWidth"]), round(seen["deviceHeight"]),
            float(seen["scrollOffsetX"]), float(seen["scrollOffsetY"]),
        )  # fmt: skip

    async def acknowledge(self) -> None:
        waiting, self._unacknowledged = self._unacknowledged, []
        for number in waiting:
            await _timed(self._session.send("Page.screencastFrameAck", {"sessionId": number}))


class _FrameSink:
    """Numbers frames and appends them, newest only. A frame the store does not take is dropped."""

    def __init__(self, client: Store, stream: str, boot: str, capture: SlotCapture) -> None:
        self._client, self._stream, self._boot, self._capture = client, stream, boot, capture
        self._renew = 0.0

    async def send(self, stage: _Stage, picture: _Picture) -> bool:
        """Whether the store took it."""
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
            return False
        return True


async def _if_it_can(call: Any) -> None:
    """For the way out: an error of a tab that is gone must not replace a cancellation that is on its way."""
    with contextlib.suppress(Error, TimeoutError):
        await _timed(call, PARTING)


async def _timed(call: Any, limit: timedelta = CDP_TIMEOUT) -> Any:
    async with asyncio.timeout(limit.total_seconds()):
        return await call


def _bounded(value: int, limits: tuple[int, int]) -> int:
    return max(limits[0], min(value, limits[1]))
