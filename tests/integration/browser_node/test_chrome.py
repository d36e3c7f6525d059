"""One Chrome's life: whoever gives it up, at whatever moment, leaves neither process nor directory."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import psutil
import pytest

from browser_node import processes
from browser_node.chrome import Chrome, ChromeFailed, ChromeSpec
from browser_node.chrome_binary import ChromeBinary
from browser_node.driver import Driver
from browser_node.pool import Pool, RecycleAfter, Slot
from browser_node.sandbox import probe
from fleet.messages import SlotChange
from fleet.model import SlotState
from tests.fakes.fake_control import FakeControl
from tests.integration.browser_node.conftest import NODE, Site, StartNode
from tests.integration.browser_node.test_node import visit
from tests.support import wait_until


@pytest.fixture
def spec(chrome: ChromeBinary, tmp_path: Path) -> ChromeSpec:
    return ChromeSpec(chrome.path, "127.0.0.1:9", probe().works, str(tmp_path / "state"))


def marked(spec: ChromeSpec) -> list[int]:
    """Processes of this test's Chromes."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(processes.MARK) == spec.mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def share_of_session(pid: int) -> str:
    """What the kernel says of it as a whole: ``/autogroup-7 nice 0``."""
    return Path(f"/proc/{pid}/autogroup").read_text().strip()


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8, 13, 30])
async def test_a_launch_cancelled_while_it_spawns_leaves_nothing(spec: ChromeSpec, tmp_path: Path, turns: int) -> None:
    directory = tmp_path / "state" / "slots" / "0"
    launch = asyncio.create_task(Chrome.launch(spec, directory))
    # a turn of the loop at a time: the process is spawned in the turn that makes the directory
    while not directory.exists():  # noqa: ASYNC110 - nothing of the launch sets an event
        await asyncio.sleep(0)
    for _ in range(turns):
        await asyncio.sleep(0)
    launch.cancel()
    await asyncio.wait({launch})
    assert launch.cancelled()
    assert not directory.exists()
    assert not marked(spec)


async def test_a_launch_cancelled_while_chrome_starts_leaves_nothing(spec: ChromeSpec, tmp_path: Path) -> None:
    directory = tmp_path / "state" / "slots" / "0"
    launch = asyncio.create_task(Chrome.launch(spec, directory))
    await wait_until(lambda: (directory / "profile").exists() or launch.done(), 30, "Chrome to make its profile")
    launch.cancel()
    launch.cancel()
    await asyncio.wait({launch})
    assert not directory.exists()
    assert not marked(spec)


@pytest.mark.skipif(
    not Path("/proc/self/autogroup").exists() or os.geteuid() != 0,
    reason="the kernel does not weigh sessions, or need not take our wish",
)
async def test_a_chrome_that_serves_leaves_the_processor_to_others(spec: ChromeSpec, tmp_path: Path) -> None:
    ours = share_of_session(os.getpid())

    def make(index: int, driver: Driver) -> Slot:
        directory = tmp_path / "state" / "slots" / str(index)
        return Slot(index, directory, spec, driver, RecycleAfter(1, 1 << 40), lambda *_: None)

    pool = Pool(make, 1, tmp_path, memory=1 << 40)
    pool.start()
    try:
        slot = pool.slots[0]
        await slot.warm()
        await wait_until(lambda: share_of_session(slot.pid).endswith(" nice 10"), 10, "its session to step back")
        assert {process.nice() for process in processes.members(slot.pid)} == {10}
    finally:
        await pool.stop()
    assert share_of_session(os.getpid()) == ours


async def test_a_chrome_that_says_no_port_is_quoted_and_cleaned_up(spec: ChromeSpec, tmp_path: Path) -> None:
    broken = tmp_path / "chrome"
    broken.write_text("#!/bin/sh\necho 'libnss3.so: cannot open shared object file' >&2\nexit 127\n")
    broken.chmod(0o755)
    directory = tmp_path / "state" / "slots" / "0"
    with pytest.raises(ChromeFailed, match=r"libnss3\.so"):
        await Chrome.launch(ChromeSpec(broken, spec.proxy, spec.sandbox, spec.mark), directory)
    assert not directory.exists()


async def test_a_directory_that_cannot_be_made_is_a_chrome_that_failed(spec: ChromeSpec, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ChromeFailed, match="file"):
        await Chrome.launch(spec, tmp_path / "file" / "slots" / "0")


@pytest.mark.parametrize("turns", [0, 1, 2, 5, 10, 20, 40])
async def test_a_pool_stopped_while_a_chrome_ends_waits_for_its_end(
    spec: ChromeSpec, tmp_path: Path, turns: int
) -> None:
    directory = tmp_path / "state" / "slots" / "0"
    told: list[SlotState] = []

    def make(index: int, driver: Driver) -> Slot:
        return Slot(index, directory, spec, driver, RecycleAfter(0, 1 << 40), lambda _, state, __: told.append(state))

    pool = Pool(make, 1, tmp_path, memory=1 << 40)
    pool.start()
    (slot,) = pool.slots
    await slot.warm()
    assert await slot.due()  # after no unit at all: its Chrome is ended, and a new one would follow
    for _ in range(turns):
        await asyncio.sleep(0)
    await pool.stop()
    assert told == [SlotState.FREE, SlotState.BROKEN]
    assert not directory.exists()
    assert not marked(spec)


async def test_a_node_that_leaves_while_a_chrome_is_replaced_waits_for_its_end(
    start_node: StartNode, control: FakeControl, site: Site, tmp_path: Path
) -> None:
    node, task = await start_node(visit, egress_allow=site.allowance, recycle_units=1)
    await control.run(NODE, "http://www.site.test/")
    await control.hear(SlotChange, lambda m: m.state == "broken")
    node.leave()
    await asyncio.wait_for(task, 20)
    assert not list((tmp_path / "state" / "slots").glob("*"))
