"""All views of a worker, kept up with the results stream.

The log and the stream share one coordinate, the id of an entry on the stream: what a view does not know yet is in the
log up to the sink's cursor and on the stream after it. A filter first reads what is left of the stream, so
whoever saw a lead on a WebSocket finds it in the next answer.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from control_plane.errors import Unavailable
from control_plane.store.schema import Position, Sighting, sighting_from_log
from control_plane.store.segments import ColumnCache
from control_plane.store.sink import sightings_of
from control_plane.store.table import ObservationLog
from control_plane.store.view import TenantView
from fleet.cancellation import end_all, to_the_end
from fleet.keys import Keys

READ_ROWS = 2_000
"""Entries read at once: a few MB."""

FOLLOW_S = 0.5
"""How often views are brought up to date while nobody asks, so that who asks finds little left to do."""

IDLE_S = 3_600.0
"""A view that nobody asked for an hour is given up; it is built again for who asks."""

LOAD_ATTEMPTS = 3

LOAD_WAIT_S = 20.0
"""How long a question waits for a view that is being built before it is told to come again."""

log = structlog.get_logger(__name__)


class _NotYet(Unavailable):
    """A view that takes longer to build than a client waits."""

    def __init__(self, done: int, total: int) -> None:
        far = f": {done:,} of {total:,} observations so far" if total else ""
        super().__init__(f"the leads are being read from their table for the first time{far}; try again")


class Views:
    """The views of the tenants that were asked for lately. Close it when it is not followed any more."""

    def __init__(self, redis: Redis, keys: Keys, table: ObservationLog, scratch: Path, memory: int) -> None:
        """``memory`` is in bytes: what is held of all views together, to spare queries the files."""
        self._redis, self._keys, self._table, self._scratch = redis, keys, table, scratch
        self.cache = ColumnCache(memory)
        self._views: dict[str, TenantView] = {}
        self._asked: dict[str, float] = {}
        self._position = Position()
        self._forgotten = "0-0"
        self._lock = asyncio.Lock()
        self._progress: dict[str, tuple[int, int]] = {}
        self._loading: dict[str, asyncio.Task[TenantView]] = {}

    async def of(self, tenant: str) -> TenantView:
        """The tenant's view, up to date with everything that was on the stream when this was called."""
        self._asked[tenant] = time.monotonic()
        async with self._lock:
            await self._catch_up()
            if tenant in self._views:
                return self._views[tenant]
        if tenant not in self._loading:
            self._loading[tenant] = asyncio.create_task(self._add(tenant), name=f"load the view of {tenant}")
            self._loading[tenant].add_done_callback(lambda _: self._loading.pop(tenant, None))
        # Who gives up waiting does not end it: a large view would never be there for anybody.
        loading = self._loading[tenant]
        await asyncio.wait({loading}, timeout=LOAD_WAIT_S)
        if not loading.done():
            raise _NotYet(*self._progress.get(tenant, (0, 0)))
        return loading.result()

    async def follow(self) -> None:
        """Keep the views up to date; cancel it to stop."""
        while True:
            try:
                async with self._lock:
                    await self._catch_up()
                    self._give_up_idle()
            except (RedisError, OSError) as exc:
                log.warning("the views wait for the store", reason=str(exc))
            await asyncio.sleep(FOLLOW_S)

    async def close(self) -> None:
        await end_all(self._loading.values())
        for view in self._views.values():
            view.close()
        self._views.clear()

    def rows(self) -> dict[str, int]:
        """Leads of the views that are held, by tenant."""
        return {tenant: view.height for tenant, view in self._views.items()}

    def _give_up_idle(self) -> None:
        now = time.monotonic()
        for tenant in [tenant for tenant in self._views if now - self._asked[tenant] > IDLE_S]:
            self._views.pop(tenant).close()

    async def _catch_up(self) -> None:
        erasures: Any = await self._redis.xrange(self._keys.erasures(), min=f"({self._forgotten}")
        await self._take_in()
        # Behind the stream: an erasure is about what stood there when it was decided.
        for raw, fields in erasures:
            if view := self._views.get(fields[b"tenant"].decode()):
                await _change(_forget, view, raw, fields)
            self._forgotten = raw.decode()

    async def _take_in(self) -> None:
        while self._views:
            entries, cursor = await self._entries(after=self._position)
            if cursor > self._position:
                await self._read_log()
                continue
            if entries:
                await _change(self._deliver, sightings_of(entries))
                self._position = Position.parse(entries[-1][0])
            if len(entries) < READ_ROWS:
                return

    async def _read_log(self) -> None:
        """Take from the log what was trimmed from the stream before we read it there."""
        stored = await asyncio.to_thread(self._table.stored)
        rows = await asyncio.to_thread(self._table.read, after=self._position, until=stored.position)
        await _change(self._deliver, [sighting_from_log(row) for row in rows.iter_rows(named=True)])
        self._position = max(self._position, stored.position)

    def _note(self, tenant: str, done: int, total: int) -> None:
        self._progress[tenant] = done, total

    async def _add(self, tenant: str) -> TenantView:
        view = await self._load(tenant)
        async with self._lock:
            await self._join(view)
        return view

    async def _load(self, tenant: str) -> TenantView:
        """The view of one tenant as the log has it now. Others are answered meanwhile."""
        for attempt in range(1, LOAD_ATTEMPTS + 1):
            stored = await asyncio.to_thread(self._table.stored)
            scan = await asyncio.to_thread(self._table.scan, tenant, stored.position)
            view = TenantView(tenant, self._scratch, self.cache)
            try:
                await asyncio.to_thread(view.load, scan, stored.position, partial(self._note, tenant))
            except (OSError, pl.exceptions.ComputeError) as exc:
                # a file of the log was deleted under us: it was joined with others, or leads were erased
                view.close()
                if attempt == LOAD_ATTEMPTS:
                    raise OSError(f"the log of {tenant} could not be read: {exc}") from exc
                log.info("a view is built again", tenant=tenant, reason=str(exc))
            except BaseException:
                view.close()
                raise
            else:
                return view
        raise AssertionError("unreachable")

    async def _join(self, view: TenantView) -> None:
        """Bring a new view up to what the others know, and let it follow with them."""
        while True:
            entries, cursor = await self._all_entries(after=view.position)
            if cursor <= view.position:
                break
            stored = await asyncio.to_thread(self._table.stored)
            rows = await asyncio.to_thread(
                self._table.read, tenant=view.tenant, after=view.position, until=stored.position
            )
            await _change(view.apply, [sighting_from_log(row) for row in rows.iter_rows(named=True)])
            view.position = max(view.position, stored.position)
        mine = [sighting for sighting in sightings_of(entries) if sighting.tenant == view.tenant]
        await _change(view.apply, mine)
        reached = max(view.position, Position.parse(entries[-1][0])) if entries else view.position
        if not self._views:
            self._position = reached
        view.position = max(reached, self._position)
        erasures: Any = await self._redis.xrange(self._keys.erasures())
        for raw, fields in erasures:
            if fields[b"tenant"].decode() == view.tenant:  # its rows may still be in the log
                await _change(_forget, view, raw, fields)
        self._views[view.tenant] = view

    def _deliver(self, sightings: Sequence[Sighting]) -> None:
        by_tenant = defaultdict(list)
        for sighting in sightings:
            by_tenant[sighting.tenant].append(sighting)
        for tenant, view in self._views.items():
            view.apply(by_tenant[tenant])

    async def _all_entries(self, after: Position) -> tuple[list[Any], Position]:
        """Everything on the stream after a place, and the sink's cursor no earlier than the last of the reads."""
        found: list[Any] = []
        while True:
            entries, cursor = await self._entries(after)
            found += entries
            if len(entries) < READ_ROWS:
                return found, cursor
            after = Position.parse(entries[-1][0])

    async def _entries(self, after: Position) -> tuple[list[Any], Position]:
        """Entries after a place and the sink's cursor at the same instant: none is missing if that is not beyond."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.xrange(self._keys.results(), min=f"({after}", count=READ_ROWS)
            pipe.hget(self._keys.sink_cursor(), "cursor")
            entries, cursor = await pipe.execute()
        return entries, Position.parse(cursor) if cursor else Position()


async def _change(change: Callable[..., None], *arguments: Any) -> None:
    """Change views in a thread, to the end: a thread cannot be cancelled, and when its caller gave the lock back
    meanwhile, another change would run beside it."""
    await to_the_end(asyncio.to_thread(change, *arguments))


def _forget(view: TenantView, entry: bytes, fields: dict[bytes, bytes]) -> None:
    lead_ids = frozenset(orjson.loads(fields[b"lead_ids"]))
    view.erase(lead_ids, Position.parse(fields[b"until"]), at=Position.parse(entry))
