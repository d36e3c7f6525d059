"""No operation does more work in a larger fleet: the commands that the store runs for it are counted, not timed."""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from control_plane.erasure.registry import Registry
from control_plane.models import StartRequest
from control_plane.scheduling.ingest import Ingest
from control_plane.scheduling.presence import Presence
from control_plane.scheduling.queue import TaskQueue
from control_plane.scheduling.room import Room
from control_plane.scheduling.roster import Roster
from fleet.messages import Run, UnitEnd
from tests.integration.control_plane.scheduling.world import World

DAY_MS = 86_400_000

TENANTS = 5
SMALL, LARGE = (20, 100), (200, 10_000)
"""(nodes of two slots, units that are queued)."""

WHOLE_READS = {
    "SMEMBERS K.labels(": "the labels that units ask for, a handful",
    "SMEMBERS K.active(": "units of one task that are under way, max_parallel at most",
    "ZRANGE K.ring(": "the tenants that wait, for a position or an estimate",
    "SMEMBERS K.queued_tenants(": "the tenants that wait, for an estimate",
    "HGETALL K.checkpoint(": "of one unit",
    "HGETALL K.task(": "of a webhook that is claimed",
    "HGETALL owed": "one question to a model",
    "HKEYS owed": "one question to a model",
}
"""What scripts read as a whole, and why that does not grow with the fleet."""


class Measured:
    """A fleet of some size, and what an operation costs in it."""

    def __init__(self, world: World, queue: TaskQueue) -> None:
        self.world, self.queue = world, queue
        self.roster = Roster(world.client, world.keys, world.scripts)

    async def commands(self, operation: Callable[[], Awaitable[Any]]) -> dict[str, int]:
        """How many commands of each kind the store ran, those inside scripts included."""
        await self.world.client.config_resetstat()
        await operation()
        stats: dict[str, dict[str, int]] = await self.world.client.info("commandstats")
        calls = {name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()}
        return {name: n for name, n in calls.items() if not name.startswith(("config", "info", "script"))}

    async def operations(self) -> dict[str, dict[str, int]]:
        """What each operation costs, in a fleet that is the same but for its size."""
        world = self.world
        counted: dict[str, dict[str, int]] = {}

        async def count(name: str, operation: Callable[[], Awaitable[Any]]) -> None:
            counted[name] = await self.commands(operation)

        first, second = await world.runs("n0")
        entry = await world.entry()
        await count("heartbeat", lambda: world.beat("n0", live=[first, second]))
        await count("ingest", lambda: world.batch("n0", first, leads=["a"], changes={"v": "1"}, entry=entry, log="x"))
        await count("unit_end, and the next grant", lambda: world.end("n0", first))
        await count("unit_end of one that failed", lambda: world.end("n0", second, "failed", error="e", detail="d"))
        await count("submit", lambda: world.task(2, tenant="t1"))
        request = StartRequest(queries=["http://a.test/", "http://b.test/", "http://c.test/"], platforms=["website"])
        task = (await self.queue.start("t2", request, None)).task_id
        await count("position", lambda: world.scripts.position("t2", task))
        await count("status", lambda: self.queue.status("t2", task))
        await count("pause", lambda: world.scripts.pause("t2", task))
        await count("resume", lambda: world.scripts.resume("t2", task))
        await count("stop", lambda: world.scripts.stop("t2", task))
        await count("a broken Chrome", lambda: world.chrome("n1", 0, "broken"))
        await count("register", lambda: world.node("new", slots=2))
        await count("register again", lambda: world.node("new", slots=2, boot="second"))
        await count("drain", lambda: self.roster.drain("n2"))
        await count("goodbye", lambda: world.leave("n2"))
        await count("reap nothing", world.scripts.reap)
        await world.age("n3", 2 * DAY_MS)
        await count("reap a node", world.scripts.reap)
        await count("queue_status", lambda: self.queue.queue_status("nobody"))
        await count("metrics", self.queue.gauges)
        return counted


