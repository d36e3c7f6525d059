"""However often Chromes and agents are killed: no process, no profile, no socket is left over."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from browser_node import processes
from tests.faults.fleet import FaultyFleet, faulty_fleet, fleet_options
from tests.faults.ledger import Sized
from tests.faults.site import Sites
from tests.support import wait_until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.soak]

CHROMES = int(os.environ.get("LEADFLEET_CHROME_KILLS", "200"))
AGENTS = int(os.environ.get("LEADFLEET_AGENT_KILLS", "50"))
SLOTS = 2
NODES = ("node-1", "node-2")

OPEN_FILES_MORE = 12
"""Connections that are being made or closed when one looks."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running_fleet(tmp_path_factory: pytest.TempPathFactory, site: Sites) -> AsyncIterator[FaultyFleet]:
    """A fleet whose nodes the test starts."""
    directory = tmp_path_factory.mktemp("fleet")
    options = fleet_options(directory / "state", [f"*.site.test=127.0.0.1:{site.port}"], replicas=1, nodes=0)
    async with faulty_fleet(options, directory / "ledger") as fleet:
        await fleet.begin()
        yield fleet


async def test_200_kills_of_chrome_and_50_of_the_agent_leave_nothing(fleet: FaultyFleet) -> None:
    with tempfile.TemporaryDirectory(prefix="lf-", dir="/tmp") as temporary:
        settings = {"LEADFLEET_SLOTS": str(SLOTS), "TMPDIR": temporary}
        for node in NODES:
            await fleet.stack.add_node(node, settings=settings, supervised=False)
        await asyncio.gather(*(fleet.up(node) for node in NODES))
        await asyncio.gather(*(_kill_chromes(fleet, node, CHROMES // len(NODES)) for node in NODES))
        assert _short_lived(Path(temporary)) <= SLOTS * len(NODES)
        await asyncio.gather(*(_kill_agents(fleet, node, AGENTS // len(NODES)) for node in NODES))
        for node in NODES:
            state = fleet.stack.state.node(node)
            await fleet.stack.remove(node)
            assert _marked(state) == []
            assert list((state / "slots").iterdir()) == []
            assert sorted(path.name for path in state.iterdir()) == ["lock", "password", "slots", "tmp"]
            assert list((state / "tmp").iterdir()) == []
        assert _short_lived(Path(temporary)) == 0


async def _kill_chromes(fleet: FaultyFleet, node: str, times: int) -> None:
    """Each once it serves; the agent lives on and holds no more than before."""
    agent = psutil.Process(fleet.pid(node))
    before = agent.num_fds()
    for number in range(times):
        slot = number % SLOTS
        await wait_until(lambda slot=slot: _serves(fleet, node, slot), 120, f"a Chrome of {node}/{slot}")
        (browser,) = fleet.browsers(node, slot)
        session = processes.members(browser.pid)
        browser.kill()
        await wait_until(lambda session=session: not any(map(_exists, session)), 60, "all its processes to be gone")
    for slot in range(SLOTS):
        await wait_until(lambda slot=slot: _serves(fleet, node, slot), 120, f"a Chrome of {node}/{slot}")
    assert agent.is_running()
    fleet.ledger.note(Sized(f"files of {node} after {times} kills", agent.num_fds(), before + OPEN_FILES_MORE))
    fleet.ledger.note(Sized(f"Chromes of {node} after {times} kills", len(fleet.browsers(node)), SLOTS))
    slots = sorted(path.name for path in (fleet.stack.state.node(node) / "slots").iterdir())
    assert slots == [str(slot) for slot in range(SLOTS)]


async def _kill_agents(fleet: FaultyFleet, node: str, times: int) -> None:
    """Each once it is up; what it leaves is gone before the next one is."""
    child = fleet.stack.children[node]
    state = fleet.stack.state.node(node)
    generation = await fleet.up(node)
    for _ in range(times):
        left = _marked(state)
        assert left
        child.kill()
        await wait_until(lambda: not child.running, 60, f"{node} to be dead")
        await child.start()
        generation = await fleet.up(node, generation)
        assert not any(map(_exists, left)), "the next run cleans up before it registers"
        assert len(fleet.browsers(node)) <= SLOTS


async def _serves(fleet: FaultyFleet, node: str, slot: int) -> bool:
    slots = (await fleet.insist("GET", "/api/fleet/slots"))["slots"]
    states = {each["slot_id"]: each["state"] for each in slots}
    return states.get(f"{node}/{slot}") == "free" and len(fleet.browsers(node, slot)) == 1


def _marked(state: Path) -> list[psutil.Process]:
    """Live processes of Chromes of a state directory, whoever their parent is."""
    found = []
    for process in psutil.process_iter():
        try:
            ours = f"{state}/slots/" in " ".join(process.cmdline())
            ours = ours or process.environ().get(processes.MARK) == str(state)
        except (psutil.Error, OSError):
            continue
        if ours and process.status() != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def _short_lived(temporary: Path) -> int:
    """How many folders of Chromes there are outside of the state directory."""
    return len(list(temporary.glob("leadfleet-*")))


def _exists(process: psutil.Process) -> bool:
    return bool(process.is_running())
