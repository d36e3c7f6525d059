"""Nodes that the store does not hear for a while: frozen, or cut off by the network."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterator
from datetime import datetime

import pytest
import pytest_asyncio

from fleet.model import SELF_FENCE
from tests.faults.fleet import SLACK, FaultyFleet, faulty_fleet, fleet_options
from tests.faults.ledger import Forged, Recovered
from tests.faults.site import Sites
from tests.support import free_port, wait_until
from tests.tcp_proxy import TcpProxy, Way

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.faults]

TABS = 3
"""Pages of a unit that may be open at once."""

NODES = ("node-1", "node-2", "node-3")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cables() -> AsyncIterator[dict[str, TcpProxy]]:
    """Between each node and the store."""
    valkey = free_port()
    async with contextlib.AsyncExitStack() as stack:
        yield {node: await stack.enter_async_context(TcpProxy(valkey)) for node in NODES}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running_fleet(
    tmp_path_factory: pytest.TempPathFactory, site: Sites, cables: dict[str, TcpProxy]
) -> AsyncIterator[FaultyFleet]:
    """Three nodes with one Chrome each."""
    directory = tmp_path_factory.mktemp("fleet")
    options = fleet_options(
        directory / "state",
        [f"*.site.test=127.0.0.1:{site.port}"],
        nodes=len(NODES),
        slots=1,
        valkey_port=cables["node-1"].target,
        reach={node: {"valkey": proxy.port} for node, proxy in cables.items()},
    )
    async with faulty_fleet(options, directory / "ledger") as fleet:
        await fleet.begin()
        yield fleet


@pytest.fixture
def networks(fleet: FaultyFleet, cables: dict[str, TcpProxy]) -> Iterator[dict[str, TcpProxy]]:
    """The same, whole again after the test."""
    yield cables
    for network in cables.values():
        network.release()
        network.heal()


async def test_04_what_a_frozen_agent_writes_afterwards_is_refused(
    fleet: FaultyFleet, site: Sites, networks: dict[str, TcpProxy]
) -> None:
    """Its last batch is under way when it freezes, and arrives when its unit has long ended elsewhere."""
    site.hold()
    task = await fleet.submit("http://late-1.site.test/", key="late")
    watching = fleet.watch(task)
    node, _, unit = await fleet.at_work()
    await fleet.until(task, lambda state: state["pages"] >= 1, "its first page")
    generation, refused = (await fleet.node(node))["generation"], await fleet.stale_writes()
    await wait_until(lambda: site.of("late-1.site.test") > TABS, 30, "all tabs to wait for a page")
    await _heartbeat_of(fleet, node)  # so that nothing is under way but what its pages give from now on
    network = networks[node]
    network.hold(Way.REQUESTS)
    site.let_go()
    await wait_until(lambda: b"observation_id" in network.held[Way.REQUESTS], 30, "a batch with leads to be under way")
    began = time.monotonic()
    async with fleet.frozen(fleet.pid(node)):
        await fleet.recovers(
            "04 frozen agent's unit queued again",
            22.0,
            lambda: fleet.until_unit(unit, lambda unit: unit.get("deliveries") == "1", "to leave the frozen node"),
        )
        (state,) = await fleet.ended(task)
        assert (state["status"], state["attempt"]) == ("completed", 1), state
        assert state["total_results"] >= 1
        elsewhere = await fleet.unit(unit)
        assert elsewhere["deliveries"] == "1"
        await asyncio.sleep(max(0.0, 30 - (time.monotonic() - began)))  # the fault is to last so long
    fleet.ledger.note(Forged())
    network.release()
    await wait_until(lambda: _more(fleet, refused), 30, "its late writes to be refused")
    await fleet.up(node, generation)
    assert (await fleet.status(task))["total_results"] == state["total_results"]
    events = await watching
    assert [event["type"] for event in events].count("task_completed") == 1


async def test_13_a_node_that_is_cut_off_keeps_its_lease_for_12_s_and_lets_go_within_15(
    fleet: FaultyFleet, site: Sites, networks: dict[str, TcpProxy]
) -> None:
    site.hold()
    task, running = await fleet.fill(*(f"http://cut-{number}.site.test/" for number in range(3)), key="cut")
    await fleet.until(task, lambda state: state["pages"] >= 3, "all homes to be read")
    generations = {node: (await fleet.node(node))["generation"] for node in NODES}
    kept, lost = running["node-1/0"], running["node-2/0"]
    fences = {unit: (await fleet.unit(unit))["fence"] for unit in (kept, lost)}

    async def for_12_s() -> None:
        # 15 s count from the last sign of life that was acknowledged, so cut right behind one
        await _heartbeat_of(fleet, "node-1")
        networks["node-1"].cut()
        await asyncio.sleep(12)
        networks["node-1"].heal()

    async def for_40_s() -> float:
        heard = await _heartbeat_of(fleet, "node-2")
        networks["node-2"].cut()
        await asyncio.sleep(40)
        networks["node-2"].heal()
        return heard

    _, heard = await asyncio.gather(for_12_s(), for_40_s())
    site.let_go()
    (state,) = await fleet.ended(task)
    assert (state["status"], state["attempt"]) == ("completed", 1), state
    short, long = await fleet.unit(kept), await fleet.unit(lost)
    assert short.get("deliveries", "0") == "0", "12 s cost no lease"
    assert (await fleet.node("node-1"))["generation"] == generations["node-1"]
    assert [fence for _, fence in await _grants(fleet, kept)] == [fences[kept]]
    assert long["deliveries"] == "1", "40 s cost the lease, and no attempt"
    assert long.get("attempts", "0") == "0"
    fenced = _fenced_at(fleet, "node-2")
    fleet.ledger.note(Recovered("13 cut-off node let go", fenced - heard, SELF_FENCE.total_seconds() + SLACK))
    (_, first), (again, second) = await _grants(fleet, lost)
    assert first == fences[lost] != second
    assert fenced < again, "it let go before its unit ran elsewhere"
    await fleet.up("node-2", generations["node-2"])


async def _more(fleet: FaultyFleet, than: int) -> bool:
    return await fleet.stale_writes() > than


async def _heartbeat_of(fleet: FaultyFleet, node: str) -> float:
    """When the next heartbeat of a node reached the store, in Unix seconds of the store."""
    stream = fleet.keys.out(node)
    last = (await fleet.redis.xinfo_stream(stream))["last-generated-id"].decode()

    async def next_one() -> str | None:
        for entry, fields in await fleet.redis.xrange(stream, min=f"({last}"):
            if fields[b"k"] == b"heartbeat":
                return entry.decode()
        return None

    entry: str = await wait_until(next_one, 30, f"a heartbeat of {node}")  # type: ignore[assignment]
    return int(entry.partition("-")[0]) / 1000


async def _grants(fleet: FaultyFleet, unit: str) -> list[tuple[float, str]]:
    """When a unit was given away, in Unix seconds of the store, and under which fences."""
    log = await fleet.redis.xrange(fleet.keys.leases())
    return [
        (int(entry.partition(b"-")[0]) / 1000, fields[b"fence"].decode())
        for entry, fields in log
        if (fields[b"k"], fields[b"unit"]) == (b"granted", unit.encode())
    ]


def _fenced_at(fleet: FaultyFleet, node: str) -> float:
    """When a node last stopped its work by itself, in Unix seconds, by its own log."""
    lines = (fleet.stack.state.logs / f"{node}.log").read_text().splitlines()
    said = [json.loads(line) for line in lines if line.startswith("{")]
    stamps = [line["timestamp"] for line in said if line["event"] == "fenced"]
    return datetime.fromisoformat(stamps[-1]).timestamp()
