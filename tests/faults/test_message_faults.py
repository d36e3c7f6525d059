"""Messages that are older, newer, forged or read twice at once."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from redis.exceptions import NoPermissionError

from fleet.messages import Run
from tests.fakes.spoken_node import SpokenNode
from tests.faults.fleet import CHROMELESS, FaultyFleet, faulty_fleet, fleet_options
from tests.faults.ledger import Forged
from tests.faults.site import PAGES, Sites
from tests.support import wait_until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running_fleet(tmp_path_factory: pytest.TempPathFactory, site: Sites) -> AsyncIterator[FaultyFleet]:
    """Two replicas, no node but those the tests speak for."""
    directory = tmp_path_factory.mktemp("fleet")
    options = fleet_options(directory / "state", [f"*.site.test=127.0.0.1:{site.port}"], nodes=0)
    async with faulty_fleet(options, directory / "ledger") as fleet:
        await fleet.begin()
        yield fleet


def node(fleet: FaultyFleet, name: str, state: Path) -> SpokenNode:
    join = f"redis://join:{fleet.stack.state.secrets().join_password}@127.0.0.1:{fleet.stack.ports.valkey}/0"
    return SpokenNode(join, fleet.keys, name, state / name)


async def ingested(fleet: FaultyFleet, name: str, entry: str) -> None:
    """Wait until a node's stream was read up to an entry."""

    async def read() -> bool:
        cursor = await fleet.redis.hget(fleet.keys.node(name), "cursor")  # type: ignore[misc]
        return _position(cursor.decode()) >= _position(entry)

    await wait_until(read, 30, f"{name}'s entry {entry} to be read")


def _position(entry: str) -> tuple[int, int]:
    ms, _, seq = entry.partition("-")
    return int(ms), int(seq)


async def names_told(fleet: FaultyFleet, task: str) -> list[str]:
    """The leads that a viewer of an ended task was told of, in order."""
    events = await fleet.watch(task)
    return [event["data"]["display_name"] for event in events if event["type"] == "result"]


async def test_33_messages_of_other_versions_share_a_stream(fleet: FaultyFleet, tmp_path: Path) -> None:
    task = await fleet.submit("http://versions.site.test/", key="versions")
    async with node(fleet, "n33", tmp_path) as speaks:
        run: Run = await speaks.told(Run)
        # newer: a version and fields that we have never heard of, and a kind of message that does not exist yet
        await speaks.say(speaks.batch(run, "newer"), v=b"99", mood=b"fine", results_v2=b"[]")
        await speaks.say({b"k": b"telepathy", b"v": b"99", b"boot": speaks.boot.encode(), b"thought": b"\xff\xfe"})
        # older: no version, and none of the fields that have come since
        older = speaks.batch(run, "older").to_fields()
        for name in (b"v", b"left_out", b"current", b"unset"):
            del older[name]
        await speaks.say(older)
        await speaks.beat(run)
        await ingested(fleet, "n33", await speaks.end(run))
        (state,) = await fleet.ended(task, limit_s=60)
        assert (state["status"], state["pages"], state["total_results"]) == ("completed", 2, 2), state
        assert await names_told(fleet, task) == ["newer", "older"]


async def test_41_what_a_node_forges_is_refused_and_counted(fleet: FaultyFleet, tmp_path: Path) -> None:
    task = await fleet.submit("http://forged.site.test/", key="forged")
    async with node(fleet, "honest", tmp_path) as honest:
        run: Run = await honest.told(Run)
        await honest.say(honest.batch(run, "true"))
        async with node(fleet, "forger", tmp_path) as forger:
            for key in (fleet.keys.out("honest"), fleet.keys.frames("honest", "0"), fleet.keys.join()):
                with pytest.raises(NoPermissionError):
                    await forger.client.xadd(key, {"k": "goodbye", "boot": honest.boot})
            with pytest.raises(NoPermissionError):
                await forger.client.xread({fleet.keys.commands("honest"): "0-0"})
            for forged in (run, Run(forger.boot, run.unit, run.fence + 1, 0, run.platform, run.query)):
                await forger.say(forger.batch(forged, "false"))
                fleet.ledger.note(Forged())
                await forger.end(forged)
                fleet.ledger.note(Forged())
            # as if it were the other one
            await forger.say(honest.batch(run, "false", seq=99), boot=honest.boot.encode())
            fleet.ledger.note(Forged())
            entry = await forger.beat(run)
            await ingested(fleet, "forger", entry)
        assert (await fleet.status(task))["status"] == "running"
        await honest.say(honest.batch(run, "late"))
        await honest.end(run)
        (state,) = await fleet.ended(task, limit_s=60)
        assert (state["status"], state["total_results"]) == ("completed", 2), state
        assert await names_told(fleet, task) == ["true", "late"]


async def readers(fleet: FaultyFleet, name: str, wanted: int) -> set[str]:
    """Addresses of the first ``wanted`` connections that are seen reading a node's stream."""
    found: set[str] = set()
    async with fleet.redis.monitor() as monitor:
        async for said in monitor.listen():
            if said["command"].startswith("XREAD ") and fleet.keys.out(name) in said["command"]:
                found.add(f"{said['client_address']}:{said['client_port']}")
            if len(found) == wanted:
                break
    return found


@pytest.mark.faults
async def test_40_two_replicas_that_read_the_same_nodes_apply_each_entry_once(tmp_path: Path, site: Sites) -> None:
    # Two replicas under one name each think that they are the only one, and read every node.
    twins = ("env", "LEADFLEET_REPLICA=twin", sys.executable, "-m", "control_plane")
    programs = type(CHROMELESS)(control_plane=twins, node=CHROMELESS.node)
    options = fleet_options(
        tmp_path / "state",
        [f"*.site.test=127.0.0.1:{site.port}"],
        programs=programs,
        settings={"LEADFLEET_RATE_SCALE": "100"},
    )
    async with faulty_fleet(options, tmp_path / "ledger") as fleet:
        await fleet.begin()
        async with asyncio.timeout(30):
            assert len(await readers(fleet, "node-1", 2)) == 2
        counted = await fleet.redis.hget(fleet.keys.counters(), "registrations")  # type: ignore[misc]
        assert int(counted or 0) == options.nodes
        tasks = [await fleet.submit(f"http://twins-{n}.site.test/", key=f"twins-{n}", replica=n % 2) for n in range(20)]
        watching = [fleet.watch(task, replica=n % 2) for n, task in enumerate(tasks)]
        for state in await fleet.ended(*tasks):
            assert (state["status"], state["pages"], state["total_results"]) == ("completed", PAGES, PAGES), state
        for watched in watching:
            pages = [event["data"]["source_url"] for event in await watched if event["type"] == "result"]
            assert pages == sorted(pages), "in the order in which the node told of them"
            assert len(pages) == PAGES
        assert await fleet.check() == []
