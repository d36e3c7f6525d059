"""Containers that come, go, are killed, cut off and run out of memory, under a load that must not notice."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from infra.containers.project import docker_output
from tests.faults.ledger import Ran, Recovered, Run
from tests.faults.site import Sites
from tests.faults.viewers import over_socket, over_sse
from tests.stack.fleet import READY_S, ContainerFleet
from tests.stack.hostile import HostilePages
from tests.support import wait_until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.stack]

SERVICES = ("valkey", "s3", "control-plane", "proxy", "egress", "node", "town")


async def docker(*arguments: str, timeout: float = 120) -> str:
    return await asyncio.to_thread(docker_output, *arguments, timeout=timeout)


def sites(name: str, count: int) -> list[str]:
    return [f"http://{name}-{number}.site.test/" for number in range(count)]


async def deliveries(fleet: ContainerFleet, task: str, units: int) -> list[int]:
    """How often each unit of a task was lost with its node."""
    return [int((await fleet.unit(f"{task}.{index}")).get("deliveries", 0)) for index in range(units)]


async def test_nodes_come_and_go_and_no_task_is_lost(fleet: ContainerFleet, site: Sites) -> None:
    """1 → 3 → 1; those that leave hand back what they have, which costs no delivery."""
    units = 12
    site.hold()
    task = await fleet.submit(*sites("scaled", units), key="scaled", max_parallel=8)
    watching = fleet.watch(task)
    await fleet.recovers("1 → 3 nodes", 60, lambda: fleet.scale(3))

    async def all_busy() -> bool:
        slots = (await fleet.insist("GET", "/api/fleet/slots"))["slots"]
        return len({slot["node_id"] for slot in slots if slot["state"] == "leased"}) == 3

    await wait_until(all_busy, 120, "all three nodes to work")
    await fleet.recovers("3 → 1 nodes, draining", 75, lambda: fleet.scale(1))
    site.let_go()
    (state,) = await fleet.ended(task, limit_s=600)
    assert state["status"] == "completed", state
    await watching
    assert set(await deliveries(fleet, task, units)) == {0}
    facts = [line.fact for line in Run.told(fleet.ledger.directory)]
    assert len({fact.node for fact in facts if isinstance(fact, Ran)}) == 3, "what each of them ran is judged"


@pytest.mark.parametrize("service", ["node", "egress"])
async def test_a_container_that_is_told_to_stop_ends_in_order(fleet: ContainerFleet, site: Sites, service: str) -> None:
    """With work under way: a node hands it back at no cost, the egress proxy lets its connections end."""
    site.hold()
    task = await fleet.submit(*sites(f"stopped-{service}", 2), key=f"stopped-{service}")
    watching = fleet.watch(task)
    await fleet.until(task, lambda state: state["pages"] >= 1, "its first page")
    (name,) = fleet.names(service)
    allowed_s = fleet.inspected(name)["Config"]["StopTimeout"]
    await fleet.recovers(f"docker stop → ended: {service}, at work", allowed_s, lambda: docker("stop", name))
    assert fleet.inspected(name)["State"]["ExitCode"] == 0, "137 is what a container has that had to be killed"
    await docker("start", name)
    site.let_go()
    (state,) = await fleet.ended(task, limit_s=300)
    assert state["status"] == "completed", state
    await watching
    assert await deliveries(fleet, task, 2) == [0, 0]


@pytest.mark.parametrize("service", SERVICES)
async def test_a_killed_container_loses_nothing(fleet: ContainerFleet, site: Sites, service: str) -> None:
    """`docker kill` counts as an order not to start again; a person starts it."""
    site.hold()
    task = await fleet.submit(*sites(f"killed-{service}", 2), key=f"killed-{service}")
    watching = fleet.watch(task)
    await fleet.until(task, lambda state: state["pages"] >= 1, "its first page")
    for name in fleet.names(service):
        await docker("kill", name)
        await docker("start", name)
        site.let_go()

        async def healthy(name: str = name) -> None:
            await wait_until(
                lambda: fleet.project.states().get(name) == "healthy", READY_S, f"{name} to be healthy again"
            )

        await fleet.recovers(f"docker kill, start → healthy: {name.partition('_')[2] or name}", 60, healthy)
    (state,) = await fleet.ended(task, limit_s=300)
    assert state["status"] == "completed", state
    await watching
    await fleet.healthy()
    await fleet.all_nodes_up()


async def test_a_container_that_crashes_is_started_again(fleet: ContainerFleet) -> None:
    """By the engine, since nobody ordered it to end."""
    for service in ("control-plane", "node"):
        name = fleet.names(service)[0]
        before = fleet.inspected(name)
        os.kill(before["State"]["Pid"], signal.SIGKILL)
        await wait_until(
            lambda name=name, before=before: fleet.inspected(name)["RestartCount"] > before["RestartCount"],
            60,
            f"{name} to be started again",
        )
    await fleet.healthy()
    await fleet.all_nodes_up()


@asynccontextmanager
async def cut_off(fleet: ContainerFleet, node: str, seconds: float) -> AsyncIterator[None]:
    """Without the nodes' network for so long."""
    network = f"{fleet.project.name}_fleet"
    await docker("network", "disconnect", network, node)
    began = time.monotonic()
    try:
        yield
        await asyncio.sleep(max(0.0, seconds - (time.monotonic() - began)))
    finally:
        await docker("network", "connect", network, node)


