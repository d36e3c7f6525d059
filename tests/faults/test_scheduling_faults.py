"""Floods, poison, deadlines and stalls: real scripts on a real Valkey, and fake nodes whose units take as long as
the test says. No clock decides: the length of a unit is counted, not waited for."""

from __future__ import annotations

import asyncio
import heapq
import random
from dataclasses import dataclass, field

import pytest
from prometheus_client import generate_latest
from redis.asyncio import Redis

from control_plane import telemetry
from control_plane.errors import Invalid, TooMany
from control_plane.models import StartRequest
from control_plane.monitor import Monitor
from control_plane.scheduling.outlook import until_granted
from control_plane.scheduling.queue import LOOK_AGAIN_AT_LAST_S, LOOK_AGAIN_S, TaskQueue
from control_plane.scheduling.room import Room
from control_plane.scheduling.scripts import Refused, Submitted
from fleet.messages import Cancel, Run
from fleet.model import MAX_ATTEMPTS, MAX_DELIVERIES
from tests.integration.control_plane.scheduling.world import World

UNIT_MS = 60_000


@pytest.fixture
def world(valkey: Redis) -> World:
    return World(valkey)


@dataclass
class Played:
    """A node whose units all take ``UNIT_MS`` of a time that only passes when `step` is called."""

    world: World
    node: str = "n1"
    now_ms: int = 0
    granted: dict[str, int] = field(default_factory=dict)
    """When each unit was granted its slot."""
    _read: str = "0-0"
    _ends: list[tuple[int, int, Run]] = field(default_factory=list)

    async def begin(self, slots: int) -> None:
        await self.world.client.hset(self.world.keys.counters(), "unit_ms_mean", UNIT_MS)
        await self.world.node(self.node, slots=slots)
        await self.note()

    async def note(self) -> None:
        """Take over the leases that were granted since, as of now."""
        for entry, fields in await self.world.client.xrange(self.world.keys.commands(self.node), f"({self._read}"):
            self._read = entry.decode()
            if fields[b"k"] == b"run":
                run = Run.from_fields(fields)
                self.granted[run.unit] = self.now_ms
                heapq.heappush(self._ends, (self.now_ms + UNIT_MS, run.fence, run))

    async def step(self) -> bool:
        """Let the unit end that is due next, and note what is granted then; False when none runs."""
        if not self._ends:
            return False
        self.now_ms, _, run = heapq.heappop(self._ends)
        assert await self.world.end(self.node, run) == "ok"
        await self.note()
        return True

    async def tell_the_store(self) -> None:
        """Since when, in the played time, its leases are held."""
        seconds, micros = await self.world.client.time()
        now = seconds * 1000 + micros // 1000
        for end, _, run in self._ends:
            begun = now - (self.now_ms - (end - UNIT_MS))
            await self.world.client.zadd(self.world.keys.busy("any"), {f"{self.node}/{run.slot}": begun}, xx=True)


