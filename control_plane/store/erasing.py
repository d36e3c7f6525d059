"""Carrying out erasures: step after step, each safe to repeat, by whoever holds the sink's lease.

An erasure is a record in Valkey from the moment it was asked for. Its steps are noted there as they are done, so that a
worker that dies is followed by one that goes on behind the last of them. The views forget at once (``Views`` follow the
``erasures`` stream); the steps see to it that nothing brings back what they forgot.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import polars as pl
import structlog
from pydantic import ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from control_plane.erasure.checkpoints import is_blocked
from control_plane.erasure.models import ErasureView
from control_plane.erasure.opt_outs import Kind, OptOut, OptOutList, carried
from control_plane.erasure.registry import Registry
from control_plane.store.exports import Exports
from control_plane.store.schema import Position
from control_plane.store.table import ObservationLog
from control_plane.store.views import Views
from fleet.keys import Keys
from fleet.model import TaskState
from leads.domains import own_domain, registered_domain
from leads.model import Lead

RECORD_KEPT = timedelta(days=30)
"""How long the proof that something was erased can be asked for."""

TOLD_FOR = timedelta(days=7)
"""How long the views are told; they look twice a second."""

CLOCKS_APART = timedelta(seconds=5)
"""How far the clocks of replicas, which exports are dated by, may be from the store's."""

POLL_S = 0.05
PAGE = 500
"""Events read at once: some 700 KB."""

_URL = re.compile(r"https?://[^\s\"'<>\\]+")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Work:
    """An erasure under way, from its record."""

    id: str
    tenant: str
    kind: Kind
    value: str
    until: Position
    created_at: datetime
    lead_ids: frozenset[str] | None
    traces: dict[str, list[str]]
    done: frozenset[str]

    @classmethod
    def parse(cls, erasure: str, flat: dict[bytes, bytes]) -> Work:
        return cls(
            id=erasure,
            tenant=flat[b"tenant"].decode(),
            kind=Kind(flat[b"kind"].decode()),
            value=flat.get(b"value", b"").decode(),
            until=Position.parse(flat[b"until"]),
            created_at=datetime.fromtimestamp(int(flat[b"created"]) / 1000, UTC),
            lead_ids=frozenset(orjson.loads(flat[b"lead_ids"])) if b"lead_ids" in flat else None,
            traces=orjson.loads(flat.get(b"traces", b"{}")),
            done=frozenset(flat[b"steps"].decode().split(",")),
        )

    def entries(self, key: bytes) -> OptOutList:
        """What is erased, as a list to compare leads and pages with."""
        named = (
            [OptOut(Kind.LEAD, each) for each in self.lead_ids or ()]
            if self.kind is Kind.LEAD
            else [OptOut(self.kind, self.value)]
        )
        return OptOutList(0, key, frozenset(entry.digest(key) for entry in named))


class NotYet(Exception):
    """A step has to wait for something that ends by itself."""