async def fleet(client: Redis, nodes: int, queued: int) -> Measured:
    await client.flushall()
    # nothing may fall due by itself, however slow the machine is
    world = World(
        client,
        queue_cap=1_000_000,
        tenant_daily_units=1_000_000,
        session_ttl_ms=DAY_MS,
        backoff_ms=DAY_MS,
        idle_ms=DAY_MS,
    )
    for number in range(nodes):
        await world.node(f"n{number}", slots=2)
    for number in range(2 * nodes):
        await world.task(tenant=f"t{number % TENANTS}")
    for number in range(queued // 20):
        await world.task(20, tenant=f"t{number % TENANTS}", max_parallel=20)
    assert await world.counter("units_queued") == queued
    assert await world.counter("slots_leased") == 2 * nodes
    return Measured(world, TaskQueue(client, world.keys, world.scripts, Room(client)))


async def test_no_operation_does_more_in_a_larger_fleet(valkey: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "control_plane.scheduling.scripts.MAX_SAMPLED", 10
    )  # leases an estimate looks at; both have more
    small = await (await fleet(valkey, *SMALL)).operations()
    large = await (await fleet(valkey, *LARGE)).operations()
    assert large == small


async def test_reading_what_nodes_say_looks_up_each_node_once_a_second_and_not_each_time(
    valkey: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("control_plane.scheduling.ingest.BLOCK", timedelta(hours=1))  # no second is over here
    measured = await fleet(valkey, *SMALL)
    world, keys = measured.world, measured.world.keys

    async def prepare() -> None: ...

    presence, registry = Presence(valkey, keys, world.scripts, "a", prepare), Registry(valkey, keys)
    ingest = Ingest(valkey, valkey, keys, world.scripts, presence, registry, enrich=False)
    first, second = [run for n in ("n4", "n5") for run in (await world.runs(n))[:1]]

    async def say(node: str, run: Run) -> None:
        end = UnitEnd(boot="boot", unit=run.unit, fence=run.fence, seq=1, outcome="completed")
        await valkey.xadd(keys.out(node), end.to_fields())

    await say("n4", first)
    before = await measured.commands(ingest.tick)
    await say("n5", second)
    after = await measured.commands(ingest.tick)
    assert [await world.units(run.unit.removesuffix(".0")) for run in (first, second)] == [["completed"]] * 2
    assert before["hget"] - after["hget"] == SMALL[0]
    assert before["evalsha"] == after["evalsha"] == 1


def test_a_script_reads_nothing_as_a_whole_but_what_is_known_to_be_small() -> None:
    folder = importlib.resources.files("control_plane.scheduling") / "lua"
    found = set()
    for script in (each for each in folder.iterdir() if each.is_file()):  # a migration runs once
        text = script.read_text(encoding="utf-8")
        for command, key, rest in re.findall(
            r"redis\.call\('(HGETALL|HKEYS|HVALS|SMEMBERS|KEYS|SCAN|[ZHS]SCAN|ZRANGE|ZREVRANGE|LRANGE|XRANGE)', "
            r"(\w+(?:\.\w+\()?)([^\n]*)",
            text,
        ):
            if "RANGE" not in command or re.search(r", 0, -1\b|'\+'|'-'", rest):
                found.add(f"{command} {key}")
    assert found == WHOLE_READS.keys()


@pytest.mark.parametrize("ended", ["stop", "timeout"])
async def test_the_end_of_a_large_task_is_written_down_a_little_at_a_time(valkey: Redis, ended: str) -> None:
    world = World(valkey, queue_cap=1_000_000, tenant_daily_units=1_000_000, sweep_max=50)
    measured = Measured(world, TaskQueue(valkey, world.keys, world.scripts, Room(valkey)))
    await world.node("n0", slots=2)

    async def end(units: int) -> tuple[str, dict[str, int]]:
        task = await world.task(units, timeout_ms=60_000)
        if ended == "stop":
            return task, await measured.commands(lambda: world.scripts.stop("acme", task))
        await valkey.zadd(world.keys.deadlines(), {f"run|{task}": 1}, xx=True)
        return task, await measured.commands(world.scripts.reap)

    async def let_go() -> None:
        for run in (await world.runs("n0"))[-2:]:
            await world.end("n0", run, "stopped")

    task, few = await end(200)
    await let_go()
    while (await world.scripts.reap()).more:
        pass
    large, many = await end(1_000)

    assert many == few
    assert await world.counter("units_waiting") == 0
    assert await world.counter("units_stopped") == 1_200
    assert int(await valkey.hget(world.keys.tenant("acme"), "backlog")) == 0
    assert (await world.events(large))[-1][1]["units"] == {"stopped": 1_000}
    assert await valkey.ttl(world.keys.task(large)) == -1
    assert (await world.units(large)).count("waiting") == 950

    while await valkey.exists(world.keys.unswept()):
        assert sum((await measured.commands(world.scripts.reap)).values()) < 5 * 50
    for ended_task, units in ((task, 200), (large, 1_000)):
        assert await world.units(ended_task) == ["stopped"] * units
        assert await valkey.exists(world.keys.waiting(ended_task), world.keys.active(ended_task)) == 0
        assert await valkey.ttl(world.keys.task(ended_task)) > 0
        assert all([await valkey.ttl(world.keys.unit(f"{ended_task}.{i}")) > 0 for i in range(units)])


async def test_what_a_task_had_not_begun_when_it_ended_stays_ended(valkey: Redis) -> None:
    """Between the end of a task and the last of its records nothing of it can be dispatched."""
    world = World(valkey, sweep_max=1)
    task = await world.task(9, max_parallel=2)
    await world.scripts.stop("acme", task)
    await world.node("n0", slots=2)
    await world.scripts.reap()
    assert await world.runs("n0") == []
    assert await world.scripts.position("acme", task) is None
    assert await world.free() == ["n0/0", "n0/1"]


async def test_slots_are_counted_as_they_change(valkey: Redis) -> None:
    world = World(valkey, node_memory_s=600)
    queue = TaskQueue(valkey, world.keys, world.scripts, Room(valkey))

    async def counted() -> dict[str, int]:
        slots = (await queue.gauges())["slots"]
        listed = [view.state for view in (await Roster(valkey, world.keys, world.scripts).slots(None, limit=50)).slots]
        assert slots == {state: listed.count(state) for state in slots}
        return {state: n for state, n in slots.items() if n}

    await world.node("n0", slots=3)
    await world.node("n1", slots=1)
    task = await world.task(2)
    assert await counted() == {"free": 2, "leased": 2}
    runs: list[Run] = await world.runs("n0")
    await world.scripts.stop("acme", task)
    assert await counted() == {"free": 2, "releasing": 2}
    await world.end("n0", runs[0], "stopped")
    await world.chrome("n0", 2, "broken")
    assert await counted() == {"free": 2, "broken": 1, "releasing": 1}
    await world.node("n0", slots=2, boot="second")
    assert await counted() == {"free": 3}
    await world.age("n1", 60_000)
    await world.scripts.reap()
    assert await counted() == {"free": 2, "down": 1}

    heard = await valkey.zscore(world.keys.known(), "n1")
    await valkey.zadd(world.keys.known(), {"n1": heard - 700_000})
    await world.scripts.reap()
    assert await counted() == {"free": 2}
    assert await valkey.exists(world.keys.node("n1"), world.keys.slot("n1/0"), world.keys.commands("n1")) == 0


async def test_nodes_and_slots_are_listed_in_pages_that_cost_the_same_in_any_fleet(valkey: Redis) -> None:
    world = World(valkey)
    queue = TaskQueue(valkey, world.keys, world.scripts, Room(valkey))
    measured = Measured(world, queue)
    costs = []
    for first, past in ((0, 12), (12, 60)):
        for number in range(first, past):
            await world.node(f"n{number}", slots=12)
        costs.append([
            await measured.commands(lambda: measured.roster.nodes(limit=5, cursor="n10")),
            await measured.commands(lambda: measured.roster.slots(None, limit=20, cursor="n10/9")),
        ])  # fmt: skip
    nodes, slots = costs[0]
    assert nodes["zrange"] == slots["zrange"] == 1
    assert costs[1][0] == {**nodes, "hgetall": 5, "hget": 60}, "five nodes, and the states of their slots"
    assert costs[1][1]["hgetall"] == 20
    assert costs[1][1]["hget"] <= 21, "nodes are asked for their slots until the page is full"


async def test_pages_have_every_node_and_slot_once_in_their_order(valkey: Redis) -> None:
    world = World(valkey)
    roster = Roster(valkey, world.keys, world.scripts)
    for number in range(11):
        await world.node(f"n{number}", slots=11)
    nodes, slots = [], []
    cursor, pages = None, 0
    while pages == 0 or cursor:
        listed = await roster.nodes(limit=4, cursor=cursor)
        nodes += [node.node_id for node in listed.nodes]
        cursor, pages = listed.next_cursor, pages + 1
        await world.beat("n3")  # who was heard last does not change the order
    assert (pages, nodes) == (3, sorted(f"n{number}" for number in range(11)))
    cursor, pages = None, 0
    while pages == 0 or cursor:
        found = await roster.slots(None, limit=11, cursor=cursor)
        slots += [slot.slot_id for slot in found.slots]
        cursor, pages = found.next_cursor, pages + 1
    assert (pages, slots) == (11, [f"{node}/{index}" for node in nodes for index in range(11)])
