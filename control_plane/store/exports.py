"""Export jobs: rows that match, written chunk by chunk to object storage, while a record tells how far it is.

The id of an export is a digest of what was asked and of the last change to the tenant's leads: the same request over
the same leads is the same export and the same object, whichever replica gets it.

A job ends in one of three ways. It is done, or it failed: then nothing of it is left in object storage but the object.
It was cancelled: its parts are removed. Or its worker ended: then the parts stay, and another worker goes on with them.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, closing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from control_plane.errors import NotFound
from control_plane.store.export_records import Ended, Record, Records, export_id
from control_plane.store.filters import condition
from control_plane.store.formats import CHUNK_ROWS, Rows, chunks, columns_read, kind_of
from control_plane.store.models import ExportPage, ExportRequest, ExportView
from control_plane.store.objects import Objects, StorageFailed
from control_plane.store.options import StoreOptions
from control_plane.store.view import TenantView
from control_plane.store.views import Views
from fleet.cancellation import end_all, to_the_end
from fleet.keys import Keys

AT_ONCE = 2
"""Exports that a worker makes at once; further ones are pending. Bounds its memory and the threads filters lack."""

BEAT_S = 0.5
"""How often the record of an export is brought up to date, and how soon a cancelled one ends."""

MOST_ATTEMPTS = 3
"""An export that so many workers died of is given up, before it ends the next one."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Progress:
    """Of one job. Written by its thread and read by the event loop."""

    rows: int = 0
    total: int | None = None
    stored: int = 0
    stopped: bool = False

    def members(self) -> dict[str, int]:
        known = {} if self.total is None else {"total": self.total}
        return known | {"rows": self.rows, "bytes": self.stored}


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How a job ended; ``settled`` when it left no parts in object storage."""

    status: Ended
    error: str = ""
    settled: bool = True


class _Stopped(Exception):
    """The job was cancelled while a thread wrote its file."""


@dataclass(frozen=True, slots=True)
class Expired:
    """Exports that were deleted, and those of the same time that are still being written."""

    deleted: int
    running: int


class Exports:
    """The export jobs of this worker."""

    def __init__(self, options: StoreOptions, redis: Redis, keys: Keys, views: Views, objects: Objects) -> None:
        self._views, self._objects = views, objects
        self._records = Records(redis, keys, secrets.token_hex(16), timedelta(seconds=options.export_lease_s))
        self._expiry = timedelta(seconds=options.export_expiry_s)
        self._tend_s = options.export_lease_s / 3  # an orphan waits little longer than its owner's lease
        self._scratch = Path(options.scratch)
        self._jobs: dict[str, asyncio.Task[None]] = {}
        self._at_once = asyncio.Semaphore(AT_ONCE)

    async def create(self, tenant: str, request: ExportRequest, wait_s: float) -> ExportView:
        """The export of a request, begun unless there is one; answers after ``wait_s`` or once it is over."""
        view = await self._views.of(tenant)
        export = export_id(tenant, request, str(view.changed_at))
        record = await self._records.get(export)
        if record is None or record.unfinished or await self._is_to_be_made_again(record):
            await self._begin(tenant, export, request, record)
        return await self._wait(tenant, export, wait_s)

    async def get(self, tenant: str, export: str, wait_s: float = 0) -> ExportView:
        """An export as it stands; NotFound for another tenant's."""
        record = await self._record(tenant, export)
        if record.unfinished:
            await self._begin(tenant, export, record.request, record)
        return await self._wait(tenant, export, wait_s)

    async def expire(self, tenant: str, before: datetime) -> Expired:
        """Delete the files of all exports of a tenant that began before a moment; asked for again, they are made anew.

        One that is being made is left to its end: expire again then. StorageFailed when S3 does not delete one.
        """
        deleted = running = 0
        for record in await self._records.begun_before(tenant, before):
            if record.unfinished:
                running += 1
            elif record.status == "ready":
                await self._objects.delete(record.object_key)
                deleted += await self._records.expire(record.export)
        return Expired(deleted, running)

    async def list(self, tenant: str, limit: int, cursor: str | None) -> ExportPage:
        """The tenant's exports, latest first; BadRequest for a cursor that is none."""
        records, following = await self._records.page(tenant, limit, cursor)
        return ExportPage(items=[record.view() for record in records], next_cursor=following)

    async def cancel(self, tenant: str, export: str) -> ExportView:
        """End an export that has not ended, and remove what there is of it. NotFound."""
        await self._record(tenant, export)
        if await self._records.cancel(export) and (job := self._jobs.get(export)):
            await end_all([job])  # one on another worker ends with that worker's next beat
        return await self._wait(tenant, export, 0)

    async def tend(self) -> None:
        """Take over exports whose worker died, and clear up after those that have ended; cancel it to stop."""
        while True:
            try:
                for export in await self._records.unsettled():
                    if export not in self._jobs:
                        await self._tend_to(export)
            except (RedisError, OSError) as exc:
                log.warning("exports wait to be tended to", reason=str(exc))
            except Exception:
                log.exception("exports could not be tended to")
            await asyncio.sleep(self._tend_s)

    async def close(self) -> None:
        """End the jobs that run; another worker goes on with them."""
        await end_all(self._jobs.values())

    async def _begin(self, tenant: str, export: str, request: ExportRequest, seen: Record | None) -> None:
        """Run the export here, unless it runs somewhere or has ended since its record was ``seen``."""
        if export in self._jobs:
            return
        attempts = await self._records.begin(tenant, export, request, seen)
        if attempts == 0:
            return
        if attempts > MOST_ATTEMPTS:
            error = f"{MOST_ATTEMPTS} workers ended while they wrote this file; ask again"
            await self._records.end(export, "failed", settled=False, error=error)
            return
        record = await self._record(tenant, export)
        job = asyncio.create_task(self._run(record), name=f"export {export}")
        self._jobs[export] = job
        job.add_done_callback(lambda _: self._jobs.pop(export, None))

    async def _tend_to(self, export: str) -> None:
        record = await self._records.get(export)
        if record is None:
            await self._records.settle(export)
        elif record.unfinished:
            log.info("an export is taken over", export=export, tenant=record.tenant)
            await self._begin(record.tenant, export, record.request, record)
        elif await self._records.hold(export):
            try:
                await self._clear_up(record)
            finally:
                await to_the_end(self._records.release(export))

    async def _run(self, record: Record) -> None:
        """Make an export and keep its record, until it is over or not ours any more."""
        progress = _Progress()
        work = asyncio.create_task(self._outcome(record, progress), name=f"make {record.export}")
        try:
            while not work.done():
                await asyncio.wait([work], timeout=BEAT_S)
                if not work.done() and not await self._is_ours(record.export, progress):
                    break
            if work.done():
                made = work.result()
                members = progress.members() | {"error": made.error}
                await self._records.end(record.export, made.status, settled=made.settled, **members)
        except (RedisError, OSError) as exc:
            # the record still says running: another worker finds the object, or makes it
            log.warning("an export ended without its record", export=record.export, reason=str(exc))
        finally:
            progress.stopped = True
            await to_the_end(self._leave(record, work))

    async def _outcome(self, record: Record, progress: _Progress) -> _Outcome:
        """Write the file, or remove what there is of it when that fails."""
        try:
            return _Outcome(await self._make(record, progress))
        except StorageFailed as exc:
            log.warning("an export failed", export=record.export, tenant=record.tenant, reason=str(exc))
            error = str(exc)
        except Exception:
            log.exception("an export failed", export=record.export, tenant=record.tenant)
            error = "the export could not be written; ask again"
        return _Outcome("failed", error, settled=await self._discarded(record))

    async def _make(self, record: Record, progress: _Progress) -> Ended:
        """Write the file; the status it ends with."""
        async with self._at_once:
            await self._records.note(record.export, status="running")
            view = await self._views.of(record.tenant)
            rows = await asyncio.to_thread(_rows, view, record.request)
            progress.total = rows.total
            if rows.total == 0:
                return "empty"
            kind = kind_of(record.request)
            async with aclosing(self._written(record.request, rows, progress)) as pieces:
                await self._objects.upload(
                    record.object_key,
                    pieces,
                    content_type=kind.content_type,
                    disposition=f'attachment; filename="leads.{kind.extension}"',
                    stored=lambda size: setattr(progress, "stored", size),
                )
            return "ready"

    async def _written(self, request: ExportRequest, rows: Rows, progress: _Progress) -> AsyncGenerator[bytes]:
        """The file's bytes, made in a thread."""
        self._scratch.mkdir(parents=True, exist_ok=True)
        pieces: Any = chunks(request, replace(rows, frames=_counted(rows.frames, progress)), self._scratch)
        try:
            # a thread cannot be cancelled: it is waited for, and ends with its next frame
            while (piece := await to_the_end(asyncio.to_thread(next, pieces, None))) is not None:
                yield piece
        finally:
            await to_the_end(asyncio.to_thread(pieces.close))

    async def _is_ours(self, export: str, progress: _Progress) -> bool:
        try:
            return await self._records.note(export, **progress.members())
        except (RedisError, OSError) as exc:
            log.warning("an export goes on without its record", export=export, reason=str(exc))
            return True

    async def _leave(self, record: Record, work: asyncio.Task[_Outcome]) -> None:
        """See to it that the work has ended; a cancelled export has no parts, another one may be taken over."""
        await end_all([work])
        with suppress(RedisError, OSError):
            now = await self._records.get(record.export)
            if now is not None and now.unfinished:
                await self._records.release(record.export)
            elif now is not None and now.status == "cancelled":
                await self._clear_up(now)

    async def _clear_up(self, record: Record) -> None:
        if await self._discarded(record):
            await self._records.settle(record.export)

    async def _discarded(self, record: Record) -> bool:
        """Whether no parts of an export are left; ``tend`` tries again when storage does not answer."""
        try:
            await self._objects.discard(record.object_key)
        except StorageFailed as exc:
            log.warning("parts of an export are left for later", export=record.export, reason=str(exc))
            return False
        return True

    async def _wait(self, tenant: str, export: str, wait_s: float) -> ExportView:
        job = self._jobs.get(export)
        if job is not None and wait_s > 0:
            await asyncio.wait([job], timeout=wait_s)
        record = await self._record(tenant, export)
        if record.status != "ready":
            return record.view()
        if not await self._objects.exists(record.object_key):
            return record.view().model_copy(update={"status": "expired"})
        url = await self._objects.presigned(record.object_key, seconds=int(self._expiry.total_seconds()))
        return record.view().model_copy(update={"url": url, "expires_at": datetime.now(UTC) + self._expiry})

    async def _is_to_be_made_again(self, record: Record) -> bool:
        if record.status == "ready":
            return not await self._objects.exists(record.object_key)
        return record.status in {"failed", "cancelled", "expired"}

    async def _record(self, tenant: str, export: str) -> Record:
        record = await self._records.get(export)
        if record is None or record.tenant != tenant:
            raise NotFound("export", export)
        return record


def _rows(view: TenantView, request: ExportRequest) -> Rows:
    """What matches as of now, oldest first: an order that does not depend on which replica answers."""
    changed_ms, snapshot = view.changed_at.ms, view.snapshot
    matched = snapshot.select(condition(request.where, view.standing_id), ["stream_ms", "stream_seq"])
    places = matched.sort("stream_ms", "stream_seq").select("piece", "row")
    as_of = datetime.fromtimestamp(changed_ms / 1000, UTC)
    return Rows(places.height, as_of, snapshot.batches(places, columns_read(request), CHUNK_ROWS))


def _counted(frames: Generator[pl.DataFrame], progress: _Progress) -> Generator[pl.DataFrame]:
    """The same frames; counts their rows, and ends with the job."""
    with closing(frames):
        for frame in frames:
            if progress.stopped:
                raise _Stopped
            yield frame
            progress.rows += frame.height
