"""Fan-out of a task's events and pictures to this replica's clients, in bounded memory.

The stream in Valkey is the truth and the queue of a client only a short cut: a client that is new, came back or
fell behind reads the stream itself until it has caught up with the reader's position, and takes the live queue
from there. That hand-over happens in one step of the event loop, so it leaves no hole and repeats nothing.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from control_plane import telemetry
from control_plane.services import Tasks
from control_plane.streams.events import Event, Extent, Resume, position_text, resume
from control_plane.streams.frames import LiveView, Viewer
from control_plane.streams.reader import Entry, Followed, Readers
from fleet import ids
from fleet.keys import Keys

QUEUE = 256
"""Live events a client may lag behind before it reads from the store again: a few hundred KB at most."""

PAGE = 200
BOXES_LOOKED_AT = 2_000  # events searched, newest first, for the boxes of a picture


class Hub:
    """Who listens to what on this replica."""

    def __init__(self, client: Redis, keys: Keys, readers: Readers, queue: Tasks, replica: str) -> None:
        self._client: Any = client  # replies are bytes, which the library's types cannot know
        self._keys, self._readers, self._queue = keys, readers, queue
        self._replica = replica
        self._topics: dict[str, Topic] = {}
        self._views: dict[str, LiveView] = {}
        self.stopped = asyncio.Event()
        """Set when the streams that began with it are to end."""

    async def __aenter__(self) -> Hub:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop()
        await asyncio.gather(*(view.close() for view in tuple(self._views.values())))

    def stop(self) -> None:
        """Tell all streams to end: this replica is going."""
        self.stopped.set()

    def restart(self) -> None:
        """End all streams there are: the store may have lost what their clients saw. They come back and are told."""
        if not self.stopped.is_set():
            self.stopped.set()
            self.stopped = asyncio.Event()

    async def tail(self, task: str, asked: tuple[int, int] | None, kinds: frozenset[str] | None) -> tuple[Tail, Resume]:
        """Follow a task's events from behind ``asked``; ``close`` the tail when done."""
        key = self._keys.events(task)
        start = resume(asked, await self._extent(key, asked))
        topic = self._topics.get(key)
        if topic is None:
            newest = await self._readers.events.newest(key)
            topic = self._topics.get(key)
            if topic is None:
                topic = self._topics[key] = Topic()
                topic.followed = self._readers.events.follow(key, newest, topic.deliver)
        tail = Tail(self._client, topic, start.after, kinds, self._leave)
        topic.tails.add(tail)
        return tail, start

    @asynccontextmanager
    async def viewer(self, tenant: str, task: str, quality: int, fps: int) -> AsyncIterator[Viewer]:
        """Looks at the pictures of a task of ``tenant``: JPEG ``quality`` 1 to 100, ``fps`` a second at most."""
        view = self._views.get(task)
        if view is None:
            view = LiveView(tenant, task, self._keys, self._readers.pictures, self._queue, self._replica, self._views)
        viewer = view.join(quality, fps)
        try:
            yield viewer
        finally:
            view.leave(viewer)

    async def phone_boxes(self, task: str) -> list[dict[str, Any]]:
        """Boxes of the newest events, newest first: ``{phone, selector, coordinates}``."""
        newest = await self._client.xrevrange(self._keys.events(task), count=BOXES_LOOKED_AT)
        boxes: list[dict[str, Any]] = []
        for raw_id, fields in newest:
            event = Event.from_fields(raw_id.decode(), fields)
            if event.kind == "coordinates":
                boxes.extend(box for box in event.data.get("boxes", []) if isinstance(box, dict))
        return boxes

    async def _extent(self, key: str, asked: tuple[int, int] | None) -> Extent | None:
        try:
            info = await self._client.xinfo_stream(key)
        except ResponseError as exc:
            if "no such key" in str(exc):
                return None
            raise
        first, last = info["first-entry"], ids.stream_position(info["last-generated-id"].decode())
        assert last is not None
        oldest = ids.stream_position(first[0].decode()) if first else last
        there = asked is not None and await self._is_accounted_for(key, asked, info)
        return Extent(oldest or last, last, trimmed=info["entries-added"] > info["length"], there=there)

    async def _is_accounted_for(self, key: str, asked: tuple[int, int], info: dict[str, Any]) -> bool:
        """Whether an event is there, or may be one of those that were erased."""
        erased = ids.stream_position(info["max-deleted-entry-id"].decode())
        if erased is not None and asked <= erased:
            return True
        at = position_text(asked)
        return bool(await self._client.xrange(key, at, at))

    def _leave(self, topic: Topic) -> None:
        assert topic.followed is not None
        if not topic.tails and self._topics.pop(topic.followed.key, None) is not None:
            self._readers.events.unfollow(topic.followed.key, topic.deliver)


