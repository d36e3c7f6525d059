"""Brings a store of schema 1 to schema 2: what the scripts of today keep beside the records is made from the records.

Nobody changes the store meanwhile: replicas of schema 1 must have stopped, scripts of schema 2 leave a store of schema
1 alone, and nodes write to their own streams only. So the version is changed last, whoever dies before begins again,
and two who do it at once make the same of it. Nothing is deleted, and what is not the scheduler's is not touched.
"""

from __future__ import annotations

import importlib.resources
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import structlog

from control_plane.scheduling.limits import Limits
from fleet.connect import Store
from fleet.errors import SchemaMismatch, StillServed
from fleet.keys import SCHEMA_VERSION, Keys, lua_keys
from fleet.model import TaskState

FROM = "1"

SCANNED_AT_ONCE = 1_000
"""Keys that one SCAN looks at: less than a millisecond of the store's time."""

TOLD_EVERY = 1_000
"""Tasks between two lines of the log."""

log = structlog.get_logger(__name__)


async def bring_up_to_date(client: Store, keys: Keys, limits: Limits, silence: timedelta) -> None:
    """Returns when the store has our schema. A replica that has said nothing for ``silence`` has stopped.

    Raises SchemaMismatch for a schema other than ours and 1, StillServed when replicas of schema 1 live or lived
    meanwhile. Looks at every key once; a task that is not over costs one call.
    """
    found = (await client.get(keys.schema()) or SCHEMA_VERSION.encode()).decode()
    if found == SCHEMA_VERSION:
        return
    if found != FROM:
        raise SchemaMismatch(found, SCHEMA_VERSION)
    seconds, microseconds = await client.time()
    since = seconds * 1000 + microseconds // 1000 - silence // timedelta(milliseconds=1)
    _refuse_beside(await client.zrangebyscore(keys.replicas(), since, "+inf"))
    log.warning("the store is being brought up to date", schema=found, to=SCHEMA_VERSION)
    scripts = _sources()
    pending: dict[str, tuple[str, int]] = {}
    async for task, tenant, units in _open_tasks(client, keys):
        if await client.eval(scripts["task"], 1, keys.root, task, limits.idle_ms) == b"done":
            return
        pending[task] = tenant, units  # by task: a scan may come to one twice
        if len(pending) % TOLD_EVERY == 0:
            log.info("the store is being brought up to date", tasks=len(pending))
    waiting: Counter[str] = Counter()
    for tenant, units in pending.values():
        waiting[tenant] += units
    told = [part for pair in waiting.items() for part in pair]
    verdict, *replicas = await client.eval(scripts["finish"], 1, keys.root, since, *told)
    if verdict == b"served":
        _refuse_beside(replicas)
    log.warning("the store is up to date", schema=SCHEMA_VERSION, tasks=len(pending))


async def _open_tasks(client: Store, keys: Keys) -> AsyncIterator[tuple[str, str, int]]:
    """(task, tenant, pending units) of all tasks that are not over; some perhaps twice."""
    prefix = keys.task("")
    cursor: int | None = None
    while cursor != 0:
        cursor, names = await client.scan(cursor or 0, match=prefix + "*", count=SCANNED_AT_ONCE)
        async with client.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.hmget(name, "state", "tenant", "n_waiting", "n_queued")
            records = await pipe.execute() if names else []
        for name, (state, tenant, held_back, queued) in zip(names, records, strict=True):
            if state is not None and not TaskState(state.decode()).terminal:
                yield name.decode().removeprefix(prefix), tenant.decode(), int(held_back) + int(queued)


def _refuse_beside(replicas: Sequence[bytes]) -> None:
    if replicas:
        raise StillServed(FROM, SCHEMA_VERSION, [replica.decode() for replica in replicas])


def _sources() -> dict[str, str]:
    folder = importlib.resources.files(__package__) / "lua" / "migration"
    names = f"local R = KEYS[1]\n{lua_keys()}\n"
    return {name: names + (folder / f"{name}.lua").read_text("utf-8") for name in ("task", "finish")}
