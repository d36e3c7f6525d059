"""One blocking read over all streams of a kind that a replica's clients follow.

A read that blocks cannot take another key along, so the reader also follows a control stream of its own: an
entry there ends the read, and the next one covers what was added meanwhile.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from control_plane.streams.events import START
from fleet.cancellation import end_all
from fleet.connect import blocking_client
from fleet.keys import Keys
from fleet.messages import Fields

BLOCK = timedelta(seconds=5)
COUNT = 500  # entries of one stream in one answer: bounds memory when a replica was cut off for long
WAKE_TTL = timedelta(hours=1)
RETRY_S = (0.2, 0.8)  # spread: all replicas lose a store at the same moment

Entry = tuple[str, Fields]
Deliver = Callable[[list[Entry]], None]

log = structlog.get_logger(__name__)


class Followed:
    """A stream that is read: everything up to ``position`` has been delivered."""

    def __init__(self, key: str, position: str) -> None:
        self.key, self.position = key, position
        self.receivers: set[Deliver] = set()


class StreamReader:
    """``async with StreamReader(...)``: reads while the block runs."""

    def __init__(self, client: Redis, url: str, keys: Keys, name: str) -> None:
        """``name`` is the reader's own, in the whole fleet."""
        self._client: Any = client  # replies are bytes, which the library's types cannot know
        self._wake_key = keys.wake(name)
        self._blocking = blocking_client(url, name=name, block=BLOCK)
        self._followed: dict[str, Followed] = {}
        self._wake_position = START
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> StreamReader:
        self._tasks = [
            asyncio.create_task(self._read_for_ever(), name="stream-reader"),
            asyncio.create_task(self._wake_for_ever(), name="stream-waker"),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        await end_all(self._tasks)
        await self._blocking.aclose()

    async def newest(self, key: str) -> str:
        """The id of a stream's last entry: followed from there, it brings only what is new."""
        last = await self._client.xrevrange(key, count=1)
        return last[0][0].decode() if last else START

    def follow(self, key: str, after: str, deliver: Deliver) -> Followed:
        """Call ``deliver`` with all entries of a stream behind ``after``; a stream that others follow already
        goes on from its own position instead. ``deliver`` runs in the reader and must not block or raise."""
        followed = self._followed.get(key)
        if followed is None:
            followed = self._followed[key] = Followed(key, after)
            self._changed.set()
        followed.receivers.add(deliver)
        return followed

    def unfollow(self, key: str, deliver: Deliver) -> None:
        """Stop delivering. The read that is under way may cover the stream once more; nobody hears of it."""
        followed = self._followed.get(key)
        if followed is not None:
            followed.receivers.discard(deliver)
            if not followed.receivers:
                del self._followed[key]

    async def _read_for_ever(self) -> None:
        while True:
            try:
                await self._read_once()
            except (RedisError, OSError) as exc:
                log.warning("the stream reader lost the store", error=str(exc))
                await asyncio.sleep(random.uniform(*RETRY_S))  # noqa: S311 - spreads load, guards nothing

    async def _read_once(self) -> None:
        asked = dict(self._followed)
        positions: dict[Any, Any] = {key: followed.position for key, followed in asked.items()}
        positions[self._wake_key] = self._wake_position
        answer: Any = await self._blocking.xread(positions, count=COUNT, block=int(BLOCK.total_seconds() * 1000))
        for raw_key, raw_entries in answer or ():
            key = raw_key.decode()
            entries = [(entry.decode(), fields) for entry, fields in raw_entries]
            if key == self._wake_key:
                self._wake_position = entries[-1][0]
                continue
            followed = self._followed.get(key)
            if followed is None or followed is not asked[key]:  # who follows it again meanwhile began further on
                continue
            followed.position = entries[-1][0]
            for deliver in tuple(followed.receivers):
                deliver(entries)

    async def _wake_for_ever(self) -> None:
        """End the blocking read after every change; changes that come together cost one entry."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                async with self._client.pipeline(transaction=False) as pipe:
                    pipe.xadd(self._wake_key, {"w": "1"}, maxlen=1, approximate=False)
                    pipe.expire(self._wake_key, WAKE_TTL)
                    await pipe.execute()
            except (RedisError, OSError) as exc:
                log.info("could not wake the reader; it looks again by itself", error=str(exc))


class Readers:
    """``async with Readers(...)``: what a replica reads. Events do not wait behind pictures, an answer of which can
    have a MB."""

    def __init__(self, client: Redis, url: str, keys: Keys, replica: str) -> None:
        self.events = StreamReader(client, url, keys, f"{replica}-events")
        self.pictures = StreamReader(client, url, keys, f"{replica}-pictures")

    async def __aenter__(self) -> Readers:
        await self.events.__aenter__()
        await self.pictures.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.events.__aexit__()
        await self.pictures.__aexit__()
