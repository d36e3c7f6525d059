"""Exports as Valkey knows them: what was asked for, how far it is, and which worker makes it.

An export that has not ended has an owner, whose key lapses with the worker. One without an owner is taken over by
whoever finds it. Those that may have parts in object storage are *unsettled*, whatever became of them.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from redis.asyncio import Redis

from control_plane.errors import BadRequest
from control_plane.store import scripts
from control_plane.store.formats import kind_of
from control_plane.store.models import ExportRequest, ExportView
from control_plane.store.objects import EXPORT_DAYS
from fleet.keys import Keys

RETENTION = timedelta(days=EXPORT_DAYS)
"""How long the record of an export is kept: as long as the bucket's lifecycle rule keeps the object."""

UNFINISHED = ("pending", "running")

Ended = Literal["ready", "empty", "failed"]
"""How a worker ends an export; ``cancelled`` is for clients to say."""


@dataclass(frozen=True, slots=True)
class Record:
    """One export."""

    export: str
    tenant: str
    status: str
    request: ExportRequest
    rows: int
    total: int | None
    size: int
    created_at: datetime
    error: str | None

    @classmethod
    def parse(cls, export: str, fields: dict[bytes, bytes]) -> Record:
        text = {name.decode(): value.decode() for name, value in fields.items()}
        return cls(
            export=export,
            tenant=text["tenant"],
            status=text["status"],
            request=ExportRequest.model_validate_json(text["request"]),
            rows=int(text.get("rows", 0)),
            total=int(text["total"]) if "total" in text else None,
            size=int(text.get("bytes", 0)),
            created_at=datetime.fromisoformat(text["created_at"]),
            error=text.get("error") or None,
        )

    @property
    def unfinished(self) -> bool:
        return self.status in UNFINISHED

    @property
    def object_key(self) -> str:
        return f"exports/{self.tenant}/{self.export}.{kind_of(self.request).extension}"

    def view(self) -> ExportView:
        """What a client gets to see, without the URL."""
        return ExportView.model_validate(
            {
                "export_id": self.export,
                "status": self.status,
                "format": self.request.format,
                "rows": self.rows,
                "total": self.total,
                "bytes": self.size,
                "created_at": self.created_at,
                "error": self.error,
            }
        )


class Records:
    """The records of a fleet, as the worker ``token`` changes them."""

    def __init__(self, redis: Redis, keys: Keys, token: str, lease: timedelta) -> None:
        self._redis, self._keys, self._token = redis, keys, token
        self._lease_ms = int(lease.total_seconds() * 1000)

    async def get(self, export: str) -> Record | None:
        fields: Any = await self._redis.hgetall(self._keys.export(export))
        return Record.parse(export, fields) if fields else None

    async def page(self, tenant: str, limit: int, cursor: str | None) -> tuple[list[Record], str | None]:
        """The tenant's latest records, or those before the export ``cursor``; and the cursor of the next page."""
        index = self._keys.tenant_exports(tenant)
        start = 0
        if cursor is not None:
            rank: Any = await self._redis.zrevrank(index, cursor)
            if rank is None:
                raise BadRequest("there is no such cursor (any more): begin again without one")
            start = rank + 1
        found: Any = await self._redis.zrevrange(index, start, start + limit)  # one more tells whether there is more
        names = [name.decode() for name in found]
        async with self._redis.pipeline(transaction=False) as pipe:
            for name in names[:limit]:
                pipe.hgetall(self._keys.export(name))
            hashes = await pipe.execute()
        records = [Record.parse(name, fields) for name, fields in zip(names[:limit], hashes, strict=True) if fields]
        return records, names[limit - 1] if len(names) > limit else None

    async def begin(self, tenant: str, export: str, request: ExportRequest, seen: Record | None) -> int:
        """Become the owner of an export; how often it was begun since it was asked for.

        0 when it has an owner, or when it has ended since its record was ``seen``.
        """
        now = datetime.now(UTC)
        return await self._eval(
            "begin_export",
            (
                self._keys.export(export),
                self._keys.export_owner(export),
                self._keys.tenant_exports(tenant),
                self._keys.unsettled_exports(),
            ),
            export,
            self._token,
            self._lease_ms,
            int(RETENTION.total_seconds() * 1000),
            int(now.timestamp() * 1000),
            now.isoformat(),
            tenant,
            request.model_dump_json(exclude_none=True, by_alias=True),
            *(("", "") if seen is None else (seen.status, seen.created_at.isoformat())),
        )

    async def note(self, export: str, **members: object) -> bool:
        """Note how far an export is; False when it is not ours any more."""
        keys = (self._keys.export(export), self._keys.export_owner(export))
        return bool(await self._eval("note_export", keys, self._token, self._lease_ms, *_flat(members)))

    async def end(self, export: str, status: Ended, *, settled: bool, **members: object) -> bool:
        """Note how an export ended, and give it up; False when it was not ours any more."""
        keys = (self._keys.export(export), self._keys.export_owner(export), self._keys.unsettled_exports())
        fields = _flat({"status": status} | members)
        return bool(await self._eval("end_export", keys, self._token, export, int(settled), *fields))

    async def cancel(self, export: str) -> bool:
        """Cancel an export; False when it had ended."""
        keys = (self._keys.export(export), self._keys.export_owner(export))
        return await self._eval("cancel_export", keys) == 1

    async def begun_before(self, tenant: str, moment: datetime) -> list[Record]:
        """The tenant's exports that were begun then or earlier."""
        index = self._keys.tenant_exports(tenant)
        found: Any = await self._redis.zrangebyscore(index, "-inf", moment.timestamp() * 1000)
        records = [await self.get(name.decode()) for name in found]
        return [record for record in records if record is not None]

    async def expire(self, export: str) -> bool:
        """Note that the object of an export that was ready has been deleted; False when it is being made again."""
        return await self._eval("expire_export", (self._keys.export(export),)) == 1

    async def hold(self, export: str) -> bool:
        """Become the owner of an export that has ended, to clear up after it; False when it has an owner."""
        taken = await self._redis.set(self._keys.export_owner(export), self._token, nx=True, px=self._lease_ms)
        return bool(taken)

    async def release(self, export: str) -> None:
        """Give an export up as it is: whoever finds it may take it over at once."""
        await scripts.release(self._redis, self._keys.export_owner(export), self._token)

    async def unsettled(self) -> list[str]:
        """Exports that may have parts in object storage and have no owner."""
        found: Any = await self._redis.zrange(self._keys.unsettled_exports(), 0, -1)
        names = [name.decode() for name in found]
        if not names:
            return []
        owners = await self._redis.mget([self._keys.export_owner(name) for name in names])
        return [name for name, owner in zip(names, owners, strict=True) if owner is None]

    async def settle(self, export: str) -> None:
        """Note that an export has no parts in object storage."""
        await self._redis.zrem(self._keys.unsettled_exports(), export)

    async def _eval(self, name: str, keys: Iterable[str], *arguments: Any) -> int:
        names = list(keys)
        return int(await self._redis.eval(scripts.source(name), len(names), *names, *arguments))


def export_id(tenant: str, request: ExportRequest, changed_at: str) -> str:
    """The name of a request's export: equal on every replica for as long as the tenant's leads do not change."""
    asked = "\n".join([tenant, changed_at, request.model_dump_json(exclude_none=True)])
    digest = hashlib.sha256(asked.encode()).digest()[:15]
    return "exp_" + base64.b32encode(digest).decode().lower()


def _flat(members: dict[str, object]) -> list[str]:
    return [str(part) for item in members.items() for part in item]