class Erasing:
    """The erasures of this worker. ``resume`` is a duty of the sink, ``find`` makes the views forget at once."""

    def __init__(
        self, redis: Redis, keys: Keys, registry: Registry, views: Views, table: ObservationLog, exports: Exports
    ) -> None:
        self._redis: Any = redis  # replies are bytes, which the library's types cannot know
        self._keys, self._registry, self._views, self._table, self._exports = keys, registry, views, table, exports
        # In this order: nothing may reach the log any more when rows are removed from it.
        self._steps: dict[str, Callable[[Work], Awaitable[None]]] = {
            "trace": self._trace,
            "events": self._events,
            "results": self._results,
            "log": self._log,
            "checkpoints": self._checkpoints,
            "exports": self._retained_exports,
        }

    async def resume(self) -> None:
        """Go on with everything that is not done. One that fails is logged, noted in its record, and tried again."""
        for raw in await self._redis.zrange(self._keys.erasures_open(), 0, -1):
            erasure = raw.decode()
            try:
                await self._carry_out(erasure)
            except NotYet as exc:
                log.info("an erasure waits", erasure=erasure, reason=str(exc))
            except (RedisError, OSError):
                raise
            except Exception as exc:
                log.exception("an erasure failed and is tried again", erasure=erasure)
                await self._redis.hset(self._keys.erasure(erasure), "error", f"tried again: {type(exc).__name__}")

    async def find(self, tenant: str, erasure: str) -> None:
        """Find out which leads it is about, unless that is known: from then on no answer has them."""
        work = await self._work(erasure)
        if work is not None and work.tenant == tenant and work.lead_ids is None:
            await self._find(work)

    async def wait(self, tenant: str, erasure: str, wait_s: float) -> ErasureView:
        """The erasure once it is done, or as it stands after ``wait_s``."""
        deadline = time.monotonic() + wait_s
        while True:
            view = await self._registry.erasure(tenant, erasure)
            if view.status == "done" or time.monotonic() > deadline:
                return view
            await asyncio.sleep(POLL_S)

    async def _carry_out(self, erasure: str) -> None:
        work = await self._work(erasure)
        if work is None:
            await self._registry.finish(erasure, int(RECORD_KEPT.total_seconds()))
            return
        if work.lead_ids is None:
            await self._find(work)
        for step in self._steps:
            work = await self._work(erasure)
            if work is not None and step not in work.done:
                await self._step(work, step)
        await self._registry.finish(erasure, int(RECORD_KEPT.total_seconds()))
        with suppress(ResponseError):  # it is being rewritten, or whoever runs the store does not let us ask
            await self._redis.bgrewriteaof()
        oldest = int((time.time() - TOLD_FOR.total_seconds()) * 1000)
        await self._redis.xtrim(self._keys.erasures(), minid=oldest)
        log.info("erased", erasure=erasure)

    async def _step(self, work: Work, step: str) -> None:
        await self._steps[step](work)
        done = ",".join(each for each in self._steps if each in work.done or each == step)
        await self._redis.hset(self._keys.erasure(work.id), "steps", done)

    async def _work(self, erasure: str) -> Work | None:
        """What is to be done; None when it is done."""
        flat = await self._redis.hgetall(self._keys.erasure(erasure))
        return Work.parse(erasure, flat) if flat.get(b"state") == b"running" else None

    async def _find(self, work: Work) -> None:
        """The leads that carry what is opted out, whole: by every id that any of their observations goes by."""
        entries = work.entries(await self._registry.key())
        candidates = await asyncio.to_thread(self._table.leads, work.tenant, work.until, _mentions(work))
        found = {
            row["lead_id"]
            for row in candidates.iter_rows(named=True)
            if entries.blocks(Lead.model_validate_json(row["lead"]))
        }
        async for _, _, lead in self._waiting(work):
            if entries.blocks(lead):
                found.add(lead.lead_id)
        view = await self._views.of(work.tenant)
        await self._redis.hset(self._keys.erasure(work.id), "leads", len({view.standing_id(each) for each in found}))
        lead_ids = sorted(await asyncio.to_thread(view.all_ids, found))
        await self._registry.found(work.tenant, work.id, OptOut(work.kind, work.value), lead_ids)

    async def _trace(self, work: Work) -> None:
        """Note where else the leads left traces, as long as their observations say so."""
        theirs = pl.col("lead_id").is_in(list(work.lead_ids or ()))
        rows = await asyncio.to_thread(self._table.leads, work.tenant, work.until, theirs)
        seen = [(task, Lead.model_validate_json(lead)) for task, lead in rows.select("task_id", "lead").iter_rows()]
        seen += [(task, lead) async for _, task, lead in self._waiting(work) if lead.lead_id in (work.lead_ids or ())]
        carried_by = [entry for _, lead in seen for entry in carried(lead)]
        traces = {
            "tasks": sorted({task for task, _ in seen}),
            "phones": sorted({phone.normalized_e164 or phone.raw for _, lead in seen for phone in lead.phones}),
            "emails": sorted({entry.value for entry in carried_by if entry.kind is Kind.EMAIL}),
            "domains": sorted({domain for _, lead in seen if (domain := own_domain(lead.website))}),
            "pages": sorted({lead.source_url for _, lead in seen if lead.source_url}),
        }
        await self._redis.hset(self._keys.erasure(work.id), "traces", orjson.dumps(traces))

    async def _events(self, work: Work) -> None:
        """Take the leads out of what clients of their tasks can still be told; ids of other events stay."""
        for task in work.traces["tasks"]:
            key, after, doomed = self._keys.events(task), "-", []
            while page := await self._redis.xrange(key, after, "+", count=PAGE):
                doomed += [entry for entry, fields in page if _tells_of(work, fields)]
                after = f"({page[-1][0].decode()}"
            for start in range(0, len(doomed), PAGE):
                await self._add(work, events=await self._redis.xdel(key, *doomed[start : start + PAGE]))
            if doomed:
                await self._registry.rewrite(key)
            adopted = [
                identifier
                async for identifier, lead_id in self._redis.hscan_iter(self._keys.found(task), count=PAGE)
                if lead_id.decode() in (work.lead_ids or ())
            ]
            if adopted:
                await self._redis.hdel(self._keys.found(task), *adopted)

    async def _results(self, work: Work) -> None:
        """Take away results that are not stored yet."""
        doomed = [entry async for entry, _, lead in self._waiting(work) if lead.lead_id in (work.lead_ids or ())]
        if doomed:
            await self._add(work, observations=await self._redis.xdel(self._keys.results(), *doomed))
        await self._registry.rewrite(self._keys.results())  # also what was stored and trimmed lately

    async def _log(self, work: Work) -> None:
        while True:
            erased = await asyncio.to_thread(self._table.erase, work.tenant, work.lead_ids or (), work.until)
            await self._add(work, observations=erased.rows)
            if erased.complete:
                return

    async def _checkpoints(self, work: Work) -> None:
        """Take pages and leads out of what units that have not ended remember."""
        entries = work.entries(await self._registry.key())
        for raw in await self._redis.zrange(self._keys.tenant_tasks(work.tenant), 0, -1):
            task = raw.decode()
            state, units = await self._redis.hmget(self._keys.task(task), "state", "units")
            if state is None or TaskState(state.decode()).terminal:
                continue
            for index in range(int(units)):
                key = self._keys.checkpoint(f"{task}.{index}")
                doomed = [
                    name
                    async for name, value in self._redis.hscan_iter(key, count=PAGE)
                    if is_blocked(work.tenant, entries, name.decode(), value.decode())
                ]
                if doomed:
                    await self._redis.hdel(key, *doomed)

    async def _retained_exports(self, work: Work) -> None:
        """Delete the tenant's files of that time: which of them hold the leads is not known without reading them."""
        if not work.lead_ids:
            return
        expired = await self._exports.expire(work.tenant, work.created_at + CLOCKS_APART)
        await self._add(work, exports=expired.deleted)
        if expired.running:
            raise NotYet(f"{expired.running} exports that began before it are still being written")

    async def _waiting(self, work: Work) -> AsyncIterator[tuple[bytes, str, Lead]]:
        """``(entry, task, lead)`` of the tenant's results that are on the stream, up to the erasure's place."""
        after, tenant = "-", work.tenant.encode()
        while page := await self._redis.xrange(self._keys.results(), after, str(work.until), count=PAGE):
            for entry, fields in page:
                if fields.get(b"tenant") == tenant:
                    try:
                        lead = Lead.model_validate_json(fields[b"lead"])
                    except (ValidationError, KeyError):
                        continue  # the sink leaves it out as well
                    yield entry, fields[b"task"].decode(), lead
            after = f"({page[-1][0].decode()}"

    async def _add(self, work: Work, **by: int) -> None:
        for name, amount in by.items():
            if amount:
                await self._redis.hincrby(self._keys.erasure(work.id), name, amount)


