"""What one Valkey carries: 20, 200 and 2,000 fake nodes of ten slots, a hundred queued units each, 50 tenants.

The server's processor time is the figure to go by: it says what one core carries, and other work on the machine does
not stretch it. Times are given as they were.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from rich.console import Console

from control_plane.erasure.registry import Registry
from control_plane.scheduling.ingest import Ingest
from control_plane.scheduling.presence import Presence
from control_plane.scheduling.queue import TaskQueue
from control_plane.scheduling.room import Room
from control_plane.scheduling.roster import Roster
from fleet.cancellation import end_all
from fleet.model import HEARTBEAT
from infra.bench.rows import Row
from infra.bench.scale_fleet import CLIENTS, QUEUED, SLOTS, TASK_UNITS, TIMEOUT_S, Cost, FakeFleet, percentile

SIZES = (20, 200, 2_000)
CALLS, SINGLES = 1_000, 1_000
STEADY_ROUNDS = 3  # heartbeats of each node while the real ingest reads them
LARGE_TASK = 5_000
REPEATS = 5


@dataclass
class Found:
    """The figures of one size."""

    costs: dict[str, Cost] = field(default_factory=dict)
    bytes_of: dict[str, float] = field(default_factory=dict)
    held: dict[str, float] = field(default_factory=dict)
    shares: dict[str, float] = field(default_factory=dict)


async def scale() -> list[Row]:
    """All sizes, one after the other, each on a server of its own."""
    found = {}
    for nodes in SIZES:
        began = time.monotonic()
        async with FakeFleet.running(nodes) as fleet:
            found[nodes] = await _measure(fleet)
            _say(fleet, f"done in {time.monotonic() - began:.0f} s")
    return _rows(found)


def _say(fleet: FakeFleet, step: str) -> None:
    Console(stderr=True).print(f"scale, {len(fleet.nodes)} nodes: {step}", highlight=False)


async def _measure(fleet: FakeFleet) -> Found:
    found = Found()
    bare = await fleet.client.script_load("return 1")
    found.costs["bare"] = await fleet.cost(lambda: fleet.client.evalsha(bare, 1, fleet.keys.root), CALLS)
    await _fill(fleet, found)
    for name, operation in (
        ("unit_end", fleet.unit_end),
        ("heartbeat", fleet.heartbeat),
        ("ingest", fleet.ingest),
    ):
        found.costs[name] = await fleet.cost(operation, CALLS)
        _say(fleet, name)
    await _bytes_of_events(fleet, found)
    await _reads(fleet, found)
    _say(fleet, "reads")
    await _steady(fleet, found)
    _say(fleet, "a steady load")
    found.costs["submit"] = await fleet.cost(fleet.submit, CALLS)
    await _large_tasks(fleet, found)
    return found


async def _fill(fleet: FakeFleet, found: Found) -> None:
    """Registers the nodes, gives every slot a unit, fills the queue; what each takes of memory."""
    slots, queued = len(fleet.nodes) * SLOTS, len(fleet.nodes) * QUEUED
    before = await fleet.memory()
    await _each([partial(fleet.register, node) for node in fleet.nodes])
    registered = await fleet.memory()
    await _each([fleet.submit] * (slots // TASK_UNITS))
    await fleet.all_know(slots)
    # what a node's heartbeat trims: commands that were handled
    await _each([fleet.heartbeat] * len(fleet.nodes))
    running = await fleet.memory()
    await _each([fleet.submit] * (queued // TASK_UNITS))
    full = await fleet.memory()
    _say(fleet, "the queue is full")
    found.bytes_of["slot"] = (registered - before) / slots
    found.bytes_of["running_unit"] = (running - registered) / slots
    found.bytes_of["queued_unit"] = (full - running) / queued
    await _each([partial(fleet.submit, 1, 1)] * SINGLES)
    found.bytes_of["queued_task_of_one"] = (await fleet.memory() - full) / SINGLES
    gauges = await TaskQueue(fleet.client, fleet.keys, fleet.scripts, Room(fleet.client)).gauges()
    assert gauges["slots"]["leased"] == slots, gauges["slots"]


async def _bytes_of_events(fleet: FakeFleet, found: Found) -> None:
    """A result's stream entries: what its task's clients are told, and what the sink stores."""
    task = next(run.unit.rpartition(".")[0] for runs in fleet.leases.values() for run in runs.values())
    stream = fleet.keys.events(task)
    found.bytes_of["event"] = await fleet.client.memory_usage(stream, samples=0) / await fleet.client.xlen(stream)
    stream = fleet.keys.results()
    found.bytes_of["stored_result"] = await fleet.client.memory_usage(stream, samples=0) / await fleet.client.xlen(
        stream
    )


async def _reads(fleet: FakeFleet, found: Found) -> None:
    """What the API asks: a position among 50 tenants, the metrics page, the list of all nodes."""
    queue = TaskQueue(fleet.client, fleet.keys, fleet.scripts, Room(fleet.client))
    task = await fleet.submit()
    tenant = (await fleet.client.hget(fleet.keys.task(task), "tenant")).decode()
    found.costs["position"] = await fleet.cost(lambda: fleet.scripts.position(tenant, task), CALLS // 4)
    found.costs["metrics"] = await fleet.cost(queue.gauges, CALLS // 4)
    began = time.perf_counter()
    assert (await Roster(fleet.client, fleet.keys, fleet.scripts).nodes(limit=50)).nodes
    found.held["list_of_nodes"] = (time.perf_counter() - began) * 1000


async def _steady(fleet: FakeFleet, found: Found) -> None:
    """Every node's heartbeat every 3 s, read by the real ingest, first alone and then with units that end besides."""

    async def prepare() -> None: ...

    presence, registry = (
        Presence(fleet.client, fleet.keys, fleet.scripts, "a", prepare),
        Registry(fleet.client, fleet.keys),
    )
    ingest = Ingest(fleet.client, fleet.client, fleet.keys, fleet.scripts, presence, registry, enrich=False)

    async def read() -> None:
        while True:
            await ingest.tick()

    reading = asyncio.create_task(read(), name="ingest")
    try:
        planned = STEADY_ROUNDS * HEARTBEAT.total_seconds()
        cpu, own, _ = await _load(fleet, ends=False)
        found.shares["heartbeats"], found.shares["replica"] = cpu / planned, own / planned
        more_cpu, more_own, ended = await _load(fleet, ends=True)
        found.shares["unit_us"] = (more_cpu - cpu) / ended * 1e6
        found.shares["replica_unit_us"] = (more_own - own) / ended * 1e6
    finally:
        await end_all([reading])


