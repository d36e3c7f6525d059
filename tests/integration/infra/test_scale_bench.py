"""The fake nodes of the bench are believed by the real scripts; what is measured is what a fleet does."""

from __future__ import annotations

from control_plane.scheduling.queue import TaskQueue
from control_plane.scheduling.room import Room
from infra.bench.scale_fleet import SLOTS, TASK_UNITS, FakeFleet


async def test_fake_nodes_do_what_nodes_do() -> None:
    async with FakeFleet.running(2) as fleet:
        for node in fleet.nodes:
            await fleet.register(node)
        tasks = [await fleet.submit() for _ in range(2)]
        await fleet.all_know(2 * SLOTS)
        await fleet.ingest()
        await fleet.unit_end()
        await fleet.all_know(2 * SLOTS)  # the next one was dispatched, and its node has read it
        await fleet.heartbeat()

        gauges = await TaskQueue(fleet.client, fleet.keys, fleet.scripts, Room(fleet.client)).gauges()
        assert gauges["slots"]["leased"] == 2 * SLOTS
        assert gauges["units"]["running"] == 2 * SLOTS
        assert gauges["units"]["queued"] == len(tasks) * TASK_UNITS - 2 * SLOTS - 1
        assert (gauges["units"]["completed"], gauges["leads"], gauges["pages"]) == (1, 1, 1)
        assert gauges["stale_writes"] == 0
        cost = await fleet.cost(fleet.heartbeat, 10)
        assert 0 < cost.server_p50 <= cost.server_p99
        assert cost.cpu_us > 0
