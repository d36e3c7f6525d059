"""A fleet of fake nodes on a real store: says what nodes would say, and reads the state back as plain values."""

from __future__ import annotations

import json
from typing import Any

from redis.asyncio import Redis

from control_plane.scheduling.limits import Limits
from control_plane.scheduling.scripts import NewTask, Refused, Result, Scripts, Submitted
from fleet import ids, messages
from fleet.keys import Keys
from fleet.messages import Batch, Goodbye, Heartbeat, Register, Run, SlotChange, UnitEnd


class World:
    """Everything a table test needs to set up a state, make one step, and look at the state after it."""

    def __init__(self, client: Redis, **limits: int) -> None:
        self.client = client
        self.keys = Keys("test")
        self.scripts = Scripts(client, self.keys, Limits(**limits))
        self._entries = 0
        self._tasks: dict[str, str] = {}
        self._sequences: dict[tuple[str, int], int] = {}

    async def entry(self) -> str:
        """An id for an entry of an ``out`` stream, later than all before it, at the store's time."""
        seconds, micros = await self.client.time()
        self._entries += 1
        return f"{seconds * 1000 + micros // 1000}-{self._entries}"

    # What nodes say.

    async def node(self, name: str, slots: int = 1, boot: str = "boot", labels: list[str] | None = None) -> str:
        await self.scripts.join(name, "hash-" + name, "0-1")
        message = Register(
            boot=boot, slots=[{"index": i, "port": 9000 + i} for i in range(slots)], labels=list(labels or [])
        )
        return await self.scripts.register(name, await self.entry(), message)

    async def beat(self, node: str, live: list[Run] | None = None, *, seen: str | None = None, boot: str = "boot",
                   draining: bool = False) -> str:  # fmt: skip
        last = await self.client.xrevrange(self.keys.commands(node), count=1)
        handled = seen or (last[0][0].decode() if last else "0-0")
        message = Heartbeat(
            boot=boot, live={r.unit: r.fence for r in live or []}, commands_seen=handled, draining=draining
        )
        return await self.scripts.heartbeat(node, await self.entry(), message)

    async def batch(self, node: str, run: Run, *, leads: list[str] | None = None, entry: str | None = None,
                    seq: int | None = None, pages: int = 1, left_out: int = 0,
                    changes: dict[str, str] | None = None,
                    unset: list[str] | None = None, boot: str = "boot",
                    results: list[Result] | None = None, log: str | None = None) -> tuple[str, int]:  # fmt: skip
        found = results if results is not None else [
            Result("obs_" + lead, "led_" + lead, ["p:" + lead], json.dumps({"display_name": lead}).encode())
            for lead in leads or []
        ]  # fmt: skip
        message = Batch(boot=boot, unit=run.unit, fence=run.fence, seq=seq or self._next(run), pages=pages,
                        set=changes or {}, unset=list(unset or []), left_out=left_out,
                        current="http://a.test/")  # fmt: skip
        events = [("log", json.dumps({"message": log}).encode())] if log else []
        return await self.scripts.ingest(node, entry or await self.entry(), message, events, found)

    async def end(self, node: str, run: Run, outcome: str = "completed", *, error: str = "", detail: str = "",
                  retryable: bool = True, boot: str = "boot", entry: str | None = None) -> str:  # fmt: skip
        message = UnitEnd(boot=boot, unit=run.unit, fence=run.fence, seq=self._next(run), outcome=outcome, error=error,
                          detail=detail, retryable=retryable)  # fmt: skip
        return await self.scripts.unit_end(node, entry or await self.entry(), message)

    async def chrome(self, node: str, slot: int, state: str, port: int = 1) -> str:
        return await self.scripts.slot_change(node, await self.entry(), SlotChange("boot", slot, state, port))

    async def leave(self, node: str) -> str:
        return await self.scripts.goodbye(node, await self.entry(), Goodbye("boot", "bye"))

    # What clients ask.

    async def submit(self, units: int = 1, tenant: str = "acme", task: str | None = None,
                     **fields: Any) -> Submitted | Refused:  # fmt: skip
        new = NewTask(
            tenant=tenant, task=task or ids.new_task_id(), options="{}", spec="{}",
            units=[("website", f"http://{i}.test/") for i in range(units)], **fields,
        )  # fmt: skip
        return await self.scripts.submit(new)

    async def task(self, units: int = 1, tenant: str = "acme", **fields: Any) -> str:
        submitted = await self.submit(units, tenant, **fields)
        assert isinstance(submitted, Submitted), submitted
        return submitted.task

    # What is in the store.

    async def commands(self, node: str, kind: type[messages.Message] | None = None) -> list[messages.Message]:
        entries = await self.client.xrange(self.keys.commands(node))
        parsed = [messages.parse(fields, messages.COMMANDS) for _, fields in entries]
        return [m for m in parsed if kind is None or isinstance(m, kind)]

    async def runs(self, node: str) -> list[Run]:
        return [m for m in await self.commands(node) if isinstance(m, Run)]

    async def run(self, node: str) -> Run:
        return (await self.runs(node))[-1]

    async def state(self, task: str) -> str:
        return (await self.client.hget(self.keys.task(task), "state")).decode()

    async def unit(self, task: str, index: int = 0) -> dict[str, str]:
        return _plain(await self.client.hgetall(self.keys.unit(ids.unit_id(task, index))))

    async def units(self, task: str) -> list[str]:
        count = int(await self.client.hget(self.keys.task(task), "units"))
        return [(await self.unit(task, i))["state"] for i in range(count)]

    async def slot(self, slot: str) -> dict[str, str]:
        return _plain(await self.client.hgetall(self.keys.slot(slot)))

    async def free(self) -> list[str]:
        return sorted(s.decode() for s in await self.client.zrange(self.keys.free("any"), 0, -1))

    async def events(self, task: str, *kinds: str) -> list[tuple[str, dict[str, Any]]]:
        entries = await self.client.xrange(self.keys.events(task))
        told = [(f[b"k"].decode(), json.loads(f[b"d"])) for _, f in entries]
        return [(k, d) for k, d in told if not kinds or k in kinds]

    async def counter(self, name: str) -> int:
        return int(await self.client.hget(self.keys.counters(), name) or 0)

    async def age(self, node: str, milliseconds: int) -> None:
        """Makes the store believe that it heard of a node that much earlier."""
        heard = await self.client.zscore(self.keys.nodes(), node)
        await self.client.zadd(self.keys.nodes(), {node: heard - milliseconds})

    async def due(self, key: str) -> None:
        """Makes everything in a zset of due times due."""
        for member in await self.client.zrange(key, 0, -1):
            await self.client.zadd(key, {member: 1})

    def _next(self, run: Run) -> int:
        key = run.unit, run.fence
        self._sequences[key] = self._sequences.get(key, 0) + 1
        return self._sequences[key]


def _plain(flat: dict[bytes, bytes]) -> dict[str, str]:
    return {k.decode(): v.decode() for k, v in flat.items()}
