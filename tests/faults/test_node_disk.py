"""A node whose disk is full."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from browser_node import disk
from fleet.model import MAX_ATTEMPTS
from tests.faults.fleet import FaultyFleet, faulty_fleet, fleet_options
from tests.faults.site import Sites
from tests.support import wait_until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.faults]

DISK_MB = 256
NODE = "node-1"


@contextlib.contextmanager
def small_disk(directory: Path) -> Iterator[None]:
    """A file system of its own at ``directory``; skips where this user may not mount."""
    directory.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=700", "tmpfs", str(directory)]
    mounted = subprocess.run(command, capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"a small file system is needed, and mount says: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(directory)], check=True)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running_fleet(tmp_path_factory: pytest.TempPathFactory, site: Sites) -> AsyncIterator[FaultyFleet]:
    """One node with one Chrome, whose state directory is a small file system."""
    directory = tmp_path_factory.mktemp("fleet")
    options = fleet_options(directory / "state", [f"*.site.test=127.0.0.1:{site.port}"], replicas=1, nodes=1, slots=1)
    with small_disk(directory / "state" / f"node-{NODE}"):
        async with faulty_fleet(options, directory / "ledger") as fleet:
            await fleet.begin()
            yield fleet


async def test_21_a_full_disk_fails_the_task_by_name_and_the_slot_is_healthy_again(
    fleet: FaultyFleet, site: Sites
) -> None:
    state = fleet.stack.state.node(NODE)
    ballast = state / "ballast"
    agent, generation = fleet.pid(NODE), (await fleet.node(NODE))["generation"]
    site.hold()
    task = await fleet.submit("http://disk-1.site.test/", key="disk-1")
    unit = f"{task}.0"
    for attempt in range(1, MAX_ATTEMPTS + 1):
        await fleet.until(task, lambda state, n=attempt: state["attempt"] == n, f"attempt {attempt}")
        await fleet.until_unit(unit, _runs, "to run")
        ballast.write_bytes(bytes(shutil.disk_usage(state).free - disk.LEAST_FREE // 2))
        await fleet.recovers(
            "21 full disk noticed, attempt over",
            3.0,
            lambda: fleet.until_unit(unit, lambda unit: not _runs(unit), "its attempt to end"),
        )
        await wait_until(lambda: _slot_state(fleet, "broken"), 30, "the slot to be out of service")
        ballast.unlink()
        await fleet.recovers(
            "21 slot in service again once there is room",
            10.0,
            lambda: wait_until(lambda: _slot_state(fleet, "free", "leased"), 60, "the slot to be in service"),
        )
    (ended,) = await fleet.ended(task)
    assert ended["status"] == "error"
    assert ended["error"].startswith("no_space"), ended["error"]
    site.let_go()
    (healthy,) = await fleet.ended(await fleet.submit("http://disk-2.site.test/", key="disk-2"))
    assert (healthy["status"], healthy["attempt"]) == ("completed", 1)
    assert fleet.pid(NODE) == agent
    assert (await fleet.node(NODE))["generation"] == generation, "the node never went away"


async def _slot_state(fleet: FaultyFleet, *states: str) -> bool:
    (slot,) = (await fleet.insist("GET", "/api/fleet/slots"))["slots"]
    return slot["state"] in states


def _runs(unit: dict[str, str]) -> bool:
    return unit["state"] == "running"