def _mentions(work: Work) -> pl.Expr:
    """Rows that may carry what is opted out: all that do, and a few more."""
    if work.kind is Kind.PHONE:
        return pl.col("lead").str.contains(work.value[1:], literal=True)  # a wa.me link has no +
    texts = {work.value}
    if work.kind is Kind.DOMAIN:
        texts.add(work.value.encode().decode("idna"))
    return pl.col("lead").str.to_lowercase().str.contains_any(sorted(texts))


def _tells_of(work: Work, fields: dict[bytes, bytes]) -> bool:
    """Whether an event of a task tells of the leads: their result, boxes around their numbers, lines about them."""
    kind, data = fields.get(b"k"), orjson.loads(fields.get(b"d", b"{}"))
    if kind in {b"result", b"enriched"}:
        return data.get("lead_id") in (work.lead_ids or ())
    if kind == b"coordinates":
        boxes: Iterable[Any] = data.get("boxes", ())
        return any(box.get("phone") in work.traces["phones"] for box in boxes if isinstance(box, dict))
    if kind == b"log":
        text = orjson.dumps(data).decode()
        named = {url.rstrip(".,:;)") for url in _URL.findall(text)}
        if any(registered_domain(url) in work.traces["domains"] or url in work.traces["pages"] for url in named):
            return True
        return any(value in text for value in work.traces["phones"] + work.traces["emails"])
    return False
