"""Nodes that share a name, come back on the same address, or have another idea of the time."""

from __future__ import annotations

import asyncio
import shutil
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from browser_node.chrome_binary import find_chrome
from fleet.model import SESSION_TTL
from tests.faults.fleet import FaultyFleet
from tests.faults.moved_clock import moved, said_times
from tests.faults.site import Sites
from tests.support import wait_until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.faults]

SUPERSEDED = 3
"""Exit code of an agent whose name another one has taken."""

OFF = timedelta(minutes=10)


async def test_32_of_two_nodes_with_one_name_one_generation_wins(fleet: FaultyFleet, site: Sites) -> None:
    async with fleet.another_node("node-3", slots="1") as first:
        generation = (await fleet.node("node-3"))["generation"]

        # another machine that was given the same name is not let in while the first one lives
        same_name = {"LEADFLEET_NODE_ID": "node-3", "LEADFLEET_SLOTS": "1"}
        await fleet.stack.add_node("node-3-stranger", settings=same_name, supervised=False)
        await wait_until(lambda: _refused(fleet), 60, "it to be refused")
        await fleet.remove("node-3-stranger")
        assert (await fleet.node("node-3"))["generation"] == generation
        assert first.running

        # enough units that its slot is never idle
        site.hold()
        queries = [f"http://twin-{number}.site.test/" for number in range(20)]
        task = await fleet.submit(*queries, key="twin", max_parallel=5)
        await fleet.at_work("node-3")

        # a copy of the machine, password and all, takes the name over; the first one ends and says why
        copy = fleet.stack.state.node("node-3-copy")
        copy.mkdir(mode=0o700)
        shutil.copy2(fleet.stack.state.node("node-3") / "password", copy)
        second = await fleet.stack.add_node("node-3-copy", settings=same_name, supervised=False)
        try:
            assert await fleet.up("node-3", generation) == generation + 1
            await wait_until(lambda: not first.running, 60, "the first one to end")
            assert first._process is not None
            assert first._process.returncode == SUPERSEDED
            assert fleet.browsers("node-3") == []
            assert await _spent(fleet, task, len(queries)) == (1, 0), "its unit went back, no attempt was spent"

            # the same machine again, at the same address: its name and its password are still good
            await wait_until(lambda: bool(fleet.browsers("node-3-copy")), 30, "its Chrome")
            second.kill()
            await wait_until(lambda: not second.running, 30, "the second one to be dead")
            await second.start()
            assert await fleet.up("node-3", generation + 1) == generation + 2
            site.let_go()
            (state,) = await fleet.ended(task)
            assert (state["status"], state["attempt"]) == ("completed", 1), state
            assert await _spent(fleet, task, len(queries)) in {(1, 0), (2, 0)}
        finally:
            site.let_go()
            await fleet.remove("node-3-copy")


async def test_16_a_node_whose_clock_is_wrong_expires_neither_early_nor_late(
    fleet: FaultyFleet, site: Sites, tmp_path: Path
) -> None:
    chrome = find_chrome()
    assert chrome is not None
    names = {"node-ahead": OFF, "node-behind": -OFF}
    nodes = {}
    try:
        for name, off in names.items():
            before = (await fleet.node(name))["generation"]
            settings = {"LEADFLEET_SLOTS": "1", **moved(off, chrome.path, tmp_path)}
            nodes[name] = await fleet.stack.add_node(name, settings=settings, supervised=False)
            await fleet.up(name, before)
        for name, off in names.items():
            now = datetime.now().astimezone()
            said = said_times(fleet.stack.state.logs / f"{name}.log")[-1]
            assert abs(said - now - off) < OFF / 2, f"{name} was to be off by {off}"

        site.hold()
        task, running = await fleet.fill(*(f"http://clock-{number}.site.test/" for number in range(6)), key="clock")
        await fleet.until(task, lambda state: state["pages"] >= 6, "all homes to be read")
        generations = {name: (await fleet.node(name))["generation"] for name in names}
        units = {name: running[f"{name}/0"] for name in names}
        await asyncio.sleep(SESSION_TTL.total_seconds() * 1.2)  # longer than a node may be silent
        for name, unit in units.items():
            assert (await fleet.node(name))["generation"] == generations[name], "no early expiry"
            assert (await fleet.unit(unit)).get("deliveries", "0") == "0"
        site.let_go()
        watching = fleet.watch(task)
        (state,) = await fleet.ended(task)
        assert (state["status"], state["attempt"]) == ("completed", 1), state
        for event in await watching:
            if event["type"] == "result":
                found = datetime.fromisoformat(event["data"]["found_at"])
                assert abs(datetime.now().astimezone() - found) < OFF / 2, "leads are dated by the store"

        await asyncio.gather(*(_dies(fleet, name) for name in names))
    finally:
        for name in nodes:
            await fleet.remove(name)


async def _refused(fleet: FaultyFleet) -> bool:
    """Whether a replica has said that it turned a node away."""
    logs = [fleet.stack.state.logs / f"control-plane-{replica}.log" for replica in (1, 2)]
    return any("its name is held by a live one" in log.read_text() for log in logs)


async def _spent(fleet: FaultyFleet, task: str, units: int) -> tuple[int, int]:
    """Lost nodes and failed attempts of all units of a task."""
    found = [await fleet.unit(f"{task}.{index}") for index in range(units)]
    return tuple(sum(int(unit.get(cost, 0)) for unit in found) for cost in ("deliveries", "attempts"))  # type: ignore[return-value]


async def _dies(fleet: FaultyFleet, name: str) -> None:
    """Kill a node; the store takes it for gone after its own `SESSION_TTL`, and not before."""
    fleet.stack.kill(name)
    await wait_until(lambda: not fleet.stack.children[name].running, 30, f"{name} to be dead")
    ((last, _),) = await fleet.redis.xrevrange(fleet.keys.out(name), count=1)

    async def gone() -> bool:
        return (await fleet.node(name))["state"] == "down"

    await fleet.recovers(
        "16 node with a wrong clock given up", 22.0, lambda: wait_until(gone, 90, f"{name} to be down")
    )
    seconds, _ = await fleet.redis.time()
    assert seconds - int(last.partition(b"-")[0]) / 1000 >= SESSION_TTL.total_seconds() - 1