async def test_a_node_that_is_cut_off_for_12_s_keeps_its_work(fleet: ContainerFleet, site: Sites) -> None:
    site.hold()
    (node,) = fleet.names("node")
    generation = (await fleet.node(fleet.node_id(node)))["generation"]
    task = await fleet.submit(*sites("cut-short", 1), key="cut-short")
    watching = fleet.watch(task)
    await fleet.until(task, lambda state: state["pages"] >= 1, "its first page")
    async with cut_off(fleet, node, 12):
        pass
    site.let_go()
    (state,) = await fleet.ended(task, limit_s=300)
    assert state["status"] == "completed", state
    await watching
    assert await deliveries(fleet, task, 1) == [0]
    assert (await fleet.node(fleet.node_id(node)))["generation"] == generation, "the same session goes on"


async def test_a_node_that_is_cut_off_for_40_s_loses_its_work_to_another(fleet: ContainerFleet, site: Sites) -> None:
    await fleet.scale(2)
    try:
        site.hold()
        task = await fleet.submit(*sites("cut-long", 1), key="cut-long")
        watching = fleet.watch(task)
        await fleet.until(task, lambda state: state["pages"] >= 1, "its first page")
        node, _, unit = await fleet.at_work()
        (name,) = [name for name in fleet.names("node") if fleet.node_id(name) == node]
        async with cut_off(fleet, name, 40):
            began = time.monotonic()
            await fleet.until_unit(
                unit, lambda unit: unit.get("slot", "").partition("/")[0] not in {"", node}, "another node to have it"
            )
            fleet.ledger.note(Recovered("cut off → its unit runs elsewhere", time.monotonic() - began, 22 * 3))
            site.let_go()
        (state,) = await fleet.ended(task, limit_s=300)
        assert state["status"] == "completed", state
        await watching
        assert await deliveries(fleet, task, 1) == [1]
        await fleet.recovers("back after 40 s → up", 30, fleet.all_nodes_up)
    finally:
        await fleet.scale(1)


async def test_replicas_are_renewed_one_by_one_and_no_client_notices(fleet: ContainerFleet, site: Sites) -> None:
    """Streams resume where they were, and no request fails."""
    site.hold()
    task = await fleet.submit(*sites("rolling", 4), key="rolling")
    watching = [fleet.watch(task, transport=transport, patient=True) for transport in (over_socket, over_sse) * 3]
    await wait_until(lambda: fleet.viewers_of(0) == len(watching), 60, "all viewers to be connected")
    failed: list[Any] = []
    asking = asyncio.create_task(_ask_on(fleet, failed))
    try:
        for name in fleet.names("control-plane"):
            await docker("stop", "--time", "30", name)
            assert fleet.inspected(name)["State"]["ExitCode"] == 0, "it ended in order, inside its time"
            await docker("start", name)
            await wait_until(
                lambda name=name: fleet.project.states()[name] == "healthy", READY_S, f"{name} to be healthy"
            )
            await asyncio.sleep(2)  # the proxy asks for readiness each second, and must have seen it
        site.let_go()
        (state,) = await fleet.ended(task, limit_s=300)
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    assert state["status"] == "completed", state
    streams = await asyncio.gather(*watching)
    assert len({tuple(event["id"] for event in stream) for stream in streams}) == 1
    assert failed == []


async def _ask_on(fleet: ContainerFleet, failed: list[Any]) -> None:
    """One request after the other, each over a connection of its own."""
    headers = {"Authorization": f"Bearer {fleet.project.api_key}"}
    while True:
        try:
            async with (
                aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=10)) as session,
                session.get(f"{fleet.project.url}/api/fleet/nodes") as answer,
            ):
                if answer.status != 200:
                    failed.append((time.time(), answer.status, await answer.text()))
        except (aiohttp.ClientError, TimeoutError) as exc:
            failed.append((time.time(), repr(exc)))
        await asyncio.sleep(0.05)


async def test_a_page_that_takes_all_memory_takes_its_chrome_alone(
    fleet: ContainerFleet, site: Sites, hostile: HostilePages
) -> None:
    """The container's limit, below the agent's own: the kernel ends a renderer, the agent serves on."""
    (name,) = fleet.names("node")
    before, node = fleet.inspected(name), await fleet.node(fleet.node_id(name))
    limits = before["HostConfig"]
    await docker("update", "--memory", "1700m", "--memory-swap", "1700m", name)
    try:
        bad = await fleet.submit("http://memory.hostile.test/", key="memory")
        good = await fleet.submit(*sites("beside", 1), key="beside")
        (well,) = await fleet.ended(good, limit_s=300)
        (ill,) = await fleet.ended(bad, limit_s=300)
    finally:
        await docker("update", "--memory", str(limits["Memory"]), "--memory-swap", str(limits["MemorySwap"]), name)
    assert well["status"] == "completed", well
    assert ill["status"] == "error", ill
    after = fleet.inspected(name)
    assert (after["State"]["Pid"], after["RestartCount"]) == (before["State"]["Pid"], before["RestartCount"])
    assert (await fleet.node(fleet.node_id(name)))["generation"] == node["generation"], "the agent never went away"
