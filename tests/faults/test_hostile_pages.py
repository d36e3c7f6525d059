"""Pages that attack the browser which visits them, beside a task that means well."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import psutil
import pytest
import pytest_asyncio

from tests.faults.fleet import FaultyFleet, faulty_fleet, fleet_options
from tests.faults.hostile import DOWNLOAD_BYTES, Hostile, hostile_sites
from tests.faults.ledger import Sized
from tests.faults.site import Sites

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.faults]

CHROME_MB = 1500
"""What a Chrome may hold here; one that is idle holds 750, counted once a process."""

ENDS = {
    "memory": {"out_of_memory"},
    "popups": {"tab_crashed", "timeout", "out_of_memory", "chrome_died"},
    "dialogs": {"tab_crashed", "timeout"},
    "download": {"not_html"},
    "redirect": {"redirect_loop"},
}
"""By what each page does: the errors its task may end with."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hostile() -> AsyncIterator[Hostile]:
    async with hostile_sites() as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running_fleet(
    tmp_path_factory: pytest.TempPathFactory, site: Sites, hostile: Hostile
) -> AsyncIterator[FaultyFleet]:
    """One node with three Chromes for six tasks."""
    directory = tmp_path_factory.mktemp("fleet")
    options = fleet_options(
        directory / "state",
        [f"*.site.test=127.0.0.1:{site.port}", f"*.hostile.test=127.0.0.1:{hostile.port}"],
        replicas=1,
        nodes=1,
        slots=3,
        settings={"LEADFLEET_CHROME_MB": str(CHROME_MB)},
    )
    async with faulty_fleet(options, directory / "ledger") as fleet:
        await fleet.begin()
        yield fleet


async def test_31_hostile_pages_end_with_a_clear_error_and_the_node_lives(
    fleet: FaultyFleet, site: Sites, hostile: Hostile
) -> None:
    agent, generation = fleet.pid("node-1"), (await fleet.node("node-1"))["generation"]
    async with _largest(agent) as largest:
        tasks = {kind: await fleet.submit(f"http://{kind}.hostile.test/", key=f"hostile-{kind}") for kind in ENDS}
        good = await fleet.submit("http://good-1.site.test/", key="hostile-beside")
        (well,) = await fleet.ended(good, limit_s=300)
        ends = dict(zip(tasks, await fleet.ended(*tasks.values(), limit_s=300), strict=True))
    assert (well["status"], well["attempt"]) == ("completed", 1), well
    assert well["total_results"] >= 1
    for kind, state in ends.items():
        assert state["status"] == "error", (kind, state)
        assert state["error"].partition(":")[0] in ENDS[kind], (kind, state["error"])
    assert all(hostile.asked[kind] for kind in ENDS), "each page was opened"
    assert hostile.sent < DOWNLOAD_BYTES // 4, "a download is refused at its beginning"
    assert fleet.pid("node-1") == agent
    assert fleet.stack.children["node-1"].restarts == 0
    assert (await fleet.node("node-1"))["generation"] == generation, "the node never went away"
    fleet.ledger.note(Sized("31 largest renderer, bytes", largest[0], 3 * CHROME_MB << 20))


@contextlib.asynccontextmanager
async def _largest(agent: int) -> AsyncIterator[list[int]]:
    """The most memory that a renderer below ``agent`` was seen to hold, in bytes."""
    largest = [0]

    async def look() -> None:
        while True:
            for process in psutil.Process(agent).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    if "--type=renderer" in process.cmdline():
                        largest[0] = max(largest[0], process.memory_info().rss)
            await asyncio.sleep(0.5)

    looking = asyncio.create_task(look())
    try:
        yield largest
    finally:
        looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await looking
