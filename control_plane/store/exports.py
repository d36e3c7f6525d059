"""Export jobs: rows that match, written chunk by chunk to object storage, and the record that tells how far it is.

The id of an export is a digest of what was asked and of the last change to the tenant's leads: the same request over
the same leads is the same export and the same object, whichever replica gets it.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import structlog
from botocore.exceptions import BotoCoreError, ClientError
from redis.asyncio import Redis

from control_plane.errors import NotFound
from control_plane.store.filters import condition
from control_plane.store.formats import CHUNK_ROWS, KINDS, Rows, chunks, columns_read
from control_plane.store.models import ExportRequest, ExportView
from control_plane.store.objects import Objects
from control_plane.store.options import StoreOptions
from control_plane.store.view import TenantView
from control_plane.store.views import Views
from fleet.cancellation import end_all
from fleet.keys import Keys

RETENTION = timedelta(days=7)
"""How long the record of an export is kept; the bucket's lifecycle rule removes the object itself."""

STALE = timedelta(seconds=30)
"""A job that has not moved its record for this long died with its worker, and is begun again."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Record:
    """An export as Valkey knows it."""

    tenant: str
    status: str
    request: ExportRequest
    rows: int
    total: int | None
    size: int
    created_at: datetime
    touched_at: datetime
    error: str | None

    @classmethod
    def parse(cls, fields: dict[bytes, bytes]) -> _Record:
        text = {name.decode(): value.decode() for name, value in fields.items()}
        return cls(
            tenant=text["tenant"],
            status=text["status"],
            request=ExportRequest.model_validate_json(text["request"]),
            rows=int(text.get("rows", 0)),
            total=int(text["total"]) if "total" in text else None,
            size=int(text.get("bytes", 0)),
            created_at=datetime.fromisoformat(text["created_at"]),
            touched_at=datetime.fromisoformat(text["touched_at"]),
            error=text.get("error") or None,
        )


@dataclass(frozen=True, slots=True)
class Expired:
    """Exports that were deleted, and those of the same time that are still being written."""

    deleted: int
    running: int


class Exports:
    """The export jobs of this worker."""

    def __init__(self, options: StoreOptions, redis: Redis, keys: Keys, views: Views, objects: Objects) -> None:
        self._redis, self._keys, self._views, self._objects = redis, keys, views, objects
        self._expiry = timedelta(seconds=options.export_expiry_s)
        self._scratch = Path(options.scratch)
        self._jobs: dict[str, asyncio.Task[None]] = {}

    async def create(self, tenant: str, request: ExportRequest, wait_s: float) -> ExportView:
        """The export of a request, begun unless there is one; answers after ``wait_s`` or once it is over."""
        view = await self._views.of(tenant)
        export = _export_id(tenant, request, str(view.changed_at))
        record = await self._record(tenant, export)
        if record is None or await self._is_over_without_object(export, record):
            await self._begin(tenant, export, request)
        return await self._wait(tenant, export, wait_s)

    async def get(self, tenant: str, export: str, wait_s: float = 0) -> ExportView:
        """An export as it stands; NotFound for another tenant's."""
        record = await self._record(tenant, export)
        if record is None:
            raise NotFound("export", export)
        if record.status == "running" and export not in self._jobs and _age(record) > STALE:
            await self._begin(tenant, export, record.request)
        return await self._wait(tenant, export, wait_s)

    async def expire(self, tenant: str, before: datetime) -> Expired:
        """Delete the files of all exports of a tenant that began before a moment; asked for again, they are made anew.

        One that is being written is left to its end: expire again then. One whose worker died has written nothing.
        """
        deleted = running = 0
        began = before.timestamp() * 1000
        names: Any = await self._redis.zrangebyscore(self._keys.tenant_exports(tenant), "-inf", began)
        for raw in names:
            export = raw.decode()
            record = await self._record(tenant, export)
            if record is None or record.status not in {"ready", "running"}:
                continue
            if record.status == "running" and (export in self._jobs or _age(record) <= STALE):
                running += 1
                continue
            await self._objects.delete(_object_key(tenant, export, record.request))
            await self._note(export, status="expired")
            deleted += record.status == "ready"
        return Expired(deleted, running)

    async def close(self) -> None:
        """End the jobs that run; another worker begins them again when they are asked for."""
        await end_all(self._jobs.values())

    async def _begin(self, tenant: str, export: str, request: ExportRequest) -> None:
        if export in self._jobs:
            return
        now = datetime.now(UTC).isoformat()
        record: Any = {
            "tenant": tenant,
            "status": "running",
            "request": request.model_dump_json(exclude_none=True, by_alias=True),
            "created_at": now,
            "touched_at": now,
        }
        since = (datetime.now(UTC) - RETENTION).timestamp() * 1000
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.delete(self._keys.export(export))
            pipe.hset(self._keys.export(export), mapping=record)
            pipe.expire(self._keys.export(export), RETENTION)
            pipe.zadd(self._keys.tenant_exports(tenant), {export: datetime.now(UTC).timestamp() * 1000})
            pipe.zremrangebyscore(self._keys.tenant_exports(tenant), "-inf", since)
            await pipe.execute()
        job = asyncio.create_task(self._run(tenant, export, request), name=f"export {export}")
        self._jobs[export] = job
        job.add_done_callback(lambda _: self._jobs.pop(export, None))

    async def _run(self, tenant: str, export: str, request: ExportRequest) -> None:
        try:
            view = await self._views.of(tenant)
            rows = await asyncio.to_thread(_rows, view, request)
            await self._note(export, total=rows.total)
            if rows.total == 0:
                await self._note(export, status="empty")
                return
            kind = KINDS[request.format]
            size = await self._objects.upload(
                _object_key(tenant, export, request),
                self._written(export, request, rows),
                content_type=kind.content_type,
                disposition=f'attachment; filename="leads.{kind.extension}"',
            )
            await self._note(export, status="ready", rows=rows.total, bytes=size)
        except (ClientError, BotoCoreError, OSError) as exc:
            log.warning("an export failed", export=export, tenant=tenant, reason=str(exc))
            await self._note(export, status="failed", error="object storage did not take the file; ask again")
        except Exception:
            log.exception("an export failed", export=export, tenant=tenant)
            await self._note(export, status="failed", error="the export could not be written; ask again")

    async def _written(self, export: str, request: ExportRequest, rows: Rows) -> AsyncIterator[bytes]:
        """The file's bytes, made in a thread; notes the progress on the way."""
        self._scratch.mkdir(parents=True, exist_ok=True)
        pieces = chunks(request, rows, self._scratch)
        try:
            while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
                written, data = piece
                await self._note(export, rows=written)
                yield data
        finally:
            await asyncio.to_thread(pieces.close)  # type: ignore[attr-defined]  # all are generators

    async def _note(self, export: str, **members: Any) -> None:
        texts: Any = {name: str(value) for name, value in members.items()}
        texts["touched_at"] = datetime.now(UTC).isoformat()
        await self._redis.hset(self._keys.export(export), mapping=texts)

    async def _wait(self, tenant: str, export: str, wait_s: float) -> ExportView:
        job = self._jobs.get(export)
        if job is not None and wait_s > 0:
            await asyncio.wait([job], timeout=wait_s)
        record = await self._record(tenant, export)
        if record is None:
            raise NotFound("export", export)
        return await self._view(export, record)

    async def _view(self, export: str, record: _Record) -> ExportView:
        view = ExportView.model_validate(
            {
                "export_id": export,
                "status": record.status,
                "format": record.request.format,
                "rows": record.rows,
                "total": record.total,
                "bytes": record.size,
                "created_at": record.created_at,
                "error": record.error,
            }
        )
        if record.status != "ready":
            return view
        key = _object_key(record.tenant, export, record.request)
        if not await self._objects.exists(key):
            return view.model_copy(update={"status": "expired"})
        url = await self._objects.presigned(key, seconds=int(self._expiry.total_seconds()))
        return view.model_copy(update={"url": url, "expires_at": datetime.now(UTC) + self._expiry})

    async def _is_over_without_object(self, export: str, record: _Record) -> bool:
        if record.status == "ready":
            return not await self._objects.exists(_object_key(record.tenant, export, record.request))
        if record.status == "running":
            return export not in self._jobs and _age(record) > STALE
        return record.status in {"failed", "expired"}

    async def _record(self, tenant: str, export: str) -> _Record | None:
        fields: Any = await self._redis.hgetall(self._keys.export(export))
        if not fields:
            return None
        record = _Record.parse(fields)
        return record if record.tenant == tenant else None


def _rows(view: TenantView, request: ExportRequest) -> Rows:
    """What matches as of now, in the order of the view: those that changed last come last."""
    snapshot, wanted = view.snapshot, condition(request.where, view.standing_id)
    total = snapshot.select(wanted).height
    return Rows(total, snapshot.batches(wanted, columns_read(request), CHUNK_ROWS))


def _export_id(tenant: str, request: ExportRequest, changed_at: str) -> str:
    asked = "\n".join([tenant, changed_at, request.model_dump_json(exclude_none=True)])
    digest = hashlib.sha256(asked.encode()).digest()[:15]
    return "exp_" + base64.b32encode(digest).decode().lower()


def _object_key(tenant: str, export: str, request: ExportRequest) -> str:
    return f"exports/{tenant}/{export}.{KINDS[request.format].extension}"


def _age(record: _Record) -> timedelta:
    return datetime.now(UTC) - record.touched_at
