"""More than the fleet can use: calls good and bad, viewers by the hundred, some of whom never read."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict

import psutil
import pytest

from fleet.cancellation import end_all
from infra.bench.fake_nodes import FakeNodes, Habits
from infra.bench.load import Plan, under_load
from tests.faults.fleet import FaultyFleet
from tests.faults.ledger import Sized
from tests.faults.site import Sites
from tests.support import wait_until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.faults]

FLEET = {"replicas": 1, "nodes": 1, "slots": 2}
FAKES = 20
SECONDS = 60
FLAT_MB = 48
"""How much more the replica may hold at the end of the load than after its first third; a deaf client that held a
second of pictures would cost 40 times its 0.4 MB."""


async def test_overload_costs_no_request_and_no_memory(fleet: FaultyFleet, site: Sites) -> None:
    site.hold()
    habits = Habits(page_s=0.5, logs=2, leads=1)
    names = [f"load-{number}" for number in range(FAKES)]
    async with FakeNodes(fleet.stack.redis_url, fleet.keys, names, habits=habits) as nodes:
        tasks = [
            await fleet.submit(f"http://load-{number}.site.test/", key=f"load-{number}") for number in range(FAKES + 2)
        ]
        await wait_until(lambda: len(nodes.units) == FAKES, 60, "all fake nodes to be at work")
        plan = Plan(fleet.stack.url, fleet.stack.api_key, tasks, starts="http://load.site.test/", seconds=SECONDS)
        resident: list[int] = []
        sampling = asyncio.create_task(_sample(psutil.Process(fleet.pid("control-plane-1")), resident))
        report = await under_load(plan)
        await end_all([sampling])
        print(json.dumps(asdict(report), indent=1))
        site.let_go()
        nodes.let_go()
        await _all_ended(fleet)
    third = len(resident) // 3
    growth = max(resident[third:]) - max(resident[:third])
    fleet.ledger.note(Sized("overload: bytes that the replica grew by", growth, FLAT_MB * 1e6))
    assert report.server_errors == {}
    assert report.unexpected == {}
    for call in ("status 200", "filter 200", "no such task 404", "broken JSON 400"):
        assert report.statuses[call] > 0
    assert report.events > 0


async def _sample(replica: psutil.Process, resident: list[int]) -> None:
    """Resident bytes, twice a second."""
    while True:
        resident.append(replica.memory_info().rss)
        await asyncio.sleep(0.5)


async def _all_ended(fleet: FaultyFleet) -> None:
    """What the load started ends as well."""

    async def none_left() -> bool:
        queue = await fleet.insist("GET", "/api/tasks/queue/status")
        return queue["running"] == queue["pending"] == 0

    await wait_until(none_left, 180, "all tasks to end")
