"""Tasks and the fleet as routes see them: validated requests in, contract models out."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from math import ceil
from typing import Any
from urllib.parse import urlsplit

import orjson

from control_plane.errors import Conflict, Invalid, NotFound, TooMany, Unavailable
from control_plane.models import (
    LimitsRequest,
    QueueStatus,
    Stage,
    Started,
    StartRequest,
    TaskPage,
    TaskStatus,
    TenantLimits,
    Usage,
)
from control_plane.scheduling.outlook import until_granted, until_room
from control_plane.scheduling.reads import ask, each
from control_plane.scheduling.room import Room
from control_plane.scheduling.scripts import Control, NewTask, Refused, Scripts
from control_plane.scheduling.views import Flat, task_status
from fleet import ids
from fleet.connect import Store
from fleet.keys import Keys
from fleet.messages import Watch
from fleet.model import SlotState, TaskState, UnitState

WATCH_SECONDS = 10
"""How long a viewer counts as looking after it last said so; it says so every few seconds."""

MAX_PAGE = 500
"""Tasks that one listing reads from the store."""

TENANT_LIMITS = ("max_running", "max_queued")


LOOK_AGAIN_S = 60
"""Retry-After of a queue that nothing drains: no node is there, or all that waits is paused."""

LOOK_AGAIN_AT_LAST_S = 3_600
"""Nobody knows what a fleet does later than that."""

READ_ATTEMPTS = 3
"""A task can hardly be queued, dispatched and queued again between two reads, let alone twice."""


COUNTED = (
    "tasks_submitted", "grants", "pages", "leads", "leads_withheld", "rows_stored", "batches_stored", "batches_refused",
    "tidyings", "tidyings_failed", "tidied_at", "stale_writes", "malformed_entries", "dead_letters", "nodes_lost",
    "chromes_lost", "joins_refused", "grace_exceeded",
)  # fmt: skip
"""Counters of the store that the metrics page shows as they are."""


class TaskQueue:
    """The scheduling service. All methods raise ``Problem`` subclasses, and StoreUnavailable when Valkey does not
    answer. What belongs to another tenant is NotFound."""

    def __init__(self, client: Store, keys: Keys, scripts: Scripts, room: Room) -> None:
        self._client, self._keys, self._scripts, self._room = client, keys, scripts, room

    # Tasks.

    async def start(self, tenant: str, request: StartRequest, idempotency_key: str | None) -> Started:
        """Cuts the request into units, one a (platform, query), and puts them in the queue."""
        if not self._room.for_tasks:
            raise Unavailable("the fleet's store is almost full; try again when some tasks have ended", retry_after=2)
        spec = request.model_dump_json(exclude_none=True)
        answer = await self._scripts.submit(
            NewTask(
                tenant=tenant,
                task=ids.new_task_id(),
                units=[(platform, query) for query in request.queries for platform in request.platforms],
                options=orjson.dumps(node_options(request)).decode(),
                spec=spec,
                priority=request.priority,
                max_parallel=request.max_parallel,
                max_results=request.max_results or 0,
                timeout_ms=(request.timeout_s or 0) * 1000,
                queue_timeout_ms=(request.queue_timeout_s or 0) * 1000,
                idempotency=_digest(idempotency_key) if idempotency_key else "",
                body=_digest(spec),
                webhook_line=_webhook_line(tenant, request.webhook_url) if request.webhook_url else "",
            )
        )
        if isinstance(answer, Refused):
            raise await self._refusal(answer, tenant, len(request.queries) * len(request.platforms))
        state, position = await self._place(tenant, answer.task)
        return Started(
            task_id=answer.task,
            message="Task was started before under this Idempotency-Key" if answer.replayed else "Task started",
            state=state,
            queue_position=position,
            usage=Usage(used=answer.used, limit=answer.limit, remaining=max(0, answer.limit - answer.used)),
        )

    async def status(self, tenant: str, task: str) -> TaskStatus:
        return task_status(task, *await self._with_position(tenant, task, await self._own(tenant, task)))

    async def tasks(self, tenant: str, *, status: str | None, limit: int, offset: int) -> TaskPage:
        """Newest first. A status filter looks at the newest MAX_PAGE tasks."""
        limit = min(limit, MAX_PAGE)
        if status is None:
            total = await ask("count tasks", self._client.zcard(self._keys.tenant_tasks(tenant)))
            found = await self._read(await self._newest(tenant, offset, limit))
        else:
            matching = [task for task, state in await self._states(tenant) if state == status]
            read, total = await self._read(matching[offset : offset + limit]), len(matching)
            found = [task for task in read if task.status == status]  # it may have gone on since
        tasks = [await self.status(tenant, task.task_id) if task.status is TaskState.QUEUED else task for task in found]
        return TaskPage(tasks=tasks, total=total, limit=limit, offset=offset)

    async def stop(self, tenant: str, task: str) -> TaskStatus:
        return await self._control(tenant, task, self._scripts.stop, wanted=TaskState.STOPPED)

    async def pause(self, tenant: str, task: str) -> TaskStatus:
        return await self._control(tenant, task, self._scripts.pause)

    async def resume(self, tenant: str, task: str) -> TaskStatus:
        return await self._control(tenant, task, self._scripts.resume)

    async def queue_status(self, tenant: str) -> QueueStatus:
        """The tenant's tasks by state, and the wait that a new unit would have."""
        by_state = Counter(state for _, state in await self._states(tenant))
        gauges = await self.gauges()
        waiting = sum(gauges["units"].get(state, 0) for state in (UnitState.QUEUED, UnitState.WAITING))
        wait = until_granted(await self._scripts.outlook(tenant), tenant)
        return QueueStatus(
            total_tasks=await ask("count tasks", self._client.zcard(self._keys.tenant_tasks(tenant))),
            running=by_state[TaskState.RUNNING],
            paused=by_state[TaskState.PAUSED],
            pending=by_state[TaskState.QUEUED],
            completed=by_state[TaskState.COMPLETED],
            stopped=by_state[TaskState.STOPPED],
            failed=by_state[TaskState.ERROR],
            queued_units=waiting,
            estimated_wait_time_seconds=None if wait is None else round(wait, 1),
        )

    # Live view.

    async def stage(self, tenant: str, task: str) -> Stage | None:
        """The first running unit's slot: its frames show the task."""
        flat = await self._own(tenant, task)
        if int(flat.get(b"n_running", 0)) == 0:
            return None
        running = await self._running(task)
        if not running:
            return None
        unit, node, index = running[0]
        return Stage(node=node, index=index, unit=unit)

    async def watch(self, task: str, viewer: str, quality: int, fps: int) -> None:
        """Marks the task as watched and has every slot that runs it capture, at the best quality anybody asked for.
        A store that is short of room gets no pictures."""
        if not self._room.for_pictures:
            return
        key, now = self._keys.watch(task), int(time.time() * 1000)
        member = f"{viewer}|{quality}|{fps}"
        async with self._client.pipeline(transaction=True) as pipe:
            pipe.zremrangebyscore(key, "-inf", now - WATCH_SECONDS * 1000)
            pipe.zadd(key, {member: now})
            pipe.expire(key, WATCH_SECONDS + 5)
            pipe.zrange(key, 0, -1)
            *_, viewers = await ask("mark a task as watched", pipe.execute())
        asked = [v.decode().rsplit("|", 2)[1:] for v in viewers]
        best_quality, best_fps = max(int(q) for q, _ in asked), max(int(f) for _, f in asked)
        for _, node, index in await self._running(task):
            boot = await ask("read a node", self._client.hget(self._keys.node(node), "boot"))
            command = Watch((boot or b"").decode(), index, WATCH_SECONDS, best_quality, best_fps)
            await ask("ask for frames", self._client.xadd(self._keys.commands(node), command.to_fields()))

    async def _running(self, task: str) -> list[tuple[str, str, int]]:
        """(unit, node, slot index) of the task's running units, in their order."""
        active = await ask("list a task's active units", self._client.smembers(self._keys.active(task)))
        units = [ids.unit_id(task, index) for index in sorted(map(int, active))]
        records = await each(
            self._client, "read units", units, lambda pipe, u: pipe.hmget(self._keys.unit(u), "state", "slot")
        )
        return [
            (unit, *ids.split_slot_id(slot.decode()))
            for unit, (state, slot) in zip(units, records, strict=True)
            if state == b"running" and slot
        ]

    async def set_limits(self, tenant: str, asked: LimitsRequest) -> TenantLimits:
        """Limits of a tenant's own: those that are given, or None for the fleet's; the others stay."""
        record = self._keys.tenant(ids.name("tenant", tenant))
        given = asked.model_dump(include=asked.model_fields_set & set(TENANT_LIMITS))
        async with self._client.pipeline(transaction=True) as pipe:
            for field, value in given.items():
                if value is None:
                    pipe.hdel(record, field)
                else:
                    pipe.hset(record, field, value)
            pipe.hmget(record, TENANT_LIMITS)
            *_, kept = await ask("change a tenant's limits", pipe.execute())
        own = {field: None if value is None else int(value) for field, value in zip(TENANT_LIMITS, kept, strict=True)}
        return TenantLimits(tenant=tenant, **own)

    async def gauges(self) -> dict[str, Any]:
        """Units and slots by state, totals since the store was made, and means; see ``telemetry``."""
        counters = {
            k.decode(): v for k, v in (await ask("read counters", self._client.hgetall(self._keys.counters()))).items()
        }
        number = {k: int(v) for k, v in counters.items()}
        grants = number.get("grants", 0)
        return {
            "units": {s.value: number.get(f"units_{s}", 0) for s in UnitState},
            "tasks": {s.value: number.get(f"tasks_{s}", 0) for s in TaskState if s.terminal},
            "slots": {s.value: number.get(f"slots_{s}", 0) for s in SlotState},
            "webhook_receivers": await ask("count webhooks", self._client.zcard(self._keys.webhooks())),
            "nodes": await ask("count nodes", self._client.zcard(self._keys.nodes())),
            "results_waiting": await ask("count results", self._client.xlen(self._keys.results())),
            "erasures_open": await ask("count erasures", self._client.zcard(self._keys.erasures_open())),
            "batch_seconds": number.get("batch_ms", 0) / 1000,
            "errors": {k.removeprefix("errors:"): v for k, v in number.items() if k.startswith("errors:")},
            "units_dispatchable": await self._dispatchable(),
            "unit_seconds_mean": number.get("unit_ms_mean", 0) / 1000,
            "wait_seconds_mean": number.get("wait_ms", 0) / 1000 / grants if grants else 0.0,
            **{name: number.get(name, 0) for name in COUNTED},
        }

    # Parts.

    async def _dispatchable(self) -> int:
        """Units that would run now if there were slots: queued ones, as far as their tenants may run more."""
        labels = sorted(
            label.decode() for label in await ask("list labels", self._client.smembers(self._keys.labels()))
        )
        rings = await each(
            self._client, "read rings", labels, lambda pipe, label: pipe.zrange(self._keys.ring(label), 0, -1)
        )
        lines = [(label, who.decode()) for label, ring in zip(labels, rings, strict=True) for who in ring]
        queued = await each(self._client, "count queues", lines, lambda pipe, line: pipe.zcard(self._keys.queue(*line)))
        tenants = sorted({who for _, who in lines})
        counted = await each(
            self._client, "read tenants", tenants,
            lambda pipe, who: pipe.hmget(self._keys.tenant(who), "running", "max_running"),
        )  # fmt: skip
        waiting = Counter[str]()
        for (_, who), units in zip(lines, queued, strict=True):
            waiting[who] += units
        most = self._scripts.limits.tenant_max_running
        return sum(
            min(waiting[who], max(0, int(own or most) - int(running or 0)))
            for who, (running, own) in zip(tenants, counted, strict=True)
        )

    async def _own(self, tenant: str, task: str) -> Flat:
        """The task's record; NotFound for what does not exist and for what is not the tenant's alike."""
        flat: Flat = {}
        if ids.is_task_id(task):
            flat = await ask("read a task", self._client.hgetall(self._keys.task(task)))
        if not flat or flat[b"tenant"].decode() != tenant:
            raise NotFound("task", task)
        return flat

    async def _place(self, tenant: str, task: str) -> tuple[TaskState, int | None]:
        flat, position = await self._with_position(tenant, task, await self._own(tenant, task))
        return TaskState(flat[b"state"].decode()), position

    async def _refusal(self, refused: Refused, tenant: str, units: int) -> Exception:
        if refused.reason == "mismatch":
            return Invalid("this Idempotency-Key was used before with another body: use a new key for a new request")
        if refused.reason == "quota":
            return TooMany(
                f"the daily quota of {refused.limit} units leaves {refused.limit - refused.used}: "
                "send fewer queries, or try again after midnight UTC",
                retry_after=refused.retry_after,
            )
        if units > refused.limit:
            raise Invalid(f"at most {refused.limit} units may wait, and this task has {units}: send fewer queries")
        theirs = refused.reason == "tenant_queue_full"
        room = until_room(
            await self._scripts.outlook(tenant), refused.used + units - refused.limit, tenant if theirs else None
        )
        whose = "of yours" if theirs else "of all tenants"
        return TooMany(
            f"{refused.used} units {whose} wait, of {refused.limit} that may: {units} more must wait outside",
            retry_after=LOOK_AGAIN_S if room is None else min(LOOK_AGAIN_AT_LAST_S, ceil(room)),
        )

    async def _control(
        self,
        tenant: str,
        task: str,
        call: Callable[[str, str], Awaitable[Control]],
        wanted: TaskState | None = None,
    ) -> TaskStatus:
        if not ids.is_task_id(task):
            raise NotFound("task", task)
        answer = await call(tenant, task)
        if answer.verdict == "unknown":
            raise NotFound("task", task)
        if answer.verdict == "terminal" and answer.state != wanted:
            raise Conflict(f"task {task} is {answer.state} already: start a new one")
        return await self.status(tenant, task)

    async def _newest(self, tenant: str, offset: int, limit: int) -> list[str]:
        if limit <= 0:
            return []
        index = self._keys.tenant_tasks(tenant)
        names = await ask("list tasks", self._client.zrevrange(index, offset, offset + limit - 1))
        return [name.decode() for name in names]

    async def _states(self, tenant: str) -> list[tuple[str, TaskState]]:
        """The newest MAX_PAGE tasks and their states, and nothing else of them: a record may hold 1,000 queries."""
        tasks = await self._newest(tenant, 0, MAX_PAGE)
        states = await each(
            self._client, "read tasks", tasks, lambda pipe, task: pipe.hget(self._keys.task(task), "state")
        )
        return [(task, TaskState(state.decode())) for task, state in zip(tasks, states, strict=True) if state]

    async def _read(self, tasks: list[str]) -> list[TaskStatus]:
        records = await each(self._client, "read tasks", tasks, lambda pipe, task: pipe.hgetall(self._keys.task(task)))
        return [task_status(task, flat, None) for task, flat in zip(tasks, records, strict=True) if flat]

    async def _with_position(self, tenant: str, task: str, flat: Flat) -> tuple[Flat, int | None]:
        """A task's record, and its position if it is queued: both as of one moment, read anew when it was dispatched
        between the two. A queued task has none while all its units wait for another attempt."""
        for _ in range(READ_ATTEMPTS):
            if flat[b"state"] != b"queued":
                break
            position = await self._scripts.position(tenant, task)
            if position is not None:
                return flat, position
            flat = await self._own(tenant, task)
        return flat, None


def node_options(request: StartRequest) -> dict[str, Any]:
    """What a node must know of a request; see ``browser_node.scraping``. Nodes know nothing of tenants."""
    wanted = {
        "max_results", "respect_robots", "render", "phone_only", "location", "radius_km", "business_type",
        "lead_objective", "timeout_s", "enrich_websites",
    }  # fmt: skip
    return request.model_dump(mode="json", include=wanted, exclude_none=True)


def _webhook_line(tenant: str, url: str) -> str:
    """Which line a webhook waits in: one a tenant and receiver (host and port, as a name that can be part of a key)."""
    return f"{tenant}|{_digest(urlsplit(url).netloc.lower())[:16]}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