async def _load(fleet: FakeFleet, *, ends: bool) -> tuple[float, float, int]:
    """Seconds of a core that the server and this process used for three heartbeats of each node, spread over nine
    seconds, and for the ends of units, about one for each of them; and how many units have ended."""
    cpu, own, began = await fleet.cpu_s(), time.process_time(), time.monotonic()
    ended = 0
    for step in range(STEADY_ROUNDS * 10):
        due = began + step * HEARTBEAT.total_seconds() / 10
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        async with fleet.client.pipeline(transaction=False) as pipe:
            for node in fleet.nodes[step % 10 :: 10]:
                if ends and fleet.leases[node]:
                    pipe.xadd(fleet.keys.out(node), fleet.end(node).to_fields())
                    ended += 1
                pipe.xadd(fleet.keys.out(node), fleet.beat(node).to_fields())
            await pipe.execute()
    await _all_read(fleet)
    return await fleet.cpu_s() - cpu, time.process_time() - own, ended


async def _all_read(fleet: FakeFleet) -> None:
    """Waits until the ingest has applied what every node said last."""
    until = time.monotonic() + TIMEOUT_S
    while time.monotonic() < until:
        async with fleet.client.pipeline(transaction=False) as pipe:
            for node in fleet.nodes:
                pipe.xrevrange(fleet.keys.out(node), count=1)
                pipe.hget(fleet.keys.node(node), "cursor")
            replies = await pipe.execute()
        if all(last[0][0] == cursor for last, cursor in zip(replies[::2], replies[1::2], strict=True)):
            return
        await asyncio.sleep(0.5)
    raise TimeoutError("the ingest has not read everything that the nodes said")


