"""What this replica knows of the parts it depends on: looked at in the background, told without asking anybody."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog
from redis.exceptions import RedisError

from control_plane import telemetry
from control_plane.errors import Problem
from fleet.cancellation import end_all
from fleet.clock import Clock
from fleet.connect import Store
from fleet.keys import Keys

if TYPE_CHECKING:
    from control_plane.store.client import LeadStore

LOOK_EVERY = timedelta(seconds=1)

STALLED_AFTER = timedelta(seconds=5)
"""Every script that frees a slot or queues a unit dispatches at once, and every replica each second: units that can run
and slots that fit them do not stand side by side for so long unless that is broken."""

FIRST_REACH_AFTER = timedelta(seconds=6)
"""Making the worker's S3 client takes 0.7 s of CPU, which a stack that starts on two cores has no room for."""

REACH_EVERY = timedelta(seconds=5)
REACH_LIMIT = timedelta(seconds=3)
"""Of a probe, the way to the worker included. Without an answer by then S3 has not been reached."""

REACH_FAILURES = 2
"""In a row: one lost packet, or a worker that is started again, takes no replica out of service."""

log = structlog.get_logger(__name__)


class Monitor:
    """``async with Monitor(...)``: looks until the block ends. What it says is at most REACH_EVERY + REACH_LIMIT
    old."""

    def __init__(self, client: Store, keys: Keys, store: LeadStore | None, clock: Clock) -> None:
        self._client, self._keys, self._store, self._clock = client, keys, store, clock
        self._stalled_since: float | None = None
        self._failures = 0
        self._reached = False
        self._why = ""
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Monitor:
        self._tasks = [asyncio.create_task(self._watch_dispatch(), name="watch dispatch")]
        if self._store is not None:
            self._tasks.append(asyncio.create_task(self._watch_storage(self._store), name="watch storage"))
        return self

    async def __aexit__(self, *_: object) -> None:
        await end_all(self._tasks)

    @property
    def stalled_s(self) -> float:
        """For how long dispatchable work and a fitting free slot have stood side by side, in seconds."""
        return 0.0 if self._stalled_since is None else self._clock.monotonic() - self._stalled_since

    def dispatch(self) -> dict[str, Any]:
        """``up``, or ``stalled`` and for how long."""
        if self.stalled_s < STALLED_AFTER.total_seconds():
            return {"status": "up"}
        return {"status": "stalled", "seconds": round(self.stalled_s, 1)}

    def storage(self) -> dict[str, Any]:
        """Object storage: ``up``, ``down`` and why, ``unknown`` before the first answer, ``off`` without a leads
        store."""
        if self._store is None:
            return {"status": "off"}
        if self._failures >= REACH_FAILURES:
            return {"status": "down", "detail": self._why}
        return {"status": "up" if self._reached else "unknown"}

    async def look_at_dispatch(self) -> None:
        """Look once. Raises what redis raises; the time of a stall runs on meanwhile."""
        labels = [label.decode() for label in await self._client.smembers(self._keys.labels())]
        async with self._client.pipeline(transaction=True) as pipe:
            for label in labels:
                pipe.zcard(self._keys.ring(label))
                pipe.zcard(self._keys.free(label))
            counts = await pipe.execute() if labels else []
        if any(waiting and free for waiting, free in zip(counts[::2], counts[1::2], strict=True)):
            if self._stalled_since is None:
                self._stalled_since = self._clock.monotonic()
        else:
            self._stalled_since = None
        telemetry.DISPATCH_STALLED.set(self.stalled_s)

    async def look_at_storage(self, store: LeadStore) -> None:
        """Ask S3 once, through the worker. One that is still starting says nothing of S3."""
        if store.starting:
            await store.health()  # whose answer ends the start, whatever ails S3
            if store.starting:
                return
        try:
            await store.reach(REACH_LIMIT.total_seconds())
        except Problem as exc:
            self._failures += 1
            self._why = exc.detail
            if self._failures == REACH_FAILURES:
                log.error("object storage is not reached", reason=exc.detail)
        else:
            if self._failures >= REACH_FAILURES:
                log.info("object storage is reached again")
            self._failures, self._reached = 0, True
        telemetry.STORAGE_UP.set(self._failures < REACH_FAILURES)

    async def _watch_dispatch(self) -> None:
        while True:
            try:
                await self.look_at_dispatch()
            except (RedisError, OSError) as exc:
                log.debug("dispatch was not looked at", reason=str(exc))
            await asyncio.sleep(LOOK_EVERY.total_seconds())

    async def _watch_storage(self, store: LeadStore) -> None:
        await asyncio.sleep(FIRST_REACH_AFTER.total_seconds())
        while True:
            await self.look_at_storage(store)
            await asyncio.sleep(REACH_EVERY.total_seconds())