@pytest.mark.parametrize("seed", range(12))
async def test_25_the_estimated_wait_is_what_comes(valkey: Redis, seed: int) -> None:
    """Within a factor of two, for units of one kind, whatever tenants, limits and slots there are."""
    world, dice = World(valkey), random.Random(seed)
    played = Played(world)
    tenants = [f"t{number}" for number in range(dice.randint(1, 5))]
    for tenant in tenants:
        if dice.random() < 0.5:
            await world.client.hset(world.keys.tenant(tenant), "max_running", dice.randint(1, 3))
    await played.begin(slots=dice.randint(1, 6))
    for _ in range(dice.randint(2, 12)):
        await world.task(dice.randint(1, 8), dice.choice(tenants), max_parallel=dice.randint(1, 3))
        await played.note()
        if dice.random() < 0.5:
            played.now_ms += dice.randint(0, UNIT_MS // 20)
    for _ in range(dice.randint(0, 6)):
        await played.step()
        await played.note()

    tenant = dice.choice([*tenants, "newcomer"])
    await played.tell_the_store()
    expected = until_granted(await world.scripts.outlook(tenant), tenant)
    asked_at = played.now_ms
    unit = f"{await world.task(1, tenant)}.0"
    await played.note()
    while unit not in played.granted:
        assert await played.step(), "the unit is never granted"
    waited = (played.granted[unit] - asked_at) / 1000
    assert expected is not None
    assert waited / 2 - 1 <= expected <= waited * 2 + 1, (expected, waited)


@pytest.mark.parametrize("slots", [1, 4])
@pytest.mark.parametrize("units", [200, pytest.param(10_000, marks=pytest.mark.faults)])
async def test_25_a_flood_delays_anothers_task_by_one_task_length(valkey: Redis, slots: int, units: int) -> None:
    world = World(valkey, queue_cap=units + 10, tenant_daily_units=units, tenant_max_queued=units)
    played = Played(world)
    await played.begin(slots)
    for _ in range(units // 50):
        await asyncio.gather(*(world.task(tenant="flood") for _ in range(50)))
    await played.note()
    for _ in range(slots + 1):
        await played.step()
    for number in range(3):  # not only the first one: whoever comes again is as well off
        asked_at = played.now_ms
        unit = f"{await world.task(tenant='single')}.0"
        while unit not in played.granted:
            await played.step()
        assert played.granted[unit] - asked_at <= UNIT_MS, number
        for _ in range(slots):
            await played.step()


async def test_25_newcomers_are_served_in_the_order_they_came(world: World) -> None:
    played = Played(world)
    await played.begin(1)
    for _ in range(5):
        await world.task(tenant="flood")
    names = ["zoe", "ann", "max"]
    units = [f"{await world.task(tenant=name)}.0" for name in names]
    await played.note()
    for _ in range(4):
        await played.step()
    assert sorted(units, key=lambda unit: played.granted[unit]) == units
    assert [played.granted[unit] for unit in units] == [UNIT_MS, 2 * UNIT_MS, 3 * UNIT_MS]


async def test_25_a_tenant_queues_no_more_than_its_share_and_is_told_when_to_come_back(valkey: Redis) -> None:
    world = World(valkey, tenant_max_queued=4, tenant_max_running=1)
    queue, played = TaskQueue(valkey, world.keys, world.scripts, Room(valkey)), Played(world)
    await world.client.hset(world.keys.tenant("big"), "max_queued", 6)
    await played.begin(2)
    for _ in range(5):  # one runs, four wait
        await world.task(tenant="small")
    refused = await world.submit(tenant="small")
    assert refused == Refused("tenant_queue_full", used=4, limit=4)
    assert isinstance(await world.submit(tenant="other"), Submitted), "somebody else's queue is not full"
    assert isinstance(await world.submit(units=6, tenant="big"), Submitted), "the tenant's own limit counts"
    await played.note()

    def asked(queries: int) -> StartRequest:
        return StartRequest(queries=[f"http://{n}.test/" for n in range(queries)], platforms=["website"])

    with pytest.raises(TooMany, match="4 units of yours wait") as told:
        await queue.start("small", asked(1), None)
    after = int(told.value.headers["Retry-After"])
    with pytest.raises(Invalid, match="send fewer queries"):
        await queue.start("small", asked(5), None)
    while isinstance(await world.submit(tenant="small"), Refused):
        assert await played.step()
    assert after / 2 <= played.now_ms / 1000 <= after * 2, "it was honest"


async def test_25_a_queue_that_nothing_drains_says_a_minute(valkey: Redis) -> None:
    world = World(valkey, queue_cap=2)
    queue = TaskQueue(valkey, world.keys, world.scripts, Room(valkey))
    await world.task(units=2)
    with pytest.raises(TooMany, match="2 units of all tenants wait") as told:
        await queue.start("acme", StartRequest(queries=["http://a.test/"], platforms=["website"]), None)
    assert told.value.headers["Retry-After"] == str(LOOK_AGAIN_S)
    assert (await queue.queue_status("other")).estimated_wait_time_seconds is None


@pytest.mark.parametrize("kind", ["fails", "kills its node"])
async def test_22_a_poison_unit_ends_and_costs_no_capacity(world: World, kind: str) -> None:
    await world.node("n1", slots=2)
    poison = await world.task()
    for _ in range(MAX_ATTEMPTS if kind == "fails" else MAX_DELIVERIES):
        await world.due(world.keys.retries())
        await world.scripts.reap()
        run = await world.run("n1")
        assert run.unit == f"{poison}.0"
        if kind == "fails":
            await world.end("n1", run, "failed", error="internal", detail="always")
        else:
            await world.node("n1", slots=2)
    assert await world.state(poison) == "error"
    assert await world.counter("dead_letters") == 1
    assert await world.free() == ["n1/0", "n1/1"], "capacity is unchanged"
    healthy = [await world.task() for _ in range(2)]
    assert [await world.state(task) for task in healthy] == ["running", "running"]


async def test_23_a_unit_that_hangs_loses_its_slot_on_the_stores_word(world: World) -> None:
    """It ignores the cancel and its node says nothing of it: the slot is out of service until a new Chrome is there."""
    await world.node("n1")
    task = await world.task()
    run = await world.run("n1")
    await world.due(world.keys.deadlines())
    await world.scripts.reap()
    assert (await world.unit(task))["state"] == "retrying"
    assert (await world.events(task, "log"))[-1][1]["level"] == "warning"
    assert [c.unit for c in await world.commands("n1", Cancel)] == [run.unit]
    assert (await world.slot("n1/0"))["state"] == "releasing"
    assert (await world.batch("n1", run))[0] == "refused"
    await world.client.zadd(world.keys.deadlines(), {f"grace|n1/0|{run.fence}": 1}, xx=True)
    await world.scripts.reap()
    assert (await world.slot("n1/0"))["state"] == "broken"
    await world.chrome("n1", 0, "free")
    await world.due(world.keys.retries())
    await world.scripts.reap()
    again = await world.run("n1")
    assert (again.unit, again.attempt) == (run.unit, 2)
    for _ in range(MAX_ATTEMPTS - 1):
        await world.due(world.keys.deadlines())
        await world.scripts.reap()
        await world.end("n1", await world.run("n1"), "stopped")
        await world.due(world.keys.retries())
        await world.scripts.reap()
    assert (await world.events(task))[-1][1]["error"] == "idle_timeout"


async def test_23_progress_puts_the_idle_timeout_off(world: World) -> None:
    await world.node("n1")
    task = await world.task()
    run = await world.run("n1")
    await world.due(world.keys.deadlines())
    await world.batch("n1", run)
    await world.scripts.reap()
    assert (await world.unit(task))["state"] == "running"
    await world.end("n1", run)
    assert await world.client.zcard(world.keys.deadlines()) == 0


async def test_23_what_nobody_has_read_is_not_idle(world: World) -> None:
    """Control planes that were away for longer than the timeout must not fail what ran on meanwhile."""
    await world.node("n1")
    task = await world.task()
    await world.client.xadd(world.keys.out("n1"), {"k": "beat"})
    await world.due(world.keys.deadlines())
    await world.scripts.reap()
    assert (await world.unit(task))["state"] == "running"
    await world.client.delete(world.keys.out("n1"))
    await world.due(world.keys.deadlines())
    await world.scripts.reap()
    assert (await world.unit(task))["state"] == "retrying"


@pytest.mark.parametrize("rounds", [50, pytest.param(1_000, marks=pytest.mark.faults)])
async def test_26_a_queue_timeout_and_a_grant_never_both_happen(world: World, rounds: int) -> None:
    """The deadline and the slot come at the same moment, in either order."""
    await world.node("n1")
    ends: dict[str, int] = {}
    for number in range(rounds):
        blocker = await world.task()
        blocking = await world.run("n1")
        assert blocking.unit == f"{blocker}.0"
        task = await world.task(queue_timeout_ms=60_000)
        await world.client.zadd(world.keys.deadlines(), {f"queue|{task}": 1}, xx=True)
        entry = await world.entry()
        slot_and_deadline = [world.end("n1", blocking, entry=entry), world.scripts.reap()]
        await asyncio.gather(*(reversed(slot_and_deadline) if number % 2 else slot_and_deadline))
        told = [kind for kind, _ in await world.events(task)]
        granted = "task_started" in told
        assert granted != ("task_error" in told), told
        ends["granted" if granted else "timed out"] = ends.get("granted" if granted else "timed out", 0) + 1
        if granted:
            run = await world.run("n1")
            assert run.unit == f"{task}.0"
            await world.end("n1", run)
            assert await world.state(task) == "completed"
        else:
            assert (await world.events(task))[-1][1]["error"] == "queue_timeout"
        assert await world.free() == ["n1/0"]
        await world.client.xtrim(world.keys.commands("n1"), maxlen=0)
    assert sum(ends.values()) == rounds
    assert set(ends) == {"granted", "timed out"}, "the race was run both ways"


async def test_36_a_full_pool_queues_with_positions_that_come_true(world: World) -> None:
    played = Played(world)
    await played.begin(2)
    tasks = [await world.task(tenant=f"t{number % 3}") for number in range(30)]
    await played.note()
    waiting = [task for task in tasks if f"{task}.0" not in played.granted]
    positions = {task: await world.scripts.position(f"t{tasks.index(task) % 3}", task) for task in waiting}
    assert sorted(positions.values(), key=lambda at: -1 if at is None else at) == list(range(28))
    while await played.step():
        pass
    fences = {run.unit: run.fence for run in await world.runs("n1")}
    assert sorted(waiting, key=lambda task: fences[f"{task}.0"]) == sorted(
        waiting, key=lambda task: positions[task] or 0
    )


@pytest.mark.parametrize("submits", [300, pytest.param(10_000, marks=pytest.mark.faults)])
async def test_25_past_the_cap_submits_are_refused_and_what_was_accepted_ends(valkey: Redis, submits: int) -> None:
    cap = submits * 2 // 3
    world = World(valkey, queue_cap=cap, tenant_daily_units=submits, tenant_max_queued=submits)
    queue, played = TaskQueue(valkey, world.keys, world.scripts, Room(valkey)), Played(world)
    await played.begin(4)
    accepted, waits = [], []
    request = StartRequest(queries=["http://a.test/"], platforms=["website"])
    for number in range(submits):
        try:
            accepted.append((await queue.start(f"t{number % 3}", request, f"key-{number}")).task_id)
        except TooMany as refused:
            waits.append(int(refused.headers["Retry-After"]))
    assert (len(accepted), len(waits)) == (cap + 4, submits - cap - 4)
    assert all(1 <= wait <= LOOK_AGAIN_AT_LAST_S for wait in waits)
    await played.note()
    while await played.step():
        pass
    assert await world.counter("tasks_completed") == len(accepted)
    assert await world.counter("units_queued") == 0
    left = await valkey.hgetall(world.keys.tenant("t0"))
    assert {left[name] for name in (b"backlog", b"pending", b"running")} == {b"0"}


async def test_25_all_ways_out_of_the_queue_are_counted(world: World) -> None:
    """A quota that leaked would lock a tenant out in the end."""
    await world.node("n1")
    running, stopped, paused, late = [await world.task(units=3) for _ in range(4)]
    await world.scripts.stop("acme", stopped)
    await world.scripts.pause("acme", paused)
    await world.scripts.resume("acme", paused)
    await world.scripts.pause("acme", paused)
    await world.scripts.stop("acme", paused)
    await world.client.zadd(world.keys.deadlines(), {f"queue|{late}": 1})
    await world.scripts.reap()
    await world.end("n1", await world.run("n1"), "failed", detail="once")
    await world.due(world.keys.retries())
    await world.scripts.reap()
    while await world.state(running) == "running":
        await world.end("n1", await world.run("n1"))
    left = await world.client.hgetall(world.keys.tenant("acme"))
    assert {name: left[name] for name in (b"backlog", b"pending", b"running")} == {
        b"backlog": b"0",
        b"pending": b"0",
        b"running": b"0",
    }
    assert await world.client.exists(world.keys.queued_tenants("any"), world.keys.busy("any")) == 0
    assert await world.client.zcard(world.keys.deadlines()) == 0


class Hand:
    """A clock that a test turns."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now


async def test_work_beside_a_free_slot_is_a_stall_after_five_seconds(world: World) -> None:
    clock = Hand()
    monitor = Monitor(world.client, world.keys, None, clock)
    await world.task()
    await monitor.look_at_dispatch()
    assert monitor.dispatch() == {"status": "up"}, "there is no slot"
    await world.client.zadd(world.keys.free("any"), {"n1/0": 1})  # as if nobody dispatched any more
    await monitor.look_at_dispatch()
    clock.now = 4.9
    await monitor.look_at_dispatch()
    assert monitor.dispatch() == {"status": "up"}
    clock.now = 5.5
    assert monitor.dispatch() == {"status": "stalled", "seconds": 5.5}
    await monitor.look_at_dispatch()
    assert b"leadfleet_dispatch_stalled_seconds 5.5" in generate_latest(telemetry.REGISTRY)
    await world.client.zrem(world.keys.free("any"), "n1/0")
    await monitor.look_at_dispatch()
    assert monitor.dispatch() == {"status": "up"}