async def _large_tasks(fleet: FakeFleet, found: Found) -> None:
    """For how long the largest single calls hold the server: the middle one of a few."""
    held: dict[str, list[float]] = {"submit_1000_units": [], "stop_5000_units": [], "sweep": []}
    for _ in range(REPEATS):
        _, took = await fleet.held_ms(fleet.submit(1_000, 50))
        held["submit_1000_units"].append(took)
        task = await fleet.submit(LARGE_TASK, 50)
        tenant = (await fleet.client.hget(fleet.keys.task(task), "tenant")).decode()
        _, took = await fleet.held_ms(fleet.scripts.stop(tenant, task))
        held["stop_5000_units"].append(took)
        more = 1
        while more:
            reaped, took = await fleet.held_ms(fleet.scripts.reap())
            held["sweep"].append(took)
            more = reaped.more
    lost: list[float] = []
    for number in range(REPEATS):
        gone = fleet.nodes[2 * number : 2 * number + 2]
        await fleet.client.zadd(fleet.keys.nodes(), dict.fromkeys(gone, 1))
        await fleet.client.delete(*map(fleet.keys.out, gone))
        reaped, took = await fleet.held_ms(fleet.scripts.reap())
        lost.append(took / reaped.nodes)
    held["a_lost_node_of_10_leases"] = lost
    found.held |= {name: percentile(times, 0.5) for name, times in held.items()}


async def _each(calls: list[Callable[[], Awaitable[Any]]]) -> None:
    """All calls, CLIENTS at once."""
    left = iter(calls)

    async def client() -> None:
        for call in left:
            await call()

    await asyncio.gather(*(client() for _ in range(CLIENTS)))


def _rows(found: dict[int, Found]) -> list[Row]:
    """The largest fleet's figures; the ratio is to the smallest's, and says whether a figure grows with the fleet."""
    large = found[SIZES[-1]]
    bare = large.costs["bare"]

    def grown(name: str, unit: str, value: Callable[[Found], float]) -> Row:
        sizes = [value(found[nodes]) for nodes in SIZES]
        against = ", ".join(f"{nodes} nodes: {size:.3g}" for nodes, size in zip(SIZES[:-1], sizes[:-1], strict=True))
        return Row(f"scale_{name}", round(sizes[-1], 3), unit, round(sizes[-1] / sizes[0], 2), against)

    rows = []
    for name, cost in large.costs.items():
        rows.append(grown(f"{name}_cpu_us", "µs", partial(_cpu_us, name)))
        if cost.server_p50:
            rows += [
                Row(f"scale_{name}_server_p50_ms", round(cost.server_p50, 3), "ms"),
                Row(f"scale_{name}_server_p99_ms", round(cost.server_p99, 3), "ms"),
            ]
        against = f"bare EVALSHA, {CLIENTS} calls in flight as here: {bare.per_s:.0f}"
        rows += [
            Row(f"scale_{name}_client_p50_ms", round(cost.client_p50, 2), "ms"),
            Row(f"scale_{name}_client_p99_ms", round(cost.client_p99, 2), "ms"),
            Row(f"scale_{name}_per_s", round(cost.per_s), "1/s", round(cost.per_s / bare.per_s, 2), against),
        ]
    for name in large.bytes_of:
        rows.append(grown(f"{name}_bytes", "B", partial(_bytes, name)))
    for name in large.held:
        rows.append(grown(f"{name}_ms", "ms", partial(_held, name)))
    whole_us = large.shares["unit_us"]
    beats_us = large.shares["heartbeats"] * HEARTBEAT.total_seconds() / SIZES[-1] * 1e6
    return [
        *rows,
        grown("heartbeats_core_share", "cores", lambda f: f.shares["heartbeats"]),
        Row("scale_heartbeat_whole_cpu_us", round(beats_us), "µs", None, "appended, read by ingest, applied"),
        Row("scale_heartbeats_a_core_per_s", round(1e6 / beats_us), "1/s", None, "derived"),
        grown("heartbeats_replica_core_share", "cores", lambda f: f.shares["replica"]),
        grown("unit_whole_cpu_us", "µs", lambda f: f.shares["unit_us"]),
        Row("scale_units_a_core_per_s", round(1e6 / whole_us), "1/s", None, "derived: end, read, applied, next grant"),
        grown("unit_replica_cpu_us", "µs", lambda f: f.shares["replica_unit_us"]),
    ]


def _cpu_us(name: str, found: Found) -> float:
    return found.costs[name].cpu_us


def _bytes(name: str, found: Found) -> float:
    return found.bytes_of[name]


def _held(name: str, found: Found) -> float:
    return found.held[name]
