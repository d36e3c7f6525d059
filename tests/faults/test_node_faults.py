"""Chromes, drivers and agents that die, freeze and leave."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from browser_node import processes
from browser_node.chrome import delete
from browser_node.chrome_binary import find_chrome
from tests.faults.fleet import FaultyFleet
from tests.faults.ledger import Fetched
from tests.faults.site import PAGES, Sites
from tests.support import wait_until

pytestmark = pytest.mark.asyncio(loop_scope="module")

TABS = 3
"""Pages of a unit that may be open at once."""


async def test_01_a_killed_chrome_costs_an_attempt_and_no_page(fleet: FaultyFleet, site: Sites) -> None:
    site.hold()
    task = await fleet.submit("http://chrome-1.site.test/", key="chrome-1")
    watching = fleet.watch(task)
    node, slot, unit = await fleet.at_work()
    await fleet.until(task, lambda state: state["pages"] >= 1, "its first page")
    others = [browser for browser in fleet.browsers(node) if browser not in fleet.browsers(node, slot)]
    (browser,) = fleet.browsers(node, slot)
    browser.kill()

    async def noticed() -> None:
        await fleet.until_unit(unit, lambda unit: unit.get("attempts") == "1", "its attempt to end")

    async def on_a_fresh_one() -> None:
        await fleet.until(task, lambda state: state["attempt"] == 2, "its second attempt")

    async def both() -> None:
        await fleet.recovers("01 death of a Chrome noticed", 2.0, noticed)
        await on_a_fresh_one()

    await fleet.recovers("01 resumed on a fresh Chrome", 2.0, both)
    site.let_go()
    (state,) = await fleet.ended(task)
    assert (state["status"], state["attempt"]) == ("completed", 2), state
    events = await watching
    assert any(event["type"] == "log" and event["level"] == "warning" for event in events), "viewers see it"
    assert site.visits["chrome-1.site.test/"] == 1, "the checkpoint has the home page"
    assert site.of("chrome-1.site.test") <= PAGES + TABS
    for page, times in site.visits.items():
        fleet.ledger.note(Fetched(page, times, 2))
    assert (await fleet.unit(unit)).get("deliveries", "0") == "0"
    assert all(other.is_running() for other in others), "the other slot's Chrome lives on"


@pytest.mark.faults
async def test_02_a_frozen_chrome_is_killed_and_nothing_of_it_is_left(fleet: FaultyFleet, site: Sites) -> None:
    site.hold()
    task = await fleet.submit("http://frozen-1.site.test/", key="frozen-1")
    node, slot, unit = await fleet.at_work()
    await fleet.until(task, lambda state: state["pages"] >= 1, "its first page")
    (browser,) = fleet.browsers(node, slot)
    session = processes.members(browser.pid)
    directory = fleet.stack.state.node(node) / "slots" / str(slot)
    mark = directory / "mark-of-the-test"
    mark.touch()
    browser.suspend()
    await fleet.recovers(
        "02 frozen Chrome killed, its processes gone",
        10.0,
        lambda: wait_until(lambda: not any(map(_exists, session)), 60, "the frozen Chrome to be gone"),
    )
    site.let_go()
    (state,) = await fleet.ended(task)
    assert (state["status"], state["attempt"]) == ("completed", 2), state
    await wait_until(lambda: len(fleet.browsers(node, slot)) == 1, 30, "another Chrome")
    assert not mark.exists(), "its profile was deleted"
    assert sorted(path.name for path in directory.parent.iterdir()) == ["0", "1"]
    assert (await fleet.unit(unit)).get("deliveries", "0") == "0"


async def test_38_a_killed_driver_is_replaced_and_its_units_resume(fleet: FaultyFleet, site: Sites) -> None:
    site.hold()
    task = await fleet.submit("http://driver-1.site.test/", key="driver-1")
    node, _, unit = await fleet.at_work()
    await fleet.until(task, lambda state: state["pages"] >= 1, "its first page")
    agent = psutil.Process(fleet.pid(node))
    chromes = fleet.browsers(node)
    (driver,) = _drivers(agent)
    driver.kill()

    async def resumed() -> None:
        await fleet.until(task, lambda state: state["attempt"] == 2, "its second attempt")

    await fleet.recovers("38 resumed through another driver", 3.0, resumed)
    site.let_go()
    (state,) = await fleet.ended(task)
    assert (state["status"], state["attempt"]) == ("completed", 2), state
    assert site.visits["driver-1.site.test/"] == 1, "the checkpoint has the home page"
    assert (await fleet.unit(unit)).get("deliveries", "0") == "0"
    assert agent.is_running(), "the agent lives on"
    assert all(chrome.is_running() for chrome in chromes), "and its Chromes do"
    (replaced,) = _drivers(agent)
    assert replaced.pid != driver.pid


@pytest.mark.faults
async def test_03_units_of_a_killed_agent_go_back_and_no_chrome_outlives_it(
    fleet: FaultyFleet, site: Sites, tmp_path: Path
) -> None:
    async with fleet.another_node("node-3", slots="1"), _a_strangers_chrome(tmp_path) as stranger:
        site.hold()
        queries = [f"http://agent-{number}.site.test/" for number in range(5)]
        task, running = await fleet.fill(*queries, key="agent")
        await fleet.until(task, lambda state: state["pages"] >= 5, "all homes to be read")
        unit = running["node-3/0"]
        (chrome,) = fleet.browsers("node-3")
        session = processes.members(chrome.pid)
        others = fleet.browsers("node-1") + fleet.browsers("node-2")
        renderer = next(process for process in session if "--type=renderer" in process.cmdline())
        renderer.suspend()  # what is frozen does not notice that its browser has gone, and is an orphan
        fleet.stack.kill("node-3")

        async def queued_again() -> None:
            await fleet.until_unit(unit, lambda unit: unit["state"] == "queued", "to be queued again")

        async def no_chrome() -> None:
            await wait_until(lambda: not _exists(chrome), 30, "the Chrome to die with its agent")

        await asyncio.gather(
            fleet.recovers("03 queued again after the agent's death", 22.0, queued_again),
            fleet.recovers("03 its Chrome dead", 1.0, no_chrome),
        )
        lost = await fleet.unit(unit)
        assert (lost.get("attempts", "0"), lost["deliveries"]) == ("0", "1"), "no attempt was spent"
        assert renderer.is_running()
        before = (await fleet.node("node-3"))["generation"]
        await fleet.stack.children["node-3"].start()
        await fleet.up("node-3", before)
        assert not any(map(_exists, session)), "the next run cleans up before it registers"
        assert all(other.is_running() for other in [*others, stranger]), "no other process's Chrome is touched"
        site.let_go()
        (state,) = await fleet.ended(task)
        assert (state["status"], state["attempt"]) == ("completed", 1), state
        assert site.visits[f"agent-{_index(unit)}.site.test/"] == 1, "the checkpoint has the home page"


@pytest.mark.faults
async def test_05_a_node_that_is_told_to_leave_drains(fleet: FaultyFleet, site: Sites) -> None:
    async with fleet.another_node("node-4", slots="2", drain_s="3") as leaving:
        site.hold(*(f"drain-{number}.site.test" for number in range(6)))
        task, running = await fleet.fill(*(f"http://drain-{n}.site.test/" for n in range(6)), key="drain")
        await fleet.until(task, lambda state: state["pages"] >= 6, "all homes to be read")
        ends, handed_back = running["node-4/0"], running["node-4/1"]
        chromes = fleet.browsers("node-4")
        os.kill(fleet.pid("node-4"), signal.SIGTERM)
        await wait_until(lambda: _drains(fleet, "node-4"), 30, "the node to say that it drains")
        later = await fleet.submit("http://drain-9.site.test/", key="drain-later")
        site.let_go(f"drain-{_index(ends)}.site.test")
        await fleet.until_unit(ends, lambda unit: unit["state"] == "completed", "its end on the leaving node")
        await wait_until(lambda: not leaving.running, 30, "the node to leave")
        back = await fleet.unit(handed_back)
        assert back.get("slot", "") != "node-4/1", back
        assert (back.get("attempts", "0"), back.get("deliveries", "0")) == ("0", "0"), back
        assert (await fleet.unit(ends)).get("deliveries", "0") == "0"
        assert leaving._process is not None
        assert leaving._process.returncode == 0
        assert not any(map(_exists, chromes))
        assert list((fleet.stack.state.node("node-4") / "slots").iterdir()) == []
        site.let_go()
        for state in await fleet.ended(task, later):
            assert (state["status"], state["attempt"]) == ("completed", 1), state
        assert await _granted(fleet, "node-4") == {ends, handed_back}, "no new lease"


async def _drains(fleet: FaultyFleet, node: str) -> bool:
    return (await fleet.node(node))["state"] == "draining"


async def _granted(fleet: FaultyFleet, node: str) -> set[str]:
    """Units that a node was ever given."""
    log = await fleet.redis.xrange(fleet.keys.leases())
    leases = [(fields[b"k"], fields[b"slot"].decode(), fields[b"unit"].decode()) for _, fields in log]
    return {unit for kind, slot, unit in leases if kind == b"granted" and slot.startswith(f"{node}/")}


@contextlib.asynccontextmanager
async def _a_strangers_chrome(directory: Path) -> AsyncIterator[psutil.Process]:
    """The browser process of somebody else's Chrome on this machine."""
    found = find_chrome()
    assert found is not None
    process = await asyncio.create_subprocess_exec(
        str(found.path), "--headless", "--no-sandbox", "--remote-debugging-port=0",
        f"--user-data-dir={directory / 'slots' / '0' / 'profile'}",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        yield psutil.Process(process.pid)
    finally:
        processes.kill_session(process.pid)
        await process.wait()
        await processes.ended(process.pid)
        await asyncio.to_thread(delete, directory)


def _drivers(agent: psutil.Process) -> list[psutil.Process]:
    return [child for child in agent.children() if "run-driver" in child.cmdline()]


def _exists(process: psutil.Process) -> bool:
    """A zombie exists, too."""
    return bool(process.is_running())


def _index(unit: str) -> int:
    return int(unit.rpartition(".")[2])
