"""All views of a worker, kept up with the results stream.

The log and the stream share one coordinate, the id of an entry on the stream: what a view does not know yet is in the
log up to the sink's cursor and on the stream after it. A filter first reads what is left of the stream, so
whoever saw a lead on a WebSocket finds it in the next answer.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import orjson
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from control_plane.store.schema import Position, Sighting, sighting_from_log
from control_plane.store.sink import sightings_of
from control_plane.store.table import ObservationLog
from control_plane.store.view import TenantView
from fleet.keys import Keys

READ_ROWS = 2_000
"""Entries read at once: a few MB."""

FOLLOW_S = 0.5
"""How often views are brought up to date while nobody asks, so that who asks finds little left to do."""

log = structlog.get_logger(__name__)


class Views:
    """The views of the tenants that were asked for since the worker started."""

    def __init__(self, redis: Redis, keys: Keys, table: ObservationLog) -> None:
        self._redis, self._keys, self._table = redis, keys, table
        self._views: dict[str, TenantView] = {}
        self._position = Position()
        self._forgotten = "0-0"
        self._lock = asyncio.Lock()

    async def of(self, tenant: str) -> TenantView:
        """The tenant's view, up to date with everything that was on the stream when this was called."""
        async with self._lock:
            await self._catch_up()
            if tenant not in self._views:
                self._views[tenant] = await self._load(tenant)
            return self._views[tenant]

    async def follow(self) -> None:
        """Keep the views up to date; cancel it to stop."""
        while True:
            try:
                async with self._lock:
                    await self._catch_up()
            except (RedisError, OSError) as exc:
                log.warning("the views wait for the store", reason=str(exc))
            await asyncio.sleep(FOLLOW_S)

    def rows(self) -> dict[str, int]:
        """Rows held in memory, by tenant."""
        return {tenant: view.frame.height for tenant, view in self._views.items()}

    async def _catch_up(self) -> None:
        erasures: Any = await self._redis.xrange(self._keys.erasures(), min=f"({self._forgotten}")
        await self._take_in()
        # Behind the stream: an erasure is about what stood there when it was decided.
        for raw, fields in erasures:
            if view := self._views.get(fields[b"tenant"].decode()):
                await asyncio.to_thread(_forget, view, raw, fields)
            self._forgotten = raw.decode()

    async def _take_in(self) -> None:
        while self._views:
            entries, cursor = await self._entries(after=self._position)
            if cursor > self._position:
                await self._read_log()
                continue
            if entries:
                await asyncio.to_thread(self._deliver, sightings_of(entries))
                self._position = Position.parse(entries[-1][0])
            if len(entries) < READ_ROWS:
                return

    async def _read_log(self) -> None:
        """Take from the log what was trimmed from the stream before we read it there."""
        stored = await asyncio.to_thread(self._table.stored)
        rows = await asyncio.to_thread(self._table.read, after=self._position, until=stored.position)
        await asyncio.to_thread(self._deliver, [sighting_from_log(row) for row in rows.iter_rows(named=True)])
        self._position = max(self._position, stored.position)

    async def _load(self, tenant: str) -> TenantView:
        """The view of one tenant as of our place on the stream: the log, and what the stream has beyond it."""
        while True:
            stored = await asyncio.to_thread(self._table.stored)
            entries, cursor = await self._all_entries(after=stored.position)
            if cursor <= stored.position:
                break
        view = TenantView(tenant)
        rows = await asyncio.to_thread(self._table.read, tenant=tenant, after=Position(), until=stored.position)
        await asyncio.to_thread(view.load, rows, stored.position)
        mine = [sighting for sighting in sightings_of(entries) if sighting.tenant == tenant]
        await asyncio.to_thread(view.apply, mine)
        if not self._views:
            self._position = view.position
        view.position = max(view.position, self._position)
        erasures: Any = await self._redis.xrange(self._keys.erasures())
        for raw, fields in erasures:
            if fields[b"tenant"].decode() == tenant:  # its rows may still be in the log
                await asyncio.to_thread(_forget, view, raw, fields)
        return view

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


def _forget(view: TenantView, entry: bytes, fields: dict[bytes, bytes]) -> None:
    lead_ids = frozenset(orjson.loads(fields[b"lead_ids"]))
    view.erase(lead_ids, Position.parse(fields[b"until"]), at=Position.parse(entry))