class Topic:
    """The local followers of one event stream."""

    def __init__(self) -> None:
        self.tails: set[Tail] = set()
        self.followed: Followed | None = None

    @property
    def position(self) -> str:
        assert self.followed is not None
        return self.followed.position

    def deliver(self, entries: list[Entry]) -> None:
        now = time.time()
        for entry, fields in entries:
            event = Event.from_fields(entry, fields)
            telemetry.EVENT_SECONDS.observe(max(0.0, now - event.milliseconds / 1000))
            for tail in self.tails:
                tail.put(event)


class Tail:
    """One client's place in a task's events."""

    def __init__(self, client: Redis, topic: Topic, after: str, kinds: frozenset[str] | None, leave: Any) -> None:
        self._client: Any = client
        self._topic, self._kinds, self._leave = topic, kinds, leave
        self._sent = after
        self._queue: deque[Event] = deque()
        self._arrived = asyncio.Event()
        self._behind = True
        self._until: str | None = None
        self._phase = random.random()  # noqa: S311 - spreads load, guards nothing

    def put(self, event: Event) -> None:
        """Called by the reader for every live event; never blocks."""
        if self._kinds is not None and event.kind not in self._kinds:
            return
        if len(self._queue) >= QUEUE:
            self._queue.clear()
            self._behind, self._until = True, None
        else:
            self._queue.append(event)
        self._arrived.set()

    async def next(self, timeout: float | None = None, gather_s: float = 0.0) -> list[Event]:
        """The events that come next, at least one; an empty list when ``timeout`` seconds brought none.

        With ``gather_s``, all that came since this client's last beat: it has one every so many seconds, at moments
        of its own, so that a thousand clients of one task are not all due at once. What happened before is not waited
        for.
        """
        while True:
            if self._behind:
                events = await self._read_page()
            elif self._queue:
                events = list(self._queue)
                self._queue.clear()
            else:
                self._arrived.clear()
                try:
                    async with asyncio.timeout(timeout):
                        await self._arrived.wait()
                except TimeoutError:
                    return []
                continue
            if events:
                if gather_s and not self._behind:
                    await asyncio.sleep(gather_s - (time.monotonic() + self._phase * gather_s) % gather_s)
                    if not self._behind:  # else more came than the queue holds: they are read from the store
                        events += self._queue
                        self._queue.clear()
                self._sent = events[-1].id
                return events

    def close(self) -> None:
        self._topic.tails.discard(self)
        self._leave(self._topic)

    async def _read_page(self) -> list[Event]:
        """The next page from the store, up to where the live queue begins."""
        if self._until is None:
            self._queue.clear()
            self._until = self._topic.position
        until = self._until
        page = await self._client.xrange(self._topic_key(), f"({self._sent}", until, count=PAGE)
        if page:
            self._sent = page[-1][0].decode()
        # When the queue overflowed during the read, ``put`` has cleared ``_until``: another round is due.
        if len(page) < PAGE and self._until is not None:
            self._behind = False
        events = [Event.from_fields(entry.decode(), fields) for entry, fields in page]
        return [event for event in events if self._kinds is None or event.kind in self._kinds]

    def _topic_key(self) -> str:
        assert self._topic.followed is not None
        return self._topic.followed.key
