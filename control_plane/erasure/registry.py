"""The opt-out lists and the erasures of all tenants, as Valkey keeps them."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import orjson
from redis.asyncio import Redis

from control_plane.erasure.models import ErasureView, OptOutPage, OptOutView
from control_plane.erasure.opt_outs import Kind, OptOut, OptOutList
from control_plane.errors import Invalid, NotFound
from fleet.keys import Keys

MAX_ENTRIES = 100_000
"""Of one tenant: some 10 MB in Valkey, and 10 MB in each process that checks against them."""

MAX_LISTS = 1_000
"""Lists a process remembers; a tenant without entries costs next to nothing."""


class Registry:
    """Reads and changes opt-out lists, and begins erasures. What another tenant has is NotFound."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis: Any = redis  # replies are bytes, which the library's types cannot know
        self._keys = keys
        self._key: bytes | None = None
        self._lists: dict[str, OptOutList] = {}

    # Checking.

    async def known(self, tenant: str) -> OptOutList:
        """The tenant's list as this process last saw it: whoever relies on it has the store compare its version."""
        return self._lists.get(tenant) or await self.newest(tenant)

    async def current(self, tenant: str) -> OptOutList:
        """The tenant's list as it is now, read only when it has changed."""
        known = self._lists.get(tenant)
        version = int(await self._redis.hget(self._keys.tenant(tenant), "opt_outs") or 0)
        return known if known is not None and known.version == version else await self.newest(tenant)

    async def newest(self, tenant: str) -> OptOutList:
        """The tenant's list, read anew."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hget(self._keys.tenant(tenant), "opt_outs")
            pipe.hkeys(self._keys.opt_outs(tenant))
            version, digests = await pipe.execute()
        if len(self._lists) >= MAX_LISTS:
            self._lists.clear()
        entries = frozenset(digest.decode() for digest in digests)
        listed = OptOutList(int(version or 0), await self.key() if entries else b"", entries)
        self._lists[tenant] = listed
        return listed

    async def key(self) -> bytes:
        """The key that digests are made with. It lies beside them: one that was lost or changed would end every
        opt-out without a word."""
        if self._key is None:
            await self._redis.set(self._keys.opt_out_key(), secrets.token_bytes(32), nx=True)
            self._key = bytes(await self._redis.get(self._keys.opt_out_key()))
        return self._key

    def forget(self) -> None:
        """Read everything anew: a store that lost data may hold another list under the same version."""
        self._key = None
        self._lists.clear()

    # The list.

    async def page(self, tenant: str, limit: int, offset: int) -> OptOutPage:
        """Entries, newest first."""
        order = self._keys.opt_out_order(tenant)
        total = await self._redis.zcard(order)
        found = await self._redis.zrevrange(order, offset, offset + limit - 1)
        entries = await self._redis.hmget(self._keys.opt_outs(tenant), found) if found else []
        views = [_view(digest.decode(), entry) for digest, entry in zip(found, entries, strict=True) if entry]
        return OptOutPage(opt_outs=views, total=total, limit=limit, offset=offset)

    async def add(self, tenant: str, entry: OptOut, reason: str | None) -> tuple[OptOutView, str]:
        """Put an entry on the list; it, and the id of the erasure of what is there."""
        erasure, _ = await self.begin(tenant, entry.kind, entry.value, None, [entry], reason)
        digest = entry.digest(await self.key())
        return _view(digest, await self._redis.hget(self._keys.opt_outs(tenant), digest)), erasure

    async def remove(self, tenant: str, digest: str) -> OptOutView:
        """Take an entry off the list; NotFound. What was erased stays erased."""
        keys = self._keys.opt_outs(tenant), self._keys.opt_out_order(tenant), self._keys.tenant(tenant)
        entry = await self._redis.eval(_source("remove"), len(keys), *keys, digest)
        if entry is None:
            raise NotFound("opt-out", digest)
        return _view(digest, entry)

    # Erasures.

    async def begin(
        self,
        tenant: str,
        kind: Kind,
        value: str,
        lead_ids: Sequence[str] | None,
        entries: Sequence[OptOut],
        reason: str | None = None,
    ) -> tuple[str, int]:
        """Put entries on the list and begin to erase: ``(erasure id, entries that are new)``.

        ``lead_ids`` are what is erased; None when that is to be found by ``value``. Once this returns it will be done,
        whoever dies.
        """
        if await self._redis.hlen(self._keys.opt_outs(tenant)) + len(entries) > MAX_ENTRIES:
            raise Invalid(f"the opt-out list may hold {MAX_ENTRIES:,} entries: opt out domains instead of addresses")
        erasure, key = f"era_{secrets.token_hex(12)}", await self.key()
        pairs = _pairs(entries, key, reason)
        k = self._keys
        keys = (
            k.opt_outs(tenant), k.opt_out_order(tenant), k.tenant(tenant), k.results(), k.erasure(erasure),
            k.erasures_open(), k.erasures(), k.enrichment_line(tenant), k.enrichment(tenant, ""),
        )  # fmt: skip
        ids = b"" if lead_ids is None else orjson.dumps(list(lead_ids))
        added = await self._redis.eval(_source("begin"), len(keys), *keys, erasure, tenant, kind, value, ids, *pairs)
        return erasure, int(added)

    async def found(self, tenant: str, erasure: str, entry: OptOut, lead_ids: Sequence[str]) -> bool:
        """Say which leads ``entry`` is about, and keep them away too; False when that was known."""
        k, key = self._keys, await self.key()
        keys = (
            k.erasure(erasure), k.erasures(), k.results(), k.enrichment_line(tenant), k.enrichment(tenant, ""),
            k.opt_outs(tenant), k.opt_out_order(tenant), k.tenant(tenant),
        )  # fmt: skip
        because = entry.digest(key)
        pairs = _pairs([OptOut(Kind.LEAD, each) for each in lead_ids], key, None, because)
        args = (erasure, orjson.dumps(list(lead_ids)), because, *pairs)
        return bool(await self._redis.eval(_source("found"), len(keys), *keys, *args))

    async def rewrite(self, stream: str) -> None:
        """Take the bytes of deleted entries out of a stream; who reads it does not notice."""
        await self._redis.eval(_source("rewrite"), 2, stream, f"{stream}:rewritten")

    async def finish(self, erasure: str, ttl_s: int) -> bool:
        """Say that an erasure is done; False when it was."""
        keys = self._keys.erasure(erasure), self._keys.erasures_open()
        return bool(await self._redis.eval(_source("finish"), len(keys), *keys, erasure, ttl_s))

    async def erasure(self, tenant: str, erasure: str) -> ErasureView:
        """An erasure as it stands; NotFound."""
        flat = await self._redis.hgetall(self._keys.erasure(erasure))
        if not flat or flat[b"tenant"].decode() != tenant:
            raise NotFound("erasure", erasure)
        return erasure_view(erasure, flat)


def erasure_view(erasure: str, flat: dict[bytes, bytes]) -> ErasureView:
    """A record as clients see it."""
    text = {name.decode(): value.decode("utf-8", "replace") for name, value in flat.items()}
    return ErasureView(
        erasure_id=erasure,
        status="done" if text["state"] == "done" else "running",
        kind=Kind(text["kind"]),
        steps_done=[step for step in text["steps"].split(",") if step],
        leads=int(text.get("leads", 0)),
        observations=int(text.get("observations", 0)),
        events=int(text.get("events", 0)),
        exports=int(text.get("exports", 0)),
        created_at=_time(text["created"]),
        completed_at=_time(text["done"]) if "done" in text else None,
        error=text.get("error"),
    )


def _pairs(entries: Sequence[OptOut], key: bytes, reason: str | None, because: str | None = None) -> list[str | bytes]:
    """Digest and JSON of each entry; ``because`` is the digest of the one that it follows from."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    found: list[str | bytes] = []
    for each in entries:
        told = {"kind": each.kind, "shown": each.shown(), "reason": reason, "created_at": now, "because": because}
        found += [each.digest(key), orjson.dumps(told)]
    return found


def _view(digest: str, entry: bytes) -> OptOutView:
    members = orjson.loads(entry)
    return OptOutView(
        opt_out_id=digest,
        kind=members["kind"],
        value=members["shown"],
        reason=members["reason"],
        created_at=members["created_at"],
    )


def _time(milliseconds: str) -> datetime:
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)


@cache
def _source(name: str) -> str:
    folder = Path(__file__).parent / "lua"
    return "".join((folder / f"{part}.lua").read_text(encoding="utf-8") for part in ("questions", name))
