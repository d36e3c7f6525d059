"""A store that dies, comes back empty or with older data, or has no room left for its log."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from control_plane.scheduling.limits import Limits
from control_plane.scheduling.scripts import NewTask, Scripts, Submitted
from fleet import ids
from tests.faults.checker import recovery
from tests.faults.fleet import CHROMELESS, FaultyFleet, faulty_fleet, fleet_options
from tests.faults.ledger import Gap, Lost, Run
from tests.faults.site import PAGES, Sites
from tests.support import wait_until

pytestmark = pytest.mark.asyncio(loop_scope="module")

MANY = int(os.environ.get("LEADFLEET_FAULT_TASKS", "200000"))
"""Queued tasks in the store that is killed."""
WRITERS = 64
BULK = "bulk"
"""A tenant, and the label that its units ask for and no slot has: they stay queued."""
RESTARTING = 1012
"""The close code of a WebSocket that says: connect again."""


def options(state: Path, site: Sites, **more: Any) -> Any:
    settings = {"LEADFLEET_RATE_SCALE": "100", "LEADFLEET_QUEUE_CAP": str(2 * MANY)}
    return fleet_options(state, [f"*.site.test=127.0.0.1:{site.port}"], programs=CHROMELESS, settings=settings, **more)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running_fleet(tmp_path_factory: pytest.TempPathFactory, site: Sites) -> AsyncIterator[FaultyFleet]:
    directory = tmp_path_factory.mktemp("fleet")
    async with faulty_fleet(options(directory / "state", site), directory / "ledger") as fleet:
        await fleet.begin()
        yield fleet


@contextlib.asynccontextmanager
async def valkey_down(fleet: FaultyFleet) -> AsyncIterator[Path]:
    """Stopped in order, while what it keeps is exchanged; the directory of its log."""
    valkey = fleet.stack.children["valkey"]
    await valkey.stop(asyncio.Event())
    yield fleet.stack.state.valkey / "appendonlydir"
    await valkey.start()
    valkey.supervise()


async def boots(fleet: FaultyFleet) -> set[str]:
    """Of the nodes that are up."""
    nodes = (await fleet.insist("GET", "/api/fleet/nodes"))["nodes"]
    found = set()
    for node in nodes:
        if node["state"] == "up":
            boot: Any = await fleet.redis.hget(fleet.keys.node(node["node_id"]), "boot")  # type: ignore[misc]
            found.add(boot.decode())
    return found


async def in_anew(fleet: FaultyFleet, before: set[str]) -> None:
    """Wait until all nodes have registered again, as others than before."""

    async def anew() -> bool:
        now = await boots(fleet)
        return len(now) == fleet.stack.options.nodes and not now & before

    await wait_until(anew, 60, "all nodes to register again")


async def replicas_announced(fleet: FaultyFleet) -> None:
    """Wait until each replica has said once more that it lives: what it is told then is how it knows a set-back."""

    async def said() -> dict[bytes, float]:
        return dict(await fleet.redis.zrange(fleet.keys.replicas(), 0, -1, withscores=True))

    before = await said()

    async def all_said() -> bool:
        now = await said()
        return all(now[replica] > at for replica, at in before.items())

    await wait_until(all_said, 30, "each replica to announce itself")


def restarts(fleet: FaultyFleet) -> dict[str, int]:
    return {name: child.restarts for name, child in fleet.stack.children.items() if name != "valkey"}


async def losses(fleet: FaultyFleet, replica: int) -> float:
    """What a replica's metrics say of it."""
    async with fleet.session.get(fleet.stack.urls[replica] + "/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("leadfleet_store_losses_total "))


async def read_to_its_end(viewer: aiohttp.ClientWebSocketResponse) -> int | None:
    """The code that the server closed it with."""
    async for _ in viewer:
        pass
    return viewer.close_code


@pytest.mark.faults
async def test_09_a_store_that_comes_back_empty_is_filled_anew(fleet: FaultyFleet, site: Sites) -> None:
    site.hold()
    task = await fleet.submit("http://empty-1.site.test/", key="empty-1")
    await fleet.at_work()
    before, epoch, crashes = await boots(fleet), await fleet.redis.get(fleet.keys.epoch()), restarts(fleet)
    told = [await losses(fleet, replica) for replica in (0, 1)]
    url = f"{fleet.stack.url}/api/scraper/ws/events/{task}"
    async with fleet.session.ws_connect(url) as viewer:
        reading = asyncio.create_task(read_to_its_end(viewer))
        async with valkey_down(fleet) as log:
            shutil.rmtree(log)
        fleet.ledger.note(Lost(time.time()))
        await fleet.recovers("09 nodes are in anew", 5.0, lambda: in_anew(fleet, before))
        async with asyncio.timeout(30):
            assert await reading == RESTARTING, "its viewers do not wait for ever"
    assert await fleet.redis.get(fleet.keys.epoch()) not in {epoch, None}
    with pytest.raises(aiohttp.WSServerHandshakeError, match="404"):
        await fleet.session.ws_connect(url)
    assert (await fleet.ask("GET", f"/api/scraper/status/{task}"))[0] == 404
    for replica in (0, 1):
        assert await losses(fleet, replica) == told[replica] + 1
    site.let_go()
    again = await fleet.submit("http://empty-1.site.test/", key="empty-1")
    (state,) = await fleet.ended(again)
    assert (state["status"], state["pages"]) == ("completed", PAGES)
    assert restarts(fleet) == crashes, "nothing crashed over it"


@pytest.mark.faults
async def test_39_a_store_that_was_set_back_issues_no_fence_twice(
    fleet: FaultyFleet, site: Sites, tmp_path: Path
) -> None:
    site.hold()
    kept = await fleet.submit("http://back-1.site.test/", key="back-1")
    watching = fleet.watch(kept)
    await fleet.until(kept, lambda state: state["pages"] == 1, "its first page")
    copy = tmp_path / "older"
    await asyncio.to_thread(shutil.copytree, fleet.stack.state.valkey / "appendonlydir", copy)

    # what the copy does not know: a task, leases, and events that a viewer of the first task was told of
    lost = await fleet.submit("http://back-2.site.test/", key="back-2")
    await fleet.until(lost, lambda state: state["pages"] == 1, "its first page")
    for step in ("pause", "resume"):
        await fleet.insist("POST", f"/api/scraper/{step}/{kept}")

    async def told() -> bool:
        return "task_resumed" in (fleet.ledger.directory / "ledger.jsonl").read_text()

    await wait_until(told, 30, "the viewer to be told")
    await replicas_announced(fleet)
    granted = [fence for task in (kept, lost) for fence in await fleet.fences(task)]
    before, crashes = await boots(fleet), restarts(fleet)
    async with valkey_down(fleet) as log:
        shutil.rmtree(log)
        shutil.copytree(copy, log)
    fleet.ledger.note(Lost(time.time()))
    await fleet.recovers("39 nodes are in anew", 5.0, lambda: in_anew(fleet, before))
    assert (await fleet.ask("GET", f"/api/scraper/status/{lost}"))[0] == 404

    site.let_go()
    again = await fleet.submit("http://back-2.site.test/", key="back-2")
    for state in await fleet.ended(kept, again):
        assert (state["status"], state["pages"]) == ("completed", PAGES), state
    await watching
    assert await fleet.check() == []
    gaps = Run.read(fleet.ledger.directory).of(Gap)
    assert [gap for gap in gaps if gap.stream.startswith(kept)], "its viewer was told that something is missing"
    since = [fence for task in (kept, again) for fence in await fleet.fences(task) if fence not in granted]
    assert since
    assert min(since) > max(granted), "no fence was issued twice"
    assert restarts(fleet) == crashes


@pytest.mark.faults
async def test_08_a_killed_store_loses_nothing_that_was_acknowledged(tmp_path: Path, site: Sites) -> None:
    site.hold()
    async with faulty_fleet(options(tmp_path / "state", site), tmp_path / "ledger") as fleet:
        await fleet.begin()
        await write_many(fleet)
        running = [await fleet.submit(f"http://killed-{n}.site.test/", key=f"killed-{n}") for n in range(4)]
        for task in running:
            await fleet.until(task, lambda state: state["pages"] == 1, "its first page")
        before = await boots(fleet)

        # clients submit all the while: what they are told is acknowledged must be there afterwards
        acknowledged: list[str] = []
        submitting = asyncio.create_task(submit_on(fleet, acknowledged))
        await wait_until(lambda: len(acknowledged) > 20, 30, "clients to submit")
        fleet.stack.kill("valkey")
        await fleet.recovers(f"08 all back, {MANY:,} tasks queued", 5.0, fleet.all_back)
        so_far = len(acknowledged)
        await wait_until(lambda: len(acknowledged) > so_far + 20, 30, "clients to submit again")
        submitting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await submitting

        assert await fleet.redis.zcard(fleet.keys.queue(BULK, BULK)) == MANY
        assert await fleet.redis.zcard(fleet.keys.tenant_tasks(BULK)) == MANY
        assert await boots(fleet) == before, "no node had to register again"
        site.let_go()
        for state in await fleet.ended(*running, *acknowledged):
            assert (state["status"], state["pages"], state["attempt"]) == ("completed", PAGES, 1), state
        for task in running:
            assert len(await fleet.fences(task)) == 1, "its lease was kept"
        # a picture of so large a store would take minutes; what can be told without one is checked
        assert not list(recovery(Run(Run.told(fleet.ledger.directory), {})))


async def write_many(fleet: FaultyFleet) -> None:
    """Queued tasks of another tenant, by the script that every submit runs."""
    most = Limits(queue_cap=2 * MANY, tenant_daily_units=2 * MANY, tenant_max_queued=2 * MANY)
    scripts = Scripts(fleet.redis, fleet.keys, most)
    numbers = iter(range(MANY))

    async def write() -> None:
        for number in numbers:
            unit = ("website", f"http://many-{number}.site.test/")
            submitted = await scripts.submit(NewTask(BULK, ids.new_task_id(), [unit], "{}", "{}", label=BULK))
            assert isinstance(submitted, Submitted), submitted

    await asyncio.gather(*(write() for _ in range(WRITERS)))


async def submit_on(fleet: FaultyFleet, acknowledged: list[str]) -> None:
    """Submit one task after the other, on both replicas in turn, whatever happens to the store."""
    while True:
        number = len(acknowledged)
        key = f"meanwhile-{number}"
        acknowledged.append(await fleet.submit(f"http://{key}.site.test/", key=key, replica=number % 2))


@pytest.mark.faults
async def test_12_a_store_without_room_for_its_log_recovers_by_itself(tmp_path: Path, site: Sites) -> None:
    state = tmp_path / "state"
    (state / "valkey").mkdir(parents=True, mode=0o700)
    with small_disk(state / "valkey", megabytes=8):
        async with faulty_fleet(options(state, site), tmp_path / "ledger") as fleet:
            await fleet.begin()
            site.hold()
            tasks = [await fleet.submit(f"http://disk-{n}.site.test/", key=f"disk-{n}") for n in range(4)]
            for task in tasks:
                await fleet.until(task, lambda state: state["pages"] == 1, "its first page")
            ballast = state / "valkey" / "ballast"
            fill(ballast)

            async def unready() -> bool:
                return not await fleet.ready(0) and not await fleet.ready(1)

            await wait_until(unready, 30, "both replicas to be unready")
            status, answer = await fleet.try_to_submit("http://disk-9.site.test/", key="disk-9")
            assert status == 503, answer
            ballast.unlink()
            await fleet.recovers("12 all back once there is room", 3.0, fleet.all_back)
            tasks.append(await fleet.submit("http://disk-9.site.test/", key="disk-9"))
            site.let_go()
            for ended in await fleet.ended(*tasks):
                assert (ended["status"], ended["pages"]) == ("completed", PAGES), ended
            assert await fleet.check() == []


@contextlib.contextmanager
def small_disk(directory: Path, megabytes: int) -> Any:
    """A file system of its own at ``directory``; skips where this user may not mount one."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=700", "tmpfs", str(directory)]
    mounted = subprocess.run(command, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"mounting is not permitted here: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(directory)], check=True)


def fill(ballast: Path) -> None:
    """Take all the room that the file system of ``ballast`` has, to the last byte."""
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
