"""The sink: moves results from the stream into the observation log, and looks after the log.

Every worker runs one and one of them holds the lease, which spares the others the work. What makes a batch stored once
is the log itself (see ``table``): a sink that lost its lease without noticing is refused its commit. The stream is
trimmed only after the commit, so at any instant an entry is on the stream, in the log, or (between the two steps) in
both, with the log saying so. What else changes the log (erasing, joining files) is done by the same one, in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

import polars as pl
import structlog
from pydantic import ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from control_plane.store import scripts
from control_plane.store.schema import LOG_SCHEMA, Position, Sighting, frame_of, log_row, sighting_of
from control_plane.store.table import BatchTaken, ObservationLog, Stored
from fleet.cancellation import end_all, to_the_end
from fleet.keys import Keys

BATCH_ROWS = 1_000
"""Bounds the memory of a commit; a busy stream is stored batch after batch without a pause."""

LEASE = timedelta(seconds=10)
"""A sink that dies is followed by another one after this."""

RENEW_EVERY = LEASE / 4
"""Two renewals may fail before somebody else takes over."""

TIDY_EVERY = 100
"""Batches between tidyings: a scan never opens many more files a tenant than this."""

Entries = Sequence[tuple[bytes, dict[bytes, bytes]]]

log = structlog.get_logger(__name__)


class Sink:
    """``run`` it; cancel it to stop. ``rows`` and ``batches`` count what this sink has stored.

    ``duty`` is what else the holder of the lease does, after each batch and in every pause.
    """

    def __init__(
        self,
        redis: Redis,
        keys: Keys,
        table: ObservationLog,
        interval_s: float,
        tidy_memory_mb: int = 256,
        duty: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._redis, self._keys, self._table, self._interval_s = redis, keys, table, interval_s
        self._tidy_memory_mb, self._duty = tidy_memory_mb, duty
        self._token = secrets.token_hex(16)
        self._numbers: tuple[int, int] | None = None
        self.rows = self.batches = self.refused = 0

    async def run(self) -> None:
        """Store what arrives for as long as the lease is ours; otherwise wait for it."""
        try:
            while True:
                if not await self._round():
                    await asyncio.sleep(self._interval_s)
        finally:
            await to_the_end(self._let_go())

    async def store_batch(self) -> int:
        """Store the next batch if there is one; the number of stream entries it took.

        Raises BatchTaken when another sink was faster; nothing is stored then.
        """
        if not await self._redis.xlen(self._keys.results()):
            return 0  # what is stored has been trimmed: asking the log would cost a listing of S3 every time
        began = time.monotonic()
        stored = await asyncio.to_thread(self._table.stored)
        # Also repairs the cursor after a death between commit and cursor.
        await scripts.advance_cursor(self._redis, self._keys, stored.position, stored.batch)
        entries: Any = await self._redis.xrange(self._keys.results(), min=f"({stored.position}", count=BATCH_ROWS)
        if not entries:
            return 0
        new = Stored(stored.batch + 1, Position.parse(entries[-1][0]))
        rows = await asyncio.to_thread(_rows, entries, new.batch)
        await asyncio.to_thread(self._table.append, rows, new.batch, new.position)
        await scripts.advance_cursor(self._redis, self._keys, new.position, new.batch)
        self.rows += rows.height
        self.batches += 1
        self._numbers = (self._numbers[0] if self._numbers else stored.batch, new.batch)
        took = round((time.monotonic() - began) * 1000)
        await self._count(rows_stored=rows.height, batches_stored=1, batch_ms=took)
        return len(entries)

    async def tidy(self) -> None:
        """Join the log's small files and clean up behind them. A failure is logged and costs nothing but the space.

        Raises BatchTaken when another sink was faster.
        """
        began = time.monotonic()
        try:
            done = await asyncio.to_thread(self._table.tidy, self._tidy_memory_mb)
        except BatchTaken:
            raise
        except Exception as exc:
            log.warning("the leads table was not tidied", reason=str(exc)[:500])
            await self._count(tidyings_failed=1)
            return
        took = round(time.monotonic() - began, 2)
        log.info("tidied the leads table", joined=done.joined, made=done.made, deleted=done.deleted, seconds=took)
        await self._count(tidyings=1)
        await self._redis.hset(self._keys.counters(), "tidied_at", str(round(time.time())))

    async def _round(self) -> bool:
        """Whether there is more to store right now."""
        try:
            if not await scripts.hold_lease(self._redis, self._keys, self._token, LEASE):
                return False
            async with self._kept_lease():
                more = await self.store_batch() == BATCH_ROWS
                if self._duty is not None:
                    await self._duty()
                if self._is_untidy():
                    await self.tidy()
            return more
        except BatchTaken as exc:
            self.refused += 1
            with contextlib.suppress(RedisError, OSError):
                await self._count(batches_refused=1)
            log.info("the sink was refused a batch", reason=str(exc))
        except (RedisError, OSError) as exc:
            log.warning("the sink waits for the store", reason=str(exc))
        except Exception:
            # Whatever Delta or S3 say: results stay on the stream, and the next round tries again.
            log.exception("the sink could not store a batch")
        return False

    def _is_untidy(self) -> bool:
        """Whether the numbers taken since the last look passed a multiple of TIDY_EVERY, whoever stored the rest."""
        if self._numbers is None:
            return False
        before, now = self._numbers
        self._numbers = (now, now)
        return now // TIDY_EVERY > before // TIDY_EVERY

    @contextlib.asynccontextmanager
    async def _kept_lease(self) -> AsyncIterator[None]:
        """Renews the lease while the block runs: a tidying may take longer than it lasts."""
        keeper = asyncio.create_task(self._keep_lease(), name="sink lease")
        try:
            yield
        finally:
            await end_all([keeper])

    async def _keep_lease(self) -> None:
        while True:
            await asyncio.sleep(RENEW_EVERY.total_seconds())
            try:
                await scripts.hold_lease(self._redis, self._keys, self._token, LEASE)
            except (RedisError, OSError) as exc:
                log.info("the sink lease was not renewed", reason=str(exc))

    async def _count(self, **by: int) -> None:
        """Add to the fleet's totals; a crash before this only makes them a little low."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for name, amount in by.items():
                pipe.hincrby(self._keys.counters(), name, amount)
            await pipe.execute()

    async def _let_go(self) -> None:
        # Twice: the cancellation that brought us here may have broken the connection that the pool hands out next.
        for _ in range(2):
            try:
                await scripts.release_lease(self._redis, self._keys, self._token)
            except (RedisError, OSError) as exc:
                log.info("the sink lease could not be given back", reason=str(exc))
            else:
                return


def sightings_of(entries: Entries) -> list[Sighting]:
    """The sightings in entries of the results stream. One that does not parse is logged and left out: it must not
    keep all others from being stored."""
    sightings = []
    for stream_id, fields in entries:
        try:
            sightings.append(sighting_of(stream_id, fields))
        except (ValidationError, ValueError, KeyError) as exc:
            log.warning("a result does not parse", entry=stream_id.decode(), reason=str(exc)[:500])
    return sightings


def _rows(entries: Entries, batch: int) -> pl.DataFrame:
    return frame_of([log_row(sighting, batch) for sighting in sightings_of(entries)], LOG_SCHEMA)
